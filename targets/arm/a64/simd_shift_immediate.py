"""Advanced SIMD shift by immediate (C4.1.95), and fixed-point conversions.

The highest bit set of immh is the size of the lanes (for those that narrow or widen, of the narrower ones); immh:immb
holds the amount: less the size for a shift left, twice the size less that for one right.  A shift right is by 1 to
all bits of a lane, one left by 0 to all but one.

The semantics serve the scalar encodings (simd_scalar.py) too, where the operand is one lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jit.ir import Value
from jit.types import F32, F64, Type, int_type, vec
from targets.arm import fp
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.a64.simd_three_same import Lift
from targets.arm.simd import (
    arrangement,
    broadcast,
    extend,
    narrower,
    part,
    sat_narrow,
    sat_shl,
    set_part,
    set_qc,
    shaped,
    shift_right,
)


# -- size and amount --------------------------------------------------------------------------------------------------
def element_size(immh: int) -> int:
    """HighestSetBit(immh): lanes of 8 << size bits."""
    return immh.bit_length() - 1


def right_amount(f: Any) -> int:
    return (16 << element_size(f.immh)) - (f.immh << 3 | f.immb)


def left_amount(f: Any) -> int:
    return (f.immh << 3 | f.immb) - (8 << element_size(f.immh))


def lane_bits(i: Insn) -> int:
    return 8 << i.immh  # immh is the size here, by the rows' shape_of


def wide_lanes(i: Insn) -> Type:
    """A whole register of lanes twice as wide."""
    bits = 2 * lane_bits(i)
    return vec(128 // bits, int_type(bits)) if i.has("Q") else int_type(bits)


def _number(b: A64, i: Insn, name: str, fn: Callable[[Any], int], lo: int, hi: int, t: Type) -> Value:
    """The number fn(fields) in every lane."""
    return broadcast(b, i.hole(name, fn, lo, hi, t.scalar), t)


def left(b: A64, i: Insn, t: Type) -> Value:
    return _number(b, i, "left", left_amount, 0, lane_bits(i) - 1, t)


def right(b: A64, i: Insn, x: Value, signed: bool, rounding: bool) -> Value:
    """x >> amount, or (x + 2^(amount - 1)) >> amount, in unbounded precision."""
    n = lane_bits(i)
    result = shift_right(x, _number(b, i, "right", right_amount, 1, n, x.type), signed)
    if rounding:
        half = _number(b, i, "right-1", lambda f: right_amount(f) - 1, 0, n - 1, x.type)
        result = result + (shift_right(x, half, signed) & 1)
    return result


# -- families ---------------------------------------------------------------------------------------------------------
def shift_right_immediate(b: A64, i: Insn, *, signed: bool, rounding: bool, accumulate: bool) -> None:
    t = arrangement(i, lane_bits(i))
    result = right(b, i, b.V(i.Rn, t), signed, rounding)
    b.set_V(i.Rd, b.V(i.Rd, t) + result if accumulate else result)


def shift_left(b: A64, i: Insn) -> None:
    t = arrangement(i, lane_bits(i))
    b.set_V(i.Rd, b.V(i.Rn, t) << left(b, i, t))


def shift_insert(b: A64, i: Insn, *, is_left: bool) -> None:
    """SLI and SRI: the bits that the shift makes zero stay those of Vd."""
    t = arrangement(i, lane_bits(i))
    ones = t.mask
    if is_left:
        shifted = b.V(i.Rn, t) << left(b, i, t)
        kept = _number(b, i, "kept", lambda f: ones >> t.bits - left_amount(f), 0, ones, t)
    else:
        shifted = right(b, i, b.V(i.Rn, t), signed=False, rounding=False)
        kept = _number(b, i, "kept", lambda f: ones << t.bits - right_amount(f) & ones, 0, ones, t)
    b.set_V(i.Rd, b.V(i.Rd, t) & kept | shifted)


def sat_shift_left(b: A64, i: Insn, *, signed: bool, result_signed: bool) -> None:
    t = arrangement(i, lane_bits(i))
    result, over = sat_shl(b.V(i.Rn, t), left(b, i, t), signed, result_signed)
    set_qc(b, over)
    b.set_V(i.Rd, result)


def shift_right_narrow(b: A64, i: Insn, *, rounding: bool) -> None:
    t = wide_lanes(i)
    x = b.V(i.Rn, t)
    if rounding:  # a carry out of the sum would be above what is kept
        x = x + _number(b, i, "half", lambda f: 1 << right_amount(f) - 1, 1, t.mask >> t.bits // 2, t)
    set_part(b, i, i.Rd, right(b, i, x, signed=False, rounding=False).trunc(narrower(t)))


def sat_shift_right_narrow(b: A64, i: Insn, *, rounding: bool, signed: bool, result_signed: bool) -> None:
    x = right(b, i, b.V(i.Rn, wide_lanes(i)), signed, rounding)
    set_part(b, i, i.Rd, sat_narrow(b, x, signed, result_signed))


def shift_left_long(b: A64, i: Insn, *, signed: bool) -> None:
    x = extend(part(b, i, i.Rn, lane_bits(i)), signed)
    b.set_V(i.Rd, x << left(b, i, x.type))


def _float(i: Insn) -> Type:
    return F64 if lane_bits(i) == 64 else F32


def fixed_to_fp(b: A64, i: Insn, *, signed: bool) -> None:
    t = _float(i)
    scale = fp.scale_hole(i, "scale", lambda f: -right_amount(f), t)
    b.set_V(i.Rd, fp.int_to_fp(b, b.V(i.Rn, arrangement(i, t.bits)), t, signed, scale))


def fp_to_fixed(b: A64, i: Insn, *, signed: bool) -> None:
    t = _float(i)
    scale = fp.scale_hole(i, "scale", right_amount, t)
    b.set_V(i.Rd, fp.fp_to_int(b, b.V(i.Rn, shaped(i, t)), int_type(t.bits), "zero", signed, scale))


# -- rows -------------------------------------------------------------------------------------------------------------
def lanes_of(*allowed: int) -> Callable[[Mapping[str, int]], bool]:
    """`where`: these sizes; 64-bit lanes need a whole register.  Without one, immh = 0, it is a modified immediate."""
    return lambda f: element_size(f["immh"]) in allowed and (f["immh"] < 8 or f.get("Q", 1) == 1)


def _shift(name: str, u: int, opcode: str, lift: Lift, *allowed: int, capstone: str = "", **bound: Any) -> Row:
    layout = f"0 Q {u} 011110 immh immb {opcode} 1 Rn Rd"
    return row(
        name, layout, lift, needs="fp", shape_of={"immh": element_size}, where=lanes_of(*(allowed or (0, 1, 2, 3))),
        capstone=capstone, **bound,
    )  # fmt: skip


def _right(name: str, opcode: str, rounding: bool, accumulate: bool) -> list[Row]:
    return [
        _shift(letter + name, u, opcode, shift_right_immediate, signed=u == 0, rounding=rounding, accumulate=accumulate)
        for u, letter in enumerate("SU")
    ]


def _narrow(name: str, u: int, opcode: str, lift: Lift, rounding: bool, **bound: Any) -> Row:
    mnemonics = f"{name} {name}2".lower()
    return _shift(f"{name}, {name}2", u, opcode, lift, 0, 1, 2, capstone=mnemonics, rounding=rounding, **bound)


def _sat_narrow(name: str, u: int, opcode: str, signed: bool, result_signed: bool) -> list[Row]:
    """Chopped, and rounded: their opcodes end in 0 and 1."""
    return [
        _narrow(
            f"{name[:2]}{'R' * rounding}{name[2:]}", u, f"{opcode}{rounding}", sat_shift_right_narrow, bool(rounding),
            signed=signed, result_signed=result_signed,
        )
        for rounding in (0, 1)
    ]  # fmt: skip


def _long(name: str, u: int) -> Row:
    mnemonics = f"{name} {name}2".lower()
    return _shift(f"{name}, {name}2", u, "10100", shift_left_long, 0, 1, 2, capstone=mnemonics, signed=u == 0)


def _convert(name: str, opcode: str, lift: Lift) -> list[Row]:
    return [
        _shift(f"{name.format('SU'[u])} (vector, fixed-point)", u, opcode, lift, 2, 3, signed=u == 0) for u in (0, 1)
    ]


ROWS = [
    *_right("SHR", "00000", rounding=False, accumulate=False),
    *_right("SRA", "00010", rounding=False, accumulate=True),
    *_right("RSHR", "00100", rounding=True, accumulate=False),
    *_right("RSRA", "00110", rounding=True, accumulate=True),
    _shift("SRI", 1, "01000", shift_insert, is_left=False),
    _shift("SHL", 0, "01010", shift_left),
    _shift("SLI", 1, "01010", shift_insert, is_left=True),
    _shift("SQSHLU", 1, "01100", sat_shift_left, signed=True, result_signed=False),
    _shift("SQSHL (immediate)", 0, "01110", sat_shift_left, signed=True, result_signed=True),
    _shift("UQSHL (immediate)", 1, "01110", sat_shift_left, signed=False, result_signed=False),
    _narrow("SHRN", 0, "10000", shift_right_narrow, False),
    _narrow("RSHRN", 0, "10001", shift_right_narrow, True),
    *_sat_narrow("SQSHRUN", 1, "1000", signed=True, result_signed=False),
    *_sat_narrow("SQSHRN", 0, "1001", signed=True, result_signed=True),
    *_sat_narrow("UQSHRN", 1, "1001", signed=False, result_signed=False),
    _long("SSHLL", 0),
    _long("USHLL", 1),
    *_convert("{}CVTF", "11100", fixed_to_fp),
    *_convert("FCVTZ{}", "11111", fp_to_fixed),
]
