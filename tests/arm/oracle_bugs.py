"""Where Unicorn is known to be wrong: data, each with the manual's pseudo-code and a second oracle that agrees with us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from targets.arm.a64.row import Row
from tests.arm.harness import State


@dataclass(frozen=True)
class OracleBug:
    """rows: names that it concerns; holds: whether a case shows it; reason: manual section and second oracle."""

    rows: tuple[str, ...]
    holds: Callable[[int, State, State, State], bool]
    reason: str


ORACLE_BUGS: list[OracleBug] = []


def explained(row: Row, word: int, before: State, ours: State, theirs: State) -> bool:
    """Whether a difference is a known bug of the oracle."""
    return any(row.name in bug.rows and bug.holds(word, before, ours, theirs) for bug in ORACLE_BUGS)
