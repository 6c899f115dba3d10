"""What a CPU does often with a GICv2 (Arm IHI 0048B), as runtime functions in IR: acknowledge, end, mask, SGIs.

Its CPU interface is memory-mapped; slow_access.py asks here before it asks Python.  Arbitration is gic.py's, and so are
the rules for state that is shared.  The active priorities and the binary points are kept as the GICv3's.
"""

from __future__ import annotations

from jit.ir import Builder, Function, Value
from jit.types import I32, I64, I128
from targets.arm import gic
from targets.arm.env import ENV
from targets.arm.gic import INTID_SHIFT, PRIORITY_SHIFT
from targets.arm.gic_state import ACK_CTL, EOI_MODE, SPURIOUS
from targets.arm.state import get, put, run, shl, shr

OTHER_GROUP = 1022  # something to acknowledge, but only through the group 1 aliases
SGIS = 16
# Offsets in the CPU interface
PMR, IAR, EOIR = 0x04, 0x0C, 0x10
WINDOW = 0x14  # up to here, native code looks


def _visible(b: Builder, best: Value, group1_view: Value) -> Value:
    """The INTID that (A)HPPIR and (A)IAR show of the most urgent interrupt; a special one where that is hidden."""
    passes, group1 = best.lshr(PRIORITY_SHIFT).ult(get(b, "icc_pmr")), (best & 1).ne(0)
    intid = best.lshr(INTID_SHIFT) & 0xFFFF
    other = group1 & (get(b, "icc_ctlr") & ACK_CTL).eq(0)
    shown = b.select(group1_view.ne(0), b.select(group1, intid, SPURIOUS), b.select(other, b.const(OTHER_GROUP), intid))
    return b.select(passes, shown, SPURIOUS)


class _Sources:
    """The CPUs that have sent an SGI: a byte, which is changed as part of its word."""

    def __init__(self, b: Builder, env: Value, intid: Value) -> None:
        self._b = b
        self.word = b.ptradd(env, (intid & ~3) + ENV.gic_sources)
        self._shift = (intid & 3) << 3

    def mask(self, cpus: Value) -> Value:
        return shl(cpus, self._shift).trunc(I32)

    def of(self, word: Value) -> Value:
        return shr(word.zext(I64), self._shift) & 0xFF

    def read(self) -> Value:
        return self.of(self._b.ld(self.word, I32))


def gicv2_pending() -> Function:
    """GICC_HPPIR, or GICC_AHPPIR (1)."""
    b = Builder("gicv2_pending", ret=I64, args=(I64,))
    intid = _visible(b, b.call("gic_best", type=I64), b.args[0])
    sender = b.cond(
        intid.ult(SGIS),
        lambda: (_Sources(b, b.env(), intid).read() | 1 << 8).ctz() & 7,  # 0 where there is none
        lambda: b.const(0),
    )
    b.ret(intid | sender << 10)
    return b.function


def gicv2_acknowledge() -> Function:
    """GICC_IAR, or GICC_AIAR (1): the interrupt becomes active and its priority the running one."""
    b = Builder("gicv2_acknowledge", ret=I64, args=(I64,))
    best = b.call("gic_best", type=I64)
    intid = _visible(b, best, b.args[0])
    preempts = best.lshr(PRIORITY_SHIFT).ult(gic.running_priority(b))

    def take() -> Value:
        return b.cond(intid.ult(SGIS), lambda: _take_sgi(b, best, intid), lambda: gic.activate(b, best))

    special = intid.uge(OTHER_GROUP)
    refused = b.select(special, intid, SPURIOUS)
    b.ret(b.cond(special | ~preempts, lambda: refused, take))
    return b.function


def _take_sgi(b: Builder, best: Value, intid: Value) -> Value:
    """One sender's SGI.  It stays pending while there are others'."""
    sources, bit = _Sources(b, b.env(), intid), shl(b.const(1), intid).trunc(I32)
    latched = b.ptradd(b.env(), ENV.gic_latched)
    sender = (sources.read() | 1 << 8).ctz()
    mask = sources.mask(shl(b.const(1), sender) & 0xFF)
    left = sources.of(b.rmw("and", sources.word, ~mask) & ~mask)

    def last() -> None:
        b.rmw("and", latched, ~bit)
        b.fence()
        b.when(sources.read().ne(0), lambda: b.rmw("or", latched, bit))  # another one was just sent

    b.when(left.eq(0), last, likely=True)

    def taken() -> Value:
        b.rmw("or", b.ptradd(b.env(), ENV.gic_active), bit)
        gic.raise_priority(b, best)
        b.call("gic_update", type=I64)
        return intid | sender << 10

    # without a sender, it was taken with the one before, as it came in
    return b.cond(sender.ne(8), taken, lambda: b.const(SPURIOUS), likely=True)


def gicv2_end() -> Function:
    """GICC_EOIR, or GICC_AEOIR (1), of a value: priority drop, and deactivation unless GICC_DIR does that."""
    b = Builder("gicv2_end", args=(I64, I64))
    intid, group1_view = b.args[0] & 0x3FF, b.args[1]
    runs = (get(b, "icc_apr", 0) | get(b, "icc_apr", 1)).ne(0)

    def drop() -> None:
        group = gic.group_of(b, intid)

        def end() -> None:
            at = gic.active_priorities(b, group)
            priorities = b.ldenv(at, I128)
            b.stenv(at, priorities & (priorities - 1))
            b.when((get(b, "icc_ctlr") & EOI_MODE).eq(0), lambda: run(b, "gic_deactivate", intid))
            b.call("gic_update", type=I64)

        b.when(group1_view.eq(0) | group.ne(0), end, likely=True)

    b.when(runs & intid.ult(gic.shared(b, "lines")), drop, likely=True)
    b.ret()
    return b.function


def gicv2_send_sgi() -> Function:
    """GICD_SGIR of a value; the reserved filter sends to nobody."""
    b = Builder("gicv2_send_sgi", args=(I64,))
    (value,) = b.args
    me, intid, how = get(b, "gic_index").zext(I64), value & 15, value.bits(24, 2)
    own = shl(b.const(1), me)
    some = b.select(how.eq(0), value.bits(16, 8), b.select(how.eq(1), ~own, b.select(how.eq(2), own, b.const(0))))

    def step(cpu: Value) -> tuple[Value, tuple[Value]]:
        def send() -> None:
            env = gic.env_of(b, cpu)
            sources = _Sources(b, env, intid)
            b.rmw("or", sources.word, sources.mask(own))
            b.rmw("or", b.ptradd(env, ENV.gic_latched), shl(b.const(1), intid).trunc(I32))
            gic.tell(b, cpu, env)

        b.when((shr(some, cpu) & 1).ne(0), send)
        return (cpu + 1).ult(gic.shared(b, "cpus")), (cpu + 1,)

    b.loop((b.const(0),), step)
    b.ret()
    return b.function


# -- memory-mapped ----------------------------------------------------------------------------------------------------
def mine(b: Builder, pa: Value, size: Value) -> Value:
    """i1: a device access that is worth asking gicv2_load or gicv2_store about."""
    near = (pa - get(b, "gicc_at")).ult(WINDOW) | pa.eq(get(b, "gicd_sgir_at"))
    return near & size.eq(4) & get(b, "gicc_at").ne(0)


def gicv2_load() -> Function:
    """The word at a physical address, or all ones where Python must be asked."""
    b = Builder("gicv2_load", ret=I64, args=(I64,))
    acknowledge = (b.args[0] - get(b, "gicc_at")).eq(IAR)
    zero = b.const(0)
    b.ret(b.cond(acknowledge, lambda: b.call("gicv2_acknowledge", zero, type=I64), lambda: b.const(-1), likely=True))
    return b.function


def gicv2_store() -> Function:
    """(physical address, value) 1, or 0 where Python must be asked."""
    b = Builder("gicv2_store", ret=I64, args=(I64, I64))
    pa, value = b.args
    offset = pa - get(b, "gicc_at")

    def mask() -> None:
        put(b, "icc_pmr", value & 0xFF)
        b.call("gic_update", type=I64)

    one, look = b.const(1), b.const(1, I32)
    end, masks, sends = offset.eq(EOIR), offset.eq(PMR), pa.eq(get(b, "gicd_sgir_at"))
    b.when(end, lambda: run(b, "gicv2_end", value, b.const(0)), likely=True)
    b.when(masks, mask)
    b.when(sends, lambda: run(b, "gicv2_send_sgi", value))
    # what may come in now does so at the next block head
    b.when(get(b, "irq_lines").ne(0), lambda: put(b, "attn", look))
    b.ret(b.select(end | masks | sends, one, b.const(0)))
    return b.function


def functions() -> list[Function]:
    return [
        gicv2_pending(), gicv2_acknowledge(), gicv2_end(), gicv2_send_sgi(), gicv2_load(), gicv2_store(),
    ]  # fmt: skip
