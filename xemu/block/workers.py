"""Threads that wait for the host's storage, so that no vCPU has to."""

import queue
import threading
from collections.abc import Callable

# Enough to keep a disk busy; more would only compete for the interpreter.
_THREADS = 4


class Workers:
    """Runs jobs in no particular order, several at a time. Threads start when the first jobs need them."""

    def __init__(self, name: str, threads: int = _THREADS) -> None:
        self._name = name
        self._limit = threads
        self._threads: list[threading.Thread] = []
        # What waits, with the era it is of; None ends a thread. A SimpleQueue wakes its reader without any Python.
        self._jobs: queue.SimpleQueue[tuple[int, Callable[[], None], Callable[[], None]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._all_quiet = threading.Condition(self._lock)
        self._era = 0  # jobs of older ones are forgotten
        self._busy = 0  # jobs that wait or run
        self._running = 0
        self._closed = False

    def submit(self, job: Callable[[], None], done: Callable[[], None]) -> None:
        """Run `job`, then `done`: a job must not take locks that the caller of cancel() holds, `done` may."""
        with self._lock:
            if self._closed:
                return
            self._busy += 1
            if self._busy > len(self._threads) < self._limit:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._jobs.put((self._era, job, done))

    def cancel(self) -> None:
        """Forget what waits; when this returns, no job is running."""
        with self._lock:
            self._era += 1
            while self._running:
                self._all_quiet.wait()

    def close(self) -> None:
        """No job is running, and none will; not to be called by a worker."""
        with self._lock:
            self._closed = True
        self.cancel()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            era, job, done = item
            with self._lock:
                current = era == self._era
                if current:
                    self._running += 1
                else:
                    self._busy -= 1
            if current:
                try:
                    job()
                finally:
                    with self._lock:
                        self._running -= 1
                        self._busy -= 1
                        if not self._running:
                            self._all_quiet.notify_all()
                    done()


class Inline:
    """Does each job at once, for machines whose guests must not see how long the host takes."""

    def submit(self, job: Callable[[], None], done: Callable[[], None]) -> None:
        job()
        done()

    def cancel(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing runs."""
