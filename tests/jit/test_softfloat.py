"""The evaluator's arithmetic: against exact fractions in all rounding modes, and against Python's own floats."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction

import pytest

from jit.softfloat import EVEN, FORMATS, INEXACT, OVERFLOW, UNDERFLOW, UP, ZERO, FloatState, Format, is_nan, unpack


def number(rng: random.Random, f: Format) -> int:
    """A finite number, often with few bits, a small exponent, or next to a power of two."""
    exponent = rng.choice((0, 1, 2, rng.randrange(f.infinity >> f.fraction), (f.infinity >> f.fraction) // 2))
    noise = rng.getrandbits(f.fraction) & rng.choice((-1, 0, 3, -1 << (f.fraction - 2)))
    return rng.getrandbits(1) * f.sign | exponent << f.fraction | rng.choice((noise, (1 << f.fraction) - 1))


def value(x: int, f: Format) -> Fraction:
    sign, m, e = unpack(x, f)
    return (-1) ** sign * m * Fraction(2) ** e


def check(exact: Fraction, got: int, f: Format, state: FloatState) -> None:
    """`got` is `exact` rounded as the mode says, and the flags tell of it."""
    if got & ~f.sign == f.infinity:
        assert state.flags & OVERFLOW and abs(exact) > value(f.infinity - 1, f)
        return
    error = value(got, f) - exact
    assert bool(error) == bool(state.flags & INEXACT)
    if not error:
        return
    away = abs(value(got, f)) > abs(exact)
    other = got - 1 if away else got + 1  # the neighbour on the far side of the exact value
    if other & ~f.sign == f.infinity:
        assert state.rounding != EVEN or not away
        return
    gap = abs(value(other, f) - exact)
    mode = state.rounding
    if mode == EVEN:
        assert abs(error) < gap or (abs(error) == gap and not got & 1)
    else:
        assert away == (mode != ZERO and (mode == UP) == (exact > 0))
    if abs(exact) < value(1 << f.fraction, f) - Fraction(2) ** f.least:
        assert state.flags & UNDERFLOW
    if abs(exact) >= value(1 << f.fraction, f):
        assert not state.flags & UNDERFLOW


@pytest.mark.parametrize("bits", (16, 32, 64))
@pytest.mark.parametrize("mode", range(4))
def test_rounds_once(bits: int, mode: int) -> None:
    rng, f = random.Random(bits * 4 + mode), FORMATS[bits]
    for _ in range(600):
        a, b, c = (number(rng, f) for _ in range(3))
        x, y, z = (value(v, f) for v in (a, b, c))
        state = FloatState()
        cases = [
            ("fadd", x + y, (a, b)),
            ("fsub", x - y, (a, b)),
            ("fmul", x * y, (a, b)),
            ("fma", x * y + z, (a, b, c)),
        ]
        if y:
            cases.append(("fdiv", x / y, (a, b)))
        for op, exact, operands in cases:
            state.rounding, state.flags = mode, 0
            check(exact, getattr(state, op)(*operands, bits), f, state)
        for to in (16, 32, 64):
            state.rounding, state.flags = mode, 0
            check(x, state.ftrunc(a, bits, to), FORMATS[to], state)
        n = rng.getrandbits(64)
        state.rounding, state.flags = mode, 0
        check(Fraction(n), state.utof(n, 64, bits), f, state)


def test_python_agrees() -> None:
    rng, f, state = random.Random(3), FORMATS[64], FloatState()

    def bits(x: float) -> int:
        return struct.unpack("<Q", struct.pack("<d", x))[0]

    for _ in range(3000):
        a, b = number(rng, f), number(rng, f)
        x, y = (struct.unpack("<d", struct.pack("<Q", v))[0] for v in (a, b))
        assert state.fadd(a, b, 64) == bits(x + y)
        assert state.fsub(a, b, 64) == bits(x - y)
        assert state.fmul(a, b, 64) == bits(x * y)
        assert y == 0 or state.fdiv(a, b, 64) == bits(x / y)
        assert x < 0 or state.fsqrt(a, 64) == bits(math.sqrt(x))
        assert state.fcmp(a, b, 64, "lt", True) == (x < y)
        if abs(x) < 2.0**62:
            assert state.ftoi(a, 64, 64) == int(x) & (1 << 64) - 1
            assert state.ftoi(state.fround(a, 64, "even"), 64, 64) == round(x) & (1 << 64) - 1


def test_nans_and_invalid() -> None:
    f, state = FORMATS[32], FloatState()
    infinity, quiet, signalling = f.infinity, f.infinity | f.quiet | 5, f.infinity | 5
    for result, flags in (
        (state.fadd(infinity, infinity | f.sign, 32), 1),
        (state.fmul(infinity, 0, 32), 1),
        (state.fsqrt(f.sign | 1, 32), 1),
        (state.fdiv(0, 0, 32), 1),
    ):
        assert is_nan(result, f) and state.flags == flags
    state.flags = 0
    assert state.fadd(quiet, 0, 32) == quiet and state.flags == 0
    assert state.fext(signalling, 32, 64) == (0x7FF8 << 48) | 5 << 29 and state.flags == 1
    state.flags = 0
    assert not state.fcmp(quiet, 0, 32, "eq", False) and state.flags == 0
    assert not state.fcmp(quiet, 0, 32, "lt", True) and state.flags == 1
    state.flags = 0
    assert state.fdiv(0x3F800000, 0, 32) == infinity and state.flags == 2
