"""Host sides and CPUs that do nothing but remember, and a clock that stands still until it is told to go on."""

import threading
from collections.abc import Callable, Mapping

from gic_rig import Core

from xemu.accel.base import Gic
from xemu.devices import gicv2_registers, gicv3_registers
from xemu.devices.clock import Alarm
from xemu.devices.gicv2 import Gicv2
from xemu.devices.gicv3 import Gicv3


class Wire:
    """An interrupt line's other end."""

    def __init__(self) -> None:
        self.level = False
        self.changes: list[bool] = []

    def __call__(self, level: bool) -> None:
        self.level = level
        self.changes.append(level)


class FakeClock:
    def __init__(self, now: int = 0) -> None:
        self._now = now
        self._alarms: list[Alarm] = []

    def now(self) -> int:
        return self._now

    def call_at(self, when: int, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(when, callback)
        self._alarms.append(alarm)
        return alarm

    def advance(self, nanoseconds: int) -> None:
        end = self._now + nanoseconds
        while due := sorted((a for a in self._alarms if a.callback and a.when <= end), key=lambda a: a.when):
            self._now = max(self._now, due[0].when)
            due[0].fire()
        self._now = end


class FakeBackend:
    """A character device whose input is typed by the test."""

    def __init__(self) -> None:
        self.output = b""
        self.waiting = b""
        self.break_line: Callable[[], None] | None = None
        self.open = True
        self.room: int | None = None  # what it takes without waiting; None for all
        self.resume: Callable[[], None] | None = None

    def connect(self, receive, can_receive, on_break=None, on_open=None) -> None:
        self._receive, self._can_receive, self.break_line, self._on_open = receive, can_receive, on_break, on_open

    def write(self, data: bytes) -> None:
        self.output += data

    def offer(self, data: bytes, resume: Callable[[], None]) -> int:
        count = len(data) if self.room is None else min(self.room, len(data))
        self.write(data[:count])
        if count < len(data):
            self.resume = resume
        return count

    def set_open(self, is_open: bool) -> None:
        self.open = is_open
        self._on_open(is_open)

    def accept_input(self) -> None:
        """Delivery is a separate step, as it is with a real back end's thread."""

    def close(self) -> None: ...

    def type(self, data: bytes) -> None:
        self.waiting += data
        self.deliver()

    def deliver(self) -> None:
        while self.waiting and (room := self._can_receive()) > 0:
            chunk, self.waiting = self.waiting[:room], self.waiting[room:]
            self._receive(chunk)


class FakeVcpu:
    """Waits until the machine stops; `program`, if any, is what its guest does first."""

    def __init__(self, machine, index: int) -> None:
        self.machine = machine
        self.index = index
        self.powered = False
        self.irq = False
        self.fiq = False
        self.registers: dict[str, int] = {}  # what it was started with
        self.standbys = 0
        self.timer_lines: dict = {}
        self.program: Callable[[FakeVcpu], None] | None = None
        self._kicked = threading.Event()

    def run(self) -> None:
        if self.powered and self.program is not None:
            self.program(self)
        while not self.machine.stopping:
            self._kicked.wait()

    def kick(self) -> None:
        self._kicked.set()

    @property
    def started_at(self) -> tuple[int, int] | None:
        """Entry and argument, of an Arm CPU."""
        return (self.registers["pc"], self.registers["x0"]) if self.registers else None

    def line(self, name: str) -> Callable[[bool], None]:
        return lambda level: setattr(self, name, level)

    def power(self, registers: Mapping[str, int]) -> None:
        self.powered = True
        self.registers = dict(registers)
        self._kicked.clear()

    def power_off(self) -> None:
        self.powered = False

    def standby(self) -> None:
        self.standbys += 1


class FakeAccelerator:
    """Has a GIC whose outputs are wires, and no other parts of its own. Remembers the doorbells."""

    name = "fake"
    default_cpu = None

    def __init__(self) -> None:
        self.doorbells: list[tuple[int, int, int]] = []

    def attach(self, machine) -> None:
        self._machine = machine

    def supports(self, part) -> bool:
        return True

    def part(self, part):
        if not isinstance(part, Gic):
            return None
        cores = [Core(index) for index in range(part.cpus)]
        if part.version == 3:
            gic = Gicv3(part.lines)
            gicv3_registers.add_registers(gic, self._machine.memory, part.cpus, part.distributor, part.interface)
        else:
            gic = Gicv2(part.lines, lambda: self._machine.current_cpu)
            gicv2_registers.add_registers(gic, self._machine.memory, part.distributor, part.interface)
        for core in cores:
            gic.add_cpu(core)
            core.connect(gic.block.address)

        def connect(cpu, irq, fiq) -> None:
            cores[cpu].irq, cores[cpu].fiq = irq, fiq

        gic.connect = connect
        return gic

    def track_writes(self, ram, on: bool) -> None: ...

    def dirty_pages(self, ram) -> list[int]:
        return []

    def doorbell(self, address: int, size: int, value: int) -> None:
        self.doorbells.append((address, size, value))

    def create_vcpu(self, index: int, model: str) -> FakeVcpu:
        return FakeVcpu(self._machine, index)
