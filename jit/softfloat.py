"""Exact IEEE 754 arithmetic on bit patterns, for the reference evaluator: every result rounded once from integers.

Where the op table leaves a choice to the host, this makes a poor one on purpose, x86's: the default NaN is negative,
which operand's NaN is the result depends on their order alone, and underflow is found after rounding.  So code that
leans on a host's choice differs from its oracle here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

INVALID, DIVIDE_BY_ZERO, OVERFLOW, UNDERFLOW, INEXACT = 1, 2, 4, 8, 16
EVEN, UP, DOWN, ZERO = 0, 1, 2, 3
_ROUND_MODES = {"even": EVEN, "up": UP, "down": DOWN, "zero": ZERO}


@dataclass(frozen=True, slots=True)
class Format:
    """An IEEE interchange format: `precision` bits of significand (with the hidden one), exponents from `least`."""

    bits: int
    precision: int
    least: int  # exponent of the smallest number's last place
    infinity: int
    quiet: int  # the bit that quiet NaNs have
    sign: int

    @property
    def fraction(self) -> int:
        return self.precision - 1


def _format(bits: int, exponent_bits: int) -> Format:
    fraction = bits - 1 - exponent_bits
    bias = (1 << (exponent_bits - 1)) - 1
    infinity = ((1 << exponent_bits) - 1) << fraction
    return Format(bits, fraction + 1, 1 - bias - fraction, infinity, 1 << (fraction - 1), 1 << (bits - 1))


FORMATS = {16: _format(16, 5), 32: _format(32, 8), 64: _format(64, 11)}


def is_nan(x: int, f: Format) -> bool:
    return x & ~f.sign > f.infinity


def is_signalling(x: int, f: Format) -> bool:
    return is_nan(x, f) and not x & f.quiet


def is_infinite(x: int, f: Format) -> bool:
    return x & ~f.sign == f.infinity


def unpack(x: int, f: Format) -> tuple[int, int, int]:
    """(sign, m, e) of a finite number: value = +-m * 2^e."""
    exponent = (x & f.infinity) >> f.fraction
    m = x & ((1 << f.fraction) - 1)
    if exponent:
        m |= 1 << f.fraction
    return x >> (f.bits - 1), m, f.least + max(exponent, 1) - 1


def _shift(m: int, n: int, sign: int, mode: int) -> tuple[int, bool]:
    """m / 2^n rounded to an integer: (result, inexact)."""
    if n <= 0:
        return m << -n, False
    low = m & ((1 << n) - 1)
    q = m >> n
    half = 1 << (n - 1)
    if mode == EVEN:
        q += low > half or (low == half and q & 1)
    elif mode != ZERO:
        q += low != 0 and (mode == DOWN) == bool(sign)
    return q, low != 0


class FloatState:
    """Rounding mode (0 nearest even, 1 up, 2 down, 3 zero) and sticky flags (see jit.ops, fp_flags)."""

    def __init__(self) -> None:
        self.rounding = EVEN
        self.flags = 0

    # -- rounding and NaNs ------------------------------------------------------------------------------------------
    def pack(self, sign: int, m: int, e: int, f: Format, sticky: bool = False) -> int:
        """+-m * 2^e rounded to a format.  sticky: the true magnitude is a little more than m says."""
        if sticky:
            m, e = (m << 2) | 1, e - 2
        if m == 0:
            return sign << (f.bits - 1)
        mode = self.rounding
        q, inexact = _shift(m, max(m.bit_length() - f.precision, f.least - e), sign, mode)
        at = max(e + m.bit_length() - f.precision, f.least)  # exponent of q's last place
        if inexact:
            self.flags |= INEXACT
            # tiny after rounding: still below the smallest normal number if there were no least exponent
            free, _ = _shift(m, m.bit_length() - f.precision, sign, mode)
            if free.bit_length() + e + m.bit_length() - f.precision < f.least + f.precision:
                self.flags |= UNDERFLOW
        if q >> f.precision:
            q, at = q >> 1, at + 1
        exponent = at - f.least + 1 if q >> f.fraction else 0
        if exponent << f.fraction >= f.infinity:
            self.flags |= OVERFLOW | INEXACT
            away = mode == EVEN or (mode == UP and not sign) or (mode == DOWN and sign)
            return (f.infinity if away else f.infinity - 1) | sign << (f.bits - 1)
        return sign << (f.bits - 1) | exponent << f.fraction | q & ((1 << f.fraction) - 1)

    def _nan(self, f: Format, *xs: int) -> int | None:
        """The result where an operand is a NaN; None where none is."""
        if any(is_signalling(x, f) for x in xs):
            self.flags |= INVALID
        return next((x | f.quiet for x in xs if is_nan(x, f)), None)

    def _invalid(self, f: Format) -> int:
        self.flags |= INVALID
        return f.sign | f.infinity | f.quiet

    # -- arithmetic ---------------------------------------------------------------------------------------------------
    def fadd(self, a: int, b: int, bits: int) -> int:
        f = FORMATS[bits]
        nan = self._nan(f, a, b)
        if nan is not None:
            return nan
        if is_infinite(a, f) or is_infinite(b, f):
            if is_infinite(a, f) and is_infinite(b, f) and a != b:
                return self._invalid(f)
            return a if is_infinite(a, f) else b
        return self._sum(unpack(a, f), unpack(b, f), f)

    def _sum(self, a: tuple[int, int, int], b: tuple[int, int, int], f: Format) -> int:
        """The rounded sum of two exact numbers."""
        (sa, ma, ea), (sb, mb, eb) = a, b
        e = min(ea, eb)
        total = (-1) ** sa * (ma << (ea - e)) + (-1) ** sb * (mb << (eb - e))
        if total == 0:
            sign = sa if sa == sb else int(self.rounding == DOWN)
            return sign << (f.bits - 1)
        return self.pack(int(total < 0), abs(total), e, f)

    def fsub(self, a: int, b: int, bits: int) -> int:
        f = FORMATS[bits]
        nan = self._nan(f, a, b)
        return self.fadd(a, b ^ f.sign, bits) if nan is None else nan

    def fmul(self, a: int, b: int, bits: int) -> int:
        f = FORMATS[bits]
        nan = self._nan(f, a, b)
        if nan is not None:
            return nan
        (sa, ma, ea), (sb, mb, eb) = unpack(a, f), unpack(b, f)
        if is_infinite(a, f) or is_infinite(b, f):
            return self._invalid(f) if ma == 0 or mb == 0 else (a ^ b) & f.sign | f.infinity
        return self.pack(sa ^ sb, ma * mb, ea + eb, f)

    def fdiv(self, a: int, b: int, bits: int) -> int:
        f = FORMATS[bits]
        nan = self._nan(f, a, b)
        if nan is not None:
            return nan
        sign = (a ^ b) & f.sign
        (sa, ma, ea), (sb, mb, eb) = unpack(a, f), unpack(b, f)
        if is_infinite(a, f):
            return self._invalid(f) if is_infinite(b, f) else sign | f.infinity
        if is_infinite(b, f):
            return sign
        if mb == 0:
            if ma == 0:
                return self._invalid(f)
            self.flags |= DIVIDE_BY_ZERO
            return sign | f.infinity
        up = 2 * f.precision + 2
        q, rest = divmod(ma << up, mb)
        return self.pack(sa ^ sb, q, ea - eb - up, f, sticky=rest != 0)

    def fsqrt(self, a: int, bits: int) -> int:
        f = FORMATS[bits]
        nan = self._nan(f, a)
        if nan is not None:
            return nan
        sign, m, e = unpack(a, f)
        if m == 0 or a == f.infinity:
            return a
        if sign:
            return self._invalid(f)
        up = 2 * f.precision + 2 + (e & 1)
        root = isqrt(m << up)
        return self.pack(0, root, (e - up) // 2, f, sticky=root * root != m << up)

    def fma(self, a: int, b: int, c: int, bits: int) -> int:
        f = FORMATS[bits]
        nan = self._nan(f, a, b, c)
        if nan is not None:
            return nan
        (sa, ma, ea), (sb, mb, eb) = unpack(a, f), unpack(b, f)
        if is_infinite(a, f) or is_infinite(b, f):
            if ma == 0 or mb == 0:
                return self._invalid(f)
            product = (a ^ b) & f.sign | f.infinity
            return self._invalid(f) if is_infinite(c, f) and c != product else product
        if is_infinite(c, f):
            return c
        return self._sum((sa ^ sb, ma * mb, ea + eb), unpack(c, f), f)

    # -- comparison ---------------------------------------------------------------------------------------------------
    def fcmp(self, a: int, b: int, bits: int, pred: str, signals: bool) -> int:
        f = FORMATS[bits]
        unordered = is_nan(a, f) or is_nan(b, f)
        if unordered and (signals or is_signalling(a, f) or is_signalling(b, f)):
            self.flags |= INVALID
        if unordered or pred == "uno":
            return int(unordered and pred in ("uno", "ueq"))
        x, y = (-(v & ~f.sign) if v & f.sign else v for v in (a, b))
        return int({"eq": x == y, "ueq": x == y, "lt": x < y, "le": x <= y}[pred])

    # -- conversion ---------------------------------------------------------------------------------------------------
    def fround(self, a: int, bits: int, mode: str) -> int:
        f = FORMATS[bits]
        nan = self._nan(f, a)
        if nan is not None:
            return nan
        sign, m, e = unpack(a, f)
        if is_infinite(a, f) or m == 0 or e >= 0:
            return a
        q, inexact = _shift(m, -e, sign, _ROUND_MODES.get(mode, self.rounding))
        if inexact and mode == "exact":
            self.flags |= INEXACT
        saved = self.flags
        out = self.pack(sign, q, 0, f)  # q has no more bits than the precision: exact
        assert saved == self.flags
        return out

    def ftoi(self, a: int, float_bits: int, int_bits: int) -> int:
        f = FORMATS[float_bits]
        minimum = 1 << (int_bits - 1)
        if a & ~f.sign >= f.infinity:
            self.flags |= INVALID
            return minimum
        sign, m, e = unpack(a, f)
        q, inexact = _shift(m, -e, sign, ZERO)
        if q > minimum - 1 + sign:
            self.flags |= INVALID
            return minimum
        if inexact:
            self.flags |= INEXACT
        return (-q if sign else q) & ((1 << int_bits) - 1)

    def itof(self, a: int, int_bits: int, float_bits: int) -> int:
        sign = a >> (int_bits - 1)
        return self.pack(sign, (1 << int_bits) - a if sign else a, 0, FORMATS[float_bits])

    def utof(self, a: int, int_bits: int, float_bits: int) -> int:
        return self.pack(0, a, 0, FORMATS[float_bits])

    def _convert(self, a: int, from_bits: int, to_bits: int) -> int:
        f, g = FORMATS[from_bits], FORMATS[to_bits]
        sign, top = a >> (f.bits - 1), g.sign if a & f.sign else 0
        nan = self._nan(f, a)
        if nan is not None:
            payload = nan & (f.quiet - 1)
            shift = g.precision - f.precision
            payload = payload << shift if shift >= 0 else payload >> -shift
            return top | g.infinity | g.quiet | payload
        if is_infinite(a, f):
            return top | g.infinity
        _, m, e = unpack(a, f)
        return self.pack(sign, m, e, g)

    fext = _convert
    ftrunc = _convert
