"""Signals that end the machine, handled at once even while the main thread waits.

Python runs signal handlers in the main thread only, but the kernel may deliver a signal to any thread, and then nothing
wakes the main thread from its wait. So the I/O thread, which learns of every signal by a pipe, nudges it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

from xemu.chardev import IoLoop

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Means nothing to us (and is ignored by default), so it is free to interrupt a wait.
_NUDGE = signal.SIGURG


@contextmanager
def prompt_handlers(loop: IoLoop) -> Generator[None, None, None]:
    """Python's signal handlers run at once while this is in force and `loop` runs."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    main = threading.main_thread().ident
    assert main is not None

    def nudge() -> None:
        if any(number != _NUDGE for number in os.read(read_end, 4096)):
            signal.pthread_kill(main, _NUDGE)

    old_handler = signal.signal(_NUDGE, lambda number, frame: None)
    old_fd = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    loop.watch(read_end, nudge)
    try:
        yield
    finally:
        # The pipe stays open: the loop may still be looking at it.
        signal.set_wakeup_fd(old_fd)
        signal.signal(_NUDGE, old_handler)


@contextmanager
def ending_on_signals(end: Callable[[], None]) -> Generator[None, None, None]:
    """SIGINT, SIGTERM and SIGHUP call `end`, as Ctrl-A x does; a second one ends the process.

    One that our parent has us ignore (nohup, a background job of a script) stays ignored.
    """
    numbers = [number for number in _END_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def handle(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        print(f"\nxemu: terminating on {signal.Signals(number).name}", file=sys.stderr, flush=True)
        end()

    old = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
