"""Scalar floating point against Unicorn where it is delicate: results next to the smallest normal number and to the
largest, NaNs, denormals, cancellation; all rounding modes, FZ, DN and AHP."""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest

from jit.softfloat import FORMATS, FloatState
from targets.arm.a64.fp import vfp_expand_imm
from targets.arm.a64.row import Row
from targets.arm.a64.table import all_rows
from tests.arm.differential import Campaign, describe, differences, random_float
from tests.arm.harness import DATA_SIZE, State
from tests.arm.oracle_bugs import explained

CASES = 120
ZEROS = bytes(DATA_SIZE)
ROWS = [r for r in all_rows() if r.lift.__module__ == "targets.arm.a64.fp"]


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return Campaign()


@functools.cache
def specials(bits: int) -> list[int]:
    f = FORMATS[bits]
    one = (f.infinity >> (f.fraction + 1)) << f.fraction
    normal = 1 << f.fraction
    found = [0, 1, 2, normal - 1, normal, normal + 1, one, one - 1, one + 1, one * 2, f.infinity - 1, f.infinity]
    found += [f.infinity + 1, f.infinity | f.quiet, f.infinity | f.quiet | 5, f.infinity | f.quiet - 1]
    # around the ends of the integer and half-precision ranges, and between integers
    state = FloatState()
    for n in (31, 32, 63, 64):
        edge = state.itof((1 << n) - 1, 128, bits)
        found += [edge - 1, edge, edge + 1]
    for value in (1, 3, 5, 7):
        found += [state.fdiv(state.itof(value, 64, bits), state.itof(d, 64, bits), bits) for d in (2, 4, 3)]
    found += [state._convert(h, 16, bits) + d for h in (1, 0x3FF, 0x400, 0x7BFF, 0x3C01) for d in (-1, 0, 1)]
    return found + [x | f.sign for x in found]


def triple(rng: random.Random, bits: int) -> tuple[int, int, int]:
    """Operands of one operation."""
    f, state = FORMATS[bits], FloatState()
    least, mask = 1 << f.fraction, (1 << bits) - 1
    kind = rng.randrange(6)
    if kind == 0:
        return tuple(rng.choice(specials(bits)) & mask for _ in range(3))  # type: ignore[return-value]
    a, b, c = (random_float(rng, bits) for _ in range(3))
    if kind == 1:  # a * b next to the smallest normal number
        b = state.fdiv(least + rng.randrange(-2, 3), a, bits) + rng.randrange(-1, 2)
        c = rng.choice((0, 1, f.sign, f.sign | 1, least, c))
    elif kind == 2:  # a * b just below it
        a = a & f.sign | rng.randrange(1, f.infinity >> f.fraction) << f.fraction | rng.getrandbits(f.fraction)
        state.rounding = 3
        b = state.fdiv(least, a, bits)
        c = rng.choice((0, f.sign, 1, f.sign | 1, c))
    elif kind == 3:  # a * b + c next to nothing
        c = state.fmul(a, b, bits) ^ f.sign ^ rng.choice((0, 1, 2, f.sign))
    elif kind == 4 and bits > 16:  # where narrower formats end
        edge = rng.choice((1, least >> 1, 0x400, 0x7BFF, 0x3FF, 0x800000, 0x7FFFFF, 0x7F7FFFFF))
        edge = state._convert(edge, 16 if edge < 0x8000 else 32, bits)
        a = (a & f.sign | edge) + rng.choice((-1, 1)) * rng.getrandbits(rng.randrange(1, f.fraction))
    return a & mask, b & mask, c & mask


def random_case(row: Row, rng: random.Random) -> tuple[int, State]:
    while True:
        word = row.value | rng.getrandbits(32) & ~row.mask
        for p in row.parts:
            if p.name in ("Rn", "Rm", "Ra", "Rd"):
                number = {"Rn": 1, "Rm": 2, "Ra": 3, "Rd": rng.choice((1, 2, 3, 4))}[p.name]
                word = word & ~(31 << p.low) | number << p.low
        if row.matches(word):
            break
    fields = row.split(word)
    bits = 64 if fields.get("sz", 0) else 32
    if "type" in fields:
        bits = {0: 32, 1: 64, 3: 16}[fields["type"]]
    s = State(memory=ZEROS)
    s.v = [rng.getrandbits(128) for _ in range(32)]
    for k, value in enumerate(triple(rng, bits), 1):
        s.v[k] = s.v[k] & ~((1 << bits) - 1) | value & ((1 << bits) - 1)
    s.x = [rng.getrandbits(64) for _ in range(31)]
    s.x[1] = rng.choice((0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, rng.getrandbits(rng.randrange(1, 65)), 1 << 31))
    s.nzcv = rng.randrange(16)
    s.fpcr = rng.choice((0, rng.randrange(4) << 22, rng.randrange(32) << 22))
    s.fpsr = rng.choice((0, 0, 0, 0x9F, rng.getrandbits(5)))
    return word, s


def run(campaign: Campaign, row: Row, engine: Any, cases: int, seed: str) -> None:
    rng = random.Random(f"{seed}/{row.name}")
    for case in range(cases):
        word, before = random_case(row, rng)
        theirs, ours = campaign.oracle.run([word], before), engine.run([word], before)
        diff = differences(ours, theirs)
        text = describe(row, word, before, 0, case)
        assert not diff or explained(row, word, before, ours, theirs), f"{text}\n{diff}"


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_stencils(campaign: Campaign, row: Row) -> None:
    run(campaign, row, campaign.engines["baseline"], CASES, "native")


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_reference(campaign: Campaign, row: Row) -> None:
    run(campaign, row, campaign.engines["reference"], 10, "reference")


def test_immediates() -> None:
    """FMOV's immediates are +-(16..31)/16 times a power of two from -3 to 4 (C2.2.3)."""
    state = FloatState()
    for imm8 in range(256):
        a, bcd, rest = imm8 >> 7, (imm8 >> 4) & 7, imm8 & 15
        power = (bcd ^ 4) - 3
        value = state.itof((16 + rest) << (power + 4), 64, 32)
        value = state.fdiv(value, state.itof(256, 64, 32), 32)
        assert vfp_expand_imm(imm8, 32) == value | a << 31
        assert vfp_expand_imm(imm8, 64) == state.fext(value, 32, 64) | a << 63
