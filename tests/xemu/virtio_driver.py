"""The driver's side of virtio: queues laid out in guest memory, and a driver's steps at a transport's registers."""

import struct
from dataclasses import dataclass

from fakes import Wire

from xemu.devices.virtio.device import VirtioDevice
from xemu.devices.virtio.mmio import Status, VirtioMmio
from xemu.memory import AddressSpace

RAM = 0x40000000
RAM_SIZE = 4 << 20
NEXT, WRITE, INDIRECT = 1, 2, 4
# Transport registers
DEVICE_FEATURES, DEVICE_FEATURES_SEL, DRIVER_FEATURES, DRIVER_FEATURES_SEL = 0x10, 0x14, 0x20, 0x24
QUEUE_SEL, QUEUE_SIZE_MAX, QUEUE_SIZE, QUEUE_READY, QUEUE_NOTIFY = 0x30, 0x34, 0x38, 0x44, 0x50
INTERRUPT_STATUS, INTERRUPT_ACK, STATUS = 0x60, 0x64, 0x70
DESC, DRIVER_AREA, DEVICE_AREA = 0x80, 0x90, 0xA0
READY_STATUS = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK


@dataclass
class Buffer:
    """One descriptor's worth of memory."""

    address: int
    length: int
    flags: int = 0


class DriverQueue:
    """A split queue of `size` in guest memory at `base`; the fields can be set wrong on purpose."""

    def __init__(self, memory: AddressSpace, base: int, size: int) -> None:
        self.memory = memory
        self.size = size
        self.desc = base
        self.avail = base + 16 * size
        self.used = (self.avail + 6 + 2 * size + 3) & ~3
        self.free = 0
        self.next_avail = 0
        self.seen_used = 0

    def describe(self, index: int, address: int, length: int, flags: int = 0, following: int = 0) -> None:
        self.memory.write_bytes(self.desc + 16 * index, struct.pack("<QIHH", address, length, flags, following))

    def offer(self, head: int) -> None:
        """Put a chain's head into the available ring."""
        self.memory.write_bytes(self.avail + 4 + 2 * (self.next_avail % self.size), struct.pack("<H", head))
        self.next_avail = self.next_avail + 1 & 0xFFFF
        self.set_index(self.next_avail)

    def set_index(self, index: int) -> None:
        self.memory.write_bytes(self.avail + 2, struct.pack("<H", index))

    def suppress_interrupts(self, suppress: bool) -> None:
        self.memory.write_bytes(self.avail, struct.pack("<H", int(suppress)))

    def add(self, *buffers: Buffer) -> int:
        """A chain of these buffers in consecutive descriptors; its head."""
        head = self.free
        for position, buffer in enumerate(buffers):
            last = position == len(buffers) - 1
            index = (head + position) % self.size
            following = (index + 1) % self.size
            self.describe(index, buffer.address, buffer.length, buffer.flags | (0 if last else NEXT), following)
        self.free = (head + len(buffers)) % self.size
        self.offer(head)
        return head

    def take_used(self) -> list[tuple[int, int]]:
        """(head, bytes written) of the requests that came back since the last time."""
        (index,) = struct.unpack("<H", self.memory.read_bytes(self.used + 2, 2))
        found = []
        while self.seen_used != index:
            slot = self.used + 4 + 8 * (self.seen_used % self.size)
            found.append(struct.unpack("<II", self.memory.read_bytes(slot, 8)))
            self.seen_used = self.seen_used + 1 & 0xFFFF
        return found


class Driver:
    """A transport with `device`, in memory of its own, driven through registers as a guest does."""

    def __init__(self, device: VirtioDevice | None, queue_size: int = 8) -> None:
        self.memory = AddressSpace()
        self.memory.add_ram(RAM, RAM_SIZE, "ram")
        self.line = Wire()
        self.transport = VirtioMmio(self.memory, self.line, device)
        count = len(device.queue_sizes) if device is not None else 0
        self.queues = [DriverQueue(self.memory, RAM + 0x10000 * index, queue_size) for index in range(count)]
        self.buffers = RAM + 0x100000  # test data

    def get(self, offset: int) -> int:
        return self.transport.read(offset, 4)

    def set(self, offset: int, value: int) -> None:
        self.transport.write(offset, 4, value)

    def set_address(self, offset: int, address: int) -> None:
        self.set(offset, address & 0xFFFFFFFF)
        self.set(offset + 4, address >> 32)

    def offered_features(self) -> int:
        value = 0
        for half in (0, 1):
            self.set(DEVICE_FEATURES_SEL, half)
            value |= self.get(DEVICE_FEATURES) << 32 * half
        return value

    def accept_features(self, features: int) -> bool:
        for half in (0, 1):
            self.set(DRIVER_FEATURES_SEL, half)
            self.set(DRIVER_FEATURES, features >> 32 * half & 0xFFFFFFFF)
        self.set(STATUS, Status.ACKNOWLEDGE | Status.DRIVER)
        self.set(STATUS, self.get(STATUS) | Status.FEATURES_OK)
        return bool(self.get(STATUS) & Status.FEATURES_OK)

    def set_up_queue(self, index: int) -> bool:
        queue = self.queues[index]
        self.set(QUEUE_SEL, index)
        self.set(QUEUE_SIZE, queue.size)
        self.set_address(DESC, queue.desc)
        self.set_address(DRIVER_AREA, queue.avail)
        self.set_address(DEVICE_AREA, queue.used)
        self.set(QUEUE_READY, 1)
        return bool(self.get(QUEUE_READY))

    def start(self, features: int | None = None) -> "Driver":
        """All of a driver's steps up to DRIVER_OK."""
        self.set(STATUS, 0)
        assert self.accept_features(self.offered_features() if features is None else features)
        for index in range(len(self.queues)):
            assert self.set_up_queue(index)
        self.set(STATUS, self.get(STATUS) | Status.DRIVER_OK)
        return self

    def notify(self, index: int) -> None:
        self.set(QUEUE_NOTIFY, index)

    def needs_reset(self) -> bool:
        return bool(self.get(STATUS) & Status.NEEDS_RESET)
