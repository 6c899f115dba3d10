"""Stage 1 translation of EL1 and EL0 in IR: what TCR_EL1, TTBRn_EL1 and the tables in memory say about an address.

`walk(va)` knows no privilege and no kind of access.  It gives one number:

    63      1: no translation; bits 5..0 are the status code (DFSC or IFSC)
    62..58  log2 of the size of the page or block, minus 12
    57..56  shareability          55..48  memory attributes, as a byte of MAIR_EL1
    47..12  physical address of the 4 KiB page that holds the byte, whatever the granule
    11..10  level of the descriptor
    9..0    what may be done with it, by whom: the constants below

Manual: Arm ARM D8 (VMSAv8-64), without stage 2, LPA, LVA and hardware management of flags.
"""

from __future__ import annotations

from jit.ir import Builder, Function, Value
from jit.types import I8, I64, PTR
from targets.arm.state import cold, flag, get, guarded_callback, put, shl, shr

READ_EL0, WRITE_EL0, READ_EL1, WRITE_EL1, EXEC_EL0, EXEC_EL1, DEVICE, NOT_GLOBAL = (1 << n for n in range(8))
EL1_SHIFT = 2  # from the EL0 bits of reading and writing to those of EL1
LEVEL_SHIFT, ATTR_SHIFT, SH_SHIFT, SIZE_SHIFT = 10, 48, 56, 58
PA_MASK = 0x0000_FFFF_FFFF_F000
FAULT = 1 << 63
SIZE_2M = (21 - 12) << SIZE_SHIFT  # a result of at least this (unsigned, no fault) is a block

# Status codes; the level is added where there is one
ADDRESS_SIZE, TRANSLATION, ACCESS_FLAG, PERMISSION = 0x00, 0x04, 0x08, 0x0C
EXTERNAL, EXTERNAL_ON_WALK, ALIGNMENT, UNSUPPORTED_ATOMIC = 0x10, 0x14, 0x21, 0x35

SCTLR_M, SCTLR_A, SCTLR_WXN, SCTLR_EE = 0, 1, 19, 25
TCR_A1, TCR_AS, TCR_TBI0 = 22, 36, 37
T_SIZE_MIN, T_SIZE_MAX = 16, 39

_OUTPUT_BITS = int.from_bytes(bytes((32, 36, 40, 42, 44, 48, 48, 48)), "little")  # by TCR_EL1.IPS


def granule_table(granules: tuple[int, ...] = (12, 16)) -> int:
    """env.granules: half the log2 of the granule that TG0 (nibbles 0..3) and TG1 (nibbles 4..7) select.

    A value that is reserved, or names a granule that the CPU has not, selects the smallest it has.
    """
    wanted = (12, 16, 14, 0, 0, 14, 12, 16)
    chosen = [g if g in granules else min(granules) for g in wanted]
    return sum(g // 2 << 4 * n for n, g in enumerate(chosen))


def granule(b: Builder, tcr: Value, high: Value) -> Value:
    """log2 of the granule of the lower or (high = 1) upper half of the address space."""
    half = shr(tcr, high << 4)
    return (shr(get(b, "granules"), (half.lshr(12) & 12) | (high << 4)) & 15) << 1


def _read_descriptor(b: Builder, pa: Value) -> Value:
    offset = pa - get(b, "ram_base")
    value = b.cond(
        offset.ult(get(b, "ram_size")),
        lambda: b.ld(b.ptradd(get(b, "ram_host"), offset), I64),
        lambda: b.call("walk_read", pa, type=I64),
        likely=True,
    )
    return b.cond(get(b, "sctlr_el1").bit(SCTLR_EE), lambda: value.bswap(), lambda: value, likely=False)


def walk_read() -> Function:
    """A descriptor outside main memory.  Where nothing answers: env.walk_abort, and an invalid descriptor."""
    b = Builder("walk_read", ret=I64, args=(I64,))
    (pa,) = b.args
    page = guarded_callback(b, "resolve", pa & -4096, type=PTR)
    number = b.op("ptrtoint", page, type=I64)

    def found() -> Value:
        return b.ld(b.ptradd(page, (pa & 4095) - (number & 1)), I64)

    def missing() -> Value:
        put(b, "walk_abort", 1)
        return b.const(0)

    b.ret(b.cond(number.ne(0), found, missing))
    return b.function


def walk() -> Function:
    b = Builder("walk", ret=I64, args=(I64,))
    (va,) = b.args
    out = b.cond(
        get(b, "sctlr_el1").bit(SCTLR_M),
        lambda: b.call("walk_tables", va, type=I64),
        lambda: b.call("walk_off", va, type=I64),
        likely=True,
    )
    b.ret(out)
    return b.function


def walk_off() -> Function:
    """With the MMU off an address is its own translation, Device-nGnRnE, if it is no wider than the CPU's addresses."""
    b = Builder("walk_off", ret=I64, args=(I64,))
    (va,) = b.args
    tbi = shr(get(b, "tcr_el1"), va.bits(55, 1) + TCR_TBI0) & 1
    used = va & shr(b.const(-1), tbi << 3)
    everything = READ_EL0 | WRITE_EL0 | READ_EL1 | WRITE_EL1 | EXEC_EL0 | EXEC_EL1 | NOT_GLOBAL
    device = b.select(get(b, "flat").ne(0), b.const(0), b.const(DEVICE))
    b.ret(
        b.select(
            shr(used, get(b, "pa_bits")).ne(0), b.const(FAULT | ADDRESS_SIZE), (va & PA_MASK) | everything | device
        )
    )
    return b.function


class _Regime:
    """What TCR_EL1 and TTBRn_EL1 say about the half of the address space that `va` is in."""

    def __init__(self, b: Builder, va: Value) -> None:
        tcr = get(b, "tcr_el1")
        high = va.bits(55, 1)
        half = shr(tcr, high << 4)
        size = half & 63
        self.input_bits = 64 - size
        self.grain = granule(b, tcr, high)
        self.stride = self.grain - 3
        table = b.const(_OUTPUT_BITS)
        self.output_bits = (shr(table, tcr.lshr(29) & 0x38) & 0xFF).umin(get(b, "pa_bits"))
        self.base = b.select(high.ne(0), get(b, "ttbr1_el1"), get(b, "ttbr0_el1")) & 0x0000_FFFF_FFFF_FFFE
        # bits above the input size must equal bit 55, but for the top byte where it is ignored
        tbi = shr(tcr, high + TCR_TBI0) & 1
        differ = (va ^ (0 - high)) & shr(b.const(-1), tbi << 3)
        out_of_bounds = (size - T_SIZE_MIN).ugt(T_SIZE_MAX - T_SIZE_MIN)
        disabled = half.bit(7)
        self.no_walk = out_of_bounds | disabled | shr(differ, self.input_bits).ne(0)

    def too_wide(self, address: Value) -> Value:
        return shr(address, self.output_bits).ne(0)

    def first(self, b: Builder) -> tuple[Value, Value, Value]:
        """(level, lowest address bit, index mask) of the first look-up."""
        shift, level = self.grain, b.const(3)
        for _ in range(3):
            more = flag(b, (shift + self.stride).ult(self.input_bits))
            shift, level = shift + self.stride * more, level - more
        return level, shift, shl(b.const(1), self.input_bits - shift) - 1


def walk_tables() -> Function:
    b = Builder("walk_tables", ret=I64, args=(I64,))
    (va,) = b.args
    regime = _Regime(b, va)

    def root_fault() -> Value:
        return b.select(regime.no_walk, b.const(FAULT | TRANSLATION), b.const(FAULT | ADDRESS_SIZE))

    b.ret(
        b.cond(regime.no_walk | regime.too_wide(regime.base), root_fault, lambda: _look_up(b, va, regime), likely=False)
    )
    return b.function


def _look_up(b: Builder, va: Value, r: _Regime) -> Value:
    level, shift, mask = r.first(b)
    table = r.base & ~((mask << 3) | 7)
    whole = shl(b.const(1), r.stride) - 1
    outputs = shl(b.const(-1), r.grain) & PA_MASK

    def step(
        table: Value, level: Value, shift: Value, mask: Value, limits: Value, _: Value
    ) -> tuple[Value, tuple[Value, ...]]:
        descriptor = _read_descriptor(b, table + ((shr(va, shift) & mask) << 3))
        output = descriptor & outputs
        deeper = (descriptor & 3).eq(3) & level.ne(3) & ~r.too_wide(output)
        shift = b.select(deeper, shift - r.stride, shift)
        limits = limits | b.select(deeper, descriptor, b.const(0))
        return deeper, (output, level + flag(b, deeper), shift, whole, limits, descriptor)

    output, level, shift, _, limits, descriptor = b.loop((table, level, shift, mask, b.const(0), b.const(0)), step)
    # bits 11 end the loop at level 3, or where the table is out of range; a block has bits 01, and not at every level
    block = level.eq(2) | (level.eq(1) & r.grain.eq(12))
    valid = descriptor.bit(0) & (descriptor.bit(1) | block)
    too_wide = r.too_wide(output)
    good = valid & ~too_wide & descriptor.bit(10)

    def fault() -> Value:
        status = b.select(valid, b.select(too_wide, b.const(ADDRESS_SIZE), b.const(ACCESS_FLAG)), b.const(TRANSLATION))
        return b.call("walk_fault", status + level, level, type=I64)

    return b.cond(good, lambda: _leaf(b, va, output, level, shift, limits, descriptor), fault, likely=True)


def walk_fault() -> Function:
    """The result for a fault: an invalid descriptor may be one that could not be read."""
    b = Builder("walk_fault", ret=I64, args=(I64, I64))
    status, level = b.args
    aborted = get(b, "walk_abort").ne(0)
    put(b, "walk_abort", b.const(0, I8))
    b.ret(b.select(aborted, level + EXTERNAL_ON_WALK, status) | FAULT)
    return b.function


def _leaf(b: Builder, va: Value, output: Value, level: Value, shift: Value, limits: Value, descriptor: Value) -> Value:
    """The result for a page or block descriptor; `limits` has the attributes of all tables above it."""
    # APTable, PXNTable and UXNTable (bits 62..59) shifted to where AP, PXN and UXN are
    ap = (descriptor & ~(limits.lshr(55) & 0x40)) | (limits.lshr(55) & 0x80)
    never = descriptor | limits.lshr(6)
    el0, writable = ap.bits(6, 1), ap.bits(7, 1) ^ 1
    el0_writes = el0 & writable
    wxn = get(b, "sctlr_el1").bits(SCTLR_WXN, 1)
    exec0 = (never.bits(54, 1) | (wxn & el0_writes)) ^ 1
    exec1 = (never.bits(53, 1) | el0_writes | (wxn & writable)) ^ 1
    rights = el0 | (el0_writes << 1) | READ_EL1 | (writable << 3) | (exec0 << 4) | (exec1 << 5)
    attributes = shr(get(b, "mair_el1"), (descriptor.lshr(2) & 7) << 3) & 0xFF
    device = flag(b, (attributes & 0xF0).eq(0)) << 6
    not_global = descriptor.lshr(11 - 7) & NOT_GLOBAL
    inside = shl(b.const(-1), shift)
    page = (output & inside) | (va & ~inside & PA_MASK)
    kind = (attributes << ATTR_SHIFT) | (descriptor.bits(8, 2) << SH_SHIFT) | ((shift - 12) << SIZE_SHIFT)
    return page | rights | device | not_global | (level << LEVEL_SHIFT) | kind


def functions() -> list[Function]:
    return [*cold((walk_read(), walk_fault(), walk_off())), walk_tables(), walk()]
