"""fw_cfg: items, the directory, both interfaces, hostile requests, and the same answers as QEMU's."""

import struct

import pytest
from qemu_registers import QEMU, QemuRegisters

from xemu.devices import fw_cfg
from xemu.devices.fw_cfg import FwCfg, FwCfgMmio
from xemu.memory import AddressSpace

RAM, SIZE = 0x40000000, 4 << 20
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16


class Guest:
    """A driver with its memory, at the registers of `device`."""

    def __init__(self, memory, device, base=0):
        self.memory, self.device, self.base = memory, device, base

    def select(self, key):
        self.device.write(self.base + 8, 2, int.from_bytes(struct.pack(">H", key), "little"))

    def bytes(self, count):
        return bytes(self.device.read(self.base, 1) for _ in range(count))

    def item(self, key, count):
        self.select(key)
        return self.bytes(count)

    def directory(self):
        (count,) = struct.unpack(">I", self.item(0x19, 4))
        entries = [struct.unpack(">IHH56s", self.bytes(64)) for _ in range(count)]
        return {name.rstrip(b"\0").decode(): (key, size) for size, key, _, name in entries}

    def dma(self, control, length=0, target=RAM + 0x1000, at=RAM, wide=True):
        self.memory.write_bytes(at, struct.pack(">IIQ", control, length, target))
        value = int.from_bytes(struct.pack(">Q", at), "little")
        if wide:
            self.device.write(self.base + 16, 8, value)
        else:
            self.device.write(self.base + 16, 4, value & 0xFFFFFFFF)
            self.device.write(self.base + 20, 4, value >> 32)
        return int.from_bytes(self.memory.read_bytes(at, 4), "big")


@pytest.fixture
def items():
    memory = AddressSpace()
    memory.add_ram(RAM, SIZE, "ram")
    items = FwCfg(memory)
    items.add_number(fw_cfg.CPUS, 3, 2)
    items.add_file("opt/b", b"bbb")
    items.add_file("opt/a", b"hello, world")
    return items


@pytest.fixture
def guest(items):
    return Guest(items._memory, FwCfgMmio(items))


def test_items_are_read_byte_by_byte_and_end_in_zeros(guest):
    assert guest.item(0, 6) == b"QEMU\0\0"
    assert guest.item(1, 4) == b"\3\0\0\0"
    assert guest.item(5, 2) == b"\3\0"
    for unknown in (0x1234, 0x8000, 0x4077, 0xFFFF):
        assert guest.item(unknown, 3) == b"\0\0\0"


def test_wide_reads_keep_the_order_of_bytes(guest):
    guest.select(0)
    assert guest.device.read(0, 4) == int.from_bytes(b"QEMU", "little")
    guest.select(0)
    assert guest.device.read(0, 8) == int.from_bytes(b"QEMU", "little")


def test_the_directory_is_sorted(guest):
    assert guest.directory() == {"opt/a": (0x20, 12), "opt/b": (0x21, 3)}
    assert guest.item(0x21, 3) == b"bbb"


@pytest.mark.parametrize("wide", [True, False])
def test_dma(guest, wide):
    assert guest.device.read(16, 8) == int.from_bytes(b"QEMU CFG", "little")
    assert guest.device.read(20, 4) == int.from_bytes(b" CFG", "little")
    assert guest.dma(0x20 << 16 | SELECT | READ, 5, wide=wide) == 0
    assert guest.memory.read_bytes(RAM + 0x1000, 6) == b"hello\0"
    assert guest.dma(SKIP, 2, wide=wide) == 0
    guest.memory.write_bytes(RAM + 0x1000, b"x" * 8)
    assert guest.dma(READ, 7, wide=wide) == 0
    assert guest.memory.read_bytes(RAM + 0x1000, 8) == b"world\0\0x"


def test_selecting_alone_starts_over(guest):
    guest.item(0x20, 3)
    assert guest.dma(0x20 << 16 | SELECT) == 0
    assert guest.bytes(5) == b"hello"


def test_nothing_can_be_written(guest):
    assert guest.dma(0x20 << 16 | SELECT | WRITE, 5) == ERROR
    guest.device.write(0, 1, 0x55)
    assert guest.item(0x20, 5) == b"hello"


@pytest.mark.parametrize(
    "length, target",
    [(4, 0), (4, (1 << 64) - 2), (0xFFFFFFFF, RAM + 0x1000), (5, RAM + SIZE - 4), (4, 0x09020000)],
)
def test_transfers_outside_ram_fail(guest, length, target):
    assert guest.dma(0x20 << 16 | SELECT | READ, length, target) == ERROR


def test_requests_outside_ram_are_ignored(guest):
    for address in (0, RAM + SIZE - 8, (1 << 64) - 1):
        guest.device.write(16, 8, int.from_bytes(struct.pack(">Q", address), "little"))
    assert guest.item(0, 4) == b"QEMU"


def test_skipping_far_ends_at_the_end(guest):
    assert guest.dma(0x20 << 16 | SELECT | SKIP, 0xFFFFFFFF) == 0
    assert guest.bytes(1) == b"\0"


@pytest.mark.parametrize("offset", range(24))
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_any_access_is_harmless(guest, offset, size):
    guest.device.write(offset, size, (1 << 8 * size) - 1)
    assert 0 <= guest.device.read(offset, size) < 1 << 8 * size


def test_limits(items):
    with pytest.raises(ValueError, match="already"):
        items.add_file("opt/a", b"")
    with pytest.raises(ValueError, match="no room"):
        items.add_file("n" * 56, b"")
    for k in range(30):
        items.add_file(f"opt/{k}", b"")
    with pytest.raises(ValueError, match="no room"):
        items.add_file("opt/more", b"")


# QEMU

# Files of QEMU's for ACPI, SMBIOS and boot order, which are not here.
ABSENT = {
    "bios-geometry",
    "bootorder",
    "etc/acpi/rsdp",
    "etc/acpi/tables",
    "etc/table-loader",
    "etc/tpm/log",
    "etc/boot-fail-wait",
}


@pytest.mark.skipif(QEMU is None, reason="qemu-system-aarch64 is not installed")
def test_the_board_says_what_qemu_says(tmp_path):
    from test_virt import board

    file = tmp_path / "file"
    file.write_bytes(b"from a file")
    options = ["-fw_cfg", f"name=opt/file,file={file}", "-fw_cfg", "opt/text,string=some text", "-nographic"]
    qemu = QemuRegisters(*options)
    try:

        class Stub:
            read, write = staticmethod(qemu.read), staticmethod(qemu.write)

        class Memory:
            @staticmethod
            def read_bytes(address, length):
                return bytes(qemu.read(address + k, 1) for k in range(length))

            @staticmethod
            def write_bytes(address, data):
                for k, byte in enumerate(data):
                    qemu.write(address + k, 1, byte)

        theirs = Guest(Memory, Stub, 0x09020000)
        machine = board(ram_size=64 << 20, fw_cfg=[("opt/file", b"from a file"), ("opt/text", b"some text")])
        ours = Guest(machine.memory, machine.memory, 0x09020000)
        for key in [*range(0x19), 0x1A, 0x3FFF, 0x4000, 0x8000, 0xFFFF]:
            assert ours.item(key, 24) == theirs.item(key, 24), hex(key)
        names = {name for name in theirs.directory() if name not in ABSENT and not name.startswith("etc/smbios/")}
        assert set(ours.directory()) == names
        for guest in (ours, theirs):
            key, size = guest.directory()["opt/file"]
            assert guest.item(key, size + 1) == b"from a file\0"
            assert guest.dma(key << 16 | SELECT | READ, 14) == 0
            assert guest.memory.read_bytes(RAM + 0x1000, 14) == b"from a file\0\0\0"
            assert guest.dma(key << 16 | SELECT | WRITE, 4) == ERROR
            assert guest.dma(SKIP, 1 << 30) == 0
    finally:
        qemu.close()
