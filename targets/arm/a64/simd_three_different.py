"""Advanced SIMD three different (C4.1.95): long, wide and narrowing arithmetic on lanes of two widths.

The semantics serve the scalar encodings (simd_scalar.py) and those by element (simd_by_element.py) too.
"""

from __future__ import annotations

from typing import Any

from jit.ir import Value
from jit.types import Type
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.a64.simd_three_same import LaneFn, Lift, Second, polynomial_multiply
from targets.arm.simd import (
    absolute_difference,
    extend,
    narrower,
    part,
    sat_add,
    sat_minimum,
    sat_sub,
    set_part,
    sizes,
    wide_arrangement,
)


# -- families ---------------------------------------------------------------------------------------------------------
def rm_part(b: A64, i: Insn, t: Type) -> Value:
    return part(b, i, i.Rm)


def long(b: A64, i: Insn, *, fn: LaneFn, second: Second = rm_part, **named: Any) -> None:
    """Vd = fn(Vpart[n], Vpart[m]), in lanes twice as wide."""
    x = part(b, i, i.Rn)
    b.set_V(i.Rd, fn(b, x, second(b, i, x.type), **named))


def long_accumulate(
    b: A64, i: Insn, *, fn: LaneFn, sub: bool = False, saturating: bool = False, second: Second = rm_part, **named: Any
) -> None:
    """Vd = Vd + fn(Vpart[n], Vpart[m])."""
    x = part(b, i, i.Rn)
    r = fn(b, x, second(b, i, x.type), **named)
    total = b.V(i.Rd, r.type)
    if saturating:
        b.set_V(i.Rd, (sat_sub if sub else sat_add)(b, total, r, signed=True))
    else:
        b.set_V(i.Rd, total - r if sub else total + r)


def wide(b: A64, i: Insn, *, op: str, signed: bool) -> None:
    """Vd = Vn op Vpart[m], whose lanes are half as wide."""
    y = extend(part(b, i, i.Rm), signed)
    b.set_V(i.Rd, b.op(op, b.V(i.Rn, y.type), y))


def high_narrow(b: A64, i: Insn, *, op: str, rounding: bool) -> None:
    """Vpart[d] = the upper halves of Vn op Vm."""
    t = wide_arrangement(i)
    total = b.op(op, b.V(i.Rn, t), b.V(i.Rm, t))
    if rounding:
        total = total + (1 << (t.bits // 2 - 1))
    set_part(b, i, i.Rd, total.lshr(t.bits // 2).trunc(narrower(t)))


# -- lanes ------------------------------------------------------------------------------------------------------------
def long_op(b: A64, x: Value, y: Value, *, op: str, signed: bool) -> Value:
    return b.op(op, extend(x, signed), extend(y, signed))


def long_difference(b: A64, x: Value, y: Value, *, signed: bool) -> Value:
    return extend(absolute_difference(x, y, signed), False)


def doubling_multiply_long(b: A64, x: Value, y: Value) -> Value:
    """SatQ(2 * x * y)."""
    product = extend(x, True) * extend(y, True)
    return sat_minimum(b, product + product)


def polynomial_multiply_long(b: A64, x: Value, y: Value) -> Value:
    return polynomial_multiply(b, extend(x, False), extend(y, False) << x.type.bits)


# -- rows -------------------------------------------------------------------------------------------------------------
def _different(name: str, u: int, opcode: str, lift: Lift, allowed: tuple[int, ...] = (0, 1, 2), **bound: Any) -> Row:
    layout, mnemonic = f"0 Q {u} 01110 size 1 Rm {opcode} 00 Rn Rd", name.lower()
    return row(
        f"{name}, {name}2", layout, lift, needs="fp", where=sizes(*allowed), capstone=f"{mnemonic} {mnemonic}2", **bound
    )


def _signed_and_unsigned(name: str, opcode: str, lift: Lift, **bound: Any) -> list[Row]:
    return [_different(letter + name, u, opcode, lift, signed=u == 0, **bound) for u, letter in enumerate("SU")]


def _doubling(name: str, opcode: str, lift: Lift, **bound: Any) -> Row:
    return _different(name, 0, opcode, lift, (1, 2), fn=doubling_multiply_long, **bound)


ROWS = [
    *_signed_and_unsigned("ADDL", "0000", long, fn=long_op, op="add"),
    *_signed_and_unsigned("ADDW", "0001", wide, op="add"),
    *_signed_and_unsigned("SUBL", "0010", long, fn=long_op, op="sub"),
    *_signed_and_unsigned("SUBW", "0011", wide, op="sub"),
    _different("ADDHN", 0, "0100", high_narrow, op="add", rounding=False),
    _different("RADDHN", 1, "0100", high_narrow, op="add", rounding=True),
    _different("SUBHN", 0, "0110", high_narrow, op="sub", rounding=False),
    _different("RSUBHN", 1, "0110", high_narrow, op="sub", rounding=True),
    *_signed_and_unsigned("ABAL", "0101", long_accumulate, fn=long_difference),
    *_signed_and_unsigned("ABDL", "0111", long, fn=long_difference),
    *_signed_and_unsigned("MLAL", "1000", long_accumulate, fn=long_op, op="mul"),
    *_signed_and_unsigned("MLSL", "1010", long_accumulate, fn=long_op, op="mul", sub=True),
    *_signed_and_unsigned("MULL", "1100", long, fn=long_op, op="mul"),
    _doubling("SQDMLAL", "1001", long_accumulate, saturating=True),
    _doubling("SQDMLSL", "1011", long_accumulate, saturating=True, sub=True),
    _doubling("SQDMULL", "1101", long),
    _different("PMULL", 0, "1110", long, (0,), fn=polynomial_multiply_long),
]
