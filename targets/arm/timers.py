"""The generic timers (D12): the counter as IR, and the two timers of a CPU in Python.

The counter runs at 62.5 MHz, a tick each 16 ns of the host's monotonic clock, so that reading it needs no division.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jit.ir import Builder, Value
from jit.types import I32, I64
from targets.arm.env import CALLBACK_AT, ENV
from targets.arm.state import CLOCK_MONOTONIC

FREQUENCY = 62_500_000
NS_SHIFT = 4  # 1e9 / FREQUENCY = 16
ENABLE, IMASK, ISTATUS = 1, 2, 4
FAR_AWAY = 1 << 62  # ns: as good as never, and still a time that the host takes


def count(b: Builder) -> Value:
    """CNTPCT_EL0: clock_gettime(CLOCK_MONOTONIC) less env.cnt_base (ns), in ticks."""
    spec = b.ptradd(b.env(), ENV.timespec)
    b.callback("clock_gettime", CALLBACK_AT["clock_gettime"], b.const(CLOCK_MONOTONIC, I32), spec, type=I32)
    seconds, ns = b.ldenv(ENV["timespec"].at(0), I64), b.ldenv(ENV["timespec"].at(1), I64)
    return (seconds * 1_000_000_000 + ns - b.ldenv(ENV.cnt_base, I64)).lshr(NS_SHIFT)


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer: the name of its line, and its registers in the CPU state."""

    line: str
    ctl: str
    cval: str


TIMERS = (Timer("phys", "cntp_ctl_el0", "cntp_cval_el0"), Timer("virt", "cntv_ctl_el0", "cntv_cval_el0"))


class GenericTimers:
    """Output levels and deadlines of a CPU's timers.

    read: a register of the CPU state by name.  now: the host's monotonic clock in ns, as native code reads it.
    set_line: drives the output called "phys" or "virt".  Call update() after Event.TIMER, and at the deadline.
    """

    def __init__(
        self, read: Callable[[str], int], now: Callable[[], int], set_line: Callable[[str, bool], None]
    ) -> None:
        self._read, self._now, self._set_line = read, now, set_line
        self._levels: dict[str, bool] = {}

    def count(self) -> int:
        """The counter as CNTPCT_EL0 shows it."""
        return ((self._now() - self._read("cnt_base")) & (1 << 64) - 1) >> NS_SHIFT

    def update(self) -> None:
        """Bring the output lines up to date: high while enabled, not masked, and the condition holds."""
        count = self.count()
        for timer in TIMERS:
            level = self._read(timer.ctl) & (ENABLE | IMASK) == ENABLE and count >= self._read(timer.cval)
            if self._levels.get(timer.line) != level:
                self._levels[timer.line] = level
                self._set_line(timer.line, level)

    def deadline(self) -> int | None:
        """When update() must be called next, in ns of the host's clock; may have passed by now.  None for never."""
        base = self._read("cnt_base")
        waiting = [
            self._read(t.cval)
            for t in TIMERS
            if self._read(t.ctl) & (ENABLE | IMASK) == ENABLE and not self._levels.get(t.line)
        ]
        return min(base + (min(waiting) << NS_SHIFT), FAR_AWAY) if waiting else None

    def reset(self) -> None:
        """Forget the levels: the next update() drives both lines."""
        self._levels.clear()
