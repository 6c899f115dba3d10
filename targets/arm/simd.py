"""Vectors for semantics: operand types by size and Q, halves, widening, saturation, shifts.

A scalar encoding is the same computation with one lane: its rows have no Q field, and what is a vector type elsewhere
is then a scalar type, on which all functions here work too.  x, y: integer values, vectors or scalars; n: an amount.

    arrangement(i, bits=None)      the type of an operand by size (or lanes of `bits`) and Q
    wide_arrangement(i)            a whole register of lanes twice as wide
    float_arrangement(i)           an operand's type by sz and Q: v2f32, v4f32, v2f64, f32, f64
    wider(t)  narrower(t)          as many lanes, of double or half the bits
    extend(x, signed)              x in lanes of double the bits
    part(b, i, r, bits=None)       Vpart: the 64 bits of a long instruction's operand that Q names (the "2" forms)
    set_part(b, i, r, value)       the result of a narrowing instruction, likewise
    broadcast(b, x, t)             x in every lane of type t
    element(b, i, t)               Vm[index] of the instructions by element, in every lane
    mask(c, t)                     all ones where c holds (c: i1, or a vector of it)
    pairs(b, x, y)                 the even and the odd lanes of y:x
    shift_right(x, n, signed)      and rounding_shift_right: n may be the width or more
    absolute_difference(x, y, signed)
    sat_add sat_sub sat_narrow(b, ...)     saturated results, with FPSR.QC
    sat_shl(x, n, ...)             the saturated result, and where it saturates
    sat_minimum(b, r)              the largest number for results that are the least one
    set_qc(b, c)                   FPSR.QC where c holds in a lane
    sizes(...)  float_sizes        `where` of rows: the sizes that there are
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jit.ir import Value
from jit.types import F32, F64, I1, I64, Type, int_type, vec, with_lanes
from targets.arm.a64.lift import A64, Insn, Reg
from targets.arm.env import ENV


# -- types and operands -----------------------------------------------------------------------------------------------
def shaped(i: Insn, elem: Type) -> Type:
    """A whole operand of `elem` lanes: by Q; one lane where there is no Q."""
    if not i.has("Q"):
        return elem
    return vec((128 if i.Q else 64) // elem.bits, elem)


def arrangement(i: Insn, bits: int | None = None) -> Type:
    """An operand's integer type: lanes of 8 << size bits unless said."""
    return shaped(i, int_type(bits or 8 << i.size))


def wide_arrangement(i: Insn) -> Type:
    """The whole register of lanes twice as wide as size says: what is narrowed, or the result of a long operation."""
    elem = int_type(16 << i.size)
    return vec(128 // elem.bits, elem) if i.has("Q") else elem


def float_arrangement(i: Insn) -> Type:
    return shaped(i, F64 if i.sz else F32)


def wider(t: Type) -> Type:
    return with_lanes(t, int_type(t.bits * 2))


def narrower(t: Type) -> Type:
    return with_lanes(t, int_type(t.bits // 2))


def extend(x: Value, signed: bool) -> Value:
    return x.sext(wider(x.type)) if signed else x.zext(wider(x.type))


def part(b: A64, i: Insn, r: Reg, bits: int | None = None) -> Value:
    """Vpart[n, Q]: the lower or upper 64 bits; in scalar instructions the lowest element."""
    elem = int_type(bits or 8 << i.size)
    if not i.has("Q"):
        return b.V(r, elem)
    t = vec(64 // elem.bits, elem)
    return b.Velem(r, f"{r.field}.upper", lambda f: 1, t) if i.Q else b.V(r, t)


def set_part(b: A64, i: Insn, r: Reg, value: Value) -> None:
    """Vpart[d, Q] = value: the lower half clears the upper one, the upper half leaves the lower one."""
    if i.has("Q") and i.Q:
        b.set_Velem(r, f"{r.field}.upper", lambda f: 1, value)
    else:
        b.set_V(r, value)


def broadcast(b: A64, x: Value, t: Type) -> Value:
    return b.splat(x, t.lanes) if t.lanes else x


def element(b: A64, i: Insn, t: Type) -> Value:
    """The element of Vm that H, L and M name, in every lane of t.  Rm has 4 bits: M is the fifth, or of the index."""

    def index(f: Any) -> int:
        if t.bits == 16:
            return f.H << 2 | f.L << 1 | f.M
        return (f.H << 1 | f.L) >> (t.bits == 64) | f.M * (16 * 128 // t.bits)

    return broadcast(b, b.Velem(i.Rm, f"element{t.bits}", index, t.scalar), t)


def mask(c: Value, t: Type) -> Value:
    return c.sext(with_lanes(t, int_type(t.bits)))


def pairs(b: A64, x: Value, y: Value) -> tuple[Value, Value]:
    """Even and odd lanes of x, then of y."""
    lanes = x.type.lanes
    return b.shuffle(x, y, range(0, 2 * lanes, 2)), b.shuffle(x, y, range(1, 2 * lanes, 2))


def sizes(*allowed: int) -> Callable[[Mapping[str, int]], bool]:
    """`where`: these values of size; 64-bit lanes need a whole register."""
    return lambda f: f["size"] in allowed and (f["size"] < 3 or f.get("Q", 1) == 1)


def float_sizes(f: Mapping[str, int]) -> bool:
    """`where`: doubles need a whole register."""
    return f["sz"] == 0 or f.get("Q", 1) == 1


# -- arithmetic -------------------------------------------------------------------------------------------------------
def absolute_difference(x: Value, y: Value, signed: bool) -> Value:
    """Abs(x - y) of numbers of any sign: as an unsigned number it always fits."""
    return x.smax(y) - x.smin(y) if signed else x.umax(y) - x.umin(y)


def shift_right(x: Value, n: Value | int, signed: bool) -> Value:
    return x.ashr(n) if signed else x.lshr(n)


def rounding_shift_right(x: Value, n: Value | int, signed: bool) -> Value:
    """(x + 2^(n - 1)) >> n in unbounded precision; n at least 1, amounts above the width allowed."""
    return shift_right(x, n, signed) + (shift_right(x, n - 1, signed) & 1)


# -- saturation -------------------------------------------------------------------------------------------------------
def set_qc(b: A64, c: Value) -> None:
    """FPSR.QC = '1' where c holds in any lane.  No branch: code that saturates does so now and then."""
    found = b.op("any", c, type=I1) if c.type.lanes else c
    b.stenv(ENV.qc, b.ldenv(ENV.qc, I64) | found.zext(I64))


def limits(t: Type, signed: bool) -> tuple[int, int]:
    """The least and the largest number of a lane, as bits."""
    return (1 << (t.bits - 1), (1 << (t.bits - 1)) - 1) if signed else (0, t.mask)


def sat_add(b: A64, x: Value, y: Value, signed: bool) -> Value:
    result = b.op("saddsat" if signed else "uaddsat", x, y)
    set_qc(b, result.ne(x + y))
    return result


def sat_sub(b: A64, x: Value, y: Value, signed: bool) -> Value:
    result = b.op("ssubsat" if signed else "usubsat", x, y)
    set_qc(b, result.ne(x - y))
    return result


def sat_narrow(b: A64, x: Value, signed: bool, result_signed: bool) -> Value:
    """SatQ of lanes to half their bits; `signed` and `result_signed` say how x and the result are read."""
    t = narrower(x.type)
    lo, hi = limits(t, result_signed)
    clamped = x.smin(hi).smax(lo - (1 << t.bits) if lo else 0) if signed else x.umin(hi)
    set_qc(b, clamped.ne(x))
    return clamped.trunc(t)


def sat_shl(x: Value, n: Value | int, signed: bool, result_signed: bool | None = None) -> tuple[Value, Value]:
    """SatQ(x << n), and where it saturates.  `result_signed` differs from `signed` for SQSHLU."""
    to_signed = signed if result_signed is None else result_signed
    shifted = x << n
    over = shift_right(shifted, n, to_signed).ne(x)
    if signed and to_signed:
        limit = x.ashr(x.type.bits - 1) ^ limits(x.type, True)[1]
    elif signed:
        over, limit = over | x.slt(0), ~x.ashr(x.type.bits - 1)
    else:
        limit = x.builder.const(limits(x.type, to_signed)[1], x.type)
    return x.builder.select(over, limit, shifted), over


def sat_minimum(b: A64, r: Value) -> Value:
    """SatQ of doubled signed products modulo 2^n: only the square of the minimum overflows, and becomes the minimum."""
    over = r.eq(limits(r.type, True)[0])
    set_qc(b, over)
    return r ^ mask(over, r.type)
