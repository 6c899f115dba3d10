"""Advanced SIMD modified immediate (C4.1.95): 64 bits made of eight, to each half of the register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jit.ir import Value
from jit.types import I64
from targets.arm.a64.fp import vfp_expand_imm
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.simd import broadcast, shaped

MASK64 = (1 << 64) - 1
# cmode
SHIFTED = (0, 2, 4, 6, 8, 10)  # one byte of each word or halfword; with bit 0 set, for ORR and BIC
ONES = (12, 13)  # one byte of each word, with ones below it
BYTES = 14  # each byte, or by op a bit for each byte of the doubleword
FLOAT = 15


def _replicate(value: int, bits: int) -> int:
    return sum(value << k for k in range(0, 64, bits))


def advsimd_expand_imm(op: int, cmode: int, imm8: int) -> int:
    """AdvSIMDExpandImm, of op = 0 where the instruction inverts it itself (MVNI, BIC)."""
    if cmode == FLOAT:
        return vfp_expand_imm(imm8, 64) if op else _replicate(vfp_expand_imm(imm8, 32), 32)
    if cmode == BYTES:
        return sum(0xFF << 8 * k for k in range(8) if imm8 >> k & 1) if op else _replicate(imm8, 8)
    if cmode in ONES:
        ones = 8 << (cmode & 1)
        return _replicate(imm8 << ones | (1 << ones) - 1, 32)
    if cmode >= 8:
        return _replicate(imm8 << 8 * (cmode >> 1 & 1), 16)
    return _replicate(imm8 << 8 * (cmode >> 1), 32)


def immediate(b: A64, i: Insn, invert: bool) -> Value:
    def bits(f: Any) -> int:
        imm8 = f.a << 7 | f.b << 6 | f.c << 5 | f.d << 4 | f.e << 3 | f.f << 2 | f.g << 1 | f.h
        return advsimd_expand_imm(f.op, f.cmode, imm8) ^ (MASK64 if invert else 0)

    return broadcast(b, i.hole("imm64", bits, 0, MASK64), shaped(i, I64))


def move(b: A64, i: Insn, *, invert: bool = False) -> None:
    b.set_V(i.Rd, immediate(b, i, invert))


def orr(b: A64, i: Insn) -> None:
    imm = immediate(b, i, False)
    b.set_V(i.Rd, b.V(i.Rd, imm.type) | imm)


def bic(b: A64, i: Insn) -> None:
    imm = immediate(b, i, True)
    b.set_V(i.Rd, b.V(i.Rd, imm.type) & imm)


# -- rows -------------------------------------------------------------------------------------------------------------
def _immediate(name: str, lift: Callable[..., None], cmodes: dict[int, tuple[int, ...]], **bound: Any) -> Row:
    """cmodes: those of the instruction by op."""

    def where(f: Mapping[str, int]) -> bool:
        double = f["op"] == 1 and f["cmode"] == FLOAT
        return f["cmode"] in cmodes.get(f["op"], ()) and (not double or f["Q"] == 1)

    layout = "0 Q op 01111 00000 a b c cmode 0 1 d e f g h Rd"
    return row(name, layout, lift, needs="fp", holes="op cmode a b c d e f g h", where=where, **bound)


ROWS = [
    _immediate("MOVI", move, {0: (*SHIFTED, *ONES, BYTES), 1: (BYTES,)}),
    _immediate("MVNI", move, {1: (*SHIFTED, *ONES)}, invert=True),
    _immediate("ORR (vector, immediate)", orr, {0: tuple(k + 1 for k in SHIFTED)}),
    _immediate("BIC (vector, immediate)", bic, {1: tuple(k + 1 for k in SHIFTED)}),
    _immediate("FMOV (vector, immediate)", move, {0: (FLOAT,), 1: (FLOAT,)}),
]
