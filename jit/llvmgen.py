"""IR to LLVM assembly text.  One emitter a kind of op; an op without one fails loudly with its name and types.

A stencil is a preserve_nonecc function of the CPU state's address that ends in musttail calls, so that the state
stays in one host register.  Holes are extern_weak absolute symbols: LLVM then puts the number into a displacement or
immediate and may not assume that it differs from 0 or from another hole.  Continuations that the code cache does not
place behind a stencil are reached through pointers in the CPU state (`slots`): stencils are position-independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from jit import llvm_control, llvm_values
from jit.ir import Function
from jit.llvm_function import FunctionText

RULES = {**llvm_values.RULES, **llvm_control.RULES}


class Module:
    """LLVM text of any number of functions, with the declarations that they need."""

    def __init__(self, host: ModuleType, slots: Mapping[str, int], features: frozenset[str] = frozenset()) -> None:
        self.host, self.slots, self.features = host, slots, features
        self.declarations: set[str] = set()
        self.defined: set[str] = set()
        self.functions: list[str] = []
        self.holes: dict[str, tuple[int, int]] = {}

    def add(self, function: Function) -> None:
        self.defined.add(function.name)
        self.functions.append(FunctionText(self, function, RULES).text())

    def text(self) -> str:
        head = [
            f'target triple = "{self.host.TRIPLE}"',
            "!9 = !{i64 -1, i64 -1}",
            '!8 = !{!"branch_weights", i32 4000, i32 1}',
            '!7 = !{!"branch_weights", i32 1, i32 4000}',
            "!6 = !{}",
        ]
        for k, (name, (lo, hi)) in enumerate(sorted(self.holes.items())):
            wide = lo < -(1 << 31) or hi >= 1 << 32
            head.append(f'@"{name}" = extern_weak dso_local global i8, !absolute_symbol !{9 if wide else 10 + k}')
            if not wide:
                head.append(f"!{10 + k} = !{{i64 {lo}, i64 {hi + 1}}}")
        used = (
            d for d in sorted(self.declarations) if d.partition("@")[2].partition("(")[0].strip('"') not in self.defined
        )
        return "\n".join([*head, *used, *self.functions]) + "\n"

    def need(self, declaration: str) -> None:
        self.declarations.update(line for line in declaration.splitlines() if line)
