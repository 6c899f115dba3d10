"""The multiply-add of hosts that have none: the same as the reference's in value and flags, in all rounding modes."""

from __future__ import annotations

import random

import pytest

from jit import softfma
from jit.evaluate import Evaluator
from jit.softfloat import FORMATS, FloatState, is_nan

UNDERFLOW = 8
FUNCTIONS = {f.name: f for f in softfma.functions()}


def operands(rng: random.Random, bits: int) -> tuple[int, int, int]:
    """Three numbers whose product and sum are often close, tiny or huge."""
    f = FORMATS[bits]
    top = f.infinity >> f.fraction

    def number(exponent: int) -> int:
        noise = rng.getrandbits(f.fraction) & rng.choice((-1, -1, 0, -1 << (f.fraction - 2), 3))
        return rng.getrandbits(1) * f.sign | max(0, min(top, exponent)) << f.fraction | noise & ((1 << f.fraction) - 1)

    ex = rng.choice((0, 0, 1, rng.randrange(top), rng.randrange(top), top - 1, top))
    ey = rng.choice((0, 1, rng.randrange(top), top // 2, top // 2 - ex + rng.randrange(4), top))
    ez = ex + ey - top // 2 + rng.choice((0, 0, 1, -1, rng.randrange(-130, 130)))
    return number(ex), number(ey), number(rng.choice((ez, ez, ez, 0, rng.randrange(top), top)))


@pytest.mark.parametrize("bits", (32, 64))
@pytest.mark.parametrize("mode", range(4))
def test_is_the_reference(bits: int, mode: int) -> None:
    rng, f = random.Random(bits + mode), FORMATS[bits]
    for _ in range(1500):
        xs = operands(rng, bits)
        want, got = FloatState(), FloatState()
        want.rounding = got.rounding = mode
        a = want.fma(*xs, bits)
        b = Evaluator(0, FUNCTIONS, fp=got).call(f"soft_fma_f{bits}", *xs)
        assert a == b or (is_nan(a, f) and is_nan(b, f)), [hex(v) for v in (*xs, a, b)]
        if f.infinity & b == 0 or b & ~f.sign == 1 << f.fraction:  # underflow may be found before or after rounding
            want.flags, got.flags = want.flags & ~UNDERFLOW, got.flags & ~UNDERFLOW
        assert want.flags == got.flags, [hex(v) for v in (*xs, a, want.flags, got.flags)]
