"""Floating point for semantics: the manual's FP functions on IR values, scalars and vectors alike.

What there is (b: builder of the instruction; x, y: values of type f32, f64, v2f32, v4f32 or v2f64):

    fp_add fp_sub fp_mul fp_div fp_max fp_min fp_maxnum fp_minnum fp_mulx (b, x, y)
    fp_sqrt(b, x)  fp_abs(x)  fp_neg(x)  fp_muladd(b, addend, x, y): addend + x * y; negate operands with fp_neg
    fp_recip_step(b, x, y)  fp_rsqrt_step(b, x, y)  fp_recip_estimate(b, x)  fp_rsqrt_estimate(b, x)  fp_recpx(b, x)
    fp_compare(b, pred, x, y, signals=False)   "eq", "ge", "gt" as i1 or a vector of i1 (use .sext for a mask).  The
                                   manual's FPCompareGE and GT signal all NaNs (signals=True), FPCompareEQ does not
    fp_compare_flags(b, x, y, signals)         FPCompare: (n, z, c, v); scalars
    fp_round_int(b, x, mode)       FPRoundInt; mode: even up down zero away, current (FRINTI), exact (FRINTX)
    fp_to_int(b, x, t, mode, signed, scale=None)    FPToFixed; t: integer lane type; mode: even up down zero away;
                                   scale: 2^fbits of x's lane type (with mode zero)
    int_to_fp(b, x, t, signed, scale=None)     FixedToFP; t: float lane type; scale: 2^-fbits of that type
    scale_hole(i, name, power, t)  the number 2^power(fields) as a hole, for the two above
    fp_widen(b, x)                 f32 to f64 lanes (FCVT, FCVTL);  fp_narrow(b, x) f64 to f32 lanes (FCVT, FCVTN)
    fp_narrow_odd(b, x)            f64 to f32 lanes, rounding to odd (FCVTXN)
    fp_from_half(b, h, t)          i16 lanes that hold half precision to f32 or f64;  fp_to_half(b, x) the way back
    recip_estimate_int(b, a), rsqrt_estimate_int(b, a)    RecipEstimate, RecipSqrtEstimate of i32 (for URECPE, URSQRTE)

All flags are set and FPCR is obeyed in full.  Lane-wise means that a vector raises what its lanes raise together: for
64-bit vectors use v2f32 and not v4f32 with unknown upper lanes.

How: the host's control register holds the guest's rounding mode and its sticky flags are the guest's.  One host
instruction is exact but for two results, which are looked for afterwards and go to a runtime function
(targets/arm/fp_runtime.py): a NaN (the architectures choose differently), and exactly the smallest normal number where
it may have been rounded up to it (Arm finds underflow before rounding).  Sums, quotients and square roots are never
that: a sum so small is exact, and a quotient of p-bit numbers is never that close below a power of two.
With FPCR.AHP, DN or FZ set, code has its own stencils (`Mode.fpx`): those also look for denormal operands and results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jit.ir import Value
from jit.types import F32, F64, I1, I16, I32, I64, Type, int_type, vec, with_lanes
from targets.arm.a64.lift import A64, Insn
from targets.arm.fp_bits import (
    AHP,
    DN,
    IOC,
    any_lane,
    default_nan,
    doubled,
    exponent_bits,
    fcmp,
    format_of,
    fp_abs,
    fp_neg,
    fpcr_bit,
    is_denormal,
    is_nan,
    least_normal,
    low_half,
    magnitude,
    power_of_two,
    to_bits,
)
from targets.arm.fp_runtime import by_lane, flags_now, functions, reciprocal_step, root_step, set_flags

V2F32 = vec(2, F32)
TINY_OPS = ("fmul", "fma")  # a result rounded up to the smallest normal number is possible
AGAIN = ("fadd", "fsub", "fsqrt")  # what is denormal of these is exact


def _whole(fn: Callable[..., Value]) -> Callable[..., Value]:
    """Half vectors are computed as whole ones that hold the lanes twice."""

    def wrapped(b: A64, *args: Any, **named: Any) -> Value:
        if not any(isinstance(a, Value) and a.type.lanes and a.type.size == 64 for a in args):
            return fn(b, *args, **named)
        wide = [doubled(a) if isinstance(a, Value) and a.type.lanes else a for a in args]
        return low_half(fn(b, *wide, **named))

    wrapped.__doc__ = fn.__doc__
    return wrapped


# -- one host instruction and what it gets wrong ----------------------------------------------------------------------
def _host(b: A64, op: str, *xs: Value) -> Value:
    """An arithmetic op with Arm's NaNs and flags."""
    if b.i.fpx:
        return _guarded(b, f"fpx_{op}", xs, lambda: b.op(op, *xs), tiny=op in (*TINY_OPS, "fdiv"), again=op in AGAIN)
    kind = f"fp_{op}" if op in TINY_OPS else "fp_nan2"

    def probe() -> tuple[Value, Callable[[], Value]]:
        r = b.op(op, *xs)
        if op in TINY_OPS:  # one compare finds both: unordered, or equal to the smallest normal number
            bad = fcmp("ueq", fp_abs(r), b.const(least_normal(format_of(r.type)), r.type))
        else:
            bad = fcmp("uno", r, r)
        return ~any_lane(bad), lambda: r

    def slow() -> Value:  # starts over with the same operands: the same flags once more
        r = b.op(op, *xs)
        args = (*xs, r) if op in TINY_OPS else (xs[0], xs[-1], r)
        return b.call(f"{kind}_{r.type}", *args, type=r.type)

    return b.either(probe, slow)


def _guarded(
    b: A64, name: str, xs: tuple[Value, ...], compute: Callable[[], Value], *, tiny: bool = False, again: bool = False
) -> Value:
    """compute(), or scalar function `name` lane by lane: for denormal operands (in fpx mode), for NaN results, and for
    results that are tiny or zero (`tiny`).  That takes back the flags of compute(), but where `again`: there they are
    right whatever is wrong with the result, which may also be denormal and wants flushing."""
    elem = xs[0].type.scalar

    def slow() -> Value:
        return by_lane(b, f"{name}_{elem}", xs, elem)

    def careful() -> Value:
        before = flags_now(b)
        r = compute()
        f = format_of(r.type)
        # tiny: all but normal numbers and infinity
        m, least = magnitude(r), least_normal(f)
        bad = (m - (least + 1)).uge(f.infinity - least) if tiny else is_nan(r)

        def restart() -> Value:
            set_flags(b, before)
            return slow()

        return b.cond(any_lane(bad), restart, lambda: r, likely=False)

    def probe() -> tuple[Value, Callable[[], Value]]:
        r = compute()
        return ~any_lane(is_nan(r) | is_denormal(r)), lambda: r

    def number() -> Value:
        return b.either(probe, slow) if again else careful()

    return b.either(lambda: (~_any_denormal(b, xs), number), slow) if b.i.fpx else number()


def _any_denormal(b: A64, xs: tuple[Value, ...]) -> Value:
    found = is_denormal(xs[0])
    for x in xs[1:]:
        found = found | is_denormal(x)
    return any_lane(found)


def _flush(b: A64, x: Value) -> Value:
    """FPUnpack's flush of denormal operands under FPCR.FZ."""
    if not b.i.fpx:
        return x

    def slow() -> Value:
        return b.call(f"fp_flush_{x.type}", x, type=x.type)

    return b.either(lambda: (~any_lane(is_denormal(x)), lambda: x), slow)


def _default_nan(b: A64, r: Value) -> Value:
    """FPCR.DN's effect on a result whose NaNs are otherwise right."""
    if not b.i.fpx:
        return r
    replace = is_nan(r) & (b.splat(fpcr_bit(b, DN), r.type.lanes) if r.type.lanes else fpcr_bit(b, DN))
    return b.select(replace, b.const(default_nan(format_of(r.type)), r.type), r)


# -- arithmetic -------------------------------------------------------------------------------------------------------
@_whole
def fp_add(b: A64, x: Value, y: Value) -> Value:
    """FPAdd."""
    return _host(b, "fadd", x, y)


@_whole
def fp_sub(b: A64, x: Value, y: Value) -> Value:
    """FPSub."""
    return _host(b, "fsub", x, y)


@_whole
def fp_mul(b: A64, x: Value, y: Value) -> Value:
    """FPMul."""
    return _host(b, "fmul", x, y)


@_whole
def fp_div(b: A64, x: Value, y: Value) -> Value:
    """FPDiv."""
    return _host(b, "fdiv", x, y)


@_whole
def fp_sqrt(b: A64, x: Value) -> Value:
    """FPSqrt."""
    return _host(b, "fsqrt", x)


@_whole
def fp_muladd(b: A64, addend: Value, x: Value, y: Value) -> Value:
    """FPMulAdd: addend + x * y, rounded once."""
    return _host(b, "fma", x, y, addend)


def _extreme(b: A64, x: Value, y: Value, largest: bool, number: bool) -> Value:
    x, y = _flush(b, x), _flush(b, y)
    name = f"fp_{'num2' if number else 'nan2'}_{x.type}"

    def fast() -> Value:
        first = fcmp("lt", y, x) if largest else fcmp("lt", x, y)
        # equal values have equal bits, but for zeros: +0 is the larger one
        zero = to_bits(x) & to_bits(y) if largest else to_bits(x) | to_bits(y)
        return b.select(first, x, b.select(fcmp("eq", x, y), zero.bitcast(x.type), y))

    return b.either(lambda: (~any_lane(fcmp("uno", x, y)), fast), lambda: b.call(name, x, y, fast(), type=x.type))


@_whole
def fp_max(b: A64, x: Value, y: Value) -> Value:
    """FPMax."""
    return _extreme(b, x, y, largest=True, number=False)


@_whole
def fp_min(b: A64, x: Value, y: Value) -> Value:
    """FPMin."""
    return _extreme(b, x, y, largest=False, number=False)


@_whole
def fp_maxnum(b: A64, x: Value, y: Value) -> Value:
    """FPMaxNum: a quiet NaN loses against a number."""
    return _extreme(b, x, y, largest=True, number=True)


@_whole
def fp_minnum(b: A64, x: Value, y: Value) -> Value:
    """FPMinNum."""
    return _extreme(b, x, y, largest=False, number=True)


@_whole
def fp_mulx(b: A64, x: Value, y: Value) -> Value:
    """FPMulX."""
    return _guarded(b, "fp_fmulx", (x, y), lambda: b.op("fmul", x, y), tiny=True)


@_whole
def fp_recip_step(b: A64, x: Value, y: Value) -> Value:
    """FPRecipStepFused: 2 - x * y."""
    return _guarded(b, "fp_frecps", (x, y), lambda: reciprocal_step(b, fp_neg(x), y))


@_whole
def fp_rsqrt_step(b: A64, x: Value, y: Value) -> Value:
    """FPRSqrtStepFused: (3 - x * y) / 2."""
    return _guarded(b, "fp_frsqrts", (x, y), lambda: root_step(b, fp_neg(x), y))


def fp_recip_estimate(b: A64, x: Value) -> Value:
    """FPRecipEstimate."""
    return by_lane(b, f"fp_frecpe_{x.type.scalar}", (x,), x.type.scalar)


def fp_rsqrt_estimate(b: A64, x: Value) -> Value:
    """FPRSqrtEstimate."""
    return by_lane(b, f"fp_frsqrte_{x.type.scalar}", (x,), x.type.scalar)


def fp_recpx(b: A64, x: Value) -> Value:
    """FPRecpX."""
    return by_lane(b, f"fp_frecpx_{x.type.scalar}", (x,), x.type.scalar)


def recip_estimate_int(b: A64, a: Value) -> Value:
    """RecipEstimate of i32 lanes."""
    return by_lane(b, "fp_recip_estimate", (a,), I32)


def rsqrt_estimate_int(b: A64, a: Value) -> Value:
    """RecipSqrtEstimate of i32 lanes."""
    return by_lane(b, "fp_rsqrt_estimate", (a,), I32)


# -- comparison -------------------------------------------------------------------------------------------------------
def fp_compare(b: A64, pred: str, x: Value, y: Value, signals: bool = False) -> Value:
    """x pred y, lane by lane: eq, ge or gt."""
    if x.type is V2F32:
        return low_half(fp_compare(b, pred, doubled(x), doubled(y), signals))
    x, y = _flush(b, x), _flush(b, y)
    if pred == "eq":
        return fcmp("eq", x, y, signals)
    return fcmp({"ge": "le", "gt": "lt"}[pred], y, x, signals)


def fp_compare_flags(b: A64, x: Value, y: Value, signals: bool) -> tuple[Value, Value, Value, Value]:
    """FPCompare: n, z, c, v."""
    x, y = _flush(b, x), _flush(b, y)
    less, equal, unordered = (fcmp(p, x, y, signals) for p in ("lt", "eq", "uno"))
    return less, equal, ~less, unordered


# -- rounding and integers --------------------------------------------------------------------------------------------
def _round_away(b: A64, x: Value) -> Value:
    """To nearest, ties away from zero, without raising inexact: all steps are exact."""
    f, t = format_of(x.type), x.type
    small = magnitude(x).ult(exponent_bits(f, f.fraction))  # else integral, infinite or a NaN
    y = b.select(small, x, b.const(0, t))
    whole = b.op("fround", y, mode="zero")
    rest = b.op("fsub", y, whole)
    one = b.select(magnitude(rest).uge(exponent_bits(f, -1)), to_bits(power_of_two(b, t, 0)), to_bits(b.const(0, t)))
    step = (one | (to_bits(x) & f.sign)).bitcast(t)
    return b.select(small, b.op("fadd", whole, step), b.op("fround", x, mode="zero"))


def _integral(b: A64, x: Value, mode: str) -> Value:
    return _round_away(b, x) if mode == "away" else b.op("fround", x, mode=mode)


@_whole
def fp_round_int(b: A64, x: Value, mode: str) -> Value:
    """FPRoundInt."""
    return _default_nan(b, _integral(b, _flush(b, x), mode))


def scale_hole(i: Insn, name: str, power: Callable[[Any], int], t: Type) -> Value:
    """2^power(fields) of float type t, as a hole."""
    f, n = format_of(t), int_type(t.bits)
    bits = i.hole(name, lambda fields: exponent_bits(f, power(fields)), 0, f.infinity, n)
    return bits.bitcast(t)


def _scaled(b: A64, x: Value, scale: Value, limit: int) -> Value:
    """x * scale, where x is smaller than 2^limit; what is not is out of range with or without it."""
    f = format_of(x.type)
    if x.type.lanes:
        scale = b.splat(scale, x.type.lanes)
    big = magnitude(x).uge(exponent_bits(f, limit))
    return b.op("fmul", x, b.select(big, power_of_two(b, x.type, 0), scale))


def fp_to_int(b: A64, x: Value, t: Type, mode: str, signed: bool, scale: Value | None = None) -> Value:
    """FPToFixed: saturated; out of range is invalid and not inexact."""
    if x.type is V2F32:
        return low_half(fp_to_int(b, doubled(x), t, mode, signed, scale))
    x = _flush(b, x)
    if scale is not None:
        x = _scaled(b, x, scale, t.bits)
    f, result = format_of(x.type), with_lanes(x.type, t)
    r = x if mode == "zero" else _integral(b, x, mode)
    name = f"fp_to_{'s' if signed else 'u'}{t.bits}_{x.type}"

    def cold() -> Value:
        return b.call(name, r, x, type=result)

    def inexact() -> None:
        if mode != "zero":
            b.op("fround", x, mode="exact")

    def signed_probe() -> tuple[Value, Callable[[], Value]]:
        n = b.op("ftoi", r, type=result)

        def fast() -> Value:
            inexact()
            return n

        return ~any_lane(n.eq(1 << (t.bits - 1))), fast

    def unsigned_probe() -> tuple[Value, Callable[[], Value]]:
        # as bits, positive numbers are ordered and everything else is above them
        wide = t is I32 and not x.type.lanes
        limit = exponent_bits(f, 32 if wide else t.bits - 1)

        def fast() -> Value:
            inexact()
            return b.op("ftoi", r, type=I64).trunc(I32) if wide else b.op("ftoi", r, type=result)

        return ~any_lane(to_bits(r).uge(limit)), fast

    return b.either(signed_probe if signed else unsigned_probe, cold)


def int_to_fp(b: A64, x: Value, t: Type, signed: bool, scale: Value | None = None) -> Value:
    """FixedToFP."""
    if x.type.lanes and x.type.size == 64:
        return low_half(int_to_fp(b, doubled(x), t, signed, scale))
    r = b.op("itof" if signed else "utof", x, type=with_lanes(x.type, t))
    if scale is None:
        return r
    return b.op("fmul", r, b.splat(scale, r.type.lanes) if r.type.lanes else scale)


# -- precision --------------------------------------------------------------------------------------------------------
def fp_widen(b: A64, x: Value) -> Value:
    """FPConvert from single to double precision."""
    if b.i.fpx:
        x = low_half(_flush(b, doubled(x))) if x.type is V2F32 else _flush(b, x)
    return _default_nan(b, b.op("fext", x, type=with_lanes(x.type, F64)))


def fp_narrow(b: A64, x: Value) -> Value:
    """FPConvert from double to single precision."""
    if b.i.fpx:
        return by_lane(b, "fpx_ftrunc_f64", (x,), F32)

    def narrow() -> Value:
        return b.op("ftrunc", x, type=with_lanes(x.type, F32))

    def probe() -> tuple[Value, Callable[[], Value]]:
        r = narrow()
        return ~any_lane(magnitude(r).eq(least_normal(format_of(F32)))), lambda: r

    def slow() -> Value:
        r = narrow()
        return b.call(f"fp_narrow_{x.type}", x, r, type=r.type)

    return b.either(probe, slow)


def fp_narrow_odd(b: A64, x: Value) -> Value:
    """FPConvert from double to single precision with FPRounding_ODD."""
    return by_lane(b, "fp_narrow_odd", (x,), F32)


def fp_to_half(b: A64, x: Value) -> Value:
    """FPConvert to half precision; i16 lanes."""
    wide = fp_widen_exact(b, x) if x.type.bits == 32 else _flush(b, x)
    return by_lane(b, "fp_half", (wide,), I16)


def fp_widen_exact(b: A64, x: Value) -> Value:
    """To double precision on the way to half: operands are flushed, NaNs keep their payload whatever DN says."""
    return b.op("fext", _flush(b, x), type=with_lanes(x.type, F64))


def fp_from_half(b: A64, h: Value, t: Type) -> Value:
    """FPConvert from half precision, IEEE or alternative (FPCR.AHP), to f32 or f64 lanes."""
    n, f = with_lanes(h.type, I32), format_of(F32)
    w = h.zext(I32)
    m = w & 0x7FFF
    rebias = (127 - 15) << 23
    no = b.const(0, with_lanes(h.type, I1))
    ahp = no
    if b.i.fpx:
        ahp = b.splat(fpcr_bit(b, AHP), h.type.lanes) if h.type.lanes else fpcr_bit(b, AHP)
    special, nan = m.uge(0x7C00) & ~ahp, m.ugt(0x7C00) & ~ahp
    number = (m << 13) + rebias
    quiet = b.select(nan, b.const(f.quiet, n), b.const(0, n))
    tiny = b.op("fmul", b.op("itof", m, type=with_lanes(h.type, F32)), power_of_two(b, with_lanes(h.type, F32), -24))
    bits = b.select(special, (number + rebias) | quiet, b.select(m.ult(0x400), to_bits(tiny), number))
    single = (bits | (w & 0x8000) << 16).bitcast(with_lanes(h.type, F32))
    b.when(any_lane(nan & (m & 0x200).eq(0)), lambda: _raise(b, IOC), likely=False)
    single = _default_nan(b, single)
    return single if t is F32 else b.op("fext", single, type=with_lanes(h.type, F64))


def _raise(b: A64, flags: int) -> None:
    b.call("fp_raise", b.const(flags, I32), type=I32)


__all__ = [
    "fp_abs", "fp_add", "fp_compare", "fp_compare_flags", "fp_div", "fp_from_half", "fp_max", "fp_maxnum", "fp_min",
    "fp_minnum", "fp_mul", "fp_muladd", "fp_mulx", "fp_narrow", "fp_narrow_odd", "fp_neg", "fp_recip_estimate",
    "fp_recip_step", "fp_recpx", "fp_round_int", "fp_rsqrt_estimate", "fp_rsqrt_step", "fp_sqrt", "fp_sub",
    "fp_to_half", "fp_to_int", "fp_widen", "functions", "int_to_fp", "recip_estimate_int", "rsqrt_estimate_int",
    "scale_hole",
]  # fmt: skip
