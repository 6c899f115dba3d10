"""What the CPUs of a machine ask of each other: TLB maintenance (D8.13, the Inner Shareable forms), protection of code
pages, events (D1.6).  Runtime functions in IR: none of it needs Python while CPUs run.

All CPUs share one *log* of requests, a ring.  Whoever asks appends; each CPU applies what is new at its block heads,
where no translation is in use, and says in env.log_done how far it is.  A CPU that runs no guest code (env.running is
0) need not be told: it catches up before it does again.  DSB waits for the others, and so does a translation that must
know all stores to its page; both make the others look (env.attn).  While one waits it catches up itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jit.ir import Builder, Function, Value
from jit.types import I8, I16, I32, I64, PTR
from targets.arm.access import ADDEND, PAGE_MASK, TAG_READ
from targets.arm.env import CALLBACK_AT, ENV
from targets.arm.exits import Event
from targets.arm.state import CLOCK_MONOTONIC, address, cold, count, get, guarded_callback, put, run
from targets.arm.tlb import entry

if TYPE_CHECKING:
    from targets.arm.cpu import ArmCpu

# The shared memory: where the log ends (64 bits), the addresses of the CPUs' states, the log
HEAD, CPUS_AT, LOG_AT = 0, 64, 8192
MAX_CPUS = (LOG_AT - CPUS_AT) // 8
LOG_BITS, ENTRY_BITS = 10, 5
SIZE = LOG_AT + (1 << LOG_BITS + ENTRY_BITS)
KIND, OPERAND = 8, 16  # of an entry, behind its number in the log plus 1

# Kinds of requests: TLBI with its operand (VA<55:12> in bits 43..0, the ASID in bits 63..48), or a page's first code
TLBI_KINDS = ("tlbi_all", "tlbi_asid", "tlbi_va", "tlbi_va_all_asid")
PROTECT = len(TLBI_KINDS)

MOST = 64  # requests that are cheaper one by one than a TLB that must be filled again
# How to wait: so many looks, then sleep (us) before each, and longer each time: on a host with too few CPUs, somebody
# else must run, and who slept is run before who didn't.  At last WFE asks the machine to sleep.
SPINS, PAUSE, LONGER, LONGEST_PAUSE, MOST_PAUSES = 200, 20, 5, 200, 50


def _shared(b: Builder, name: str) -> Value:
    """A field of this CPU's state that other threads write."""
    return b.ld(b.ptradd(b.env(), ENV[name].offset), ENV[name].type, "acquire")


def _of(b: Builder, cpu: Value, name: str) -> Value:
    """A field of another CPU's state."""
    return b.ld(b.ptradd(cpu, ENV[name].offset), ENV[name].type, "acquire")


def _head(b: Builder) -> Value:
    return b.ld(b.ptradd(get(b, "shared"), HEAD), I64, "acquire")


def _entry(b: Builder, position: Value) -> Value:
    return b.ptradd(get(b, "shared"), ((position & (1 << LOG_BITS) - 1) << ENTRY_BITS) + LOG_AT)


# -- the log ----------------------------------------------------------------------------------------------------------
def request() -> Function:
    """Append a request (kind, operand); gives what env.log_done of those who have done it is, at least."""
    b = Builder("request", ret=I64, args=(I64, I64))
    kind, operand = b.args
    position = b.rmw("add", b.ptradd(get(b, "shared"), HEAD), b.const(1))
    at, after = _entry(b, position), position + 1
    b.st(b.ptradd(at, KIND), kind)
    b.st(b.ptradd(at, OPERAND), operand)
    b.st(at, after, "release")
    put(b, "log_issued", after)
    count(b, "n_request")
    b.ret(after)
    return b.function


def catch_up() -> Function:
    """Apply what the log has beyond env.log_done.  To be called where no translation is in use."""
    b = Builder("catch_up")
    upto = _head(b)

    def step(position: Value) -> tuple[Value, Sequence[Value]]:
        at = _entry(b, position)
        there = b.ld(at, I64, "acquire").eq(position + 1)  # else somebody is still writing it, and will wait for us
        kind, operand = b.ld(b.ptradd(at, KIND), I64), b.ld(b.ptradd(at, OPERAND), I64)
        b.fence("acquire")
        now = _head(b)  # beyond MOST, what was read may have been overwritten meanwhile

        def everything() -> Value:
            run(b, "tlbi_all")
            return now

        def one() -> Value:
            run(b, "apply_request", kind, operand)
            return position + 1

        done = b.cond(
            (now - position).ugt(MOST), everything, lambda: b.cond(there, one, lambda: position), likely=False
        )
        return done.ne(position) & done.ult(upto), (done,)

    done = b.loop((get(b, "log_done"),), step)
    b.fence("release")  # accesses by the old translations come first
    put(b, "log_done", done)
    b.ret()
    return b.function


def apply_request() -> Function:
    b = Builder("apply_request", args=(I64, I64))
    kind, operand = b.args
    va, asid = (operand << 20).ashr(8), operand.lshr(48)
    args = {"tlbi_all": (), "tlbi_asid": (asid,), "tlbi_va": (va, asid), "tlbi_va_all_asid": (va,)}
    for k, name in enumerate(TLBI_KINDS):
        b.when(kind.eq(k), lambda name=name: run(b, name, *args[name]))  # type: ignore[misc]
    b.when(kind.eq(PROTECT), lambda: run(b, "protect_page", operand))
    b.ret()
    return b.function


# -- waiting for the others -------------------------------------------------------------------------------------------
def each_cpu(b: Builder, step: Callable[[Value], None]) -> None:
    """Run `step` with the address of each CPU's state."""

    def one(k: Value) -> tuple[Value, Sequence[Value]]:
        step(b.ld(b.ptradd(get(b, "shared"), (k << 3) + CPUS_AT), PTR))
        return k.ult(get(b, "peers").zext(I64)), (k + 1,)

    b.loop((b.const(0),), one)


def _each_peer(b: Builder, step: Callable[[Value], None]) -> None:
    """The same, but this one."""
    each_cpu(b, lambda cpu: b.when(address(b, cpu).ne(address(b, b.env())), lambda: step(cpu)))


def await_peers() -> Function:
    """Until all other CPUs have done what is in the log before a position, or run no guest code."""
    b = Builder("await_peers", args=(I64,))
    b.fence()
    _each_peer(b, lambda cpu: run(b, "await_peer", cpu, b.args[0]))
    b.ret()
    return b.function


def await_peer() -> Function:
    b = Builder("await_peer", args=(PTR, I64))
    cpu, upto = b.args

    def behind() -> Value:
        return _of(b, cpu, "running").ne(0) & (_of(b, cpu, "log_done") - upto).slt(0)

    def step(n: Value) -> tuple[Value, Sequence[Value]]:
        b.when((n & 63).eq(0), lambda: b.st(b.ptradd(cpu, ENV.attn), b.const(1, I32)))
        b.when(_head(b).ne(get(b, "log_done")), lambda: run(b, "catch_up"))
        b.cond(n.ult(SPINS), lambda: _void(b.op("relax")), lambda: _sleep(b, (n - SPINS).trunc(I32)))
        return behind(), (n + 1,)

    b.when(behind(), lambda: b.loop((b.const(0),), step))
    b.ret()
    return b.function


def _void(_value: Value) -> None:
    """A body that gives nothing."""


def _sleep(b: Builder, before: Value) -> None:
    """Sleep, having done so `before` times in a row."""
    us = (before.umin(LONGEST_PAUSE) * LONGER + PAUSE).umin(LONGEST_PAUSE)
    b.callback("usleep", CALLBACK_AT["usleep"], us, type=I32)


def _clock(b: Builder) -> Value:
    """The host's clock in ns."""
    spec = ENV["timespec"]
    where = b.ptradd(b.env(), spec.offset)
    b.callback("clock_gettime", CALLBACK_AT["clock_gettime"], b.const(CLOCK_MONOTONIC, I32), where, type=I32)
    return b.ldenv(spec.at(0), I64) * 1_000_000_000 + b.ldenv(spec.at(1), I64)


def maintenance_done() -> Function:
    """DSB behind TLBI: until it is complete on all CPUs."""
    b = Builder("maintenance_done")
    issued = get(b, "log_issued")
    put(b, "log_issued", 0)
    started = _clock(b)
    run(b, "await_peers", issued)
    count(b, "n_dsb_wait")
    put(b, "dsb_wait_ns", get(b, "dsb_wait_ns") + _clock(b) - started)
    b.ret()
    return b.function


def host_fence() -> Function:
    """A barrier between what Python stores and loads."""
    b = Builder("host_fence")
    b.fence()
    b.ret()
    return b.function


def come_in() -> Function:
    """This CPU is going to run guest code.  Who asks something later sees that, or is seen by catch_up."""
    b = Builder("come_in")
    put(b, "running", 1)
    b.fence()
    run(b, "catch_up")
    b.ret()
    return b.function


def go_out() -> Function:
    b = Builder("go_out")
    b.fence("release")
    put(b, "running", 0)
    b.ret()
    return b.function


# -- events -----------------------------------------------------------------------------------------------------------
def send_event() -> Function:
    """SEV, for the other CPUs."""
    b = Builder("send_event")
    _each_peer(b, lambda cpu: b.st(b.ptradd(cpu, ENV.event_register), b.const(1, I32)))
    b.fence()

    def wake(cpu: Value) -> None:
        asleep = _of(b, cpu, "asleep").ne(0)
        b.when(asleep, lambda: _void(guarded_callback(b, "event", b.env(), b.const(Event.SEND_EVENT), b.const(0))))

    _each_peer(b, wake)
    b.ret()
    return b.function


def wait_for_event() -> Function:
    """WFE: wait for an event, or what ends it as well; gives 1 where it takes so long that the machine should sleep.

    Another CPU's store to what the exclusive monitor holds is an event: as nobody tells, its value is looked at.
    Coming back without an event is allowed, so what is not seen here (the event stream, a store that doesn't change
    the value) costs time and no more.
    """
    b = Builder("wait_for_event", ret=I64)

    def step(n: Value, _over: Value) -> tuple[Value, Sequence[Value]]:
        b.cond(n.ult(SPINS), lambda: _void(b.op("relax")), lambda: run(b, "wfe_pause"))
        over = b.call("event_seen", type=I64)
        return over.eq(0) & n.ult(SPINS), (n + 1, over)

    _, over = b.loop((b.const(0), b.const(0)), step)
    pauses = b.select(over.eq(0), get(b, "wfe_pauses") + 1, b.const(0, I32))
    put(b, "wfe_pauses", pauses)
    long = pauses.ugt(MOST_PAUSES) & get(b, "excl_addr").eq(-1)  # nobody tells of stores to what is monitored
    long = long | (over.eq(0) & get(b, "icount_on").ne(0))  # its time passes where the machine sleeps, and not here
    b.when(~long, lambda: put(b, "event_register", 0))
    b.ret(long.zext(I64))
    return b.function


def wfe_pause() -> Function:
    """Sleep, the longer the more often in a row.  Nobody waits for this CPU meanwhile."""
    b = Builder("wfe_pause")
    several = get(b, "peers").ne(0)
    b.when(several, lambda: run(b, "go_out"))
    b.when(get(b, "icount_on").eq(0), lambda: _sleep(b, get(b, "wfe_pauses")))
    b.when(several, lambda: run(b, "come_in"))
    b.ret()
    return b.function


def event_seen() -> Function:
    """1 where something ends WFE."""
    b = Builder("event_seen", ret=I64)
    told = (_shared(b, "event_register") | _shared(b, "attn") | _shared(b, "irq_lines")).ne(0)
    held = b.call("monitored_place", type=PTR)
    lost = b.cond(address(b, held).ne(0), lambda: _monitor_lost(b, held), lambda: b.const(0).ne(0))
    b.ret((told | lost).zext(I64))
    return b.function


def monitored_place() -> Function:
    """Host address of what the exclusive monitor holds; null where that is nothing, or is not in the TLB."""
    b = Builder("monitored_place", ret=PTR)
    va = get(b, "excl_addr")
    at = entry(b, get(b, "tlb"), va)
    hit = b.ld(b.ptradd(at, TAG_READ), I64).eq(va & PAGE_MASK) & va.ne(-1)
    b.ret(b.cond(hit, lambda: b.ptradd(b.ld(b.ptradd(at, ADDEND), PTR), va), lambda: b.const(0, PTR)))
    return b.function


def _monitor_lost(b: Builder, held: Value) -> Value:
    """i1: the memory that was read exclusively has another value; of 16 bytes, the lower half."""
    size, value = get(b, "excl_size"), b.ldenv(ENV.excl_value, I64)
    now = b.cond(
        size.ult(4),
        lambda: b.cond(
            size.eq(1), lambda: b.ld(held, I8, "acquire").zext(I64), lambda: b.ld(held, I16, "acquire").zext(I64)
        ),
        lambda: b.cond(size.eq(4), lambda: b.ld(held, I32, "acquire").zext(I64), lambda: b.ld(held, I64, "acquire")),
    )
    narrow = b.select(size.eq(4), value & 0xFFFF_FFFF, value)
    narrow = b.select(size.eq(2), value & 0xFFFF, narrow)
    return now.ne(b.select(size.eq(1), value & 0xFF, narrow))


# -- for the machine --------------------------------------------------------------------------------------------------
def map_changed(cpus: list[ArmCpu], by: int) -> None:
    """Other memory answers at some physical addresses, because of what CPU `by` does, or while no CPU runs.

    That CPU sees it from its next access on, the others from their next block head on.
    """
    if len(cpus) > 1:
        cpus[by].call("request", TLBI_KINDS.index("tlbi_all"), 0)
        for cpu in cpus:
            cpu.attend()
    if len(cpus) == 1 or (cpus and cpus[by].inside):
        cpus[by].call("tlbi_all")


def functions() -> list[Function]:
    rare = (
        request, catch_up, apply_request, await_peers, await_peer, maintenance_done, host_fence, come_in, go_out,
        send_event, wait_for_event, wfe_pause, event_seen, monitored_place,
    )  # fmt: skip
    return cold(make() for make in rare)
