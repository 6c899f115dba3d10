"""The block device, with good drivers and bad ones, on images in memory and in files."""

import struct
import threading

import pytest
from virtio_driver import INTERRUPT_STATUS, RAM, RAM_SIZE, STATUS, WRITE, Buffer, Driver

from xemu.block.raw import open_raw
from xemu.block.workers import Workers
from xemu.devices.virtio import blk
from xemu.devices.virtio.blk import (
    F_CONFIG_WCE,
    F_DISCARD,
    F_FLUSH,
    F_RO,
    F_WRITE_ZEROES,
    S_IOERR,
    S_OK,
    S_UNSUPP,
    T_DISCARD,
    T_FLUSH,
    T_GET_ID,
    T_IN,
    T_OUT,
    T_WRITE_ZEROES,
    VirtioBlk,
)
from xemu.devices.virtio.mmio import F_VERSION_1

SECTORS = 64
CAPACITY = SECTORS * 512
CONFIG = 0x100
PENDING = 0xEE  # what the tests put where the device is to store a status


class MemoryImage:
    """A disk in memory that notes what is asked of it and fails when told to."""

    def __init__(self, readonly=False):
        self.data = bytearray(bytes(range(256)) * (CAPACITY // 256))
        self.size = CAPACITY
        self.readonly = readonly
        self.label = "-drive test"
        self.log = []
        self.failure = None

    def _note(self, *entry):
        if self.failure is not None:
            raise self.failure
        self.log.append(entry)

    def read(self, offset, buffers):
        self._note("read", offset)
        for buffer in buffers:
            buffer[:] = self.data[offset : offset + len(buffer)]
            offset += len(buffer)

    def read_now(self, offset, buffers):
        return False

    def write(self, offset, buffers):
        self._note("write", offset)
        data = b"".join(buffers)
        self.data[offset : offset + len(data)] = data

    def flush(self):
        self._note("flush")

    def discard(self, offset, length):
        self._note("discard", offset, length)

    def write_zeroes(self, offset, length, unmap):
        self._note("zero", offset, length, unmap)

    def close(self): ...


class ManualWorkers:
    """Jobs run when the test says so, in the order it likes."""

    def __init__(self):
        self.waiting = []
        self.closed = False

    def submit(self, job, done):
        self.waiting.append((job, done))

    def run(self, index=0):
        job, done = self.waiting.pop(index)
        job()
        done()

    def run_all(self):
        while self.waiting:
            self.run()

    def cancel(self):
        self.waiting.clear()

    def close(self):
        self.closed = True


class Disk:
    """A driver of a block device: builds requests and looks at what came back."""

    def __init__(self, image=None, features=None, workers=None, start=True, **choices):
        self.image = image if image is not None else MemoryImage()
        self.workers = workers if workers is not None else ManualWorkers()
        self.lock = threading.RLock()
        self.device = VirtioBlk(self.image, self.lock, self.workers, **choices)
        self.driver = Driver(self.device)
        self._place = self.driver.buffers
        if start:
            self.driver.start(features)

    def put(self, data):
        address = self._place
        self._place += (len(data) + 15) & ~15
        self.driver.memory.write_bytes(address, data)
        return Buffer(address, len(data))

    def room(self, size):
        buffer = self.put(bytes(size))
        return Buffer(buffer.address, size, WRITE)

    def bytes_at(self, buffer):
        return self.driver.memory.read_bytes(buffer.address, buffer.length)

    def request(self, kind, sector=0, output=(), into=()):
        """Offer one request; (head, status buffer)."""
        header = self.put(struct.pack("<IIQ", kind, 0, sector))
        status = Buffer(self.put(bytes([PENDING])).address, 1, WRITE)
        outputs = [self.put(data) for data in output]
        head = self.driver.queues[0].add(header, *outputs, *into, status)
        self.driver.notify(0)
        return head, status

    def status(self, *arguments, **more):
        """Carry one request out; its status."""
        head, status = self.request(*arguments, **more)
        self.workers.run_all()
        ((used, self.written),) = self.driver.queues[0].take_used()
        assert used == head
        return self.bytes_at(status)[0]

    def config(self, offset, size):
        return self.driver.transport.read(CONFIG + offset, size)


@pytest.fixture
def disk():
    return Disk()


# Good drivers


def test_what_the_driver_sees(disk):
    assert disk.driver.get(8) == 2
    assert disk.config(0, 8) == SECTORS and disk.config(20, 4) == 512
    assert disk.config(12, 4) == blk.QUEUE_SIZE - 2
    assert disk.config(34, 2) == 1  # queues
    assert (disk.config(36, 4), disk.config(40, 4), disk.config(44, 4)) == (blk.MAX_RANGE_SECTORS, 32, 1)
    assert (disk.config(48, 4), disk.config(52, 4), disk.config(56, 1)) == (blk.MAX_RANGE_SECTORS, 1, 1)
    offered = disk.driver.offered_features()
    assert offered & F_FLUSH and offered & F_DISCARD and offered & F_WRITE_ZEROES and not offered & F_RO


def test_features_can_be_left_out():
    assert not Disk(discard=False, write_zeroes=False).driver.offered_features() & (F_DISCARD | F_WRITE_ZEROES)
    offered = Disk(MemoryImage(readonly=True)).driver.offered_features()
    assert offered & F_RO and not offered & (F_DISCARD | F_WRITE_ZEROES)


def test_read_into_scattered_buffers(disk):
    into = [disk.room(100), disk.room(924)]
    assert disk.status(T_IN, 3, into=into) == S_OK
    assert b"".join(map(disk.bytes_at, into)) == bytes(disk.image.data[3 * 512 : 5 * 512])
    assert disk.written == 1025
    assert disk.driver.get(INTERRUPT_STATUS) == 1 and disk.driver.line.level


def test_write_from_scattered_buffers(disk):
    assert disk.status(T_OUT, 5, [b"a" * 500, b"b" * 12, b"c" * 512]) == S_OK
    assert disk.image.data[5 * 512 : 7 * 512] == b"a" * 500 + b"b" * 12 + b"c" * 512
    assert disk.written == 1
    assert disk.image.log == [("write", 5 * 512)]


def test_header_and_status_may_share_buffers_with_data(disk):
    """Nothing may be concluded from where buffers begin and end (2.7.4)."""
    header = struct.pack("<IIQ", T_OUT, 0, 1)
    first, second = disk.put(header[:5]), disk.put(header[5:] + b"z" * 512)
    disk.driver.queues[0].add(first, second, disk.room(1))
    into = disk.room(513)
    disk.driver.queues[0].add(disk.put(struct.pack("<IIQ", T_IN, 0, 1)), into)
    disk.driver.notify(0)
    disk.workers.run_all()
    assert disk.bytes_at(into) == b"z" * 512 + b"\0"
    assert [written for _, written in disk.driver.queues[0].take_used()] == [1, 513]


def test_nothing_is_done_on_the_thread_of_the_vcpu(disk):
    _, status = disk.request(T_OUT, 0, [b"x" * 512])
    assert disk.image.log == [] and disk.bytes_at(status)[0] == PENDING
    assert disk.driver.queues[0].take_used() == [] and not disk.driver.line.level


class CachedImage(MemoryImage):
    """One whose data can be read without waiting."""

    def read_now(self, offset, buffers):
        self.read(offset, buffers)
        return True


def test_what_is_in_memory_is_read_at_once_but_not_too_much(monkeypatch):
    monkeypatch.setattr(blk, "_AT_ONCE", 1536)
    disk = Disk(CachedImage())
    into = [disk.room(1024) for _ in range(2)]
    for k, buffer in enumerate(into):
        disk.driver.queues[0].add(disk.put(struct.pack("<IIQ", T_IN, 0, k)), buffer, disk.room(1))
    disk.driver.notify(0)
    assert disk.driver.queues[0].take_used() == [(0, 1025)]
    assert len(disk.workers.waiting) == 1
    disk.workers.run_all()
    assert disk.driver.queues[0].take_used() == [(3, 1025)]
    assert [disk.bytes_at(buffer) for buffer in into] == [disk.image.data[k * 512 :][:1024] for k in range(2)]


def test_several_in_flight_come_back_in_any_order(disk):
    first, _ = disk.request(T_IN, 0, into=[disk.room(512)])
    second, _ = disk.request(T_IN, 1, into=[disk.room(512)])
    disk.workers.run(1)
    disk.workers.run(0)
    assert [head for head, _ in disk.driver.queues[0].take_used()] == [second, first]


def test_flush(disk):
    assert disk.status(T_FLUSH) == S_OK
    assert disk.image.log == [("flush",)]


def test_id():
    disk = Disk(serial="a serial number that is too long")
    into = [disk.room(7), disk.room(13)]
    assert disk.status(T_GET_ID, into=into) == S_OK
    assert b"".join(map(disk.bytes_at, into)) == b"a serial number that"
    disk = Disk(serial="abc")
    into = [disk.room(20)]
    assert disk.status(T_GET_ID, into=into) == S_OK
    assert disk.bytes_at(into[0]) == b"abc".ljust(20, b"\0")


def test_discard_and_zeroing(disk):
    ranges = struct.pack("<QIIQII", 1, 2, 0, 10, 54, 0)
    assert disk.status(T_DISCARD, output=[ranges]) == S_OK
    assert disk.image.log == [("discard", 512, 1024), ("discard", 5120, 54 * 512)]
    for flags in (0, 1):
        assert disk.status(T_WRITE_ZEROES, output=[struct.pack("<QII", 4, 3, flags)]) == S_OK
        assert disk.image.log[-1] == ("zero", 2048, 1536, bool(flags))


def test_without_flush_each_write_is_made_stable():
    disk = Disk(features=F_VERSION_1 | F_WRITE_ZEROES | F_DISCARD)
    assert disk.status(T_OUT, 0, [b"x" * 512]) == S_OK
    assert disk.image.log == [("write", 0), ("flush",)]
    assert disk.status(T_WRITE_ZEROES, output=[struct.pack("<QII", 4, 3, 0)]) == S_OK
    assert disk.status(T_DISCARD, output=[struct.pack("<QII", 4, 3, 0)]) == S_OK
    assert disk.image.log[-1] == ("flush",) and len(disk.image.log) == 6


def test_the_driver_turns_the_write_cache_off_and_on(disk):
    assert disk.config(32, 1) == 1
    disk.driver.transport.write(CONFIG + 32, 1, 0)
    assert disk.config(32, 1) == 0
    assert disk.status(T_OUT, 0, [b"x" * 512]) == S_OK
    assert disk.image.log == [("write", 0), ("flush",)]
    disk.driver.transport.write(CONFIG + 32, 1, 1)
    assert disk.status(T_OUT, 0, [b"x" * 512]) == S_OK
    assert disk.image.log[2:] == [("write", 0)]
    disk.driver.transport.write(CONFIG + 32, 1, 0)
    disk.driver.set(STATUS, 0)
    assert disk.config(32, 1) == 1


def test_the_write_cache_is_only_the_drivers_when_negotiated():
    disk = Disk(features=F_VERSION_1 | F_FLUSH, write_cache=False)
    disk.driver.transport.write(CONFIG + 32, 1, 1)
    assert disk.config(32, 1) == 0
    assert not disk.driver.transport.driver_features & F_CONFIG_WCE


# Requests that fail


@pytest.mark.parametrize("kind", [2, 3, 5, 9, 14, 0xFFFFFFFF])
def test_unknown_requests(disk, kind):
    assert disk.status(kind) == S_UNSUPP


@pytest.mark.parametrize("sector", [SECTORS, SECTORS - 1, (1 << 55) - 1, 1 << 55, (1 << 64) - 1])
def test_beyond_the_end(disk, sector):
    into = disk.room(1024)
    assert disk.status(T_IN, sector, into=[into]) == S_IOERR
    assert disk.written == 0  # nothing is valid, so nothing is claimed
    assert disk.status(T_OUT, sector, [bytes(1024)]) == S_IOERR
    assert disk.image.log == []


@pytest.mark.parametrize("length", [1, 511, 513])
def test_parts_of_sectors(disk, length):
    assert disk.status(T_IN, 0, into=[disk.room(length)]) == S_IOERR
    assert disk.status(T_OUT, 0, [bytes(length)]) == S_IOERR


def test_read_only():
    disk = Disk(MemoryImage(readonly=True))
    assert disk.status(T_OUT, 0, [bytes(512)]) == S_IOERR
    assert disk.status(T_DISCARD, output=[struct.pack("<QII", 0, 1, 0)]) == S_IOERR
    assert disk.status(T_WRITE_ZEROES, output=[struct.pack("<QII", 0, 1, 0)]) == S_IOERR
    assert disk.status(T_FLUSH) == S_OK
    assert disk.status(T_IN, 0, into=[disk.room(512)]) == S_OK


@pytest.mark.parametrize(
    "kind, ranges, status",
    [
        (T_DISCARD, b"", S_IOERR),
        (T_DISCARD, bytes(15), S_IOERR),
        (T_DISCARD, bytes(16 * 33), S_IOERR),
        (T_DISCARD, struct.pack("<QII", 0, 1, 1), S_UNSUPP),
        (T_DISCARD, struct.pack("<QII", SECTORS, 1, 0), S_IOERR),
        (T_DISCARD, struct.pack("<QII", 0, 0xFFFFFFFF, 0), S_IOERR),
        (T_DISCARD, struct.pack("<QII", (1 << 64) - 1, 1, 0), S_IOERR),
        (T_DISCARD, struct.pack("<QIIQII", 0, 1, 0, 0, SECTORS + 1, 0), S_IOERR),
        (T_WRITE_ZEROES, bytes(32), S_IOERR),
        (T_WRITE_ZEROES, struct.pack("<QII", 0, 1, 2), S_UNSUPP),
        (T_WRITE_ZEROES, struct.pack("<QII", 1, SECTORS, 0), S_IOERR),
    ],
)
def test_bad_ranges_change_nothing(disk, kind, ranges, status):
    assert disk.status(kind, output=[ranges] if ranges else []) == status
    assert disk.image.log == []


def test_requests_that_are_not_offered():
    disk = Disk(discard=False, write_zeroes=False)
    for kind in (T_DISCARD, T_WRITE_ZEROES):
        assert disk.status(kind, output=[struct.pack("<QII", 0, 1, 0)]) == S_UNSUPP


@pytest.mark.parametrize(
    "kind, more",
    [(T_OUT, {"output": [bytes(512)]}), (T_FLUSH, {}), (T_DISCARD, {"output": [struct.pack("<QII", 0, 1, 0)]})],
)
def test_errors_of_the_host(disk, kind, more, capsys):
    disk.image.failure = OSError(28, "No space left on device")
    assert disk.status(kind, **more) == S_IOERR
    assert disk.status(kind, **more) == S_IOERR
    assert capsys.readouterr().err.count("No space left") == 1  # said once
    disk.image.failure = None
    assert disk.status(kind, **more) == S_OK


# Bad drivers


def refused(disk):
    disk.driver.notify(0)
    assert disk.driver.needs_reset() and disk.workers.waiting == []
    disk.driver.start()
    assert not disk.driver.needs_reset()


def test_no_header(disk):
    disk.driver.queues[0].add(disk.put(bytes(15)), disk.room(1))
    refused(disk)


def test_no_status(disk):
    disk.driver.queues[0].add(disk.put(bytes(16)))
    refused(disk)


def test_an_empty_status_buffer(disk):
    disk.driver.queues[0].add(disk.put(bytes(16)), Buffer(RAM, 0, WRITE))
    refused(disk)


@pytest.mark.parametrize("address", [0, RAM + RAM_SIZE - 256, (1 << 64) - 512])
def test_data_outside_ram(disk, address):
    disk.driver.queues[0].add(disk.put(struct.pack("<IIQ", T_IN, 0, 0)), Buffer(address, 512, WRITE), disk.room(1))
    refused(disk)


def test_more_in_flight_than_the_queue_has(disk):
    queue = disk.driver.queues[0]
    head = queue.add(disk.put(struct.pack("<IIQ", T_FLUSH, 0, 0)), disk.room(1))
    disk.driver.notify(0)
    for _ in range(queue.size - 1):
        queue.offer(head)
        disk.driver.notify(0)
    assert len(disk.workers.waiting) == queue.size and not disk.driver.needs_reset()
    queue.offer(head)
    disk.driver.notify(0)
    assert disk.driver.needs_reset()


def test_a_reset_makes_requests_void(disk):
    into = disk.room(512)
    _, status = disk.request(T_IN, 0, into=[into])
    stale = disk.workers.waiting[0]
    disk.driver.set(STATUS, 0)
    assert disk.workers.waiting == []
    assert disk.bytes_at(into) == bytes(512)
    # One whose work was done when the reset came: it has nothing to say any more.
    disk.driver.start()
    stale[0]()
    stale[1]()
    assert disk.bytes_at(status)[0] == PENDING and disk.driver.queues[0].take_used() == []
    disk.driver.notify(0)  # the old request is still in the ring, and counts for a new one
    disk.workers.run_all()
    assert disk.bytes_at(status)[0] == S_OK


def test_a_large_request_ends_early_after_a_reset(disk, monkeypatch):
    monkeypatch.setattr(blk, "_PIECE", 512)
    disk.request(T_OUT, 0, [b"n" * 2048])
    job, _ = disk.workers.waiting[0]
    inner = disk.image.write

    def write(offset, buffers):
        inner(offset, buffers)
        disk.driver.set(STATUS, 0)

    disk.image.write = write
    job()
    assert disk.image.log == [("write", 0)]


def test_code_that_is_read_over_old_code_is_noticed(disk):
    heard = []
    disk.driver.memory.on_ram_write.append(lambda address, length: heard.append((address, length)))
    into = disk.room(512)
    disk.status(T_IN, 0, into=[into])
    assert (into.address, 512) in heard


# All of it, with threads and a file


def test_threads_and_a_file(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(CAPACITY))
    image = open_raw("-drive x", str(path))
    done = threading.Semaphore(0)

    class Counting(Workers):
        def submit(self, job, finished):
            def both():
                finished()
                done.release()

            super().submit(job, both)

    disk = Disk(image, workers=Counting("test"))
    heads = [disk.request(T_OUT, 2 * n, [bytes([n + 1]) * 512])[0] for n in range(2)]
    for _ in heads:
        assert done.acquire(timeout=30)
    assert {head for head, _ in disk.driver.queues[0].take_used()} == set(heads)
    disk.request(T_FLUSH)
    assert done.acquire(timeout=30)
    assert path.read_bytes()[:1536] == b"\1" * 512 + bytes(512) + b"\2" * 512
    disk.device.close()
    image.close()
