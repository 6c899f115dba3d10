"""The one thread that waits for input of all character devices.

File descriptors are watched by this thread only; other threads hand it work with `call`. It starts reading once the
machine exists, because everything it delivers is delivered under the machine's lock.
"""

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress


class IoLoop:
    def __init__(self) -> None:
        self.lock: AbstractContextManager[object] = threading.Lock()  # replaced by the machine's own lock in start()
        self.quit: Callable[[], None] = lambda: None  # what Ctrl-A x does
        # poll, not epoll: standard input may be a regular file, which epoll refuses.
        self._selector = selectors.PollSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain_wakes)
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self, lock: AbstractContextManager[object], quit: Callable[[], None]) -> None:
        """Begin to deliver input; every receive() runs under `lock`."""
        self.lock = lock
        self.quit = quit
        self._thread = threading.Thread(target=self._run, name="chardev", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; called without the machine's lock, for which the thread may be waiting."""
        self._stopping = True
        if self._thread is not None:
            self._wake()
            if threading.current_thread() is not self._thread:
                self._thread.join()
            self._thread = None

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` in the I/O thread soon."""
        self._calls.append(function)
        self._wake()

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Run `function` in the I/O thread after a while (used where the kernel has no event to wait for)."""
        self.call(lambda: self._timers.append((time.monotonic() + seconds, function)))

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever `fd` can be read; harmless when it is watched already."""
        self.call(lambda: self._register(fd, ready))

    def await_room(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` once, with the lock held, when `fd` takes output again or has nobody who reads it."""
        # a descriptor of its own: the other one may be watched for input, or be closed meanwhile
        own = os.dup(fd)

        def resume() -> None:
            self._selector.unregister(own)
            os.close(own)
            with self.lock:
                ready()

        def watch() -> None:
            self._selector.register(own, selectors.EVENT_WRITE, resume)

        self.call(watch)

    def unwatch(self, fd: int) -> None:
        """Stop watching at once. I/O thread only, or before start()."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def _register(self, fd: int, ready: Callable[[], None]) -> None:
        if fd not in self._selector.get_map():
            self._selector.register(fd, selectors.EVENT_READ, ready)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a pipe full of wake-ups wakes the thread, too
            os.write(self._wake_write, b"!")

    def _drain_wakes(self) -> None:
        os.read(self._wake_read, 4096)

    def _run(self) -> None:
        while not self._stopping:
            self.turn(self._next_timeout())

    def turn(self, timeout: float | None) -> None:
        """Wait for one round of events and handle it; tests call this instead of start()."""
        for key, _ in self._selector.select(timeout):
            key.data()
        while self._calls:
            self._calls.popleft()()
        now = time.monotonic()
        due = [function for when, function in self._timers if when <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for function in due:
            function()

    def _next_timeout(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(when for when, _ in self._timers) - time.monotonic())
