"""The `microvm` board's ACPI tables: hardware-reduced, as on QEMU's board.

The DSDT has a device for what is there and nothing else: fw_cfg, serial port, clock, plugged virtio transports.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from xemu.boards import acpi
from xemu.boards import microvm_layout as layout
from xemu.devices import acpi_sleep

_ALIGNMENT = 16
_FADT_REVISION, _FADT_MINOR = 6, 5
_FADT_SIZE = 276
_RESET_SUPPORTED, _HARDWARE_REDUCED = 1 << 10, 1 << 20
_NO_VGA, _NO_RTC = 1 << 2, 1 << 5  # boot architecture flags; no 8042 either: the reset register is the way
_MADT_REVISION = 5
_PC_COMPATIBLE = 1  # there are PICs, too
_ENABLED = 1
_PRESENT = 0xB  # _STA: there, decoding and working, but not to be shown to people
_ALL_CPUS = 0xFF
_NMI_LINT = 1


@dataclass(frozen=True)
class AcpiConfig:
    """What the tables say beyond the layout."""

    cpus: int
    pics: bool
    serial: bool
    rtc: bool
    virtio: Iterable[int]  # transports with a device behind them


def generate(config: AcpiConfig) -> bytes:
    """All tables, as they are at layout.ACPI_TABLES; the root pointer comes first."""
    base = layout.ACPI_TABLES.base
    blob = bytearray(acpi.root_pointer(0))

    def add(table: bytes) -> int:
        blob.extend(bytes(-len(blob) % _ALIGNMENT))
        blob.extend(table)
        return base + len(blob) - len(table)

    dsdt = add(_dsdt(config))
    tables = [add(_fadt(dsdt, config)), add(_madt(config))]
    xsdt = add(acpi.table(b"XSDT", 1, struct.pack(f"<{len(tables)}Q", *tables)))
    pointer = acpi.root_pointer(xsdt)
    blob[: len(pointer)] = pointer
    return bytes(blob)


def _fadt(dsdt: int, config: AcpiConfig) -> bytes:
    """5.2.9. On hardware-reduced systems all but these fields is ignored and zero."""
    body = bytearray(_FADT_SIZE - acpi.HEADER_SIZE)

    def put(offset: int, data: bytes) -> None:
        start = offset - acpi.HEADER_SIZE
        body[start : start + len(data)] = data

    sleep = layout.ACPI_SLEEP.base
    put(40, struct.pack("<I", dsdt))
    put(109, struct.pack("<H", _NO_VGA | (0 if config.rtc else _NO_RTC)))
    put(112, struct.pack("<I", _RESET_SUPPORTED | _HARDWARE_REDUCED))
    put(116, acpi.address(acpi.MEMORY, sleep + acpi_sleep.RESET_REGISTER))
    put(128, bytes((acpi_sleep.RESET_VALUE,)))
    put(131, bytes((_FADT_MINOR,)))
    put(140, struct.pack("<Q", dsdt))
    put(244, acpi.address(acpi.MEMORY, sleep + acpi_sleep.SLEEP_CONTROL))
    put(256, acpi.address(acpi.MEMORY, sleep + acpi_sleep.SLEEP_STATUS))
    return acpi.table(b"FACP", _FADT_REVISION, bytes(body))


def _madt(config: AcpiConfig) -> bytes:
    """5.2.12: the local APIC of each CPU, the I/O APIC, and where lines of the ISA bus lead."""
    body = struct.pack("<II", layout.LOCAL_APIC, _PC_COMPATIBLE if config.pics else 0)
    for index in range(config.cpus):
        body += struct.pack("<BBBBI", 0, 8, index, index, _ENABLED)
    body += struct.pack(
        "<BBBBII", 1, 12, config.cpus, 0, layout.IO_APIC, 0
    )  # the I/O APIC's id follows those of the CPUs
    body += struct.pack("<BBBBIH", 2, 10, 0, layout.TIMER_GSI, layout.TIMER_PIN, 0)  # as the bus has it: rising edge
    body += struct.pack("<BBBHB", 4, 6, _ALL_CPUS, 0, _NMI_LINT)
    return acpi.table(b"APIC", _MADT_REVISION, body)


def _dsdt(config: AcpiConfig) -> bytes:
    devices = [_fw_cfg()]
    if config.serial:
        devices.append(_isa_device("COM1", "PNP0501", *layout.SERIAL, layout.SERIAL_GSI))
    if config.rtc:
        devices.append(_isa_device("RTC", "PNP0B00", *layout.RTC, layout.RTC_GSI))
    devices += [_virtio(index) for index in config.virtio]
    # _S5: what is written to the sleep control register for soft off.
    off = acpi.name("_S5", acpi.package(acpi.integer(acpi_sleep.S5), *[acpi.integer(0)] * 3))
    return acpi.table(b"DSDT", 2, acpi.scope("\\_SB", *devices) + off)


def _isa_device(identifier: str, kind: str, base: int, size: int, irq: int) -> bytes:
    return acpi.device(
        identifier,
        acpi.name("_HID", acpi.eisa_id(kind)),
        acpi.name("_UID", acpi.integer(0)),
        acpi.name("_CRS", acpi.resources(acpi.io_ports(base, size), acpi.isa_irq(irq))),
    )


def _fw_cfg() -> bytes:
    return acpi.device(
        "FWCF",
        acpi.name("_HID", acpi.string("QEMU0002")),
        acpi.name("_STA", acpi.integer(_PRESENT)),
        acpi.name("_CRS", acpi.resources(acpi.io_ports(*layout.FW_CFG))),
    )


def _virtio(index: int) -> bytes:
    """LNRO0005 is what Linux knows a virtio-mmio transport by."""
    where = layout.virtio_range(index)
    found = acpi.resources(acpi.memory_range(*where), acpi.interrupt(layout.VIRTIO_GSIS[index]))
    return acpi.device(
        f"VR{index:02}",
        acpi.name("_HID", acpi.string("LNRO0005")),
        acpi.name("_UID", acpi.integer(index)),
        acpi.name("_CCA", acpi.integer(1)),  # DMA sees caches
        acpi.name("_CRS", found),
    )
