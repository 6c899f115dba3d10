"""`stdio`: the terminal (or pipes) xemu was started from."""

import os
import stat
from contextlib import suppress

from xemu.chardev.base import Chardev
from xemu.chardev.loop import IoLoop
from xemu.cli.terminal import RawTerminal
from xemu.errors import UserError


class StdioChardev(Chardev):
    _in_use = False

    def __init__(self, loop: IoLoop, where: str, signals: bool) -> None:
        super().__init__(loop)
        if StdioChardev._in_use:
            raise UserError(f"{where}: stdio is used twice; share it with -chardev stdio,id=NAME,mux=on")
        StdioChardev._in_use = True
        self._input = 0
        self._output = _own_output()
        self._output_open = True
        self._terminal = RawTerminal(0, signals) if os.isatty(0) else None

    def write(self, data: bytes) -> None:
        if self._output_open:
            self._output_open = self._write_fd(self._output, data)

    def close(self) -> None:
        super().close()
        if self._terminal is not None:
            self._terminal.restore()
        if self._output != 1:
            os.close(self._output)
            self._output = 1
        StdioChardev._in_use = False


def _own_output() -> int:
    """Standard output, non-blocking where it can block for long (a terminal that is held, a pipe nobody reads).

    It is opened anew for that: the flag would otherwise be set for everybody who shares our standard output.
    """
    if os.isatty(1) or stat.S_ISFIFO(os.fstat(1).st_mode):
        with suppress(OSError):  # a terminal of another user's, no /proc: then we block
            return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return 1
