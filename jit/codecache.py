"""The code cache: one memfd mapped twice, to write and to execute, so that no page is ever both."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
import weakref

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
    """Bytes of host code at `base`; grows upwards, is emptied as a whole down to `keep`."""

    def __init__(self, size: int = 256 << 20) -> None:
        fd = os.memfd_create("xemu-code")
        try:
            os.ftruncate(fd, size)
            self.write = mmap.mmap(fd, size, prot=mmap.PROT_READ | mmap.PROT_WRITE)
            self._written = ctypes.addressof(ctypes.c_char.from_buffer(self.write))
            self.base = _map_executable(fd, size)
        finally:
            os.close(fd)
        self.size, self.used, self.kept = size, 0, 0
        self.close = weakref.finalize(self, _unmap, self.base, size)
        self.close.atexit = False  # threads may be in there until the very end

    def reserve(self, length: int, align: int = 16) -> int:
        """Offset of `length` fresh bytes."""
        start = (self.used + align - 1) & -align
        if start + length > self.size:
            raise CacheFull
        self.used = start + length
        return start

    def store_word(self, offset: int, data: bytes) -> None:
        """Replace 8 aligned bytes at once.  ctypes stores a c_uint64 by one instruction; a slice is some memcpy."""
        ctypes.c_uint64.from_address(self._written + offset).value = int.from_bytes(data, sys.byteorder)

    def keep(self) -> None:
        """What is in the cache now (the runtime) survives `clear`."""
        self.kept = self.used

    def clear(self) -> None:
        """Drop all but what was kept; its memory goes back to the host."""
        page = mmap.PAGESIZE
        start, end = (self.kept + page - 1) & -page, (self.used + page - 1) & -page
        if start < end:
            self.write.madvise(mmap.MADV_REMOVE, start, end - start)
        self.used = self.kept
