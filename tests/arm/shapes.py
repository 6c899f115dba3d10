"""Words of a table row: at random, and one for each shape."""

from __future__ import annotations

import itertools
import random

from targets.arm.a64.row import Row
from tests.arm.differential import random_word


def words_by_shape(row: Row, rng: random.Random) -> dict[tuple[int, ...], int]:
    """A word for each shape; register numbers and other holes are random."""
    found: dict[tuple[int, ...], int] = {}
    for values in itertools.product(*(range(1 << p.width) for p in row.shape_parts)):
        for _ in range(8):
            word = row.value | rng.getrandbits(32) & ~row.mask
            for part, value in zip(row.shape_parts, values, strict=True):
                word = word & ~(((1 << part.width) - 1) << part.low) | value << part.low
            if row.matches(word):
                found.setdefault(row.shape(row.split(word)), word)
                break
    if not found:
        word = random_word(row, rng)
        found[row.shape(row.split(word))] = word
    return found


def some_words(row: Row, rng: random.Random, count: int) -> list[int]:
    """Random words of the row; of rows that few words match, each shape in turn."""
    if sum(row.matches(row.value | rng.getrandbits(32) & ~row.mask) for _ in range(500)) > 5:
        return [random_word(row, rng) for _ in range(count)]
    return list(words_by_shape(row, rng).values())[:count]
