"""One function as LLVM text: names, blocks and the pieces that rules are written with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jit.ir import Body, Function, IRError, Value
from jit.types import VOID, Type

if TYPE_CHECKING:
    from jit.llvmgen import Module

CC = "preserve_nonecc"
SLOW_SUFFIX = ".slow"  # the name of a slow path is its function's with this
_FLOATS = {16: "half", 32: "float", 64: "double"}


def llvm_type(t: Type) -> str:
    if t.lanes:
        return f"<{t.lanes} x {llvm_type(t.scalar)}>"
    return _FLOATS[t.bits] if t.kind == "float" else "ptr" if t.kind == "ptr" else "void" if t is VOID else f"i{t.bits}"


def suffix(t: Type) -> str:
    s = ("f" if t.kind == "float" else "i") + str(t.bits)
    return f"v{t.lanes}{s}" if t.lanes else s


class FunctionText:
    """Text of a function in the making.  rules: what to do for each op; gives the name of its result, if any."""

    def __init__(self, module: Module, function: Function, rules: Mapping[str, Rule]) -> None:
        self.rules = rules
        self.m, self.f, self.number = module, function, len(module.functions)
        self.lines: list[str] = []
        self.names: dict[Value, str] = {}
        self.count = 0
        self.block = "entry"
        self.carried: list[dict[int, str]] = []
        self.strict = False
        self.head: list[str] = []
        self.last: list[str] = []

    # -- pieces -----------------------------------------------------------------------------------------------------
    def fresh(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def label(self) -> str:
        self.count += 1
        return f"L{self.count}"

    def put(self, line: str) -> None:
        self.lines.append("  " + line)

    def open(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    def let(self, text: str) -> str:
        name = self.fresh()
        self.put(f"{name} = {text}")
        return name

    def ref(self, v: Value) -> str:
        return self.names[v]

    def typed(self, v: Value) -> str:
        return f"{llvm_type(v.type)} {self.ref(v)}"

    def literal(self, value: int, t: Type) -> str:
        if t.lanes:
            return f"splat ({llvm_type(t.scalar)} {self.literal(value, t.scalar)})"
        if t.kind == "int":
            return str(value)
        if t.kind == "ptr":
            if value:
                raise IRError("only the null pointer is a constant")
            return "null"
        digits = {16: f"0xH{value:04X}", 64: f"0x{value:016X}"}
        return digits.get(t.bits, f"bitcast (i32 {value} to float)")

    # -- whole function -----------------------------------------------------------------------------------------------
    def text(self) -> str:
        f = self.f
        self.open("entry")
        self.run(f.body)
        self.lines[1:1] = self.head
        self.lines += self.last
        cc, args = (CC + " ", "ptr %env") if f.kind == "stencil" else ("", "ptr %env")
        if f.kind == "function":
            args = ", ".join(["ptr %env", *(f"{llvm_type(t)} %a{k}" for k, t in enumerate(f.arg_types))])
        strict = " strictfp" if self.strict else ""
        strict += " cold noinline" if f.cold and f.kind == "function" else ""
        attrs = f'nounwind{strict} "no-jump-tables"="true" section ".text.{f.name}"'
        return f'define {cc}{llvm_type(f.ret)} @"{f.name}"({args}) {attrs} {{\n' + "\n".join(self.lines) + "\n}"

    def run(self, body: Body) -> None:
        for v in body:
            handler = self.rules.get(v.op)
            if handler is None:
                raise IRError(f"the LLVM back end has no rule for {v.op} of {[str(a.type) for a in v.args]}")
            name = handler(self, v)
            if name is not None:
                self.names[v] = name

    def run_last(self, label: str, body: Body) -> None:
        """A body that leaves goes to the function's end: LLVM makes conditional jumps only of tail calls further on."""
        lines, self.lines = self.lines, []
        self.open(label)
        self.run(body)
        self.last += self.lines
        self.lines = lines

    def tail(self, name: str) -> None:
        """musttail to a continuation: directly, or through its slot in the CPU state."""
        slot = self.m.slots.get(name) if self.f.kind == "stencil" else None
        if slot is None or name in self.m.defined:
            self.m.need(f'declare dso_local {CC} void @"{name}"(ptr)')
            target = f'@"{name}"'
        else:
            target = self.let(f"load ptr, ptr {self.address(str(slot))}")
        self.put(f"musttail call {CC} void {target}(ptr %env)")
        self.put("ret void")

    def address(self, offset: str) -> str:
        return self.let(f"getelementptr i8, ptr %env, i64 {offset}")

    def sequence(self, values: list[Value]) -> str:
        return ", ".join(self.typed(v) for v in values)

    def intrinsic(self, name: str, t: Type, args: str, arg_types: str, ret: str | None = None) -> str:
        self.m.need(f"declare {ret or llvm_type(t)} @{name}({arg_types})")
        return self.let(f"call {ret or llvm_type(t)} @{name}({args})")


Rule = Callable[[FunctionText, Value], str | None]
