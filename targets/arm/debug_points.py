"""Hardware breakpoints and watchpoints (D2.8 to D2.10): runtime functions in IR.  Neither costs anything while unused.

Breakpoints: translated code has a check before each instruction whose offset in its page is that of a breakpoint that
was enabled at some time (`insert_at` of the engine); the check compares the virtual address.

Watchpoints: env.watch_active is 1 while one may be enabled.  Pages that one watches then have no fast TLB entry, and
the slow path asks `watch_check`.

    breakpoint_hit(pc)      1 where a breakpoint exception is to be taken before the instruction at pc
    watch_check(va, desc)   1 where an access faults: fault_va and fault_esr are set
    watched_page(va)        1 where a watchpoint is in va's page
    debug_changed()         after a write to a debug register or lock
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jit.ir import Builder, Function, Value
from jit.types import I1, I32, I64
from targets.arm.access import UNPRIV, WRITE
from targets.arm.debug import DEBUG_FSC, IL, MDSCR_MDE, debug_exceptions_enabled
from targets.arm.env import ENV
from targets.arm.exits import Event
from targets.arm.slow_access import READ_TOO, has, same_level, set_fault
from targets.arm.state import flag, get, guarded_callback, put, run, shl

BREAKPOINTS, WATCHPOINTS, CONTEXT_AWARE = 6, 4, 2  # as ID_AA64DFR0_EL1 of all models says
EC_BREAKPOINT, EC_WATCHPOINT = 0x30, 0x34  # from a lower EL; one more from the same
ESR_WNR = 1 << 6
VA_MASK = 0x0001_FFFF_FFFF_FFFC
PAGE = 4096


def _register(b: Builder, name: str, n: Value) -> Value:
    return b.ldenv((n << 3) + ENV[name].offset, I64)


def _any(b: Builder, count: int, test: Callable[[Value], Value]) -> Value:
    """Whether `test` holds for a number below `count`."""

    def step(n: Value, _found: Value) -> tuple[Value, tuple[Value, Value]]:
        found = test(n)
        return ~found & n.ult(count - 1), (n + 1, found)

    _, found = b.loop((b.const(0), b.const(0, I1)), step)
    return found


def _state_match(b: Builder, control: Value, el0: Value, linked: Value) -> Value:
    """AArch64.StateMatch: privilege (PMC, PAC), Security state, and the linked context breakpoint.

    SSC names Non-secure state or both; what else it may say is reserved without EL3.
    """
    privilege = b.select(el0, control.bit(2), control.bit(1))
    return privilege & ~control.bit(15) & (~linked | _linked_match(b, control.bits(16, 4)))


def _linked_match(b: Builder, number: Value) -> Value:
    """The breakpoint that another links to: enabled, context-aware, of the type Linked Context ID, and matching."""
    aware = (number - (BREAKPOINTS - CONTEXT_AWARE)).ult(CONTEXT_AWARE)
    safe = b.select(aware, number, 0)
    control = _register(b, "dbgbcr", safe)
    return aware & control.bit(0) & control.bits(20, 4).eq(0b0011) & _context_match(b, safe)


def _context_match(b: Builder, n: Value) -> Value:
    return _register(b, "dbgbvr", n).trunc(I32).eq(get(b, "contextidr_el1").trunc(I32))


# -- breakpoints ------------------------------------------------------------------------------------------------------
def breakpoint_hit() -> Function:
    b = Builder("breakpoint_hit", ret=I64, args=(I64,))
    (pc,) = b.args

    def match(n: Value) -> Value:
        control, value = _register(b, "dbgbcr", n), _register(b, "dbgbvr", n)
        kind = control.bits(20, 4)
        address = ((pc ^ value) & VA_MASK).eq(0) & (kind & 0b1110).eq(0)
        context = kind.eq(0b0010) & n.uge(BREAKPOINTS - CONTEXT_AWARE) & _context_match(b, n)
        state = _state_match(b, control, get(b, "el").eq(0), kind.bit(0))
        return control.bit(0) & (address | context) & state

    enabled = (get(b, "mdscr_el1") & MDSCR_MDE).ne(0) & debug_exceptions_enabled(b)
    b.ret(b.cond(enabled, lambda: flag(b, _any(b, BREAKPOINTS, match)), lambda: b.const(0)))
    return b.function


def breakpoint_check() -> Function:
    """The code before an instruction at the page offset of a breakpoint."""
    b = Builder("breakpoint_check", kind="stencil")
    pc = get(b, "pc_base") + b.hole("PC", 0, PAGE - 4)

    def take() -> None:
        put(b, "pc", pc)
        put(b, "fault_esr", (same_level(b) << 26) | (EC_BREAKPOINT << 26 | IL | DEBUG_FSC))
        b.leave("take_exception")

    b.when(b.call("breakpoint_hit", pc, type=I64).ne(0), take, likely=False)
    b.next()
    return b.function


def page_offsets(read: Callable[[str, int], int]) -> Iterable[int]:
    """Offsets in a page of the enabled breakpoints; all, where one matches a context at any address.

    read(name, index) gives registers of the CPU state.
    """
    if not read("mdscr_el1", 0) & MDSCR_MDE:
        return ()
    enabled = [n for n in range(BREAKPOINTS) if read("dbgbcr", n) & 1]
    if any(read("dbgbcr", n) >> 20 & 15 == 0b0010 for n in enabled):
        return range(0, PAGE, 4)
    return [read("dbgbvr", n) & (PAGE - 4) for n in enabled]


# -- watchpoints ------------------------------------------------------------------------------------------------------
def _range(b: Builder, n: Value) -> tuple[Value, Value, Value]:
    """(watched at all, first byte, last byte) of an enabled watchpoint: a power of two by MASK, or bytes by BAS."""
    control, value = _register(b, "dbgwcr", n), _register(b, "dbgwvr", n)
    mask = control.bits(24, 5)
    below = shl(b.const(1), mask) - 1
    word = value.bit(2)
    select = control.bits(5, 8) & b.select(word, b.const(0x0F), 0xFF)
    low = select.ctz() & 7
    length = (~select.lshr(low)).ctz()
    masked = mask.ne(0)
    first = b.select(masked, value & ~below, value + low)
    last = b.select(masked, value | below, value + low + length - 1)
    valid = b.select(masked, mask.ugt(2), select.ne(0))
    return control.bit(0) & valid, first, last


def watch_check() -> Function:
    """A fault of the access itself comes before its watchpoints."""
    b = Builder("watch_check", ret=I64, args=(I64, I64))
    va, desc = b.args
    size = desc & 0xFF
    el0 = get(b, "el").eq(0) | (has(desc, UNPRIV) & get(b, "uao").eq(0))
    kinds = b.select(has(desc, WRITE), b.const(2), b.const(1)) | flag(b, has(desc, READ_TOO))

    def match(n: Value) -> Value:
        valid, first, last = _range(b, n)
        control = _register(b, "dbgwcr", n)
        overlap = first.ule(va + size - 1) & va.ule(last)
        hit = valid & overlap & (control.bits(3, 2) & kinds).ne(0) & _state_match(b, control, el0, control.bit(20))
        b.when(hit, lambda: put(b, "fault_va", va.umax(first)))
        return hit

    def faults() -> Value:
        other = b.call("access_check", va, desc, b.call("walk", va, type=I64), type=I64)
        return b.cond(other.ne(0), lambda: b.const(1), watchpoint)

    def watchpoint() -> Value:
        write = b.select(has(desc, WRITE), b.const(ESR_WNR), 0)
        return set_fault(b, get(b, "fault_va"), (same_level(b) << 26) | write | (EC_WATCHPOINT << 26 | IL | DEBUG_FSC))

    def look() -> Value:
        return b.cond(_any(b, WATCHPOINTS, match), faults, lambda: b.const(0), likely=False)

    b.ret(b.cond(debug_exceptions_enabled(b), look, lambda: b.const(0)))
    return b.function


def watched_page() -> Function:
    b = Builder("watched_page", ret=I64, args=(I64,))
    page = b.args[0] & -PAGE

    def match(n: Value) -> Value:
        valid, first, last = _range(b, n)
        return valid & first.ule(page + (PAGE - 1)) & page.ule(last)

    b.ret(flag(b, _any(b, WATCHPOINTS, match)))
    return b.function


# -- after a change ---------------------------------------------------------------------------------------------------
def debug_changed() -> Function:
    """Look at the next block head; empty the TLBs where watchpoints are or were in use; tell Python of breakpoints."""
    b = Builder("debug_changed")
    put(b, "attn", 1)
    enabled = _any(b, WATCHPOINTS, lambda n: _register(b, "dbgwcr", n).bit(0))
    active = enabled & (get(b, "mdscr_el1") & MDSCR_MDE).ne(0)
    was = get(b, "watch_active").ne(0)
    put(b, "watch_active", flag(b, active).resize(ENV["watch_active"].type))
    b.when(active | was, lambda: run(b, "regime_changed"))
    guarded_callback(b, "event", b.env(), b.const(Event.DEBUG), b.const(0))
    b.ret()
    return b.function


def functions() -> list[Function]:
    return [breakpoint_hit(), watch_check(), watched_page(), debug_changed()]
