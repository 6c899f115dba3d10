"""What the stitcher knows: templates of code, and the words that they are of.  Flat memory, as jit/stitch.py has it."""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from jit.stitch import ENDS, ENTRY_SIZE, FIX_SIZE, NO_TARGET, TAKEN, TEMPLATE_SIZE, UNIT, hash_of

ARENA_SIZE = 256 << 20  # lazily backed; a template takes 200 to 400 bytes
MOST_WORDS = 1 << 18  # a guest that makes up code has no end of them
TABLE_SIZE = 2 * MOST_WORDS  # entries: half of them free keeps searches short
_ENTRY = struct.Struct("<IHBBiIQQ")
_FIX = struct.Struct("<IIqQII")
_TEMPLATE = struct.Struct("<QQIIQQIIiI")
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
    """Code with all its holes filled but those that depend on its place.  slow: its slow path, placed elsewhere."""

    data: bytes
    fixes: tuple[Fix, ...] = ()
    slow: Code | None = None


class _Memory:
    """Lazily backed, zeroed memory at a fixed address."""

    def __init__(self, size: int) -> None:
        self.map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.size, self.used = size, 0

    def put(self, data: bytes) -> int:
        """Copy data, with room up to a whole unit behind it; gives its address."""
        at, self.used = self.used, self.used + (len(data) + UNIT - 1 & -UNIT)
        if self.used > self.size:
            raise TemplatesFull
        self.map[at : at + len(data)] = data
        return self.base + at

    def clear(self) -> None:
        self.map.madvise(mmap.MADV_DONTNEED)
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
        self._kept, self._arena = _Memory(1 << 20), _Memory(ARENA_SIZE)
        self._table = _Memory(TABLE_SIZE * ENTRY_SIZE)
        self.words = self._table.base
        self.mask = TABLE_SIZE - 1
        self.count = 0

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
        return memory.put(_TEMPLATE.pack(*parts[0], *parts[1], taken[0] if len(taken) == 1 else -1, 0))

    def _put(self, code: Code, memory: _Memory) -> tuple[int, int, int, int]:
        fixes = b"".join(_FIX.pack(f.offset, f.kind, f.addend, f.mask, f.right, f.left) for f in code.fixes)
        return memory.put(code.data), memory.put(fixes), len(code.data), len(code.fixes)

    # -- words --------------------------------------------------------------------------------------------------------
    def _slot(self, word: int, mode: int) -> tuple[int, bool]:
        """(offset of the word's entry in the table or of the free one for it, whether it is there)."""
        at, key, table = hash_of(word, mode), (word, mode + 1), self._table.map
        while True:
            offset = (at & self.mask) * ENTRY_SIZE
            here = struct.unpack_from("<IH", table, offset)
            if here == key:
                return offset, True
            if not here[1]:
                return offset, False
            at += 1

    def find(self, word: int, mode: int) -> Word | None:
        offset, there = self._slot(word, mode)
        if not there:
            return None
        _, _, ends, _, displacement, _, near, far = _ENTRY.unpack_from(self._table.map, offset)
        return Word(ends, displacement, near, far)

    def enter(
        self, word: int, mode: int, ends: str, insert: int, displacement: int | None, near: int | None, far: int | None
    ) -> None:
        """Add a word, or its other template.  A template that is None stays as it was."""
        offset, there = self._slot(word, mode)
        old = self.find(word, mode) if there else None
        if not there:
            if self.count >= MOST_WORDS:
                raise TemplatesFull
            self.count += 1
        where = NO_TARGET if displacement is None else displacement
        near = (old.near if old else 0) if near is None else near
        far = (old.far if old else 0) if far is None else far
        _ENTRY.pack_into(self._table.map, offset, word, mode + 1, ENDS[ends], insert, where, 0, near, far)

    def forget(self) -> None:
        """Drop all words and their templates.  Code that was made of them stays."""
        self._arena.clear()
        self._table.clear()
        self.count = 0


def addresses(templates: Iterable[int]) -> bytes:
    """A list of template addresses as the stitcher reads it."""
    return b"".join(t.to_bytes(8, "little") for t in templates)
