"""The soft TLBs: where they lie, which address space they belong to, and what TLBI drops from them.

env.slots points at SLOTS *slots* of SLOT_SIZE bytes.  A slot caches one address space, which its key names: the ASID,
or "MMU off".  So a context switch only moves env.tlb, env.tlb_unpriv and env.xtlb to another slot, and flushes one when
all are taken.  A slot holds

    3 data TLBs   for EL0, EL1 and EL1 with PAN, of 1024 entries {tag to read, tag to write, addend, page}
    2 exec TLBs   for EL0 and EL1, of 256 entries {tag, entry table, page, 0}
    a filter      of the 2 MiB regions that were mapped by blocks, a bit each by hash

A data entry's tag is the virtual address of the page (with its top byte, whatever TBI says), all ones where the page
may not be accessed so, and has SLOW added where accesses must take the slow path: inline code then misses, and slow
paths find page, permission and kind without a walk.  The last word is the physical page and flags of this file.

TLBI by address looks at one entry of each table, and at a whole region where the filter says that a block was mapped
there.  Blocks beyond 2 MiB are noted by a range a slot (env.slot_large: base, mask): when it is hit, the slot goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jit.ir import Builder, Function, Value
from jit.types import I1, I8, I16, I64, PTR, vec
from targets.arm.access import ENTRY_BITS, PAGE_MASK, TAG_READ, TAG_WRITE, TLB_BITS
from targets.arm.dispatch import XTLB_BITS, XTLB_SIZE
from targets.arm.env import ENV
from targets.arm.state import cold, get, put, run, shl, shr
from targets.arm.trace import Mmu, report_mmu
from targets.arm.walk import NOT_GLOBAL, SCTLR_M, SIZE_2M, SIZE_SHIFT, TCR_A1, TCR_AS, granule

SLOTS = 16
PAGE_INFO = 24  # of a data entry: physical page and flags
SLOW = 1 << 11  # in a tag: no bit that the inline comparison's alignment masks let through

# Flags beside the physical page
MMIO, DEVICE_MEMORY, CODE, READ_ONLY = 1, 2, 4, 8

TLB_SIZE = 1 << TLB_BITS + ENTRY_BITS
XTLB_AT = 3 * TLB_SIZE
FILTER_AT = XTLB_AT + 2 * XTLB_SIZE
FILTER_SIZE = 512
SLOT_SIZE = (FILTER_AT + FILTER_SIZE + 4095) & -4096
SLOTS_BYTES = SLOTS * SLOT_SIZE  # what env.slots must point at

KEY_VALID, KEY_OFF = 1 << 16, 1 << 17  # of env.slot_asid; an ASID is in bits 15..0

_VA_BITS = 0x00FF_FFFF_FFFF_F000  # TLBI gives no more of an address
_NO_RANGE = 1  # a base that no address with any mask equals
_V16 = vec(SLOTS, I64)


def entry(b: Builder, table: Value, va: Value, bits: int = TLB_BITS) -> Value:
    return b.ptradd(table, va.lshr(12 - ENTRY_BITS) & (((1 << bits) - 1) << ENTRY_BITS))


def slot_base(b: Builder, slot: Value) -> Value:
    return b.ptradd(get(b, "slots"), slot * SLOT_SIZE)


def _indexed(b: Builder, name: str, index: Value) -> Value:
    """Offset of element `index` of a 64-bit array in the CPU state."""
    return (index << 3) + ENV[name].offset


def each_bit(b: Builder, mask: Value, step: Callable[[Value], None]) -> None:
    """Run `step` with the number of each bit that is set in mask."""

    def body(left: Value) -> tuple[Value, Sequence[Value]]:
        step(left.ctz())
        rest = left & (left - 1)
        return rest.ne(0), (rest,)

    b.when(mask.ne(0), lambda: b.loop((mask,), body))


def _strided(b: Builder, start: Value, count: int, step: Callable[[Value], None], at_once: int = 1) -> None:
    """Run `step` with a pointer to each of `count` entries from `start` on, `at_once` of them a round."""

    def body(offset: Value) -> tuple[Value, Sequence[Value]]:
        for k in range(at_once):
            step(b.ptradd(start, offset + (k << ENTRY_BITS)))
        rest = offset + (at_once << ENTRY_BITS)
        return rest.ult(count << ENTRY_BITS), (rest,)

    b.loop((b.const(0),), body)


def _empty(b: Builder, p: Value) -> None:
    b.st(p, b.splat(b.const(-1), 2))


# -- choosing the slot ------------------------------------------------------------------------------------------------
def set_regime() -> Function:
    """Point env.tlb, env.tlb_unpriv and env.xtlb at the tables for the present EL, PAN, UAO, ASID and SCTLR_EL1.M."""
    b = Builder("set_regime")
    tcr = get(b, "tcr_el1")
    asid = b.select(tcr.bit(TCR_A1), get(b, "ttbr1_el1"), get(b, "ttbr0_el1")).lshr(48)
    asid = b.select(tcr.bit(TCR_AS), asid, asid & 0xFF)
    key = b.select(get(b, "sctlr_el1").bit(SCTLR_M), asid | KEY_VALID, b.const(KEY_VALID | KEY_OFF))
    present = b.ldenv(_indexed(b, "slot_asid", get(b, "slot")), I64)
    b.when(present.ne(key), lambda: run(b, "claim_slot", key), likely=False)
    b.call("set_privilege")
    b.ret()
    return b.function


def set_privilege() -> Function:
    """The part of set_regime for a change of EL, PAN or UAO alone."""
    b = Builder("set_privilege")
    base = slot_base(b, get(b, "slot"))
    el1 = get(b, "el").ne(0)
    table = b.select(el1, b.select(get(b, "pan").ne(0), b.const(2 * TLB_SIZE), b.const(TLB_SIZE)), b.const(0))
    put(b, "tlb", b.ptradd(base, table))
    put(b, "tlb_unpriv", b.ptradd(base, b.select(get(b, "uao").ne(0), table, b.const(0))))
    put(b, "xtlb", b.ptradd(base, b.select(el1, b.const(XTLB_AT + XTLB_SIZE), b.const(XTLB_AT))))
    b.ret()
    return b.function


def _all(b: Builder, name: str) -> Value:
    """A per-slot array of the CPU state, as a vector."""
    return b.ld(b.ptradd(b.env(), ENV[name].offset), _V16)


def _matches(b: Builder, keys: Value, key: Value) -> Value:
    return keys.eq(b.splat(key, SLOTS)).bitcast(I16).zext(I64)


def claim_slot() -> Function:
    """Make the slot with this key the present one; where there is none, empty the least recently used for it."""
    b = Builder("claim_slot", args=(I64,))
    (key,) = b.args
    found = _matches(b, _all(b, "slot_asid"), key)

    def oldest() -> Value:
        def later(k: Value, best: Value, least: Value) -> tuple[Value, Sequence[Value]]:
            used = b.ldenv(_indexed(b, "slot_used", k), I64)
            less = used.ult(least)
            return k.ult(SLOTS - 1), (k + 1, b.select(less, k, best), b.select(less, used, least))

        _, slot, _ = b.loop((b.const(0), b.const(0), b.const(-1)), later)
        b.call("flush_slot", slot)
        b.stenv(_indexed(b, "slot_asid", slot), key)
        report_mmu(b, Mmu.SLOT, slot, key)
        return slot

    slot = b.cond(found.ne(0), lambda: found.ctz(), oldest, likely=True)
    now = get(b, "slot_clock") + 1
    put(b, "slot_clock", now)
    put(b, "slot", slot)
    b.stenv(_indexed(b, "slot_used", slot), now)
    b.ret()
    return b.function


# -- emptying ---------------------------------------------------------------------------------------------------------
def flush_slot() -> Function:
    """Empty all tables of a slot."""
    b = Builder("flush_slot", args=(I64,))
    (slot,) = b.args
    base = slot_base(b, slot)
    _strided(b, base, FILTER_AT >> ENTRY_BITS, lambda p: _empty(b, p), 8)
    b.call("clear_filter", b.ptradd(base, FILTER_AT))
    b.stenv(_indexed(b, "slot_large", slot << 1), b.const(_NO_RANGE))
    b.stenv(_indexed(b, "slot_large", slot << 1) + 8, b.const(0))
    put(b, "low_global", get(b, "low_global") & ~shl(b.const(1), slot))
    b.ret()
    return b.function


def clear_filter() -> Function:
    b = Builder("clear_filter", args=(PTR,))
    zero = b.splat(b.const(0), 8)
    for at in range(0, FILTER_SIZE, 64):
        b.st(b.ptradd(b.args[0], at), zero)
    b.ret()
    return b.function


def tlbi_all() -> Function:
    """TLBI VMALLE1; also for whoever changes SCTLR_EL1, TCR_EL1 or MAIR_EL1 (then set_regime)."""
    b = Builder("tlbi_all")
    report_mmu(b, Mmu.ALL)
    slot = get(b, "slot")
    key = b.ldenv(_indexed(b, "slot_asid", slot), I64)
    for name in ("slot_asid", "slot_used"):
        b.st(b.ptradd(b.env(), ENV[name].offset), b.splat(b.const(0), SLOTS))
    put(b, "low_global", 0)
    b.stenv(_indexed(b, "slot_asid", slot), key)
    b.stenv(_indexed(b, "slot_used", slot), get(b, "slot_clock"))
    b.call("flush_slot", slot)
    b.ret()
    return b.function


def _effective(b: Builder, asid: Value) -> Value:
    return asid & b.select(get(b, "tcr_el1").bit(TCR_AS), b.const(0xFFFF), b.const(0xFF))


def tlbi_asid() -> Function:
    """TLBI ASIDE1.  Global entries of that slot go too, which is allowed."""
    b = Builder("tlbi_asid", args=(I64,))
    report_mmu(b, Mmu.ASID, b.args[0])
    key = _effective(b, b.args[0]) | KEY_VALID
    found = _matches(b, _all(b, "slot_asid"), key)
    slot = found.ctz()

    def other() -> None:
        for name in ("slot_asid", "slot_used"):
            b.stenv(_indexed(b, name, slot), b.const(0))

    b.when(found.ne(0), lambda: b.cond(slot.eq(get(b, "slot")), lambda: run(b, "flush_slot", slot), other))
    b.ret()
    return b.function


def fetch_flush() -> Function:
    """Empty the exec TLBs: the entry tables that they point to are gone, or are another mode's."""
    b = Builder("fetch_flush")

    def one(slot: Value) -> None:
        _strided(b, b.ptradd(slot_base(b, slot), XTLB_AT), 2 << XTLB_BITS, lambda p: _empty(b, p))

    each_bit(b, _live(b), one)
    b.ret()
    return b.function


# -- by address -------------------------------------------------------------------------------------------------------
def _live(b: Builder) -> Value:
    """A bit for each slot in use."""
    return _all(b, "slot_asid").ne(0).bitcast(I16).zext(I64)


def tlbi_va() -> Function:
    """TLBI VAE1, VALE1 (va, asid).  Another slot has the page only if it is global."""
    b = Builder("tlbi_va", args=(I64, I64))
    va, asid = b.args
    report_mmu(b, Mmu.PAGE, va, asid)
    own = _matches(b, _all(b, "slot_asid"), _effective(b, asid) | KEY_VALID)
    others = b.select(va.bit(55), _live(b), get(b, "low_global"))
    each_bit(b, own | others, lambda slot: run(b, "drop_page", slot, va))
    b.ret()
    return b.function


def tlbi_va_all_asid() -> Function:
    """TLBI VAAE1, VAALE1 (va)."""
    b = Builder("tlbi_va_all_asid", args=(I64,))
    (va,) = b.args
    report_mmu(b, Mmu.PAGE_OF_ALL, va)
    each_bit(b, _live(b), lambda slot: run(b, "drop_page", slot, va))
    b.ret()
    return b.function


def _drop_entries(b: Builder, base: Value, va: Value) -> None:
    for table in range(3):
        at = entry(b, b.ptradd(base, table * TLB_SIZE), va)
        read, write = (b.ld(b.ptradd(at, tag), I64) for tag in (TAG_READ, TAG_WRITE))
        same = ((read ^ va) & _VA_BITS).eq(0) | ((write ^ va) & _VA_BITS).eq(0)
        b.when(same, lambda at=at: _empty(b, at), likely=False)  # type: ignore[misc]
    for table in range(2):
        at = entry(b, b.ptradd(base, XTLB_AT + table * XTLB_SIZE), va, XTLB_BITS)
        same = ((b.ld(at, I64) ^ va) & _VA_BITS).eq(0)
        b.when(same, lambda at=at: b.st(at, b.const(-1)), likely=False)  # type: ignore[misc]


def _filter_bit(b: Builder, base: Value, va: Value) -> tuple[Value, Value]:
    """(byte, mask) in the filter for the 2 MiB region of va."""
    number = va.bits(21, 35)
    number = number ^ number.lshr(12)
    byte = b.ptradd(base, (number.lshr(3) & (FILTER_SIZE - 1)) + FILTER_AT)
    return byte, shl(b.const(1), number & 7).trunc(I8)


def drop_page() -> Function:
    """Drop what a slot holds of the page, or block, at va."""
    b = Builder("drop_page", args=(I64, I64))
    slot, va = b.args
    base = slot_base(b, slot)
    size = shl(b.const(1), granule(b, get(b, "tcr_el1"), va.bits(55, 1)))

    def one(page: Value) -> tuple[Value, Sequence[Value]]:
        _drop_entries(b, base, page)
        rest = page + 4096
        return (rest & (size - 1)).ne(0), (rest,)

    b.loop((va & (0 - size),), one)
    byte, mask = _filter_bit(b, base, va)
    b.when((b.ld(byte, I8) & mask).ne(0), lambda: run(b, "drop_region", base, va), likely=False)
    at = _indexed(b, "slot_large", slot << 1)
    hit = (va & b.ldenv(at + 8, I64)).eq(b.ldenv(at, I64))
    b.when(hit, lambda: run(b, "flush_slot", slot), likely=False)
    b.ret()
    return b.function


def drop_region() -> Function:
    """Drop all entries of a slot (given by its address) that lie in the 2 MiB around va."""
    b = Builder("drop_region", args=(PTR, I64))
    base, va = b.args
    region = _VA_BITS & -(1 << 21)

    def drop(tags: tuple[int, ...]) -> Callable[[Value], None]:
        def one(p: Value) -> None:
            same = b.const(0, I1)
            for tag in tags:
                same = same | ((b.ld(b.ptradd(p, tag), I64) ^ va) & region).eq(0)
            b.when(same, lambda: _empty(b, p))

        return one

    half = 1 << 21 - 12
    for table in range(3):
        start = entry(b, b.ptradd(base, table * TLB_SIZE), va & -(1 << 21))
        _strided(b, start, half, drop((TAG_READ, TAG_WRITE)))
    _strided(b, b.ptradd(base, XTLB_AT), 2 << XTLB_BITS, drop((0,)))
    b.ret()
    return b.function


def note_block() -> Function:
    """A page of a block (walk result w) goes into the present slot at va."""
    b = Builder("note_block", args=(I64, I64))
    va, w = b.args
    slot = get(b, "slot")
    byte, mask = _filter_bit(b, slot_base(b, slot), va)
    b.st(byte, b.ld(byte, I8) | mask)
    at = _indexed(b, "slot_large", slot << 1)

    def widen() -> None:
        va55 = va & _VA_BITS
        base, old = b.ldenv(at, I64), b.ldenv(at + 8, I64)
        block = shl(b.const(_VA_BITS), w.bits(SIZE_SHIFT, 5)) & _VA_BITS
        both = block & old
        differ = (base ^ va55) & both
        # keep the mask's bits above the highest one in which base and va differ
        common = both & ~shr(b.const(-1), differ.clz() & b.select(differ.eq(0), b.const(0), b.const(63)))
        common = b.select(differ.eq(0), both, common)
        fresh = base.eq(_NO_RANGE)
        mask = b.select(fresh, block, common)
        b.stenv(at, va55 & mask)
        b.stenv(at + 8, mask)

    b.when(w.uge(SIZE_2M + (1 << SIZE_SHIFT)), widen, likely=False)
    b.ret()
    return b.function


def note_low_global(b: Builder, va: Value, walked: Value) -> None:
    """Note that the present slot gets a global page of the lower half."""
    mine = ~va.bit(55) & (walked & NOT_GLOBAL).eq(0)
    b.when(mine, lambda: put(b, "low_global", get(b, "low_global") | shl(b.const(1), get(b, "slot"))), likely=False)


# -- by physical page -------------------------------------------------------------------------------------------------
def protect_page() -> Function:
    """Physical page pa gets its first code: stores to it take the slow path from now on (env.ram_flags says so too)."""
    b = Builder("protect_page", args=(I64,))
    (pa,) = b.args

    def protect(p: Value) -> None:
        info = b.ld(b.ptradd(p, PAGE_INFO), I64)
        tag = b.ld(b.ptradd(p, TAG_WRITE), I64)

        def slow() -> None:
            b.st(b.ptradd(p, TAG_WRITE), tag | SLOW)
            b.st(b.ptradd(p, PAGE_INFO), info | CODE)

        b.when(((info ^ pa) & PAGE_MASK).eq(0) & tag.ne(-1), slow, likely=False)

    each_bit(b, _live(b), lambda slot: _strided(b, slot_base(b, slot), 3 << TLB_BITS, protect))
    b.ret()
    return b.function


def functions() -> list[Function]:
    rare = (
        clear_filter, flush_slot, tlbi_all, tlbi_asid, drop_region, drop_page, tlbi_va, tlbi_va_all_asid, note_block,
        protect_page, fetch_flush,
    )  # fmt: skip
    return [*cold(make() for make in rare), claim_slot(), set_privilege(), set_regime()]
