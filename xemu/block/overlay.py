"""A temporary overlay: reads come from the image below until a place is written, and all writes vanish at the end."""

import os
import tempfile
import threading
from collections.abc import Iterator

from xemu.block.base import Buffers, Image, cut, total
from xemu.block.raw import RawImage
from xemu.errors import UserError

# A page of file systems in use, so that hardly any write needs a copy of what is around it.
CLUSTER = 4096


class Overlay:
    """Whoever opened the image below closes it.

    Whole clusters are above or below: a write of a part brings the rest up first.
    """

    readonly = False

    def __init__(self, below: Image, directory: str | None = None) -> None:
        self._below = below
        self.size = below.size
        self.label = below.label
        self._above = RawImage(_temporary_file(below, directory), below.size, False, below.label, sync=False)
        # One byte per cluster: is it above? A large one costs memory only where it has been written.
        self._present = bytearray(-(-self.size // CLUSTER))
        self._lock = threading.Lock()  # writers take it: two may share a cluster

    def read(self, offset: int, buffers: Buffers) -> None:
        position = offset
        for above, end in self._runs(offset, offset + total(buffers)):
            source = self._above if above else self._below
            source.read(position, cut(buffers, position - offset, end - position))
            position = end

    def read_now(self, offset: int, buffers: Buffers) -> bool:
        position = offset
        for above, end in self._runs(offset, offset + total(buffers)):
            source = self._above if above else self._below
            if not source.read_now(position, cut(buffers, position - offset, end - position)):
                return False
            position = end
        return True

    def _runs(self, start: int, end: int) -> Iterator[tuple[bool, int]]:
        """(above, end) of each stretch that is all above or all below."""
        while start < end:
            cluster = start // CLUSTER
            above = self._present[cluster]
            last = -(-end // CLUSTER)
            change = self._present.find(b"\0" if above else b"\1", cluster, last)
            start = min(end, (change if change >= 0 else last) * CLUSTER)
            yield bool(above), start

    def write(self, offset: int, buffers: Buffers) -> None:
        length = total(buffers)
        with self._lock:
            self._bring_edges(offset, length)
            self._above.write(offset, buffers)
            self._mark(offset, length)

    def write_zeroes(self, offset: int, length: int, unmap: bool) -> None:
        with self._lock:
            self._bring_edges(offset, length)
            self._above.write_zeroes(offset, length, True)
            self._mark(offset, length)

    def discard(self, offset: int, length: int) -> None:
        self.write_zeroes(offset, length, True)  # gives back what was written above

    def _bring_edges(self, offset: int, length: int) -> None:
        for edge in (offset, offset + length):
            cluster = edge // CLUSTER
            if edge % CLUSTER and edge < self.size and not self._present[cluster]:
                start = cluster * CLUSTER
                copy = memoryview(bytearray(min(CLUSTER, self.size - start)))
                self._below.read(start, [copy])
                self._above.write(start, [copy])
                self._present[cluster] = 1

    def _mark(self, offset: int, length: int) -> None:
        first, last = offset // CLUSTER, -(-(offset + length) // CLUSTER)
        if length:
            self._present[first:last] = b"\1" * (last - first)

    def flush(self) -> None:
        """Nothing here is to survive."""

    def close(self) -> None:
        self._above.close()


def _temporary_file(below: Image, directory: str | None) -> int:
    """A file without a name. Not in /tmp, which is often in memory: the overlay may become as large as the disk."""
    folder = directory or os.environ.get("TMPDIR") or ("/var/tmp" if os.path.isdir("/var/tmp") else None)
    try:
        with tempfile.TemporaryFile(prefix="xemu-snapshot-", dir=folder) as file:
            os.ftruncate(file.fileno(), below.size)
            return os.dup(file.fileno())
    except OSError as error:
        raise UserError(
            f"{below.label}: can't make the overlay of {below.size >> 20} MiB in '{folder or tempfile.gettempdir()}':"
            f" {error.strerror}; name another folder with TMPDIR"
        ) from None
