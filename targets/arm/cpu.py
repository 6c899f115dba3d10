"""One Arm vCPU of the translator: its state, the callbacks that native code makes, and the loop around native code."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable
from typing import Any

from jit.codecache import CacheFull
from targets.arm import mmu, sysregs
from targets.arm.dispatch import XTLB_BITS, XTLB_ENTRY_BITS, XTLB_PHYSICAL, XTLB_TABLE, XTLB_TAG
from targets.arm.env import CALLBACK_AT, ENV, SLOTS
from targets.arm.exits import Exit
from targets.arm.models import Model
from targets.arm.system import PAGE, Arena, Bus, System

MASK64 = (1 << 64) - 1
_U64 = ctypes.c_uint64

# C signatures of the callbacks: result, arguments
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "mmio_read": (_U64, ctypes.c_void_p, _U64, _U64),
    "mmio_write": (None, ctypes.c_void_p, _U64, _U64, _U64),
    "code_write": (None, _U64, _U64),
    "resolve": (_U64, _U64),
    "event": (None, ctypes.c_void_p, _U64, _U64),
    "unimp": (None, ctypes.c_void_p, _U64),
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
        self.log: Callable[[str, str], None] = lambda item, text: None
        self.exits = [0] * len(Exit)
        self._keep: list[Any] = []
        symbols = system.engine.symbols
        self._enter = ctypes.CFUNCTYPE(None, _U64, _U64)(symbols["enter"])
        self._lookup = symbols["lookup"]
        self._wire()
        system.cpus.append(self)

    # -- state ----------------------------------------------------------------------------------------------------------
    def get(self, name: str, index: int = 0) -> int:
        """A field of the CPU state by name (see targets/arm/env.py)."""
        f = ENV[name]
        return int.from_bytes(ctypes.string_at(self.env + f.at(index), f.type.bytes), "little")

    def set(self, name: str, value: int, index: int = 0) -> None:
        f = ENV[name]
        size = f.type.bytes
        ctypes.memmove(self.env + f.at(index), (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little"), size)

    def call(self, name: str, *args: int) -> int:
        """Call a runtime function natively."""
        fn = ctypes.CFUNCTYPE(_U64, _U64, *([_U64] * len(args)))(self.system.engine.symbols[name])
        return fn(self.env, *args)

    def _wire(self) -> None:
        """Addresses of runtime code, callbacks and memory: what stays for the CPU's whole life."""
        symbols, ram, system = self.system.engine.symbols, self.system.ram, self.system
        for name in SLOTS:
            if name in symbols:
                self.set(f"rt_{name}", symbols[name])
        for name, signature in _SIGNATURES.items():
            if name in CALLBACK_AT:
                fn = ctypes.CFUNCTYPE(*signature)(self._guard(getattr(self, f"_on_{name}")))
                self._keep.append(fn)
                self.set(f"cb_{name}", ctypes.cast(fn, ctypes.c_void_p).value or 0)
        clock = ctypes.CDLL(None).clock_gettime
        self.set("cb_clock_gettime", ctypes.cast(clock, ctypes.c_void_p).value or 0)
        for name, value in (
            ("code_base", system.engine.cache.base), ("ram_base", ram.base), ("ram_size", ram.size),
            ("ram_host", ram.host), ("ram_flags", system.flags.base), ("dirs", system.directories.base),
            ("dir_bytes", system.dir_bytes), ("slots", self._slots.base), ("empty_table", system.engine.tables.empty),
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
        for name, value in sysregs.reset_values(self.model, self.index).items():
            self.set(name, value)
        for name, value in (("el", 1), ("spsel", 1), ("daif", 15), ("pc", entry), ("excl_addr", MASK64)):
            self.set(name, value)
        self.set("x", x0, 0)
        mmu.init_env(self)
        self.call("mode_changed")

    # -- execution ------------------------------------------------------------------------------------------------------
    def run(self) -> Exit:
        """Execute guest code until an exit that the caller must handle."""
        field = ctypes.c_uint32.from_address(self.env + ENV.exit_reason)
        while True:
            self._enter(self.env, self._lookup)
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            reason = field.value
            self.exits[reason] += 1
            if reason != Exit.TRANSLATE:
                return Exit(reason)
            self._translate()

    def _translate(self) -> None:
        system, env = self.system, self.env
        pc = _U64.from_address(env + ENV.pc).value
        with system.engine.lock:
            entry = self._fetch_entry(pc)
            number = _U64.from_address(entry + XTLB_PHYSICAL).value >> 12
            directory = _U64.from_address(env + ENV["page_dir"].at(self.get("el"))).value
            mode = (directory - system.directories.base) // system.dir_bytes
            if number not in system.rom_hosts and not self._in_ram(number):
                system.rom_hosts[number] = self.bus.find_ram(number * PAGE)
            page = system.code_page(number, mode)
            _U64.from_address(entry + XTLB_TABLE).value = page.address
            if page.table[(pc & 0xFFF) >> 2]:
                return  # another CPU was here, or the entry was an old one
            try:
                system.engine.translate(page, pc & 0xFFF)
            except CacheFull:
                system.drop_all()

    def _in_ram(self, number: int) -> bool:
        ram = self.system.ram
        return ram.base <= number * PAGE < ram.base + ram.size

    def _fetch_entry(self, pc: int) -> int:
        """Address of the exec-TLB entry that brought us to `pc`."""
        xtlb = _U64.from_address(self.env + ENV.xtlb).value
        entry = xtlb + (((pc >> 12) & ((1 << XTLB_BITS) - 1)) << XTLB_ENTRY_BITS)
        if _U64.from_address(entry + XTLB_TAG).value != pc & -PAGE & MASK64:
            raise AssertionError(f"no exec TLB entry for {pc:#x}")
        return entry

    # -- from other threads ---------------------------------------------------------------------------------------------
    def attend(self) -> None:
        """Make native code look around at its next block head."""
        ctypes.c_uint32.from_address(self.env + ENV.attn).value = 1

    def kick(self) -> None:
        """Make run() return Exit.STOP soon."""
        ctypes.c_uint32.from_address(self.env + ENV.stop_request).value = 1
        self.attend()

    def set_line(self, bit: int, level: bool) -> None:
        """IRQ (bit 0) or FIQ (bit 1) input.  Callers hold the machine's lock."""
        lines = ctypes.c_uint32.from_address(self.env + ENV.irq_lines)
        lines.value = lines.value | 1 << bit if level else lines.value & ~(1 << bit)
        if level:
            self.attend()

    def protect_page(self, address: int) -> None:
        self.call("protect_page", address)

    def forget_code(self) -> None:
        """All translations are gone: no exec-TLB entry may name one."""
        self.call("fetch_flush")

    # -- callbacks --------------------------------------------------------------------------------------------------------
    def _on_mmio_read(self, _env: int, address: int, size: int) -> int:
        return self.bus.mmio_read(self.index, address, size)

    def _on_mmio_write(self, _env: int, address: int, size: int, value: int) -> None:
        self.bus.mmio_write(self.index, address, size, value)

    def _on_code_write(self, address: int, size: int) -> None:
        self.system.written(address, size)

    def _on_resolve(self, address: int) -> int:
        return self.bus.find_ram(address)

    def _on_unimp(self, _env: int, what: int) -> None:
        self.log("unimp", f"system register {what:#x}")

    def _on_event(self, _env: int, kind: int, value: int) -> None:
        self.log("event", f"{kind} {value:#x}")


__all__ = ["ArmCpu", "struct", "threading"]
