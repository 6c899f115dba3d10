"""NOR flash with the Intel command set and a Common Flash Interface (JEDEC JESD68), as boards of QEMU's have it.

Two 16-bit chips side by side make 32 bits. In read-array mode the flash is plain memory, from which CPUs read and
execute directly; the first write brings it into a command mode, in which every access comes here, until a command leads
back. Programming replaces the old bytes whether erased or not, as on QEMU. Block locks are accepted, and lock nothing.

What is programmed goes to the image before the command is complete; to stable storage soon after the driver returns to
read-array mode, or at once where the image's cache is writethrough.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from xemu.block.base import SECTOR, Image
from xemu.block.workers import Workers
from xemu.cli import log
from xemu.memory import AddressSpace, Ram

BLOCK_SIZE = 256 << 10
_WIDTH, _CHIP_WIDTH = 4, 2  # bytes
_CHIPS = _WIDTH // _CHIP_WIDTH
_BUFFER_BITS = 11  # of one chip
BUFFER_SIZE = _CHIPS << _BUFFER_BITS
_CHUNK = 1 << 20

ARRAY = 0x00
PROGRAM, PROGRAM_OTHER, ERASE, CLEAR, LOCK = 0x10, 0x40, 0x20, 0x50, 0x60
READ_STATUS, READ_ID, QUERY, BUFFERED, READ_ARRAY = 0x70, 0x90, 0x98, 0xE8, 0xFF
CONFIRM, LOCK_CONFIRM = 0xD0, 0x01
READY, ERASE_FAILED, PROGRAM_FAILED = 0x80, 0x20, 0x10  # bits of the status

_IDENTITY = (0x89, 0x18)  # manufacturer and device
# The query's answers by their number (JESD68.01 and the Intel extension): times and voltages are any, sizes are ours.
_QUERY: dict[int, bytes] = {
    0x10: b"QRY\x01\x00\x31\x00",  # Intel's command set, whose own table is at 0x31
    0x1B: bytes((0x45, 0x55, 0, 0, 7, 7, 10, 0, 4, 4, 4, 0)),
    0x28: bytes((2, 0, _BUFFER_BITS, 0, 1)),  # 8 and 16 bits, one region of equal blocks
    0x31: b"PRI10",
    0x3F: bytes((1,)),
}


@dataclass(frozen=True)
class FlashConfig:
    """What one flash holds: an image that keeps what is written, or bytes that are there again after each reset."""

    image: Image | None = None
    write_cache: bool = True
    firmware: bytes = b""


class CfiFlash:
    def __init__(self, memory: AddressSpace, base: int, size: int, name: str, config: FlashConfig) -> None:
        self.name = name
        self._config = config
        self._image = config.image
        self._readonly = config.image is not None and config.image.readonly
        self._ram: Ram = memory.add_rom_device(base, size, name, self)
        self._memory = memory
        self._query = _query_table(size)
        self._workers = Workers(name, threads=1)
        self._unsynced = False
        self._load()
        self.reset()

    def _load(self) -> None:
        """Zeros are there already, and cost no memory as long as nobody writes them."""
        if self._image is None:
            return
        for start in range(0, self._ram.size, _CHUNK):
            chunk = memoryview(bytearray(min(_CHUNK, self._ram.size - start)))
            self._image.read(start, [chunk])
            if any(chunk):
                self._ram.view[start : start + len(chunk)] = chunk

    def reset(self) -> None:
        self._ram.view[: len(self._config.firmware)] = self._config.firmware
        self._memory.ram_written(self._ram.base, len(self._config.firmware))
        self._status = READY
        self._read_array()

    def close(self) -> None:
        """The machine has stopped."""
        self._workers.close()

    # Modes

    def _read_array(self) -> None:
        self._command = ARRAY  # what reads answer to
        self._next: Callable[[int, int, int], None] = self._first  # what the next write is
        self._words = 0  # still to come into the buffer
        self._buffer: dict[int, bytes] = {}  # what a buffered program has so far, by offset
        self._memory.set_direct(self._ram, True)
        if self._unsynced and self._image is not None:
            self._unsynced = False
            self._workers.submit(self._sync, lambda: None)

    def _sync(self) -> None:
        try:
            if self._image is not None:
                self._image.flush()
        except OSError as error:
            self._report(error)

    # Reads, while they come here

    def read(self, offset: int, size: int) -> int:
        if size > _WIDTH:
            return self.read(offset, _WIDTH) | self.read(offset + _WIDTH, size - _WIDTH) << 8 * _WIDTH
        if self._command == READ_ID:
            value = self._per_chip(dict(enumerate(_IDENTITY)).get(offset // _WIDTH & 0xFF, 0))
        elif self._command == QUERY:
            value = self._per_chip(self._query.get(offset // _WIDTH, 0))
        elif self._command == ARRAY:
            return int.from_bytes(self._ram.view[offset : offset + size], "little")
        else:
            value = self._per_chip(self._status)
        return value & (1 << 8 * size) - 1

    @staticmethod
    def _per_chip(value: int) -> int:
        return sum(value << 8 * _CHIP_WIDTH * chip for chip in range(_CHIPS))

    # Writes: commands and what follows them

    def write(self, offset: int, size: int, value: int) -> None:
        if size > _WIDTH:
            self.write(offset, _WIDTH, value & (1 << 8 * _WIDTH) - 1)
            self.write(offset + _WIDTH, size - _WIDTH, value >> 8 * _WIDTH)
            return
        self._memory.set_direct(self._ram, False)
        self._next(offset, size, value)

    def _first(self, offset: int, size: int, value: int) -> None:
        """A command.  Chips side by side get it in all lanes; the lowest counts."""
        command = value & 0xFF
        following = self._FOLLOWING.get(command)
        if command == ERASE:
            self._erase(offset)
        elif command == BUFFERED:
            self._status |= READY
        elif command == CLEAR:
            self._status = 0
            return self._read_array()
        elif command not in (READ_STATUS, READ_ID, QUERY, PROGRAM, PROGRAM_OTHER, LOCK):
            if command not in (ARRAY, READ_ARRAY, 0xF0):  # the last is another maker's: drivers probe with it
                self._complain(f"unknown command {command:#x} at offset {offset:#x}")
            return self._read_array()
        self._command = command
        if following is not None:
            self._next = following.__get__(self)

    def _program(self, offset: int, size: int, value: int) -> None:
        self._store(offset, value.to_bytes(size, "little"), PROGRAM_FAILED)
        self._done()

    def _erase(self, offset: int) -> None:
        """QEMU does not wait for the confirmation, and guests can't tell."""
        start = offset - offset % BLOCK_SIZE
        self._store(start, b"\xff" * BLOCK_SIZE, ERASE_FAILED)
        self._status |= READY

    def _confirm_erase(self, offset: int, size: int, value: int) -> None:
        if value & 0xFF == CONFIRM:
            self._done()
        else:
            self._give_up(value)

    def _lock(self, offset: int, size: int, value: int) -> None:
        if value & 0xFF in (CONFIRM, LOCK_CONFIRM):
            self._done()
        else:
            self._give_up(value)

    def _after_query(self, offset: int, size: int, value: int) -> None:
        """Only the way back is a command here."""
        if value & 0xFF == READ_ARRAY:
            self._read_array()
        else:
            self._complain(f"command {value & 0xFF:#x} while the query is open")

    def _count(self, offset: int, size: int, value: int) -> None:
        self._words = value & (1 << 8 * _CHIP_WIDTH) - 1
        self._next = self._fill

    def _fill(self, offset: int, size: int, value: int) -> None:
        """One word into the buffer; words beyond the write block of the first make the whole fail."""
        first = next(iter(self._buffer), offset)
        if offset // BUFFER_SIZE == first // BUFFER_SIZE:
            self._buffer[offset] = value.to_bytes(size, "little")
        else:
            self._status |= PROGRAM_FAILED
        self._status |= READY
        if self._words == 0:
            self._next = self._commit
        self._words -= 1

    def _commit(self, offset: int, size: int, value: int) -> None:
        if value & 0xFF != CONFIRM:
            return self._give_up(value)
        if not self._status & PROGRAM_FAILED and self._buffer:
            start = next(iter(self._buffer)) // BUFFER_SIZE * BUFFER_SIZE
            block = bytearray(self._ram.view[start : start + BUFFER_SIZE])
            for place, data in self._buffer.items():
                block[place - start : place - start + len(data)] = data
            self._store(start, bytes(block), PROGRAM_FAILED)
        self._buffer = {}
        self._done()

    def _done(self) -> None:
        self._status |= READY
        self._next = self._first

    def _give_up(self, value: int) -> None:
        if value & 0xFF != READ_ARRAY:
            self._complain(f"{value & 0xFF:#x} does not go on with command {self._command:#x}")
        self._read_array()

    # The contents

    def _store(self, offset: int, data: bytes, failure: int) -> None:
        if self._readonly:
            self._status |= failure
            return
        self._ram.view[offset : offset + len(data)] = data
        self._memory.ram_written(self._ram.base + offset, len(data))
        if self._image is None:
            return
        start, end = offset // SECTOR * SECTOR, -(-(offset + len(data)) // SECTOR) * SECTOR
        try:
            self._image.write(start, [self._ram.view[start:end]])
            if self._config.write_cache:
                self._unsynced = True
            else:
                self._image.flush()
        except OSError as error:
            self._status |= failure
            self._report(error)

    def _report(self, error: OSError) -> None:
        label = self._image.label if self._image is not None else self.name
        print(f"xemu: {label}: {error.strerror}; what the guest writes to its flash may be lost", file=sys.stderr)

    def _complain(self, text: str) -> None:
        if log.enabled("guest_errors"):
            log.write("guest_errors", f"{self.name}: {text}")

    _FOLLOWING: ClassVar[dict[int, Callable[["CfiFlash", int, int, int], None]]] = {
        PROGRAM: _program,
        PROGRAM_OTHER: _program,
        ERASE: _confirm_erase,
        LOCK: _lock,
        QUERY: _after_query,
        BUFFERED: _count,
    }


def _query_table(size: int) -> dict[int, int]:
    found = {start + k: value for start, data in _QUERY.items() for k, value in enumerate(data)}
    found[0x27] = (size // _CHIPS).bit_length() - 1
    blocks, block = size // BLOCK_SIZE - 1, BLOCK_SIZE // _CHIPS >> 8
    found |= {0x2D: blocks & 0xFF, 0x2E: blocks >> 8, 0x2F: block & 0xFF, 0x30: block >> 8}
    return found
