"""The user's terminal in raw mode, and back, whatever happens.

Leaving normally restores it here. A process that dies (killed, or crashed in generated code) can't, so a small child
process holds the terminal's settings and puts them back when its parent is gone.
"""

import atexit
import os
import signal
import termios
from types import FrameType
from typing import Any

# Indices in the list that termios.tcgetattr returns.
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_MAX_FDS = 4096


class RawTerminal:
    """Raw mode of one terminal; with `signals`, Ctrl-C and Ctrl-Z keep their meaning."""

    def __init__(self, fd: int, signals: bool) -> None:
        self._fd = fd
        self._saved: list[Any] = termios.tcgetattr(fd)
        self._raw = _raw_settings(self._saved, signals)
        self._guard = _Guard(fd, self._saved)
        self._active = True
        atexit.register(self.restore)
        self._old_handlers = {
            number: signal.signal(number, handler)
            for number, handler in ((signal.SIGTSTP, self._suspend), (signal.SIGCONT, self._resume))
        }
        self._apply()

    def restore(self) -> None:
        """Put the terminal back; harmless when done already."""
        if not self._active:
            return
        self._active = False
        atexit.unregister(self.restore)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._set(self._saved)
        self._guard.dismiss()

    def _apply(self) -> None:
        # A background job must not touch the terminal; SIGCONT tells when it comes to the foreground.
        try:
            if os.tcgetpgrp(self._fd) == os.getpgrp():
                self._set(self._raw)
        except OSError:
            pass  # the terminal has hung up: nothing to set

    def _set(self, settings: list[Any]) -> None:
        # A background process that changes a terminal is stopped by SIGTTOU unless it blocks it.
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            termios.tcsetattr(self._fd, termios.TCSANOW, settings)
        except (termios.error, OSError):
            pass  # hung up
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self._set(self._saved)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        # To this very thread: sent to the process, the signal might come only after the handler is back in place.
        signal.raise_signal(signal.SIGTSTP)
        # Stopped here until SIGCONT, whose handler sets raw mode again.
        signal.signal(signal.SIGTSTP, self._suspend)

    def _resume(self, number: int, frame: FrameType | None) -> None:
        if self._active:
            self._apply()


def _raw_settings(saved: list[Any], signals: bool) -> list[Any]:
    raw: list[Any] = [*saved[:_CC], list(saved[_CC])]
    raw[_IFLAG] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    # Output processing stays, so that plain "\n" of log lines still starts a new line.
    raw[_OFLAG] |= termios.OPOST
    raw[_CFLAG] = (raw[_CFLAG] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    raw[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN)
    if not signals:
        raw[_LFLAG] &= ~termios.ISIG
    raw[_CC][termios.VMIN] = 1
    raw[_CC][termios.VTIME] = 0
    return raw


class _Guard:
    """A child process that restores the terminal if the parent ends without dismiss()."""

    def __init__(self, fd: int, saved: list[Any]) -> None:
        read_end, self._write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _guard_main(fd, saved, read_end)
            finally:
                os._exit(0)
        os.close(read_end)

    def dismiss(self) -> None:
        try:
            os.write(self._write_end, b"!")
            os.waitpid(self._pid, 0)
        except OSError:
            pass  # the child is gone: somebody killed it
        os.close(self._write_end)


def _guard_main(fd: int, saved: list[Any], read_end: int) -> None:
    os.setsid()  # out of reach of the terminal's own signals
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    # Hold nothing open that others may wait to see closed (pipes of the parent's output).
    low, high = sorted((fd, read_end))
    for start, end in ((0, low), (low + 1, high), (high + 1, _MAX_FDS)):
        if start < end:  # closerange(0, 0) closes everything in some versions of Python
            os.closerange(start, end)
    if os.read(read_end, 1) == b"":
        termios.tcsetattr(fd, termios.TCSANOW, saved)
