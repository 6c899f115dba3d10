"""The `microvm` board's MP table (Intel MultiProcessor Specification 1.4): CPUs and interrupts for kernels without
ACPI."""

import struct

from xemu.boards import microvm_layout as layout
from xemu.boards.acpi import checksum

_REVISION = 4
_PROCESSOR, _BUS, _IO_APIC, _IO_INTERRUPT, _LOCAL_INTERRUPT = range(5)
_APIC_VERSION, _IO_APIC_VERSION = 0x14, 0x11
_USABLE, _BOOT_CPU = 1, 2
_ISA_BUS = 0
_INT, _NMI, _SMI, _EXT_INT = range(4)
_ALL_CPUS = 0xFF
_CASCADE = 2
_CPU_SIGNATURE = 0x600  # family 6; the guest asks CPUID for more
_CPU_FEATURES = 0x201  # FPU and APIC


def generate(cpus: int, pics: bool) -> bytes:
    """The pointer that kernels look for, followed by the table it points to; as they are at layout.MP_TABLE."""
    address = layout.MP_TABLE.base + 16
    pointer = struct.pack("<4sIBBBBBBBB", b"_MP_", address, 1, _REVISION, 0, 0, 0, 0, 0, 0)
    return _summed(pointer, 10) + _table(cpus, pics)


def _table(cpus: int, pics: bool) -> bytes:
    entries = [_processor(index) for index in range(cpus)]
    entries.append(struct.pack("<BB6s", _BUS, _ISA_BUS, b"ISA   "))
    entries.append(struct.pack("<BBBBI", _IO_APIC, cpus, _IO_APIC_VERSION, _USABLE, layout.IO_APIC))
    for irq in range(layout.ISA_IRQS):
        if irq != _CASCADE:
            pin = layout.TIMER_PIN if irq == layout.TIMER_GSI else irq
            entries.append(_interrupt(_IO_INTERRUPT, _INT, irq, cpus, pin))
    # The PICs' output leads to LINT0 of the boot CPU, NMI to LINT1 of all.
    if pics:
        entries.append(_interrupt(_LOCAL_INTERRUPT, _EXT_INT, 0, 0, 0))
    entries.append(_interrupt(_LOCAL_INTERRUPT, _NMI, 0, _ALL_CPUS, 1))
    body = b"".join(entries)
    size = 44 + len(body)
    header = struct.pack(
        "<4sHBB8s12sIHHIHBB",
        b"PCMP", size, _REVISION, 0, b"XEMU    ", b"MICROVM     ", 0, 0, len(entries), layout.LOCAL_APIC, 0, 0, 0,
    )  # fmt: skip
    return _summed(header + body, 7)


def _processor(index: int) -> bytes:
    flags = _USABLE | (_BOOT_CPU if index == 0 else 0)
    return struct.pack("<BBBBII8x", _PROCESSOR, index, _APIC_VERSION, flags, _CPU_SIGNATURE, _CPU_FEATURES)


def _interrupt(entry: int, kind: int, irq: int, apic: int, pin: int) -> bytes:
    """Polarity and trigger mode 0: as the bus has them, rising edges on ISA."""
    return struct.pack("<BBHBBBB", entry, kind, 0, _ISA_BUS, irq, apic, pin)


def _summed(data: bytes, position: int) -> bytes:
    """With its checksum at `position`."""
    return data[:position] + bytes((checksum(data),)) + data[position + 1 :]
