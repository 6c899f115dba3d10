"""Every row of the table: both engines against its oracle, and capstone's name for its words.

XEMU_TEST_CASES: random cases a row on the baseline engine (default 6); the reference engine gets a third of them.
The campaign of hundreds a row is `python -m tests.arm.differential`.
"""

from __future__ import annotations

import os
import random
import re
from functools import cache
from pathlib import Path

import pytest

from targets.arm.a64.frontend import FP_TRAP, UNDEFINED
from targets.arm.a64.row import Row
from targets.arm.a64.table import Decoder, all_rows
from tests.arm.capstone_names import DIFFERENCES
from tests.arm.differential import FEATURES, Campaign
from tests.arm.shapes import some_words

CASES = int(os.environ.get("XEMU_TEST_CASES", "6"))
SEED = int(os.environ.get("XEMU_TEST_SEED", "1"))
PROGRAMS = Path(__file__).resolve().parent.parent / "baremetal"

ALL = [pytest.param(r, id=f"{r.name} {r.layout}") for r in all_rows()]
UNICORN = [pytest.param(r, id=f"{r.name} {r.layout}") for r in all_rows() if r.oracle == "unicorn"]
QEMU = [pytest.param(r, id=r.name) for r in all_rows() if r.oracle == "qemu"]


@cache
def campaign() -> Campaign:
    pytest.importorskip("unicorn")
    return Campaign()


@pytest.mark.parametrize("row", UNICORN)
def test_row_against_unicorn(row: Row) -> None:
    for cases, engine in ((CASES, "baseline"), (max(1, min(CASES // 3, row.reference_cases)), "reference")):
        failures = list(campaign().run_row(row, cases, SEED, (engine,)))
        assert not failures, "\n".join(failures)


@pytest.mark.parametrize("row", ALL)
def test_each_row_names_an_oracle(row: Row) -> None:
    assert row.oracle in ("unicorn", "qemu")


@cache
def _programs() -> str:
    return "\n".join(p.read_text() for p in sorted(PROGRAMS.rglob("*.S"))).lower()


@pytest.mark.parametrize("row", QEMU)
def test_a_bare_metal_program_has_the_instruction(row: Row) -> None:
    words = re.sub(r"[\[(].*?[\])]", " ", row.name).lower().split()
    assert re.search(r"\b" + r"\s+".join(map(re.escape, words)) + r"\b", _programs()), f"no program has {row.name}"


@pytest.mark.parametrize("row", ALL)
def test_words_of_a_row_decode_to_it(row: Row) -> None:
    """No row stands in another's way but where the two say so by their order."""
    decoder, rng = Decoder(FEATURES), random.Random(f"{SEED}/{row.name}/{row.layout}")
    words = some_words(row, rng, 64)
    assert any(decoder.row(word) is row for word in words), f"no word of {row.name} decodes to it"


@pytest.mark.parametrize("row", ALL)
def test_capstone_agrees_on_the_name(row: Row) -> None:
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    decoder, rng = Decoder(FEATURES), random.Random(f"{SEED}/{row.name}/{row.layout}")
    names: dict[str, int] = {}
    for word in some_words(row, rng, 200):
        if decoder.row(word) is row:
            for _, _, name, _ in engine.disasm_lite(word.to_bytes(4, "little"), 0x1000):
                names.setdefault(name, word)
    wrong = {f"{word:08x} {name}" for name, word in names.items() if name not in row.capstone}
    wrong -= {text for text in wrong if text.split()[1] in DIFFERENCES.get(row.name, ())}
    assert not wrong, f"{row.name}: capstone says {sorted(wrong)}"


def test_rows_are_told_apart_in_every_run() -> None:
    """What compiled code is found by in later runs."""
    rows = [*all_rows(), UNDEFINED, FP_TRAP]
    assert len({r.identity for r in rows}) == len(rows)
