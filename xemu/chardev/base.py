"""What a character device is to its two sides.

A *front end* is the guest's side (a UART, a virtio console): it calls `write`, `connect` and `accept_input`. A *back
end* is the host's side (a terminal, a socket): one subclass of `Chardev` each.
"""

import errno
import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from xemu.chardev.loop import IoLoop

Receive = Callable[[bytes], None]
CanReceive = Callable[[], int]
OnBreak = Callable[[], None]
OnOpen = Callable[[bool], None]

READ_SIZE = 4096
_WRITE_SLICE_MS = 100


class CharBackend(Protocol):
    """The interface front ends know. All but release() and close() are called with the machine's lock held."""

    @property
    def open(self) -> bool:
        """Whether somebody is on the host's side, where that can be known."""
        ...

    def write(self, data: bytes) -> None: ...

    def offer(self, data: bytes, resume: Callable[[], None]) -> int: ...

    def connect(
        self,
        receive: Receive,
        can_receive: CanReceive,
        on_break: OnBreak | None = None,
        on_open: OnOpen | None = None,
    ) -> None: ...

    def accept_input(self) -> None: ...

    def release(self) -> None:
        """Let nobody wait for the host any longer; called by any thread, without the lock."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class FrontEnd:
    """The guest's side: receive() is called under the machine's lock, with at most can_receive() bytes."""

    receive: Receive
    can_receive: CanReceive
    on_break: OnBreak | None = None
    on_open: OnOpen | None = None


class Chardev:
    """A back end without input that discards output; subclasses set `_input`, a descriptor, and override write()."""

    def __init__(self, loop: IoLoop) -> None:
        self._loop = loop
        self._front: FrontEnd | None = None
        self._input: int | None = None
        self._pending = b""  # read from the host, not yet taken by the front end
        self._closed = False

    def write(self, data: bytes) -> None:
        """Take all of `data`; waits when the host's side is slow, like a serial line with flow control."""

    def offer(self, data: bytes, resume: Callable[[], None]) -> int:
        """Take as much of `data` as goes without waiting; where that is not all, `resume` is called when more goes.

        That happens in the I/O thread, with the machine's lock held.  Where the host's side can't be slow, all goes.
        """
        self.write(data)
        return len(data)

    @property
    def open(self) -> bool:
        return True

    def connect(
        self,
        receive: Receive,
        can_receive: CanReceive,
        on_break: OnBreak | None = None,
        on_open: OnOpen | None = None,
    ) -> None:
        self._front = FrontEnd(receive, can_receive, on_break, on_open)
        self._watch_input()
        self._attached()

    def _attached(self) -> None:
        """There is a front end now."""

    def accept_input(self) -> None:
        """The front end has room again. Delivery happens in the I/O thread, so a device is never re-entered."""
        if self._pending:
            self._loop.call(self._deliver)

    def release(self) -> None:
        self._closed = True

    def close(self) -> None:
        self._closed = True
        if self._input is not None:
            self._loop.unwatch(self._input)
            self._input = None

    def _watch_input(self) -> None:
        if self._input is not None and self._front is not None and not self._pending:
            self._loop.watch(self._input, self._input_ready)

    def _input_ready(self) -> None:
        """I/O thread: read once, then stop watching until the front end has taken it all."""
        if self._input is None:
            return
        try:
            data = os.read(self._input, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a hung-up terminal or a reset connection: the same as end of file
        self._loop.unwatch(self._input)
        if data:
            self._pending = data
            self._deliver()
        else:
            self._input_ended()

    def _input_ended(self) -> None:
        """I/O thread: end of file on the input."""
        self._input = None

    def _deliver(self) -> None:
        """I/O thread: hand over what the front end has room for."""
        with self._loop.lock:
            while self._pending and self._front is not None and (room := self._front.can_receive()) > 0:
                chunk, self._pending = self._pending[:room], self._pending[room:]
                self._front.receive(chunk)
        self._watch_input()

    def _opened(self, is_open: bool) -> None:
        """Somebody came to the host's side, or left it.  Under the machine's lock."""
        if self._front is not None and self._front.on_open is not None:
            self._front.on_open(is_open)

    def _offer_fd(self, fd: int, data: bytes, resume: Callable[[], None]) -> int:
        """offer() for a non-blocking descriptor."""
        try:
            count = os.write(fd, data)
        except BlockingIOError:
            count = 0
        except OSError:
            return len(data)  # the other side is gone
        if count < len(data) and not self._closed:
            self._loop.await_room(fd, resume)
        return count

    def _write_fd(self, fd: int, data: bytes) -> bool:
        """Write everything, waiting where a non-blocking descriptor is full; False when the other side is gone."""
        view = memoryview(data)
        while view and not self._closed:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                # In slices, so that release() ends the wait for a peer that never reads.
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll(_WRITE_SLICE_MS)
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                return False
        return not view
