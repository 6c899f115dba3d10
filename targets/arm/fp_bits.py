"""Floating-point values as bits: formats, tests and NaN rules, lane by lane on vectors.

Everything here is integer code: no sticky flag is touched and no rounding mode read.
"""

from __future__ import annotations

from collections.abc import Sequence

from jit.ir import Builder, Value
from jit.softfloat import FORMATS, Format
from jit.types import I1, I64, Type, int_type, with_lanes
from targets.arm.env import ENV

IOC, DZC, OFC, UFC, IXC, IDC = 1, 2, 4, 8, 16, 128  # FPSR's cumulative flags
AHP, DN, FZ = 26, 25, 24  # bits of FPCR


def format_of(t: Type) -> Format:
    return FORMATS[t.bits]


def default_nan(f: Format) -> int:
    """FPDefaultNaN()."""
    return f.infinity | f.quiet


def least_normal(f: Format) -> int:
    return 1 << f.fraction


def exponent_bits(f: Format, power: int) -> int:
    """The bits of 2^power."""
    bias = f.infinity >> (f.fraction + 1)
    return (power + bias) << f.fraction


def power_of_two(b: Builder, t: Type, power: int) -> Value:
    return b.const(exponent_bits(format_of(t), power), t)


def to_bits(x: Value) -> Value:
    """The value's bits as integers of the same lane count."""
    return x.bitcast(with_lanes(x.type, int_type(x.type.bits)))


def magnitude(x: Value) -> Value:
    """The bits without the sign."""
    return to_bits(x) & ~format_of(x.type).sign


def fp_abs(x: Value) -> Value:
    """FPAbs: clears the sign, of NaNs too."""
    return magnitude(x).bitcast(x.type)


def fp_neg(x: Value) -> Value:
    """FPNeg: flips the sign, of NaNs too."""
    return (to_bits(x) ^ format_of(x.type).sign).bitcast(x.type)


def is_nan(x: Value) -> Value:
    return magnitude(x).ugt(format_of(x.type).infinity)


def is_signalling(x: Value) -> Value:
    f = format_of(x.type)
    return is_nan(x) & (to_bits(x) & f.quiet).eq(0)


def is_infinite(x: Value) -> Value:
    return magnitude(x).eq(format_of(x.type).infinity)


def is_zero(x: Value) -> Value:
    return magnitude(x).eq(0)


def is_denormal(x: Value) -> Value:
    """Not zero, and smaller than the smallest normal number."""
    return (magnitude(x) - 1).ult(least_normal(format_of(x.type)) - 1)


def any_lane(c: Value) -> Value:
    """i1: whether c holds in any lane."""
    return c.builder.op("any", c, type=I1) if c.type.is_vec else c


def fcmp(pred: str, x: Value, y: Value, signals: bool = False) -> Value:
    """The IR's fcmp: pred eq, lt, le, uno or ueq; raises invalid for signalling NaNs, with `signals` for any."""
    return x.builder.op("fcmp", x, y, type=with_lanes(x.type, I1), pred=pred, signals=signals)


def fpcr_bit(b: Builder, n: int) -> Value:
    return b.ldenv(ENV.fpcr, I64).bit(n)


def process_nans(b: Builder, operands: Sequence[Value]) -> Value:
    """FPProcessNaNs: the first signalling NaN made quiet, else the first quiet NaN; the default NaN where there is
    none or FPCR.DN asks for it.  The flag for signalling NaNs is not set here: the host's operation has done it."""
    t = operands[0].type
    f = format_of(t)
    default = b.const(default_nan(f), with_lanes(t, int_type(t.bits)))
    result = default
    for test in (is_nan, is_signalling):
        for x in reversed(operands):
            result = b.select(test(x), to_bits(x) | f.quiet, result)
    return b.select(fpcr_bit(b, DN), default, result).bitcast(t)


def low_half(x: Value) -> Value:
    """The lower half of a vector's lanes."""
    return x.builder.shuffle(x, x, tuple(range(x.type.lanes // 2)))


def doubled(x: Value) -> Value:
    """A vector twice as long, holding the lanes of x twice: no lane of it raises a flag that x's would not."""
    return x.builder.shuffle(x, x, tuple(range(x.type.lanes)) * 2)
