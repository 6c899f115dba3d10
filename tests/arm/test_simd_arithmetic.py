"""Vector arithmetic against Unicorn where it is delicate: lanes at the ends of their range, shift amounts about the
width, floating point next to what is special."""

from __future__ import annotations

import random
from typing import Any

import pytest

from targets.arm.a64 import (
    simd_across_lanes,
    simd_by_element,
    simd_modified_immediate,
    simd_permute_copy,
    simd_scalar,
    simd_shift_immediate,
    simd_three_different,
    simd_three_same,
    simd_two_reg_misc,
)
from targets.arm.a64.row import Row
from tests.arm.differential import Campaign, describe, differences, random_word
from tests.arm.harness import DATA_SIZE, State
from tests.arm.oracle_bugs import explained
from tests.arm.test_fp import triple

CASES = {"baseline": 40, "reference": 4}
MODULES = (
    simd_three_same, simd_three_different, simd_two_reg_misc, simd_across_lanes, simd_by_element, simd_shift_immediate,
    simd_modified_immediate, simd_permute_copy, simd_scalar,
)  # fmt: skip
ROWS = [r for m in MODULES for r in m.ROWS]
ZEROS = bytes(DATA_SIZE)


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return Campaign()


def edge(rng: random.Random, bits: int) -> int:
    """A lane: about an end of the range, or a shift amount about a width under any upper bits."""
    least = 1 << (bits - 1)
    if rng.randrange(3) == 0:
        amount = rng.choice(
            (-128, 127, *(sign * (width + d) for sign in (-1, 1) for width in (0, bits) for d in (-1, 0, 1)))
        )
        return (rng.choice((0, -1, rng.getrandbits(bits))) << 8 | amount & 0xFF) & ((1 << bits) - 1)
    return rng.choice((least, least, least + 1, 2 * least - 1, 0, 1, least - 2, least - 1, rng.getrandbits(bits)))


def vector(lanes: list[int], bits: int) -> int:
    return sum(lane << (bits * k) for k, lane in enumerate(lanes))


def state(row: Row, word: int, rng: random.Random) -> State:
    fields = row.split(word)
    s = State(memory=ZEROS, fpsr=rng.choice((0, 0, 1 << 27)))
    bits = 8 << fields.get("size", fields.get("immh", 8).bit_length() - 1)
    for k in range(32):
        width = rng.choice((bits, bits, min(2 * bits, 64)))
        s.v[k] = vector([edge(rng, width) for _ in range(128 // width)], width)
    if "sz" in fields:
        s.fpcr = rng.choice((0, 0, 0, rng.randrange(4) << 22, rng.randrange(32) << 22))
        bits = 64 if fields["sz"] else 32
        operands = zip(*(triple(rng, bits) for _ in range(128 // bits)), strict=True)
        for register, lanes in zip(("Rn", "Rm", "Rd"), operands, strict=True):
            s.v[fields.get(register, 0)] = vector(list(lanes), bits)
    return s


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
@pytest.mark.parametrize("engine", CASES)
def test_edges(campaign: Campaign, row: Row, engine: str) -> None:
    for case in range(CASES[engine]):
        rng = random.Random(f"{row.name}/{case}")
        word = random_word(row, rng)
        before: Any = state(row, word, rng)
        assert campaign.flat.decode(word) is row
        theirs, ours = campaign.oracle.run([word], before), campaign.engines[engine].run([word], before)
        found = differences(ours, theirs)
        if found and not explained(row, word, before, ours, theirs):
            pytest.fail("\n".join([describe(row, word, before, 0, case), *found]))
