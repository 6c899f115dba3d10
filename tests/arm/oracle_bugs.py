"""Where Unicorn is known to be wrong: data, each with the manual's pseudo-code and a second oracle that agrees with us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from targets.arm.a64.row import Row
from targets.arm.a64.table import all_rows
from tests.arm.harness import State


@dataclass(frozen=True)
class OracleBug:
    """rows: names that it concerns; holds: whether a case shows it; reason: manual section and second oracle."""

    rows: tuple[str, ...]
    holds: Callable[[int, State, State, State], bool]
    reason: str


_LOADS_STORES = ("loads_stores", "loads_stores_exclusive", "loads_stores_atomic", "simd_loads_stores")


def _rows_of(*modules: str) -> tuple[str, ...]:
    return tuple(r.name for r in all_rows() if r.lift.__module__.rpartition(".")[2] in modules)


def _part_done(word: int, before: State, ours: State, theirs: State) -> bool:
    """Both fault, and they differ only in memory just before the end of what is mapped, or in loaded registers."""
    if (ours.outcome, theirs.outcome) != ("fault", "fault"):
        return False
    if (ours.x, ours.sp, ours.nzcv, ours.fpcr, ours.fpsr) != (theirs.x, theirs.sp, theirs.nzcv, theirs.fpcr, theirs.fpsr):
        return False
    loaded = {(word + k) & 31 for k in range(4)} | {(word >> 10) & 31}
    vectors = all(ours.v[k] == theirs.v[k] for k in range(32) if k not in loaded)
    return vectors and ours.memory[:-64] == theirs.memory[:-64]


ORACLE_BUGS: list[OracleBug] = [
    OracleBug(
        _rows_of(*_LOADS_STORES),
        _part_done,
        "Not wrong, but unlike: D1.13.4 (restart of instructions that take a Data Abort) leaves the registers that are "
        "loaded, and the memory in pages that may be written, UNKNOWN when a later part of the access faults.  Unicorn "
        "without page tables writes up to the end of what is mapped; qemu-system-aarch64 checks both pages first.",
    ),
]


def explained(row: Row, word: int, before: State, ours: State, theirs: State) -> bool:
    """Whether a difference is a known bug of the oracle."""
    return any(row.name in bug.rows and bug.holds(word, before, ours, theirs) for bug in ORACLE_BUGS)
