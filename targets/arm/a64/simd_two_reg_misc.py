"""Advanced SIMD two-register miscellaneous (C4.1.95): one operand, integer and floating point.

The semantics serve the scalar encodings (simd_scalar.py) too, where the operand is one lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jit.ir import Value
from jit.types import F32, F64, Type, int_type, vec, with_lanes
from targets.arm import fp
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.a64.simd_three_same import LANES, SMALL, LaneFn, Lift, TypeOf
from targets.arm.simd import (
    arrangement,
    extend,
    float_arrangement,
    float_sizes,
    limits,
    mask,
    narrower,
    part,
    sat_minimum,
    sat_narrow,
    set_part,
    set_qc,
    shift_right,
    sizes,
    wide_arrangement,
)


# -- families ---------------------------------------------------------------------------------------------------------
def two_reg(b: A64, i: Insn, *, fn: LaneFn, type_of: TypeOf = arrangement, **named: Any) -> None:
    """Vd = fn(Vn)."""
    b.set_V(i.Rd, fn(b, b.V(i.Rn, type_of(i)), **named))


def two_reg_accumulate(b: A64, i: Insn, *, fn: LaneFn, **named: Any) -> None:
    """Vd = fn(Vd, Vn)."""
    t = arrangement(i)
    b.set_V(i.Rd, fn(b, b.V(i.Rd, t), b.V(i.Rn, t), **named))


def narrow(b: A64, i: Insn, *, fn: LaneFn, **named: Any) -> None:
    """Vpart[d] = fn(Vn), in lanes half as wide."""
    set_part(b, i, i.Rd, fn(b, b.V(i.Rn, wide_arrangement(i)), **named))


def _bytes(i: Insn) -> Type:
    return arrangement(i, 8)


# -- integer lanes ----------------------------------------------------------------------------------------------------
def reverse(b: A64, x: Value, *, container: int) -> Value:
    """The lanes of each `container` bits in reverse order."""
    last = container // x.type.bits - 1
    return b.shuffle(x, x, [k ^ last for k in range(x.type.lanes)])


def count_leading_sign_bits(b: A64, x: Value) -> Value:
    return (x ^ x.ashr(1)).clz() - 1


def ir_unary(b: A64, x: Value, *, op: str) -> Value:
    return b.op(op, x)


def negate(b: A64, x: Value) -> Value:
    return -x


def absolute(b: A64, x: Value) -> Value:
    return x.smax(-x)


def sat_negate(b: A64, x: Value) -> Value:
    return sat_minimum(b, -x)


def sat_absolute(b: A64, x: Value) -> Value:
    return sat_minimum(b, absolute(b, x))


def compare_zero(b: A64, x: Value, *, op: str) -> Value:
    return mask(getattr(x, op)(0), x.type)


def pairwise_long(b: A64, x: Value, *, signed: bool) -> Value:
    """The sum of each two neighbours, in lanes twice as wide."""
    n = x.type.bits
    both = x.bitcast(vec(x.type.lanes // 2, int_type(2 * n)))
    return shift_right(both << n, n, signed) + shift_right(both, n, signed)


def pairwise_long_accumulate(b: A64, i: Insn, *, signed: bool) -> None:
    pairs = pairwise_long(b, b.V(i.Rn, arrangement(i)), signed=signed)
    b.set_V(i.Rd, b.V(i.Rd, pairs.type) + pairs)


def sat_accumulate(b: A64, d: Value, n: Value, *, signed: bool) -> Value:
    """SatQ(d + n), where n is read with the other signedness than d and the result.

    With the top bits of d and of the sum flipped, both operands are of n's signedness.
    """
    top = limits(d.type, True)[0]
    result = b.op("uaddsat" if signed else "saddsat", d ^ top, n) ^ top
    set_qc(b, result.ne(d + n))
    return result


def truncate(b: A64, x: Value) -> Value:
    return x.trunc(narrower(x.type))


def shift_long(b: A64, i: Insn) -> None:
    """SHLL: by as many bits as the lanes have."""
    b.set_V(i.Rd, extend(part(b, i, i.Rn), False) << (8 << i.size))


def estimate(b: A64, x: Value, *, of: LaneFn, least: int) -> Value:
    """UnsignedRecipEstimate and the like: of the upper 9 bits, from `least` on; all ones for smaller operands."""
    top = x.lshr(23)
    return of(b, top) << 23 | mask(top.ult(least), x.type)


# -- floating-point lanes ---------------------------------------------------------------------------------------------
def fp_sign(b: A64, x: Value, *, op: Callable[[Value], Value]) -> Value:
    return op(x)


def fp_compare_zero(b: A64, x: Value, *, pred: str) -> Value:
    """pred: eq, ge, gt, le or lt."""
    zero = b.const(0, x.type)
    x, y, pred = (zero, x, {"le": "ge", "lt": "gt"}[pred]) if pred in ("le", "lt") else (x, zero, pred)
    return mask(fp.fp_compare(b, pred, x, y, signals=pred != "eq"), x.type)


def fp_to_integer(b: A64, x: Value, *, mode: str, signed: bool) -> Value:
    return fp.fp_to_int(b, x, int_type(x.type.bits), mode, signed)


def integer_to_fp(b: A64, i: Insn, *, signed: bool) -> None:
    t = float_arrangement(i)
    x = b.V(i.Rn, with_lanes(t, int_type(t.bits)))
    b.set_V(i.Rd, fp.int_to_fp(b, x, t.scalar, signed))


def convert_long(b: A64, i: Insn) -> None:
    """FCVTL: half to single, single to double precision."""
    if i.sz:
        x = part(b, i, i.Rn, 32)
        b.set_V(i.Rd, fp.fp_widen(b, x.bitcast(with_lanes(x.type, F32))))
    else:
        b.set_V(i.Rd, fp.fp_from_half(b, part(b, i, i.Rn, 16), F32))


def convert_narrow(b: A64, i: Insn) -> None:
    """FCVTN."""
    set_part(b, i, i.Rd, fp.fp_narrow(b, _doubles(b, i)) if i.sz else fp.fp_to_half(b, b.V(i.Rn, vec(4, F32))))


def convert_narrow_odd(b: A64, i: Insn) -> None:
    """FCVTXN."""
    set_part(b, i, i.Rd, fp.fp_narrow_odd(b, _doubles(b, i)))


def _doubles(b: A64, i: Insn) -> Value:
    return b.V(i.Rn, vec(2, F64) if i.has("Q") else F64)


def _words(i: Insn) -> Type:
    return arrangement(i, 32)


# -- rows -------------------------------------------------------------------------------------------------------------
def _misc(
    name: str, u: int, opcode: str, fn: LaneFn, allowed: tuple[int, ...] = LANES, lift: Lift = two_reg, **bound: Any
) -> Row:
    layout = f"0 Q {u} 01110 size 10000 {opcode} 10 Rn Rd"
    return row(name, layout, lift, needs="fp", where=sizes(*allowed), fn=fn, **bound)


def _family(name: str, u: int, opcode: str, lift: Lift, capstone: str = "", **bound: Any) -> Row:
    """Integer rows without a function of lanes: not on 64-bit ones."""
    layout = f"0 Q {u} 01110 size 10000 {opcode} 10 Rn Rd"
    return row(name, layout, lift, needs="fp", where=sizes(*SMALL), capstone=capstone, **bound)


def _narrow(name: str, u: int, opcode: str, fn: LaneFn, **bound: Any) -> Row:
    return _family(f"{name}, {name}2", u, opcode, narrow, f"{name} {name}2".lower(), fn=fn, **bound)


def _fixed(name: str, u: int, size: str, opcode: str, **bound: Any) -> Row:
    """Rows of one size."""
    return row(name, f"0 Q {u} 01110 {size} 10000 {opcode} 10 Rn Rd", two_reg, needs="fp", **bound)


def _floating(
    name: str,
    code: str,
    fn: LaneFn | None = None,
    lift: Lift = two_reg,
    where: Callable[[Mapping[str, int]], bool] | None = float_sizes,
    capstone: str = "",
    **bound: Any,
) -> Row:
    """code: U, bit 23 and the opcode."""
    u, a, opcode = code.split()
    if fn:
        bound |= {"fn": fn, "type_of": float_arrangement}
    layout = f"0 Q {u} 01110 {a} sz 10000 {opcode} 10 Rn Rd"
    return row(name, layout, lift, needs="fp", where=where, capstone=capstone, **bound)


def _round(letter: str, code: str, mode: str) -> Row:
    return _floating(f"FRINT{letter} (vector)", code, fp.fp_round_int, mode=mode)


def _to_integer(letter: str, code: str, mode: str) -> Iterator[Row]:
    """Signed and unsigned.  code: bit 23 and the opcode."""
    for u, kind in enumerate("SU"):
        variant = "(vector, integer)" if letter == "Z" else "(vector)"
        yield _floating(f"FCVT{letter}{kind} {variant}", f"{u} {code}", fp_to_integer, mode=mode, signed=u == 0)


ROWS = [
    _misc("REV64", 0, "00000", reverse, SMALL, container=64),
    _misc("REV16 (vector)", 0, "00001", reverse, (0,), container=16),
    _misc("REV32 (vector)", 1, "00000", reverse, (0, 1), container=32),
    _misc("SADDLP", 0, "00010", pairwise_long, SMALL, signed=True),
    _misc("UADDLP", 1, "00010", pairwise_long, SMALL, signed=False),
    _misc("SUQADD", 0, "00011", sat_accumulate, lift=two_reg_accumulate, signed=True),
    _misc("USQADD", 1, "00011", sat_accumulate, lift=two_reg_accumulate, signed=False),
    _misc("CLS (vector)", 0, "00100", count_leading_sign_bits, SMALL),
    _misc("CLZ (vector)", 1, "00100", ir_unary, SMALL, op="clz"),
    _misc("CNT", 0, "00101", ir_unary, (0,), op="popcnt"),
    _fixed("NOT", 1, "00", "00101", fn=lambda b, x: ~x, type_of=_bytes, capstone="mvn"),
    _fixed("RBIT (vector)", 1, "01", "00101", fn=ir_unary, type_of=_bytes, op="bitrev"),
    _family("SADALP", 0, "00110", pairwise_long_accumulate, signed=True),
    _family("UADALP", 1, "00110", pairwise_long_accumulate, signed=False),
    _misc("SQABS", 0, "00111", sat_absolute),
    _misc("SQNEG", 1, "00111", sat_negate),
    _misc("CMGT (zero)", 0, "01000", compare_zero, op="sgt"),
    _misc("CMGE (zero)", 1, "01000", compare_zero, op="sge"),
    _misc("CMEQ (zero)", 0, "01001", compare_zero, op="eq"),
    _misc("CMLE (zero)", 1, "01001", compare_zero, op="sle"),
    _misc("CMLT (zero)", 0, "01010", compare_zero, op="slt"),
    _misc("ABS", 0, "01011", absolute),
    _misc("NEG (vector)", 1, "01011", negate),
    _narrow("XTN", 0, "10010", truncate),
    _narrow("SQXTUN", 1, "10010", sat_narrow, signed=True, result_signed=False),
    _narrow("SQXTN", 0, "10100", sat_narrow, signed=True, result_signed=True),
    _narrow("UQXTN", 1, "10100", sat_narrow, signed=False, result_signed=False),
    _family("SHLL, SHLL2", 1, "10011", shift_long, "shll shll2"),
    _floating("FCMGT (zero)", "0 1 01100", fp_compare_zero, pred="gt"),
    _floating("FCMGE (zero)", "1 1 01100", fp_compare_zero, pred="ge"),
    _floating("FCMEQ (zero)", "0 1 01101", fp_compare_zero, pred="eq"),
    _floating("FCMLE (zero)", "1 1 01101", fp_compare_zero, pred="le"),
    _floating("FCMLT (zero)", "0 1 01110", fp_compare_zero, pred="lt"),
    _floating("FABS (vector)", "0 1 01111", fp_sign, op=fp.fp_abs),
    _floating("FNEG (vector)", "1 1 01111", fp_sign, op=fp.fp_neg),
    _floating("FSQRT (vector)", "1 1 11111", fp.fp_sqrt),
    _round("N", "0 0 11000", "even"),
    _round("A", "1 0 11000", "away"),
    _round("P", "0 1 11000", "up"),
    _round("M", "0 0 11001", "down"),
    _round("X", "1 0 11001", "exact"),
    _round("Z", "0 1 11001", "zero"),
    _round("I", "1 1 11001", "current"),
    *_to_integer("N", "0 11010", "even"),
    *_to_integer("M", "0 11011", "down"),
    *_to_integer("A", "0 11100", "away"),
    *_to_integer("P", "1 11010", "up"),
    *_to_integer("Z", "1 11011", "zero"),
    _floating("SCVTF (vector, integer)", "0 0 11101", lift=integer_to_fp, signed=True),
    _floating("UCVTF (vector, integer)", "1 0 11101", lift=integer_to_fp, signed=False),
    _floating("FCVTL, FCVTL2", "0 0 10111", lift=convert_long, where=None, capstone="fcvtl fcvtl2"),
    _floating("FCVTN, FCVTN2", "0 0 10110", lift=convert_narrow, where=None, capstone="fcvtn fcvtn2"),
    row(
        "FCVTXN, FCVTXN2", "0 Q 1 01110 01 10000 10110 10 Rn Rd", convert_narrow_odd, needs="fp",
        capstone="fcvtxn fcvtxn2",
    ),
    _fixed("URECPE", 0, "10", "11100", fn=estimate, of=fp.recip_estimate_int, least=256, type_of=_words),
    _fixed("URSQRTE", 1, "10", "11100", fn=estimate, of=fp.rsqrt_estimate_int, least=128, type_of=_words),
    _floating("FRECPE", "0 1 11101", fp.fp_recip_estimate),
    _floating("FRSQRTE", "1 1 11101", fp.fp_rsqrt_estimate),
]  # fmt: skip
