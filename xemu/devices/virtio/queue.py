"""Split virtqueues, from the device's side (virtio 1.2, section 2.7).

Everything in a queue's memory is the guest's to change at any moment. So each value is read once and checked before
use, every loop has a bound, and a violation raises QueueError, upon which the transport stops the device until the
driver resets it.
"""

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from xemu.memory import AddressSpace, BusError

_NEXT, _WRITE, _INDIRECT = 1, 2, 4  # descriptor flags
_NO_INTERRUPT = 1  # flag of the available ring
_DESCRIPTOR = struct.Struct("<QIHH")
_U16 = struct.Struct("<H")
_USED = struct.Struct("<II")  # head, bytes written
# The longest chain, with or without an indirect table: what the driver may use is at most the queue size by the
# specification, but drivers in use make indirect tables longer than that; other emulators stop at this figure, too.
MAX_CHAIN = 1024
# The specification's limit on the bytes of one chain.
_MAX_BYTES = 1 << 32
MAX_QUEUE_SIZE = 1 << 15

# Taking any lock orders this thread's stores before its later loads, which the ring protocol needs and Python has no
# other word for.
_barrier = threading.Lock()


class QueueError(Exception):
    """The driver broke the rules of the queue."""


@dataclass(frozen=True)
class Chain:
    """One request: buffers the device reads, then buffers it writes, each as (address, length)."""

    memory: AddressSpace
    head: int
    readable: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    writable: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    @property
    def readable_size(self) -> int:
        return sum(length for _, length in self.readable)

    @property
    def writable_size(self) -> int:
        return sum(length for _, length in self.writable)

    def read(self, limit: int) -> bytes:
        """All readable bytes; QueueError above `limit`, since the same memory may be named many times over."""
        if self.readable_size > limit:
            raise QueueError(f"a request of {self.readable_size} bytes; this device takes {limit}")
        return b"".join(_read(self.memory, address, length) for address, length in self.readable)

    def views(self) -> tuple[list[memoryview], list[memoryview]]:
        """The buffers themselves, to read and to write; `written` has to follow what is put into the latter."""
        try:
            return (
                [self.memory.ram_view(address, length, False) for address, length in self.readable],
                [self.memory.ram_view(address, length, True) for address, length in self.writable],
            )
        except BusError as error:
            raise QueueError(f"a buffer is outside RAM: {error}") from None

    def written(self) -> None:
        """Tell the memory that the writable buffers were filled through their views."""
        for address, length in self.writable:
            self.memory.ram_written(address, length)

    def write(self, data: bytes) -> int:
        """Fill the writable buffers from their start with as much as fits; the number of bytes written."""
        position = 0
        for address, length in self.writable:
            if position == len(data):
                break
            part = data[position : position + length]
            try:
                self.memory.write_bytes(address, part)
            except BusError as error:
                raise QueueError(f"a buffer is outside RAM: {error}") from None
            position += len(part)
        return position


def _read(memory: AddressSpace, address: int, length: int) -> bytes:
    try:
        return memory.read_bytes(address, length)
    except BusError as error:
        raise QueueError(f"a ring or buffer is outside RAM: {error}") from None


class Queue:
    """One virtqueue. The transport sets size and addresses; the device pops requests and pushes their results."""

    def __init__(self, memory: AddressSpace, max_size: int) -> None:
        self._memory = memory
        self.max_size = max_size
        self.reset()

    def reset(self) -> None:
        self.size = self.max_size
        self.ready = False
        self.descriptors = 0
        self.available = 0
        self.used = 0
        self.indirect = False  # VIRTIO_F_INDIRECT_DESC was negotiated
        # The three parts in memory, as check() has found them.
        self._table = self._available_ring = self._used_ring = memoryview(b"")
        self._next_available = 0
        self._next_used = 0

    def check(self) -> None:
        """The layout, when the driver declares the queue ready."""
        self._table = self._part("descriptor table", self.descriptors, 16, 16 * self.size)
        self._available_ring = self._part("available ring", self.available, 2, 6 + 2 * self.size)
        self._used_ring = self._part("used ring", self.used, 4, 6 + 8 * self.size, write=True)

    def _part(self, name: str, address: int, alignment: int, length: int, write: bool = False) -> memoryview:
        if address % alignment:
            raise QueueError(f"the {name} at {address:#x} is not aligned to {alignment}")
        try:
            return self._memory.ram_view(address, length, write)
        except BusError as error:
            raise QueueError(f"the {name} is outside RAM: {error}") from None

    def pop(self) -> Chain | None:
        """The next request, or None."""
        (available,) = _U16.unpack_from(self._available_ring, 2)
        waiting = available - self._next_available & 0xFFFF
        if waiting == 0:
            return None
        if waiting > self.size:
            raise QueueError(f"the available index jumped by {waiting} in a queue of {self.size}")
        (head,) = _U16.unpack_from(self._available_ring, 4 + 2 * (self._next_available % self.size))
        self._next_available = self._next_available + 1 & 0xFFFF
        return self._walk(head)

    def push(self, chain: Chain, written: int) -> bool:
        """Give a request back with the number of bytes written to it; whether the driver wants an interrupt."""
        ring = self._used_ring
        _USED.pack_into(ring, 4 + 8 * (self._next_used % self.size), chain.head, written)
        self._next_used = self._next_used + 1 & 0xFFFF
        with _barrier:  # the entry is there before the index says so
            _U16.pack_into(ring, 2, self._next_used)
        self._memory.ram_written(self.used, len(ring))
        with _barrier:
            pass
        return not self._available_ring[0] & _NO_INTERRUPT

    def _walk(self, head: int) -> Chain:
        chain = Chain(self._memory, head)
        total = 0
        for address, length, writable in self._descriptors(head):
            if writable:
                chain.writable.append((address, length))
            elif chain.writable:
                raise QueueError(f"chain {head}: a buffer to read follows one to write")
            else:
                chain.readable.append((address, length))
            total += length
            if total > _MAX_BYTES:
                raise QueueError(f"chain {head}: more than {_MAX_BYTES} bytes")
        return chain

    def _descriptors(self, head: int) -> Iterator[tuple[int, int, bool]]:
        """(address, length, writable) along a chain; a loop in it ends at the table's size."""
        table, count, index, nested = self._table, self.size, head, False
        steps = 0
        while True:
            if index >= count:
                raise QueueError(f"chain {head}: descriptor {index} of a table of {count}")
            steps += 1
            if steps > min(count, MAX_CHAIN):
                raise QueueError(f"chain {head}: longer than {min(count, MAX_CHAIN)} descriptors")
            address, length, flags, following = _DESCRIPTOR.unpack_from(table, 16 * index)
            if flags & _INDIRECT:
                if nested or flags & _NEXT or not self.indirect:
                    raise QueueError(f"chain {head}: an indirect table is not allowed here")
                if length == 0 or length % 16:
                    raise QueueError(f"chain {head}: an indirect table of {length} bytes")
                count, index, nested = length // 16, 0, True
                table = self._part("indirect table", address, 1, length)
                steps = 0  # a second bound for the second table; there is no third
                continue
            yield address, length, bool(flags & _WRITE)
            if not flags & _NEXT:
                return
            index = following
