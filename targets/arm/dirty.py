"""Which pages of the RAM are written: stores to a page that was not written yet go the way of stores to code.

All of this is called while no CPU runs guest code, but note(), which is part of System.written.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from targets.arm.code_pages import CODE_FLAG

if TYPE_CHECKING:
    from targets.arm.system import System

PAGE = 4096
_ALL_LINES = (1 << 64) - 1


class DirtyPages:
    """Numbers of pages, counted from the start of the RAM."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._pages = system.ram.size // PAGE
        self._dirty: set[int] = set()
        system.engine.watched = True
        self.protect_all()
        self._forget()

    def protect_all(self) -> None:
        ctypes.memset(self._system.flags.base, CODE_FLAG, self._pages)
        ctypes.memset(self._system.lines.base, 0xFF, 8 * self._pages)

    def note(self, index: int, has_code: bool) -> None:
        """A page was written; if it holds no code, nobody needs to hear of the next time."""
        self._dirty.add(index)
        if not has_code:
            self._system.unprotect(index)

    def take(self) -> list[int]:
        """What was written since the last time, in order."""
        found, self._dirty = sorted(self._dirty), set()
        for index in found:
            self._protect(index)
        self._forget()
        return found

    def stop(self) -> None:
        system = self._system
        system.engine.watched = False
        ctypes.memset(system.flags.base, 0, self._pages)
        ctypes.memset(system.lines.base, 0, 8 * self._pages)
        first = system.ram.base // PAGE
        for number in {number for number, _ in system.engine.pages}:
            if 0 <= number - first < self._pages:
                self._protect(number - first)
        self._forget()

    def _protect(self, index: int) -> None:
        self._system.flag(index).value |= CODE_FLAG
        self._system.line_bits(index).value = _ALL_LINES

    def _forget(self) -> None:
        """TLB entries say whether stores go the slow way."""
        for cpu in self._system.cpus:
            cpu.call("tlbi_all")
