"""The baseline engine: guest code becomes host code by copying stencils and filling their holes.

A page of guest code in one mode has an *entry table*: for each instruction the offset of its host code in the code
cache, or 0, where the `translate` continuation stands.  Any translated instruction is an entry, so no instruction of a
page is translated twice.  Code holds no virtual address: jumps inside the page are direct, all others go through
`lookup`.  A jump to code that is not there yet goes to a *link*, which finds it when it is first run and makes the
jump direct.

Blocks are put together by native code (jit/stitch.py); Python makes what that does not know yet (jit/words.py).
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from types import ModuleType
from typing import Any

from jit import stitch
from jit.codecache import CacheFull, CodeCache
from jit.frontend import Decoded, Frontend
from jit.host import host_module
from jit.ir import Function
from jit.lock import Lock
from jit.piece import Piece
from jit.stitch import MAX_BLOCK, PAGE, REQUEST, RESULT, STATE
from jit.store import Store
from jit.store_pieces import PieceStore
from jit.store_words import WordStore
from jit.templates import Code, Templates, TemplatesFull
from jit.words import Stats, Words

CODE_RESERVE = 64 << 10  # room for the largest block: no translation starts with less
CODE_PER_TABLE = 8 << 10  # bytes of the code cache for each entry table: pages have 20 KB of code in the mean
LEAST_TABLES = 256
STITCHER_SIZE = 64 << 10


@dataclass(slots=True, eq=False)
class CodePage:
    """Translations of one physical page in one mode.  single: each instruction leaves through lookup."""

    number: int
    mode: int
    table: Any  # ctypes array of u32 in the table arena
    address: int
    single: bool
    _live: Any  # ctypes u8, which native code writes too

    @property
    def live(self) -> bool:
        """Whether something of it is translated."""
        return bool(self._live.value)


class TableArena:
    """Entry tables: 4 KiB each from a large, lazily backed mapping."""

    def __init__(self, count: int) -> None:
        self._map = mmap.mmap(-1, count * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.count, self.used = count, 1  # table 0 stays empty for ever
        self.live = (ctypes.c_uint8 * count)()  # of each table: it has entries

    @property
    def empty(self) -> int:
        """Address of a table whose entries all lead to `translate`."""
        return self.base

    def take(self) -> int:
        if self.used >= self.count:
            raise CacheFull
        self.used += 1
        return self.base + (self.used - 1) * PAGE

    def clear(self) -> None:
        self._map.madvise(mmap.MADV_DONTNEED)  # zero again, and the host has its memory back
        ctypes.memset(self.live, 0, self.count)
        self.used = 1


class Baseline:
    """Translates, places and invalidates.  One for all vCPUs of a machine; callers hold `lock`."""

    def __init__(
        self,
        frontend: Frontend,
        slots: Mapping[str, int],
        runtime: Callable[[], Iterable[Function]],
        inserts: Callable[[], Iterable[Function]],
        page_at: Callable[[int], int],
        publish: int,
        cache: CodeCache | None = None,
        machine: str | None = None,
        store: Store | None = None,
    ) -> None:
        """runtime: makes the runtime functions.  inserts: `poll`, `link`, `plain_link` and what Decoded.before names.

        page_at: the host address of a physical page.  publish: offset of that callback in the CPU state.  machine: the
        host architecture, where it is not this one.  store: has pieces of earlier runs of this host.
        """
        self.frontend, self.slots, self.machine, self.page_at = frontend, slots, machine, page_at
        self.host: ModuleType = host_module(machine)
        self.cache = cache or CodeCache()
        self.tables = TableArena(max(LEAST_TABLES, self.cache.size // CODE_PER_TABLE))
        self.stats = Stats()
        self.pages: dict[tuple[int, int], CodePage] = {}
        self.modes_of: dict[int, list[CodePage]] = {}
        # called after each translation with (page, offset, instructions, start and end of the host code in the cache)
        self.on_translate: Callable[[CodePage, int, list[Decoded], int, int], None] | None = None
        self.chain = True  # False: every block leaves through lookup, for tracing
        self._watched = False
        self._store = PieceStore(store) if store else None
        pieces = self._made("runtime", lambda: [*runtime(), stitch.patch_link(self.host, publish)], machine)
        # `translate` is placed first, at offset 0, so that an empty entry leads to it
        self.symbols = self.cache.place(pieces, self.host, first="translate")
        self.templates = Templates()
        self.words = Words(
            frontend, self.templates, self.host, lambda functions: self._compile(functions, machine), self.cache,
            self._store if machine is None else None, self.stats,
        )  # fmt: skip
        self.stops: dict[int, str] = {}  # an insert for each instruction at these offsets in a page
        self._stops = (ctypes.c_uint64 * (PAGE // 4))()
        self._inserts: dict[str, int] = {}
        self._start_stitcher(self._made("inserts", inserts, machine))
        self.kept_words: WordStore | None = None
        self._unloaded = store if machine is None else None  # its words come with the first translation
        self.cache.keep()
        if self.cache.room - self.cache.kept < 2 * CODE_RESERVE:
            raise ValueError(
                f"a code cache of {self.cache.size} bytes has no room beside a runtime of {self.cache.kept}"
            )

    # -- set-up -------------------------------------------------------------------------------------------------------
    def _made(self, name: str, make: Callable[[], Iterable[Function]], machine: str | None) -> dict[str, Piece]:
        """What `make` gives, compiled: now or by an earlier run."""
        store = self._store if machine is None else None
        pieces = store.get(name) if store else None
        if pieces is None:
            pieces = self._compile(make(), machine)
            if store:
                store.put(name, pieces)
        return pieces

    def _compile(self, functions: Iterable[Function], machine: str | None) -> dict[str, Piece]:
        from jit.stencil import compile_functions  # loads LLVM: only where the store lacks something

        return compile_functions(functions, self.slots, machine)

    def _load_words(self, store: Store) -> None:
        """Not before it is known how words are decoded."""
        self._unloaded = None
        self.kept_words = WordStore(store, self.frontend.identity, self.templates, self.cache, self.lock)
        self.kept_words.load()
        store.before_save.append(self.kept_words.save)

    def _start_stitcher(self, inserts: Mapping[str, Piece]) -> None:
        """Place the stitcher, which runs here even where the code is for another host, and tell it what stays."""
        pieces = self._made("stitcher", lambda: stitch.functions(self.host.PUBLISHES and not self.machine), None)
        self._stitcher = CodeCache(STITCHER_SIZE)
        self.entrances = self._stitcher.place(pieces, host_module(None))
        self._state = (ctypes.c_uint64 * (STATE.size // 8))()
        self.state = ctypes.addressof(self._state)
        self._run, self._drop, take, release = (
            ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_uint64] * count)(self.entrances[name])
            for name, count in zip(stitch.ENTRANCES, (0, 3, 0, 0), strict=True)
        )
        self.lock = Lock(partial(take, self.state), partial(release, self.state))
        keep, words, host = self.templates.keep, self.words, self.host
        special = {"link": words.link, "plain_link": words.code, "poll": words.code}
        for name, make in special.items():
            self._set(name, keep(make(inserts[name])))
        self._set("jump", keep(words.jump()))
        for length, code in enumerate(host.NOPS):
            self._set("pads", keep(Code(code)), length)
        for number, name in enumerate((n for n in inserts if n not in special), 1):
            self._inserts[name] = keep(words.code(inserts[name]))
            words.inserts[name] = number
            self._set("inserts", self._inserts[name], number)
        for name, value in (
            ("words", self.templates.words), ("index", self.templates.index), ("mask", self.templates.mask),
            ("cache", self.cache.written), ("base", self.cache.base), ("limits", self.cache.limits),
            ("stops", ctypes.addressof(self._stops)), ("link_field", host.JUMP_FIELD),
            ("tables", self.tables.base), ("live", ctypes.addressof(self.tables.live)),
            ("counts", ctypes.addressof(self.stats.counts)),
            ("cb_publish", 0 if self.machine else host.publish_address()),
        ):  # fmt: skip
            self._set(name, value)

    def _set(self, name: str, value: int, index: int = 0) -> None:
        self._state[STATE[name].at(index) // 8] = value

    # -- translation --------------------------------------------------------------------------------------------------
    def page(self, number: int, mode: int) -> CodePage:
        """The code page of physical page `number`; made, with an empty table, where there is none."""
        key = (number, mode)
        found = self.pages.get(key)
        if found is None:
            address = self.tables.take()
            table = (ctypes.c_uint32 * (PAGE // 4)).from_address(address)
            live = ctypes.c_uint8.from_buffer(self.tables.live, (address - self.tables.base) // PAGE)
            found = self.pages[key] = CodePage(number, mode, table, address, self.frontend.single(mode), live)
            self.modes_of.setdefault(number, []).append(found)
        return found

    def translate(self, page: CodePage, offset: int) -> int:
        """Translate from byte `offset` of the page until code that is there, a jump, or the page's end.

        Gives the offset behind the last instruction.  CacheFull: the caller must clear().
        """
        if self.cache.used + CODE_RESERVE > self.cache.room:
            raise CacheFull
        started = perf_counter_ns()
        if self._unloaded:
            self._load_words(self._unloaded)
        self._stitch(page, offset)
        count, start, _ = RESULT.unpack_from(self._state, STATE.count)
        self.stats.translate_ns += perf_counter_ns() - started
        if self.on_translate:
            insns = [self.frontend.decode(w, page.mode) for w in self._guest_words(page, offset)[:count]]
            self.on_translate(page, offset, insns, start, self.cache.used)
        return offset + count * self.frontend.insn_size

    def _stitch(self, page: CodePage, offset: int) -> None:
        """Run the stitcher until it has all it needs."""
        chained = self.chain and not page.single
        self._allow_native()
        request = self.page_at(page.number), page.address, offset, page.mode, page.single, chained
        REQUEST.pack_into(self._state, STATE.guest, *request)
        while (status := self._run(self.state)) != 1:
            if status < 0:
                raise CacheFull
            count, *_ = RESULT.unpack_from(self._state, STATE.count)
            missing = offset + count * self.frontend.insn_size
            try:
                self.words.supply(self._guest_words(page, missing), missing, page.mode, page.table, page.single)
            except TemplatesFull:
                self.templates.forget()
            if self.kept_words:
                self.kept_words.touch()

    @property
    def watched(self) -> bool:
        """Whether all translations and invalidations are to be made here, and none by native code."""
        return self._watched

    @watched.setter
    def watched(self, value: bool) -> None:
        with self.lock:
            self._watched = value
            self._allow_native()

    def _allow_native(self) -> None:
        self._state[STATE.open // 8] = not self._watched and self.chain and self.on_translate is None

    def _guest_words(self, page: CodePage, offset: int) -> tuple[int, ...]:
        """The words that a block at an offset of the page may have."""
        size = min(PAGE - offset, MAX_BLOCK * self.frontend.insn_size)
        return struct.unpack(f"<{size // 4}I", ctypes.string_at(self.page_at(page.number) + offset, size))

    # -- invalidation -------------------------------------------------------------------------------------------------
    def has_code(self, number: int) -> bool:
        """Whether something of a physical page is translated."""
        return any(page.live for page in self.modes_of.get(number, ()))

    def invalidate(self, number: int, offset: int, size: int) -> bool:
        """Bytes of a page were written: drop its translations if one of them was translated.  True if so."""
        first, last = offset >> 2, (offset + size - 1) >> 2
        hit = False
        for page in self.modes_of.get(number, ()):
            hit |= bool(self._drop(self.state, page.address, first, last))
        return hit

    def insert_at(self, offset: int, name: str) -> None:
        """From now on, code at this offset of any page has the insert `name` before it."""
        if offset not in self.stops:
            self.stops[offset] = name
            self._stops[offset >> 2] = self._inserts[name]
            for number in self.modes_of:
                self.invalidate(number, offset, 4)

    def clear(self) -> None:
        """Drop all translations (the cache is full).  No thread may be in them."""
        self.pages.clear()
        self.modes_of.clear()
        self.tables.clear()
        self.cache.clear()
        self.stats.flushes += 1
