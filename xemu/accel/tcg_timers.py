"""The host's clock for a vCPU's timers: a thread that tells the vCPU when one of them is due.

Registers, interrupts and deadlines are native code's (targets/arm/timers.py). It leaves in `timer_next` when the next
timer is due, and only calls for this thread where that is before `timer_alarm`, the time at which the thread is going
to look anyway. Waking a thread costs more than all the rest; so after each alarm it lingers a little: by then the guest
has served the interrupt and programmed the timer anew, and nobody had to wake the thread for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from targets.arm.cpu import ArmCpu
from targets.arm.timers import NEVER, NS_SHIFT

NS = 1_000_000_000
LINGER = 1_000_000 >> NS_SHIFT  # a millisecond, in ticks of the counter
_LONGEST = 1e6  # s: a wait that hosts take


class TimerThread:
    """The thread of one vCPU.  wake: makes the vCPU's own thread look up if it sleeps."""

    def __init__(self, cpu: ArmCpu, wake: Callable[[], None]) -> None:
        self._cpu, self._wake = cpu, wake
        self._changed = threading.Condition()
        self._asked = False
        self._running = False
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        self._running = True
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        assert self._thread is not None, "it was started"
        self._running = False
        self.programmed()
        self._thread.join()

    def programmed(self) -> None:
        """A timer is due before the alarm now."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._running:
            if self._sleep_until(self._next_alarm()):
                continue
            now = self._now()
            alarm = self._set_alarm(now + LINGER)
            self._cpu.set("timer_due", 1)
            self._cpu.attend()
            self._wake()
            if not now < self._cpu.get("timer_next") < alarm:  # else it was programmed just before it was due
                self._sleep_until(alarm)

    def _now(self) -> int:
        return (time.monotonic_ns() - self._cpu.get("cnt_base") & NEVER) >> NS_SHIFT

    def _set_alarm(self, when: int) -> int:
        self._cpu.set("timer_alarm", when)
        return when

    def _next_alarm(self) -> int:
        """Set the alarm for what is due next; what is programmed from then on and is earlier, we are told."""
        while True:
            when = self._set_alarm(self._cpu.get("timer_next"))
            with self._changed:  # a lock is a barrier, too: between the store of the alarm and the second look
                self._asked = False
            if self._cpu.get("timer_next") >= when:
                return when

    def _sleep_until(self, when: int) -> bool:
        """True where somebody asked for us before that."""
        with self._changed:
            while not self._asked and self._running:
                left = None if when == NEVER else min(((when - self._now()) << NS_SHIFT) / NS, _LONGEST)
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            return True
