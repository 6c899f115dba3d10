"""What the stitcher knows: templates of code, and the words that they are of.  Flat memory, as jit/stitch.py has it."""

from __future__ import annotations

import ctypes
import struct
import weakref
from dataclasses import dataclass

from jit.host_memory import discard, map_memory, unmap
from jit.stitch import ENDS, ENTRY_SIZE, FIX_SIZE, NO_TARGET, TAKEN, TEMPLATE_SIZE, UNIT, hash_of

ARENA_SIZE = 256 << 20  # lazily backed; a template takes 200 to 400 bytes
# The same in every run, so that templates can be kept with the pointers between them: far from where Linux puts things
# by itself, on hosts with 39 bits of addresses too.
ARENA_ADDRESS = 128 << 30
MOST_WORDS = 1 << 18  # a guest that makes up code has no end of them
INDEX_SIZE = 2 * MOST_WORDS  # half of it free keeps searches short
_ENTRY = struct.Struct("<IHBBiIQQ")
_FIX = struct.Struct("<IIqQII")
_TEMPLATE = struct.Struct("<QQIIQQIIiI")
_NUMBER = struct.Struct("<I")
_DUMP = struct.Struct("<QII")  # where the templates are, their bytes, the number of words; index, entries, templates
assert (_ENTRY.size, _FIX.size, _TEMPLATE.size) == (ENTRY_SIZE, FIX_SIZE, TEMPLATE_SIZE)


class TemplatesFull(Exception):
    """No room for more words or templates: the owner forgets all and starts again."""


@dataclass(frozen=True, slots=True)
class Fix:
    """A number that depends on the code's place: see FIX of jit/stitch.py."""

    offset: int
    kind: int
    addend: int
    mask: int
    right: int = 0
    left: int = 0


@dataclass(slots=True)
class Code:
    """Code with all its holes filled but those that depend on its place.  slow: its slow path, placed elsewhere.

    fixed: it has an address of this run in it.
    """

    data: bytes
    fixes: tuple[Fix, ...] = ()
    slow: Code | None = None
    fixed: bool = False


class _Memory:
    """Lazily backed, zeroed memory that does not move."""

    def __init__(self, size: int, address: int = 0) -> None:
        """address: where it is to be, if that is free."""
        self.base = map_memory(size, address)
        self.map = memoryview((ctypes.c_char * size).from_address(self.base)).cast("B")
        self.size, self.used = size, 0
        weakref.finalize(self, unmap, self.base, size).atexit = False  # threads may be in there until the very end

    def put(self, data: bytes) -> int:
        """Copy data, with room up to a whole unit behind it; gives its address."""
        at, self.used = self.used, self.used + (len(data) + UNIT - 1 & -UNIT)
        if self.used > self.size:
            raise TemplatesFull
        self.map[at : at + len(data)] = data
        return self.base + at

    def clear(self) -> None:
        discard(self.base, self.size)
        self.used = 0


@dataclass(frozen=True, slots=True)
class Word:
    """A known word in one mode: see ENTRY of jit/stitch.py.  near, far: addresses of templates, or 0."""

    ends: int
    displacement: int
    near: int
    far: int


class Templates:
    """Templates and words by mode.  Those added with `keep` before the first word stay for ever."""

    def __init__(self) -> None:
        self._kept, self._arena = _Memory(1 << 20), _Memory(ARENA_SIZE, ARENA_ADDRESS)
        self._entries, self._index = _Memory((MOST_WORDS + 1) * ENTRY_SIZE), _Memory(4 * INDEX_SIZE)
        self.words, self.index = self._entries.base, self._index.base
        self.mask = INDEX_SIZE - 1
        self.count = 0  # of words; entries are numbered from 1
        self.forgotten = 0  # how often there was no room for more
        self._fixes: dict[int, tuple[tuple[Fix, ...], int]] = {}  # where fixes are, by identity: a stencil's are shared
        self._fixed = set[int]()  # templates that are of no use in another run, and entries that have such
        self._with_fixed = set[int]()

    def keep(self, code: Code) -> int:
        """Add a template that `forget` leaves alone; gives its address."""
        return self._add(code, self._kept)

    def add(self, code: Code) -> int:
        """Add a template; gives its address.  TemplatesFull: forget() first."""
        return self._add(code, self._arena)

    def _add(self, code: Code, memory: _Memory) -> int:
        slow = code.slow or Code(b"")
        parts = [self._put(part, memory) for part in (code, slow)]
        taken = [f.offset for f in code.fixes if f.kind == TAKEN]
        template = memory.put(_TEMPLATE.pack(*parts[0], *parts[1], taken[0] if len(taken) == 1 else -1, 0))
        if code.fixed or slow.fixed:
            self._fixed.add(template)  # entries with it are kept without
        return template

    def _put(self, code: Code, memory: _Memory) -> tuple[int, int, int, int]:
        return memory.put(code.data), self._put_fixes(code.fixes, memory), len(code.data), len(code.fixes)

    def _put_fixes(self, fixes: tuple[Fix, ...], memory: _Memory) -> int:
        known = self._fixes.get(id(fixes)) if memory is self._arena else None
        if known is not None:
            return known[1]
        at = memory.put(b"".join(_FIX.pack(f.offset, f.kind, f.addend, f.mask, f.right, f.left) for f in fixes))
        if memory is self._arena:
            self._fixes[id(fixes)] = fixes, at  # alive as long as its identity is used
        return at

    # -- words --------------------------------------------------------------------------------------------------------
    def _search(self, word: int, mode: int) -> tuple[int, int]:
        """(place of the word in the index, number of its entry or 0)."""
        at, key, index, entries = hash_of(word, mode), (word, mode + 1), self._index.map, self._entries.map
        while True:
            place = 4 * (at & self.mask)
            (number,) = _NUMBER.unpack_from(index, place)
            if not number or struct.unpack_from("<IH", entries, number * ENTRY_SIZE) == key:
                return place, number
            at += 1

    def find(self, word: int, mode: int) -> Word | None:
        _, number = self._search(word, mode)
        if not number:
            return None
        _, _, ends, _, displacement, _, near, far = _ENTRY.unpack_from(self._entries.map, number * ENTRY_SIZE)
        return Word(ends, displacement, near, far)

    def enter(
        self, word: int, mode: int, ends: str, insert: int, displacement: int | None, near: int | None, far: int | None
    ) -> bool:
        """Add a word, or its other template.  A template that is None stays as it was.  True: the word is new."""
        place, number = self._search(word, mode)
        old = self.find(word, mode) if number else None
        if not old:
            if self.count >= MOST_WORDS:
                raise TemplatesFull
            self.count += 1
            number = self.count
            _NUMBER.pack_into(self._index.map, place, number)
        where = NO_TARGET if displacement is None else displacement
        near = (old.near if old else 0) if near is None else near
        far = (old.far if old else 0) if far is None else far
        entry = word, mode + 1, ENDS[ends], insert, where, 0, near, far
        _ENTRY.pack_into(self._entries.map, number * ENTRY_SIZE, *entry)
        if near in self._fixed or far in self._fixed:
            self._with_fixed.add(number)
        return old is None

    def forget(self) -> None:
        """Drop all words and their templates.  Code that was made of them stays."""
        for memory in (self._arena, self._entries, self._index):
            memory.clear()
        for known in (self._fixes, self._fixed, self._with_fixed):
            known.clear()
        self.count = 0
        self.forgotten += 1

    # -- for another run ----------------------------------------------------------------------------------------------
    def dump(self) -> bytes:
        """All words and templates but those with addresses of this run."""
        entries = bytearray(self._entries.map[: (self.count + 1) * ENTRY_SIZE])
        for number in self._with_fixed:
            *rest, near, far = _ENTRY.unpack_from(entries, number * ENTRY_SIZE)
            templates = (0 if template in self._fixed else template for template in (near, far))
            _ENTRY.pack_into(entries, number * ENTRY_SIZE, *rest, *templates)
        head = _DUMP.pack(self._arena.base, self._arena.used, self.count)
        return b"".join((head, self._index.map, entries, self._arena.map[: self._arena.used]))

    def load(self, dump: memoryview) -> bool:
        """Begin with the words of a dump.  False: it is of memory elsewhere, or is none; then nothing is loaded."""
        if self.count or len(dump) < _DUMP.size:
            return False
        base, used, count = _DUMP.unpack_from(dump)
        if base != self._arena.base or used > self._arena.size or count > MOST_WORDS:
            return False
        entries = _DUMP.size + self._index.size
        templates = entries + (count + 1) * ENTRY_SIZE
        if len(dump) != templates + used:
            return False
        self._index.map[:] = dump[_DUMP.size : entries]
        self._entries.map[: templates - entries] = dump[entries:templates]
        self._arena.map[:used] = dump[templates:]
        self._arena.used, self.count = used, count
        return True
