"""What the A64 rows and the runtime lift to: valid IR, before and behind each pass, that survives its text form."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator

import pytest

from jit import passes
from jit.ir import Function
from jit.text import parse, to_text
from jit.verify import verify
from targets.arm.a64.lift import Mode, lift
from targets.arm.a64.row import Row
from targets.arm.a64.table import MODULES, all_rows

RUNTIME = ("access", "dispatch", "exceptions", "fp_runtime", "mmu", "slow_access", "tlb", "walk")
MODES = (Mode(), Mode(el=0))


def shapes(row: Row, rng: random.Random, words: int = 30, most: int = 6) -> set[tuple[int, ...]]:
    """Some shapes of a row, from random words."""
    out: set[tuple[int, ...]] = set()
    for _ in range(words):
        word = rng.getrandbits(32) & ~row.mask | row.value
        if row.matches(word) and len(out) < most:
            out.add(row.shape(row.split(word)))
    return out


def lifted(module: str) -> Iterator[Function]:
    rng = random.Random(module)
    for row in importlib.import_module(f"targets.arm.a64.{module}").ROWS:
        for shape in shapes(row, rng):
            yield lift(row, shape, rng.choice(MODES), rng.random() < 0.5).function


def check(f: Function) -> None:
    verify(f)
    text = to_text(f)
    again = parse(text)[0]
    assert to_text(again) == text
    verify(again)
    passes.run(f, after=lambda name, g: verify(g))


@pytest.mark.parametrize("module", MODULES)
def test_rows(module: str) -> None:
    for f in lifted(module):
        check(f)


@pytest.mark.parametrize("module", RUNTIME)
def test_runtime(module: str) -> None:
    functions = importlib.import_module(f"targets.arm.{module}").functions()
    assert functions
    for f in functions:
        check(f)


def test_every_module_has_rows() -> None:
    assert len(all_rows()) > 500
