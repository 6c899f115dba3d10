"""The declaration of registers: decoding, access kinds, hooks, state, and hostile accesses."""

import pytest

from xemu.cli import log
from xemu.devices.registers import Access, RegisterDevice, register, variable


class Bits:
    GO = 1 << 0
    MODE = 3 << 4


class Sample(RegisterDevice):
    name = "sample"
    CTRL: int = register(0x00, "control", fields=Bits, reset=Bits.GO)
    ID: int = register(0x04, "identity", access=Access.RO, reset=0xCAFE)
    CMD: int = register(0x08, "command", access=Access.WO)
    STAT: int = register(0x0C, "status", access=Access.W1C, reset=0xFF)
    SET: int = register(0x10, "set bits", access=Access.W1S, mask=0xFF)
    ARRAY: list = register(0x20, "words", count=2)
    BYTES: list = register(0x40, "bytes", width=1, count=6)
    HOOKED: list = register(0x80, "hooked words", count=2)
    log: list = variable([])

    def read_HOOKED(self, index):
        return 0x100 + index

    def write_HOOKED(self, index, value):
        self.log.append((index, value))


@pytest.fixture
def device():
    return Sample()


@pytest.fixture
def errors(monkeypatch):
    lines = []
    monkeypatch.setattr(log, "items", {"guest_errors"})
    monkeypatch.setattr(log, "write", lambda item, text: lines.append(text))
    return lines


def test_access_kinds(device):
    device.write(0x00, 4, 0xFFFFFFFF)
    assert device.read(0x00, 4) == device.CTRL == Bits.GO | Bits.MODE
    device.write(0x0C, 4, 0x0F)
    assert device.STAT == 0xF0
    device.write(0x10, 4, 0x101)
    device.write(0x10, 4, 0x002)
    assert device.SET == 3


def test_read_only_and_write_only(device, errors):
    device.write(0x04, 4, 1)
    assert device.read(0x04, 4) == 0xCAFE
    device.write(0x08, 4, 5)
    assert device.CMD == 5
    assert device.read(0x08, 4) == 0
    assert errors == [
        "sample: write of 4 bytes at offset 0x4: ID is read only (value 0x1)",
        "sample: read of 4 bytes at offset 0x8: CMD is write only",
    ]
    assert device.bad_accesses == 2


@pytest.mark.parametrize(
    "offset, size, why",
    [(0x14, 4, "no register"), (0x300, 1, "no register"), (0x02, 4, "misaligned"), (0x01, 2, "misaligned")],
)
def test_bad_accesses_read_zero_and_are_logged(device, errors, offset, size, why):
    assert device.read(offset, size) == 0
    device.write(offset, size, 0xFF)
    assert errors == [f"sample: {way} of {size} bytes at offset {offset:#x}: {why}" for way in ("read", "write")]
    assert device.state() == Sample().state()


def test_narrow_and_wide_accesses(device):
    device.write(0x20, 8, 0x1111111122222222)
    assert device.ARRAY == [0x22222222, 0x11111111]
    assert device.read(0x20, 8) == 0x1111111122222222
    assert device.read(0x22, 2) == 0x2222
    device.write(0x25, 1, 0xAB)  # the other bytes become zero
    assert device.ARRAY[1] == 0xAB00
    device.write(0x40, 4, 0x04030201)
    assert device.BYTES == [1, 2, 3, 4, 0, 0]
    assert device.read(0x40, 4) == 0x04030201
    assert device.read(0x41, 1) == 2


def test_an_access_past_an_array_reads_what_is_there(device):
    device.write(0x44, 2, 0x0605)
    assert device.read(0x44, 4) == 0x0605
    assert device.bad_accesses == 2


def test_hooks_get_the_index(device):
    assert device.read(0x84, 4) == 0x101
    device.write(0x80, 8, 0x0000000200000001)
    assert device.log == [(0, 1), (1, 2)]


def test_state_is_a_copy_and_can_be_restored(device):
    device.write(0x20, 4, 7)
    device.write(0x80, 4, 9)
    saved = device.state()
    device.reset()
    assert device.ARRAY == [0, 0] and device.log == [] and device.CTRL == Bits.GO
    device.restore(saved)
    assert device.ARRAY == [7, 0] and device.log == [(0, 9)]
    device.write(0x20, 4, 8)
    assert saved["ARRAY"] == [7, 0]


def test_restoring_foreign_state_is_refused(device):
    with pytest.raises(ValueError, match="saved state differs in \\['EXTRA'\\]"):
        device.restore({**device.state(), "EXTRA": 1})


def test_dump_names_the_set_fields(device):
    assert "0x000 CTRL         0x00000001 GO" in device.dump().splitlines()


def test_wrong_declarations_are_refused():
    with pytest.raises(TypeError, match="there is no register MISSING"):
        type("Bad", (RegisterDevice,), {"read_MISSING": lambda self: 0})
    with pytest.raises(TypeError, match="B and A share offset 0x4"):
        type("Bad", (RegisterDevice,), {"A": register(0x0, "", count=2), "B": register(0x4, "")})
