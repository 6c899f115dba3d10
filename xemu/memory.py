"""Guest RAM and the physical address space.

RAM is an anonymous file mapped shared and without reserving, so a page costs host memory once the guest touches it,
and generated code reaches it at one fixed host address. Everything else is a device that answers reads and writes at
offsets and never learns its own address.
"""

import ctypes
import mmap
import os
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple, Protocol

from xemu.errors import UserError

PAGE_SIZE = 4096
ADDRESS_BITS = 52  # the widest physical address of the Armv8 and x86-64 architectures
ACCESS_SIZES = (1, 2, 4, 8)
_MASKS = {size: (1 << 8 * size) - 1 for size in ACCESS_SIZES}

# Linux' value; Python names it only on the builds that knew it.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


class MapError(Exception):
    """The memory map itself is wrong: a fault of a board, not of a user or a guest."""


class BusError(Exception):
    """Nothing answers at this address, or what does refuses the access: the guest gets its architecture's abort."""

    def __init__(self, address: int, size: int, access: str) -> None:
        super().__init__(f"{access} of {size} bytes at {address:#x}: nothing answers")
        self.address = address
        self.size = size
        self.access = access


class Range(NamedTuple):
    """A part of an address space."""

    base: int
    size: int


class Device(Protocol):
    """What the bus needs of a device. Sizes are 1, 2, 4 or 8 and never run past the device's own range."""

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, size: int, value: int) -> None: ...


class Ram:
    """One range of guest memory, backed lazily by the host."""

    def __init__(self, base: int, size: int, name: str, readonly: bool = False, device: Device | None = None) -> None:
        self.base = base
        self.size = size
        self.end = base + size
        self.name = name
        # The guest cannot write it (a ROM); the emulator itself fills it through `view`.
        self.readonly = readonly
        # Takes the writes to a ROM; and all accesses while the ROM is not `direct`, which AddressSpace.set_direct says.
        self.device = device
        self.direct = True
        self._map = _map_memory(size, name)
        self.view = memoryview(self._map)
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def __repr__(self) -> str:
        return f"<Ram {self.name} {self.base:#x}..{self.end - 1:#x}>"


def _map_memory(size: int, name: str) -> mmap.mmap:
    fd = os.memfd_create(f"xemu-{name}", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        return mmap.mmap(fd, size, flags=mmap.MAP_SHARED | _MAP_NORESERVE)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "the size is beyond the host's address space"
        raise UserError(
            f"can't map {size >> 20} MiB of guest memory ({name}): {reason}; ask for less with -m"
        ) from error
    finally:
        os.close(fd)  # the mapping keeps the memory


class _DeviceRange:
    """Where a device answers."""

    __slots__ = ("base", "end", "name", "device")

    def __init__(self, base: int, size: int, name: str, device: Device) -> None:
        self.base = base
        self.end = base + size
        self.name = name
        self.device = device


class _NoDevice:
    """Stands where there is none; no address leads to it."""

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None: ...


_Region = Ram | _DeviceRange


class AddressSpace:
    """A fixed map of RAM and devices; once frozen, look-ups are a bisection over the sorted starts.

    bits: the width of an address. x86's I/O ports are an address space of 16 bits.
    """

    def __init__(self, bits: int = ADDRESS_BITS) -> None:
        self._bits = bits
        self._regions: list[_Region] = []
        self._starts: list[int] = []
        self._frozen = False
        self._recent = _DeviceRange(1 << bits, 0, "none yet", _NoDevice())  # what the last access was to
        self.rams: tuple[Ram, ...] = ()
        # Called with (address, length) after each write_bytes, so that translations of overwritten code go.
        self.on_ram_write: list[Callable[[int, int], None]] = []
        # Called when `rams` has changed: accelerators map what is in it now. While the machine runs that is with its
        # lock held, and void are the host addresses that somebody found for what is gone.
        self.on_map_change: list[Callable[[], None]] = []

    # Building the map

    def add_ram(self, base: int, size: int, name: str, readonly: bool = False) -> Ram:
        return self._add(base, size, name, readonly, None)

    def add_rom_device(self, base: int, size: int, name: str, device: Device) -> Ram:
        """Memory that reads and executes as RAM does, and whose writes go to a device; see set_direct."""
        return self._add(base, size, name, True, device)

    def _add(self, base: int, size: int, name: str, readonly: bool, device: Device | None) -> Ram:
        self._check(base, size, name)
        if base % PAGE_SIZE or size % PAGE_SIZE:
            raise MapError(f"{name}: RAM of {size:#x} bytes at {base:#x} is not made of whole {PAGE_SIZE}-byte pages")
        ram = Ram(base, size, name, readonly, device)
        self._insert(ram)
        self._map_changed()
        return ram

    def add_device(self, base: int, size: int, device: Device, name: str) -> None:
        self._check(base, size, name)
        self._insert(_DeviceRange(base, size, name, device))

    def set_direct(self, ram: Ram, direct: bool) -> None:
        """Whether a ROM with a device answers reads itself, or has the device do it."""
        if ram.direct != direct:
            ram.direct = direct
            self._map_changed()

    def _map_changed(self) -> None:
        self.rams = tuple(region for region in self._regions if isinstance(region, Ram) and region.direct)
        for listener in self.on_map_change:
            listener()

    def freeze(self) -> None:
        """No more changes: look-ups of a running machine need no lock."""
        self._frozen = True

    def _check(self, base: int, size: int, name: str) -> None:
        if self._frozen:
            raise MapError(f"{name}: the memory map is frozen")
        if size <= 0:
            raise MapError(f"{name}: empty range ({size:#x} bytes at {base:#x})")
        if base < 0 or base + size > 1 << self._bits:
            raise MapError(f"{name}: {base:#x}..{base + size - 1:#x} is outside {self._bits} address bits")
        for region in self._regions:
            if base < region.end and region.base < base + size:
                raise MapError(
                    f"{name}: {base:#x}..{base + size - 1:#x} overlaps "
                    f"{region.name} at {region.base:#x}..{region.end - 1:#x}"
                )

    def _insert(self, region: _Region) -> None:
        position = bisect_right(self._starts, region.base)
        self._starts.insert(position, region.base)
        self._regions.insert(position, region)

    # Looking up

    def _region(self, address: int) -> _Region | None:
        position = bisect_right(self._starts, address) - 1
        if position < 0:
            return None
        region = self._regions[position]
        return region if address < region.end else None

    def find(self, address: int) -> Ram | tuple[Device, int] | None:
        """What answers at this address: RAM, a device and the offset in it, or nothing."""
        region = self._region(address)
        if isinstance(region, _DeviceRange):
            return region.device, address - region.base
        if region is not None and not region.direct:
            assert region.device is not None
            return region.device, address - region.base
        return region

    def describe(self) -> str:
        """The map for people: one line per range."""
        kinds = {Ram: "ram", _DeviceRange: "i/o"}
        return "\n".join(f"{r.base:016x}-{r.end - 1:016x} {kinds[type(r)]} {r.name}" for r in self._regions)

    # One access of a guest instruction

    # Most go where the last one went.

    def read(self, address: int, size: int) -> int:
        recent = self._recent
        if recent.base <= address and address + size <= recent.end and size in ACCESS_SIZES:
            return recent.device.read(address - recent.base, size)
        region = self._accessed(address, size, "read")
        offset = address - region.base
        if isinstance(region, Ram) and region.direct:
            return int.from_bytes(region.view[offset : offset + size], "little")
        assert region.device is not None
        return region.device.read(offset, size)

    def write(self, address: int, size: int, value: int) -> None:
        recent = self._recent
        if recent.base <= address and address + size <= recent.end and size in ACCESS_SIZES:
            recent.device.write(address - recent.base, size, value & _MASKS[size])
            return
        region = self._accessed(address, size, "write")
        value &= _MASKS[size]  # callers may hand over a whole register
        if isinstance(region, Ram) and region.device is None:
            if not region.readonly:  # a write to a ROM is lost, as on hardware
                self._store(region, address, value.to_bytes(size, "little"))
        elif region.device is not None:
            region.device.write(address - region.base, size, value)

    def _accessed(self, address: int, size: int, access: str) -> _Region:
        if size not in ACCESS_SIZES:
            raise ValueError(f"{access} of {size} bytes at {address:#x}: the width must be 1, 2, 4 or 8")
        region = self._region(address)
        if region is None or address + size > region.end:
            raise BusError(address, size, access)
        if isinstance(region, _DeviceRange):
            self._recent = region
        return region

    # Blocks of RAM: loaders, and devices that reach memory themselves

    def read_bytes(self, address: int, length: int) -> bytes:
        ram = self._ram_of(address, length, "read")
        offset = address - ram.base
        return bytes(ram.view[offset : offset + length])

    def write_bytes(self, address: int, data: bytes) -> None:
        ram = self._ram_of(address, len(data), "write")
        if ram.readonly:
            raise BusError(address, len(data), "write")
        if data:
            self._store(ram, address, data)

    def ram_view(self, address: int, length: int, write: bool) -> memoryview:
        """RAM itself, for the host to copy from or into; who fills it then calls ram_written."""
        ram = self._ram_of(address, length, "write" if write else "read")
        if write and ram.readonly:
            raise BusError(address, length, "write")
        offset = address - ram.base
        return ram.view[offset : offset + length]

    def ram_written(self, address: int, length: int) -> None:
        """Tell everybody about what has got into RAM through a view."""
        for listener in self.on_ram_write:
            listener(address, length)

    def _ram_of(self, address: int, length: int, access: str) -> Ram:
        region = self._region(address)
        if not isinstance(region, Ram) or not region.direct or length < 0 or address + length > region.end:
            raise BusError(address, length, access)
        return region

    def _store(self, ram: Ram, address: int, data: bytes) -> None:
        offset = address - ram.base
        ram.view[offset : offset + len(data)] = data
        for listener in self.on_ram_write:
            listener(address, len(data))
