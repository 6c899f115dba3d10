"""What all vCPUs of one machine share: the translator, the runtime, and the directories that find code by RAM page."""

from __future__ import annotations

import ctypes
import mmap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from jit.baseline import Baseline, CodePage
from jit.codecache import CacheFull, CodeCache
from jit.host import host_module
from jit.ir import Function
from jit.store import Store
from targets.arm import access, code_pages, debug_points, dispatch, exceptions, fp, gic, gicv2, icount, mmu, smp, timers
from targets.arm.a64.frontend import A64Frontend
from targets.arm.a64.lift import MODES
from targets.arm.code_pages import CODE_FLAG, GUARD_FLAG
from targets.arm.dirty import DirtyPages
from targets.arm.env import CALLBACK_AT, SLOTS

PAGE = 4096


class Bus(Protocol):
    """The machine as the CPUs see it.  BusError: what accesses raise where nothing answers."""

    @property
    def BusError(self) -> type[Exception]: ...

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
    # the last one's watchpoints replace mmu's stand-ins
    rooms = (dispatch, code_pages, access, mmu, smp, exceptions, fp, gic, gicv2, timers, debug_points)
    return list({f.name: f for room in rooms for f in room.functions()}.values())


def inserts() -> list[Function]:
    """What the engine places between instructions, in IR."""
    return [
        dispatch.poll(),
        dispatch.link(),
        dispatch.plain_link(),
        exceptions.stack_check(),
        debug_points.breakpoint_check(),
        icount.count_instruction(),
        icount.counted_stack_check(),
    ]


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
        machine: str | None = None,
        store: Store | None = None,
    ) -> None:
        self.ram = ram
        self.features = features
        pages = (ram.size + PAGE - 1) // PAGE
        self.dir_bytes = (pages * 8 + PAGE - 1) & -PAGE
        self.directories = Arena(MODES * self.dir_bytes)
        self.flags = Arena((pages + PAGE - 1) & -PAGE)
        self.lines = Arena(self.dir_bytes)  # of each page, a bit for each 64 bytes with code that is translated
        self.frontend = A64Frontend(features, log)
        self.engine = Baseline(
            self.frontend, SLOTS, runtime_functions, inserts, self.page_at, CALLBACK_AT["publish"],
            CodeCache(min(cache_size, host_module(machine).BRANCH_REACH)), machine, store,
        )  # fmt: skip
        self.shared = Arena(smp.SIZE)
        self.cpus: list[Any] = []
        self._guards: dict[int, int] = {}  # pages that are not yet safe from unnoticed stores: see guard
        self.fetch_pc = 0  # what code_at is called for: virtual, for the debug log alone
        self.told: set[Any] = set()  # what the debug log says only once
        self.rom_hosts: dict[int, int] = {}  # host addresses of code pages outside the main RAM
        self.dirty: DirtyPages | None = None  # while it is noted which pages are written
        self.closed = False  # True while the code cache is emptied: no CPU may be in it
        self._emptying = threading.Lock()

    def read_page(self, number: int) -> bytes:
        """A physical page's bytes."""
        return ctypes.string_at(self.page_at(number), PAGE)

    def page_at(self, number: int) -> int:
        """Host address of a physical page."""
        index = self._index(number)
        return self.rom_hosts[number] if index is None else self.ram.host + index * PAGE

    # -- code pages ---------------------------------------------------------------------------------------------------
    def _index(self, number: int) -> int | None:
        """Which page of the main RAM a physical page is."""
        index = number - self.ram.base // PAGE
        return index if 0 <= index < self.ram.size // PAGE else None

    def flag(self, index: int) -> ctypes.c_uint8:
        """The flags of a page of the main RAM (see targets/arm/code_pages.py), in place."""
        return ctypes.c_uint8.from_address(self.flags.base + index)

    def line_bits(self, index: int) -> ctypes.c_uint64:
        """Which lines of such a page hold code, in place."""
        return ctypes.c_uint64.from_address(self.lines.base + 8 * index)

    def guard(self, by: Any, number: int, waited: int) -> int:
        """See to it that stores to a page are noticed, which CPU `by` is going to translate from.  Locked as code_at.

        0 where they are; else what to give to await_peers, without the lock, and then here as `waited`.
        """
        index = self._index(number)
        if index is None:
            return 0
        flag = self.flag(index)
        if not flag.value & CODE_FLAG:
            flag.value |= CODE_FLAG
            if len(self.cpus) == 1:
                by.call("protect_page", number * PAGE)
                return 0
            flag.value |= GUARD_FLAG
            upto = self._guards[number] = by.call("request", smp.PROTECT, number * PAGE)
            by.call("catch_up")
            return upto
        upto = self._guards.get(number, 0)
        if upto and upto == waited:
            del self._guards[number]
            flag.value &= ~GUARD_FLAG
            return 0
        return upto

    def code_at(self, by: Any, number: int, mode: int, offset: int) -> CodePage:
        """The code page of a guarded physical page in a mode, with code at this offset.

        Callers hold the engine's lock.  CacheFull: none of what was to be made is there; drop_all() once it is free.
        """
        engine = self.engine
        page = engine.pages.get((number, mode))
        index = self._index(number)
        if page is None:
            page = engine.page(number, mode)
            if index is not None:
                slot = self.directories.base + mode * self.dir_bytes + index * 8
                ctypes.c_uint64.from_address(slot).value = page.address
        if not page.table[offset >> 2]:
            if index is None:
                engine.translate(page, offset)
            else:
                self._translate(by, page, offset, index)
        return page

    def _translate(self, by: Any, page: CodePage, offset: int, index: int) -> None:
        """Translate, with stores to any part of the page being noticed meanwhile (as code_pages.translate_here)."""
        lines = self.line_bits(index)
        before, lines.value = lines.value, (1 << 64) - 1
        if len(self.cpus) > 1:
            by.call("host_fence")  # see note_write
        end = self.engine.translate(page, offset)
        lines.value = before | (2 << (end - 1 >> 6)) - (1 << (offset >> 6))

    def unprotect(self, index: int) -> None:
        """The page has no translations, or never had any.  The CPUs' TLBs find out at the next store."""
        self.line_bits(index).value = 0
        self.flag(index).value = 0

    def written(self, address: int, size: int) -> None:
        """Physical memory was written behind the CPUs' back, or in a page that holds code."""
        with self.engine.lock:
            end = address + size
            while address < end:
                number, offset = divmod(address, PAGE)
                length = min(end - address, PAGE - offset)
                index = self._index(number)
                if not self.engine.has_code(number):
                    if index is not None and self.flag(index).value:
                        self.unprotect(index)
                elif self.engine.invalidate(number, offset, length):
                    if index is not None and not self.engine.has_code(number):
                        self.line_bits(index).value = 0  # as code_pages.drop_code
                    for cpu in self.cpus:
                        cpu.attend()
                if self.dirty is not None and index is not None:
                    self.dirty.note(index, self.engine.has_code(number))
                address += length

    # -- a full cache -------------------------------------------------------------------------------------------------
    def drop_all(self, by: Any) -> None:
        """The cache is full: start with an empty one.

        `by` is the CPU that found out: not in native code, and without the engine's lock, which callbacks from native
        code of other CPUs need before these can come out.
        """
        flushes = self.engine.stats.flushes
        with self._emptying:
            if self.engine.stats.flushes != flushes:
                return  # another CPU was faster
            self.closed = True
            try:
                while others := [cpu for cpu in self.cpus if cpu.inside and cpu is not by]:
                    for cpu in others:
                        cpu.kick()
                    time.sleep(0.0002)
                with self.engine.lock:
                    self._empty()
            finally:
                self.closed = False

    def _empty(self) -> None:
        self.engine.clear()
        self._guards.clear()
        for arena in (self.directories, self.flags, self.lines):
            arena.clear()
        if self.dirty is not None:
            self.dirty.protect_all()
        for cpu in self.cpus:
            cpu.forget_code()

    def wait_open(self) -> None:
        """Until the code cache is no longer being emptied."""
        with self._emptying:
            pass


__all__ = ["Arena", "Bus", "CacheFull", "MainRam", "System", "runtime_functions"]
