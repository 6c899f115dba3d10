"""The generic timers (D12): the counter and the two timers of a CPU, as IR.

The counter runs at 62.5 MHz, a tick each 16 ns of the host's monotonic clock, so that reading it needs no division.
"""

from __future__ import annotations

from dataclasses import dataclass

from jit.ir import Builder, Function, Value
from jit.types import I32, I64
from targets.arm import gic
from targets.arm.env import CALLBACK_AT, ENV
from targets.arm.exits import Event
from targets.arm.state import CLOCK_MONOTONIC, get, guarded_callback, put, shl

FREQUENCY = 62_500_000
NS_SHIFT = 4  # 1e9 / FREQUENCY = 16
ENABLE, IMASK = 1, 2


def count(b: Builder) -> Value:
    """CNTPCT_EL0: time less env.cnt_base (ns), in ticks.  Time is the host's, or that of the instructions counted."""

    def host() -> Value:
        spec = b.ptradd(b.env(), ENV.timespec)
        b.callback("clock_gettime", CALLBACK_AT["clock_gettime"], b.const(CLOCK_MONOTONIC, I32), spec, type=I32)
        return b.ldenv(ENV["timespec"].at(0), I64) * 1_000_000_000 + b.ldenv(ENV["timespec"].at(1), I64)

    def counted() -> Value:
        return shl(b.ldenv(ENV.icount_end, I64) - b.ldenv(ENV.icount_left, I64), b.ldenv(ENV.icount_shift, I64))

    now = b.cond(b.ldenv(ENV.icount_on, I32).eq(0), host, counted, likely=True)
    return (now - b.ldenv(ENV.cnt_base, I64)).lshr(NS_SHIFT)


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer: the name of its line, and its registers in the CPU state."""

    line: str
    ctl: str
    cval: str


TIMERS = (Timer("phys", "cntp_ctl_el0", "cntp_cval_el0"), Timer("virt", "cntv_ctl_el0", "cntv_cval_el0"))


NEVER = (1 << 64) - 1  # of counts


def timer_update() -> Function:
    """Both timers' interrupts follow their registers: high while enabled, not masked, and the condition holds.

    Called by the CPU's own thread alone, after a register was written or `timer_due` was set.  Python is told only
    where it would look too late by itself.
    """
    b = Builder("timer_update")
    now, earliest = count(b), b.const(NEVER)
    changed = b.const(0, I32)
    for k, timer in enumerate(TIMERS):
        on, cval = (get(b, timer.ctl) & (ENABLE | IMASK)).eq(ENABLE), get(b, timer.cval)
        due = on & now.uge(cval)
        changed = changed | _drive(b, get(b, "timer_ppi", k), due)
        earliest = earliest.umin(b.select(on & ~due, cval, NEVER))
    put(b, "timer_next", earliest)
    b.fence()  # whoever sets timer_alarm looks at timer_next behind that
    b.when(earliest.ult(get(b, "timer_alarm")), lambda: _tell(b), likely=False)
    b.when(changed.ne(0), lambda: b.call("gic_update", type=I64))
    b.ret()
    return b.function


def _drive(b: Builder, ppi: Value, due: Value) -> Value:
    """Set the level of a private interrupt; gives its bit where that changed."""
    level = get(b, "gic_level") & ppi
    changed = level ^ b.select(due, ppi, b.const(0, I32))

    def change() -> None:
        b.rmw("xor", b.ptradd(b.env(), ENV.gic_level), changed)
        edge = changed & get(b, "gic_edge") & ~level
        b.rmw("or", b.ptradd(b.env(), ENV.gic_latched), edge)

    b.when(changed.ne(0), change)
    return changed


def _tell(b: Builder) -> None:
    guarded_callback(b, "event", b.env(), b.const(Event.TIMER), b.const(0))


def timer_written() -> Function:
    """A timer's register was written."""
    b = Builder("timer_written")
    b.when(gic.present(b), lambda: b.call("timer_update"), likely=True)
    b.ret()
    return b.function


def functions() -> list[Function]:
    return [timer_update(), timer_written()]
