"""Known words and their templates in the store: one entry, which a start takes as a whole."""

from __future__ import annotations

import struct
from contextlib import AbstractContextManager
from typing import Any

from jit.codecache import CacheFull, CodeCache
from jit.store import Store, key_of
from jit.templates import Templates

_HEADER = struct.Struct("<I")  # the number of constants; each of them; Templates.dump()
_CONSTANT = struct.Struct("<QI")  # offset in the code cache, length


class WordStore:
    """The words of one kind of CPU.  cache: has the constants that templates refer to, by their offsets."""

    def __init__(
        self, store: Store, identity: str, templates: Templates, cache: CodeCache, lock: AbstractContextManager[Any]
    ) -> None:
        """identity: of the guest CPU, as far as decoding depends on it.  lock: is held where words are added."""
        self._store, self._templates, self._cache, self._lock = store, templates, cache, lock
        self._key = key_of(b"words", identity.encode(), str(cache.size).encode())
        self._saved = 0  # how many words the store has
        self.loaded = 0

    def load(self) -> None:
        """Begin with the words of earlier runs, where nothing is in their way."""
        dump = self._store.get(self._key)
        if dump is not None and self._load(memoryview(dump)):
            self.loaded = self._saved = self._templates.count

    def _load(self, dump: memoryview) -> bool:
        if len(dump) < _HEADER.size:
            return False
        (count,) = _HEADER.unpack_from(dump)
        at = _HEADER.size
        for _ in range(count):
            if len(dump) < at + _CONSTANT.size:
                return False
            offset, length = _CONSTANT.unpack_from(dump, at)
            at += _CONSTANT.size
            try:
                if self._cache.constant(bytes(dump[at : at + length])) != self._cache.base + offset:
                    return False  # another order
            except CacheFull:
                return False
            at += length
        return self._templates.load(dump[at:])

    def touch(self) -> None:
        """There are new words."""
        self._store.touch()

    def save(self, share: float) -> None:
        """Have the store keep the words, if more than this share of them is new."""
        if self._templates.forgotten:
            return  # the guest makes up code without end: what the store has is as good
        new = self._templates.count - self._saved
        if new <= self._templates.count * share:
            return
        with self._lock:
            constants = self._cache.constants()
            parts = [_HEADER.pack(len(constants))]
            for offset, data in constants:
                parts += (_CONSTANT.pack(offset, len(data)), data)
            parts.append(self._templates.dump())
            self._saved = self._templates.count
        self._store.put(self._key, b"".join(parts))
