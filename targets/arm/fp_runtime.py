"""Floating point where one host instruction is not the whole truth: runtime functions, called on cold edges.

fp_nan2_T(a, b, r)      r, with lanes that are NaN made what FPProcessNaNs says; also where only a or b is NaN
fp_num2_T(a, b, r)      the same for FPMaxNum and FPMinNum: a quiet NaN loses against a number
fp_fmul_T(a, b, r)      r = a * b on the host: NaNs, and underflow found before rounding
fp_fma_T(a, b, c, r)    r = a * b + c likewise
fp_narrow_T(x, r)       r = x rounded to single precision: underflow found before rounding
fp_flush_T(x)           denormal lanes become zero, and set IDC, if FPCR.FZ is set
fpx_OP_T(operands)      an operation from its operands alone, with FPCR.FZ and DN as they are: scalars only
fp_OP_T(operands)       the same for the operations that the host does not have (estimates, steps, FMULX)
fp_to_sN_T(r, x)        integer of r, which is x rounded to an integral value (or x itself: towards zero)
fp_half(x)              double to half precision, IEEE or alternative
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jit import softfma
from jit.ir import Builder, Function, Value
from jit.types import F32, F64, I16, I32, I64, Type, parse_type, vec, with_lanes
from targets.arm.env import ENV
from targets.arm.fp_bits import (
    AHP,
    DN,
    DZC,
    FZ,
    IDC,
    IOC,
    IXC,
    OFC,
    UFC,
    any_lane,
    default_nan,
    exponent_bits,
    format_of,
    fp_neg,
    fpcr_bit,
    is_denormal,
    is_infinite,
    is_nan,
    is_signalling,
    is_zero,
    least_normal,
    magnitude,
    power_of_two,
    process_nans,
    to_bits,
)  # fmt: skip

TYPES = (F32, F64, vec(4, F32), vec(2, F64))
SCALARS = (F32, F64)
ARITY = {"fadd": 2, "fsub": 2, "fmul": 2, "fdiv": 2, "fsqrt": 1, "fma": 3}
TO_ZERO = 3


# -- control register -------------------------------------------------------------------------------------------------
def flags_now(b: Builder) -> Value:
    return b.op("fp_flags", type=I32)


def set_flags(b: Builder, flags: Value) -> None:
    b.op("fp_set_flags", flags)


def raise_flags(b: Builder, flags: Value | int) -> None:
    set_flags(b, flags_now(b) | flags)


def set_round(b: Builder, mode: Value) -> None:
    b.op("fp_set_round", mode)


def rounding_mode(b: Builder) -> Value:
    """FPCR.RMode, as fp_set_round wants it."""
    return b.ldenv(ENV.fpcr, I64).bits(22, 2).trunc(I32)


def towards_zero(b: Builder, compute: Callable[[], Value]) -> Value:
    """`compute` with results rounded towards zero."""
    set_round(b, b.const(TO_ZERO, I32))
    out = compute()
    set_round(b, rounding_mode(b))
    return out


# -- cold edges of host operations ------------------------------------------------------------------------------------
def _nan2(b: Builder, x: Value, y: Value, r: Value) -> Value:
    return b.select(is_nan(x) | is_nan(y) | is_nan(r), process_nans(b, (x, y)), r)


def _num2(b: Builder, x: Value, y: Value, r: Value) -> Value:
    """FPMaxNum and FPMinNum where an operand is a NaN: only quiet NaNs lose, and only against a number."""
    number = b.select(is_nan(x), y, x)
    neither_wins = is_signalling(x) | is_signalling(y) | (is_nan(x) & is_nan(y))
    special = b.select(neither_wins, process_nans(b, (x, y)), number)
    return b.select(is_nan(x) | is_nan(y), special, r)


def _mul_cold(b: Builder, x: Value, y: Value, r: Value) -> Value:
    # Tiny before rounding and inexact is what the host calls underflow when it rounds towards zero.
    towards_zero(b, lambda: b.op("fmul", x, y))
    return _nan2(b, x, y, r)


def _nan3(b: Builder, x: Value, y: Value, addend: Value, r: Value) -> Value:
    """FPProcessNaNs3, and FPMulAdd's rule that infinity times zero plus a quiet NaN is invalid."""
    f = format_of(r.type)
    impossible = (is_infinite(x) & is_zero(y)) | (is_zero(x) & is_infinite(y))
    invalid = impossible & is_nan(addend) & ~is_signalling(addend)
    b.when(any_lane(invalid), lambda: raise_flags(b, IOC))
    nan = process_nans(b, (addend, x, y))
    nan = b.select(invalid, b.const(default_nan(f), r.type), nan)
    return b.select(is_nan(r), nan, r)


def _fma_cold(b: Builder, x: Value, y: Value, addend: Value, r: Value) -> Value:
    towards_zero(b, lambda: b.op("fma", x, y, addend))
    return _nan3(b, x, y, addend, r)


def _narrow_cold(b: Builder, x: Value, r: Value) -> Value:
    towards_zero(b, lambda: b.op("ftrunc", x, type=r.type))
    return r


# -- FPCR.FZ and DN ---------------------------------------------------------------------------------------------------
def flush(b: Builder, x: Value) -> Value:
    """FPUnpack's flush of denormal operands."""
    small = is_denormal(x) & _same_lanes(b, fpcr_bit(b, FZ), x.type)
    b.when(any_lane(small), lambda: b.stenv(ENV.fpsr, b.ldenv(ENV.fpsr, I64) | IDC))
    return b.select(small, to_bits(x) & format_of(x.type).sign, to_bits(x)).bitcast(x.type)


def _same_lanes(b: Builder, c: Value, t: Type) -> Value:
    return b.splat(c, t.lanes) if t.lanes else c


def exact(b: Builder, operands: tuple[Value, ...], compute: Callable[[], Value]) -> Value:
    """compute() from flushed operands, with NaNs, underflow and flushed results as FPCR says.  Scalars only."""
    saved = flags_now(b)
    set_flags(b, b.const(0, I32))
    r = compute()
    raised = flags_now(b)

    def nan() -> tuple[Value, Value]:
        if operands[0].type is not r.type:
            return b.select(fpcr_bit(b, DN), b.const(default_nan(format_of(r.type)), r.type), r), flags_now(b)
        if len(operands) == 3:
            return _nan3(b, *operands, r), flags_now(b)
        return process_nans(b, operands), flags_now(b)

    def small() -> tuple[Value, Value]:
        set_flags(b, b.const(0, I32))
        chopped = towards_zero(b, compute)
        also = flags_now(b)
        f = format_of(r.type)
        m = magnitude(chopped)
        tiny = m.ult(least_normal(f)) & (m.ne(0) | (also & IXC).ne(0))
        flushed = (to_bits(chopped) & f.sign).bitcast(r.type)
        fz = tiny & fpcr_bit(b, FZ)
        return b.select(fz, flushed, r), b.select(fz, b.const(UFC, I32), raised | b.select(tiny, also, b.const(0, I32)))

    tiny = magnitude(r).ule(least_normal(format_of(r.type)))
    value, flags = b.cond(is_nan(r), nan, lambda: b.cond(tiny, small, lambda: (r, raised)))
    set_flags(b, saved | flags)
    return value


def _exact_op(b: Builder, op: str, result: Type, *operands: Value) -> Value:
    xs = tuple(flush(b, x) for x in operands)
    return exact(b, xs, lambda: b.op(op, *xs, type=result))


# -- operations that the host does not have ---------------------------------------------------------------------------
def _with_sign(x: Value, magnitude_bits: Value | int) -> Value:
    """A value of x's type with these bits and x's sign."""
    return ((to_bits(x) & format_of(x.type).sign) | magnitude_bits).bitcast(x.type)


def _impossible(x: Value, y: Value) -> Value:
    """Infinity times zero."""
    return (is_infinite(x) & is_zero(y)) | (is_zero(x) & is_infinite(y))


def _fmulx(b: Builder, x: Value, y: Value) -> Value:
    """FPMulX: infinity times zero is 2."""
    x, y = flush(b, x), flush(b, y)
    two = exponent_bits(format_of(x.type), 1)
    sign = (to_bits(x) ^ to_bits(y)).bitcast(x.type)
    return b.cond(
        _impossible(x, y), lambda: _with_sign(sign, two), lambda: exact(b, (x, y), lambda: b.op("fmul", x, y))
    )


def _step_nan(b: Builder, x: Value, y: Value, other: Callable[[], Value]) -> Value:
    """FPProcessNaNs of two operands that no host operation has looked at, else other()."""

    def nan() -> Value:
        b.when(is_signalling(x) | is_signalling(y), lambda: raise_flags(b, IOC))
        return process_nans(b, (x, y))

    return b.cond(is_nan(x) | is_nan(y), nan, other)


def reciprocal_step(b: Builder, x: Value, y: Value) -> Value:
    """2 - x * y, rounded once; x is negated already."""
    return b.op("fma", x, y, power_of_two(b, x.type, 1))


def root_step(b: Builder, x: Value, y: Value) -> Value:
    """(3 - x * y) / 2, rounded once; x is negated already.  Large x are halved first, so that nothing overflows that
    the halved result would not; halving is exact there, and after the sum."""
    f, t = format_of(x.type), x.type
    large = magnitude(x).uge(exponent_bits(f, 0))
    one, half = power_of_two(b, t, 0), power_of_two(b, t, -1)
    three = b.const(exponent_bits(f, 1) | f.quiet, t)
    three_halves = b.const(exponent_bits(f, 0) | f.quiet, t)
    scaled = b.op("fmul", x, b.select(large, half, one))
    total = b.op("fma", scaled, y, b.select(large, three_halves, three))
    return b.op("fmul", total, b.select(large, one, half))


def _step(b: Builder, x: Value, y: Value, compute: Callable[..., Value], at_impossible: int) -> Value:
    """FPRecipStepFused, FPRSqrtStepFused: at_impossible are the bits of the result for infinity times zero."""
    x, y = flush(b, fp_neg(x)), flush(b, y)

    def number() -> Value:
        return b.cond(_impossible(x, y), lambda: b.const(at_impossible, x.type), lambda: compute(b, x, y))

    return _step_nan(b, x, y, number)


def _frecps(b: Builder, x: Value, y: Value) -> Value:
    return _step(b, x, y, reciprocal_step, exponent_bits(format_of(x.type), 1))


def _frsqrts(b: Builder, x: Value, y: Value) -> Value:
    f = format_of(x.type)
    return _step(b, x, y, root_step, exponent_bits(f, 0) | f.quiet)


def _recip_estimate(b: Builder, a: Value) -> Value:
    """RecipEstimate(a) for 256 <= a < 512."""
    q = b.op("udiv", b.const(1 << 19, a.type), a * 2 + 1)
    return (q + 1).lshr(1)


def _rsqrt_estimate(b: Builder, a: Value) -> Value:
    """RecipSqrtEstimate(a) for 128 <= a < 512: its loop finds the largest n with a * n * n < 2^28, here bit by bit."""
    a = b.select(a.ult(256), a * 2 + 1, (a & ~1) * 2 + 2)
    n = b.const(512, a.type)
    for k in reversed(range(9)):
        t = n + (1 << k)
        n = b.select((a * t * t).ult(1 << 28), t, n)
    return (n + 1).lshr(1)


def _unary_nan(b: Builder, x: Value, other: Callable[[], Value]) -> Value:
    return _step_nan(b, x, x, other)


def _frecpe(b: Builder, x: Value) -> Value:
    """FPRecipEstimate."""
    x = flush(b, x)
    f = format_of(x.type)
    m = magnitude(x)

    def zero() -> Value:
        raise_flags(b, DZC)
        return _with_sign(x, f.infinity)

    def overflow() -> Value:
        raise_flags(b, OFC | IXC)
        mode, negative = rounding_mode(b), to_bits(x).slt(0)
        to_infinity = mode.eq(0) | (mode.eq(1) & ~negative) | (mode.eq(2) & negative)
        return _with_sign(x, b.select(to_infinity, b.const(f.infinity, m.type), b.const(f.infinity - 1, m.type)))

    def underflow() -> Value:
        raise_flags(b, UFC)
        return _with_sign(x, 0)

    def estimate() -> Value:
        exponent, fraction = m.lshr(f.fraction), m & ((1 << f.fraction) - 1)
        small, smaller = exponent.eq(0), exponent.eq(0) & fraction.lshr(f.fraction - 1).eq(0)
        exponent = b.select(smaller, b.const(-1, m.type), exponent)
        fraction = b.select(smaller, fraction << 2, b.select(small, fraction << 1, fraction))
        scaled = (fraction.lshr(f.fraction - 8) & 0xFF) | 0x100
        exponent = b.const(2 * (f.infinity >> (f.fraction + 1)) - 1, m.type) - exponent
        fraction = (_recip_estimate(b, scaled) & 0xFF) << (f.fraction - 8)
        hidden = fraction | 1 << f.fraction
        fraction = b.select(exponent.eq(0), hidden.lshr(1), b.select(exponent.eq(-1), hidden.lshr(2), fraction))
        exponent = b.select(exponent.slt(0), b.const(0, m.type), exponent)
        return _with_sign(x, exponent << f.fraction | fraction)

    too_small = m.ult(1 << (f.fraction - 2))  # 2^-128 or 2^-1024: a quarter of the smallest normal number
    flushed = m.uge(exponent_bits(f, (f.infinity >> (f.fraction + 1)) - 1)) & fpcr_bit(b, FZ)
    return _unary_nan(
        b, x, lambda: b.cond(
            is_infinite(x), lambda: _with_sign(x, 0), lambda: b.cond(
                is_zero(x), zero, lambda: b.cond(too_small, overflow, lambda: b.cond(flushed, underflow, estimate))
            )
        )
    )  # fmt: skip


def _frsqrte(b: Builder, x: Value) -> Value:
    """FPRSqrtEstimate."""
    x = flush(b, x)
    f = format_of(x.type)
    m = magnitude(x)

    def zero() -> Value:
        raise_flags(b, DZC)
        return _with_sign(x, f.infinity)

    def negative() -> Value:
        raise_flags(b, IOC)
        return b.const(default_nan(f), x.type)

    def estimate() -> Value:
        # a denormal number is shifted up to its first bit, and the exponent goes down as far
        up = b.select(m.lshr(f.fraction).eq(0), m.clz() - (x.type.bits - 1 - f.fraction), b.const(0, m.type))
        exponent = b.select(up.eq(0), m.lshr(f.fraction), b.const(1, m.type) - up)
        top = (m << up).lshr(f.fraction - 8) & 0xFF | 0x100
        scaled = b.select(exponent.bit(0), top.lshr(1), top)
        twice = b.const(3 * (f.infinity >> (f.fraction + 1)) - 1, m.type) - exponent
        fraction = (_rsqrt_estimate(b, scaled) & 0xFF) << (f.fraction - 8)
        return (twice.lshr(1) << f.fraction | fraction).bitcast(x.type)

    return _unary_nan(
        b, x, lambda: b.cond(
            is_zero(x), zero, lambda: b.cond(
                to_bits(x).slt(0), negative, lambda: b.cond(is_infinite(x), lambda: b.const(0, x.type), estimate)
            )
        )
    )  # fmt: skip


def _frecpx(b: Builder, x: Value) -> Value:
    """FPRecpX: the exponent's complement."""
    x = flush(b, x)
    f = format_of(x.type)
    exponent = to_bits(x) & f.infinity
    largest = b.const(f.infinity - least_normal(f), exponent.type)
    return _unary_nan(b, x, lambda: _with_sign(x, b.select(exponent.eq(0), largest, exponent ^ f.infinity)))


def _narrow_odd(b: Builder, x: Value) -> Value:
    """Double to single precision with rounding to odd: chopped, and the last bit set where something was lost."""
    x = flush(b, x)
    saved = flags_now(b)
    set_flags(b, b.const(0, I32))
    r = towards_zero(b, lambda: b.op("ftrunc", x, type=F32))
    raised = flags_now(b)
    odd = to_bits(r) | b.select((raised & IXC).ne(0), b.const(1, I32), b.const(0, I32))
    tiny = magnitude(x).ult(exponent_bits(format_of(F64), -126)) & ~is_zero(x)
    fz = tiny & fpcr_bit(b, FZ)
    out = b.select(fz, to_bits(r) & format_of(F32).sign, odd)
    default = b.const(default_nan(format_of(F32)), I32)
    out = b.select(is_nan(x) & fpcr_bit(b, DN), default, out)
    set_flags(b, saved | b.select(fz, b.const(UFC, I32), raised))
    return out.bitcast(F32)


# -- half precision ---------------------------------------------------------------------------------------------------
def _half(b: Builder, x: Value) -> Value:
    """FPConvert of a double to half precision; half precision has no FZ of its own in Armv8.0."""
    f = format_of(F64)
    m, sign = magnitude(x), to_bits(x).lshr(48) & 0x8000
    ahp = fpcr_bit(b, AHP)

    def pair(value: Value | int, flags: Value | int) -> tuple[Value, Value]:
        return b.coerce(value, I64), b.coerce(flags, I32)

    def special() -> tuple[Value, Value]:
        nan = b.select(fpcr_bit(b, DN), b.const(0x7E00), sign | 0x7E00 | m.bits(42, 9))
        ieee = b.select(is_nan(x), nan, sign | 0x7C00)
        other = b.select(is_nan(x), sign, sign | 0x7FFF)
        invalid = ahp | is_signalling(x)
        return pair(b.select(ahp, other, ieee), b.select(invalid, b.const(IOC, I32), b.const(0, I32)))

    def number() -> tuple[Value, Value]:
        exponent = m.lshr(52)
        mantissa = (m & ((1 << 52) - 1)) | b.select(exponent.eq(0), b.const(0), b.const(1 << 52))
        tiny = exponent.ult(1009)  # below 2^-14
        shift = (b.select(tiny, b.const(1009) - exponent, b.const(0)) + 42).umin(63)
        low, halfway = mantissa & ((b.const(1) << shift) - 1), b.const(1) << (shift - 1)
        q, mode, negative = mantissa.lshr(shift), rounding_mode(b), sign.ne(0)
        inexact = low.ne(0)
        to_even = low.ugt(halfway) | (low.eq(halfway) & q.bit(0))
        up = (mode.eq(0) & to_even) | (mode.eq(1) & inexact & ~negative) | (mode.eq(2) & inexact & negative)
        h = (b.select(tiny, b.const(0), exponent - 1009) << 10) + q + up.zext(I64)
        to_infinity = mode.eq(0) | (mode.eq(1) & ~negative) | (mode.eq(2) & negative)
        largest = b.select(to_infinity, b.const(0x7C00), b.const(0x7BFF))
        over = b.select(ahp, h.ugt(0x7FFF), h.ugt(0x7BFF))
        plain = (b.select(inexact, b.const(IXC), b.const(0))) | b.select(inexact & tiny, b.const(UFC), b.const(0))
        flags = b.select(over, b.select(ahp, b.const(IOC), b.const(OFC | IXC)), plain)
        return pair(sign | b.select(over, b.select(ahp, b.const(0x7FFF), largest), h), flags.trunc(I32))

    value, flags = b.cond(m.uge(f.infinity), special, number)
    b.when(flags.ne(0), lambda: raise_flags(b, flags))
    return value.trunc(I16)


# -- float to integer -------------------------------------------------------------------------------------------------
def _to_int(b: Builder, r: Value, x: Value, t: Type, signed: bool) -> Value:
    """FPToFixed's end: r as an integer, saturated; inexact where x is not integral."""
    f = format_of(r.type)
    bits = t.bits - signed
    q = b.op("fround", r, mode="zero")
    limit = exponent_bits(f, bits)
    lowest = f.sign | limit if signed else f.sign  # -2^31, or -0.0
    in_range = (magnitude(q) if signed else to_bits(q)).ult(limit) | to_bits(q).eq(lowest)

    def good() -> Value:
        b.op("fround", x, mode="exact")
        if signed:
            return b.op("ftoi", q, type=t)
        if bits == 32:
            return b.op("ftoi", q, type=I64).trunc(t)
        half = exponent_bits(f, 63)

        def upper() -> Value:
            return b.op("ftoi", b.op("fsub", q, b.const(half, q.type)), type=t) ^ (1 << 63)

        return b.cond(magnitude(q).uge(half), upper, lambda: b.op("ftoi", q, type=t))

    def bad() -> Value:
        raise_flags(b, IOC)
        least, most = (1 << bits, (1 << bits) - 1) if signed else (0, -1)
        out = b.select(to_bits(r).slt(0), b.const(least, t), b.const(most, t))
        return b.select(is_nan(r), b.const(0, t), out)

    return b.cond(in_range, good, bad)


def by_lane(b: Builder, name: str, operands: Iterable[Value], elem: Type) -> Value:
    """Call scalar function `name` for each lane; the results are `elem`."""
    xs = tuple(operands)
    if not xs[0].type.is_vec:
        return b.call(name, *xs, type=elem)
    lanes = xs[0].type.lanes
    out = b.const(0, vec(lanes, elem))
    for k in range(lanes):
        out = out.with_lane(k, b.call(name, *(x.lane(k) for x in xs), type=elem))
    return out


# -- the functions ----------------------------------------------------------------------------------------------------
def _function(name: str, ret: Type, args: tuple[Type, ...], body: Callable[..., Value]) -> Function:
    b = Builder(name, ret=ret, args=args)
    b.ret(body(b, *b.args))
    b.function.cold = True
    return b.function


def _raise(b: Builder, flags: Value) -> Value:
    raise_flags(b, flags)
    return flags


def _integer_functions(t: Type) -> list[Function]:
    out: list[Function] = []
    for bits in (32, 64):
        n = parse_type(f"i{bits}")
        for letter in "su":
            name = f"fp_to_{letter}{bits}_{t}"
            if not t.lanes:
                out.append(_function(name, n, (t, t), lambda b, r, x, n=n, s=letter: _to_int(b, r, x, n, s == "s")))
            elif t.bits == bits:
                scalar = f"fp_to_{letter}{bits}_{t.scalar}"
                ret = with_lanes(t, n)
                out.append(_function(name, ret, (t, t), lambda b, r, x, n=n, s=scalar: by_lane(b, s, (r, x), n)))
    return out


def functions() -> list[Function]:
    """All of them; targets/arm/env.py lists their names."""
    out = softfma.functions() + [
        _function("fp_raise", I32, (I32,), _raise),
        _function("fp_half", I16, (F64,), _half),
        _function("fp_narrow_odd", F32, (F64,), _narrow_odd),
        _function("fp_recip_estimate", I32, (I32,), _recip_estimate),
        _function("fp_rsqrt_estimate", I32, (I32,), _rsqrt_estimate),
        _function("fpx_ftrunc_f64", F32, (F64,), lambda b, x: _exact_op(b, "ftrunc", F32, x)),
    ]
    for t in (F64, vec(2, F64)):
        single = with_lanes(t, F32)
        out.append(_function(f"fp_narrow_{t}", single, (t, single), _narrow_cold))
    for t in TYPES:
        out.append(_function(f"fp_nan2_{t}", t, (t, t, t), _nan2))
        out.append(_function(f"fp_num2_{t}", t, (t, t, t), _num2))
        out.append(_function(f"fp_fmul_{t}", t, (t, t, t), _mul_cold))
        out.append(_function(f"fp_fma_{t}", t, (t, t, t, t), _fma_cold))
        out.append(_function(f"fp_flush_{t}", t, (t,), flush))
        out += _integer_functions(t)
    for t in SCALARS:
        for op, count in ARITY.items():
            out.append(_function(f"fpx_{op}_{t}", t, (t,) * count, lambda b, *xs, op=op, t=t: _exact_op(b, op, t, *xs)))
        for name, body in (("fmulx", _fmulx), ("frecps", _frecps), ("frsqrts", _frsqrts)):
            out.append(_function(f"fp_{name}_{t}", t, (t, t), body))
        for name, body in (("frecpe", _frecpe), ("frsqrte", _frsqrte), ("frecpx", _frecpx)):
            out.append(_function(f"fp_{name}_{t}", t, (t,), body))
    return out
