"""Writes of the guest that only announce work, carried out by a thread while the vCPU goes on (ioeventfd, 4.59)."""

import os
import select
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xemu.machine import Machine

_FLAGS = os.EFD_CLOEXEC | os.EFD_NONBLOCK


class Doorbells:
    """An eventfd for each doorbell, and one thread that waits for all of them and does the write."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._writes: dict[int, tuple[int, int, int]] = {}  # by eventfd: address, size, value
        self._poll = select.epoll()
        self._end = os.eventfd(0, _FLAGS)
        self._poll.register(self._end, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="doorbells", daemon=True)
        self._thread.start()

    def add(self, address: int, size: int, value: int) -> int:
        """The eventfd that stands for this write."""
        fd = os.eventfd(0, _FLAGS)
        self._writes[fd] = address, size, value
        self._poll.register(fd, select.EPOLLIN)
        return fd

    def close(self) -> None:
        os.eventfd_write(self._end, 1)
        self._thread.join()
        for fd in (self._end, *self._writes):
            os.close(fd)
        self._poll.close()

    def _run(self) -> None:
        try:
            while True:
                for fd, _ in self._poll.poll():
                    if fd == self._end:
                        return
                    os.eventfd_read(fd)
                    self._machine.mmio_write(0, *self._writes[fd])
        except BaseException as error:
            self._machine.fail(error)
