"""Console device (virtio 1.2, section 5.3) with one port: `hvc0` of a Linux guest."""

import struct
from typing import TYPE_CHECKING

from xemu.devices.virtio.device import VirtioDevice
from xemu.devices.virtio.queue import Chain, Queue, QueueError

if TYPE_CHECKING:
    from xemu.chardev.base import CharBackend

F_SIZE = 1 << 0
F_EMERG_WRITE = 1 << 2
_RECEIVE, _TRANSMIT = 0, 1
_CONFIG = struct.Struct("<HHII")  # columns, rows, ports, emergency write
_EMERGENCY = 8  # offset of the last
# More than any driver sends in one request (Linux: one page, or 32 KiB through a pipe).
MAX_OUTPUT = 1 << 20


class VirtioConsole(VirtioDevice):
    name = "virtio-console"
    device_id = 3
    queue_sizes = (128, 128)

    def __init__(self, backend: "CharBackend | None" = None, size: tuple[int, int] | None = None) -> None:
        self.features = F_EMERG_WRITE | (F_SIZE if size is not None else 0)
        self._columns, self._rows = size or (0, 0)
        self._input: Chain | None = None  # a buffer of the driver's, taken from the queue and still empty
        self._backend = backend
        if backend is not None:
            backend.connect(self.receive, self.can_receive)

    def config(self) -> bytes:
        return _CONFIG.pack(self._columns, self._rows, 1, 0)

    def write_config(self, offset: int, data: bytes) -> None:
        """One character without any queue: what a kernel says before its driver runs, or when it dies."""
        if offset == _EMERGENCY:
            self._send(data[:1])

    def reset(self) -> None:
        self._input = None

    def driver_ready(self) -> None:
        self._accept_input()

    def notify(self, index: int) -> None:
        if index == _RECEIVE:
            self._accept_input()
        else:
            self._transmit(self.transport.queues[_TRANSMIT])

    def _transmit(self, queue: Queue) -> None:
        # No more than the queue holds per notification: each new request brings a notification of its own.
        for _ in range(queue.size):
            chain = queue.pop()
            if chain is None:
                return
            self._send(chain.read(MAX_OUTPUT))
            self.push(_TRANSMIT, chain, 0)

    def _send(self, data: bytes) -> None:
        if self._backend is not None and data:
            self._backend.write(data)

    def _accept_input(self) -> None:
        if self._backend is not None:
            self._backend.accept_input()

    # The host's side

    def can_receive(self) -> int:
        """Room in the next buffer of the driver's."""
        chain = self._next_input()
        return chain.writable_size if chain is not None else 0

    def _next_input(self) -> Chain | None:
        if not self.transport.running:
            return None
        if self._input is None:
            queue = self.transport.queues[_RECEIVE]
            if queue.ready:
                try:
                    self._input = _with_room(queue)
                except QueueError as error:
                    self.transport.fail(str(error))
        return self._input

    def receive(self, data: bytes) -> None:
        while data and (chain := self._next_input()) is not None:
            self._input = None
            try:
                written = chain.write(data)
                self.push(_RECEIVE, chain, written)
            except QueueError as error:
                self.transport.fail(str(error))
                return
            data = data[written:]


def _with_room(queue: Queue) -> Chain | None:
    chain = queue.pop()
    if chain is not None and chain.writable_size == 0:
        raise QueueError("a buffer for input has no room")
    return chain
