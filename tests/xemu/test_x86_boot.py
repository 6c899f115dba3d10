"""How an x86-64 kernel starts: boot parameters, PVH, page tables and registers, byte by byte beside the protocols."""

import struct

import pytest

from xemu.boards import microvm_layout as layout
from xemu.boards.x86_boot import place
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel

MIB, GIB = 1 << 20, 1 << 30
PLAIN = LoadedKernel([(MIB, b"k" * 5000)], MIB + 0x10, False)
# The header of a kernel that can be moved, with marks in fields that a loader leaves alone.
HEADER = bytes(range(0x73))
BZIMAGE = LoadedKernel(
    [(16 * MIB, b"k" * 5000)],
    16 * MIB + 0x200,
    True,
    image_size=8 * MIB,
    setup_header=HEADER,
    command_line_size=255,
    initrd_end=0x8000_0000,
)
PVH = LoadedKernel([(MIB, b"k" * 5000)], MIB + 0x10, False, pvh_entry=MIB + 0x40)
RESERVED = (0x9FC00, 0x60400, 2)


class Memory:
    """The blobs as a guest finds them."""

    def __init__(self, plan) -> None:
        self.blobs = dict(plan.blobs)
        ends = sorted((address, address + len(data)) for address, data in plan.blobs)
        assert all(end <= start for (_, end), (start, _) in zip(ends, ends[1:], strict=False)), "blobs overlap"

    def get(self, address: int, length: int) -> bytes:
        for base, data in self.blobs.items():
            if base <= address and address + length <= base + len(data):
                return data[address - base : address - base + length]
        raise AssertionError(f"nothing at {address:#x}")

    def number(self, address: int, size: int) -> int:
        return int.from_bytes(self.get(address, size), "little")


def e820(memory: Memory) -> list[tuple[int, int, int]]:
    count = memory.number(layout.ZERO_PAGE + 0x1E8, 1)
    return [struct.unpack("<QQI", memory.get(layout.ZERO_PAGE + 0x2D0 + 20 * n, 20)) for n in range(count)]


def test_boot_parameters_of_a_bzimage():
    memory = Memory(place(BZIMAGE, b"i" * 5000, "console=ttyS0", 128 * MIB, 0xE0000))
    page = layout.ZERO_PAGE
    assert memory.number(page + 0x70, 8) == 0xE0000
    assert memory.number(page + 0x210, 1) == 0xFF
    ramdisk, size = memory.number(page + 0x218, 4), memory.number(page + 0x21C, 4)
    assert (ramdisk, size) == (128 * MIB - 8192, 5000) and memory.get(ramdisk, size) == b"i" * 5000
    line = memory.number(page + 0x228, 4)
    assert memory.get(line, 14) == b"console=ttyS0\0" and memory.number(page + 0x238, 4) == 13
    # Everything else of the header is the file's own.
    header = bytearray(memory.get(page + 0x1F1, len(HEADER)))
    for start, end in ((0x210, 0x211), (0x218, 0x220), (0x228, 0x22C), (0x238, 0x23C)):
        header[start - 0x1F1 : end - 0x1F1] = HEADER[start - 0x1F1 : end - 0x1F1]
    assert header == HEADER
    assert not any(memory.get(page + 0x1F1 + len(HEADER), 0x2D0 - 0x1F1 - len(HEADER)))
    assert e820(memory) == [(0, 0x9FC00, 1), RESERVED, (MIB, 127 * MIB, 1)]


def test_memory_map_of_much_memory():
    memory = Memory(place(PLAIN, None, "", 5 * GIB, None))
    assert e820(memory)[2:] == [(MIB, 3 * GIB - MIB, 1), (4 * GIB, 2 * GIB, 1)]
    assert memory.number(layout.ZERO_PAGE + 0x218, 8) == 0 and memory.number(layout.ZERO_PAGE + 0x70, 8) == 0


def test_an_elf_file_gets_a_header_too():
    memory = Memory(place(PLAIN, None, "x", 128 * MIB, None))
    page = layout.ZERO_PAGE
    assert memory.get(page + 0x1FE, 2) == b"\x55\xaa" and memory.get(page + 0x202, 4) == b"HdrS"
    assert memory.number(page + 0x206, 2) >= 0x20C


def descriptor(memory: Memory, gdt: int, selector: int) -> dict[str, int]:
    low, base_low, base_mid, access, flags, base_high = struct.unpack("<HHBBBB", memory.get(gdt + selector, 8))
    limit = low | (flags & 0xF) << 16
    return {
        "base": base_low | base_mid << 16 | base_high << 24,
        "limit": limit << 12 | 0xFFF if flags & 0x80 else limit,
        "attr": access | flags >> 4 << 8,
    }


def check_segments(memory: Memory, registers: dict[str, int]) -> None:
    """The hidden parts are what loading the selectors from the table would give."""
    for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr"):
        found = descriptor(memory, registers["gdtr_base"], registers[name])
        assert registers[name] + 7 <= registers["gdtr_limit"]
        for part in ("base", "limit"):
            assert registers[f"{name}_{part}"] == found[part], name
        if name != "cs":
            assert registers[f"{name}_attr"] == found["attr"], name


def walk(memory: Memory, table: int, address: int) -> int:
    """The physical address that the page tables give."""
    for shift in (39, 30, 21):
        entry = memory.number(table + 8 * (address >> shift & 0x1FF), 8)
        assert entry & 3 == 3, f"{address:#x} is not mapped"
        table = entry & 0xF_FFFF_FFFF_F000
        if entry & 0x80:
            return table + (address & (1 << shift) - 1)
    raise AssertionError("there are no small pages")


@pytest.mark.parametrize("kernel", [PLAIN, BZIMAGE])
def test_long_mode_entry(kernel):
    plan = place(kernel, None, "", 128 * MIB, None)
    memory, registers = Memory(plan), plan.registers
    assert registers["rip"] == kernel.entry and registers["rsi"] == layout.ZERO_PAGE
    assert registers["cr0"] & 0x80000001 == 0x80000001 and registers["cr4"] == 0x20
    assert registers["efer"] == 0x500 and registers["rflags"] == 2
    assert registers["cs"] == 0x10 and registers["cs_attr"] == 0xA9B and registers["ds"] == 0x18
    check_segments(memory, registers)
    assert descriptor(memory, registers["gdtr_base"], 0x10)["attr"] == 0xA9B
    for address in (0, 0x7000, MIB, 0x12345678, 0xFEE00020, 4 * GIB - 1):
        assert walk(memory, registers["cr3"], address) == address


def test_pvh_entry():
    plan = place(PVH, b"i" * 100, "console=ttyS0", 5 * GIB, 0xE0000)
    memory, registers = Memory(plan), plan.registers
    assert registers["rip"] == PVH.pvh_entry and registers["rbx"] == layout.PVH_START_INFO
    assert registers["cr0"] & 0x80000001 == 1 and registers["cr4"] == 0 and registers["efer"] == 0
    assert registers["cs_attr"] == 0xC9B and registers["cs_limit"] == 0xFFFFFFFF and registers["tr_limit"] == 0x67
    magic, version, flags, modules, module_list, line, rsdp, memory_map, ranges, reserved = struct.unpack(
        "<IIIIQQQQII", memory.get(layout.PVH_START_INFO, 56)
    )
    assert (magic, version, flags, modules, rsdp, reserved) == (0x336EC578, 1, 0, 1, 0xE0000, 0)
    assert memory.get(line, 14) == b"console=ttyS0\0"
    ramdisk, size, *rest = struct.unpack("<QQQQ", memory.get(module_list, 32))
    assert memory.get(ramdisk, size) == b"i" * 100 and rest == [0, 0]
    found = [struct.unpack("<QQII", memory.get(memory_map + 24 * n, 24)) for n in range(ranges)]
    assert found == [
        (0, 0x9FC00, 1, 0), (*RESERVED, 0), (MIB, 3 * GIB - MIB, 1, 0), (4 * GIB, 2 * GIB, 1, 0),
    ]  # fmt: skip


def test_pvh_without_ramdisk_and_tables():
    memory = Memory(place(PVH, None, "", 128 * MIB, None))
    assert memory.number(layout.PVH_START_INFO + 12, 4) == 0 and memory.number(layout.PVH_START_INFO + 32, 8) == 0


def test_the_ramdisk_ends_where_the_kernel_wants_it_to():
    for ram in (1 * GIB, 3 * GIB, 6 * GIB):
        memory = Memory(place(BZIMAGE, b"i" * 100, "", ram, None))
        assert memory.number(layout.ZERO_PAGE + 0x218, 4) == min(ram, 2 * GIB) - 4096


def test_command_line_limits():
    place(BZIMAGE, None, "x" * 255, 128 * MIB, None)
    with pytest.raises(UserError, match="256 bytes are too long a command line; the kernel takes up to 255"):
        place(BZIMAGE, None, "x" * 256, 128 * MIB, None)
    with pytest.raises(UserError, match="the kernel takes up to 2047"):
        place(PLAIN, None, "ä" * 1024, 128 * MIB, None)


def test_what_does_not_fit():
    with pytest.raises(UserError, match="initrd: its 117440512 bytes do not fit.*give more memory with -m"):
        place(BZIMAGE, bytes(112 * MIB), "", 128 * MIB, None)
    with pytest.raises(UserError, match="kernel: its 8388608 bytes.*run past the end of RAM"):
        place(BZIMAGE, None, "", 20 * MIB, None)
    with pytest.raises(UserError, match="wants to be at 0x8000; there is RAM for it at 0x100000"):
        place(LoadedKernel([(0x8000, b"k")], 0x8000, False), None, "", 128 * MIB, None)
    with pytest.raises(UserError, match="wants to be at 0xf0000000"):
        place(LoadedKernel([(0xF0000000, b"k")], 0xF0000000, False), None, "", 8 * GIB, None)
