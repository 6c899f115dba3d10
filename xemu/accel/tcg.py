"""`-accel tcg`: guest CPUs run by the translator in targets/ and jit/."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import targets.arm
from jit.host_memory import return_freed_memory
from targets.arm import smp
from targets.arm.cpu import ArmCpu
from targets.arm.dirty import DirtyPages
from targets.arm.exits import Exit
from targets.arm.models import MODELS, Model
from targets.arm.system import MainRam, System
from targets.arm.timers import NEVER, TIMERS
from xemu.accel import tcg_log
from xemu.accel.base import Gic, Line, Part, PartT
from xemu.accel.tcg_timers import TimerThread
from xemu.cli import cache, log
from xemu.devices import gicv2_registers, gicv3_registers
from xemu.devices.gic import Gic as GicDevice
from xemu.devices.gic import PrivateLine
from xemu.devices.gicv2 import Gicv2
from xemu.devices.gicv3 import Gicv3
from xemu.errors import UserError
from xemu.memory import PAGE_SIZE, BusError, Ram

if TYPE_CHECKING:
    from xemu.accel.virtual_clock import VirtualClock
    from xemu.machine import Machine

SWITCH_INTERVAL = 50e-6  # s
WFE_PAUSE, WFE_LONGEST = 10e-6, 5e-3  # s; for each time that WFE found no event, and at most
PR_SET_TIMERSLACK = 29
TIMER_SLACK = 1000  # ns, by which sleeps may be longer; the default of 50 us is more than some of ours


class MachineBus:
    """The machine as the CPUs see it (targets.arm.system.Bus)."""

    BusError: type[Exception] = BusError

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def mmio_read(self, cpu: int, address: int, size: int) -> int:
        return self._machine.mmio_read(cpu, address, size)

    def mmio_write(self, cpu: int, address: int, size: int, value: int) -> None:
        self._machine.mmio_write(cpu, address, size, value)

    def find_ram(self, address: int) -> int:
        found = self._machine.memory.find(address)
        return found.host + address - found.base if isinstance(found, Ram) else 0

    def writable(self, address: int) -> bool:
        found = self._machine.memory.find(address)
        return isinstance(found, Ram) and not found.readonly


@dataclass(frozen=True, slots=True)
class ConnectedGic:
    """A GIC, and the registers of a GICv2 that native code serves, by physical address."""

    gic: GicDevice
    cpu_interface: int = 0
    sgir: int = 0


class TcgAccelerator:
    """Creates vCPUs of the translator; all of one machine share translations.

    engine: "baseline" or "reference".  code_cache: bytes of host code, after which all is dropped.
    clock: the time that the instructions of one CPU make; None for the host's.
    """

    name = "tcg"
    default_cpu: str | None = None

    def __init__(self, engine: str, code_cache: int, clock: VirtualClock | None = None) -> None:
        self.engine, self.code_cache, self._clock = engine, code_cache, clock
        # a vCPU that comes back from native code waits this long for a Python thread that is busy; the default is 5 ms
        sys.setswitchinterval(SWITCH_INTERVAL)
        return_freed_memory()
        self._machine: Machine | None = None
        self._system: System | None = None
        self._gic: ConnectedGic | None = None

    def attach(self, machine: Machine) -> None:
        self._machine = machine

    def supports(self, part: Part[PartT]) -> bool:
        return True

    def part(self, part: Part[PartT]) -> PartT | None:
        """A GIC: what CPUs do with it is native code's.  All else are devices."""
        if not isinstance(part, Gic):
            return None
        assert self._machine is not None, "attach() comes first"
        machine = self._machine
        if part.version == 3:
            gic = Gicv3(part.lines)
            gicv3_registers.add_registers(gic, machine.memory, part.cpus, part.distributor, part.interface)
            self._gic = ConnectedGic(gic)
        else:
            gic = Gicv2(part.lines, lambda: machine.current_cpu)
            gicv2_registers.add_registers(gic, machine.memory, part.distributor, part.interface)
            self._gic = ConnectedGic(gic, part.interface, part.distributor + gicv2_registers.SGIR_OFFSET)
        return cast("PartT", gic)

    def check_cpu(self, model: str) -> None:
        if model not in MODELS:
            raise UserError(f"-cpu {model}: the translator has {', '.join(MODELS)}")

    def doorbell(self, address: int, size: int, value: int) -> None:
        """The write itself does it."""

    def track_writes(self, ram: Ram, on: bool) -> None:
        system = self._tracked(ram)
        if system.dirty is not None:
            system.dirty.stop()
        system.dirty = DirtyPages(system) if on else None

    def dirty_pages(self, ram: Ram) -> list[int]:
        dirty = self._tracked(ram).dirty
        assert dirty is not None, "track_writes() comes first"
        return [index * PAGE_SIZE for index in dirty.take()]

    def _tracked(self, ram: Ram) -> System:
        if self._system is None or ram.base != self._system.ram.base:
            raise ValueError(f"{ram}: writes are noted for the main RAM of a machine with CPUs")
        return self._system

    def close(self) -> None:
        """Nothing is open."""

    def create_vcpu(self, index: int, model: str) -> TcgVcpu:
        assert self._machine is not None, "attach() comes first"
        self.check_cpu(model)
        found = MODELS[model]
        if self._gic is not None and self._gic.gic.version == 3:
            found = found.with_gicv3()
        if self._system is None:
            self._system = _system(self._machine, found, self.code_cache)
        vcpu = self._vcpu(self._machine, self._system, index, found)
        if self._gic is not None:
            vcpu.connect_gic(self._gic)
        return vcpu

    def _vcpu(self, machine: Machine, system: System, index: int, model: Model) -> TcgVcpu:
        if self._clock is None:
            return TcgVcpu(machine, system, index, model, self.engine)
        from xemu.accel.tcg_icount import IcountVcpu

        return IcountVcpu(machine, system, index, model, self.engine, self._clock)


def _system(machine: Machine, model: Model, code_cache: int) -> System:
    main = max((r for r in machine.memory.rams if not r.readonly), key=lambda r: r.size)
    ram = MainRam(main.base, main.size, main.host)
    shown = log.enabled("op") or log.enabled("op_opt")  # what is to be shown has to be made
    store = None if shown else cache.open_store(*targets.arm.__path__)
    warn = _log_table if log.enabled("unimp") else None
    system = System(model.features, ram, warn, code_cache, store=store)
    machine.memory.on_ram_write.append(system.written)
    machine.memory.on_map_change.append(lambda: smp.map_changed(system.cpus, machine.current_cpu))
    tcg_log.attach(system, machine)
    if store is not None:
        store.save_in_background()
        machine.on_stop.append(lambda: cache.close_store(store))
    return system


def _cpu_class(engine: str) -> type[ArmCpu]:
    if engine == "baseline":
        return ArmCpu

    from targets.arm.reference import ReferenceCpu

    return ReferenceCpu


def _log_table(text: str) -> None:
    log.write("unimp", text)


class TcgVcpu:
    """A vCPU in the machine: power, lines, timers, waiting."""

    def __init__(
        self,
        machine: Machine,
        system: System,
        index: int,
        model: Model,
        engine: str,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.machine, self.index = machine, index
        self.powered = False
        self.timer_lines: dict[str, Line] = {}
        self.cpu = _cpu_class(engine)(system, MachineBus(machine), index, model)
        tcg_log.attach_cpu(self.cpu)
        self.cpu.wake = self._notify
        self._now = now  # ns, as native code reads them
        self._timer_thread: TimerThread | None = None  # there is somebody to interrupt
        self._wake = threading.Condition()
        self._kicked = False
        self._standby = False
        self._clock_start = 0

    def connect_gic(self, to: ConnectedGic) -> None:
        to.gic.add_cpu(self.cpu)
        self.cpu.connect_gic(to.gic.block.address, to.cpu_interface, to.sgir)
        self._timer_thread = TimerThread(self.cpu, self._notify)
        self.cpu.timer_changed = self._timer_thread.programmed

    # -- lines --------------------------------------------------------------------------------------------------------
    def line(self, name: str) -> Line:
        bit = ("irq", "fiq").index(name)
        return lambda level: self._set_line(bit, level)

    def _set_line(self, bit: int, level: bool) -> None:
        self.cpu.set_line(bit, level)
        if level:
            self._notify()

    def kick(self) -> None:
        self.cpu.kick()
        self._kicked = True
        self._notify()

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify_all()

    # -- power --------------------------------------------------------------------------------------------------------
    def power(self, registers: Mapping[str, int]) -> None:
        self.cpu.reset(0)
        for name, value in registers.items():
            self.cpu.write_register(name, value)
        self.cpu.set("cnt_base", self._boot_clock())
        if self._timer_thread is not None:
            for k, timer in enumerate(TIMERS):
                line = self.timer_lines.get(timer.line)
                self.cpu.set("timer_ppi", 1 << line.number if isinstance(line, PrivateLine) else 0, k)
            self.cpu.call("timer_update")
        self.powered = True
        self._notify()

    def _boot_clock(self) -> int:
        """Host clock at power-on of the machine: all its CPUs count from there."""
        first = self.machine.vcpus[0]
        if first is self or not isinstance(first, TcgVcpu):
            self._clock_start = self._now()
            return self._clock_start
        return first._clock_start

    def power_off(self) -> None:
        self.powered = False
        self.cpu.set("timer_next", NEVER)

    def standby(self) -> None:
        self._standby = True

    def read_register(self, name: str) -> int:
        return self.cpu.read_register(name)

    def write_register(self, name: str, value: int) -> None:
        self.cpu.write_register(name, value)

    # -- running ------------------------------------------------------------------------------------------------------
    def run(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, TIMER_SLACK)
        stop_timers = self._start_timers()
        try:
            while not self.machine.stopping:
                if self.powered:
                    self._execute()
                else:
                    self._wait(lambda: self.powered)
        finally:
            stop_timers()

    def _start_timers(self) -> Callable[[], None]:
        """Start whatever looks at the clock for the timers; gives what ends it."""
        if self._timer_thread is None:
            return lambda: None
        self._timer_thread.start(f"timer{self.index}")
        return self._timer_thread.stop

    def _execute(self) -> None:
        reason = self.cpu.run()
        if reason == Exit.HYPERCALL:
            self._hypercall()
        elif reason == Exit.WFI:
            self._idle(self.cpu.interrupt_waits)
        elif reason == Exit.WFE:
            # events that nobody sends (another CPU's store to what this one waits for, the timer's event stream) are
            # not seen: look again after a while, as a CPU may that wakes for no reason
            self.cpu.set("asleep", 1)
            self._idle(self.cpu.event_waits, min(WFE_PAUSE * self.cpu.get("wfe_pauses"), WFE_LONGEST))
            self.cpu.set("asleep", 0)
            self.cpu.set("event_register", 0)

    def _hypercall(self) -> None:
        regs = [self.cpu.get("x", k) for k in range(4)]
        with self.machine.lock:  # once this CPU is off, another one may start it anew: then x0 is what that one gave
            result = self.machine.hypercall(self, regs)
            if self.powered:
                self.cpu.set("x", result, 0)
        if self._standby:
            self._standby = False
            self._idle(self.cpu.interrupt_waits)

    def _idle(self, ready: Callable[[], bool], pause: float | None = None) -> None:
        """The guest waits until `ready`, or for `pause` seconds."""
        self._wait(ready, pause)

    def _wait(self, ready: Any, timeout: float | None = None) -> None:
        """Sleep until `ready`, the machine stops, somebody kicks, or for `timeout` seconds."""
        with self._wake:
            self.cpu.set("waiting", 1)  # before `ready` looks: from then on native code of other CPUs wakes us
            while not ready() and not self.machine.stopping and not self._kicked:
                if not self._wake.wait(timeout):
                    break
            self.cpu.set("waiting", 0)
            self._kicked = False
