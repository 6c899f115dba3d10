"""Advanced SIMD three same (C4.1.95): lanes of two registers, integer and floating point, and bitwise logic.

The semantics serve the scalar encodings (simd_scalar.py) too, where an operand is one lane, and those by element
(simd_by_element.py), where `second` fetches the second operand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jit.ir import Value
from jit.types import I64, Type
from targets.arm import fp
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.simd import (
    absolute_difference,
    arrangement,
    extend,
    float_arrangement,
    float_sizes,
    mask,
    pairs,
    rounding_shift_right,
    sat_add,
    sat_minimum,
    sat_shl,
    sat_sub,
    set_qc,
    shaped,
    shift_right,
    sizes,
)

LaneFn = Callable[..., Value]
TypeOf = Callable[[Insn], Type]
Second = Callable[[A64, Insn, Type], Value]
Lift = Callable[..., None]


# -- families ---------------------------------------------------------------------------------------------------------
def rm(b: A64, i: Insn, t: Type) -> Value:
    return b.V(i.Rm, t)


def three_same(
    b: A64, i: Insn, *, fn: LaneFn, type_of: TypeOf = arrangement, second: Second = rm, **named: Any
) -> None:
    """Vd = fn(Vn, Vm)."""
    t = type_of(i)
    b.set_V(i.Rd, fn(b, b.V(i.Rn, t), second(b, i, t), **named))


def accumulate(b: A64, i: Insn, *, fn: LaneFn, sub: bool = False, second: Second = rm, **named: Any) -> None:
    """Vd = Vd + fn(Vn, Vm)."""
    t = arrangement(i)
    r = fn(b, b.V(i.Rn, t), second(b, i, t), **named)
    b.set_V(i.Rd, b.V(i.Rd, t) - r if sub else b.V(i.Rd, t) + r)


def fused(b: A64, i: Insn, *, negate: bool, second: Second = rm) -> None:
    """FMLA and FMLS: Vd = Vd + Vn * Vm, rounded once."""
    t = float_arrangement(i)
    x = b.V(i.Rn, t)
    b.set_V(i.Rd, fp.fp_muladd(b, b.V(i.Rd, t), fp.fp_neg(x) if negate else x, second(b, i, t)))


def pairwise(b: A64, i: Insn, *, fn: LaneFn, type_of: TypeOf = arrangement, **named: Any) -> None:
    """Each lane of Vd from two neighbours in Vm:Vn."""
    t = type_of(i)
    b.set_V(i.Rd, fn(b, *pairs(b, b.V(i.Rn, t), b.V(i.Rm, t)), **named))


def bitwise(b: A64, i: Insn, *, fn: Callable[[Value, Value, Value], Value]) -> None:
    """fn(Vd, Vn, Vm) on all bits."""
    t = shaped(i, I64)
    b.set_V(i.Rd, fn(b.V(i.Rd, t), b.V(i.Rn, t), b.V(i.Rm, t)))


# -- lanes ------------------------------------------------------------------------------------------------------------
def ir_op(b: A64, x: Value, y: Value, *, op: str) -> Value:
    return b.op(op, x, y)


def difference(b: A64, x: Value, y: Value, *, signed: bool) -> Value:
    return absolute_difference(x, y, signed)


def halving_add(b: A64, x: Value, y: Value, *, signed: bool, rounding: bool = False) -> Value:
    """(x + y) >> 1 in unbounded precision: what both have, and half of what one has."""
    half = shift_right(x ^ y, 1, signed)
    return (x | y) - half if rounding else (x & y) + half


def halving_sub(b: A64, x: Value, y: Value, *, signed: bool) -> Value:
    """(x - y) >> 1 in unbounded precision: x - y is x ^ y less twice what only y has."""
    return shift_right(x ^ y, 1, signed) - (~x & y)


def compare(b: A64, x: Value, y: Value, *, op: str) -> Value:
    """op: a compare of values, or "test" for CMTST."""
    return mask((x & y).ne(0) if op == "test" else getattr(x, op)(y), x.type)


def shift_register(
    b: A64, x: Value, y: Value, *, signed: bool, rounding: bool = False, saturating: bool = False
) -> Value:
    """Shift left by the signed lowest byte of y, right where it is negative."""
    left, right = y & 0xFF, -y & 0xFF
    negative = (y & 0x80).ne(0)
    down = rounding_shift_right(x, right, signed) if rounding else shift_right(x, right, signed)
    if not saturating:
        return b.select(negative, down, x << left)
    up, over = sat_shl(x, left, signed)
    set_qc(b, over & ~negative)
    return b.select(negative, down, up)


def polynomial_multiply(b: A64, x: Value, y: Value) -> Value:
    """PolynomialMult by the upper 8 bits of y, modulo the lane's width: from the highest bit down, double and add."""
    result = x & mask(y.slt(0), y.type)
    for _ in range(7):
        y = y + y
        result = (result + result) ^ (x & mask(y.slt(0), y.type))
    return result


def doubling_multiply_high(b: A64, x: Value, y: Value, *, rounding: bool = False) -> Value:
    """SatQ((2 * x * y + round) >> esize)."""
    product, n = extend(x, True) * extend(y, True), x.type.bits
    high = (product.lshr(n - 2) + 1).lshr(1) if rounding else product.lshr(n - 1)
    return sat_minimum(b, high.trunc(x.type))


def fp_difference(b: A64, x: Value, y: Value) -> Value:
    return fp.fp_abs(fp.fp_sub(b, x, y))


def fp_compare(b: A64, x: Value, y: Value, *, pred: str, absolute: bool = False) -> Value:
    if absolute:
        x, y = fp.fp_abs(x), fp.fp_abs(y)
    return mask(fp.fp_compare(b, pred, x, y, signals=pred != "eq"), x.type)


# -- rows -------------------------------------------------------------------------------------------------------------
LANES = (0, 1, 2, 3)
SMALL = (0, 1, 2)  # no 64-bit lanes


def _same(
    name: str, u: int, opcode: str, fn: LaneFn, allowed: tuple[int, ...] = SMALL, lift: Lift = three_same, **bound: Any
) -> Row:
    layout = f"0 Q {u} 01110 size 1 Rm {opcode} 1 Rn Rd"
    return row(name, layout, lift, needs="fp", where=sizes(*allowed), fn=fn, **bound)


def _signed_and_unsigned(
    name: str, opcode: str, fn: LaneFn, allowed: tuple[int, ...] = SMALL, **bound: Any
) -> list[Row]:
    """Rows of S... and U...: U says how lanes are read."""
    return [_same(letter + name, u, opcode, fn, allowed, signed=u == 0, **bound) for u, letter in enumerate("SU")]


def _min_max(name: str, opcode: str, **bound: Any) -> list[Row]:
    """name: MAX, MIN, MAXP, MINP."""
    return [
        _same(letter + name, u, opcode, ir_op, SMALL, op=f"{letter}{name[:3]}".lower(), **bound)
        for u, letter in enumerate("SU")
    ]


def _bits(name: str, u: int, size: str, fn: Callable[[Value, Value, Value], Value], capstone: str = "") -> Row:
    layout = f"0 Q {u} 01110 {size} 1 Rm 00011 1 Rn Rd"
    return row(name, layout, bitwise, needs="fp", fn=fn, capstone=capstone)


def _floating(name: str, code: str, fn: LaneFn | None = None, lift: Lift = three_same, **bound: Any) -> Row:
    """code: U, bit 23 and the opcode."""
    u, a, opcode = code.split()
    if fn:
        bound |= {"fn": fn, "type_of": float_arrangement}
    return row(name, f"0 Q {u} 01110 {a} sz 1 Rm {opcode} 1 Rn Rd", lift, needs="fp", where=float_sizes, **bound)


ROWS = [
    *_signed_and_unsigned("HADD", "00000", halving_add),
    *_signed_and_unsigned("QADD", "00001", sat_add, LANES),
    *_signed_and_unsigned("RHADD", "00010", halving_add, rounding=True),
    _bits("AND (vector)", 0, "00", lambda d, n, m: n & m),
    _bits("BIC (vector, register)", 0, "01", lambda d, n, m: n & ~m),
    _bits("ORR (vector, register)", 0, "10", lambda d, n, m: n | m, "orr mov"),
    _bits("ORN (vector)", 0, "11", lambda d, n, m: n | ~m),
    _bits("EOR (vector)", 1, "00", lambda d, n, m: n ^ m),
    _bits("BSL", 1, "01", lambda d, n, m: m ^ ((m ^ n) & d)),
    _bits("BIT", 1, "10", lambda d, n, m: d ^ ((d ^ n) & m)),
    _bits("BIF", 1, "11", lambda d, n, m: d ^ ((d ^ n) & ~m)),
    *_signed_and_unsigned("HSUB", "00100", halving_sub),
    *_signed_and_unsigned("QSUB", "00101", sat_sub, LANES),
    _same("CMGT (register)", 0, "00110", compare, LANES, op="sgt"),
    _same("CMHI (register)", 1, "00110", compare, LANES, op="ugt"),
    _same("CMGE (register)", 0, "00111", compare, LANES, op="sge"),
    _same("CMHS (register)", 1, "00111", compare, LANES, op="uge"),
    *_signed_and_unsigned("SHL", "01000", shift_register, LANES),
    *_signed_and_unsigned("QSHL (register)", "01001", shift_register, LANES, saturating=True),
    *_signed_and_unsigned("RSHL", "01010", shift_register, LANES, rounding=True),
    *_signed_and_unsigned("QRSHL", "01011", shift_register, LANES, rounding=True, saturating=True),
    *_min_max("MAX", "01100"),
    *_min_max("MIN", "01101"),
    *_signed_and_unsigned("ABD", "01110", difference),
    *_signed_and_unsigned("ABA", "01111", difference, lift=accumulate),
    _same("ADD (vector)", 0, "10000", ir_op, LANES, op="add"),
    _same("SUB (vector)", 1, "10000", ir_op, LANES, op="sub"),
    _same("CMTST", 0, "10001", compare, LANES, op="test"),
    _same("CMEQ (register)", 1, "10001", compare, LANES, op="eq"),
    _same("MLA (vector)", 0, "10010", ir_op, op="mul", lift=accumulate),
    _same("MLS (vector)", 1, "10010", ir_op, op="mul", lift=accumulate, sub=True),
    _same("MUL (vector)", 0, "10011", ir_op, op="mul"),
    _same("PMUL", 1, "10011", polynomial_multiply, (0,)),
    *_min_max("MAXP", "10100", lift=pairwise),
    *_min_max("MINP", "10101", lift=pairwise),
    _same("SQDMULH (vector)", 0, "10110", doubling_multiply_high, (1, 2)),
    _same("SQRDMULH (vector)", 1, "10110", doubling_multiply_high, (1, 2), rounding=True),
    _same("ADDP (vector)", 0, "10111", ir_op, LANES, op="add", lift=pairwise),
    _floating("FMAXNM (vector)", "0 0 11000", fp.fp_maxnum),
    _floating("FMINNM (vector)", "0 1 11000", fp.fp_minnum),
    _floating("FMAXNMP (vector)", "1 0 11000", fp.fp_maxnum, pairwise),
    _floating("FMINNMP (vector)", "1 1 11000", fp.fp_minnum, pairwise),
    _floating("FMLA (vector)", "0 0 11001", lift=fused, negate=False),
    _floating("FMLS (vector)", "0 1 11001", lift=fused, negate=True),
    _floating("FADD (vector)", "0 0 11010", fp.fp_add),
    _floating("FSUB (vector)", "0 1 11010", fp.fp_sub),
    _floating("FADDP (vector)", "1 0 11010", fp.fp_add, pairwise),
    _floating("FABD", "1 1 11010", fp_difference),
    _floating("FMULX", "0 0 11011", fp.fp_mulx),
    _floating("FMUL (vector)", "1 0 11011", fp.fp_mul),
    _floating("FCMEQ (register)", "0 0 11100", fp_compare, pred="eq"),
    _floating("FCMGE (register)", "1 0 11100", fp_compare, pred="ge"),
    _floating("FCMGT (register)", "1 1 11100", fp_compare, pred="gt"),
    _floating("FACGE", "1 0 11101", fp_compare, pred="ge", absolute=True),
    _floating("FACGT", "1 1 11101", fp_compare, pred="gt", absolute=True),
    _floating("FMAX (vector)", "0 0 11110", fp.fp_max),
    _floating("FMIN (vector)", "0 1 11110", fp.fp_min),
    _floating("FMAXP (vector)", "1 0 11110", fp.fp_max, pairwise),
    _floating("FMINP (vector)", "1 1 11110", fp.fp_min, pairwise),
    _floating("FRECPS", "0 0 11111", fp.fp_recip_step),
    _floating("FRSQRTS", "0 1 11111", fp.fp_rsqrt_step),
    _floating("FDIV (vector)", "1 0 11111", fp.fp_div),
]  # fmt: skip
