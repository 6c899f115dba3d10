"""What is the same on every host: opening /dev/kvm, the VM, its memory, doorbells and the log of dirty pages."""

import os
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from xemu.accel.base import Part, PartT
from xemu.accel.kvm.api import API_VERSION, Cap, Handle, Ioctl, address_of
from xemu.accel.kvm.doorbells import Doorbells
from xemu.errors import UserError
from xemu.memory import PAGE_SIZE, Ram

if TYPE_CHECKING:
    from xemu.machine import Machine

DEVICE = "/dev/kvm"
SWITCH_INTERVAL = 50e-6  # s: how long a vCPU that leaves the guest waits for a Python thread that is busy
_LOG_DIRTY_PAGES, _READONLY = 1, 2  # flags of a memory slot


def open_device() -> Handle:
    """/dev/kvm itself; UserError whose line says what to do."""
    path = DEVICE
    try:
        system = Handle(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        raise UserError(f"there is no {path}; load the module (modprobe kvm_intel or kvm_amd) or turn on "
                        "virtualization in the firmware") from None  # fmt: skip
    except PermissionError:
        raise UserError(f"{path}: permission denied; add yourself to its group (usermod -aG kvm USER) "
                        "and log in again") from None  # fmt: skip
    except OSError as error:
        raise UserError(f"{path}: can't open it: {error.strerror}; is the module loaded (modprobe kvm)?") from None
    version = system.call(Ioctl.GET_API_VERSION)
    if version != API_VERSION:
        system.close()
        raise UserError(f"{path} speaks version {version} of its interface, not {API_VERSION}; use Linux 4.20 or newer")
    return system


def check_capabilities(system: Handle, wanted: Sequence[Cap]) -> None:
    missing = [cap.name for cap in wanted if system.call(Ioctl.CHECK_EXTENSION, cap) <= 0]
    if missing:
        names = ", ".join(f"KVM_CAP_{name}" for name in missing)
        raise UserError(f"the host's KVM lacks {names}; use a newer kernel")


def create_vm(system: Handle, kind: int = 0) -> Handle:
    try:
        return Handle(system.call(Ioctl.CREATE_VM, kind))
    except UserError as error:
        cause = error.__cause__
        reason = cause.strerror if isinstance(cause, OSError) else str(error)
        raise UserError(f"{DEVICE} opens but gives no virtual machine: {reason}; is another hypervisor "
                        "active, or virtualization off in the firmware?") from None  # fmt: skip


class Closable(Protocol):
    def close(self) -> None: ...


class Kvm:
    """An accelerator of one machine, without what depends on the architecture."""

    name = "kvm"
    default_cpu: str | None = "host"
    capabilities: Sequence[Cap] = (Cap.USER_MEMORY, Cap.READONLY_MEM, Cap.IRQFD, Cap.IOEVENTFD, Cap.IMMEDIATE_EXIT)

    def __init__(self) -> None:
        self.system = open_device()
        try:
            check_capabilities(self.system, self.capabilities)
            self.vm = create_vm(self.system, self._vm_kind())
        except UserError:
            self.system.close()
            raise
        self.handles: list[Closable] = []  # of vCPUs, devices, interrupts: closed before the VM
        self._slots: dict[int, _Slot] = {}
        self._doorbells: Doorbells | None = None

    def _vm_kind(self) -> int:
        return 0

    def attach(self, machine: "Machine") -> None:
        self.machine = machine
        sys.setswitchinterval(SWITCH_INTERVAL)
        machine.memory.on_map_change.append(self.map_memory)
        machine.memory.on_ram_write.append(self._written)
        self.map_memory()

    def close(self) -> None:
        """No vCPU runs any more."""
        if self._doorbells is not None:
            self._doorbells.close()
            self._doorbells = None
        for handle in (*self.handles, self.vm, self.system):
            handle.close()
        self.handles.clear()

    def supports(self, part: Part[PartT]) -> bool:
        return False

    def part(self, part: Part[PartT]) -> PartT | None:
        return None

    def has(self, capability: Cap) -> int:
        return self.vm.call(Ioctl.CHECK_EXTENSION, capability)

    # Memory

    def map_memory(self) -> None:
        """Make the VM's memory slots those of the machine's RAM: what went goes first, as slots may not overlap."""
        wanted = {id(ram): ram for ram in self.machine.memory.rams}
        for number, slot in list(self._slots.items()):
            if id(slot.ram) not in wanted or slot.readonly != slot.ram.readonly:
                self._set_slot(number, slot, size=0)
                del self._slots[number]
        mapped = {id(slot.ram) for slot in self._slots.values()}
        for ram in wanted.values():
            if id(ram) not in mapped:
                number = next(n for n in range(len(self._slots) + 1) if n not in self._slots)
                slot = self._slots[number] = _Slot(ram)
                self._set_slot(number, slot, size=ram.size)

    def _set_slot(self, number: int, slot: "_Slot", size: int) -> None:
        flags = _READONLY * slot.readonly | _LOG_DIRTY_PAGES * slot.tracked
        region = struct.pack("<IIQQQ", number, flags, slot.ram.base, size, slot.ram.host)
        self.vm.call(Ioctl.SET_USER_MEMORY_REGION, bytearray(region))

    def track_writes(self, ram: Ram, on: bool) -> None:
        number, slot = self._slot_of(ram)
        slot.tracked = on
        slot.dirty.clear()
        self._set_slot(number, slot, ram.size)

    def dirty_pages(self, ram: Ram) -> list[int]:
        number, slot = self._slot_of(ram)
        bitmap = bytearray(-(-ram.size // PAGE_SIZE // 64) * 8)  # of 64-bit words
        self.vm.call(Ioctl.GET_DIRTY_LOG, bytearray(struct.pack("<IIQ", number, 0, address_of(bitmap))))
        pages = slot.dirty | _set_bits(bitmap)
        slot.dirty = set()
        return [page * PAGE_SIZE for page in sorted(pages)]

    def _slot_of(self, ram: Ram) -> "tuple[int, _Slot]":
        return next((number, slot) for number, slot in self._slots.items() if slot.ram is ram)

    def _written(self, address: int, length: int) -> None:
        """The emulator itself wrote to RAM, which KVM does not see."""
        for slot in self._slots.values():
            if slot.tracked and slot.ram.base <= address < slot.ram.end:
                offset = address - slot.ram.base
                slot.dirty.update(range(offset // PAGE_SIZE, (offset + length - 1) // PAGE_SIZE + 1))

    # Doorbells

    def doorbell(self, address: int, size: int, value: int) -> None:
        if self._doorbells is None:
            self._doorbells = Doorbells(self.machine)
        fd = self._doorbells.add(address, size, value)
        request = struct.pack("<QQIiI36x", value, address, size, fd, 1)  # KVM_IOEVENTFD_FLAG_DATAMATCH
        self.vm.call(Ioctl.IOEVENTFD, bytearray(request))


class _Slot:
    """One range of RAM in the VM."""

    def __init__(self, ram: Ram) -> None:
        self.ram = ram
        self.readonly = ram.readonly
        self.tracked = False
        self.dirty: set[int] = set()  # pages that the emulator wrote


def _set_bits(bitmap: bytearray) -> set[int]:
    """Numbers of the bits that are set: zero bytes, which are most, are passed over quickly."""
    found: set[int] = set()
    for index, byte in enumerate(bitmap):
        if byte:
            found.update(8 * index + bit for bit in range(8) if byte >> bit & 1)
    return found
