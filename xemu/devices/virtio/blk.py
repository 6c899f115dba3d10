"""Block device (virtio 1.2, section 5.2): a disk image as `/dev/vda` of a Linux guest.

A notification only takes requests from the queue and checks them; workers do the waiting for the host (none is needed
where data to read is in its memory), several requests at a time and in any order, which the specification leaves to the
device: a driver that needs an order waits, and a flush covers the writes that were complete when it was asked for. Then
the machine's lock is taken to give the request back.
"""

import struct
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from xemu.block.base import SECTOR, Buffers, Image, cut, pieces, total
from xemu.block.workers import Workers
from xemu.cli import log
from xemu.devices.virtio.device import VirtioDevice
from xemu.devices.virtio.queue import Chain, QueueError

F_SEG_MAX = 1 << 2
F_RO = 1 << 5
F_BLK_SIZE = 1 << 6
F_FLUSH = 1 << 9
F_CONFIG_WCE = 1 << 11
F_DISCARD = 1 << 13
F_WRITE_ZEROES = 1 << 14

T_IN, T_OUT, T_FLUSH, T_GET_ID, T_DISCARD, T_WRITE_ZEROES = 0, 1, 4, 8, 11, 13
S_OK, S_IOERR, S_UNSUPP = 0, 1, 2

QUEUE_SIZE = 256
ID_LENGTH = 20
# Bounds on one range: a gigabyte, so that even where the host has to write zeros the time stays in seconds; and on
# their number, what Linux makes of a file system's discards at most times.
MAX_RANGE_SECTORS = 1 << 21
MAX_DISCARD_RANGES = 32
MAX_ZERO_RANGES = 1
# Between two pieces of a request a worker looks whether the driver has reset the device: how long that may take.
_PIECE = 8 << 20
# What the host has in memory is read without a worker: copying it takes less time than telling somebody to. So many
# bytes at most in one notification, for which the vCPU waits.
_AT_ONCE = 1 << 20

_HEADER = struct.Struct("<IIQ")  # type, reserved, sector
_RANGE = struct.Struct("<QII")  # sector, sectors, flags
_UNMAP = 1  # the one flag of a range
# capacity, size_max, seg_max, geometry (3), blk_size, topology (4), writeback, unused, num_queues, then max sectors,
# max ranges and alignment of discards, max sectors and max ranges of zeroing, zeroing may unmap
_CONFIG = struct.Struct("<QIIHBBIBBHIBBHIIIIIB3x")
_WRITEBACK = 32  # offset of that field


class Executor(Protocol):
    def submit(self, job: Callable[[], None], done: Callable[[], None]) -> None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class _Refused(Exception):
    """The request is not carried out; it goes back with this status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Request:
    """One chain taken apart: header, data and status byte, wherever buffers begin and end (section 5.2.6)."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        readable, writable = chain.views()
        to_read, to_write = total(readable), total(writable)
        if to_read < _HEADER.size or to_write < 1:
            raise QueueError(f"chain {chain.head}: a block request without room for its header and status")
        if len(readable[0]) == _HEADER.size and len(writable[-1]) == 1:  # what drivers do, though they need not
            header, self.output = readable[0], readable[1:]
            self.input, self._status = writable[:-1], writable[-1]
        else:
            header = b"".join(cut(readable, 0, _HEADER.size))
            self.output = cut(readable, _HEADER.size, to_read - _HEADER.size)
            self.input = cut(writable, 0, to_write - 1)
            self._status = cut(writable, to_write - 1, 1)[0]
        self.kind, _, self.sector = _HEADER.unpack(header)
        self.size_in, self.size_out = to_write - 1, to_read - _HEADER.size
        self.status = S_OK
        self.filled = 0  # bytes of `input` that are valid

    def set_status(self) -> int:
        """Store the status; how many bytes, from the first on, the device has written."""
        self._status[0] = self.status
        return self.filled + 1 if self.filled == self.size_in else self.filled


class VirtioBlk(VirtioDevice):
    name = "virtio-blk"
    device_id = 2
    queue_sizes = (QUEUE_SIZE,)

    def __init__(
        self,
        image: Image,
        lock: AbstractContextManager[object],
        workers: Executor | None = None,
        serial: str = "",
        *,
        write_cache: bool = True,
        discard: bool = True,
        write_zeroes: bool = True,
    ) -> None:
        self._image = image
        self._lock = lock
        self._workers = workers if workers is not None else Workers("virtio-blk")
        self._serial = serial.encode()[:ID_LENGTH]
        self._cache_default = self._write_cache = write_cache
        self.features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_CONFIG_WCE
        if image.readonly:
            self.features |= F_RO
        else:
            self.features |= (F_DISCARD if discard else 0) | (F_WRITE_ZEROES if write_zeroes else 0)
        self._in_flight = 0
        self._at_once = 0  # bytes that may still be read in this notification
        self._epoch = 0  # counts resets: who started in an older one has nothing to say any more
        self._reported: set[int] = set()

    def config(self) -> bytes:
        return _CONFIG.pack(
            *(self._image.size // SECTOR, 0, QUEUE_SIZE - 2, 0, 0, 0, SECTOR, 0, 0, 0, 0),
            *(int(self._write_cache), 0, 1, MAX_RANGE_SECTORS, MAX_DISCARD_RANGES, 1),
            *(MAX_RANGE_SECTORS, MAX_ZERO_RANGES, 1),
        )

    def write_config(self, offset: int, data: bytes) -> None:
        if offset == _WRITEBACK and self.transport.driver_features & F_CONFIG_WCE:
            self._write_cache = bool(data[0] & 1)

    def reset(self) -> None:
        """When this returns nothing reaches the guest's memory any more: it may be another guest's."""
        self._epoch += 1
        self._in_flight = 0
        self._workers.cancel()
        self._write_cache = self._cache_default

    def close(self) -> None:
        """The machine has stopped."""
        self._epoch += 1
        self._workers.close()

    def _writes_through(self) -> bool:
        """A driver that can't ask for a flush gets each write on stable storage (5.2.6.2), as does one that says so."""
        return not self._write_cache or not self.transport.driver_features & F_FLUSH

    # Taking requests, under the machine's lock

    def notify(self, index: int) -> None:
        queue = self.transport.queues[index]
        self._at_once = _AT_ONCE
        # No more than the queue holds per notification: each new request brings a notification of its own.
        for _ in range(queue.size):
            chain = queue.pop()
            if chain is None:
                return
            if self._in_flight >= queue.size:  # only possible when descriptors are used twice; bounds what waits here
                raise QueueError(f"more than {queue.size} requests at a time")
            self._in_flight += 1
            self._start(_Request(chain))

    def _start(self, request: _Request) -> None:
        epoch = self._epoch
        try:
            action = self._prepare(request)
        except _Refused as refused:
            if log.enabled("guest_errors"):
                log.write("guest_errors", f"{self.name}: {refused}")
            request.status = refused.status
            self._give_back(request, epoch)
            return
        if action is None:
            self._give_back(request, epoch)
            return
        self._workers.submit(lambda: self._carry_out(request, action), lambda: self._give_back(request, epoch))

    def _prepare(self, request: _Request) -> Callable[[], None] | None:
        """What a worker has to do, with everything that comes from the guest checked and copied; None: it is done."""
        prepare = self._REQUESTS.get(request.kind)
        if prepare is None:
            raise _Refused(S_UNSUPP, f"there is no request of type {request.kind}")
        return prepare(self, request)

    def _check(self, sector: int, length: int) -> int:
        """The offset of a range inside the disk."""
        if length % SECTOR:
            raise _Refused(S_IOERR, f"{length} bytes are not whole sectors")
        if sector * SECTOR + length > self._image.size:
            raise _Refused(S_IOERR, f"{length // SECTOR} sectors at {sector} are beyond the end of the disk")
        return sector * SECTOR

    def _check_writable(self) -> None:
        if self._image.readonly:
            raise _Refused(S_IOERR, "the disk is read-only")

    def _prepare_read(self, request: _Request) -> Callable[[], None] | None:
        offset, size = self._check(request.sector, request.size_in), request.size_in
        epoch = self._epoch
        if size <= self._at_once and self._image.read_now(offset, request.input):
            self._at_once -= size
            request.filled = size
            return None

        def read() -> None:
            self._in_pieces(epoch, self._image.read, offset, request.input, size)
            request.filled = size

        return read

    def _prepare_write(self, request: _Request) -> Callable[[], None]:
        self._check_writable()
        offset = self._check(request.sector, request.size_out)
        through, epoch = self._writes_through(), self._epoch

        def write() -> None:
            self._in_pieces(epoch, self._image.write, offset, request.output, request.size_out)
            if through:
                self._image.flush()

        return write

    def _in_pieces(
        self, epoch: int, transfer: Callable[[int, Buffers], None], offset: int, buffers: Buffers, size: int
    ) -> None:
        if size <= _PIECE:
            transfer(offset, buffers)
            return
        for position, part in pieces(buffers, _PIECE):
            if epoch != self._epoch:
                return
            transfer(offset + position, part)

    def _prepare_flush(self, request: _Request) -> Callable[[], None]:
        return self._image.flush if not self._image.readonly else lambda: None

    def _prepare_id(self, request: _Request) -> Callable[[], None]:
        def identify() -> None:
            left = self._serial.ljust(ID_LENGTH, b"\0")
            for buffer in request.input:
                part, left = left[: len(buffer)], left[len(buffer) :]
                buffer[: len(part)] = part
                request.filled += len(part)

        return identify

    def _prepare_discard(self, request: _Request) -> Callable[[], None]:
        ranges = self._ranges(request, F_DISCARD, MAX_DISCARD_RANGES, 0)
        through = self._writes_through()

        def discard() -> None:
            for offset, length, _ in ranges:
                self._image.discard(offset, length)
            if through:
                self._image.flush()

        return discard

    def _prepare_zeroes(self, request: _Request) -> Callable[[], None]:
        ranges = self._ranges(request, F_WRITE_ZEROES, MAX_ZERO_RANGES, _UNMAP)
        through = self._writes_through()

        def write_zeroes() -> None:
            for offset, length, flags in ranges:
                self._image.write_zeroes(offset, length, bool(flags & _UNMAP))
            if through:
                self._image.flush()

        return write_zeroes

    def _ranges(self, request: _Request, feature: int, most: int, allowed: int) -> list[tuple[int, int, int]]:
        """(offset, length, flags) of a request that carries ranges."""
        self._check_writable()
        if not self.features & feature:
            raise _Refused(S_UNSUPP, f"requests of type {request.kind} are not offered")
        size = request.size_out
        if size % _RANGE.size or not 0 < size <= most * _RANGE.size:
            raise _Refused(S_IOERR, f"{size} bytes of ranges; there may be 1 to {most} ranges of {_RANGE.size} bytes")
        found: list[tuple[int, int, int]] = []
        for sector, sectors, flags in _RANGE.iter_unpack(b"".join(request.output)):
            if flags & ~allowed:
                raise _Refused(S_UNSUPP, f"flags {flags:#x} of a range are not supported")
            if sectors > MAX_RANGE_SECTORS:
                raise _Refused(S_IOERR, f"a range of {sectors} sectors; the limit is {MAX_RANGE_SECTORS}")
            found.append((self._check(sector, sectors * SECTOR), sectors * SECTOR, flags))
        return found

    # In a worker's thread

    def _carry_out(self, request: _Request, action: Callable[[], None]) -> None:
        request.status = S_IOERR
        try:
            action()
            request.status = S_OK
        except OSError as error:
            self._report(error)

    def _report(self, error: OSError) -> None:
        """The guest sees an I/O error; its user learns the host's reason, once."""
        if error.errno not in self._reported:
            self._reported.add(error.errno or 0)
            print(f"xemu: {self._image.label}: {error.strerror}; the guest gets an I/O error", file=sys.stderr)

    def _give_back(self, request: _Request, epoch: int) -> None:
        with self._lock:
            if epoch != self._epoch:
                request.chain.written()  # what was read before the reset is in memory all the same
                return
            written = request.set_status()
            request.chain.written()
            self._in_flight -= 1
            if self.transport.running:  # else it broke the rules meanwhile
                self.push(0, request.chain, written)

    _REQUESTS: ClassVar[dict[int, Callable[["VirtioBlk", _Request], Callable[[], None] | None]]] = {
        T_IN: _prepare_read,
        T_OUT: _prepare_write,
        T_FLUSH: _prepare_flush,
        T_GET_ID: _prepare_id,
        T_DISCARD: _prepare_discard,
        T_WRITE_ZEROES: _prepare_zeroes,
    }
