"""The virtio transport, queues and devices, with good drivers and bad ones."""

import struct

import pytest
from fakes import FakeBackend
from virtio_driver import (
    DESC,
    DEVICE_AREA,
    DRIVER_AREA,
    INDIRECT,
    INTERRUPT_ACK,
    INTERRUPT_STATUS,
    NEXT,
    QUEUE_READY,
    QUEUE_SEL,
    QUEUE_SIZE,
    QUEUE_SIZE_MAX,
    RAM,
    RAM_SIZE,
    READY_STATUS,
    STATUS,
    WRITE,
    Buffer,
    Driver,
)

from xemu.devices.virtio import rng
from xemu.devices.virtio.console import F_EMERG_WRITE, F_MULTIPORT, PortConfig, VirtioConsole
from xemu.devices.virtio.mmio import F_INDIRECT_DESC, F_VERSION_1
from xemu.devices.virtio.queue import MAX_CHAIN
from xemu.devices.virtio.rng import VirtioRng


@pytest.fixture
def entropy():
    return Driver(VirtioRng(lambda count: b"R" * count)).start()


def text_at(driver, address, data):
    driver.memory.write_bytes(address, data)
    return Buffer(address, len(data))


# Transport


def test_empty_transport():
    driver = Driver(None)
    assert [driver.get(offset) for offset in (0, 4, 8)] == [0x74726976, 2, 0]
    driver.set(STATUS, READY_STATUS)
    driver.set(QUEUE_SEL, 3)
    driver.set(QUEUE_READY, 1)
    driver.notify(0)
    assert driver.get(QUEUE_SIZE_MAX) == 0 and driver.transport.read(0x100, 4) == 0


def test_features():
    driver = Driver(VirtioConsole())
    assert driver.offered_features() == F_VERSION_1 | F_INDIRECT_DESC | F_MULTIPORT | F_EMERG_WRITE
    assert not driver.accept_features(F_MULTIPORT)  # a legacy driver
    driver.set(STATUS, 0)
    assert not driver.accept_features(F_VERSION_1 | 1 << 40)  # something never offered
    driver.set(STATUS, 0)
    assert driver.accept_features(F_VERSION_1)


def test_status_zero_resets(entropy):
    entropy.queues[0].add(Buffer(entropy.buffers, 16, WRITE))
    entropy.notify(0)
    assert entropy.line.level
    entropy.set(STATUS, 0)
    assert not entropy.line.level and entropy.get(STATUS) == 0 and entropy.get(QUEUE_READY) == 0
    assert entropy.get(8) == 4  # still an entropy device


def test_interrupt_until_acknowledged(entropy):
    entropy.queues[0].add(Buffer(entropy.buffers, 16, WRITE))
    entropy.notify(0)
    assert entropy.get(INTERRUPT_STATUS) == 1
    entropy.set(INTERRUPT_ACK, 1)
    assert not entropy.line.level and entropy.get(INTERRUPT_STATUS) == 0


def test_interrupt_suppressed(entropy):
    entropy.queues[0].suppress_interrupts(True)
    entropy.queues[0].add(Buffer(entropy.buffers, 16, WRITE))
    entropy.notify(0)
    assert entropy.queues[0].take_used() == [(0, 16)] and not entropy.line.level


@pytest.mark.parametrize("size", [0, 3, 16, 0x10000])
def test_impossible_queue_sizes_are_ignored(size):
    driver = Driver(VirtioRng())
    driver.set(QUEUE_SIZE, 4)
    driver.set(QUEUE_SIZE, size)
    assert driver.transport.queues[0].size == 4 and driver.transport.bad_accesses == 0


@pytest.mark.parametrize(
    "register, address",
    [
        (DESC, RAM + 8),
        (DRIVER_AREA, RAM + 1),
        (DEVICE_AREA, RAM + 2),
        (DESC, RAM + RAM_SIZE - 16),
        (DRIVER_AREA, 0),
        (DEVICE_AREA, (1 << 64) - 4),
    ],
)
def test_queue_in_a_wrong_place_is_refused(register, address):
    driver = Driver(VirtioRng())
    assert driver.accept_features(F_VERSION_1)
    driver.set_address(DESC, RAM)
    driver.set_address(DRIVER_AREA, RAM + 0x1000)
    driver.set_address(DEVICE_AREA, RAM + 0x2000)
    driver.set_address(register, address)
    driver.set(QUEUE_READY, 1)
    assert driver.get(QUEUE_READY) == 0 and driver.needs_reset()


def test_a_queue_in_use_cannot_be_moved(entropy):
    entropy.set_address(DESC, RAM + 0x8000)
    entropy.set(QUEUE_SIZE, 2)
    assert entropy.transport.queues[0].descriptors == entropy.queues[0].desc
    assert entropy.transport.queues[0].size == 8


def test_nothing_happens_before_driver_ok():
    driver = Driver(VirtioRng())
    assert driver.accept_features(F_VERSION_1) and driver.set_up_queue(0)
    driver.queues[0].add(Buffer(driver.buffers, 16, WRITE))
    driver.notify(0)
    assert driver.queues[0].take_used() == []


@pytest.mark.parametrize("index", [1, 7, 0xFFFF, 0xFFFFFFFF])
def test_notifying_a_queue_that_is_not_there(entropy, index):
    entropy.notify(index)
    assert not entropy.needs_reset()


# Queues


def test_chains_go_around_the_ring(entropy):
    queue = entropy.queues[0]
    for turn in range(17):
        for _ in range(5):
            queue.add(Buffer(entropy.buffers, 4, WRITE), Buffer(entropy.buffers + 64, 3, WRITE))
            entropy.notify(0)
        assert [written for _, written in queue.take_used()] == [7] * 5, turn


def test_ring_indices_wrap_at_16_bits(entropy):
    queue = entropy.queues[0]
    device_queue = entropy.transport.queues[0]
    device_queue._next_available = device_queue._next_used = queue.next_avail = queue.seen_used = 0xFFFF
    entropy.memory.write_bytes(queue.used + 2, b"\xff\xff")
    for _ in range(3):
        queue.add(Buffer(entropy.buffers, 4, WRITE))
    entropy.notify(0)
    assert len(queue.take_used()) == 3 and not entropy.needs_reset()


def test_indirect_table(entropy):
    table = entropy.buffers + 0x1000
    parts = [(entropy.buffers, 5), (entropy.buffers + 0x100, 6), (entropy.buffers + 0x200, 7)]
    for index, (address, length) in enumerate(parts):
        flags = WRITE | (NEXT if index < 2 else 0)
        entropy.memory.write_bytes(table + 16 * index, struct.pack("<QIHH", address, length, flags, index + 1))
    entropy.queues[0].add(Buffer(table, 48, INDIRECT))
    entropy.notify(0)
    assert entropy.queues[0].take_used() == [(0, 18)]
    assert [entropy.memory.read_bytes(a, n + 1) for a, n in parts] == [b"R" * n + b"\0" for _, n in parts]


def far_index(driver, queue):
    queue.set_index(queue.size + 1)


def head_outside(driver, queue):
    queue.offer(queue.size)


def endless_chain(driver, queue):
    queue.describe(0, driver.buffers, 4, WRITE | NEXT, 0)
    queue.offer(0)


def next_outside(driver, queue):
    queue.describe(0, driver.buffers, 4, WRITE | NEXT, 500)
    queue.offer(0)


def buffer_outside(driver, queue):
    queue.add(Buffer(RAM + RAM_SIZE - 2, 4, WRITE))


def buffer_at_the_end_of_the_world(driver, queue):
    queue.add(Buffer((1 << 64) - 1, 4, WRITE))


def readable_after_writable(driver, queue):
    queue.add(Buffer(driver.buffers, 4, WRITE), Buffer(driver.buffers, 4))


def more_than_four_gigabytes(driver, queue):
    queue.add(*[Buffer(driver.buffers, 0xFFFFFFFF, WRITE)] * 2)


def indirect_of_odd_size(driver, queue):
    queue.add(Buffer(driver.buffers, 20, INDIRECT))


def indirect_of_nothing(driver, queue):
    queue.add(Buffer(driver.buffers, 0, INDIRECT))


def indirect_within_indirect(driver, queue):
    driver.memory.write_bytes(driver.buffers, struct.pack("<QIHH", driver.buffers, 16, INDIRECT, 0))
    queue.add(Buffer(driver.buffers, 16, INDIRECT))


def indirect_with_next(driver, queue):
    queue.add(Buffer(driver.buffers, 16, INDIRECT), Buffer(driver.buffers, 4, WRITE))


def indirect_endless(driver, queue):
    driver.memory.write_bytes(driver.buffers, struct.pack("<QIHH", driver.buffers, 1, WRITE | NEXT, 0))
    queue.add(Buffer(driver.buffers, 16 * (MAX_CHAIN + 100), INDIRECT))


def indirect_outside(driver, queue):
    queue.add(Buffer(RAM + RAM_SIZE, 16, INDIRECT))


CRIMES = [
    far_index,
    head_outside,
    endless_chain,
    next_outside,
    buffer_outside,
    buffer_at_the_end_of_the_world,
    readable_after_writable,
    more_than_four_gigabytes,
    indirect_of_odd_size,
    indirect_of_nothing,
    indirect_within_indirect,
    indirect_with_next,
    indirect_endless,
    indirect_outside,
]


@pytest.mark.parametrize("crime", CRIMES, ids=lambda crime: crime.__name__)
def test_breaking_the_rules_stops_the_device(entropy, crime):
    crime(entropy, entropy.queues[0])
    entropy.notify(0)
    assert entropy.needs_reset()
    assert entropy.get(INTERRUPT_STATUS) & 2 and entropy.line.level
    entropy.notify(0)  # nothing more is done
    # After a reset it works again.
    fresh = entropy.queues[0] = type(entropy.queues[0])(entropy.memory, RAM + 0x20000, 8)
    entropy.start()
    fresh.add(Buffer(entropy.buffers, 4, WRITE))
    entropy.notify(0)
    assert fresh.take_used() == [(0, 4)] and not entropy.needs_reset()


def test_indirect_needs_to_be_negotiated():
    driver = Driver(VirtioRng()).start(F_VERSION_1)
    driver.queues[0].add(Buffer(driver.buffers, 16, INDIRECT))
    driver.notify(0)
    assert driver.needs_reset()


# Devices


def test_entropy_fills_at_most_its_limit(entropy):
    entropy.queues[0].add(*[Buffer(entropy.buffers, 1 << 20, WRITE)] * 3)
    entropy.notify(0)
    assert entropy.queues[0].take_used() == [(0, rng.MAX_REQUEST)]


def test_entropy_without_room(entropy):
    entropy.queues[0].add(text_at(entropy, entropy.buffers, b"?"))
    entropy.notify(0)
    assert entropy.queues[0].take_used() == [(0, 0)]


@pytest.mark.parametrize("offset", [*range(0, 0x100, 4), 0x100, 0x104, 0x108, 0x1FC])
def test_any_access_to_the_registers_is_harmless(offset):
    console = Driver(VirtioConsole([PortConfig(backend=FakeBackend())])).start()
    for value in (0, 1, 0xFFFFFFFF):
        console.set(offset, value)
        console.get(offset)
        for size in (1, 2, 8):
            console.transport.write(offset, size, value & (1 << 8 * size) - 1)
            console.transport.read(offset, size)
