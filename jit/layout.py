"""Layout of a flat CPU state from one table of rows: name, type, count.  Offsets are derived, in table order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jit.types import Type


@dataclass(frozen=True, slots=True)
class Field:
    """`count` values of `type` from byte `offset` on."""

    name: str
    type: Type
    offset: int
    count: int

    def at(self, index: int) -> int:
        """Offset of element `index`."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name}[{index}] of {self.count}")
        return self.offset + index * self.type.bytes


class Layout:
    """Fields by name (`layout["pc"]`) and offsets as attributes (`layout.pc`)."""

    def __init__(self, rows: Iterable[tuple[str, Type, int]]) -> None:
        self.fields: dict[str, Field] = {}
        at = 0
        for name, type_, count in rows:
            if name in self.fields:
                raise ValueError(f"the layout has two fields called {name}")
            size = type_.bytes
            at = (at + size - 1) & -size
            self.fields[name] = Field(name, type_, at, count)
            at += size * count
        self.size = (at + 63) & -64

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    def __getattr__(self, name: str) -> int:
        try:
            return self.fields[name].offset
        except KeyError:
            raise AttributeError(f"the layout has no field {name}") from None
