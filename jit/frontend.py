"""What the engines need to know of a guest: how to decode, what an instruction means, where its state is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jit.ir import Function


@dataclass(slots=True)
class Decoded:
    """One distinct instruction word in one mode.

    key: the shape, equal for all words that share code.  ends: "" (goes on), "jump" (never goes on), "branch" (may go
    on), "sync" (ends the block).  displacement: byte distance of a direct branch's target, or None.  before: names of
    the engine's inserts that belong before it.
    """

    word: int
    key: Hashable
    ends: str
    displacement: int | None
    detail: Any
    before: tuple[str, ...] = ()


class Frontend(Protocol):
    """A guest architecture with instructions of `insn_size` bytes."""

    insn_size: int

    @property
    def identity(self) -> str:
        """All that decoding depends on besides the word and the mode; asked before the first word is decoded."""
        ...

    def decode(self, word: int, mode: int) -> Decoded:
        """Decode a word; words that are undefined decode to the instruction that raises the exception."""
        ...

    def lift(self, decoded: Decoded, mode: int, near: bool) -> Function:
        """The stencil of the word's shape; near: a direct branch's target is in the same page."""
        ...

    def holes(self, decoded: Decoded, mode: int, near: bool) -> Mapping[str, int]:
        """Values of the holes of the stencil that `lift` gave, but for PC."""
        ...

    def shape_mode(self, decoded: Decoded, mode: int) -> int:
        """The part of the mode that changes this shape's code."""
        ...

    def single(self, mode: int) -> bool:
        """In this mode every instruction is a block of its own, behind which `lookup` looks around."""
        ...

    def disassemble(self, word: int, address: int) -> str: ...
