"""The A64 front end of the engines: words to rows, rows to stencils, fields to hole values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from jit.frontend import Decoded
from jit.ir import Function
from jit.types import I32
from targets.arm import trace
from targets.arm.a64.lift import A64, Insn, Mode, lift
from targets.arm.a64.row import Row, row
from targets.arm.a64.table import Decoder, all_rows
from targets.arm.env import ENV
from targets.arm.exits import Event

EC_FP_ACCESS = 0x07


def _undefined(b: A64, i: Insn) -> None:
    b.stenv(ENV.pc_off, b.pc_offset(I32))
    trace.report(b, trace.UNIMPLEMENTED, Event.UNDEFINED, i.word)
    b.undefined()


def _fp_access_trap(b: A64, i: Insn) -> None:
    """CPACR_EL1.FPEN traps FP and SIMD: ISS is CV=1, COND=1110."""
    b.raise_exception(EC_FP_ACCESS << 26 | 1 << 25 | 1 << 24 | 0xE << 20)


UNDEFINED = row("UNDEFINED", "word:32", _undefined, holes="word", ends="jump", oracle="none")
FP_TRAP = row("FP access trap", "x" * 32, _fp_access_trap, ends="jump", oracle="none")


def _displacement(r: Row, fields: Mapping[str, int]) -> int | None:
    """Byte distance of a pc-relative branch: fields imm26, imm19 or imm14, in words."""
    for name, width in (("imm26", 26), ("imm19", 19), ("imm14", 14)):
        if name in fields:
            half = 1 << (width - 1)
            return ((fields[name] ^ half) - half) * 4
    return None


# PRFM (immediate), PRFM (register), PRFUM
_PREFETCHES = ((0xFFC0_0000, 0xF980_0000), (0xFFE0_0C00, 0xF8A0_0800), (0xFFE0_0C00, 0xF880_0000))


def _checks_stack(word: int) -> bool:
    """CheckSPAlignment(): loads and stores with SP as the base, but for prefetches and literals."""
    if word & 0x0A00_0000 != 0x0800_0000 or word >> 5 & 31 != 31 or word & 0x3B00_0000 == 0x1800_0000:
        return False
    return not any(word & mask == value for mask, value in _PREFETCHES)


class A64Frontend:
    """Implements jit.frontend.Frontend for the features of one CPU model."""

    insn_size = 4

    def __init__(self, features: Iterable[str] = (), warn: Callable[[str], None] | None = None) -> None:
        self._features = tuple(features)
        self.decoder = Decoder(self._features)
        self._lifted: dict[tuple[Any, ...], A64] = {}
        self._mode_matters: dict[Any, int] = {}
        self._shapes: dict[tuple[Row, int], tuple[Row, tuple[int, ...]]] = {}
        self._named: set[Row] = set()
        self._warn = warn
        self._capstone: Any = None
        # what belongs before an instruction, and before one that checks the stack pointer
        self._inserts: tuple[tuple[str, ...], tuple[str, ...]] = ((), ("stack_check",))

    def count_instructions(self) -> None:
        """Under -icount; before anything is decoded."""
        self._inserts = (("count_instruction",), ("counted_stack_check",))

    @property
    def identity(self) -> str:
        return f"{sorted(self._features)} {self._inserts}"

    def decode(self, word: int, mode: int) -> Decoded:
        r = self.decoder.row(word)
        if r is None:
            r = UNDEFINED
        elif r.needs == "fp" and not Mode.from_key(mode).fp:
            r = FP_TRAP
        if self._warn and r not in self._named:
            self._check_name(r, word)
        before = self._inserts[r.oracle != "none" and _checks_stack(word)]
        displacement = _displacement(r, r.split(word)) if r.ends in ("jump", "branch") else None
        return Decoded(word, self._shape(r, word), r.ends, displacement, None, before)

    def _shape(self, r: Row, word: int) -> tuple[Row, tuple[int, ...]]:
        """The shape of a word; equal shapes are one object."""
        bits = (r, word & r.shape_bits)
        found = self._shapes.get(bits)
        if found is None:
            found = self._shapes[bits] = (r, r.shape(r.split(word)))
        return found

    def lift(self, decoded: Decoded, mode: int, near: bool) -> Function:
        return self._stencil(decoded, mode, near).function

    def _stencil(self, decoded: Decoded, mode: int, near: bool) -> A64:
        key = (decoded.key, self.shape_mode(decoded, mode), near)
        found = self._lifted.get(key)
        if found is None:
            r, shape = decoded.key  # type: ignore[misc]
            found = lift(r, shape, Mode.from_key(mode), near)
            self._mode_matters[decoded.key] = found.i.mode_used
            self._lifted[(decoded.key, self.shape_mode(decoded, mode), near)] = found
        return found

    def holes(self, decoded: Decoded, mode: int, near: bool) -> Mapping[str, int]:
        fields = SimpleNamespace(**decoded.key[0].split(decoded.word))  # type: ignore[index]
        return {name: fn(fields) for name, fn in self._stencil(decoded, mode, near).holes.items()}

    def shape_mode(self, decoded: Decoded, mode: int) -> int:
        return mode & self._mode_matters.get(decoded.key, -1)

    def single(self, mode: int) -> bool:
        return Mode.from_key(mode).step

    def missing_feature(self, word: int) -> str:
        """The feature that would define a word that this CPU does not have; "" where none would."""
        found = Decoder(r.feature for r in all_rows()).row(word)
        return found.feature if found else ""

    # -- capstone: names and text -----------------------------------------------------------------------------------
    def _cs(self) -> Any:
        if self._capstone is None:
            import capstone

            self._capstone = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
        return self._capstone

    def disassemble(self, word: int, address: int) -> str:
        """Capstone's text, or `.inst` for what it does not know."""
        for _, _, mnemonic, operands in self._cs().disasm_lite(word.to_bytes(4, "little"), address):
            return f"{mnemonic} {operands}".rstrip()
        return f".inst {word:#010x}"

    def _check_name(self, r: Row, word: int) -> None:
        """Once a row: capstone's name for the word must be among the row's."""
        self._named.add(r)
        name = self.disassemble(word, 0).split()[0]
        if r.oracle != "none" and name != ".inst" and name not in r.capstone and self._warn:
            self._warn(f"capstone calls {word:08x} {name}, the table {r.name}")
