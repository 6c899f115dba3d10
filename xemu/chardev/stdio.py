"""`stdio`: the terminal (or pipes) xemu was started from."""

import os

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
        self._output_open = True
        self._terminal = RawTerminal(0, signals) if os.isatty(0) else None

    def write(self, data: bytes) -> None:
        if self._output_open:
            self._output_open = self._write_fd(1, data)

    def close(self) -> None:
        super().close()
        if self._terminal is not None:
            self._terminal.restore()
        StdioChardev._in_use = False
