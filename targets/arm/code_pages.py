"""Translation and invalidation without Python: what System.code_at and System.written do, where that is simple.

Both hold the stitcher's lock, which is the engine's (jit/lock.py); where another thread has it, Python waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jit import stitch
from jit.ir import Builder, Function, Value
from jit.stitch import STATE
from jit.types import I8, I32, I64, PTR
from targets.arm.a64.lift import MODES, PAGE, Mode
from targets.arm.dispatch import XTLB_PHYSICAL, XTLB_TABLE, xtlb_entry
from targets.arm.env import CALLBACK_AT, ENV
from targets.arm.smp import each_cpu
from targets.arm.state import address, cold, get, shl

# A RAM page's flags: stores to it are told, as it holds translated code (or is watched by us); it is not sure yet that
# all CPUs tell
CODE_FLAG, GUARD_FLAG = 1, 2
STEP = Mode(0, False, True, False).key


def _locked(b: Builder, work: Callable[[Value], Value]) -> Value:
    """work(the stitcher's state), with its lock; 0 where it is not for native code, or not free."""
    state = get(b, "stitcher")

    def take() -> Value:
        return b.cond(stitch.take(b, state), taken, lambda: b.const(0), likely=True)

    def taken() -> Value:
        is_open = stitch.load_field(b, STATE, state, "open").ne(0)
        done = b.cond(is_open, lambda: work(state), lambda: b.const(0), likely=True)
        stitch.release(b, state)
        return done

    return b.cond(address(b, state).ne(0), take, lambda: b.const(0), likely=True)


def translate_here() -> Function:
    """Translate from env.pc on: 1 if that could be done.  0: Python is to see."""
    b = Builder("translate_here", ret=I64)
    pc = get(b, "pc")
    at = xtlb_entry(b, pc)
    offset = b.ld(b.ptradd(at, XTLB_PHYSICAL), I64) - get(b, "ram_base")
    directory = b.ldenv((get(b, "el").zext(I64) & 1) * 8 + ENV["page_dir"].offset, PTR)

    def in_ram() -> Value:
        table = b.ld(b.ptradd(directory, offset.lshr(12) << 3), PTR)
        mode = b.op("udiv", address(b, directory) - address(b, get(b, "dirs")), get(b, "dir_bytes"))
        known = address(b, table).ne(0) & (mode & STEP).eq(0)  # the first code of a page in a mode is Python's
        make = lambda state: _translate(b, state, at, pc & (PAGE - 1), offset, table, mode)  # noqa: E731
        return b.cond(known, lambda: _locked(b, make), lambda: b.const(0))

    there = b.ld(at, I64).eq(pc & -PAGE) & offset.ult(get(b, "ram_size"))
    b.ret(b.cond(there, in_ram, lambda: b.const(0), likely=True))
    return b.function


def _translate(b: Builder, state: Value, at: Value, start: Value, page: Value, table: Value, mode: Value) -> Value:
    """at: the exec TLB's entry.  start: byte of the page, which begins at byte `page` of the RAM."""
    lines = b.ptradd(get(b, "code_lines"), page.lshr(12) << 3)

    def make() -> Value:
        before = b.ld(lines, I64)
        b.st(lines, b.const(-1))  # stores to any part of the page are noticed meanwhile
        b.fence()  # see note_write
        request = {"offset": start, "mode": mode, "single": b.const(0), "chained": b.const(1), "table": table}
        for name, value in {**request, "guest": b.ptradd(get(b, "ram_host"), page)}.items():
            b.st(b.ptradd(state, STATE[name].offset), value)
        done = b.callback("stitch", CALLBACK_AT["stitch"], state, type=I64).eq(1)
        end = start + (stitch.load_field(b, STATE, state, "count") << 2)
        made = shl(b.const(2), (end - 1).lshr(6)) - shl(b.const(1), start.lshr(6))
        b.st(lines, before | b.select(done, made, b.const(0)))
        b.when(done, lambda: b.st(b.ptradd(at, XTLB_TABLE), table))
        return done.zext(I64)

    guarded = b.ld(b.ptradd(get(b, "ram_flags"), page.lshr(12)), I8).eq(CODE_FLAG)
    return b.cond(guarded, make, lambda: b.const(0), likely=True)


def drop_code() -> Function:
    """`size` bytes from byte `offset` of the RAM on, in one page, were written: 1 if what was to be done is done."""
    b = Builder("drop_code", ret=I64, args=(I64, I64))
    offset, size = b.args
    b.ret(_locked(b, lambda state: _drop(b, state, offset, size)))
    return b.function


def _drop(b: Builder, state: Value, offset: Value, size: Value) -> Value:
    page, first, last = offset.lshr(12), offset.bits(2, 10), (offset + size - 1).bits(2, 10)

    def of_mode(mode: Value, hit: Value, left: Value) -> tuple[Value, Sequence[Value]]:
        directory = b.ptradd(get(b, "dirs"), mode * get(b, "dir_bytes"))
        table = b.ld(b.ptradd(directory, page << 3), PTR)

        def look() -> Sequence[Value]:
            dropped = b.callback("drop", CALLBACK_AT["drop"], state, table, first, last, type=I64)
            still = b.ld(stitch.live_at(b, state, table), I8).zext(I64)
            return hit | dropped, left | still

        hit, left = b.cond(address(b, table).ne(0), look, lambda: (hit, left))
        return (mode + 1).ult(MODES), (mode + 1, hit, left)

    _, hit, left = b.loop((b.const(0), b.const(0), b.const(0)), of_mode)

    def told() -> None:
        lines = b.ptradd(get(b, "code_lines"), page << 3)
        b.st(lines, b.select(left.eq(0), b.const(0), b.ld(lines, I64)))  # the page will soon have code again: protected
        each_cpu(b, lambda cpu: b.st(b.ptradd(cpu, ENV.attn), b.const(1, I32)))

    b.when(hit.ne(0), told)
    return b.const(1)


def functions() -> list[Function]:
    return cold((translate_here(), drop_code()))
