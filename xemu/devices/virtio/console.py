"""Console device (virtio 1.2, section 5.3): ports that are consoles (`hvc0`) or plain byte streams (`/dev/vport0p1`).

With one port possible there are two queues; else F_MULTIPORT is offered, and a driver that accepts it has a pair of
queues for each port and one for control messages: the device announces its ports, both sides say when they open one.
A chain of output is given back once the host has taken all of it, so a host that is slow stops its own port only.
"""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xemu.cli import log
from xemu.devices.virtio.device import VirtioDevice
from xemu.devices.virtio.queue import Chain, Queue, QueueError

if TYPE_CHECKING:
    from xemu.chardev.base import CharBackend

F_MULTIPORT = 1 << 1
F_EMERG_WRITE = 1 << 2
DEVICE_READY, PORT_ADD, PORT_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME = range(8)

_CONTROL_IN, _CONTROL_OUT = 2, 3  # queues, with F_MULTIPORT
_QUEUE_SIZE, _CONTROL_QUEUE_SIZE = 128, 32
_CONFIG = struct.Struct("<HHII")  # columns, rows, ports, emergency write
_EMERGENCY = 8  # offset of the last
_MESSAGE = struct.Struct("<IHH")  # port, event, value
MAX_PORTS = 31
# More than any driver sends in one request (Linux: one page, or 32 KiB through a pipe).
MAX_OUTPUT = 1 << 20
_MAX_MESSAGE = 256  # those of a driver have 8 bytes
# Messages that wait for the driver's buffers: what a driver can bring about without taking any. Announcing all ports
# twice fits.
_MAX_WAITING = 8 * MAX_PORTS


@dataclass(frozen=True)
class PortConfig:
    """One port; console ports are terminals for the guest, and always open on the host's side."""

    number: int = 0
    console: bool = True
    name: str = ""
    backend: "CharBackend | None" = None


class _Port:
    """A port at work."""

    def __init__(self, config: PortConfig) -> None:
        self.number, self.console, self.name, self.backend = (
            config.number, config.console, config.name, config.backend,
        )  # fmt: skip
        self.receive_queue = 2 * config.number + 2 if config.number else 0
        self.transmit_queue = self.receive_queue + 1
        self.forget()

    def forget(self) -> None:
        self.known = False  # the driver has said that it is ready for it
        self.open = False  # in the guest
        self.input: Chain | None = None  # a buffer of the driver's, taken from the queue and still empty
        self.output: tuple[Chain, bytes] | None = None  # a request that is not given back, and what is left of it

    @property
    def host_open(self) -> bool:
        return self.console or (self.backend is not None and self.backend.open)


class VirtioConsole(VirtioDevice):
    name = "virtio-serial"
    device_id = 3

    def __init__(
        self, ports: Sequence[PortConfig] = (), max_ports: int = MAX_PORTS, emergency_write: bool = True
    ) -> None:
        self._max_ports = max_ports
        self.features = F_EMERG_WRITE if emergency_write else 0
        self.queue_sizes = (_QUEUE_SIZE,) * 2
        if max_ports > 1:
            self.features |= F_MULTIPORT
            self.queue_sizes += (_CONTROL_QUEUE_SIZE,) * 2 + (_QUEUE_SIZE,) * (2 * max_ports - 2)
        self._ports = {config.number: _Port(config) for config in ports}
        self._messages: deque[bytes] = deque()
        for port in self._ports.values():
            self._connect(port)

    def _connect(self, port: _Port) -> None:
        if port.backend is not None:
            port.backend.connect(
                lambda data: self._receive(port, data),
                lambda: self._can_receive(port),
                on_open=lambda is_open: self._host_opened(port, is_open),
            )

    # The driver's side

    def config(self) -> bytes:
        return _CONFIG.pack(0, 0, self._max_ports, 0)

    def write_config(self, offset: int, data: bytes) -> None:
        """One character without any queue: what a kernel says before its driver runs, or when it dies."""
        first = self._ports.get(0)
        if offset == _EMERGENCY and self.features & F_EMERG_WRITE and first is not None and first.backend is not None:
            first.backend.write(data[:1])

    def reset(self) -> None:
        self._messages.clear()
        for port in self._ports.values():
            port.forget()

    def _multiport(self) -> bool:
        return bool(self.transport.driver_features & F_MULTIPORT)

    def driver_ready(self) -> None:
        """Without F_MULTIPORT there is nobody to open the one port."""
        if not self._multiport() and 0 in self._ports:
            self._ports[0].open = True
            self._accept_input(self._ports[0])

    def notify(self, index: int) -> None:
        if self._multiport() and index in (_CONTROL_IN, _CONTROL_OUT):
            if index == _CONTROL_IN:
                self._send_waiting()
            else:
                self._take_messages()
            return
        for port in self._ports.values():
            if index == port.receive_queue:
                return self._accept_input(port)
            if index == port.transmit_queue:
                return self._transmit(port)
        # a port that is not there: its driver's output vanishes, and no input comes

    # Control messages (5.3.6.2)

    def _take_messages(self) -> None:
        for chain in _requests(self.transport.queues[_CONTROL_OUT]):
            data = chain.read(_MAX_MESSAGE)
            self.push(_CONTROL_OUT, chain, 0)
            if len(data) >= _MESSAGE.size:
                self._control(*_MESSAGE.unpack_from(data))
            else:
                self._complain(f"a control message of {len(data)} bytes")

    def _control(self, number: int, event: int, value: int) -> None:
        if event == DEVICE_READY:
            for port in self._ports.values() if value else ():
                self._tell(port, PORT_ADD, 1)
            return
        port = self._ports.get(number)
        if port is None:
            self._complain(f"control message {event} for port {number}, which is not there")
        elif event == PORT_READY and value:
            self._introduce(port)
        elif event == PORT_OPEN:
            port.open = value != 0
            self._accept_input(port)
        else:
            self._complain(f"control message {event} with value {value} for port {number}")

    def _introduce(self, port: _Port) -> None:
        port.known = True
        if port.console:
            self._tell(port, CONSOLE_PORT, 1)
        if port.name:
            self._tell(port, PORT_NAME, 1, port.name.encode() + b"\0")
        if port.host_open:
            self._tell(port, PORT_OPEN, 1)

    def _tell(self, port: _Port, event: int, value: int, more: bytes = b"") -> None:
        if len(self._messages) == _MAX_WAITING:
            self._complain("it asks for messages and never takes any; one is lost")
            return
        self._messages.append(_MESSAGE.pack(port.number, event, value) + more)
        self._send_waiting()

    def _send_waiting(self) -> None:
        queue = self.transport.queues[_CONTROL_IN]
        while self._messages and queue.ready:
            chain = queue.pop()
            if chain is None:
                return
            self.push(_CONTROL_IN, chain, chain.write(self._messages.popleft()))

    def _complain(self, text: str) -> None:
        if log.enabled("guest_errors"):
            log.write("guest_errors", f"{self.name}: {text}")

    # Output

    def _transmit(self, port: _Port) -> None:
        if port.output is not None:
            return  # goes on when the host has room
        for chain in _requests(self.transport.queues[port.transmit_queue]):
            port.output = chain, chain.read(MAX_OUTPUT)
            if not self._hand_over(port):
                return

    def _hand_over(self, port: _Port) -> bool:
        """Whether the host has taken all of the request in hand; else it tells when it has room."""
        assert port.output is not None
        chain, data = port.output
        if data and port.backend is not None and port.host_open:
            data = data[port.backend.offer(data, lambda: self._go_on(port)) :]
        else:
            data = b""
        if data:
            port.output = chain, data
            return False
        port.output = None
        self.push(port.transmit_queue, chain, 0)
        return True

    def _go_on(self, port: _Port) -> None:
        """The host's thread: there is room again."""
        try:
            if port.output is not None and self.transport.running and self._hand_over(port):
                self._transmit(port)
        except QueueError as error:
            self.transport.fail(str(error))

    # Input

    def _accept_input(self, port: _Port) -> None:
        if port.backend is not None:
            port.backend.accept_input()

    def _can_receive(self, port: _Port) -> int:
        """Room in the next buffer of the driver's."""
        chain = self._next_input(port)
        return chain.writable_size if chain is not None else 0

    def _next_input(self, port: _Port) -> Chain | None:
        if not self.transport.running or not port.open:
            return None
        if port.input is None:
            queue = self.transport.queues[port.receive_queue]
            if queue.ready:
                try:
                    port.input = _with_room(queue)
                except QueueError as error:
                    self.transport.fail(str(error))
        return port.input

    def _receive(self, port: _Port, data: bytes) -> None:
        while data and (chain := self._next_input(port)) is not None:
            port.input = None
            try:
                written = chain.write(data)
                self.push(port.receive_queue, chain, written)
            except QueueError as error:
                self.transport.fail(str(error))
                return
            data = data[written:]

    def _host_opened(self, port: _Port, is_open: bool) -> None:
        if not port.known or port.console or not self.transport.running:
            return
        try:
            self._tell(port, PORT_OPEN, int(is_open))
        except QueueError as error:
            self.transport.fail(str(error))


def _requests(queue: Queue) -> Iterator[Chain]:
    """What waits in a queue, but no more than it holds: each new request brings a notification of its own."""
    for _ in range(queue.size):
        chain = queue.pop()
        if chain is None:
            return
        yield chain


def _with_room(queue: Queue) -> Chain | None:
    chain = queue.pop()
    if chain is not None and chain.writable_size == 0:
        raise QueueError("a buffer for input has no room")
    return chain
