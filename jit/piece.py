"""Relocatable pieces of code, and how their fix-ups are written.

A piece is bytes plus fix-ups.  A fix-up names a hole (a number), a symbol (code placed elsewhere), or constant data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache


class LoadError(Exception):
    """LLVM made something that the loader does not know: better to stop than to run wrong code."""


@dataclass(frozen=True, slots=True)
class Fixup:
    """At `offset`, write `name` + addend in format `fmt`, minus the place's address if `relative`.

    A format is that of a struct of one number, or names a field of a host's instructions (FIELDS of jit/host/*.py).
    """

    offset: int
    fmt: str
    name: str
    addend: int
    relative: bool
    data: bytes = b""  # constant pool contents when the target is data, not a name


@dataclass(frozen=True, slots=True)
class Piece:
    """Code of one function.  `falls_through`: its last jump to NEXT was cut off, so the next piece must follow.

    slow: the code that SLOW stands for, which may be placed anywhere and jumps to NEXT.
    """

    name: str
    code: bytes
    fixups: tuple[Fixup, ...]
    falls_through: bool
    slow: Piece | None = None


Writer = Callable[[bytearray, int, int], None]  # (code, offset, number)


@cache
def writer(fmt: str) -> tuple[Writer, int]:
    """What writes a number in a fix-up's format, and the mask to cut the number with before."""
    if len(fmt) == 1:
        packed = struct.Struct("<" + fmt)
        return packed.pack_into, -1 if fmt == "i" else (1 << 8 * packed.size) - 1

    from jit.host.aarch64 import FIELDS  # not on hosts whose holes are whole bytes

    insert = FIELDS[fmt]

    def field(code: bytearray, offset: int, number: int) -> None:
        (word,) = struct.unpack_from("<I", code, offset)
        struct.pack_into("<I", code, offset, insert(word, number))

    return field, -1


def fill(code: bytearray, fixup: Fixup, value: int, place: int) -> None:
    """Write one fix-up: `value` is the number or address, `place` the address that the code will have."""
    number = value + fixup.addend - (place + fixup.offset if fixup.relative else 0)
    write, mask = writer(fixup.fmt)
    write(code, fixup.offset, number & mask)
