"""Host time for devices, injected so that tests advance it by hand."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Clock(Protocol):
    """Nanoseconds that only go forward, and calls at a moment. Call-backs run with machine.lock held."""

    def now(self) -> int: ...

    def call_at(self, when: int, callback: Callable[[], None]) -> "Alarm": ...


class Alarm:
    """A call to come; cancel() with machine.lock held is certain to prevent it."""

    def __init__(self, when: int, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def fire(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class HostClock:
    """The host's boot-time clock (which counts suspended time too), with one thread that starts at the first alarm."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._wake = threading.Condition()
        self._alarms: list[tuple[int, int, Alarm]] = []  # a heap
        self._order = itertools.count()  # alarms of the same moment fire in the order they were set
        self._thread: threading.Thread | None = None
        self._closed = False

    def now(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def call_at(self, when: int, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(when, callback)
        with self._wake:
            heapq.heappush(self._alarms, (when, next(self._order), alarm))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
                self._thread.start()
            self._wake.notify()
        return alarm

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _run(self) -> None:
        while (due := self._next_due()) is not None:
            with self._lock:
                due.fire()

    def _next_due(self) -> Alarm | None:
        """Wait for the next alarm; None when closed."""
        with self._wake:
            while not self._closed:
                while self._alarms and self._alarms[0][2].callback is None:
                    heapq.heappop(self._alarms)  # cancelled
                if not self._alarms:
                    self._wake.wait()
                    continue
                wait = self._alarms[0][0] - self.now()
                if wait <= 0:
                    return heapq.heappop(self._alarms)[2]
                self._wake.wait(min(wait / 1e9, threading.TIMEOUT_MAX))
        return None
