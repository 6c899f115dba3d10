"""Whole random blocks: the engines' stitched code against Unicorn, faults and where they happen included.

XEMU_TEST_BLOCKS: blocks on the baseline engine (default 240); the reference engine gets a tenth, and the baseline
engine for AArch64 hosts a quarter.  20,000 with -m slow.
"""

from __future__ import annotations

import os
import random
from functools import cache

import pytest

from targets.arm.a64.row import Row
from targets.arm.a64.table import all_rows
from tests.arm.blocks import Translator, UnicornBlocks, elsewhere, equal_holes, random_block, random_start
from tests.arm.differential import Campaign, describe, differences, random_state
from tests.arm.harness import State
from tests.arm.oracle_bugs import explained
from tests.arm.shapes import some_words

pytest.importorskip("unicorn")

BLOCKS = int(os.environ.get("XEMU_TEST_BLOCKS", "240"))
SEED = os.environ.get("XEMU_TEST_SEED", "1")
CHUNKS = 4


@cache
def oracle() -> UnicornBlocks:
    return UnicornBlocks()


def _text(words: list[int]) -> str:
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    lines = []
    for k, word in enumerate(words):
        text = next((f"{a[2]} {a[3]}" for a in engine.disasm_lite(word.to_bytes(4, "little"), 4 * k)), "?")
        lines.append(f"  {4 * k:#x}: {word:08x} {text}")
    return "\n".join(lines)


def _compare(ours: State, theirs: State, start: int) -> list[str]:
    out = differences(ours, theirs)
    if ours.pc != theirs.pc and ours.outcome == theirs.outcome == "fault":
        out.insert(0, f"fault at {ours.pc - start:#x}, in the oracle at {theirs.pc - start:#x}")
    return out


def campaign(engine: str, name: str, count: int) -> None:
    translator = Translator(engine)
    for k in range(count):
        rng = random.Random(f"{SEED}/{name}/{k}")
        words, start = random_block(rng), random_start(rng)
        diff = _compare(translator.run(words, start), oracle().run(words, start), start.pc)
        assert not diff, f"block {SEED}/{name}/{k} at {start.pc:#x}\n{_text(words)}\n  " + "\n  ".join(diff)
    # both start from zeros, and do the same
    assert elsewhere(translator.board.host) == elsewhere(oracle().host), "a store went astray"


@pytest.fixture(autouse=True)
def fresh_oracle() -> None:
    oracle.cache_clear()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_blocks(chunk: int) -> None:
    campaign("baseline", f"blocks{chunk}", BLOCKS // CHUNKS)


def test_blocks_on_the_reference_engine() -> None:
    campaign("reference", "reference", max(1, BLOCKS // 10))


def test_blocks_on_an_aarch64_host() -> None:
    """The whole engine, its runtime and its patches, made for AArch64 and run in Unicorn."""
    campaign("aarch64", "aarch64", BLOCKS // 4)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(20))
def test_many_blocks(chunk: int) -> None:
    campaign("baseline", f"many{chunk}", 1000)


# -- holes that are 0, and holes that are equal -----------------------------------------------------------------------
@cache
def single() -> Campaign:
    return Campaign()


@pytest.mark.parametrize(
    "row", [pytest.param(r, id=f"{r.name} {r.layout}") for r in all_rows() if r.oracle == "unicorn"]
)
def test_zero_and_equal_holes(row: Row) -> None:
    c = single()
    rng = random.Random(f"{SEED}/holes/{row.name}/{row.layout}")
    for word in some_words(row, rng, 4):
        word, before = equal_holes(row, word, rng), random_state(rng)
        if c.flat.decode(word) is not row:
            continue
        ours, theirs = c.engines["baseline"].run([word], before), c.oracle.run([word], before)
        diff = differences(ours, theirs)
        assert not diff or explained(row, word, before, ours, theirs), describe(row, word, before, 0, 0) + "\n".join(
            diff
        )
