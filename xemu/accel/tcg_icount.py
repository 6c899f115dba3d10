"""A vCPU under -icount: its time is the number of instructions that it has executed.

Native code counts down `icount_left` before each instruction and leaves at 0: that is when the next timer is due. So
timers fire between the same two instructions in each run, and what comes from the guest alone is the same each time.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from targets.arm.env import ENV
from targets.arm.timers import NEVER, NS_SHIFT
from xemu.accel.tcg import WFE_PAUSE, ConnectedGic, TcgVcpu
from xemu.accel.tcg_timers import NS

if TYPE_CHECKING:
    from targets.arm.models import Model
    from targets.arm.system import System
    from xemu.accel.virtual_clock import VirtualClock
    from xemu.machine import Machine

_FAR = 1 << 62  # instructions: nothing is due
_LONGEST_WAIT = 1e6  # s: one that hosts take


class IcountVcpu(TcgVcpu):
    def __init__(
        self, machine: Machine, system: System, index: int, model: Model, engine: str, clock: VirtualClock
    ) -> None:
        super().__init__(machine, system, index, model, engine, clock.now)
        self._clock = clock
        self._left, self._end = (
            ctypes.c_int64.from_address(self.cpu.env + ENV[name].offset) for name in ("icount_left", "icount_end")
        )
        self.cpu.set("icount_on", 1)
        self.cpu.set("icount_shift", clock.shift)
        system.frontend.count_instructions()
        clock.executed = lambda: self._end.value - self._left.value
        clock.changed = self._plan

    def connect_gic(self, to: ConnectedGic) -> None:
        super().connect_gic(to)
        self.cpu.timer_changed = self._timer_programmed

    # Each of these is called by the vCPU's own thread, or before it runs.

    def _deadline_ns(self) -> int | None:
        """When the CPU's timers have to be looked at next."""
        ticks = self.cpu.get("timer_next")
        return self.cpu.get("cnt_base") + (ticks << NS_SHIFT) if ticks != NEVER else None

    def _due(self) -> int | None:
        """The instruction at which the next timer is due."""
        times = [when for when in (self._deadline_ns(), self._clock.next()) if when is not None]
        return min(-(-min(times) >> self._clock.shift), _FAR) if times else None

    def _plan(self) -> None:
        """Have native code come back when the next timer is due."""
        now, due = self._clock.executed(), self._due()
        self._set_time(now, min(max(due, now), now + _FAR) if due is not None else now + _FAR)

    def _set_time(self, now: int, stop: int) -> None:
        self._left.value, self._end.value = stop - now, stop

    def _fire(self) -> None:
        with self.machine.lock:
            if (when := self._deadline_ns()) is not None and when <= self._clock.now():
                self.cpu.call("timer_update")
                self.cpu.attend()
            self._clock.fire()
            self._plan()

    def _timer_programmed(self) -> None:
        """The guest wrote a timer's register."""
        with self.machine.lock:
            self._plan()

    def _start_timers(self) -> Callable[[], None]:
        """No thread is needed: native code comes back in time."""
        return lambda: None

    def _execute(self) -> None:
        self._fire()
        super()._execute()

    def _idle(self, ready: Any, pause: float | None = None) -> None:
        """Let time pass until `ready`; with `pause`, for a WFE's worth of it, which is the same each time."""
        end = None if pause is None else self._clock.executed() + (int(WFE_PAUSE * NS) >> self._clock.shift)
        while not ready() and not self.machine.stopping and not self._kicked:
            now, due = self._clock.executed(), self._due()
            if end is not None and end <= now:
                return
            until = min((when for when in (due, end) if when is not None), default=None)
            self._pass(ready, now, until)
            self._fire()
        self._kicked = False

    def _pass(self, ready: Any, now: int, until: int | None) -> None:
        """Move the time on, having waited where that is wanted; without an end, wait for others and leave it alone."""
        if until is not None and (until <= now or not self._clock.sleep):
            self._set_time(max(until, now), max(until, now))
            return
        timeout = None if until is None else min((until - now << self._clock.shift) / NS, _LONGEST_WAIT)
        started, early = time.monotonic_ns(), True
        with self._wake:
            self.cpu.set("waiting", 1)
            if not ready() and not self.machine.stopping and not self._kicked:
                early = self._wake.wait(timeout)
            self.cpu.set("waiting", 0)
        if until is not None:  # on time, the guest's clock is right to the instruction, whatever the host's says
            gone = until - now if not early else time.monotonic_ns() - started >> self._clock.shift
            self._set_time(min(until, now + gone), min(until, now + gone))
