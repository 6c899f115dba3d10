"""`pipe`: two named pipes, PATH.in towards the guest and PATH.out from it, or one (PATH) for both directions."""

import os
import stat
from collections.abc import Callable

from xemu.chardev.base import Chardev
from xemu.chardev.loop import IoLoop
from xemu.errors import UserError


def _open(where: str, path: str) -> int:
    try:
        # Read-write: opening does not wait for the other side, and its leaving is no end of file.
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"{where}: can't open the pipe '{path}': {error.strerror}; make it with mkfifo") from None
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise UserError(f"{where}: '{path}' is not a named pipe; make one with mkfifo")
    return fd


class PipeChardev(Chardev):
    def __init__(self, loop: IoLoop, where: str, path: str) -> None:
        super().__init__(loop)
        if os.path.exists(path + ".in") or os.path.exists(path + ".out"):
            self._input = _open(where, path + ".in")
            try:
                self._output = _open(where, path + ".out")
            except UserError:
                os.close(self._input)
                raise
        else:
            self._input = self._output = _open(where, path)
        self._fds = {self._input, self._output}

    def write(self, data: bytes) -> None:
        if not self._closed:
            self._write_fd(self._output, data)

    def offer(self, data: bytes, resume: Callable[[], None]) -> int:
        return self._offer_fd(self._output, data, resume) if not self._closed else len(data)

    def close(self) -> None:
        super().close()
        while self._fds:
            os.close(self._fds.pop())
