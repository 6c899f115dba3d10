"""`file`: output goes to a file; there is no input."""

import os

from xemu.chardev.base import Chardev
from xemu.chardev.loop import IoLoop
from xemu.errors import UserError


class FileChardev(Chardev):
    def __init__(self, loop: IoLoop, where: str, path: str, append: bool) -> None:
        super().__init__(loop)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
        try:
            self._fd: int | None = os.open(path, flags, 0o666)
        except OSError as error:
            raise UserError(f"{where}: can't open '{path}' for writing: {error.strerror}") from None

    def write(self, data: bytes) -> None:
        if self._fd is not None:
            self._write_fd(self._fd, data)

    def close(self) -> None:
        super().close()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
