"""The interrupt controller as far as it is on the interrupt path: runtime functions in IR (Arm IHI 0069, chapter 4).

Which interrupt is the most urgent, what a CPU's inputs show, acknowledge, end, deactivation, and interrupts that CPUs
send each other.  State and the rules for sharing it are in gic_state.py; all functions are of the CPU that calls them.
"""

from __future__ import annotations

from collections.abc import Callable

from jit.ir import Builder, Function, Value
from jit.types import I8, I32, I64, I128, PTR
from targets.arm.env import ENV
from targets.arm.exits import Event
from targets.arm.gic_state import CBPR, CLUSTER, EOI_MODE, FIQ_EN, GIC, IDLE_PRIORITY, PRIVATE, SPURIOUS
from targets.arm.state import address, flag, get, guarded_callback, put, shl, shr

# An interrupt as one number, the smallest being the most urgent: priority, INTID, group
PRIORITY_SHIFT, INTID_SHIFT = 24, 8
NOTHING = IDLE_PRIORITY << PRIORITY_SHIFT | SPURIOUS << INTID_SHIFT


def present(b: Builder) -> Value:
    """i1: this CPU has an interrupt controller whose state is shared."""
    return address(b, get(b, "gic")).ne(0)


def shared(b: Builder, name: str) -> Value:
    """A single field of the block as i64."""
    return b.ld(b.ptradd(get(b, "gic"), GIC[name].offset), GIC[name].type).zext(I64)


def _word(b: Builder, name: str, number: Value) -> Value:
    return b.ld(b.ptradd(get(b, "gic"), (number << 2) + GIC[name].offset), I32)


# -- the most urgent interrupt ----------------------------------------------------------------------------------------
def gic_best() -> Function:
    """The most urgent interrupt of this CPU whose group is enabled, here and in the distributor; or NOTHING."""
    b = Builder("gic_best", ret=I64)
    groups = (shared(b, "groups") & get(b, "icc_groups")).trunc(I32)
    zero, group1 = b.const(0, I32), b.select((groups & 2).ne(0), b.const(-1, I32), b.const(0, I32))
    group0 = b.select((groups & 1).ne(0), b.const(-1, I32), zero)

    def deliverable(read: Callable[[str], Value]) -> Value:
        pending = read("latched") | (read("level") & ~read("edge"))
        forwarded = (read("group") & group1) | (~read("group") & group0)
        return pending & read("enabled") & ~read("active") & forwarded

    def better(best: Value, bits: Value, first: Value | int, priorities: Value, group: Value) -> Value:
        """The best of `best` and the interrupts in `bits`, of which there is one at least."""

        def step(bits: Value, best: Value) -> tuple[Value, tuple[Value, Value]]:
            n = bits.ctz()
            priority = b.ld(b.ptradd(priorities, n), I8).zext(I64)
            found = priority << PRIORITY_SHIFT | (n + first) << INTID_SHIFT | (shr(group, n) & 1)
            rest = bits & (bits - 1)
            return rest.ne(0), (rest, best.umin(found))

        return b.loop((bits, best), step)[1]

    own = deliverable(lambda name: get(b, f"gic_{name}")).zext(I64)
    own_priorities, own_group = b.ptradd(b.env(), ENV.gic_priority), get(b, "gic_group").zext(I64)
    nothing = b.const(NOTHING)
    best = b.cond(own.ne(0), lambda: better(nothing, own, 0, own_priorities, own_group), lambda: nothing)
    words = shared(b, "lines").lshr(5)

    def look(number: Value, best: Value) -> tuple[Value, tuple[Value, Value]]:
        targets = b.ldenv((number << 2) + ENV.gic_targets, I32)
        bits = (deliverable(lambda name: _word(b, name, number)) & targets).zext(I64)
        priorities = b.ptradd(get(b, "gic"), (number << 5) + GIC.priority)

        def found() -> Value:
            return better(best, bits, number << 5, priorities, _word(b, "group", number).zext(I64))

        best = b.cond(bits.ne(0), found, lambda: best, likely=False)
        return (number + 1).ult(words), (number + 1, best)

    b.ret(b.loop((b.const(1), best), look)[1])
    return b.function


# -- priorities -------------------------------------------------------------------------------------------------------
def active_priorities(b: Builder, group: Value) -> Value:
    """Offset in the state of a group's active priorities: bit n stands for preemption level n."""
    return group * 16 + ENV.icc_apr


def running_priority(b: Builder) -> Value:
    """Of the most urgent interrupt that is active and has not been ended; IDLE_PRIORITY where there is none."""
    both = get(b, "icc_apr", 0) | get(b, "icc_apr", 1)
    priority = shl(both.ctz().trunc(I64), shared(b, "level_shift"))
    return b.select(both.eq(0), b.const(IDLE_PRIORITY), priority)


def _group_priority_mask(b: Builder, group: Value) -> Value:
    """The part of a priority that decides about preemption, by the binary point of the group."""
    own = group.ne(0) & (get(b, "icc_ctlr") & CBPR).eq(0)
    # the Non-secure view of group 1's binary point is one more
    return shl(b.const(-1), b.select(own, get(b, "icc_bpr1"), get(b, "icc_bpr0") + 1))


def _signalled(b: Builder, best: Value) -> Value:
    """i1: the interrupt passes the mask and preempts what runs."""
    priority, group = best.lshr(PRIORITY_SHIFT), best & 1
    running, mask = running_priority(b), _group_priority_mask(b, group)
    mask = b.select(_version2(b), b.const(-1), mask)  # what runs has been masked
    preempts = (priority & mask).ult(running & mask) | running.eq(IDLE_PRIORITY)
    return priority.ult(get(b, "icc_pmr")) & preempts


def _version2(b: Builder) -> Value:
    return shared(b, "version").eq(2)


def gic_update() -> Function:
    """Decide what this CPU's inputs show: gives irq_lines.  Group 0 is signalled as FIQ, in version 2 if it says so."""
    b = Builder("gic_update", ret=I64)
    best = b.call("gic_best", type=I64)
    as_fiq = (best & 1).eq(0) & ((get(b, "icc_ctlr") & FIQ_EN).ne(0) | ~_version2(b))
    lines = flag(b, _signalled(b, best)) << b.select(as_fiq, b.const(1), b.const(0))
    put(b, "irq_lines", lines.trunc(I32))
    b.ret(lines)
    return b.function


# -- acknowledge and end ----------------------------------------------------------------------------------------------
def _place(b: Builder, name: str, intid: Value) -> Value:
    """Address of the word that has the bit of an interrupt."""
    shared = b.ptradd(get(b, "gic"), (intid.lshr(5) << 2) + GIC[name].offset)
    return b.select(intid.ult(PRIVATE), b.ptradd(b.env(), ENV[f"gic_{name}"].offset), shared)


def _bit(b: Builder, intid: Value) -> Value:
    return shl(b.const(1), intid & 31).trunc(I32)


def gic_acknowledge() -> Function:
    """ICC_IAR<n>_EL1 (group): the interrupt becomes active and its priority the running one; gives the INTID."""
    b = Builder("gic_acknowledge", ret=I64, args=(I64,))
    best = b.call("gic_best", type=I64)
    mine = _signalled(b, best) & (best & 1).eq(b.args[0])
    b.ret(b.cond(mine, lambda: activate(b, best), lambda: b.const(SPURIOUS)))
    return b.function


def activate(b: Builder, best: Value) -> Value:
    intid = best.lshr(INTID_SHIFT) & 0xFFFF
    latched, active, bit = _place(b, "latched", intid), _place(b, "active", intid), _bit(b, intid)
    # in this order, so that an edge from now on makes it pending once more
    was_latched = b.rmw("and", latched, ~bit) & bit
    was_active = b.rmw("or", active, bit) & bit

    def won() -> Value:
        raise_priority(b, best)
        b.call("gic_update", type=I64)
        return intid

    def lost() -> Value:
        """Another CPU took it since gic_best: what became pending meanwhile stays so."""
        b.rmw("or", latched, was_latched)
        return b.const(SPURIOUS)

    return b.cond(was_active.eq(0), won, lost, likely=True)


def raise_priority(b: Builder, best: Value) -> None:
    """The priority of an interrupt that was acknowledged is the running one."""
    group = best & 1
    priority = best.lshr(PRIORITY_SHIFT) & _group_priority_mask(b, group)
    at = active_priorities(b, group)
    level = shr(priority & 0xFF, shared(b, "level_shift"))
    b.stenv(at, b.ldenv(at, I128) | b.const(1, I128) << level.zext(I128))


def group_of(b: Builder, intid: Value) -> Value:
    """0 or 1."""
    return shr(b.ld(_place(b, "group", intid), I32).zext(I64), intid & 31) & 1


def gic_end() -> Function:
    """ICC_EOIR<n>_EL1 (value, group): priority drop, and deactivation unless ICC_DIR_EL1 does that."""
    b = Builder("gic_end", args=(I64, I64))
    intid, group = b.args[0] & 0xFF_FFFF, b.args[1]
    apr0, apr1 = get(b, "icc_apr", 0), get(b, "icc_apr", 1)
    other = b.select(group.eq(0), apr1, apr0)
    mine = b.select(group.eq(0), apr0, apr1)
    # of the group of the running priority only; at equal priorities that is group 0
    lowest, limit = mine & (0 - mine), other & (0 - other)
    before = b.select(group.eq(0), lowest.ule(limit), lowest.ult(limit))
    runs = mine.ne(0) & (before | other.eq(0))

    def drop() -> None:
        b.stenv(active_priorities(b, group), mine & (mine - 1))
        b.when((get(b, "icc_ctlr") & EOI_MODE).eq(0), lambda: b.call("gic_deactivate", intid))
        b.call("gic_update", type=I64)

    b.when(intid.ult(shared(b, "lines")) & runs, drop, likely=True)
    b.ret()
    return b.function


def gic_deactivate() -> Function:
    """(INTID) It is no longer active; the caller updates this CPU's inputs."""
    b = Builder("gic_deactivate", args=(I64,))
    (intid,) = b.args

    def known() -> None:
        bit = _bit(b, intid)
        b.rmw("and", _place(b, "active", intid), ~bit)
        here = b.ldenv((intid.lshr(5) << 2) + ENV.gic_targets, I32)
        elsewhere = intid.uge(PRIVATE) & ((here & bit).eq(0) | _version2(b))  # version 2 sends it to several
        b.when(elsewhere, lambda: b.call("gic_tell_targets", intid), likely=False)

    b.when(intid.ult(shared(b, "lines")), known, likely=True)
    b.ret()
    return b.function


# -- other CPUs -------------------------------------------------------------------------------------------------------
def env_of(b: Builder, cpu: Value) -> Value:
    return b.ld(b.ptradd(get(b, "gic"), (cpu << 3) + GIC["env"].offset), PTR)


def tell(b: Builder, cpu: Value, env: Value) -> None:
    """Make a CPU look at its interrupts, and wake it up where it sleeps."""
    b.fence()
    b.st(b.ptradd(env, ENV.attn), b.const(1, I32))
    b.fence()
    waiting = b.ld(b.ptradd(env, ENV.waiting), I32).ne(0)
    b.when(waiting, lambda: guarded_callback(b, "event", b.env(), b.const(Event.WAKE), cpu), likely=False)


def gic_tell_targets() -> Function:
    """(INTID) A shared interrupt changed: the other CPUs that it is sent to shall look."""
    b = Builder("gic_tell_targets", args=(I64,))
    (intid,) = b.args

    def step(cpu: Value) -> tuple[Value, tuple[Value]]:
        env = env_of(b, cpu)
        targets = b.ld(b.ptradd(env, (intid.lshr(5) << 2) + ENV.gic_targets), I32)
        me = cpu.eq(get(b, "gic_index").zext(I64))
        b.when((targets & _bit(b, intid)).ne(0) & ~me, lambda: tell(b, cpu, env))
        return (cpu + 1).ult(shared(b, "cpus")), (cpu + 1,)

    b.loop((b.const(0),), step)
    b.ret()
    return b.function


def gic_pend_sgi() -> Function:
    """(CPU, INTID, group) Make an SGI pending on a CPU, if it exists and has the SGI in that group."""
    b = Builder("gic_pend_sgi", args=(I64, I64, I64))
    cpu, intid, group = b.args

    def pend() -> None:
        env = env_of(b, cpu)
        of = shr(b.ld(b.ptradd(env, ENV.gic_group), I32).zext(I64), intid) & 1

        def send() -> None:
            b.rmw("or", b.ptradd(env, ENV.gic_latched), _bit(b, intid))
            tell(b, cpu, env)

        b.when(of.eq(group), send, likely=True)

    b.when(cpu.ult(shared(b, "cpus")), pend, likely=True)
    b.ret()
    return b.function


def gic_send_sgi() -> Function:
    """ICC_SGI0R_EL1, ICC_SGI1R_EL1 (value, group)."""
    b = Builder("gic_send_sgi", args=(I64, I64))
    value, group = b.args
    intid, targets = value.bits(24, 4), value & 0xFFFF
    others = value.bit(40)
    # Aff3.Aff2 and the range selector: no CPU has another number there than 0
    elsewhere = (value & (0xFF << 48 | 0xF << 44 | 0xFF << 32)).ne(0)

    def everyone() -> None:
        def step(cpu: Value) -> tuple[Value, tuple[Value]]:
            me = cpu.eq(get(b, "gic_index").zext(I64))
            b.when(~me, lambda: b.call("gic_pend_sgi", cpu, intid, group))
            return (cpu + 1).ult(shared(b, "cpus")), (cpu + 1,)

        b.loop((b.const(0),), step)

    def listed() -> None:
        first = value.bits(16, 8) * CLUSTER[3]

        def step(targets: Value) -> tuple[Value, tuple[Value]]:
            b.call("gic_pend_sgi", first + targets.ctz(), intid, group)
            rest = targets & (targets - 1)
            return rest.ne(0), (rest,)

        b.when(targets.ne(0) & ~elsewhere, lambda: b.loop((targets,), step), likely=True)

    b.cond(others, everyone, listed, likely=False)
    b.ret()
    return b.function


# -- for the device model ---------------------------------------------------------------------------------------------
def _atomic(name: str, kind: str, inverted: bool) -> Function:
    """(address, bits) The device model's way to change a word that others change as well."""
    b = Builder(name, args=(PTR, I64))
    bits = b.args[1].trunc(I32)
    b.rmw(kind, b.args[0], ~bits if inverted else bits)
    b.fence()
    b.ret()
    return b.function


def interrupt_poll() -> Function:
    """What this CPU's inputs show now, timers included; for whoever does not come by `attention`."""
    b = Builder("interrupt_poll", ret=I64)
    b.fence()

    def look() -> Value:
        b.call("timer_update")
        return b.call("gic_update", type=I64)

    b.ret(b.cond(present(b), look, lambda: get(b, "irq_lines").zext(I64)))
    return b.function


def functions() -> list[Function]:
    return [
        gic_best(), gic_update(), gic_acknowledge(), gic_end(), gic_deactivate(), gic_tell_targets(), gic_pend_sgi(),
        gic_send_sgi(), interrupt_poll(), _atomic("set_bits", "or", False), _atomic("clear_bits", "and", True),
    ]  # fmt: skip
