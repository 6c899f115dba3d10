"""Time under -icount: so many nanoseconds an instruction, and none that the host takes."""

import heapq
import itertools
from collections.abc import Callable

from xemu.devices.clock import Alarm


class VirtualClock:
    """A Clock for devices. Whoever executes sets `executed` and `changed`, and calls fire() at the time of next().

    Time is counted in instructions of 1 << shift ns; while the guest is idle it jumps ahead: at the host's pace, where
    `sleep` is set, or at once.
    """

    def __init__(self, shift: int, sleep: bool) -> None:
        self.shift, self.sleep = shift, sleep
        self.executed: Callable[[], int] = lambda: 0  # instructions, with the jumps of idle time
        self.changed: Callable[[], None] = lambda: None  # there is an earlier alarm
        self._alarms: list[tuple[int, int, Alarm]] = []  # a heap
        self._order = itertools.count()  # alarms of the same moment fire in the order they were set

    def now(self) -> int:
        return self.executed() << self.shift

    def call_at(self, when: int, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(when, callback)
        heapq.heappush(self._alarms, (when, next(self._order), alarm))
        self.changed()
        return alarm

    def next(self) -> int | None:
        """When the earliest alarm is due."""
        while self._alarms and self._alarms[0][2].callback is None:
            heapq.heappop(self._alarms)  # cancelled
        return self._alarms[0][0] if self._alarms else None

    def fire(self) -> None:
        """Call what is due; the machine's lock is held."""
        while (when := self.next()) is not None and when <= self.now():
            heapq.heappop(self._alarms)[2].fire()
