"""The code cache: one memfd mapped twice, to write and to execute, so that no page is ever both."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import weakref
from collections.abc import Mapping
from types import ModuleType

from jit.piece import LoadError, Piece, fill

_MAP_32BIT = 0x40


class CacheFull(Exception):
    """No room is left: the owner drops all translations and starts again."""


def _map_executable(fd: int, size: int) -> int:
    """Map `fd` read + execute; gives the address (Python's own mmap does not tell it for read-only maps)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    # in the low 2 GiB where the host can: the small code model refers to tables by 32-bit absolute addresses
    low = _MAP_32BIT if platform.machine() == "x86_64" else 0
    address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED | low, fd, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "cannot map the code cache executable")
    return int(address)


def _unmap(address: int, size: int) -> None:
    libc = ctypes.CDLL(None)
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.munmap(address, size)


class CodeCache:
    """Bytes of host code at `base`; grows upwards, is emptied as a whole down to `keep`.

    Constants of code are at its end, from `room` on, and stay.
    """

    def __init__(self, size: int = 256 << 20) -> None:
        fd = os.memfd_create("xemu-code")
        try:
            os.ftruncate(fd, size)
            self.write = mmap.mmap(fd, size, prot=mmap.PROT_READ | mmap.PROT_WRITE)
            self.written = ctypes.addressof(ctypes.c_char.from_buffer(self.write))
            self.base = _map_executable(fd, size)
        finally:
            os.close(fd)
        self.size, self.kept = size, 0
        self._limits = (ctypes.c_uint64 * 2)(0, size)
        self.limits = ctypes.addressof(self._limits)  # where native code finds `used` and `room`
        self._constants: dict[bytes, int] = {}
        self.close = weakref.finalize(self, _unmap, self.base, size)
        self.close.atexit = False  # threads may be in there until the very end

    @property
    def used(self) -> int:
        return self._limits[0]

    @used.setter
    def used(self, value: int) -> None:
        self._limits[0] = value

    @property
    def room(self) -> int:
        return self._limits[1]

    def reserve(self, length: int, align: int = 16) -> int:
        """Offset of `length` fresh bytes."""
        start = (self.used + align - 1) & -align
        if start + length > self.room:
            raise CacheFull
        self.used = start + length
        return start

    def constant(self, data: bytes) -> int:
        """Address of constant data, shared by content."""
        found = self._constants.get(data)
        if found is None:
            at = (self.room - len(data)) & -64
            if at < self.used:
                raise CacheFull
            self._limits[1] = at
            self.write[at : at + len(data)] = data
            found = self._constants[data] = self.base + at
        return found

    def constants(self) -> list[tuple[int, bytes]]:
        """(offset, data) of all constants, in the order they came."""
        return [(address - self.base, data) for data, address in self._constants.items()]

    def place(self, pieces: Mapping[str, Piece], host: ModuleType, first: str = "") -> dict[str, int]:
        """Place functions that call each other, one of them `first`; gives their addresses."""
        order = sorted(pieces, key=lambda name: name != first)
        at = {name: self.reserve(len(pieces[name].code) + host.JUMP_SIZE) for name in order}
        symbols = {name: self.base + offset for name, offset in at.items()}
        for name, offset in at.items():
            code = bytearray(pieces[name].code)
            for fx in pieces[name].fixups:
                if not fx.data and fx.name not in symbols:
                    raise LoadError(f"{name} refers to {fx.name!r}, which is not among the functions placed with it")
                fill(code, fx, self.constant(fx.data) if fx.data else symbols[fx.name], self.base + offset)
            self.write[offset : offset + len(code)] = bytes(code)
            host.publish(self.base + offset, len(code))
        return symbols

    def keep(self) -> None:
        """What is in the cache now (the runtime) survives `clear`."""
        self.kept = self.used

    def clear(self) -> None:
        """Drop all but what was kept; its memory goes back to the host."""
        page = mmap.PAGESIZE
        start, end = (self.kept + page - 1) & -page, self.room & -page  # constants begin behind that
        if start < end:
            self.write.madvise(mmap.MADV_REMOVE, start, end - start)
        self.used = self.kept
