"""A lock that native code takes as well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PAUSE = 20e-6  # s: who has the word may have been interrupted by the host, and needs a CPU


class Lock:
    """For threads in Python it is as threading.RLock; native code holds the word alone, for microseconds.

    take: tries to take the word that native code looks at, and says whether it could.  release: gives it back.
    """

    def __init__(self, take: Callable[[], int], release: Callable[[], None]) -> None:
        self._take, self._release = take, release
        self._threads = threading.RLock()
        self._depth = 0

    def __enter__(self) -> Lock:
        self._threads.acquire()
        if not self._depth:
            try:
                while not self._take():
                    time.sleep(PAUSE)
            except BaseException:  # a signal's
                self._threads.release()
                raise
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._release()
        self._threads.release()
