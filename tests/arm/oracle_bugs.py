"""Where Unicorn is known to be wrong: data, each with the manual's pseudo-code and a second oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from targets.arm.a64.row import Row
from targets.arm.a64.table import all_rows
from tests.arm.harness import DATA, MASK64, State


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
    general = [(s.x, s.sp, s.nzcv, s.fpcr, s.fpsr) for s in (ours, theirs)]
    if general[0] != general[1]:
        return False
    loaded = {(word + k) & 31 for k in range(4)} | {(word >> 10) & 31}
    vectors = all(ours.v[k] == theirs.v[k] for k in range(32) if k not in loaded)
    return vectors and ours.memory[:-64] == theirs.memory[:-64]


def _base(word: int, before: State) -> int:
    """X[n] or SP: the address of a load or store without offset."""
    n = (word >> 5) & 31
    return before.sp if n == 31 else before.x[n]


def _misaligned(word: int, before: State, ours: State, theirs: State) -> bool:
    """An ordered access that is not aligned faults here and is done there (word<31:30> is its size)."""
    return ours.outcome == "fault" and _base(word, before) & ((1 << (word >> 30)) - 1) != 0


def _signed_minmax(word: int, before: State, ours: State, theirs: State) -> bool:
    """Only the memory operand differs."""
    at = _base(word, before) - DATA
    size = 1 << (word >> 30)
    same = [State(s.x, s.sp, s.v, s.nzcv, s.fpcr, s.fpsr, s.pc, b"", s.outcome) for s in (ours, theirs)]
    outside = [s.memory[:at] + s.memory[at + size :] for s in (ours, theirs)]
    return same[0] == same[1] and outside[0] == outside[1]


ORACLE_BUGS: list[OracleBug] = [
    OracleBug(
        tuple(f"{name}{size}" for name in ("LDAR", "LDLAR", "LDAPR", "STLR", "STLLR") for size in ("H", "")),
        _misaligned,
        "B2.5.2 (alignment of data accesses): without FEAT_LSE2 a Load-Acquire, Load-AcquirePC or Store-Release that "
        "is not naturally aligned takes an Alignment fault (AArch64.CheckAlignment).  qemu-system-aarch64 7.2 faults "
        "on all but LDAPR.",
    ),
    OracleBug(
        tuple(f"LDS{kind}{size}" for kind in ("MAX", "MIN") for size in ("B", "H", "")),
        _signed_minmax,
        "MemAtomic() of LDSMAX and LDSMIN: SInt(value) > SInt(operand), both of the access's width.  Unicorn does not "
        "sign-extend what it reads from memory; qemu-system-aarch64 7.2 does.",
    ),
    OracleBug(
        tuple(f"ST{order}X{size}" for order in ("", "L") for size in ("RB", "RH", "R", "P")),
        lambda word, before, ours, theirs: theirs.outcome == "fault" and _base(word, before) == MASK64,
        "B2.9.2: a Store-Exclusive without a Load-Exclusive before it fails.  Unicorn's monitor holds the address ~0 "
        "when it is open, and takes a store there for one that matches.",
    ),
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
