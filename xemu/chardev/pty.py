"""`pty`: a pseudo-terminal that a terminal program (screen, minicom) can open."""

import os
import select
import tty

from xemu.chardev.base import Chardev
from xemu.chardev.loop import IoLoop
from xemu.errors import UserError

# The kernel has no event for "somebody opened the other side"; half a second is soon enough for a person.
_RETRY_SECONDS = 0.5


class PtyChardev(Chardev):
    def __init__(self, loop: IoLoop, where: str, link: str | None = None) -> None:
        super().__init__(loop)
        try:
            self._fd, slave = os.openpty()
        except OSError as error:
            raise UserError(f"{where}: can't make a pseudo-terminal: {error.strerror}") from None
        tty.setraw(slave)
        self.name = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._fd, False)
        self._link = None
        if link is not None:
            self._make_link(where, link)

    def _make_link(self, where: str, link: str) -> None:
        try:
            os.symlink(self.name, link)
        except OSError as error:
            os.close(self._fd)
            raise UserError(f"{where}: can't make the link '{link}': {error.strerror}") from None
        self._link = link

    def write(self, data: bytes) -> None:
        # With nobody on the other side the output is dropped, as on an unplugged serial line.
        if not self._closed and self._connected():
            self._write_fd(self._fd, data)

    def _attached(self) -> None:
        self._loop.call(self._await_peer)

    def close(self) -> None:
        super().close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._link is not None:
            os.unlink(self._link)
            self._link = None

    def _connected(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def _await_peer(self) -> None:
        if self._closed:
            return
        if self._connected():
            self._input = self._fd
            self._watch_input()
        else:
            self._loop.later(_RETRY_SECONDS, self._await_peer)

    def _input_ended(self) -> None:
        super()._input_ended()
        self._await_peer()
