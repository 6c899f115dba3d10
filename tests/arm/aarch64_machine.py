"""The whole baseline engine on an AArch64 host, which is Unicorn: a vCPU whose host code runs in there.

All that host code reaches lies in Unicorn at the addresses that it has here.  Python callbacks are addresses in a page
of returns: Unicorn stops there, and the Python function runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from targets.arm.cpu import SIGNATURES, ArmCpu
from targets.arm.env import ENV
from targets.arm.models import Model
from targets.arm.system import Bus, System

RET = 0xD65F_03C0
AT = 0x10_0000  # nothing of this process is mapped this low: return address, callbacks, stack
RETURN, CALLBACKS, STACK_SIZE = AT, AT + 0x100, 1 << 20
NAMES = (*SIGNATURES, "clock_gettime", "publish")  # the other host functions are for machines of several CPUs


class Aarch64Cpu(ArmCpu):
    """ArmCpu for a System made with machine="aarch64"."""

    def __init__(self, system: System, bus: Bus, index: int, model: Model) -> None:
        import unicorn as u
        from unicorn import arm64_const as c

        self.c = c
        self.uc = uc = u.Uc(u.UC_ARCH_ARM64, u.UC_MODE_ARM)
        uc.ctl_set_cpu_model(c.UC_CPU_ARM64_A53)
        uc.reg_write(c.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        uc.mem_map(AT, STACK_SIZE)
        uc.mem_write(AT, RET.to_bytes(4, "little") * 1024)
        uc.hook_add(u.UC_HOOK_CODE, self._stopped, None, CALLBACKS, CALLBACKS + 4 * len(NAMES))
        self._mapped: set[int] = set()
        super().__init__(system, bus, index, model)
        self._callbacks: list[Callable[..., int | None]] = [getattr(self, f"_on_{name}") for name in SIGNATURES]
        self._callbacks.append(lambda clock, where: ctypes.CDLL(None).clock_gettime(clock, ctypes.c_void_p(where)))
        self._callbacks.append(uc.ctl_remove_cache)
        for k, name in enumerate(NAMES):
            self.set(f"cb_{name}", CALLBACKS + 4 * k)
        engine, ram = system.engine, system.ram
        for base, size in (
            (engine.cache.base, engine.cache.size), (engine.cache.written, engine.cache.size),
            (engine.tables.base, engine.tables.count * 4096),
            (ram.host, ram.size), *((a.base, a.size) for a in (system.directories, system.flags, system.lines)),
            (self._state.base, self._state.size), (self._slots.base, self._slots.size),
        ):  # fmt: skip
            uc.mem_map_ptr(base, (size + 4095) & -4096, u.UC_PROT_ALL, base)

    def _stopped(self, uc: Any, address: int, _size: int, _user: Any) -> None:
        """A callback: x0 to x4 are its arguments, x0 its result."""
        k = (address - CALLBACKS) // 4
        count = len(SIGNATURES[NAMES[k]]) - 1 if NAMES[k] in SIGNATURES else 2
        registers = [getattr(self.c, f"UC_ARM64_REG_X{n}") for n in range(count)]
        out = self._callbacks[k](*(uc.reg_read(r) for r in registers))
        uc.reg_write(self.c.UC_ARM64_REG_X0, out or 0)

    def _run(self, function: int, *args: int) -> int:
        uc, c = self.uc, self.c
        if not self.inside:
            uc.ctl_flush_tb()  # code may have been placed
        for n, value in enumerate(args):
            uc.reg_write(getattr(c, f"UC_ARM64_REG_X{n}"), value)
        uc.reg_write(c.UC_ARM64_REG_LR, RETURN)
        uc.reg_write(c.UC_ARM64_REG_SP, AT + STACK_SIZE - 64)
        uc.emu_start(function, RETURN)
        return int(uc.reg_read(c.UC_ARM64_REG_X0))

    def call(self, name: str, *args: int) -> int:
        return self._run(self.system.engine.symbols[name], self.env, *args)

    def _native(self, start: int) -> None:
        self._run(self.system.engine.symbols["enter"], self.env, start)


assert ENV.size  # the state is mapped whole
