"""Which words are defined, per CPU model: the table against LLVM's disassembler and Unicorn, word by word.

XEMU_TEST_WORDS: random words a model and kind (default 15,000); half a million with -m slow.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from functools import cache

import pytest

from targets.arm.models import MODELS
from tests.arm import decode_verdicts as v
from tests.arm.decode_differences import DIFFERENCES, EVERY, explain

WORDS = int(os.environ.get("XEMU_TEST_WORDS", "15000"))
SEED = os.environ.get("XEMU_TEST_SEED", "1")
KINDS = {"uniform": v.uniform, "by row": v.by_row}

needs_llvm = pytest.mark.skipif(not v.LLVM_MC, reason="needs llvm-mc")
seen: Counter[str] = Counter()


@cache
def unicorn(model: str) -> v.Unicorn:
    pytest.importorskip("unicorn")
    return v.Unicorn(model)


def _text(word: int) -> str:
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    return next((f"{a[2]} {a[3]}" for a in engine.disasm_lite(word.to_bytes(4, "little"), 0)), "?")


def compare(words: list[int], model: str, verdicts: dict[str, list[str]]) -> list[str]:
    """What is not explained, a line a word."""
    table, wrong = v.Table(model), []
    for oracle, theirs in verdicts.items():
        for word, their in zip(words, theirs, strict=True):
            ours = table.verdict(word)
            if their in (ours, v.MAYBE):
                continue
            entry = explain(word, model, oracle, ours)
            if entry is None:
                row = table.row(word)
                wrong.append(f"{word:08x} {_text(word)}: {row.name if row else 'no row'}, {oracle} says {their}")
            else:
                seen[entry.name] += 1
    return wrong


def campaign(model: str, kind: str, count: int) -> None:
    words = KINDS[kind](count, random.Random(f"{SEED}/{model}/{kind}"))
    by_llvm = v.llvm(words, model)
    wrong = compare(words, model, {"llvm": by_llvm})
    table = v.Table(model)
    if model == "max":  # see decode_differences.py
        words = [w for w, their in zip(words, by_llvm, strict=True) if their != v.NO or table.verdict(w) == v.YES]
    wrong += compare(words, model, {"unicorn": unicorn(model).verdicts(words)})
    assert not wrong, f"{len(wrong)} of {count} words:\n" + "\n".join(wrong[:100])


@needs_llvm
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS)
def test_verdicts(model: str, kind: str) -> None:
    campaign(model, kind, WORDS)


@needs_llvm
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS)
def test_a_million_verdicts(model: str, kind: str) -> None:
    campaign(model, kind, 500_000)


@pytest.mark.parametrize("model", MODELS)
def test_the_whole_system_space(model: str) -> None:
    words = [base | key << 5 | 1 for base in (0xD510_0000, 0xD530_0000) for key in range(1 << 15)]
    words += [0xD500_0000 | key << 5 | rt for key in range(1 << 15) for rt in (1, 31)]  # hints, barriers, SYS
    wrong = compare(words, model, {"unicorn": unicorn(model).verdicts(words)})
    assert not wrong, "\n".join(wrong)


def test_differences_are_of_models_that_exist() -> None:
    assert set(EVERY) == set(MODELS)
    assert all(set(d.models) <= set(MODELS) and d.reason for d in DIFFERENCES)
    assert len({d.name for d in DIFFERENCES}) == len(DIFFERENCES)
