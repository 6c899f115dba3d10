"""virtio-console with one port and with several, with good drivers and bad ones, and hosts that are slow or away."""

import struct

import pytest
from fakes import FakeBackend
from virtio_driver import RAM, RAM_SIZE, STATUS, WRITE, Buffer, Driver

from xemu.devices.virtio import console as device
from xemu.devices.virtio.console import F_EMERG_WRITE, MAX_OUTPUT, PortConfig, VirtioConsole
from xemu.devices.virtio.mmio import F_VERSION_1, Status

RECEIVE, TRANSMIT, CONTROL_IN, CONTROL_OUT = range(4)


@pytest.fixture
def host():
    return FakeBackend()


@pytest.fixture
def console(host):
    """One port, driven by a driver that knows of no more."""
    return Driver(VirtioConsole([PortConfig(backend=host)])).start(F_VERSION_1)


def text_at(driver, address, data):
    driver.memory.write_bytes(address, data)
    return Buffer(address, len(data))


# One port


def test_output(console, host):
    queue = console.queues[TRANSMIT]
    queue.add(text_at(console, console.buffers, b"hello, "), text_at(console, console.buffers + 64, b"world"))
    queue.add(text_at(console, console.buffers + 128, b"\n"))
    console.notify(TRANSMIT)
    assert host.output == b"hello, world\n"
    assert queue.take_used() == [(0, 0), (2, 0)]


def test_output_is_bounded(console, host):
    console.queues[TRANSMIT].add(*[Buffer(console.buffers, MAX_OUTPUT)] * 2)
    console.notify(TRANSMIT)
    assert console.needs_reset() and host.output == b""


def test_input_waits_for_buffers(console, host):
    host.type(b"abcdef")
    assert host.waiting == b"abcdef"
    queue = console.queues[RECEIVE]
    queue.add(Buffer(console.buffers, 4, WRITE))
    console.notify(RECEIVE)
    host.deliver()
    assert queue.take_used() == [(0, 4)] and host.waiting == b"ef" and console.line.level
    queue.add(Buffer(console.buffers + 16, 2, WRITE), Buffer(console.buffers + 32, 8, WRITE))
    host.type(b"gh")
    assert queue.take_used() == [(1, 4)]
    assert console.memory.read_bytes(console.buffers, 4) == b"abcd"
    assert console.memory.read_bytes(console.buffers + 32, 2) == b"gh"


def test_input_buffer_without_room(console, host):
    console.queues[RECEIVE].add(text_at(console, console.buffers, b"?"))
    host.type(b"x")
    assert console.needs_reset() and host.waiting == b"x"


def test_buffers_are_forgotten_on_reset(console, host):
    console.queues[RECEIVE].add(Buffer(console.buffers, 4, WRITE))
    assert host._can_receive() == 4
    console.set(STATUS, 0)
    assert host._can_receive() == 0


def test_emergency_write(host):
    driver = Driver(VirtioConsole([PortConfig(backend=host)]))
    driver.transport.write(0x108, 4, ord("!"))
    driver.transport.write(0x100, 4, ord("?"))  # not writable
    assert host.output == b"!"
    assert driver.transport.read(0x104, 4) == 31 and driver.transport.read(0x110, 8) == 0
    without = Driver(VirtioConsole([PortConfig(backend=host)], 1, emergency_write=False))
    without.transport.write(0x108, 4, ord("?"))
    assert host.output == b"!" and not without.offered_features() & F_EMERG_WRITE


def test_failure_in_the_host_thread(console, host):
    """A bad buffer that is found when input arrives, not when the driver notifies."""
    console.queues[RECEIVE].add(Buffer(RAM + RAM_SIZE, 16, WRITE))
    host.type(b"x")
    assert console.needs_reset()
    assert console.get(STATUS) & Status.DRIVER_OK


# Several ports


class Ports(Driver):
    """A driver of several ports: a console 0, a byte stream "agent" 2, and a byte stream 3 without a host side."""

    def __init__(self) -> None:
        self.console, self.agent = FakeBackend(), FakeBackend()
        self.agent.open = False
        configs = [PortConfig(0, True, "", self.console), PortConfig(2, False, "agent", self.agent)]
        super().__init__(VirtioConsole([*configs, PortConfig(3, False)], 4))
        self.start()
        self.told = 0

    def tell(self, number: int, event: int, value: int = 1) -> None:
        self.tell_bytes(struct.pack("<IHH", number, event, value))

    def tell_bytes(self, data: bytes) -> None:
        self.queues[CONTROL_OUT].add(text_at(self, self.buffers, data))
        self.notify(CONTROL_OUT)

    def hear(self, count: int = 8) -> list[tuple]:
        """Offer buffers for messages, and read those that come."""
        queue = self.queues[CONTROL_IN]
        first = self.told
        for k in range(first, first + count):
            queue.add(Buffer(self.buffers + 0x1000 + 64 * (k % 8), 64, WRITE))
        self.told += count
        self.notify(CONTROL_IN)
        return self.heard()

    def heard(self) -> list[tuple]:
        found = []
        for head, length in self.queues[CONTROL_IN].take_used():
            data = self.memory.read_bytes(self.buffers + 0x1000 + 64 * head, length)
            found.append((*struct.unpack_from("<IHH", data), *([data[8:]] if length > 8 else [])))
        return found


@pytest.fixture
def ports():
    return Ports()


def ready(ports):
    ports.tell(0xFFFFFFFF, device.DEVICE_READY)
    for number in (0, 2, 3):
        ports.tell(number, device.PORT_READY)
    ports.hear()
    ports.queues[CONTROL_OUT].take_used()
    return ports


def test_introductions(ports):
    ports.tell(0xFFFFFFFF, device.DEVICE_READY)
    assert ports.hear() == [(number, device.PORT_ADD, 1) for number in (0, 2, 3)]
    for number in (0, 2, 3):
        ports.tell(number, device.PORT_READY)
    assert ports.heard() == [
        (0, device.CONSOLE_PORT, 1),
        (0, device.PORT_OPEN, 1),
        (2, device.PORT_NAME, 1, b"agent\0"),
    ]
    assert len(ports.queues[CONTROL_OUT].take_used()) == 4


def test_hosts_come_and_go(ports):
    ready(ports)
    ports.agent.set_open(True)
    ports.agent.set_open(False)
    ports.console.set_open(False)  # consoles are open always
    assert ports.hear(2) == [(2, device.PORT_OPEN, 1), (2, device.PORT_OPEN, 0)]


def test_nothing_is_told_of_ports_the_driver_does_not_know(ports):
    ports.agent.set_open(True)
    assert ports.hear() == []
    ports.tell(2, device.PORT_READY)
    assert ports.heard() == [(2, device.PORT_NAME, 1, b"agent\0"), (2, device.PORT_OPEN, 1)]


def test_input_waits_until_the_guest_opens_the_port(ports):
    ready(ports)
    ports.queues[6].add(Buffer(ports.buffers + 0x2000, 4, WRITE))
    ports.agent.type(b"abc")
    assert ports.agent.waiting == b"abc"
    ports.tell(2, device.PORT_OPEN)
    ports.agent.deliver()
    assert ports.queues[6].take_used() == [(0, 3)]
    assert ports.memory.read_bytes(ports.buffers + 0x2000, 3) == b"abc"
    ports.queues[6].add(Buffer(ports.buffers + 0x2000, 4, WRITE))
    ports.tell(2, device.PORT_OPEN, 0)
    ports.agent.type(b"d")
    assert ports.agent.waiting == b"d" and ports.console.waiting == b""


def send(ports, queue, data):
    ports.queues[queue].add(text_at(ports, ports.buffers + 0x3000, data))
    ports.notify(queue)


def test_output_goes_to_its_port(ports):
    ready(ports)
    ports.agent.open = True
    send(ports, 1, b"console")
    send(ports, 7, b"agent")
    send(ports, 9, b"nowhere")
    send(ports, 5, b"there is no port 1")
    assert (ports.console.output, ports.agent.output) == (b"console", b"agent")
    assert [len(ports.queues[k].take_used()) for k in (1, 7, 9)] == [1, 1, 1]


def test_output_to_a_host_that_is_away_vanishes(ports):
    ready(ports)
    send(ports, 7, b"lost")
    assert ports.agent.output == b"" and len(ports.queues[7].take_used()) == 1


def test_a_slow_host_stops_its_own_port_only(ports):
    ready(ports)
    ports.agent.open, ports.agent.room = True, 3
    send(ports, 7, b"slowly")
    ports.queues[7].add(text_at(ports, ports.buffers + 0x3010, b"more"))
    ports.notify(7)
    send(ports, 1, b"console")
    assert (ports.console.output, ports.agent.output) == (b"console", b"slo")
    assert ports.queues[7].take_used() == []
    ports.agent.resume()
    assert ports.agent.output == b"slowlymor" and len(ports.queues[7].take_used()) == 1
    ports.set(STATUS, 0)  # a reset voids what waits
    ports.agent.resume()
    assert ports.agent.output == b"slowlymor"


def test_a_host_that_leaves_while_it_is_slow(ports):
    ready(ports)
    ports.agent.open, ports.agent.room = True, 3
    send(ports, 7, b"slowly")
    ports.agent.set_open(False)
    ports.agent.resume()
    assert ports.agent.output == b"slo" and len(ports.queues[7].take_used()) == 1


@pytest.mark.parametrize(
    "number, event, value",
    [(1, 3, 1), (4, 3, 1), (0xFFFFFFFF, 3, 1), (77, 6, 1), (2, 3, 0), (2, 1, 1), (2, 99, 7), (0, 0xFFFF, 0xFFFF)],
)
def test_messages_without_sense_change_nothing(ports, number, event, value):
    ports.tell(number, event, value)
    assert ports.hear() == [] and not ports.needs_reset()


@pytest.mark.parametrize("length", [1, 7])
def test_short_messages(ports, length):
    ports.tell_bytes(b"\0" * length)
    assert not ports.needs_reset() and len(ports.queues[CONTROL_OUT].take_used()) == 1


def test_an_endless_message_stops_the_device(ports):
    ports.queues[CONTROL_OUT].add(*[Buffer(ports.buffers, 1 << 20)] * 4)
    ports.notify(CONTROL_OUT)
    assert ports.needs_reset()


def test_a_driver_that_asks_and_never_listens(ports):
    """Its messages wait, but not more of them than a bound."""
    for _ in range(2000):
        ports.tell(2, device.PORT_READY)
    assert len(ports.transport.device._messages) == device._MAX_WAITING
    ports.set(STATUS, 0)
    assert not ports.transport.device._messages


def test_a_buffer_too_small_for_a_message_gets_its_start(ports):
    ports.queues[CONTROL_IN].add(Buffer(ports.buffers + 0x1000, 4, WRITE))
    ports.tell(0xFFFFFFFF, device.DEVICE_READY)
    assert ports.queues[CONTROL_IN].take_used() == [(0, 4)] and not ports.needs_reset()


def test_bad_buffers_found_by_the_hosts_side(ports):
    ready(ports)
    ports.queues[CONTROL_IN].add(Buffer(RAM + RAM_SIZE, 64, WRITE))
    for k in range(3):  # the buffers left by ready() come first
        assert not ports.needs_reset()
        ports.agent.set_open(k % 2 == 0)
    assert ports.needs_reset()
