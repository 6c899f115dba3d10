"""The A64 table: all rows, and the decoder that finds a word's row.

The row decides what a word is (bit layout, feature, `where`); capstone names it.  Words are found through their bits
28..25 and 31..29, 24..21: the table is small enough that a list a bucket is all it takes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache, cached_property

from targets.arm.a64.row import Row

# One module a class of the manual's encoding index; each has ROWS.
MODULES = (
    "data_processing_immediate",
    "branches",
    "system",
    "loads_stores",
    "loads_stores_exclusive",
    "loads_stores_atomic",
    "simd_loads_stores",
    "data_processing_register",
    "crypto",
    "fp",
    "simd_scalar",
    "simd_three_same",
    "simd_three_different",
    "simd_two_reg_misc",
    "simd_across_lanes",
    "simd_by_element",
    "simd_shift_immediate",
    "simd_modified_immediate",
    "simd_permute_copy",
)

_BUCKET = 0xFFE0_0000  # bits 31..21


@cache
def all_rows() -> tuple[Row, ...]:
    rows: list[Row] = []
    for name in MODULES:
        try:
            module = importlib.import_module(f"targets.arm.a64.{name}")
        except ModuleNotFoundError as e:
            if e.name == f"targets.arm.a64.{name}":
                continue
            raise
        rows.extend(module.ROWS)
    return tuple(rows)


class Decoder:
    """Finds the row of a word among the rows that a CPU's features allow."""

    def __init__(self, features: Iterable[str] = ()) -> None:
        self._features = frozenset(("", *features))
        self._buckets: dict[int, tuple[Row, ...]] = {}

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows that there are with these features.  Loads the table, which a start may never ask."""
        return tuple(r for r in all_rows() if r.feature in self._features)

    def row(self, word: int) -> Row | None:
        """The row that describes `word`; None where it is undefined."""
        key = word & _BUCKET
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = tuple(r for r in self.rows if (key ^ r.value) & r.mask & _BUCKET == 0)
            self._buckets[key] = bucket
        for r in bucket:
            if word & r.mask == r.value and (r.where is None or r.where(r.split(word))):
                return r
        return None
