"""Memory of the host at addresses that we choose."""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from typing import Any

_MAP_NORESERVE, _MAP_FIXED_NOREPLACE = 0x4000, 0x10_0000
_FAILED = ctypes.c_void_p(-1).value


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def map_memory(size: int, address: int = 0) -> int:
    """Lazily backed, zeroed memory: at `address` where that is free, else anywhere; gives where it is."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    for where, how in ((address, flags | _MAP_FIXED_NOREPLACE), (None, flags)) if address else ((None, flags),):
        found = _libc().mmap(where, size, mmap.PROT_READ | mmap.PROT_WRITE, how, -1, 0)
        if found not in (None, _FAILED):
            return int(found)
    raise OSError(ctypes.get_errno(), f"can't map {size >> 20} MiB of memory")


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # mallopt(3)
LARGE = 1 << 20  # bytes


def return_freed_memory() -> bool:
    """Have the C library give freed memory back to the host; False where it can't.

    By itself glibc takes blocks as large as one that was freed before (up to 32 MiB) from its heaps, one a thread,
    where what else is there keeps them for good: it cost some 100 MiB of a run of an hour.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    return mallopt is not None and all([mallopt(_M_MMAP_THRESHOLD, LARGE), mallopt(_M_ARENA_MAX, 1)])


def unmap(address: int, size: int) -> None:
    _libc().munmap(address, size)


def discard(address: int, size: int) -> None:
    """Zero it again; the host has its memory back."""
    _libc().madvise(address, size, mmap.MADV_DONTNEED)
