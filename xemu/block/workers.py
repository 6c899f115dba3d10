"""Threads that wait for the host's storage, so that no vCPU has to."""

import threading
from collections import deque
from collections.abc import Callable

# Enough to keep a disk busy; more would only compete for the interpreter.
_THREADS = 4


class Workers:
    """Runs jobs in no particular order, several at a time. Threads start when the first jobs need them."""

    def __init__(self, name: str, threads: int = _THREADS) -> None:
        self._name = name
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._waiting: deque[tuple[Callable[[], None], Callable[[], None]]] = deque()
        self._lock = threading.Lock()
        self._work_came = threading.Condition(self._lock)
        self._all_quiet = threading.Condition(self._lock)
        self._idle = 0
        self._running = 0
        self._closed = False

    def submit(self, job: Callable[[], None], done: Callable[[], None]) -> None:
        """Run `job`, then `done`: a job must not take locks that the caller of cancel() holds, `done` may."""
        with self._lock:
            if self._closed:
                return
            self._waiting.append((job, done))
            if self._idle >= len(self._waiting):
                self._work_came.notify()
            elif len(self._threads) < self._limit:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def cancel(self) -> None:
        """Forget what waits; when this returns, no job is running."""
        with self._lock:
            self._waiting.clear()
            while self._running:
                self._all_quiet.wait()

    def close(self) -> None:
        """No job is running, and none will; not to be called by a worker."""
        with self._lock:
            self._closed = True
            self._work_came.notify_all()
        self.cancel()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._waiting:
                    if self._closed:
                        return
                    self._idle += 1
                    self._work_came.wait()
                    self._idle -= 1
                job, done = self._waiting.popleft()
                self._running += 1
            try:
                job()
            finally:
                with self._lock:
                    self._running -= 1
                    if not self._running:
                        self._all_quiet.notify_all()
                done()
