"""The memory map: what it refuses, and how it routes accesses."""

import ctypes

import pytest

from xemu.memory import AddressSpace, BusError, MapError


class Recorder:
    """A device that remembers its accesses and reads as the offset."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, int, int]] = []

    def read(self, offset: int, size: int) -> int:
        return offset

    def write(self, offset: int, size: int, value: int) -> None:
        self.writes.append((offset, size, value))


@pytest.fixture
def space() -> AddressSpace:
    space = AddressSpace()
    space.add_ram(0x10000, 0x4000, "ram")
    space.add_device(0x2000, 0x100, Recorder(), "low")
    space.add_device(0x20000, 0x1000, Recorder(), "high")
    return space


@pytest.mark.parametrize(
    "base, size, text",
    [
        (0x2080, 0x10, "x: 0x2080..0x208f overlaps low at 0x2000..0x20ff"),
        (0x1FFF, 2, "x: 0x1fff..0x2000 overlaps low at 0x2000..0x20ff"),
        (0xF000, 0x100000, "x: 0xf000..0x10efff overlaps ram at 0x10000..0x13fff"),
        (0x3000, 0, "x: empty range (0x0 bytes at 0x3000)"),
        (1 << 52, 1, "x: 0x10000000000000..0x10000000000000 is outside 52 address bits"),
    ],
)
def test_refuses(space, base, size, text):
    with pytest.raises(MapError) as caught:
        space.add_device(base, size, Recorder(), "x")
    assert str(caught.value) == text


def test_refuses_partial_pages_of_ram(space):
    with pytest.raises(MapError, match="r: RAM of 0x800 bytes at 0x40000 is not made of whole 4096-byte pages"):
        space.add_ram(0x40000, 0x800, "r")


def test_refuses_changes_once_frozen(space):
    space.freeze()
    with pytest.raises(MapError, match="x: the memory map is frozen"):
        space.add_device(0x30000, 0x100, Recorder(), "x")


@pytest.mark.parametrize("size", [0, 3, 16])
def test_refuses_widths(space, size):
    with pytest.raises(ValueError, match=f"read of {size} bytes at 0x10000: the width must be 1, 2, 4 or 8"):
        space.read(0x10000, size)
    with pytest.raises(ValueError, match=f"write of {size} bytes at 0x10000"):
        space.write(0x10000, size, 0)


@pytest.mark.parametrize("address", [0, 0x1FFF, 0x2100, 0xFFFF, 0x14000, 0x21000, 1 << 60])
def test_nothing_answers_in_a_hole(space, address):
    assert space.find(address) is None
    with pytest.raises(BusError):
        space.read(address, 1)
    with pytest.raises(BusError):
        space.write(address, 1, 0)


def test_access_across_the_end_of_a_range_is_an_error(space):
    assert space.read(0x20FC, 4) == 0xFC
    with pytest.raises(BusError, match="read of 8 bytes at 0x20fc: nothing answers"):
        space.read(0x20FC, 8)


def test_devices_see_offsets(space):
    device, offset = space.find(0x20010)
    assert offset == 0x10
    space.write(0x20010, 4, 0xF0000ABCD)
    assert device.writes == [(0x10, 4, 0xABCD)]


def test_ram_is_little_endian_and_shared_with_the_host(space):
    (ram,) = space.rams
    assert space.find(0x10FFF) is ram
    space.write(0x10008, 8, 0x1122334455667788)
    assert space.read(0x10008, 2) == 0x7788
    assert ram.view[8:10] == b"\x88\x77"
    assert ctypes.c_uint64.from_address(ram.host + 8).value == 0x1122334455667788


def test_blocks_are_never_partial(space):
    space.write_bytes(0x13FFE, b"ab")
    with pytest.raises(BusError):
        space.write_bytes(0x13FFE, b"xyz")
    assert space.read_bytes(0x13FFE, 2) == b"ab"
    with pytest.raises(BusError):
        space.read_bytes(0x13FFE, 3)
    with pytest.raises(BusError):
        space.read_bytes(0x20000, 4)  # a device is no memory
    with pytest.raises(BusError):
        space.read_bytes(0x10000, -1)


def test_listeners_hear_of_writes(space):
    heard = []
    space.on_ram_write.append(lambda address, length: heard.append((address, length)))
    space.write_bytes(0x10100, b"code")
    space.write_bytes(0x10100, b"")
    space.write(0x10200, 4, 1)
    assert heard == [(0x10100, 4), (0x10200, 4)]


def test_rom_keeps_its_content(space):
    rom = space.add_ram(0, 0x1000, "rom", readonly=True)
    rom.view[0:4] = b"boot"
    space.write(0, 4, 0)
    assert space.read_bytes(0, 4) == b"boot"
    with pytest.raises(BusError):
        space.write_bytes(0, b"x")


def test_large_ram_costs_nothing_until_used():
    ram = AddressSpace().add_ram(0x40000000, 8 << 30, "ram")
    ram.view[(8 << 30) - 1] = 7
    assert ram.view[0] == 0


def test_a_narrow_address_space_ends():
    ports = AddressSpace(16)
    ports.add_device(0xFFFF, 1, Recorder(), "last")
    with pytest.raises(MapError, match="outside 16 address bits"):
        ports.add_device(0x10000, 1, Recorder(), "none")


def test_listeners_hear_of_new_ram():
    space = AddressSpace()
    seen = []
    space.on_map_change.append(lambda: seen.append([ram.name for ram in space.rams]))
    space.add_ram(0x1000, 0x1000, "a")
    space.add_device(0x8000, 4, Recorder(), "no memory")
    space.add_ram(0, 0x1000, "b")
    assert seen == [["a"], ["b", "a"]]
