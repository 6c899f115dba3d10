"""The baseline engine: guest code becomes host code by copying stencils and filling their holes.

A page of guest code in one mode has an *entry table*: for each instruction the offset of its host code in the code
cache, or 0, where the `translate` continuation stands.  Any translated instruction is an entry, so no instruction of a
page is translated twice.  Code holds no virtual address: jumps inside the page are direct, all others go through
`lookup`.  A jump to code that is not there yet goes to a *link* (set pc, go to lookup) and is redirected once it is.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns
from types import ModuleType
from typing import Any

from jit.codecache import CacheFull, CodeCache
from jit.frontend import Decoded, Frontend
from jit.host import host_module
from jit.ir import Function
from jit.piece import LoadError, Piece, Writer, fill, writer
from jit.store import Store
from jit.store_pieces import PieceStore, key_text

PAGE = 4096
MAX_BLOCK = 64  # instructions translated at a time: beyond a branch what follows may never run
WORD = 8  # bytes, aligned: what a store changes at once for a CPU that fetches them (AMD64 manual 2, 7.6.1)
CODE_RESERVE = 64 << 10  # room for the largest block: no translation starts with less
CODE_PER_TABLE = 8 << 10  # bytes of the code cache for each entry table: pages have 20 KB of code in the mean
LEAST_TABLES = 256
MOST_WORDS = 1 << 18  # words remembered, about 700 bytes each: a guest that makes up code has no end of them


@dataclass(slots=True)
class Code:
    """A word's stencil with all its holes filled but those that depend on its place."""

    data: bytes
    pc: tuple[tuple[int, Writer, int], ...]  # (offset, writer, addend): the instruction's offset in its page
    taken: tuple[int, ...]  # offsets of the displacements to the branch target
    constants: tuple[tuple[int, int], ...]  # (offset, address + addend) of pc-relative operands
    exits: tuple[int, ...] = ()  # offsets of displacements: to the slow path, and in one to what is behind
    slow: Code | None = None  # the slow path, placed behind the block


@dataclass(slots=True, eq=False)
class _Plan:
    """How a stencil is filled: its bytes, its holes (writer, offset, name, addend, mask), and the rest.

    The rest is that of `Code`.  piece: kept alive, because plans are found by its identity.
    """

    data: bytes
    holes: list[tuple[Writer, int, str, int, int]]
    pc: tuple[tuple[int, Writer, int], ...]
    taken: tuple[int, ...]
    constants: tuple[tuple[int, int], ...]
    exits: tuple[int, ...]
    slow: _Plan | None
    piece: Piece


@dataclass(slots=True, eq=False)
class CodePage:
    """Translations of one physical page in one mode.  single: each instruction leaves through lookup."""

    number: int
    mode: int
    table: Any  # ctypes array of u32 in the table arena
    address: int
    single: bool = False
    chain: bool = True
    live: bool = False  # something of it is translated
    pending: dict[int, list[tuple[int, bool]]] = field(default_factory=dict)  # target: (place, is a link) to patch

    @property
    def chained(self) -> bool:
        """Whether code of the page jumps to other code of the page directly."""
        return self.chain and not self.single


@dataclass(slots=True)
class Stats:
    blocks: int = 0
    insns: int = 0
    words: int = 0
    shapes: set[Any] = field(default_factory=set)
    stencils: int = 0
    stored_stencils: int = 0  # of these, from the store
    flushes: int = 0
    invalidated: int = 0
    compile_ns: int = 0  # in LLVM
    translate_ns: int = 0  # in all, LLVM included


class TableArena:
    """Entry tables: 4 KiB each from a large, lazily backed mapping."""

    def __init__(self, count: int) -> None:
        self._map = mmap.mmap(-1, count * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.count, self.used, self.free = count, 1, list[int]()  # table 0 stays empty for ever

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
        self.used = 1


class Baseline:
    """Translates, places and invalidates.  One for all vCPUs of a machine; callers hold `lock`."""

    def __init__(
        self,
        frontend: Frontend,
        slots: Mapping[str, int],
        runtime: Callable[[], Iterable[Function]],
        inserts: Callable[[], Iterable[Function]],
        read_page: Callable[[int], bytes],
        cache: CodeCache | None = None,
        machine: str | None = None,
        store: Store | None = None,
    ) -> None:
        """runtime: makes the runtime functions.  inserts: makes `poll`, `link` and what `Decoded.before` names.

        machine: the host architecture, where it is not this one.  store: has pieces of earlier runs of this host.
        """
        self.frontend, self.slots, self.machine = frontend, slots, machine
        self.host: ModuleType = host_module(machine)
        self._branch = writer(self.host.BRANCH)[0]
        self.cache = cache or CodeCache()
        self.tables = TableArena(max(LEAST_TABLES, self.cache.size // CODE_PER_TABLE))
        self.lock = threading.RLock()
        self.stats = Stats()
        self.read_page = read_page
        self.pages: dict[tuple[int, int], CodePage] = {}
        self.modes_of: dict[int, list[CodePage]] = {}
        self._pieces: dict[Any, Piece] = {}
        self._words: dict[int, dict[int, tuple[Decoded, list[Code | None]]]] = {}
        self._remembered = 0  # how many words that are, in all modes
        self._constants: dict[bytes, int] = {}
        self._plans: dict[int, _Plan] = {}
        self.symbols: dict[str, int] = {}
        # called after each translation with (page, offset, instructions, start and end of the host code in the cache)
        self.on_translate: Callable[[CodePage, int, list[Decoded], int, int], None] | None = None
        self.chain = True  # False: every block leaves through lookup, for tracing
        self.concurrent = True  # False: no CPU runs code while another translates
        # called with each function before it is compiled ("op") and behind the passes ("op_opt")
        self.on_stencil: Callable[[str, Function], None] | None = None
        self._kept = PieceStore(store) if store and machine is None else None
        self._place_runtime(self._made("runtime", runtime))
        own = self._made("inserts", inserts)
        self._inserts = {name: self._fill_word(self._plan(piece, False), {}) for name, piece in own.items()}
        self._link_code, self._poll_code = self._inserts["link"], self._inserts["poll"]
        self.stops: dict[int, str] = {}  # an insert for each instruction at these offsets in a page
        self.cache.keep()
        if self.cache.size - self.cache.kept < 2 * CODE_RESERVE:
            raise ValueError(
                f"a code cache of {self.cache.size} bytes has no room beside a runtime of {self.cache.kept}"
            )

    # -- runtime ------------------------------------------------------------------------------------------------------
    def _made(self, name: str, make: Callable[[], Iterable[Function]]) -> dict[str, Piece]:
        """What `make` gives, compiled: now or by an earlier run."""
        pieces = self._kept.get(name) if self._kept else None
        if pieces is None:
            pieces = self._compile(make())
            if self._kept:
                self._kept.put(name, pieces)
        return pieces

    def _compile(self, functions: Iterable[Function]) -> dict[str, Piece]:
        from jit.stencil import compile_functions  # loads LLVM: only where the store lacks something

        return compile_functions(functions, self.slots, self.machine)

    def _place_runtime(self, pieces: Mapping[str, Piece]) -> None:
        """`translate` is placed first, at offset 0, so that an empty entry leads to it."""
        order = sorted(pieces, key=lambda n: n != "translate")
        offsets = {name: self.cache.reserve(len(pieces[name].code) + self.host.JUMP_SIZE) for name in order}
        self.symbols = {name: self.cache.base + at for name, at in offsets.items()}
        for name in order:
            self._place_at(offsets[name], pieces[name])

    def _place_at(self, offset: int, piece: Piece) -> None:
        code, place = bytearray(piece.code), self.cache.base + offset
        for fx in piece.fixups:
            if not fx.data and fx.name not in self.symbols:
                raise LoadError(f"{piece.name} refers to {fx.name!r}, which is not among the runtime functions")
            fill(code, fx, self._constant(fx.data) if fx.data else self.symbols[fx.name], place)
        self._write(offset, bytes(code))

    def _write(self, offset: int, code: bytes) -> None:
        """Put code into the cache for CPUs to run."""
        self.cache.write[offset : offset + len(code)] = code
        self.host.publish(self.cache.base + offset, len(code))

    def _patch(self, place: int, code: bytes) -> None:
        """Replace code that CPUs may be running; where they may, it lies in one aligned word, and that is one store."""
        word = place & -WORD
        if place + len(code) > word + WORD:
            self._write(place, code)
            return
        old = self.cache.write[word : word + WORD]
        self.cache.store_word(word, old[: place - word] + code + old[place - word + len(code) :])
        self.host.publish(self.cache.base + word, WORD)

    def _constant(self, data: bytes) -> int:
        """Address of constant-pool data, shared by content."""
        found = self._constants.get(data)
        if found is None:
            at = self.cache.reserve(len(data), 64)
            self.cache.write[at : at + len(data)] = data
            found = self._constants[data] = self.cache.base + at
        return found

    # -- words --------------------------------------------------------------------------------------------------------
    def _decoded(self, word: int, mode: int) -> tuple[Decoded, list[Code | None]]:
        words = self._words.setdefault(mode, {})
        found = words.get(word)
        if found is None:
            found = words[word] = (self.frontend.decode(word, mode), [None, None])
            self.stats.words += 1
            self._remembered += 1
        return found

    def _forget_words(self) -> None:
        self._words.clear()
        self._remembered = 0

    def _key(self, d: Decoded, mode: int, near: bool) -> Any:
        return d.key, near and d.displacement is not None, self.frontend.shape_mode(d, mode)

    def _make_stencils(self, wanted: dict[Any, tuple[Decoded, bool]], mode: int) -> None:
        """Make the stencils that a block lacks, in one module, or take them from the store."""
        functions: list[Function] = []
        names: dict[str, Any] = {}
        kept = None if self.on_stencil else self._kept  # what is to be shown has to be made
        for d, near in wanted.values():
            f = self.frontend.lift(d, mode, near)
            key = self._key(d, mode, near)  # known for sure only once the shape has been lifted
            if key in self._pieces:
                continue
            if kept and (found := kept.get(f"stencil {key_text(key)}")):
                (self._pieces[key],) = found.values()
                self.stats.stored_stencils += 1
                continue
            f.name = f"{f.name} #{len(self._pieces) + len(functions)}"
            if self.on_stencil:
                self.on_stencil("op", f)
            names[f.name] = key
            functions.append(f)
        started = perf_counter_ns()
        for name, piece in self._compile(functions).items() if functions else ():
            self._pieces[names[name]] = piece
            if self._kept:
                self._kept.put(f"stencil {key_text(names[name])}", {name: piece})
        if self.on_stencil:
            for f in functions:
                self.on_stencil("op_opt", f)
        self.stats.compile_ns += perf_counter_ns() - started
        self.stats.stencils = len(self._pieces)

    def _code(self, d: Decoded, codes: list[Code | None], mode: int, near: bool) -> Code:
        code = codes[near]
        if code is None:
            piece = self._pieces[self._key(d, mode, near)]
            self.stats.shapes.add(d.key)
            code = codes[near] = self._fill_word(self._plan(piece, False), self.frontend.holes(d, mode, near))
        return code

    def _plan(self, piece: Piece, slow: bool) -> _Plan:
        """What there is to do for each word of a stencil, and the bytes with all else done."""
        plan = self._plans.get(id(piece))
        if plan is not None:
            return plan
        data = bytearray(piece.code)
        holes: list[tuple[Writer, int, str, int, int]] = []
        pc: list[tuple[int, Writer, int]] = []
        taken: list[int] = []
        constants: list[tuple[int, int]] = []
        exits: list[int] = []
        for fx in piece.fixups:
            if fx.data and not fx.relative:
                fill(data, fx, self._constant(fx.data), 0)
            elif fx.data:
                constants.append((fx.offset, self._constant(fx.data) + fx.addend))
            elif fx.name == "PC":
                pc.append((fx.offset, writer(fx.fmt)[0], fx.addend))
            elif fx.name == "TAKEN":
                taken.append(fx.offset)
            elif fx.name == "SLOW" or (slow and fx.name == "NEXT"):
                exits.append(fx.offset)
            elif fx.name == "NEXT":
                fill(data, fx, len(data), 0)  # relative to the piece itself, wherever it is
            else:
                write, mask = writer(fx.fmt)
                holes.append((write, fx.offset, fx.name, fx.addend, mask))
        behind = self._plan(piece.slow, True) if piece.slow else None
        plan = _Plan(bytes(data), holes, tuple(pc), tuple(taken), tuple(constants), tuple(exits), behind, piece)
        self._plans[id(piece)] = plan
        return plan

    def _fill_word(self, plan: _Plan, values: Mapping[str, int]) -> Code:
        """A stencil's code for one word."""
        data = bytearray(plan.data)
        for write, offset, name, addend, mask in plan.holes:
            write(data, offset, values[name] + addend & mask)
        behind = self._fill_word(plan.slow, values) if plan.slow else None
        return Code(bytes(data), plan.pc, plan.taken, plan.constants, plan.exits, behind)

    # -- blocks -------------------------------------------------------------------------------------------------------
    def page(self, number: int, mode: int) -> CodePage:
        """The code page of physical page `number`; made, with an empty table, where there is none."""
        key = (number, mode)
        found = self.pages.get(key)
        if found is None:
            address = self.tables.take()
            table = (ctypes.c_uint32 * (PAGE // 4)).from_address(address)
            found = self.pages[key] = CodePage(number, mode, table, address, self.frontend.single(mode), self.chain)
            self.modes_of.setdefault(number, []).append(found)
        return found

    def translate(self, page: CodePage, offset: int) -> int:
        """Translate from byte `offset` of the page until code that is there, a jump, or the page's end.

        Gives the offset behind the last instruction.  CacheFull: the caller must clear().
        """
        if self.cache.used + CODE_RESERVE > self.cache.size:
            raise CacheFull
        started = perf_counter_ns()
        if self._remembered > MOST_WORDS:
            self._forget_words()
        insns = self._scan(page, offset)
        start = self.cache.reserve(0)
        page.live = True
        self._emit(page, offset, insns)
        self.stats.translate_ns += perf_counter_ns() - started
        self.stats.blocks += 1
        self.stats.insns += len(insns)
        if self.on_translate:
            self.on_translate(page, offset, [d for d, _, _ in insns], start, self.cache.used)
        return offset + len(insns) * self.frontend.insn_size

    def _scan(self, page: CodePage, offset: int) -> list[tuple[Decoded, list[Code | None], bool]]:
        """Decode the block and compile what it lacks."""
        mode, table = page.mode, page.table
        step = self.frontend.insn_size
        words = self._words.setdefault(mode, {})
        limit = min(PAGE, offset + MAX_BLOCK * step)
        raw = struct.unpack(f"<{(limit - offset) // 4}I", self.read_page(page.number)[offset:limit])
        insns: list[tuple[Decoded, list[Code | None], bool]] = []
        wanted: dict[Any, tuple[Decoded, bool]] = {}
        at = offset
        for word in raw:
            if insns and table[at >> 2]:
                break
            entry = words.get(word) or self._decoded(word, mode)
            d, codes = entry
            near = d.displacement is not None and 0 <= at + d.displacement < PAGE
            if codes[near] is None:
                key = self._key(d, mode, near)
                if key not in self._pieces:
                    wanted[key] = (d, near)
            insns.append((d, codes, near))
            at += step
            if d.ends == "jump" or d.ends == "sync" or page.single:
                break
        if wanted:
            self._make_stencils(wanted, mode)
        return insns

    def _emit(self, page: CodePage, offset: int, insns: list[tuple[Decoded, list[Code | None], bool]]) -> None:
        mode, table, step = page.mode, page.table, self.frontend.insn_size
        ready = [codes[near] or self._code(d, codes, mode, near) for d, codes, near in insns]
        start = self.cache.reserve(0)  # behind the constants that these words placed
        chunks: list[bytes] = []
        fixes: list[tuple[int, Writer, int]] = []
        jumps: list[tuple[int, int]] = []  # (place of a displacement, target offset in the page)
        constants: list[tuple[int, int]] = []
        entries: list[int] = []
        slow: list[tuple[Code, int, int]] = []  # (code, its place, offset in the page)
        at, pc = 0, offset
        for (d, _, near), code in zip(insns, ready, strict=True):
            entries.append(start + at)
            for insert in self._before(d, pc):
                if insert.slow:
                    slow.append((insert, at, pc))
                at = self._append(insert, at, pc, chunks, fixes, constants)
            if near and d.displacement is not None and d.displacement <= 0 and page.chained:
                slow.append((self._poll_code, at, pc))  # loops see interrupts here
                at = self._append(self._poll_code, at, pc, chunks, fixes, constants)
            for place in code.taken:
                jumps.append((at + place, pc + (d.displacement or 0)))
            if code.slow:
                slow.append((code, at, pc))
            at = self._append(code, at, pc, chunks, fixes, constants)
            pc += step
        if insns[-1][0].ends not in ("jump", "sync"):
            at = self._go_on(page, pc, start, at, chunks, fixes, constants)
        here = dict(zip(range(offset, pc, step), entries, strict=True))
        at = self._resolve(page, jumps, start, at, chunks, fixes, constants, here)
        for code, fast, pc_fast in slow:
            at = self._append_slow(code, fast, at, pc_fast, chunks, fixes, constants)
        buffer = bytearray(b"".join(chunks))
        for place, write, value in fixes:
            write(buffer, place, value)
        base = self.cache.base + start
        for place, address in constants:
            struct.pack_into("<i", buffer, place, address - (base + place))
        self.cache.reserve(len(buffer))
        self._write(start, bytes(buffer))
        for k, entry in enumerate(entries, offset // step):
            table[k] = entry
        self._settle(page, range(offset, pc, step))

    def _before(self, d: Decoded, offset: int) -> list[Code]:
        """What is to be placed before the instruction at `offset`."""
        stop = self.stops.get(offset)
        return [self._inserts[name] for name in ((stop, *d.before) if stop else d.before)]

    def _append(
        self, code: Code, at: int, pc: int, chunks: list[bytes], fixes: list[tuple[int, Writer, int]],
        constants: list[tuple[int, int]],
    ) -> int:  # fmt: skip
        chunks.append(code.data)
        for place, write, addend in code.pc:
            fixes.append((at + place, write, pc + addend))
        for place, address in code.constants:
            constants.append((at + place, address))
        return at + len(code.data)

    def _append_slow(
        self, code: Code, fast: int, at: int, pc: int, chunks: list[bytes], fixes: list[tuple[int, Writer, int]],
        constants: list[tuple[int, int]],
    ) -> int:  # fmt: skip
        """The slow path of the code at `fast`, and the ways there and back."""
        slow, bias = code.slow, self.host.BRANCH_BIAS
        assert slow is not None
        for place in code.exits:
            fixes.append((fast + place, self._branch, at - (fast + place + bias)))
        for place in slow.exits:
            fixes.append((at + place, self._branch, fast + len(code.data) - (at + place + bias)))
        return self._append(slow, at, pc, chunks, fixes, constants)

    def _go_on(
        self, page: CodePage, pc: int, start: int, at: int, chunks: list[bytes], fixes: list[tuple[int, Writer, int]],
        constants: list[tuple[int, int]],
    ) -> int:  # fmt: skip
        """Behind the last instruction: a jump to the next one's code, or a link that can become that jump."""
        target = page.table[pc >> 2] if pc < PAGE and page.chained else 0
        if target:
            chunks.append(self.host.jump(target - (start + at)))
            return at + len(chunks[-1])
        if pc < PAGE and page.chained:
            at = self._pad_link(start, at, chunks)
            page.pending.setdefault(pc, []).append((start + at, True))
        return self._append(self._link_code, at, pc, chunks, fixes, constants)

    def _pad_link(self, start: int, at: int, chunks: list[bytes]) -> int:
        """Make room so that one store can turn the link that follows into a jump."""
        pad = self.host.padding(start + at) if self.concurrent else b""
        chunks.append(pad)
        return at + len(pad)

    def _resolve(
        self, page: CodePage, jumps: list[tuple[int, int]], start: int, at: int, chunks: list[bytes],
        fixes: list[tuple[int, Writer, int]], constants: list[tuple[int, int]], here: dict[int, int],
    ) -> int:  # fmt: skip
        """Aim direct branches: at code that is there, or at a link behind the block."""
        links: dict[int, int] = {}
        for place, target in jumps:
            entry = 0 if not page.chained else here.get(target) or page.table[target >> 2]
            if not entry:
                entry = links.get(target, 0)
                if not entry:
                    at = self._pad_link(start, at, chunks)
                    entry = links[target] = start + at
                    at = self._append(self._link_code, at, target, chunks, fixes, constants)
                if page.chained:  # a displacement in two words can't change in one store, but its link can
                    whole = not self.concurrent or (start + place) % WORD <= WORD - 4
                    page.pending.setdefault(target, []).append((start + place, False) if whole else (entry, True))
            fixes.append((place, self._branch, entry - (start + place + self.host.BRANCH_BIAS)))
        return at

    def _settle(self, page: CodePage, offsets: Iterable[int]) -> None:
        """Redirect the jumps that waited for these instructions."""
        if not page.pending:
            return
        table = page.table
        for offset in offsets:
            for place, is_link in page.pending.pop(offset, ()):
                target = table[offset >> 2]
                if is_link:
                    self._patch(place, self.host.jump(target - place))
                else:
                    displacement = bytearray(self.cache.write[place : place + 4])
                    self._branch(displacement, 0, target - (place + self.host.BRANCH_BIAS))
                    self._patch(place, bytes(displacement))

    # -- invalidation -------------------------------------------------------------------------------------------------
    def has_code(self, number: int) -> bool:
        """Whether something of a physical page is translated."""
        return any(page.live for page in self.modes_of.get(number, ()))

    def invalidate(self, number: int, offset: int, size: int) -> bool:
        """Bytes of a page were written: drop its translations if one of them was translated.  True if so."""
        first, last = offset >> 2, (offset + size - 1) >> 2
        hit = False
        for page in self.modes_of.get(number, ()):
            if any(page.table[first : last + 1]):
                ctypes.memset(page.address, 0, PAGE)
                page.pending.clear()
                page.live = False
                self.stats.invalidated += 1
                hit = True
        return hit

    def insert_at(self, offset: int, name: str) -> None:
        """From now on, code at this offset of any page has the insert `name` before it."""
        if offset not in self.stops:
            self.stops[offset] = name
            for number in self.modes_of:
                self.invalidate(number, offset, 4)

    def clear(self) -> None:
        """Drop all translations (the cache is full).  No thread may be in them."""
        self.pages.clear()
        self.modes_of.clear()
        self.tables.clear()
        self.cache.clear()
        self._plans.clear()  # they name constants that are gone
        self._constants = {k: a for k, a in self._constants.items() if a < self.cache.base + self.cache.kept}
        self._forget_words()
        self.stats.flushes += 1
