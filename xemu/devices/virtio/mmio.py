"""The memory-mapped virtio transport (virtio 1.2, section 4.2), without the legacy interface."""

# Registers are spelt as in the manual.
# pyright: reportConstantRedefinition=false

from collections.abc import Callable

from xemu.accel.base import Accelerator, Line
from xemu.devices.registers import Access, RegisterDevice, register, variable
from xemu.devices.virtio.device import VirtioDevice
from xemu.devices.virtio.queue import Queue, QueueError
from xemu.memory import AddressSpace

_QUEUE_NOTIFY = 0x050
_CONFIG = 0x100  # start of the device's configuration space
_VENDOR = 0x554D4551  # what drivers see on other emulators of this board
F_INDIRECT_DESC = 1 << 28
F_VERSION_1 = 1 << 32
_TRANSPORT_FEATURES = F_INDIRECT_DESC | F_VERSION_1


class Status:
    """Bits of the device status."""

    ACKNOWLEDGE = 1 << 0
    DRIVER = 1 << 1
    DRIVER_OK = 1 << 2
    FEATURES_OK = 1 << 3
    NEEDS_RESET = 1 << 6
    FAILED = 1 << 7


class Interrupt:
    """Bits of the interrupt status."""

    USED_BUFFER = 1 << 0
    CONFIG_CHANGE = 1 << 1


class VirtioMmio(RegisterDevice):
    """One transport, with a device behind it or empty (device id 0)."""

    name = "virtio-mmio"

    MAGIC: int = register(0x000, "'virt'", access=Access.RO, reset=0x74726976)
    VERSION: int = register(0x004, "not the legacy interface", access=Access.RO, reset=2)
    DEVICE_ID: int = register(0x008, "kind of device, 0: none", access=Access.RO)
    VENDOR_ID: int = register(0x00C, "vendor", access=Access.RO, reset=_VENDOR)
    DEVICE_FEATURES: int = register(0x010, "32 of the offered features", access=Access.RO)
    DEVICE_FEATURES_SEL: int = register(0x014, "which 32", access=Access.WO)
    DRIVER_FEATURES: int = register(0x020, "32 of the accepted features", access=Access.WO)
    DRIVER_FEATURES_SEL: int = register(0x024, "which 32", access=Access.WO)
    QUEUE_SEL: int = register(0x030, "which queue the queue registers mean", access=Access.WO)
    QUEUE_SIZE_MAX: int = register(0x034, "largest size of the queue, 0: there is none", access=Access.RO)
    QUEUE_SIZE: int = register(0x038, "size in use", access=Access.WO)
    QUEUE_READY: int = register(0x044, "the queue may be used", mask=1)
    QUEUE_NOTIFY: int = register(_QUEUE_NOTIFY, "queue with new requests", access=Access.WO)
    INTERRUPT_STATUS: int = register(0x060, "why there is an interrupt", access=Access.RO, fields=Interrupt)
    INTERRUPT_ACK: int = register(0x064, "reasons seen to", access=Access.WO, fields=Interrupt)
    STATUS: int = register(0x070, "progress of the driver; 0 resets", fields=Status)
    QUEUE_DESC: list[int] = register(0x080, "address of the descriptor table", access=Access.WO, count=2)
    QUEUE_DRIVER: list[int] = register(0x090, "address of the available ring", access=Access.WO, count=2)
    QUEUE_DEVICE: list[int] = register(0x0A0, "address of the used ring", access=Access.WO, count=2)
    SHM_SEL: int = register(0x0AC, "shared memory region", access=Access.WO)
    SHM_LEN: list[int] = register(0x0B0, "all ones: no such region", access=Access.RO, reset=0xFFFFFFFF, count=2)
    SHM_BASE: list[int] = register(0x0B8, "all ones", access=Access.RO, reset=0xFFFFFFFF, count=2)
    CONFIG_GENERATION: int = register(0x0FC, "changes with the configuration space", access=Access.RO)

    driver_features: int = variable(0, "accepted features, all 64 bits")

    def __init__(self, memory: AddressSpace, line: Line, device: VirtioDevice | None = None) -> None:
        super().__init__()
        self._line = line
        self._level = False
        self.device = device
        self.queues = [Queue(memory, size) for size in device.queue_sizes] if device is not None else []
        if device is not None:
            self.DEVICE_ID = device.device_id
            self.name = device.name
            device.attach(self)

    def reset(self) -> None:
        super().reset()
        if self.device is not None:
            self.DEVICE_ID = self.device.device_id
            self.device.reset()
        for queue in self.queues:
            queue.reset()
        self._level = False
        self._line(False)

    def add_doorbells(self, accelerator: Accelerator, base: int) -> None:
        """Notifications of queues need not stop the guest.  base: address of the transport."""
        for index in range(len(self.queues)):
            accelerator.doorbell(base + _QUEUE_NOTIFY, 4, index)

    # What the device asks for

    @property
    def running(self) -> bool:
        return self.STATUS & (Status.DRIVER_OK | Status.NEEDS_RESET) == Status.DRIVER_OK

    def interrupt(self) -> None:
        self.INTERRUPT_STATUS |= Interrupt.USED_BUFFER
        self._update()

    def config_changed(self) -> None:
        self.CONFIG_GENERATION = self.CONFIG_GENERATION + 1 & 0xFFFFFFFF
        if self.STATUS & Status.DRIVER_OK:
            self.INTERRUPT_STATUS |= Interrupt.CONFIG_CHANGE
            self._update()

    def fail(self, reason: str) -> None:
        self.guest_error(f"{reason}; the device needs a reset")
        self.STATUS |= Status.NEEDS_RESET
        self.config_changed()

    def _update(self) -> None:
        level = self.INTERRUPT_STATUS != 0
        if level != self._level:
            self._level = level
            self._line(level)

    # The bus side

    def read(self, offset: int, size: int) -> int:
        if offset < _CONFIG:
            return super().read(offset, size)
        config = self.device.config() if self.device is not None else b""
        position = offset - _CONFIG
        return int.from_bytes(config[position : position + size], "little")  # zeros beyond its end

    def write(self, offset: int, size: int, value: int) -> None:
        if offset < _CONFIG:
            super().write(offset, size, value)
        elif self.device is not None:
            self.device.write_config(offset - _CONFIG, value.to_bytes(size, "little"))

    def _offered(self) -> int:
        return self.device.features | _TRANSPORT_FEATURES if self.device is not None else 0

    def _queue(self) -> Queue | None:
        index = self.QUEUE_SEL
        return self.queues[index] if index < len(self.queues) else None

    def read_DEVICE_FEATURES(self) -> int:
        return self._offered() >> 32 * self.DEVICE_FEATURES_SEL & 0xFFFFFFFF if self.DEVICE_FEATURES_SEL < 2 else 0

    def write_DRIVER_FEATURES(self, value: int) -> None:
        if self.STATUS & Status.FEATURES_OK:
            self.guest_error("features are written after they were agreed upon")
        elif self.DRIVER_FEATURES_SEL < 2:
            shift = 32 * self.DRIVER_FEATURES_SEL
            self.driver_features = self.driver_features & ~(0xFFFFFFFF << shift) | value << shift

    def write_STATUS(self, value: int) -> None:
        if value == 0:
            self.reset()
            return
        new = value & 0xFF & ~self.STATUS
        if new & Status.FEATURES_OK and not self._features_agreed():
            new &= ~Status.FEATURES_OK  # the driver reads back that its choice was refused
        self.STATUS |= new
        if new & Status.DRIVER_OK and self.device is not None and self.running:
            self._guarded(self.device.driver_ready)

    def _features_agreed(self) -> bool:
        extra = self.driver_features & ~self._offered()
        if extra or not self.driver_features & F_VERSION_1:
            self.guest_error(f"features {self.driver_features:#x} are refused; offered are {self._offered():#x}")
            return False
        return True

    def read_QUEUE_SIZE_MAX(self) -> int:
        queue = self._queue()
        return queue.max_size if queue is not None else 0

    def write_QUEUE_SIZE(self, value: int) -> None:
        queue = self._configurable("size")
        if queue is None:
            return
        if not 0 < value <= queue.max_size or value & value - 1:
            self.guest_error(f"queue {self.QUEUE_SEL}: a size of {value} is no power of two up to {queue.max_size}")
            return
        queue.size = value

    def write_QUEUE_DESC(self, half: int, value: int) -> None:
        if (queue := self._configurable("address")) is not None:
            queue.descriptors = _with_half(queue.descriptors, half, value)

    def write_QUEUE_DRIVER(self, half: int, value: int) -> None:
        if (queue := self._configurable("address")) is not None:
            queue.available = _with_half(queue.available, half, value)

    def write_QUEUE_DEVICE(self, half: int, value: int) -> None:
        if (queue := self._configurable("address")) is not None:
            queue.used = _with_half(queue.used, half, value)

    def _configurable(self, what: str) -> Queue | None:
        """The selected queue, unless it is in use or there is none."""
        queue = self._queue()
        if queue is None or queue.ready:
            self.guest_error(
                f"queue {self.QUEUE_SEL}: its {what} is set while it {'is in use' if queue else 'is not there'}"
            )
            return None
        return queue

    def read_QUEUE_READY(self) -> int:
        queue = self._queue()
        return int(queue is not None and queue.ready)

    def write_QUEUE_READY(self, value: int) -> None:
        queue = self._queue()
        if queue is None:
            self.guest_error(f"queue {self.QUEUE_SEL} is not there")
        elif value & 1 == 0:
            queue.reset()
        elif not queue.ready:
            queue.indirect = bool(self.driver_features & F_INDIRECT_DESC)
            try:
                queue.check()
            except QueueError as error:
                self.fail(f"queue {self.QUEUE_SEL}: {error}")
            else:
                queue.ready = True

    def write_QUEUE_NOTIFY(self, value: int) -> None:
        index = value & 0xFFFF
        if index >= len(self.queues) or not self.queues[index].ready:
            self.guest_error(f"queue {index} is notified but not ready")
        elif self.running and self.device is not None:
            device = self.device
            self._guarded(lambda: device.notify(index))

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except QueueError as error:
            self.fail(str(error))

    def write_INTERRUPT_ACK(self, value: int) -> None:
        self.INTERRUPT_STATUS &= ~value
        self._update()


def _with_half(address: int, half: int, value: int) -> int:
    shift = 32 * half
    return address & ~(0xFFFFFFFF << shift) | value << shift
