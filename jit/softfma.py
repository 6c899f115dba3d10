"""Fused multiply-add in IR, for hosts without one (LLVM would call the C library): all in integers, rounded once.

Functions soft_fma_f32 and soft_fma_f64; the back end calls them for the op `fma` where the host lacks it.
"""

from __future__ import annotations

from jit.ir import Builder, Function, Value
from jit.softfloat import FORMATS, INEXACT, OVERFLOW, UNDERFLOW, Format
from jit.types import F32, F64, I1, I32, I64, I128, Type, int_type

NAMES = ("soft_fma_f32", "soft_fma_f64")
WIDTH = 126  # both addends are shifted up to this many bits, which leaves room for a carry


def functions() -> list[Function]:
    return [_function(name, t) for name, t in zip(NAMES, (F32, F64), strict=True)]


def expand(v: Value) -> Value:
    """Emit calls that compute fma op `v`, lane by lane, at the place where its builder stands."""
    b, t = v.builder, v.type
    name = f"soft_fma_{t.scalar}"
    if not t.lanes:
        return b.call(name, *v.args, type=t)
    out = b.const(0, t)
    for k in range(t.lanes):
        out = out.with_lane(k, b.call(name, *(a.lane(k) for a in v.args), type=t.scalar))
    return out


def _function(name: str, t: Type) -> Function:
    f = FORMATS[t.bits]
    b = Builder(name, ret=t, args=(t, t, t))
    x, y, z = b.args
    mx, my, mz = (a.bitcast(int_type(t.bits)) & ~f.sign for a in (x, y, z))
    finite = mx.ult(f.infinity) & my.ult(f.infinity) & mz.ult(f.infinity)
    plain = finite & mx.ne(0) & my.ne(0) & mz.ne(0)
    b.ret(b.cond(plain, lambda: _Sum(b, f, t).result(x, y, z), lambda: _special(b, f, t, x, y, z)))
    b.function.cold = True
    return b.function


def _special(b: Builder, f: Format, t: Type, x: Value, y: Value, z: Value) -> Value:
    """NaNs, infinities and zeros: nothing is rounded twice, so the host's operations do."""

    def unordered(p: Value, q: Value) -> Value:
        return b.op("fcmp", p, q, type=I1, pred="uno", signals=False)  # raises invalid for signalling NaNs

    product_nan, z_nan = unordered(x, y), unordered(z, z)

    def number() -> Value:
        mz = z.bitcast(int_type(t.bits)) & ~f.sign

        def infinite_addend() -> Value:  # the product may overflow, but says nothing then
            n = int_type(t.bits)
            infinite = (x.bitcast(n) & ~f.sign).eq(f.infinity) | (y.bitcast(n) & ~f.sign).eq(f.infinity)
            return b.cond(infinite, lambda: b.op("fadd", b.op("fmul", x, y), z), lambda: z)

        def finite_addend() -> Value:
            product = b.op("fmul", x, y)
            mp = product.bitcast(int_type(t.bits)) & ~f.sign
            zero = (x.bitcast(int_type(t.bits)) << 1).eq(0) | (y.bitcast(int_type(t.bits)) << 1).eq(0)
            # a zero addend changes nothing but the sign of a product that is exactly zero
            return b.cond(mz.eq(0) & ~zero | mp.uge(f.infinity), lambda: product, lambda: b.op("fadd", product, z))

        return b.cond(mz.eq(f.infinity), infinite_addend, finite_addend)

    return b.cond(product_nan | z_nan, lambda: b.const(f.infinity | f.quiet, t), number)


class _Sum:
    """x * y + z of finite numbers that are not zero."""

    def __init__(self, b: Builder, f: Format, t: Type) -> None:
        self.b, self.f, self.t, self.n = b, f, t, int_type(t.bits)

    def _unpack(self, x: Value) -> tuple[Value, Value, Value]:
        """(sign, m, e): +-m * 2^e, m with all of the precision's bits."""
        f, b = self.f, self.b
        bits = x.bitcast(self.n)
        magnitude = bits & ~f.sign
        exponent = magnitude.lshr(f.fraction)
        fraction = magnitude & ((1 << f.fraction) - 1)
        up = b.select(exponent.eq(0), fraction.clz() - (self.t.bits - f.precision), b.const(0, self.n))
        m = (fraction | b.select(exponent.eq(0), b.const(0, self.n), b.const(1 << f.fraction, self.n))) << up
        e = exponent.umax(1).resize(I64) + (f.least - 1) - up.resize(I64)
        return bits.slt(0), m.zext(I128), e

    def result(self, x: Value, y: Value, z: Value) -> Value:
        b, p = self.b, self.f.precision
        (sx, mx, ex), (sy, my, ey), (sz, mz, ez) = (self._unpack(v) for v in (x, y, z))
        sp = sx ^ sy
        ep, ez = ex + ey - (WIDTH - 2 * p), ez - (WIDTH - 1 - p)
        product, addend = (mx * my) << (WIDTH - 2 * p), mz << (WIDTH - 1 - p)
        e = ep.smax(ez)
        product, addend = self._jam(product, e - ep), self._jam(addend, e - ez)
        less = product.ult(addend)
        difference = b.select(less, addend - product, product - addend)
        total = b.select(sp.eq(sz), product + addend, difference)
        sign = b.select(less, sz, sp)
        mode = b.op("fp_round", type=I32)
        zero = self._place(b.const(0, self.n), mode.eq(2))
        return b.cond(total.eq(0), lambda: zero, lambda: self._rounded(sign, total, e, mode))

    def _jam(self, x: Value, n: Value) -> Value:
        """x >> n, with the last bit set where bits are lost."""
        n = n.umin(127).resize(I128)
        out = x.lshr(n)
        return out | (out << n).ne(x).zext(I128)

    def _place(self, magnitude: Value, negative: Value) -> Value:
        return (magnitude | negative.zext(self.n) << (self.t.bits - 1)).bitcast(self.t)

    def _rounded(self, sign: Value, total: Value, e: Value, mode: Value) -> Value:
        """+-total * 2^e in the format."""
        b, f = self.b, self.f
        up = total.clz() - (128 - WIDTH)  # to WIDTH bits; -1 after a carry
        carry = up.slt(0)
        total = b.select(carry, total.lshr(1) | total & 1, total << up)
        e = e - up.resize(I64)
        normal = b.const(WIDTH - f.precision)
        drop = (b.const(f.least) - e).smax(normal)
        tiny, shift = drop.sgt(normal), drop.smin(127).resize(I128)
        low, halfway = total & ((b.const(1, I128) << shift) - 1), b.const(1, I128) << (shift - 1)
        q = total.lshr(shift)
        inexact = low.ne(0)
        to_even = low.ugt(halfway) | (low.eq(halfway) & q.bit(0))
        directed = inexact & ((mode.eq(1) & ~sign) | (mode.eq(2) & sign))
        rounded = q.resize(I64) + ((mode.eq(0) & to_even) | directed).zext(I64)
        exponent = e + drop - f.least
        bits = rounded + (exponent.umin(f.infinity >> f.fraction) << f.fraction)
        over = exponent.sge(f.infinity >> f.fraction) | bits.uge(f.infinity)
        away = mode.eq(0) | (mode.eq(1) & ~sign) | (mode.eq(2) & sign)
        most = b.select(away, b.const(f.infinity), b.const(f.infinity - 1))
        flags = b.select(inexact, b.const(INEXACT, I32), b.const(0, I32))
        flags = flags | b.select(inexact & tiny, b.const(UNDERFLOW, I32), b.const(0, I32))
        flags = b.select(over, b.const(OVERFLOW | INEXACT, I32), flags)
        b.op("fp_set_flags", b.op("fp_flags", type=I32) | flags)
        return self._place(b.select(over, most, bits).resize(self.n), sign)
