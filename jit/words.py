"""What the stitcher lacks is made here: words are decoded, lifted and compiled, and their holes filled, once each.

One stencil serves all words of a shape (see Frontend); one template serves a word wherever it stands.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from types import ModuleType
from typing import Any

from jit import stitch
from jit.codecache import CodeCache
from jit.frontend import Decoded, Frontend
from jit.ir import Function
from jit.piece import Piece, Writer, fill, writer
from jit.store_pieces import PieceStore, key_text
from jit.templates import Code, Fix, Templates


def _count(name: str) -> property:
    """A number that the stitcher counts."""
    index = stitch.COUNTS.index(name)

    def count(stats: Stats) -> int:
        return stats.counts[index]

    return property(count)


@dataclass
class Stats:
    counts: Any = field(default_factory=lambda: (ctypes.c_uint64 * len(stitch.COUNTS))())
    words: int = 0
    shapes: set[Any] = field(default_factory=set[Any])
    stencils: int = 0
    stored_stencils: int = 0  # of these, from the store
    flushes: int = 0
    compile_ns: int = 0  # in LLVM
    translate_ns: int = 0  # in all that needs Python, LLVM included
    blocks, insns, invalidated = (_count(name) for name in stitch.COUNTS)


@dataclass(slots=True, eq=False)
class _Plan:
    """How a stencil is filled: its bytes, its holes (writer, offset, name, addend, mask), and what stays to be fixed.

    piece: kept alive, because plans are found by its identity.  fixed: the bytes hold addresses of this run.
    """

    data: bytes
    holes: list[tuple[Writer, int, str, int, int]]
    fixes: tuple[Fix, ...]
    slow: _Plan | None
    piece: Piece
    fixed: bool = False


def _in_page(offset: int) -> bool:
    """Whether an offset from a page's start lies in it."""
    return 0 <= offset < stitch.PAGE


class Words:
    """Fills `templates`.  compile: makes pieces of functions.  cache: has the constants of code."""

    def __init__(
        self,
        frontend: Frontend,
        templates: Templates,
        host: ModuleType,
        compile: Callable[[Iterable[Function]], Mapping[str, Piece]],
        cache: CodeCache,
        kept: PieceStore | None,
        stats: Stats,
    ) -> None:
        self.frontend, self.templates, self.host, self.stats = frontend, templates, host, stats
        self._compile, self._cache, self._kept = compile, cache, kept
        self.inserts: dict[str, int] = {}  # numbers of what Decoded.before names
        # called with each function before it is compiled ("op") and behind the passes ("op_opt")
        self.on_stencil: Callable[[str, Function], None] | None = None
        self._pieces: dict[Any, Piece] = {}
        self._plans: dict[int, _Plan] = {}

    def supply(self, words: Sequence[int], offset: int, mode: int, table: Sequence[int], single: bool) -> None:
        """Make the first of `words`, of a block from byte `offset` of a page with entries `table` on.

        Where that takes a new stencil, all that the block lacks are made at once.  TemplatesFull: forget() first.
        """
        d, near = self._decode(words[0], offset, mode)
        if self._key(d, mode, near) in self._pieces:
            self._enter(d, mode, near)
            return
        lacking: dict[tuple[int, bool], Decoded] = {}
        for at, word in enumerate(words, offset >> 2):
            if at > offset >> 2 and table[at]:
                break
            ends = self._look_at(word, 4 * at, mode, lacking)
            if ends > stitch.ENDS["branch"] or single:
                break
        wanted = {self._key(d, mode, near): (d, near) for (_, near), d in lacking.items()}
        wanted = {key: what for key, what in wanted.items() if key not in self._pieces}
        if wanted:
            self._make_stencils(wanted.values(), mode)
        for (_, near), d in lacking.items():
            self._enter(d, mode, near)

    def _decode(self, word: int, at: int, mode: int) -> tuple[Decoded, bool]:
        """A word at a byte of a page, and whether its branch target is in the page."""
        d = self.frontend.decode(word, mode)
        return d, d.displacement is not None and _in_page(at + d.displacement)

    def _enter(self, d: Decoded, mode: int, near: bool) -> None:
        template = self.templates.add(self._code(d, mode, near))
        insert = self.inserts[d.before[0]] if d.before else 0
        near_far = (template, None) if near else (None, template)
        self.stats.words += self.templates.enter(d.word, mode, d.ends, insert, d.displacement, *near_far)

    def _look_at(self, word: int, at: int, mode: int, lacking: dict[tuple[int, bool], Decoded]) -> int:
        """Note the word if it lacks something; gives what it does to the block."""
        known = self.templates.find(word, mode)
        # NO_TARGET is before any page
        if known and (known.near if _in_page(at + known.displacement) else known.far):
            return known.ends
        d, near = self._decode(word, at, mode)
        lacking[word, near] = d
        return stitch.ENDS[d.ends]

    # -- stencils -----------------------------------------------------------------------------------------------------
    def _key(self, d: Decoded, mode: int, near: bool) -> Any:
        return d.key, near, self.frontend.shape_mode(d, mode)

    def _make_stencils(self, wanted: Iterable[tuple[Decoded, bool]], mode: int) -> None:
        """Make the stencils that a block lacks, in one module, or take them from the store."""
        functions: list[Function] = []
        names: dict[str, Any] = {}
        for d, near in wanted:
            f = self.frontend.lift(d, mode, near)
            key = self._key(d, mode, near)  # known for sure only once the shape has been lifted
            if key in self._pieces:
                continue
            if self._kept and (found := self._kept.get(f"stencil {key_text(key)}")):
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

    # -- filling ------------------------------------------------------------------------------------------------------
    def _code(self, d: Decoded, mode: int, near: bool) -> Code:
        piece = self._pieces[self._key(d, mode, near)]
        self.stats.shapes.add(d.key)
        return self._fill(self._plan(piece, False), self.frontend.holes(d, mode, near))

    def code(self, piece: Piece) -> Code:
        """Code of a piece whose only hole is where it stands."""
        return self._fill(self._plan(piece, False), {})

    def link(self, piece: Piece) -> Code:
        """A piece behind a jump to it, which `patch_link` aims elsewhere."""
        code, jump = self.code(piece), self.host.jump(self.host.JUMP_SIZE)
        moved = (Fix(f.offset + len(jump), f.kind, f.addend, f.mask, f.right, f.left) for f in code.fixes)
        return Code(jump + code.data, tuple(moved), code.slow)

    def jump(self) -> Code:
        """A direct jump."""
        fix = Fix(self.host.JUMP_FIELD, stitch.TAKEN, -self.host.BRANCH_BIAS, *self.host.BRANCH_FIELD)
        return Code(self.host.jump(0), (fix,))

    def _plan(self, piece: Piece, slow: bool) -> _Plan:
        """What there is to do for each word of a stencil, and the bytes with all else done."""
        plan = self._plans.get(id(piece))
        if plan is not None:
            return plan
        data = bytearray(piece.code)
        holes: list[tuple[Writer, int, str, int, int]] = []
        fixes: list[Fix] = []
        exits = {"TAKEN": stitch.TAKEN, "SLOW": stitch.SLOW} | ({"NEXT": stitch.BACK} if slow else {})
        for fx in piece.fixups:
            bits = self.host.BITS[fx.fmt]
            if fx.data and not fx.relative:
                fill(data, fx, self._cache.constant(fx.data), 0)
            elif fx.data:
                fixes.append(
                    Fix(fx.offset, stitch.RELATIVE, self._cache.constant(fx.data) + fx.addend - self._cache.base, *bits)
                )
            elif fx.name in ("PC", "HERE"):
                fixes.append(Fix(fx.offset, stitch.PC if fx.name == "PC" else stitch.HERE, fx.addend, *bits))
            elif fx.name in exits:
                fixes.append(Fix(fx.offset, exits[fx.name], -self.host.BRANCH_BIAS, *self.host.BRANCH_FIELD))
            elif fx.name == "NEXT":
                fill(data, fx, len(data), 0)  # relative to the piece itself, wherever it is
            else:
                write, mask = writer(fx.fmt)
                holes.append((write, fx.offset, fx.name, fx.addend, mask))
        behind = self._plan(piece.slow, True) if piece.slow else None
        fixed = any(fx.data and not fx.relative for fx in piece.fixups)
        plan = self._plans[id(piece)] = _Plan(bytes(data), holes, tuple(fixes), behind, piece, fixed)
        return plan

    def _fill(self, plan: _Plan, values: Mapping[str, int]) -> Code:
        """A stencil's code for one word."""
        data = bytearray(plan.data)
        for write, offset, name, addend, mask in plan.holes:
            write(data, offset, values[name] + addend & mask)
        return Code(bytes(data), plan.fixes, self._fill(plan.slow, values) if plan.slow else None, plan.fixed)
