"""What a disk image is to a block device, and scattered buffers."""

from collections.abc import Iterator, Sequence
from typing import Protocol

SECTOR = 512

Buffers = Sequence[memoryview]


class Image(Protocol):
    """A disk's contents. Offsets and lengths are in bytes, multiples of SECTOR, and inside `size`.

    Every method may be called by several threads at once and raises OSError when the host can't do it.
    """

    size: int
    readonly: bool
    label: str  # what messages call it

    def read(self, offset: int, buffers: Buffers) -> None: ...

    def read_now(self, offset: int, buffers: Buffers) -> bool:
        """Read if that takes no waiting for storage; else False, and what is in the buffers is void."""
        ...

    def write(self, offset: int, buffers: Buffers) -> None: ...

    def flush(self) -> None:
        """What was written before is on stable storage when this returns."""
        ...

    def discard(self, offset: int, length: int) -> None:
        """The contents no longer matter."""
        ...

    def write_zeroes(self, offset: int, length: int, unmap: bool) -> None:
        """Zeros, and with `unmap` the host's storage may be given back."""
        ...

    def close(self) -> None: ...


def total(buffers: Buffers) -> int:
    return sum(len(buffer) for buffer in buffers)


def cut(buffers: Buffers, start: int, length: int) -> list[memoryview]:
    """The part of scattered buffers that begins `start` bytes in."""
    found: list[memoryview] = []
    for buffer in buffers:
        if length <= 0:
            break
        if start >= len(buffer):
            start -= len(buffer)
            continue
        part = buffer[start : start + length]
        start = 0
        length -= len(part)
        found.append(part)
    return found


def pieces(buffers: Buffers, limit: int) -> Iterator[tuple[int, list[memoryview]]]:
    """Parts of at most `limit` bytes, each with its place among all bytes."""
    part: list[memoryview] = []
    begin = position = 0
    for buffer in buffers:
        while len(buffer):
            room = limit - (position - begin)
            taken, buffer = buffer[:room], buffer[room:]
            part.append(taken)
            position += len(taken)
            if position - begin == limit:
                yield begin, part
                part, begin = [], position
    if part:
        yield begin, part
