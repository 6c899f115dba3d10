"""fw_cfg: how a machine tells its firmware what it was configured with (QEMU's docs/specs/fw_cfg).

Items are blobs with a number, the selector; files are items that a directory lists by name. `FwCfg` holds them and does
the transfers; `FwCfgPorts` is how a PC reaches it, `FwCfgMmio` how a machine without I/O ports does: 24 bytes, all of
them big-endian.

    0x00  data      the selected item's bytes, one after the other; zeros behind its end
    0x08  selector  16 bits
    0x10  DMA       64-bit address of a request; writing its lower half starts it
"""

import struct

from xemu.cli import log
from xemu.memory import AddressSpace, BusError

SIGNATURE, ID, NOGRAPHIC, CPUS = 0x00, 0x01, 0x04, 0x05
KERNEL_SIZE, INITRD_SIZE = 0x08, 0x0B
KERNEL_DATA, INITRD_DATA, CMDLINE_SIZE, CMDLINE_DATA = 0x11, 0x12, 0x14, 0x15
FILE_DIRECTORY, FIRST_FILE = 0x19, 0x20
MAX_FILES = 32
MAX_NAME = 55  # of a file: 56 bytes with the zero behind it

_TRADITIONAL, _DMA = 1, 2  # interfaces, in item ID
_DMA_SIGNATURE = b"QEMU CFG"  # what the DMA register reads as
_ENTRY = struct.Struct(">IHH56s")  # size, selector, reserved, name
_REQUEST = struct.Struct(">IIQ")  # control, length, address
_ERROR, _READ, _SKIP, _SELECT, _WRITE = 1, 2, 4, 8, 16  # control; the upper half is what to select
_WRITING = 0x4000  # of a selector: once announced writes
_CHUNK = 1 << 20  # a request may fill 4 GiB with zeros; they are made in pieces


class FwCfg:
    """Items, the one that is selected, and how far it was read."""

    def __init__(self, memory: AddressSpace) -> None:
        self._memory = memory
        self._items: dict[int, bytes] = {SIGNATURE: b"QEMU", ID: struct.pack("<I", _TRADITIONAL | _DMA)}
        self._files: dict[str, bytes] = {}
        self._list_files()
        self.reset()

    def reset(self) -> None:
        self._selected = b""
        self._position = 0

    # What the board puts in

    def add(self, selector: int, data: bytes) -> None:
        self._items[selector] = data

    def add_number(self, selector: int, value: int, width: int) -> None:
        self.add(selector, value.to_bytes(width, "little"))

    def add_file(self, name: str, data: bytes) -> None:
        """The directory is sorted by name, so that guests see the same order whatever was added first."""
        if name in self._files:
            raise ValueError(f"fw_cfg has a file '{name}' already")
        if len(self._files) == MAX_FILES or len(name) > MAX_NAME:
            raise ValueError(f"fw_cfg has no room for a file '{name}'")
        self._files[name] = data
        self._list_files()

    def _list_files(self) -> None:
        directory = struct.pack(">I", len(self._files))
        for selector, name in enumerate(sorted(self._files), FIRST_FILE):
            data = self._items[selector] = self._files[name]
            directory += _ENTRY.pack(len(data), selector, 0, name.encode())
        self._items[FILE_DIRECTORY] = directory

    # What the guest does

    def select(self, selector: int) -> None:
        self._selected = self._items.get(selector & ~_WRITING, b"")
        self._position = 0

    def read(self, length: int) -> bytes:
        """The next bytes; fewer than `length`, or none, behind the item's end."""
        data = self._selected[self._position : self._position + length]
        self._position += len(data)
        return data

    def request(self, address: int) -> None:
        """Carry out the request that lies in memory, and store how it ended."""
        try:
            control, length, target = _REQUEST.unpack(self._memory.read_bytes(address, _REQUEST.size))
        except BusError as error:
            return _complain(f"a request outside RAM: {error}")
        if control & _SELECT:
            self.select(control >> 16)
        result = 0
        try:
            if control & _READ:
                self._transfer(target, length)
            elif control & _WRITE:
                result = _ERROR  # there is no item to write
            elif control & _SKIP:
                self._position = min(self._position + length, len(self._selected))
        except BusError as error:
            result = _ERROR
            _complain(f"a transfer of {length} bytes: {error}")
        try:
            self._memory.write_bytes(address, struct.pack(">I", result))
        except BusError as error:
            _complain(f"a request that can't be answered: {error}")

    def _transfer(self, target: int, length: int) -> None:
        data = self.read(length)
        self._memory.write_bytes(target, data)
        done = len(data)
        while done < length:
            count = min(_CHUNK, length - done)
            self._memory.write_bytes(target + done, bytes(count))
            done += count


class _DmaRegister:
    """The address of a request, big-endian; its lower half, or all of it at once, starts the request."""

    def __init__(self, fw_cfg: FwCfg) -> None:
        self._fw_cfg = fw_cfg
        self.reset()

    def reset(self) -> None:
        self._address = 0

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(_DMA_SIGNATURE[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        number = int.from_bytes(value.to_bytes(size, "little"), "big")
        if (offset, size) == (0, 4):
            self._address = number << 32
        elif (offset, size) in ((0, 8), (4, 4)):
            address, self._address = self._address | number, 0
            self._fw_cfg.request(address)
        else:
            _complain(f"write of {size} bytes at byte {offset} of the DMA address")


class _Registers:
    def __init__(self, fw_cfg: FwCfg) -> None:
        self._fw_cfg = fw_cfg
        self._dma = _DmaRegister(fw_cfg)

    def reset(self) -> None:
        self._fw_cfg.reset()
        self._dma.reset()


class FwCfgMmio(_Registers):
    """The registers."""

    DATA, SELECTOR, DMA = 0x00, 0x08, 0x10

    def read(self, offset: int, size: int) -> int:
        if offset == self.DATA:
            # the bytes in memory order, whatever the width
            return int.from_bytes(self._fw_cfg.read(size), "little")
        return self._dma.read(offset - self.DMA, size) if offset >= self.DMA else 0

    def write(self, offset: int, size: int, value: int) -> None:
        if (offset, size) == (self.SELECTOR, 2):
            self._fw_cfg.select(int.from_bytes(value.to_bytes(size, "little"), "big"))
        elif offset >= self.DMA:
            self._dma.write(offset - self.DMA, size, value)
        elif offset != self.DATA:  # items can't be written; doing so is no error
            _complain(f"write of {size} bytes at offset {offset:#x}")


class FwCfgPorts(_Registers):
    """The same at a PC's ports, from 0x510: selector, of which the upper byte is the data, and the DMA address."""

    SELECTOR, DATA, DMA = 0, 1, 4

    def read(self, offset: int, size: int) -> int:
        if offset >= self.DMA:
            return self._dma.read(offset - self.DMA, size)
        return int.from_bytes(self._fw_cfg.read(1), "little") if (offset, size) == (self.DATA, 1) else 0

    def write(self, offset: int, size: int, value: int) -> None:
        if (offset, size) == (self.SELECTOR, 2):
            self._fw_cfg.select(value)
        elif offset >= self.DMA:
            self._dma.write(offset - self.DMA, size, value)
        elif (offset, size) != (self.DATA, 1):
            _complain(f"write of {size} bytes at port {offset:#x} of it")


def _complain(text: str) -> None:
    if log.enabled("guest_errors"):
        log.write("guest_errors", f"fw_cfg: {text}")
