"""The flash: its command set beside QEMU's, what gets into the image, and what CPUs see of it."""

import os
import random

import pytest
from qemu_registers import QEMU, QemuRegisters

from xemu.block.raw import open_raw
from xemu.devices.cfi_flash import BLOCK_SIZE, BUFFER_SIZE, CfiFlash, FlashConfig
from xemu.memory import AddressSpace, BusError, Ram

BASE, SIZE = 0x0400_0000, 64 << 20
PROGRAM, ERASE, CLEAR, LOCK, STATUS, ID, QUERY = 0x40, 0x20, 0x50, 0x60, 0x70, 0x90, 0x98
BUFFERED, CONFIRM, ARRAY = 0xE8, 0xD0, 0xFF
READY = 0x800080


class Flash:
    """A driver of the flash at BASE of `memory`."""

    def __init__(self, memory) -> None:
        self.memory = memory

    def write(self, offset, value, size=4):
        self.memory.write(BASE + offset, size, value)

    def read(self, offset, size=4):
        return self.memory.read(BASE + offset, size)

    def program(self, offset, value, size=4):
        self.write(offset, PROGRAM)
        self.write(offset, value, size)
        status = self.read(offset)
        self.write(offset, ARRAY)
        return status

    def erase(self, offset):
        self.write(offset, ERASE)
        self.write(offset, CONFIRM)
        status = self.read(offset)
        self.write(offset, ARRAY)
        return status

    def program_buffer(self, offset, words):
        self.write(offset, BUFFERED)
        assert self.read(offset) & 0x80
        self.write(offset, len(words) - 1)
        for k, word in enumerate(words):
            self.write(offset + 4 * k, word)
        self.write(offset, CONFIRM)
        status = self.read(offset)
        self.write(offset, ARRAY)
        return status


def machine(config=None):
    memory = AddressSpace()
    device = CfiFlash(memory, BASE, SIZE, "flash1", config or FlashConfig())
    return Flash(memory), device


@pytest.fixture
def flash():
    return machine()[0]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "vars.fd"
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.seek(0x1000)
        file.write(b"from the file")
    return path


def test_it_is_memory_until_it_is_written_to(flash):
    memory = flash.memory
    told = []
    memory.on_map_change.append(lambda: told.append(memory.rams))
    ram = memory.find(BASE)
    assert isinstance(ram, Ram) and ram.readonly
    flash.write(0, STATUS)
    assert not isinstance(memory.find(BASE), Ram) and told == [()]
    with pytest.raises(BusError):
        memory.read_bytes(BASE, 4)
    assert flash.read(0) == READY and flash.read(0, 8) == READY << 32 | READY
    flash.write(0, ARRAY)
    assert memory.find(BASE) is ram and told == [(), (ram,)]
    with pytest.raises(BusError):
        memory.write_bytes(BASE, b"by a device")


def test_programming_and_erasing(flash):
    assert flash.program(0x104, 0x12345678) == READY
    assert flash.program(0x108, 0xAB, 1) == READY
    assert flash.read(0x104, 8) == 0xAB_12345678
    assert flash.erase(0x100) == READY
    assert flash.read(0x104, 8) == (1 << 64) - 1 and flash.read(BLOCK_SIZE - 4) == 0xFFFFFFFF
    assert flash.read(BLOCK_SIZE) == 0
    assert flash.program_buffer(0x200, list(range(1, 17))) == READY
    assert [flash.read(0x200 + 4 * k) for k in range(17)] == [*range(1, 17), 0xFFFFFFFF]


def test_programmed_code_is_told_about(flash):
    written = []
    flash.memory.on_ram_write.append(lambda address, length: written.append((address, length)))
    flash.program(8, 1)
    flash.erase(0)
    assert written == [(BASE + 8, 4), (BASE, BLOCK_SIZE)]


def test_a_buffer_that_leaves_its_block_fails_as_a_whole(flash):
    flash.erase(0)
    assert flash.program_buffer(BUFFER_SIZE - 8, [1, 2, 3]) == 0x900090
    assert flash.read(BUFFER_SIZE - 8) == 0xFFFFFFFF
    flash.write(0, CLEAR)
    assert flash.program_buffer(BUFFER_SIZE - 8, [1, 2]) & READY
    assert flash.read(BUFFER_SIZE - 4) == 2


def test_a_count_of_any_size_is_bounded_by_the_block(flash):
    flash.write(0, BUFFERED)
    flash.write(0, 0xFFFFFFFF)
    device = flash.memory.find(BASE)[0]
    for k in range(3 * BUFFER_SIZE // 4):
        flash.write(4 * k, k)
    assert len(device._buffer) == BUFFER_SIZE // 4
    flash.write(0, ARRAY, 1)
    assert flash.read(0) & 0x80  # still a word of the buffer


def test_what_is_written_is_in_the_image(path):
    image = open_raw("-drive x", str(path))
    flash, device = machine(FlashConfig(image))
    assert flash.memory.read_bytes(BASE + 0x1000, 13) == b"from the file"
    flash.erase(3 * BLOCK_SIZE)
    flash.program(3 * BLOCK_SIZE + 0x1FE, 0x1234, 2)
    flash.program_buffer(BLOCK_SIZE, [0xAAAAAAAA, 0xBBBBBBBB])
    data = path.read_bytes()  # another process would see it now
    assert data[3 * BLOCK_SIZE + 0x1FC :][:6] == b"\xff\xff\x34\x12\xff\xff"
    assert data[BLOCK_SIZE:][:9] == b"\xaa" * 4 + b"\xbb" * 4 + b"\0"
    assert data[0x1000:0x100D] == b"from the file"
    device.close()
    image.close()


@pytest.mark.parametrize("write_cache", [True, False])
def test_it_gets_to_stable_storage(path, write_cache, monkeypatch):
    image = open_raw("-drive x", str(path))
    flash, device = machine(FlashConfig(image, write_cache))
    syncs = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: syncs.append(fd))
    device._workers.submit = lambda job, done: (job(), done())
    flash.write(0, PROGRAM)
    flash.write(0, 1)
    assert len(syncs) == (0 if write_cache else 1)
    flash.write(0, ARRAY)
    assert len(syncs) == 1
    flash.write(0, STATUS)
    flash.write(0, ARRAY)
    assert len(syncs) == 1  # nothing was written in between
    device.close()
    image.close()


def test_a_read_only_image(path):
    image = open_raw("-drive x", str(path), readonly=True)
    flash, device = machine(FlashConfig(image))
    assert flash.program(0x1000, 0) == 0x900090
    assert flash.erase(0x1000) == 0xB000B0
    assert flash.program_buffer(0x1000, [0]) == 0xB000B0
    assert flash.memory.read_bytes(BASE + 0x1000, 13) == b"from the file"
    device.close()
    image.close()


def test_the_host_can_not_write(path, capsys):
    image = open_raw("-drive x", str(path))
    flash, device = machine(FlashConfig(image))

    def full(offset, buffers):
        raise OSError(28, "No space left on device")

    image.write = full
    assert flash.program(0, 1) == 0x900090 and flash.erase(0) == 0xB000B0
    assert "No space left on device" in capsys.readouterr().err
    device.close()
    image.close()


def test_a_reset_keeps_an_image_and_reloads_firmware(path):
    flash, device = machine(FlashConfig(firmware=b"firmware"))
    flash.program(0, 0)
    flash.write(0, ID)
    device.reset()
    assert flash.memory.read_bytes(BASE, 8) == b"firmware"
    image = open_raw("-drive x", str(path))
    flash, device = machine(FlashConfig(image))
    flash.program(0x1000, 0)
    device.reset()
    assert flash.memory.read_bytes(BASE + 0x1000, 6) == b"\0\0\0\0 t"
    device.close()
    image.close()


# QEMU


@pytest.fixture
def both(path):
    options = ("-nographic", "-drive", f"if=pflash,unit=1,format=raw,file={path},snapshot=on")
    if QEMU is None:
        pytest.skip("qemu-system-aarch64 is not installed")
    qemu = QemuRegisters(*options)

    class Qemu:
        @staticmethod
        def read(address, size):
            return qemu.read(address, size)

        @staticmethod
        def write(address, size, value):
            qemu.write(address, size, value & (1 << 8 * size) - 1)

    yield machine()[0], Flash(Qemu)
    qemu.close()


def test_identity_and_query_are_qemus(both):
    for command in (ID, QUERY):
        for flash in both:
            flash.write(0, command)
        for offset in range(0, 0x420, 4):
            assert both[0].read(offset) == both[1].read(offset), (command, hex(offset))
        for offset, size in ((0x40, 1), (0x41, 1), (0x42, 2), (0x44, 2), (0x48, 8), (0x4A, 1)):
            assert both[0].read(offset, size) == both[1].read(offset, size), (command, hex(offset), size)
        for flash in both:
            flash.write(0, ARRAY)


def steps(dice):
    """One thing that a driver may do: writes as (offset, value, size)."""
    offset = 4 * dice.randrange(64) + dice.choice((0, 0, 0, BLOCK_SIZE))
    word = dice.getrandbits(32)
    return dice.choice(
        [
            [(offset, PROGRAM, 4), (offset, word, 4)],
            [(offset, 0x10, 4), (offset + dice.randrange(4), word, 1)],
            [(offset, ERASE, 4), (offset, CONFIRM, 4)],
            [(offset, ERASE, 4), (offset, ARRAY, 4)],
            [(offset, LOCK, 4), (offset, dice.choice((CONFIRM, 1, 0x2F, ARRAY)), 4)],
            [(offset, BUFFERED, 4), (offset, 1, 4), (offset, word, 4), (offset + 4, word, 4), (offset, CONFIRM, 4)],
            [(offset, dice.choice((0, 0xF0, CLEAR, STATUS, ID, 0x77, ARRAY)), dice.choice((1, 2, 4)))],
            [(offset, 0x00400040, 4), (offset, word, 4)],
            [(offset, QUERY, 4), (offset, dice.choice((ARRAY, ARRAY, 0x70, ID)), 4)],
        ]
    )


@pytest.mark.parametrize("seed", range(4))
def test_commands_do_what_they_do_on_qemu(both, seed):
    dice = random.Random(seed)
    history = []
    for _ in range(250):
        for offset, value, size in steps(dice):
            history.append(f"write {offset:#x} {value:#x} ({size})")
            for flash in both:
                flash.write(offset, value, size)
        if dice.random() < 0.3:
            history.append("array")
            for flash in both:
                flash.write(0, ARRAY)
        for _ in range(3):
            offset, size = 4 * dice.randrange(65) + dice.choice((0, BLOCK_SIZE)), dice.choice((1, 2, 4))
            assert both[0].read(offset, size) == both[1].read(offset, size), "\n".join([hex(offset), *history[-12:]])
