"""Data accesses beyond the inline TLB probe, in IR: permission, fills, faults, devices, page crossings.

See targets/arm/mmu.py for what each function promises, targets/arm/access.py for what calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jit.ir import Builder, Function, Value
from jit.types import I1, I8, I16, I32, I64, I128, PTR, Type
from targets.arm import gicv2, tlb
from targets.arm import walk as w
from targets.arm.access import ADDEND, ALIGNED, ATOMIC, PAGE_MASK, READ_TOO, TAG_READ, TAG_WRITE, UNPRIV, WRITE
from targets.arm.code_pages import CODE_FLAG
from targets.arm.env import ENV
from targets.arm.state import address, cold, count, flag, get, guarded_callback, null, put, run, shl, shr
from targets.arm.tlb import CODE, DEVICE_MEMORY, MMIO, PAGE_INFO, READ_ONLY, SLOW
from targets.arm.trace import Mmu, report_mmu

PAGE = 4096

# More flags of an access descriptor: MISALIGNED is found on the way; CACHE is cache maintenance, for probe_address
MISALIGNED, CACHE = 1 << 13, 1 << 14

IL = 1 << 25
EC_DATA_ABORT = 0x24  # plus 1: from the same exception level
ESR_CM, ESR_WNR = 1 << 8, 1 << 6
ZVA_SIZE = 64
IDLE_STORES = 64  # every so many slow stores to pages that had code once, one such page is let off


def has(desc: Value, bit: int) -> Value:
    return (desc & bit).ne(0)


def same_level(b: Builder) -> Value:
    """1 at EL1: the exception class of an abort from the same exception level."""
    return flag(b, get(b, "el").ne(0))


def set_fault(b: Builder, va: Value, syndrome: Value) -> Value:
    put(b, "fault_va", va)
    put(b, "fault_esr", syndrome)
    report_mmu(b, Mmu.FAULT, va, syndrome)
    return b.const(1)


def data_fault_at() -> Function:
    """Set the syndrome of a data abort (va, desc, status code); gives 1."""
    b = Builder("data_fault_at", ret=I64, args=(I64, I64, I64))
    va, desc, status = b.args
    ec = ((same_level(b) + EC_DATA_ABORT) << 26) | IL
    wnr = b.select(has(desc, WRITE) & ~has(desc, READ_TOO), b.const(ESR_WNR), b.const(0))
    cache = b.select(has(desc, CACHE), b.const(ESR_CM | ESR_WNR), b.const(0))
    b.ret(set_fault(b, va, ec | wnr | cache | status))
    return b.function


def _fault(b: Builder, va: Value, desc: Value, status: Value | int) -> Value:
    return b.call("data_fault_at", va, desc, b.coerce(status, I64), type=I64)


# -- permission -------------------------------------------------------------------------------------------------------
def _rights(b: Builder, desc: Value, walked: Value) -> Value:
    """What this access's privilege allows: bit 0 reading, bit 1 writing."""
    el0 = get(b, "el").eq(0) | (has(desc, UNPRIV) & get(b, "uao").eq(0))
    hidden = get(b, "pan").ne(0) & (walked & w.READ_EL0).ne(0) & ~has(desc, CACHE)
    el1 = b.select(hidden, b.const(0), walked.lshr(w.EL1_SHIFT) & 3)
    return b.select(el0, walked & 3, el1)


def _wanted(b: Builder, desc: Value) -> Value:
    """The rights that an access needs, as in _rights."""
    return b.select(has(desc, WRITE), b.const(2), b.const(1)) | flag(b, has(desc, READ_TOO))


def access_check() -> Function:
    """Whether an access (va, desc, walk result) may be done: 0, or 1 with the fault set."""
    b = Builder("access_check", ret=I64, args=(I64, I64, I64))
    va, desc, walked = b.args
    rights = _rights(b, desc, walked)
    allowed = (rights & _wanted(b, desc)).eq(_wanted(b, desc))
    misaligned = has(desc, MISALIGNED) & has(walked, w.DEVICE)

    def fault() -> Value:
        level = walked.bits(w.LEVEL_SHIFT, 2)
        status = b.select(misaligned, b.const(w.ALIGNMENT), level + w.PERMISSION)
        status = b.select(walked.slt(0), walked & 0x3F, status)
        readable = walked.sge(0) & ~misaligned & (rights & 1).ne(0)
        return _fault(b, va, b.select(readable, desc & ~READ_TOO, desc), status)

    bad = walked.slt(0) | misaligned | ~allowed
    b.ret(b.cond(bad, fault, lambda: b.const(0), likely=False))
    return b.function


# -- data TLB ---------------------------------------------------------------------------------------------------------
def data_fill() -> Function:
    """Walk for a data access (va, desc, TLB entry): 0 and the entry filled, or 1 and the fault set."""
    b = Builder("data_fill", ret=I64, args=(I64, I64, PTR))
    va, desc, at = b.args
    count(b, "n_tlb_miss")
    walked = b.call("walk", va, type=I64)
    status = b.call("access_check", va, desc, walked, type=I64)
    b.when(status.eq(0), lambda: _fill(b, va, desc, at, walked), likely=True)
    b.ret(status)
    return b.function


def _fill(b: Builder, va: Value, desc: Value, at: Value, walked: Value) -> None:
    rights = _rights(b, desc, walked)
    page = walked & w.PA_MASK
    offset = page - get(b, "ram_base")

    def in_ram() -> Sequence[Value]:
        where = b.ptradd(get(b, "ram_flags"), offset.lshr(12))
        code = b.ld(where, I8).zext(I64) & CODE_FLAG
        return b.ptradd(get(b, "ram_host"), offset), b.select(code.ne(0), b.const(CODE), b.const(0))

    def elsewhere() -> Sequence[Value]:
        host = guarded_callback(b, "resolve", page, type=PTR)
        number = address(b, host)
        info = b.select(has(number, 1), b.const(0), b.const(READ_ONLY))
        return b.ptradd(host, 0 - (number & 1)), b.select(number.eq(0), b.const(MMIO), info)

    host, info = b.cond(offset.ult(get(b, "ram_size")), in_ram, elsewhere, likely=True)
    info = info | (walked.lshr(5) & DEVICE_MEMORY)
    watched = b.cond(
        get(b, "watch_active").ne(0),
        lambda: b.call("watched_page", va, type=I64).ne(0),
        lambda: b.const(0, I1),
        likely=False,
    )
    careful = get(b, "sctlr_el1").bit(w.SCTLR_A) | watched
    slow = b.select(careful | has(info, DEVICE_MEMORY | MMIO), b.const(SLOW), b.const(0))
    slow_write = b.select(has(info, CODE | READ_ONLY), b.const(SLOW), slow)
    tag = va & PAGE_MASK
    b.st(b.ptradd(at, TAG_READ), b.select(has(rights, 1), tag | slow, b.const(-1)))
    b.st(b.ptradd(at, TAG_WRITE), b.select(has(rights, 2), tag | slow_write, b.const(-1)))
    b.st(b.ptradd(at, ADDEND), b.ptradd(host, 0 - tag))
    b.st(b.ptradd(at, PAGE_INFO), page | info)
    report_mmu(b, Mmu.DATA, va, walked)
    b.when(walked.uge(tlb.SIZE_2M), lambda: run(b, "note_block", va, walked), likely=False)
    tlb.note_low_global(b, va, walked)


def data_page() -> Function:
    """Where an access (va, desc) that stays in one page goes: a host pointer, or null.

    Null means a fault where env.access_fault is set, else a device at env.access_pa.
    """
    b = Builder("data_page", ret=PTR, args=(I64, I64))
    va, desc = b.args
    table = b.select(has(desc, UNPRIV), get(b, "tlb_unpriv"), get(b, "tlb"))
    at = tlb.entry(b, table, va)
    write = has(desc, WRITE)
    tag = b.ld(b.ptradd(at, b.select(write, b.const(TAG_WRITE), b.const(TAG_READ))), I64)
    info = b.ld(b.ptradd(at, PAGE_INFO), I64)
    # a read-modify-write needs both tags: ask the tables
    hit = (tag & ~SLOW).eq(va & PAGE_MASK) & ~has(desc, READ_TOO)
    # a page that held code may hold none by now, and stores to it can be fast again
    hit = b.cond(write & has(info, CODE) & hit, lambda: _holds_code(b, info & PAGE_MASK), lambda: hit, likely=False)
    status = b.cond(hit, lambda: b.const(0), lambda: b.call("data_fill", va, desc, at, type=I64), likely=False)
    b.ret(b.cond(status.eq(0), lambda: _placed(b, va, desc, at, write), lambda: _failed(b), likely=True))
    return b.function


def _holds_code(b: Builder, page: Value) -> Value:
    number = (page - get(b, "ram_base")).lshr(12)
    return (b.ld(b.ptradd(get(b, "ram_flags"), number), I8) & CODE_FLAG).ne(0)


def _failed(b: Builder) -> Value:
    put(b, "access_fault", 1)
    return null(b)


def _placed(b: Builder, va: Value, desc: Value, at: Value, write: Value) -> Value:
    """The place of an access that the TLB entry allows."""
    info = b.ld(b.ptradd(at, PAGE_INFO), I64)
    misaligned = has(info, DEVICE_MEMORY) & has(desc, MISALIGNED)
    device = has(info, MMIO) | (write & has(info, READ_ONLY))

    def no_memory() -> Value:
        b.when(misaligned, lambda: _fault(b, va, desc, w.ALIGNMENT))
        put(b, "access_fault", flag(b, misaligned).trunc(I8))
        put(b, "access_pa", (info & PAGE_MASK) | (va & (PAGE - 1)))
        return null(b)

    return b.cond(misaligned | device, no_memory, lambda: b.ptradd(b.ld(b.ptradd(at, ADDEND), PTR), va), likely=False)


# -- the slow paths of access.py --------------------------------------------------------------------------------------
def _size(desc: Value) -> Value:
    return desc & 0xFF


def _checked(b: Builder, va: Value, desc: Value, go: Callable[[Value], Value]) -> Value:
    """Alignment faults that don't depend on the memory, and watchpoints; then `go` with the completed descriptor."""
    misaligned = (va & (_size(desc) - 1)).ne(0)
    strict = has(desc, ALIGNED) | get(b, "sctlr_el1").bit(w.SCTLR_A)

    def aligned_enough() -> Value:
        return _watched(b, va, desc | b.select(misaligned, b.const(MISALIGNED), b.const(0)), go)

    return b.cond(misaligned & strict, lambda: _fault(b, va, desc, w.ALIGNMENT), aligned_enough, likely=False)


def _watched(b: Builder, va: Value, desc: Value, go: Callable[[Value], Value]) -> Value:
    """Watchpoints; then `go`."""
    active = get(b, "watch_active").ne(0)
    hit = b.cond(active, lambda: b.call("watch_check", va, desc, type=I64), lambda: b.const(0), likely=False)
    return b.cond(hit.eq(0), lambda: go(desc), lambda: b.const(1), likely=True)


def _crosses(va: Value, desc: Value) -> Value:
    return ((va & (PAGE - 1)) + _size(desc)).ugt(PAGE)


def _function(name: str, build: Callable[..., Value], *types: Type) -> Function:
    b = Builder(name, ret=I64, args=types)
    b.ret(build(b, *b.args))
    return b.function


def _slow_access(b: Builder, va: Value, desc: Value) -> Value:
    """Loads, and stores where desc says WRITE."""

    def go(desc: Value) -> Value:
        return b.cond(
            _crosses(va, desc),
            lambda: b.call("access_across", va, desc, type=I64),
            lambda: b.call("access_piece", va, desc, _size(desc), b.const(0), type=I64),
            likely=False,
        )

    return _checked(b, va, desc, go)


def _slow_store(b: Builder, va: Value, desc: Value) -> Value:
    return b.call("slow_load", va, desc | WRITE, type=I64)


def _across(b: Builder, va: Value, desc: Value) -> Value:
    """An access to two pages: both must allow it before anything is done."""
    first = PAGE - (va & (PAGE - 1))

    def refused(at: Value) -> Value:
        return address(b, b.call("data_page", at, desc, type=PTR)).eq(0) & get(b, "access_fault").ne(0)

    def both() -> Value:
        status = b.call("access_piece", va, desc, first, b.const(0), type=I64)
        rest = _size(desc) - first
        return b.cond(
            status.eq(0),
            lambda: b.call("access_piece", va + first, desc, rest, first, type=I64),
            lambda: b.const(1),
        )

    no = b.cond(refused(va), lambda: b.const(1), lambda: flag(b, refused(va + first)))
    return b.cond(no.eq(0), both, lambda: b.const(1))


def _piece(b: Builder, va: Value, desc: Value, size: Value, at: Value) -> Value:
    """`size` bytes between env.scratch (from `at` on) and memory inside one page."""
    host = b.call("data_page", va, desc, type=PTR)

    def memory() -> Value:
        write, scratch = has(desc, WRITE), b.ptradd(b.env(), at + ENV.scratch)
        ordered = has(desc, ALIGNED)  # acquire, release or exclusive
        b.when(ordered, b.fence)
        run(b, "copy", b.select(write, host, scratch), b.select(write, scratch, host), size)
        b.when(ordered, b.fence)
        b.when(write, lambda: run(b, "note_write", host, size))
        return b.const(0)

    def other() -> Value:
        return b.cond(
            get(b, "access_fault").ne(0),
            lambda: b.const(1),
            lambda: b.call("access_device", va, desc, size, at, type=I64),
        )

    return b.cond(address(b, host).ne(0), memory, other, likely=True)


def copy() -> Function:
    """Copy `size` bytes; a size that hosts have is one access."""
    b = Builder("copy", args=(PTR, PTR, I64))
    to, source, size = b.args

    def move(t: Type, p: Value, q: Value) -> None:
        b.st(p, b.ld(q, t))

    def bytes_() -> None:
        def step(k: Value) -> tuple[Value, Sequence[Value]]:
            move(I8, b.ptradd(to, k), b.ptradd(source, k))
            return (k + 1).ult(size), (k + 1,)

        b.loop((b.const(0),), step)

    def choose(types: tuple[Type, ...]) -> None:
        if not types:
            bytes_()
            return
        b.cond(size.eq(types[0].bytes), lambda: move(types[0], to, source), lambda: choose(types[1:]))

    choose((I64, I32, I8, I16, I128))
    b.ret()
    return b.function


def note_write() -> Function:
    """A store of `size` bytes to a host address went past the TLB: tell where the page holds code.

    None is missed that another CPU's translation did not see.  A page that is no code page yet becomes one only when
    all CPUs that might still store to it directly have come to a block head.  In one that is, the translation marks all
    lines before it reads the page, and here the store comes before the look at the lines.
    """
    b = Builder("note_write", args=(PTR, I64))
    host, size = b.args
    offset = address(b, host) - address(b, get(b, "ram_host"))
    number = offset.lshr(12)

    def tell() -> None:
        guarded_callback(b, "code_write", offset + get(b, "ram_base"), size)

    def look() -> None:
        b.fence()
        lines = get(b, "code_lines")

        def marked() -> Value:
            # the lines that the store touches: it stays in one page
            low, high = offset.bits(6, 6), (offset + size - 1).bits(6, 6)
            touched = shl(b.const(-1), low) & shr(b.const(-1), 63 - high)
            now = b.ld(b.ptradd(lines, number << 3), I64)
            idle = lambda: b.cond(now.eq(0), often, lambda: b.const(0, I1))  # noqa: E731
            return b.cond((now & touched).ne(0), drop, idle)

        b.when(b.cond(address(b, lines).ne(0), marked, lambda: b.const(1, I1)), tell)

    def drop() -> Value:
        return b.call("drop_code", offset, size, type=I64).eq(0)

    def often() -> Value:
        # a page without code stays protected, as it may soon have code again; one that is stored to a lot does not
        stores = get(b, "idle_stores") + 1
        put(b, "idle_stores", stores)
        return (stores & (IDLE_STORES - 1)).eq(0)

    def in_ram() -> None:
        code = b.ld(b.ptradd(get(b, "ram_flags"), number), I8) & CODE_FLAG
        b.when(code.ne(0), look, likely=False)

    b.when(offset.ult(get(b, "ram_size")), in_ram, likely=True)
    b.ret()
    return b.function


# -- devices ----------------------------------------------------------------------------------------------------------
def _chunk(pa: Value, left: Value) -> Value:
    """Size of the next device access: a power of two up to 8, aligned, no more than is left."""
    aligned = (pa | 8) & (0 - (pa | 8))
    b = pa.builder
    return aligned.umin(shl(b.const(1), 63 - left.clz()))


def _device(b: Builder, va: Value, desc: Value, size: Value, at: Value) -> Value:
    """`size` bytes between env.scratch (from `at` on) and the device at env.access_pa."""
    start = get(b, "access_pa")
    done = b.cond(gicv2.mine(b, start, size), lambda: _interrupts(b, start, desc, at), lambda: b.const(0))
    return b.cond(
        done.ne(0), lambda: b.const(0), lambda: b.call("access_python", va, desc, size, at, type=I64), likely=False
    )


def _interrupts(b: Builder, pa: Value, desc: Value, at: Value) -> Value:
    """The interrupt controller's registers that are used all the time; gives 0 where this is none of them."""
    place = b.ptradd(b.env(), at + ENV.scratch)

    def write() -> Value:
        return b.call("gicv2_store", pa, b.ld(place, I32).zext(I64), type=I64)

    def read() -> Value:
        value = b.call("gicv2_load", pa, type=I64)
        b.when(value.ne(-1), lambda: b.st(place, value), likely=True)
        return flag(b, value.ne(-1))

    return b.cond(has(desc, WRITE), write, read)


def _python(b: Builder, va: Value, desc: Value, size: Value, at: Value) -> Value:
    """The same for all other devices, in aligned accesses."""
    start = get(b, "access_pa")
    put(b, "bus_fault", 0)

    def read(pa: Value, chunk: Value, place: Value) -> None:
        b.st(place, guarded_callback(b, "mmio_read", b.env(), pa, chunk, type=I64))

    def write(pa: Value, chunk: Value, place: Value) -> None:
        value = b.ld(place, I64) & shr(b.const(-1), 64 - (chunk << 3))
        guarded_callback(b, "mmio_write", b.env(), pa, chunk, value)

    def body(done: Value, _failed: Value) -> tuple[Value, Sequence[Value]]:
        pa, place = start + done, b.ptradd(b.env(), at + done + ENV.scratch)
        chunk = _chunk(pa, size - done)
        b.cond(has(desc, WRITE), lambda: write(pa, chunk, place), lambda: read(pa, chunk, place))
        failed = flag(b, get(b, "bus_fault").ne(0))
        done = done + b.select(failed.eq(0), chunk, b.const(0))
        return failed.eq(0) & done.ult(size), (done, failed)

    done, failed = b.loop((b.const(0), b.const(0)), body)
    return b.cond(failed.eq(0), lambda: b.const(0), lambda: _fault(b, va + done, desc, w.EXTERNAL), likely=True)


# -- host pointers ----------------------------------------------------------------------------------------------------
def _slow_probe(b: Builder, va: Value, desc: Value) -> Value:
    """ATOMIC (exclusive stores, atomics): naturally aligned.  Without: DC ZVA, which clears ZVA_SIZE bytes around va.

    Gives the address of the aligned `size` bytes that va is in.  Whoever then writes there calls note_write.
    """
    size = _size(desc)
    zero = ~has(desc, ATOMIC)

    def go(desc: Value) -> Value:
        host = b.call("data_page", va, desc, type=PTR)

        def found() -> Value:
            b.stenv(ENV.scratch, b.ptradd(host, 0 - b.select(zero, va & (size - 1), b.const(0))))
            return b.const(0)

        def none() -> Value:
            # nothing answers an atomic access to a device; DC ZVA has an external abort there
            status = b.select(zero, b.const(w.EXTERNAL), b.const(w.UNSUPPORTED_ATOMIC))
            return b.cond(get(b, "access_fault").ne(0), lambda: b.const(1), lambda: _fault(b, va, desc, status))

        return b.cond(address(b, host).ne(0), found, none, likely=True)

    # DC ZVA takes no alignment fault for its address, but one for Device memory
    return b.cond(zero, lambda: _watched(b, va, desc | MISALIGNED, go), lambda: _checked(b, va, desc, go))


# -- default ----------------------------------------------------------------------------------------------------------
def watch_check() -> Function:
    """Stands in until there are watchpoints: none hits."""
    b = Builder("watch_check", ret=I64, args=(I64, I64))
    b.ret(b.const(0))
    return b.function


def watched_page() -> Function:
    """Stands in as well: any page may be watched."""
    b = Builder("watched_page", ret=I64, args=(I64,))
    b.ret(b.const(1))
    return b.function


def functions() -> list[Function]:
    access = (I64, I64)
    piece = (I64, I64, I64, I64)
    rare = (
        data_fault_at(),
        _function("access_device", _device, *piece),
        _function("access_python", _python, *piece),
        _function("access_across", _across, *access),
        _function("slow_probe", _slow_probe, *access),
        watch_check(),
        watched_page(),
    )
    return [
        *cold(rare),
        access_check(),
        data_fill(),
        data_page(),
        copy(),
        note_write(),
        _function("access_piece", _piece, *piece),
        _function("slow_load", _slow_access, *access),
        _function("slow_store", _slow_store, *access),
    ]
