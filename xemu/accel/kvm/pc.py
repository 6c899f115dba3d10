"""A PC's interrupt controllers and timer as KVM does them."""

import os
import struct

from xemu.accel.base import Line
from xemu.accel.kvm.api import Cap, Handle, Ioctl
from xemu.devices.ioapic import PINS, IoApic
from xemu.devices.ioapic import SIZE as IOAPIC_SIZE
from xemu.memory import AddressSpace

_PIC_MASTER, _PIC_SLAVE, _IOAPIC = 0, 1, 2  # KVM_IRQCHIP_...
_CHIPS = (_PIC_MASTER, _PIC_SLAVE, _IOAPIC)
_CASCADE = 2
_TIMER_PIN = 2  # where GSI 0 leads to
_ROUTE_TO_CHIP, _ROUTE_TO_MESSAGE = 1, 2
_IOAPIC_BASE = 0xFEC0_0000
_SPEAKER_IN_KERNEL = 1


class KernelChips:
    """PICs, I/O APIC and local APICs of the kernel (4.24)."""

    pics = True

    def __init__(self, vm: Handle) -> None:
        self._vm = vm
        vm.call(Ioctl.CREATE_IRQCHIP)
        vm.call(Ioctl.SET_GSI_ROUTING, _routing())
        self._new = [self._read(chip) for chip in _CHIPS]
        self._events: list[int] = []

    def _read(self, chip: int) -> bytearray:
        data = bytearray(struct.pack("<I516x", chip))
        self._vm.call(Ioctl.GET_IRQCHIP, data)
        return data

    def reset(self) -> None:
        for data in self._new:
            self._vm.call(Ioctl.SET_IRQCHIP, bytearray(data))

    def gsi(self, number: int, edge: bool = False) -> Line:
        if not 0 <= number < PINS:
            raise ValueError(f"GSI {number} does not exist: the I/O APIC has {PINS} pins")
        return self._edge_line(number) if edge else self._level_line(number)

    def _level_line(self, number: int) -> Line:
        def line(level: bool) -> None:
            self._vm.call(Ioctl.IRQ_LINE, bytearray(struct.pack("<II", number, level)))

        return line

    def _edge_line(self, number: int) -> Line:
        """An irqfd (4.75): a pulse, for which no lock of the VM is taken on the way."""
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._events.append(fd)
        self._vm.call(Ioctl.IRQFD, bytearray(struct.pack("<IIII16x", fd, number, 0, 0)))
        high = False

        def line(level: bool) -> None:
            nonlocal high
            if level and not high:
                os.eventfd_write(fd, 1)
            high = level

        return line

    def message(self, address: int, data: int) -> None:
        _signal(self._vm, address, data)

    def close(self) -> None:
        for fd in self._events:
            os.close(fd)
        self._events.clear()


def _signal(vm: Handle, address: int, data: int) -> None:
    """A message-signalled interrupt (4.70)."""
    vm.call(Ioctl.SIGNAL_MSI, bytearray(struct.pack("<IIII16x", address & 0xFFFF_FFFF, address >> 32, data, 0)))


def _routing() -> bytearray:
    """GSI 0 to 15 to the PICs and the I/O APIC, 16 to 23 to the I/O APIC alone (4.52)."""
    routes: list[tuple[int, int, int]] = []  # (GSI, chip, pin)
    for gsi in range(PINS):
        if gsi < 16 and gsi != _CASCADE:
            routes.append((gsi, _PIC_MASTER if gsi < 8 else _PIC_SLAVE, gsi % 8))
        if gsi == 0:
            routes.append((gsi, _IOAPIC, _TIMER_PIN))
        elif gsi != _TIMER_PIN:
            routes.append((gsi, _IOAPIC, gsi))
    entries = b"".join(struct.pack("<IIIIII24x", gsi, _ROUTE_TO_CHIP, 0, 0, chip, pin) for gsi, chip, pin in routes)
    return bytearray(struct.pack("<II", len(routes), 0) + entries)


class SplitChips:
    """Local APICs of the kernel (KVM_CAP_SPLIT_IRQCHIP, 7.5), an I/O APIC of ours, and no PICs."""

    pics = False

    def __init__(self, vm: Handle, memory: AddressSpace) -> None:
        self._vm = vm
        vm.call(Ioctl.ENABLE_CAP, bytearray(struct.pack("<IIQ88x", Cap.SPLIT_IRQCHIP, 0, PINS)))
        self._ioapic = IoApic(self.message, self._route)
        memory.add_device(_IOAPIC_BASE, IOAPIC_SIZE, self._ioapic, "i/o apic")

    def _route(self, messages: list[tuple[int, int] | None]) -> None:
        """KVM reads from the routes of these GSIs which interrupts' ends it has to report."""
        routes = [(gsi, *message) for gsi, message in enumerate(messages) if message is not None]
        entries = b"".join(
            struct.pack("<IIIIIII20x", gsi, _ROUTE_TO_MESSAGE, 0, 0, address, 0, data) for gsi, address, data in routes
        )
        self._vm.call(Ioctl.SET_GSI_ROUTING, bytearray(struct.pack("<II", len(routes), 0) + entries))

    def end(self, vector: int) -> None:
        """A local APIC's end of a level interrupt of the I/O APIC."""
        self._ioapic.end(vector)

    def reset(self) -> None:
        self._ioapic.reset()

    def gsi(self, number: int, edge: bool = False) -> Line:
        if not 0 <= number < PINS:
            raise ValueError(f"GSI {number} does not exist: the I/O APIC has {PINS} pins")
        if number == _CASCADE:
            return lambda level: None
        return self._ioapic.pin(_TIMER_PIN if number == 0 else number)

    def message(self, address: int, data: int) -> None:
        _signal(self._vm, address, data)

    def close(self) -> None:
        """Nothing is open."""


class KernelTimer:
    """The 8254 of the kernel (4.71), which raises GSI 0 itself."""

    def __init__(self, vm: Handle) -> None:
        self._vm = vm
        vm.call(Ioctl.CREATE_PIT2, bytearray(struct.pack("<I60x", _SPEAKER_IN_KERNEL)))
        self._new = vm.read(Ioctl.GET_PIT2, 112)

    def reset(self) -> None:
        self._vm.call(Ioctl.SET_PIT2, bytearray(self._new))
