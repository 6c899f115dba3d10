"""The I/O APIC: registers, messages, level interrupts and their ends."""

import pytest

from xemu.devices.ioapic import PINS, IoApic


class Rig:
    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []
        self.changes: list[list] = []
        self.chip = IoApic(lambda address, data: self.sent.append((address, data)), self.changes.append)

    def read(self, index: int) -> int:
        self.chip.write(0, 4, index)
        return self.chip.read(0x10, 4)

    def write(self, index: int, value: int) -> None:
        self.chip.write(0, 4, index)
        self.chip.write(0x10, 4, value)

    def entry(self, pin: int, value: int) -> None:
        self.write(0x11 + 2 * pin, value >> 32)
        self.write(0x10 + 2 * pin, value & 0xFFFFFFFF)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_registers(rig):
    assert rig.read(1) == 23 << 16 | 0x20
    rig.write(0, 0xFFFFFFFF)
    assert rig.read(0) == rig.read(2) == 0x0F000000
    assert rig.read(0x10) == 0x10000 and rig.read(0x11) == 0  # masked
    rig.entry(23, (1 << 64) - 1)
    assert (rig.read(0x3E), rig.read(0x3F)) == (0x1AFFF, 0xFF000000)  # status bits are not ours to write
    assert rig.read(0x40) == 0 and rig.read(0xFF) == 0
    rig.write(0x40, 1)
    rig.write(0xFF, 1)


def test_an_edge(rig):
    line = rig.chip.pin(3)
    line(True)
    rig.entry(3, 0x12 << 56 | 0x0951)  # an edge that was masked is lost; logical, lowest priority
    assert rig.sent == []
    line(False)
    line(True)
    line(True)
    assert rig.sent == [(0xFEE12004, 0x151)]
    line(False)
    line(True)
    assert len(rig.sent) == 2
    rig.chip.end(0x51)
    assert len(rig.sent) == 2


def test_a_level(rig):
    line = rig.chip.pin(9)
    line(True)
    rig.entry(9, 0x8061)
    assert rig.sent == [(0xFEE00000, 0xC061)]
    assert rig.read(0x10 + 18) == 0xC061  # its end is awaited
    line(False)
    line(True)
    assert len(rig.sent) == 1
    rig.chip.end(0x62)
    rig.chip.write(0x40, 4, 0x61)
    assert len(rig.sent) == 2  # still high
    line(False)
    rig.chip.end(0x61)
    assert len(rig.sent) == 2 and rig.read(0x10 + 18) == 0x8061


def test_masking_and_changing_to_an_edge(rig):
    line = rig.chip.pin(0)
    rig.entry(0, 0x18030)
    line(True)
    assert rig.sent == []
    rig.entry(0, 0x8030)
    assert len(rig.sent) == 1
    rig.entry(0, 0x30)
    assert rig.read(0x10) == 0x30  # no end is awaited any more


def test_whoever_routes_is_told(rig):
    rig.entry(2, 0x40)
    assert rig.changes[-1] == [None, None, (0xFEE00000, 0x40), *[None] * (PINS - 3)]
    rig.chip.reset()
    assert rig.changes[-1] == [None] * PINS


def test_state_is_saved(rig):
    rig.chip.pin(4)(True)
    rig.entry(4, 0x8044)
    state = rig.chip.state()
    other = Rig()
    other.chip.restore(state)
    assert other.chip.state() == state
    other.chip.end(0x44)
    assert other.sent == [(0xFEE00000, 0xC044)]


@pytest.mark.parametrize("offset, size", [(0x10, 1), (0x20, 4), (0xFFC, 4), (0x10, 8)])
def test_bad_accesses(rig, offset, size):
    assert rig.chip.read(offset, size) == 0
    rig.chip.write(offset, size, 1)


def test_a_pin_that_is_not_there(rig):
    with pytest.raises(ValueError, match="pin 24 does not exist"):
        rig.chip.pin(24)
