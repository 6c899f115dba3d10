"""The stitcher: blocks of known words become host code without Python.

It is made of functions in IR, like all runtime code.  What they work on is flat memory, laid out by the tables here:

    STATE       what one call is about and where everything is: these functions' "CPU state", which `ldenv` reads
    ENTRY       a known word in one mode: what it does to its block, and its templates
    TEMPLATE    code with all holes filled but those that depend on its place; twice: the code, and its slow path
    FIX         one of those holes: which number goes there, into which bits
    PART        a template to be placed: of a word, of what belongs before it, of a link behind the block

Threads that are in Python and in native code share all this: who holds `lock` may call, and write what is here.

A call scans words to the end of the block, lays its parts out, copies and fixes them, and enters the instructions in
the page's entry table.  Its loops are bounded by MAX_BLOCK words and MAX_PARTS parts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from types import ModuleType

from jit.ir import Builder, Function, Value
from jit.layout import Layout
from jit.types import I8, I16, I32, I64, PTR, vec

PAGE = 4096
MAX_BLOCK = 64  # instructions translated at a time: beyond a branch what follows may never run
MAX_PARTS = 5 * MAX_BLOCK + 2  # of a word: two inserts, the loop check, itself, a link; behind all: padding, the way on
WORD = 8  # bytes, aligned: what a store changes at once for a CPU that fetches them (AMD64 manual 2, 7.6.1)
UNIT = 16  # bytes copied at once: templates are padded to this, and so much may be written behind a block

# Numbers that fixes write, in the order of PART's first fields; those from TAKEN on count from their place.
PC, HERE, TAKEN, RELATIVE, SLOW, BACK = range(6)
ENDS = {"": 0, "branch": 1, "jump": 2, "sync": 3}  # what an instruction does to its block (Decoded.ends)
NO_TARGET = -(1 << 31)  # the displacement of what is no direct branch

ENTRY = Layout([
    ("word", I32, 1), ("mode", I16, 1),  # of the mode's key plus 1; 0: the entry is free
    ("ends", I8, 1), ("insert", I8, 1),  # number of the insert before it; 0: none
    ("displacement", I32, 1), ("spare", I32, 1),
    ("near", PTR, 1), ("far", PTR, 1),  # templates with the branch target in the page, and without
])  # fmt: skip
ENTRY_SIZE = 32
_CODE = (("code", PTR, 1), ("fixes", PTR, 1), ("size", I32, 1), ("count", I32, 1))
TEMPLATE = Layout([
    *_CODE, *((f"slow_{name}", t, n) for name, t, n in _CODE),
    ("taken", I32, 1),  # where the displacement to the branch target is, if there is just one; else -1
    ("spare", I32, 1),
])  # fmt: skip
TEMPLATE_SIZE = 56
# the 8 bytes at `offset` get (number >> right & mask) << left in those bits
FIX = Layout([
    ("offset", I32, 1), ("kind", I32, 1), ("addend", I64, 1), ("mask", I64, 1), ("right", I32, 1), ("left", I32, 1)
])  # fmt: skip
FIX_SIZE = 32
PART = Layout([
    ("pc", I64, 1), ("here", I64, 1), ("taken", I64, 1), ("zero", I64, 1), ("slow", I64, 1), ("back", I64, 1),
    ("place", I64, 1), ("template", PTR, 1), ("target", I64, 1), ("spare", I64, 1),  # target: page offset, or NO_TARGET
])  # fmt: skip
PART_SIZE = 80

STATE = Layout([
    ("words", PTR, 1),  # the entries; the first one is empty
    ("index", PTR, 1), ("mask", I64, 1),  # a hash table of their numbers, 0 where it is free; its size less one
    # what a call is about (REQUEST): bytes and entry table of the page
    ("guest", PTR, 1), ("table", PTR, 1), ("offset", I64, 1), ("mode", I64, 1), ("single", I64, 1), ("chained", I64, 1),
    ("lock", I64, 1),  # 1: somebody works with this, or with the code pages
    ("open", I64, 1),  # 1: native code may make blocks and drop them by itself, without telling Python
    ("limits", PTR, 1),  # two numbers: how much of the code cache is used, of how much
    ("tables", PTR, 1), ("live", PTR, 1),  # the first of all entry tables; a byte for each: it has entries
    ("counts", PTR, 1),  # COUNTS
    ("cache", PTR, 1), ("base", I64, 1),  # the code cache: to write, and where it is run
    ("stops", PTR, 1),  # a template, or null, for each instruction of a page: breakpoints
    ("inserts", PTR, 16), ("pads", PTR, WORD),  # pads: code that does nothing, by length
    ("poll", PTR, 1), ("link", PTR, 1), ("plain_link", PTR, 1), ("jump", PTR, 1),
    ("link_field", I64, 1),  # where in a link the displacement is by which it becomes a jump
    ("cb_publish", PTR, 1),
    # results (RESULT): instructions; where the host code begins and ends
    ("count", I64, 1), ("start", I64, 1), ("end", I64, 1),
    ("parts", I64, 1), ("goes_on", I64, 1),
    ("first", I64, MAX_BLOCK),  # number of the part that an instruction begins with
    ("part", I64, MAX_PARTS * PART_SIZE // 8),
])  # fmt: skip
COUNTS = ("blocks", "insns", "invalidated")  # for statistics, in this order
REQUEST, RESULT = struct.Struct("<6Q"), struct.Struct("<3Q")  # from STATE.guest and STATE.count on


def _get(b: Builder, name: str) -> Value:
    return b.ldenv(STATE[name].offset, STATE[name].type)


def _put(b: Builder, name: str, value: Value | int) -> None:
    b.stenv(STATE[name].offset, b.coerce(value, I64))


def load_field(b: Builder, layout: Layout, record: Value, name: str) -> Value:
    """A field of a record: a pointer, or a number zero-extended to i64."""
    f = layout[name]
    found = b.ld(b.ptradd(record, f.offset), f.type)
    return found if f.type is PTR else found.zext(I64)


def _set(b: Builder, name: str, part: Value, value: Value | int) -> None:
    f = PART[name]
    b.st(b.ptradd(part, f.offset), b.coerce(value, f.type))


def _some(b: Builder, pointer: Value) -> Value:
    return b.op("ptrtoint", pointer, type=I64).ne(0)


def _each(b: Builder, first: Value | int, end: Value, step: Callable[[Value], None]) -> None:
    """step(k) for k in range(first, end)."""

    def body(k: Value) -> tuple[Value, Sequence[Value]]:
        step(k)
        return (k + 1).ult(end), (k + 1,)

    start = b.coerce(first, I64)
    b.when(start.ult(end), lambda: b.loop((start,), body))


def _part(b: Builder, number: Value) -> Value:
    return b.ptradd(b.ptradd(b.env(), STATE.part), number * PART_SIZE)


def _count(b: Builder, name: str, more: Value | int) -> None:
    at = b.ptradd(_get(b, "counts"), 8 * COUNTS.index(name))
    b.st(at, b.ld(at, I64) + more)


def live_at(b: Builder, state: Value, table: Value) -> Value:
    """Where it is noted that an entry table has entries.  state: the stitcher's."""
    number = b.op("ptrtoint", table, type=I64) - b.op("ptrtoint", load_field(b, STATE, state, "tables"), type=I64)
    return b.ptradd(load_field(b, STATE, state, "live"), number.lshr(12))


def _table(b: Builder, offset: Value) -> Value:
    """The page's entry for the instruction at an offset."""
    return b.ld(b.ptradd(_get(b, "table"), offset), I32).zext(I64)


# -- known words ------------------------------------------------------------------------------------------------------
HASH = 0x9E37_79B9_7F4A_7C15  # 2^64 over the golden ratio (Knuth 3, 6.4)


def hash_of(word: int, mode: int) -> int:
    """Where the search for a word begins, as `find` has it; modulo the table's size."""
    return ((word | mode + 1 << 32) * HASH & (1 << 64) - 1) >> 32


def find() -> Function:
    """stitch_find(word, mode) -> the offset of its entry, or -1."""
    b = Builder("stitch_find", ret=I64, args=(I64, I64))
    word, mode = b.args
    key, mask, words, index = word | (mode + 1) << 32, _get(b, "mask"), _get(b, "words"), _get(b, "index")

    def probe(at: Value, _entry: Value, _key: Value) -> tuple[Value, Sequence[Value]]:
        entry = b.ld(b.ptradd(index, (at & mask) << 2), I32).zext(I64) * ENTRY_SIZE
        here = b.ld(b.ptradd(words, entry), I64) & ((1 << 48) - 1)
        return here.ne(key) & here.ne(0), (at + 1, entry, here)

    start = (key * HASH).lshr(32)
    _, entry, here = b.loop((start, b.const(0), b.const(0)), probe)  # never full, so a free place ends it
    b.ret(b.select(here.eq(key), entry, b.const(-1)))
    return b.function


# -- the block's parts ------------------------------------------------------------------------------------------------
def add() -> Function:
    """stitch_add(template, pc, target): one more part."""
    b = Builder("stitch_add", args=(PTR, I64, I64))
    template, pc, target = b.args
    part = _part(b, _get(b, "parts"))
    _set(b, "template", part, template)
    _set(b, "pc", part, pc)
    _set(b, "target", part, target)
    _set(b, "zero", part, 0)
    _put(b, "parts", _get(b, "parts") + 1)
    b.ret()
    return b.function


def scan_word() -> Function:
    """stitch_word(offset) -> 0 where the word or its template is not known, 1 where the block goes on, else 2."""
    b = Builder("stitch_word", ret=I64, args=(I64,))
    (offset,) = b.args
    word = b.ld(b.ptradd(_get(b, "guest"), offset), I32).zext(I64)
    at = b.call("stitch_find", word, _get(b, "mode"), type=I64)

    def known() -> Value:
        entry = b.ptradd(_get(b, "words"), at)
        displacement = b.ld(b.ptradd(entry, ENTRY.displacement), I32).sext(I64)
        target = offset + displacement
        near = displacement.ne(NO_TARGET) & target.ult(PAGE)
        template = b.select(near, load_field(b, ENTRY, entry, "near"), load_field(b, ENTRY, entry, "far"))
        loops = near & displacement.sle(0) & _get(b, "chained").ne(0)

        def take() -> Value:
            count = _get(b, "count")
            b.stenv((count << 3) + STATE.first, _get(b, "parts"))
            none = b.const(NO_TARGET)
            stop = b.ld(b.ptradd(_get(b, "stops"), offset << 1), PTR)
            b.when(_some(b, stop), lambda: b.call("stitch_add", stop, offset, none), likely=False)
            insert = b.ldenv((load_field(b, ENTRY, entry, "insert") << 3) + STATE.inserts, PTR)
            b.when(_some(b, insert), lambda: b.call("stitch_add", insert, offset, none), likely=False)
            b.when(loops, lambda: b.call("stitch_add", _get(b, "poll"), offset, none))
            b.call("stitch_add", template, offset, b.select(near, target, none))
            _put(b, "count", count + 1)
            return b.select(load_field(b, ENTRY, entry, "ends").ule(ENDS["branch"]), b.const(1), b.const(2))

        return b.cond(_some(b, template), take, lambda: b.const(0), likely=True)

    b.ret(b.cond(at.ne(-1), known, lambda: b.const(0), likely=True))
    return b.function


def scan() -> Function:
    """stitch_scan() -> 1 where all words up to the end of the block are known; else `count` of them are."""
    b = Builder("stitch_scan", ret=I64)
    for name in ("parts", "count"):
        _put(b, name, 0)
    offset, single = _get(b, "offset"), _get(b, "single")
    limit = (offset + 4 * MAX_BLOCK).umin(PAGE)

    def one(at: Value, _status: Value) -> tuple[Value, Sequence[Value]]:
        status = b.call("stitch_word", at, type=I64)
        behind = at + 4
        there = _table(b, behind.umin(PAGE - 4)).ne(0)
        return status.eq(1) & behind.ult(limit) & ~there & single.eq(0), (behind, status)

    _, status = b.loop((offset, b.const(0)), one)
    _put(b, "goes_on", status.eq(1).zext(I64))
    b.ret(status.ne(0).zext(I64))
    return b.function


# -- layout -----------------------------------------------------------------------------------------------------------
def place() -> Function:
    """stitch_place(part, place) -> the place behind it."""
    b = Builder("stitch_place", ret=I64, args=(I64, I64))
    part = _part(b, b.args[0])
    end = b.args[1] + load_field(b, TEMPLATE, load_field(b, PART, part, "template"), "size")
    _set(b, "place", part, b.args[1])
    _set(b, "back", part, end)
    b.ret(end)
    return b.function


def add_link() -> Function:
    """stitch_link(pc, place, field) -> the place behind a link, of which `field` says what is to be patched, or 0."""
    b = Builder("stitch_link", ret=I64, args=(I64, I64, I64))
    pc, at, field = b.args
    number = _get(b, "parts")
    chained = _get(b, "chained").ne(0) & pc.ult(PAGE)
    b.call("stitch_add", b.select(chained, _get(b, "link"), _get(b, "plain_link")), pc, b.const(NO_TARGET))
    _set(b, "here", _part(b, number), b.select(field.ne(0), field, at + _get(b, "link_field")))
    b.ret(b.call("stitch_place", number, at, type=I64))
    return b.function


def way_on() -> Function:
    """stitch_way_on(pc, place) -> the place behind a jump to the code of pc, or a link that becomes that jump."""
    b = Builder("stitch_way_on", ret=I64, args=(I64, I64))
    pc, at = b.args
    known = _get(b, "chained").ne(0) & pc.ult(PAGE) & _table(b, pc.umin(PAGE - 4)).ne(0)

    def jump() -> Value:
        number = _get(b, "parts")
        b.call("stitch_add", _get(b, "jump"), pc, pc)
        return b.call("stitch_place", number, at, type=I64)

    def link() -> Value:
        number, room = _get(b, "parts"), (0 - at) & (WORD - 1)
        b.call("stitch_add", b.ldenv((room << 3) + STATE.pads, PTR), pc, b.const(NO_TARGET))
        behind = b.call("stitch_place", number, at, type=I64)
        return b.call("stitch_link", pc, behind, b.const(0), type=I64)

    b.ret(b.cond(known, jump, link))
    return b.function


def aim() -> Function:
    """stitch_aim(part, place) -> place, or the one behind a link that the part's branch needs."""
    b = Builder("stitch_aim", ret=I64, args=(I64, I64))
    part, at = _part(b, b.args[0]), b.args[1]
    target, first = load_field(b, PART, part, "target"), _get(b, "offset")
    index, chained = (target - first).lshr(2), _get(b, "chained").ne(0)

    def inside() -> Value:
        start = b.ldenv((index << 3) + STATE.first, I64)
        _set(b, "taken", part, load_field(b, PART, _part(b, start), "place"))
        return at

    def outside() -> Value:
        found = b.select(chained, _table(b, target), b.const(0))

        def link() -> Value:
            # a displacement in two words can't change in one store; the link's own can
            field = b.ld(b.ptradd(load_field(b, PART, part, "template"), TEMPLATE.taken), I32).sext(I64)
            field_at = load_field(b, PART, part, "place") + field
            whole = field.sge(0) & (field_at & (WORD - 1)).ule(WORD - 4)
            aligned = (at + (WORD - 1)) & -WORD
            _set(b, "taken", part, aligned)
            return b.call("stitch_link", target, aligned, b.select(whole, field_at, b.const(0)), type=I64)

        def there() -> Value:
            _set(b, "taken", part, found)
            return at

        return b.cond(found.ne(0), there, link)

    def branch() -> Value:
        return b.cond(index.ult(_get(b, "count")) & chained, inside, outside)

    b.ret(b.cond(target.ne(NO_TARGET), branch, lambda: at))
    return b.function


def layout() -> Function:
    """stitch_layout() -> 1 where there is room: every part has its place."""
    b = Builder("stitch_layout", ret=I64)
    limits = _get(b, "limits")
    used, room = b.ld(limits, I64), b.ld(b.ptradd(limits, 8), I64)
    start = (used + (UNIT - 1)) & -UNIT
    _put(b, "start", start)

    def over(name: str, end: Value, at: Value) -> Value:
        """at = name(part, at) for the parts up to `end`, of which there is one at least."""

        def one(k: Value, at: Value) -> tuple[Value, Sequence[Value]]:
            return (k + 1).ult(end), (k + 1, b.call(name, k, at, type=I64))

        return b.loop((b.const(0), at), one)[1]

    at = over("stitch_place", _get(b, "parts"), start)
    pc = _get(b, "offset") + (_get(b, "count") << 2)
    at = b.cond(_get(b, "goes_on").ne(0), lambda: b.call("stitch_way_on", pc, at, type=I64), lambda: at)
    at = over("stitch_aim", _get(b, "parts"), at)
    at = over("stitch_place_slow", _get(b, "parts"), at)
    _put(b, "end", at)
    b.ret((at + UNIT).ule(room).zext(I64))
    return b.function


def place_slow() -> Function:
    """stitch_place_slow(part, place) -> the place behind its slow path, if it has one."""
    b = Builder("stitch_place_slow", ret=I64, args=(I64, I64))
    part = _part(b, b.args[0])
    _set(b, "slow", part, b.args[1])
    b.ret(b.args[1] + load_field(b, TEMPLATE, load_field(b, PART, part, "template"), "slow_size"))
    return b.function


# -- writing ----------------------------------------------------------------------------------------------------------
def copy() -> Function:
    """stitch_copy(to, from, size): whole units."""
    b = Builder("stitch_copy", args=(PTR, PTR, I64))
    to, source, size = b.args

    def unit(k: Value) -> tuple[Value, Sequence[Value]]:
        b.st(b.ptradd(to, k), b.ld(b.ptradd(source, k), vec(2, I64)))
        return (k + UNIT).ult(size), (k + UNIT,)

    b.loop((b.const(0),), unit)
    b.ret()
    return b.function


def fix() -> Function:
    """stitch_fix(part, fixes, count, place): write the numbers into code at `place`."""
    b = Builder("stitch_fix", args=(PTR, PTR, I64, I64))
    part, fixes, count, at = b.args
    cache = _get(b, "cache")

    def one(k: Value) -> None:
        f = b.ptradd(fixes, k * FIX_SIZE)
        here, kind = at + load_field(b, FIX, f, "offset"), load_field(b, FIX, f, "kind")
        number = b.ld(b.ptradd(part, kind << 3), I64) + load_field(b, FIX, f, "addend")
        number = number - b.select(kind.uge(TAKEN), here, b.const(0))
        mask, left = load_field(b, FIX, f, "mask"), load_field(b, FIX, f, "left")
        number = (b.op("lshr", number, load_field(b, FIX, f, "right")) & mask) << left
        word = b.ptradd(cache, here)
        b.st(word, (b.ld(word, I64) & ~(mask << left)) | number)

    _each(b, 0, count, one)
    b.ret()
    return b.function


def write() -> Function:
    """stitch_write(): copy and fix all parts, then their slow paths; in order, as each writes behind its end."""
    b = Builder("stitch_write")

    def all_of(prefix: str, place_field: str) -> None:
        def one(k: Value) -> None:
            part = _part(b, k)
            template, at = load_field(b, PART, part, "template"), load_field(b, PART, part, place_field)
            size = load_field(b, TEMPLATE, template, f"{prefix}size")

            def there() -> None:
                code = load_field(b, TEMPLATE, template, f"{prefix}code")
                b.call("stitch_copy", b.ptradd(_get(b, "cache"), at), code, size)
                fixes, count = (load_field(b, TEMPLATE, template, f"{prefix}{name}") for name in ("fixes", "count"))
                b.call("stitch_fix", part, fixes, count, at)

            b.when(size.ne(0), there)

        _each(b, 0, _get(b, "parts"), one)

    all_of("", "place")
    all_of("slow_", "slow")
    b.ret()
    return b.function


def stitch(publishes: bool) -> Function:
    """stitch() -> 1; 0 where a word is missing behind `count` known ones; -1 where the code cache has no room.

    publishes: the host's instruction fetch must be told of code before it is run.
    """
    b = Builder("stitch", ret=I64)

    def enter(k: Value) -> None:
        part = _part(b, b.ldenv((k << 3) + STATE.first, I64))
        entry = b.ptradd(_get(b, "table"), _get(b, "offset") + (k << 2))
        b.st(entry, load_field(b, PART, part, "place").trunc(I32))

    def make() -> Value:
        b.call("stitch_write")
        if publishes:
            start, end, base = (_get(b, name) for name in ("start", "end", "base"))
            b.callback("publish", STATE.cb_publish, base + start, base + end)
        b.fence("release")
        _each(b, 0, _get(b, "count"), enter)
        b.st(_get(b, "limits"), _get(b, "end"))
        b.st(live_at(b, b.env(), _get(b, "table")), b.const(1, I8))
        _count(b, "blocks", 1)
        _count(b, "insns", _get(b, "count"))
        return b.const(1)

    def known() -> Value:
        return b.cond(b.call("stitch_layout", type=I64).ne(0), make, lambda: b.const(-1), likely=True)

    b.ret(b.cond(b.call("stitch_scan", type=I64).ne(0), known, lambda: b.const(0)))
    return b.function


def drop() -> Function:
    """stitch_drop(table, first, last) -> 1, and the table is empty, if one of those entries was in use; else 0."""
    b = Builder("stitch_drop", ret=I64, args=(PTR, I64, I64))
    table, first, last = b.args

    def look(k: Value) -> tuple[Value, Sequence[Value]]:
        here = b.ld(b.ptradd(table, k << 2), I32)
        return here.eq(0) & k.ult(last), (k + 1,)

    behind = b.loop((first,), look)
    used = b.ld(b.ptradd(table, (behind - 1) << 2), I32).ne(0)

    def clear() -> None:
        b.st(live_at(b, b.env(), table), b.const(0, I8))
        _count(b, "invalidated", 1)
        _each(b, 0, b.const(PAGE // UNIT), lambda k: b.st(b.ptradd(table, k * UNIT), b.splat(b.const(0), 2)))

    b.when(used, clear)
    b.ret(used.zext(I64))
    return b.function


# -- the lock ---------------------------------------------------------------------------------------------------------
def take(b: Builder, state: Value) -> Value:
    """Try to take the lock of a stitcher, given by the address of its state: i1, whether that was possible."""
    return b.cmpxchg(b.ptradd(state, STATE.lock), b.const(0), b.const(1)).eq(0)


def release(b: Builder, state: Value) -> None:
    b.st(b.ptradd(state, STATE.lock), b.const(0), "release")


def take_lock() -> Function:
    b = Builder("stitch_take", ret=I64)
    b.ret(take(b, b.env()).zext(I64))
    return b.function


def release_lock() -> Function:
    b = Builder("stitch_release")
    release(b, b.env())
    b.ret()
    return b.function


def patch_link(host: ModuleType, publish: int) -> Function:
    """patch_link(code cache to write, the same to run, place, target): aim the jump whose displacement is at `place`.

    CPUs may be running it: it lies in one aligned word, and this is one store.  Two CPUs that patch the same word may
    undo each other's work, which costs a look-up.  publish: offset of that callback in the CPU state.
    """
    mask, right, _ = host.BRANCH_FIELD
    b = Builder("patch_link", args=(PTR, PTR, I64, I64))
    written, run, at, target = b.args
    word, shift = b.ptradd(written, at & -WORD), (at & (WORD - 1)) << 3
    number = ((target - at - host.BRANCH_BIAS).lshr(right) & mask) << shift
    b.st(word, (b.ld(word, I64) & ~(b.const(mask) << shift)) | number)
    if host.PUBLISHES:
        start = b.ptradd(run, at & -WORD)
        b.callback("publish", publish, start, b.ptradd(start, WORD))
    b.ret()
    b.function.cold = True
    return b.function


def functions(publishes: bool) -> list[Function]:
    """The stitcher's functions; ENTRANCES are those to call."""
    return [
        find(), add(), scan_word(), scan(), place(), add_link(), way_on(), aim(), place_slow(), layout(), copy(), fix(),
        write(), stitch(publishes), drop(), take_lock(), release_lock(),
    ]  # fmt: skip


ENTRANCES = ("stitch", "stitch_drop", "stitch_take", "stitch_release")
__all__ = [
    "COUNTS", "ENDS", "ENTRANCES", "ENTRY", "FIX", "STATE", "TEMPLATE", "functions", "hash_of", "live_at", "load_field",
    "patch_link", "release", "take",
]  # fmt: skip
