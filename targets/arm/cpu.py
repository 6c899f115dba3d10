"""One Arm vCPU of the translator: its state, the callbacks that native code makes, and the loop around native code."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from jit.codecache import CacheFull
from targets.arm import debug, debug_points, mmu, smp, sysregs, trace
from targets.arm.a64.lift import Mode
from targets.arm.dispatch import XTLB_BITS, XTLB_ENTRY_BITS, XTLB_PHYSICAL, XTLB_TABLE, XTLB_TAG
from targets.arm.env import ENV, HOST_FUNCTIONS, SLOTS, SP_INDEX, STITCHER_FUNCTIONS
from targets.arm.exits import Event, Exit
from targets.arm.models import Model
from targets.arm.statistics import CallTimes, timed
from targets.arm.system import PAGE, Arena, Bus, System

MASK64 = (1 << 64) - 1
_U64 = ctypes.c_uint64
STEP_MODE = Mode(0, False, True, False).key

# C signatures of the callbacks: result, arguments
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "mmio_read": (_U64, _U64, _U64, _U64),
    "mmio_write": (None, _U64, _U64, _U64, _U64),
    "code_write": (None, _U64, _U64),
    "resolve": (_U64, _U64),
    "event": (None, _U64, _U64, _U64),
}


class ArmCpu:
    """Registers, TLBs and execution of one CPU.

    bus: the machine.  run() executes until something needs Python that this class does not do itself, and says what.
    """

    def __init__(self, system: System, bus: Bus, index: int, model: Model) -> None:
        self.system, self.bus, self.index, self.model = system, bus, index, model
        self._state = Arena((ENV.size + PAGE - 1) & -PAGE)
        self.env = self._state.base
        self._slots = Arena(mmu.SLOTS_BYTES)
        self.failure: BaseException | None = None
        self.trace_blocks = False
        self._kicked = False
        self.inside = False  # in native code, callbacks from it included
        self.log: Callable[[str, str], None] = lambda item, text: None
        self.timer_changed: Callable[[], None] = lambda: None
        self.wake: Callable[[], None] = lambda: None
        self.exits = [0] * len(Exit)
        self.call_times: dict[str, CallTimes] = {}
        self._keep: list[Any] = []
        symbols = system.engine.symbols
        self._enter = ctypes.CFUNCTYPE(None, _U64, _U64)(symbols["enter"])
        self._lookup = symbols["lookup"]
        self._starts = frozenset(symbols.values())
        self._wire()
        system.cpus.append(self)
        self.guard_times = CallTimes()  # waiting for the others before a page's first translation
        self._natives: dict[str, Any] = {}
        for k, cpu in enumerate(system.cpus):
            cpu.set("peers", len(system.cpus) - 1)
            _U64.from_address(system.shared.base + smp.CPUS_AT + 8 * k).value = cpu.env

    # -- state --------------------------------------------------------------------------------------------------------
    def get(self, name: str, index: int = 0) -> int:
        """A field of the CPU state by name (see targets/arm/env.py)."""
        f = ENV[name]
        return int.from_bytes(ctypes.string_at(self.env + f.at(index), f.type.bytes), "little")

    def set(self, name: str, value: int, index: int = 0) -> None:
        f = ENV[name]
        size = f.type.bytes
        ctypes.memmove(self.env + f.at(index), (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little"), size)

    def _register(self, name: str) -> tuple[str, int]:
        """(field, index) of a register by its name in the manual: x0..x30, sp, pc, v0..v31, or a system register's."""
        name = name.lower()
        if name == "sp":
            return "x", SP_INDEX
        if name == "pc":
            return "pc", 0
        if name[:1] in ("x", "v") and name[1:].isdigit() and int(name[1:]) < (31 if name[0] == "x" else 32):
            return name[0], int(name[1:])
        row = sysregs.BY_NAME.get(name)
        if row is None or not row.field:
            raise KeyError(f"there is no register {name}, or it is no plain value")
        return row.field, row.index

    def read_register(self, name: str) -> int:
        """A register by its name; KeyError where there is none."""
        return self.get(*self._register(name))

    def write_register(self, name: str, value: int) -> None:
        self.set(self._register(name)[0], value, self._register(name)[1])

    def call(self, name: str, *args: int) -> int:
        """Call a runtime function natively."""
        fn = self._natives.get(name)
        if fn is None:
            make = ctypes.CFUNCTYPE(_U64, _U64, *([_U64] * len(args)))
            fn = self._natives[name] = make(self.system.engine.symbols[name])
        return fn(self.env, *args)

    def _wire(self) -> None:
        """Addresses of runtime code, callbacks and memory: what stays for the CPU's whole life."""
        symbols, ram, system = self.system.engine.symbols, self.system.ram, self.system
        for name in SLOTS:
            self.set(f"rt_{name}", symbols[name])
        for name, signature in SIGNATURES.items():
            times = self.call_times[name] = CallTimes()
            called = timed(self._guard(getattr(self, f"_on_{name}")), times, self.env + ENV["called_at"].offset)
            fn = ctypes.CFUNCTYPE(*signature)(called)
            self._keep.append(fn)
            self.set(f"cb_{name}", ctypes.cast(fn, ctypes.c_void_p).value or 0)
        for name in HOST_FUNCTIONS:
            function = ctypes.CDLL(None)[name]
            self.set(f"cb_{name}", ctypes.cast(function, ctypes.c_void_p).value or 0)
        if system.engine.machine is None:
            self.set("cb_publish", system.engine.host.publish_address())
            self.set("stitcher", system.engine.state)
            for name, function in STITCHER_FUNCTIONS.items():
                self.set(f"cb_{name}", system.engine.entrances[function])
        for name, value in (
            ("code_base", system.engine.cache.base), ("code_written", system.engine.cache.written),
            ("ram_base", ram.base), ("ram_size", ram.size),
            ("ram_host", ram.host), ("ram_flags", system.flags.base), ("code_lines", system.lines.base),
            ("dirs", system.directories.base), ("dir_bytes", system.dir_bytes), ("slots", self._slots.base),
            ("empty_table", system.engine.tables.empty), ("shared", system.shared.base),
        ):  # fmt: skip
            self.set(name, value)

    def _guard(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """A callback must not raise into native code: keep the exception, stop, and raise it in run()."""

        def guarded(*args: Any) -> Any:
            try:
                return fn(*args)
            except BaseException as e:
                self.failure = e
                self.kick()
                return 0

        return guarded

    def reset(self, entry: int, x0: int = 0) -> None:
        """Architectural reset to EL1h with all exceptions masked, execution starting at `entry`."""
        ctypes.memset(self.env + ENV.x, 0, ENV.fields["zero"].offset)
        for name, element, value in sysregs.reset_values(self.model, self.index):
            self.set(name, value, element)
        for name, value in (("el", 1), ("spsel", 1), ("daif", 15), ("pc", entry), ("excl_addr", MASK64)):
            self.set(name, value)
        self.set("x", x0, 0)
        mmu.init_env(self.env, self.model.pa_bits, self.model.granules)
        self.set("peers", len(self.system.cpus) - 1)
        self.call("mode_changed")
        self.call("set_regime")

    # -- execution ----------------------------------------------------------------------------------------------------
    def run(self) -> Exit:
        """Execute guest code until an exit that the caller must handle."""
        field = ctypes.c_uint32.from_address(self.env + ENV.exit_reason)
        start, reason = self._lookup, Exit.NONE
        while True:
            if self.trace_blocks:
                start = self._trace(start, reason != Exit.TRANSLATE)
            self._native(start)
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            reason = field.value
            self.exits[reason] += 1
            if reason == Exit.TRANSLATE:
                self._translate()
                start = self._lookup
            elif reason == Exit.STEP:
                start = self._step()
            elif reason == Exit.STOP and self.trace_blocks and not self._kicked:
                start = self._lookup
            else:
                self._kicked = False
                self.set("stop_request", 0)
                return Exit(reason)

    def _native(self, start: int) -> None:
        """Enter native code, but not while the cache is emptied."""
        self.inside = True
        while self.system.closed:
            self.inside = False
            self.system.wait_open()
            if start not in self._starts:
                start = self._step()  # its code may be gone
            self.inside = True
        self._enter(self.env, start)
        self.inside = False

    def _trace(self, start: int, new: bool) -> int:
        """`-d exec`: log where code is entered, and have native code come back at the next look-up or loop.

        new: it is not the same place again, now that there is code for it.
        The way in leaves out the check that would come back at once; interrupts are therefore taken here.
        """
        if start != self._lookup:
            return start
        if new:
            self.log("exec", self.trace_text())
        symbols, lines, daif = self.system.engine.symbols, self.call("interrupt_poll"), self.get("daif")
        self.set("stop_request", 1)
        self.attend()
        if lines & 2 and not daif & 1:
            return symbols["take_fiq"]
        if lines & 1 and not daif & 2:
            return symbols["take_irq"]
        return symbols["lookup_miss"]

    def trace_text(self) -> str:
        return f"CPU {self.index}: {self.get('pc'):#x} EL{self.get('el')}"

    def _step(self) -> int:
        """Software step: the code of the one instruction at env.pc, or of its fetch fault."""
        system = self.system
        while True:
            if self.call("fetch_fill", self.get("pc")):
                return system.engine.symbols["fetch_fault"]
            pc = self.get("pc")
            offset = pc & (PAGE - 1)
            self.set("pc_base", pc - offset)

            def one(number: int, offset: int = offset) -> int:
                page = system.code_at(self, number, self._mode() | STEP_MODE, offset)
                self._note_step(*struct.unpack_from("<I", system.read_page(number), offset))
                return system.engine.cache.base + page.table[offset >> 2]

            code = self._with_code_page(pc, one)
            if code:
                return code

    def _note_step(self, word: int) -> None:
        if debug.is_load_exclusive(word):
            self.set("step_iss", self.get("step_iss") | debug.STEP_EX)

    def _translate(self) -> None:
        system = self.system
        pc = _U64.from_address(self.env + ENV.pc).value

        def make(number: int) -> int:
            page = system.code_at(self, number, self._mode(), pc & (PAGE - 1))
            _U64.from_address(self._fetch_entry(pc) + XTLB_TABLE).value = page.address
            return 0

        self._with_code_page(pc, make)

    def _with_code_page(self, pc: int, make: Callable[[int], int]) -> int:
        """make(number of pc's physical page), with the engine's lock, once no store to the page can go unnoticed.

        0 where the cache was emptied: the address is to be looked up again.
        """
        system, waited = self.system, 0
        try:
            while True:
                with system.engine.lock:
                    number = self._physical_page(pc)
                    if number is None:
                        return 0
                    upto = system.guard(self, number, waited)
                    if not upto:
                        system.fetch_pc = pc
                        return make(number)
                # without the lock, which they may need before they come to a block head
                started = perf_counter_ns()
                self.call("await_peers", upto)
                self.guard_times.add(perf_counter_ns() - started)
                waited = upto
        except CacheFull:
            system.drop_all(self)
            return 0

    def _physical_page(self, pc: int) -> int | None:
        """Number of the physical page of pc by the exec TLB; None where that does not have it."""
        entry = self._fetch_entry(pc)
        if not entry:
            return None
        number: int = _U64.from_address(entry + XTLB_PHYSICAL).value >> 12
        if number not in self.system.rom_hosts and not self._in_ram(number):
            self.system.rom_hosts[number] = self.bus.find_ram(number * PAGE)
        return number

    def _mode(self) -> int:
        """Key of the present block mode, from where page_dir points."""
        directory = _U64.from_address(self.env + ENV["page_dir"].at(self.get("el"))).value
        return (directory - self.system.directories.base) // self.system.dir_bytes

    def _in_ram(self, number: int) -> bool:
        ram = self.system.ram
        return ram.base <= number * PAGE < ram.base + ram.size

    def _fetch_entry(self, pc: int) -> int:
        """Address of the exec-TLB entry of pc, or 0."""
        xtlb = _U64.from_address(self.env + ENV.xtlb).value
        entry: int = xtlb + (((pc >> 12) & ((1 << XTLB_BITS) - 1)) << XTLB_ENTRY_BITS)
        return entry if _U64.from_address(entry + XTLB_TAG).value == pc & -PAGE & MASK64 else 0

    # -- from other threads -------------------------------------------------------------------------------------------
    def attend(self) -> None:
        """Make native code look around at its next block head."""
        ctypes.c_uint32.from_address(self.env + ENV.attn).value = 1

    def kick(self) -> None:
        """Make run() return Exit.STOP soon."""
        self._kicked = True
        ctypes.c_uint32.from_address(self.env + ENV.stop_request).value = 1
        self.attend()

    def interrupt_waits(self) -> bool:
        """Whether WFI has something to wake up for: an interrupt line, masked or not.  In the CPU's own thread."""
        return self.call("interrupt_poll") != 0

    def event_waits(self) -> bool:
        """The same for WFE."""
        return self.interrupt_waits() or self.get("event_register") != 0

    def set_line(self, bit: int, level: bool) -> None:
        """IRQ (bit 0) or FIQ (bit 1) input.  Callers hold the machine's lock."""
        lines = ctypes.c_uint32.from_address(self.env + ENV.irq_lines)
        lines.value = lines.value | 1 << bit if level else lines.value & ~(1 << bit)
        if level:
            self.attend()

    # -- what a GIC needs of a CPU: targets.arm.gic_state.Core ---------------------------------------------------------
    def connect_gic(self, block: int, cpu_interface: int = 0, sgir: int = 0) -> None:
        """Share interrupt state: address of a gic_state.Block, in which this CPU has the number that it has here.

        cpu_interface, sgir: where a GICv2 has its CPU interface and GICD_SGIR.
        """
        self.set("gicc_at", cpu_interface)
        self.set("gicd_sgir_at", sgir)
        self.set("timer_next", MASK64)
        self.set("timer_alarm", MASK64)
        self.set("gic_index", self.index)
        self.set("gic", block)

    def set_bits(self, address: int, bits: int) -> None:
        self.call("set_bits", address, bits)

    def clear_bits(self, address: int, bits: int) -> None:
        self.call("clear_bits", address, bits)

    def alert(self) -> None:
        self.attend()
        self.wake()

    def forget_code(self) -> None:
        """All translations are gone: no exec-TLB entry may name one."""
        self.call("fetch_flush")

    # -- callbacks ----------------------------------------------------------------------------------------------------
    def _on_mmio_read(self, _env: int, address: int, size: int) -> int:
        try:
            return self.bus.mmio_read(self.index, address, size)
        except self.bus.BusError as e:
            return self._bus_fault(e)

    def _on_mmio_write(self, _env: int, address: int, size: int, value: int) -> None:
        try:
            self.bus.mmio_write(self.index, address, size, value)
        except self.bus.BusError as e:
            self._bus_fault(e)

    def _bus_fault(self, error: Exception) -> int:
        self.set("bus_fault", 1)
        self.log("guest_errors", str(error))
        return 0

    def _on_code_write(self, address: int, size: int) -> None:
        self.system.written(address, size)

    def _on_resolve(self, address: int) -> int:
        host = self.bus.find_ram(address)
        return host | self.bus.writable(address) if host else 0

    def _on_event(self, _env: int, kind: int, value: int) -> None:
        if kind == Event.TIMER:
            self.timer_changed()
        elif kind == Event.DEBUG:
            self._breakpoints_changed()
        elif kind == Event.WAKE:
            self.system.cpus[value].wake()
        elif kind == Event.SEND_EVENT:
            for cpu in self.system.cpus:
                if cpu.get("asleep"):
                    cpu.wake()
        elif told := trace.describe(self, kind, value):
            self.log(*told)

    def _breakpoints_changed(self) -> None:
        """Code at the page offset of an enabled breakpoint gets a check before it, and keeps that for good."""
        with self.system.engine.lock:
            for offset in debug_points.page_offsets(self.get):
                self.system.engine.insert_at(offset, "breakpoint_check")
