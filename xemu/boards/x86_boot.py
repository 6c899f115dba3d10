"""Starting an x86-64 kernel directly: what goes where in RAM, and the first CPU's registers.

Three ways, by what the kernel file offers: Linux' 64-bit boot protocol (a bzImage; Documentation/x86/boot.rst and
zero-page.rst), PVH (an ELF file with such a note; Xen's public header hvm/start_info.h), and for other ELF files the
state that the 64-bit protocol describes at the entry of the file.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from targets.x86.registers import Attr
from xemu.boards import microvm_layout as layout
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel
from xemu.loader.x86 import HEADER_START

_PAGE = 4096
_RAM, _RESERVED = 1, 2  # types of the memory map, of both protocols

_CR0_PE, _CR0_ET, _CR0_NE, _CR0_PG = 1 << 0, 1 << 4, 1 << 5, 1 << 31
_CR4_PAE = 1 << 5
_EFER_LME, _EFER_LMA = 1 << 8, 1 << 10
_RFLAGS = 2  # the bit that is always set

# Boot parameters and setup header, by offset
_ACPI_RSDP, _E820_ENTRIES, _BOOT_FLAG, _HEADER, _VERSION, _LOADER = 0x070, 0x1E8, 0x1FE, 0x202, 0x206, 0x210
_RAMDISK_IMAGE, _RAMDISK_SIZE, _COMMAND_LINE, _COMMAND_LINE_SIZE = 0x218, 0x21C, 0x228, 0x238
_E820_TABLE = 0x2D0
_UNKNOWN_LOADER = 0xFF
_PROTOCOL = 0x20F  # what an ELF file is told

_PVH_MAGIC = 0x336EC578
_PVH_HEADER = struct.Struct("<IIIIQQQQII")

# Selectors of the GDT; Linux wants its code at 0x10 and its data at 0x18.
_CODE, _DATA, _TASK = 0x10, 0x18, 0x20


@dataclass(frozen=True)
class Placement:
    """What to write where, and how the first CPU starts."""

    blobs: tuple[tuple[int, bytes], ...]
    registers: dict[str, int]


def place(kernel: LoadedKernel, initrd: bytes | None, append: str, ram_size: int, acpi_tables: int | None) -> Placement:
    """acpi_tables: where the root pointer is; None where there are no tables."""
    line = _command_line(kernel, append)
    end = layout.ram_ranges(ram_size)[0].size
    blobs = [(_address(address), data) for address, data in kernel.segments]
    for address, data in blobs:
        _check_inside(address, len(data), end)
    if kernel.is_linux:
        _check_inside(blobs[0][0], kernel.image_size, end)
    high = max(max(address + len(data) for address, data in blobs), blobs[0][0] + kernel.image_size)
    ramdisk = _ramdisk(initrd, high, min(end, kernel.initrd_end))
    if initrd is not None:
        blobs.append((ramdisk.base, initrd))
    blobs.append((layout.COMMAND_LINE, line))
    blobs.append((layout.GDT, _gdt()))
    if kernel.pvh_entry is not None:
        blobs.append((layout.PVH_START_INFO, _pvh_start_info(ramdisk, ram_size, acpi_tables)))
        registers = _flat_registers(kernel.pvh_entry)
    else:
        parameters = _boot_parameters(kernel, len(line) - 1, ramdisk, ram_size, acpi_tables)
        blobs += [(layout.ZERO_PAGE, parameters), (layout.PAGE_TABLES, _page_tables())]
        registers = _long_mode_registers(_address(kernel.entry))
    return Placement(tuple(blobs), registers)


def _address(address: int | None) -> int:
    assert address is not None, "x86 kernels have addresses"
    return address


def _command_line(kernel: LoadedKernel, append: str) -> bytes:
    line = append.encode("utf-8", "surrogateescape")
    limit = min(kernel.command_line_size, layout.COMMAND_LINE_SIZE - 1)
    if len(line) > limit:
        raise UserError(f"-append: {len(line)} bytes are too long a command line; the kernel takes up to {limit}")
    return line + b"\0"


def _check_inside(address: int, length: int, end: int) -> None:
    if not layout.KERNEL <= address < end:
        ram = f"{layout.KERNEL:#x} to {end - 1:#x}"
        raise UserError(f"kernel: wants to be at {address:#x}; there is RAM for it at {ram}")
    if address + length > end:
        raise UserError(
            f"kernel: its {length} bytes at {address:#x} run past the end of RAM at {end:#x}; give more memory with -m"
        )


def _ramdisk(initrd: bytes | None, low: int, end: int) -> layout.Range:
    """At the end of RAM, as far from the kernel as can be."""
    if initrd is None:
        return layout.Range(0, 0)
    start = (end - len(initrd)) // _PAGE * _PAGE
    if start < low:
        raise UserError(
            f"initrd: its {len(initrd)} bytes do not fit between {low:#x}, above the kernel, "
            f"and {end:#x}; give more memory with -m"
        )
    return layout.Range(start, len(initrd))


# Memory map


def _memory_map(ram_size: int) -> Sequence[tuple[int, int, int]]:
    """Address, size and type of each range; what the tables of the firmware take is no RAM to a kernel."""
    low, *high = layout.ram_ranges(ram_size)
    tables = layout.MP_TABLE.base
    return [
        (0, tables, _RAM),
        (tables, layout.KERNEL - tables, _RESERVED),
        (layout.KERNEL, low.size - layout.KERNEL, _RAM),
        *((where.base, where.size, _RAM) for where in high),
    ]


# Linux' 64-bit boot protocol


def _boot_parameters(
    kernel: LoadedKernel, line_size: int, ramdisk: layout.Range, ram_size: int, acpi_tables: int | None
) -> bytes:
    page = bytearray(_PAGE)

    def put(offset: int, layout: str, value: int | bytes) -> None:
        struct.pack_into(f"<{layout}", page, offset, value)

    put(_BOOT_FLAG, "H", 0xAA55)
    put(_HEADER, "4s", b"HdrS")
    put(_VERSION, "H", _PROTOCOL)
    page[HEADER_START : HEADER_START + len(kernel.setup_header)] = kernel.setup_header
    put(_LOADER, "B", _UNKNOWN_LOADER)
    put(_RAMDISK_IMAGE, "I", ramdisk.base)
    put(_RAMDISK_SIZE, "I", ramdisk.size)
    put(_COMMAND_LINE, "I", layout.COMMAND_LINE)
    put(_COMMAND_LINE_SIZE, "I", line_size)
    put(_ACPI_RSDP, "Q", acpi_tables or 0)
    ranges = _memory_map(ram_size)
    put(_E820_ENTRIES, "B", len(ranges))
    for index, entry in enumerate(ranges):
        struct.pack_into("<QQI", page, _E820_TABLE + 20 * index, *entry)
    return bytes(page)


def _page_tables() -> bytes:
    """The first 4 GiB where they are, in pages of 2 MiB: one PML4, one table of directories, four directories."""
    present_writable, large = 3, 1 << 7
    directories = [layout.PAGE_TABLES + _PAGE * (2 + index) for index in range(4)]
    pml4 = [layout.PAGE_TABLES + _PAGE | present_writable]
    pointers = [address | present_writable for address in directories]
    pages = [index << 21 | large | present_writable for index in range(4 * 512)]
    return b"".join(struct.pack(f"<{len(table)}Q", *table).ljust(_PAGE, b"\0") for table in (pml4, pointers, pages))


def _gdt() -> bytes:
    return b"".join(
        _descriptor(attr, limit)
        for attr, limit in ((0, 0), (0, 0), (Attr.CODE64, 0xFFFFF), (Attr.DATA32, 0xFFFFF), (Attr.TSS, 0x67), (0, 0))
    )


def _descriptor(attr: int, limit: int) -> bytes:
    """A segment descriptor with base 0."""
    return struct.pack("<HHBBBB", limit & 0xFFFF, 0, 0, attr & 0xFF, limit >> 16 | attr >> 8 << 4, 0)


def _segments(code: int) -> dict[str, int]:
    registers = {"cs": _CODE, "cs_base": 0, "cs_limit": 0xFFFFFFFF, "cs_attr": code}
    for name in ("ds", "es", "fs", "gs", "ss"):
        registers |= {name: _DATA, f"{name}_base": 0, f"{name}_limit": 0xFFFFFFFF, f"{name}_attr": Attr.DATA32}
    registers |= {"tr": _TASK, "tr_base": 0, "tr_limit": 0x67, "tr_attr": Attr.TSS}
    return registers | {"gdtr_base": layout.GDT, "gdtr_limit": len(_gdt()) - 1, "idtr_base": 0, "idtr_limit": 0}


def _long_mode_registers(entry: int) -> dict[str, int]:
    return _segments(Attr.CODE64) | {
        "rip": entry,
        "rsi": layout.ZERO_PAGE,
        "rsp": layout.STACK,
        "rflags": _RFLAGS,
        "cr0": _CR0_PE | _CR0_ET | _CR0_NE | _CR0_PG,
        "cr3": layout.PAGE_TABLES,
        "cr4": _CR4_PAE,
        "efer": _EFER_LME | _EFER_LMA,
    }


# PVH


def _pvh_start_info(ramdisk: layout.Range, ram_size: int, acpi_tables: int | None) -> bytes:
    """The structure, followed by the list of modules, which is the ramdisk, and by the memory map."""
    modules = layout.PVH_START_INFO + _PVH_HEADER.size
    memory_map = modules + 32
    ranges = _memory_map(ram_size)
    header = _PVH_HEADER.pack(
        _PVH_MAGIC, 1, 0, 1 if ramdisk.size else 0, modules, layout.COMMAND_LINE, acpi_tables or 0, memory_map,
        len(ranges), 0,
    )  # fmt: skip
    module = struct.pack("<QQQQ", ramdisk.base, ramdisk.size, 0, 0)
    return header + module + b"".join(struct.pack("<QQII", *entry, 0) for entry in ranges)


def _flat_registers(entry: int) -> dict[str, int]:
    """32-bit mode without paging."""
    return _segments(Attr.CODE32) | {
        "rip": entry,
        "rbx": layout.PVH_START_INFO,
        "rflags": _RFLAGS,
        "cr0": _CR0_PE | _CR0_ET,
        "cr4": 0,
        "efer": 0,
    }
