"""What all vCPUs of one machine share: the translator, the runtime, and the directories that find code by RAM page."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from jit.baseline import Baseline, CodePage
from jit.codecache import CacheFull, CodeCache
from jit.ir import Function
from targets.arm import access, debug_points, dispatch, exceptions, fp, mmu
from targets.arm.a64.frontend import A64Frontend
from targets.arm.a64.lift import MODES
from targets.arm.env import SLOTS

PAGE = 4096
CODE_FLAG = 1  # of ram_flags: the page holds translated code


class Bus(Protocol):
    """The machine as the CPUs see it.  BusError: what accesses raise where nothing answers."""

    BusError: type[Exception]

    def mmio_read(self, cpu: int, address: int, size: int) -> int: ...

    def mmio_write(self, cpu: int, address: int, size: int, value: int) -> None: ...

    def find_ram(self, address: int) -> int:
        """Host address of RAM or ROM at a physical address outside the main RAM; 0 where there is none."""
        ...

    def writable(self, address: int) -> bool:
        """Whether stores may go to that memory directly."""
        ...


@dataclass(frozen=True, slots=True)
class MainRam:
    """The RAM that native code reaches without asking."""

    base: int
    size: int
    host: int


def runtime_functions() -> list[Function]:
    """All runtime functions, in IR."""
    rooms = (dispatch, access, mmu, exceptions, fp, debug_points)  # the last one's watchpoints replace mmu's stand-ins
    return list({f.name: f for room in rooms for f in room.functions()}.values())


class Arena:
    """Lazily backed, zeroed memory at a fixed address."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def clear(self) -> None:
        """Zero again, by giving the pages back."""
        self._map.madvise(mmap.MADV_DONTNEED)


class System:
    """Translation for the vCPUs of one machine."""

    def __init__(
        self,
        features: tuple[str, ...],
        ram: MainRam,
        log: Callable[[str], None] | None = None,
        cache_size: int = 256 << 20,
    ) -> None:
        self.ram = ram
        self.features = features
        pages = (ram.size + PAGE - 1) // PAGE
        self.dir_bytes = (pages * 8 + PAGE - 1) & -PAGE
        self.directories = Arena(MODES * self.dir_bytes)
        self.flags = Arena((pages + PAGE - 1) & -PAGE)
        self.frontend = A64Frontend(features, log)
        self.inserts = {f.name: f for f in (exceptions.stack_check(), debug_points.breakpoint_check())}
        self.engine = Baseline(
            self.frontend, SLOTS, runtime_functions(), dispatch.poll(), dispatch.link(), self.read_page,
            CodeCache(cache_size), self.inserts.values(),
        )  # fmt: skip
        self.cpus: list[Any] = []
        self.rom_hosts: dict[int, int] = {}  # host addresses of code pages outside the main RAM

    def read_page(self, number: int) -> bytes:
        """A physical page's bytes."""
        address = number * PAGE
        if self.ram.base <= address < self.ram.base + self.ram.size:
            return ctypes.string_at(self.ram.host + address - self.ram.base, PAGE)
        return ctypes.string_at(self.rom_hosts[number], PAGE)

    # -- code pages ---------------------------------------------------------------------------------------------------
    def code_page(self, number: int, mode: int) -> CodePage:
        """The code page for a physical page in a mode; new ones enter the directory and become write-protected."""
        page = self.engine.pages.get((number, mode))
        if page is None:
            page = self.engine.page(number, mode)
            index = number - self.ram.base // PAGE
            if 0 <= index < self.ram.size // PAGE:
                slot = self.directories.base + mode * self.dir_bytes + index * 8
                ctypes.c_uint64.from_address(slot).value = page.address
        self._protect(number)
        return page

    def _protect(self, number: int) -> None:
        index = number - self.ram.base // PAGE
        if not 0 <= index < self.ram.size // PAGE:
            return
        flag = ctypes.c_uint8.from_address(self.flags.base + index)
        if not flag.value & CODE_FLAG:
            flag.value |= CODE_FLAG
            for cpu in self.cpus:
                cpu.protect_page(number * PAGE)

    def written(self, address: int, size: int) -> None:
        """Physical memory was written behind the CPUs' back, or in a page that holds code."""
        with self.engine.lock:
            end = address + size
            while address < end:
                number, offset = divmod(address, PAGE)
                length = min(end - address, PAGE - offset)
                if self.engine.has_code(number) and self.engine.invalidate(number, offset, length):
                    for cpu in self.cpus:
                        cpu.attend()
                address += length

    def drop_all(self) -> None:
        """The cache is full: start with an empty one."""
        self.engine.clear()
        self.directories.clear()
        self.flags.clear()
        for cpu in self.cpus:
            cpu.forget_code()


__all__ = ["Arena", "Bus", "CacheFull", "MainRam", "System", "runtime_functions"]
