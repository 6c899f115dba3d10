"""Arm Generic Interrupt Controller, version 3 (Arm IHI 0069), with one Security state, affinity routing, and no LPIs.

The state is in memory that native code shares (targets/arm/gic_state.py): arbitration, acknowledge and end are there,
in targets/arm/gic.py, and the CPU interface is system registers. What is left for Python is configuration
(gicv3_registers.py) and the input lines.
"""

import ctypes
from typing import Any

from targets.arm.env import ENV
from targets.arm.gic_state import (
    BITMAPS,
    CLUSTER,
    GIC,
    LEVEL_SHIFT,
    MAX_CPUS,
    MAX_LINES,
    PRIVATE,
    Block,
    Core,
    affinity,
    read32,
    write32,
)
from xemu.accel.base import Line

VERSION = 3
SGIS = 16  # interrupts 0..15: software generated
SGI_BITS = (1 << SGIS) - 1
ROUTE_MASK = 0xFF_00FF_FFFF  # IROUTER: Aff3 and Aff2.Aff1.Aff0; "to whichever CPU is free" is not implemented
_IGNORED = (1020, 1021, 1022, 1023)  # INTIDs with a meaning of their own


class Bank:
    """Interrupts with neighbouring numbers: bitmaps in words of 32, and a byte of priority each."""

    def __init__(self, bitmaps: dict[str, int], priorities: int, atomic: Core) -> None:
        self._bitmaps, self._priorities, self._atomic = bitmaps, priorities, atomic

    def read(self, name: str, word: int) -> int:
        return read32(self._bitmaps[name] + 4 * word)

    def write(self, name: str, word: int, value: int) -> None:
        """What native code does not change: enabled, group, edge."""
        write32(self._bitmaps[name] + 4 * word, value)

    def set_bits(self, name: str, word: int, bits: int) -> None:
        self._atomic.set_bits(self._bitmaps[name] + 4 * word, bits)

    def clear_bits(self, name: str, word: int, bits: int) -> None:
        self._atomic.clear_bits(self._bitmaps[name] + 4 * word, bits)

    def pending(self, word: int) -> int:
        return self.read("latched", word) | self.read("level", word) & ~self.read("edge", word)

    def input(self, word: int, bit: int, level: bool) -> bool:
        """Whether this is news."""
        if bool(self.read("level", word) & bit) == level:
            return False
        if not level:
            self.clear_bits("level", word, bit)
            return True
        self.set_bits("level", word, bit)
        self.set_bits("latched", word, bit & self.read("edge", word))
        return True

    def priority(self, index: int) -> int:
        return ctypes.c_uint8.from_address(self._priorities + index).value

    def set_priority(self, index: int, value: int) -> None:
        ctypes.c_uint8.from_address(self._priorities + index).value = value


class PrivateLine:
    """The input of a private interrupt; a CPU that drives its own by itself takes `number` from it."""

    def __init__(self, gic: "Gicv3", cpu: int, number: int) -> None:
        self._gic, self._cpu, self.number = gic, cpu, number

    def __call__(self, level: bool) -> None:
        if self._gic.private[self._cpu].input(0, 1 << self.number, level):
            self._gic.cores[self._cpu].alert()


class UnsharedCore:
    """A CPU that executes nothing: state without anybody who looks at it."""

    def __init__(self) -> None:
        self._memory = ctypes.create_string_buffer(ENV.size + 64)
        self.env = (ctypes.addressof(self._memory) + 63) & -64

    def set_bits(self, address: int, bits: int) -> None:
        write32(address, read32(address) | bits)

    def clear_bits(self, address: int, bits: int) -> None:
        write32(address, read32(address) & ~bits)

    def alert(self) -> None: ...


class Gicv3:
    """All interrupts. CPUs are added one after the other, before anything happens."""

    def __init__(self, lines: int) -> None:
        if lines % 32 or not PRIVATE < lines <= MAX_LINES:
            raise ValueError(
                f"a GICv3 has a multiple of 32 lines, more than {PRIVATE} and up to {MAX_LINES}, not {lines}"
            )
        self.lines = lines
        self.block = Block()
        self.cores: list[Core] = []
        self.private: list[Bank] = []
        self.routes = [0] * lines
        self.asleep: list[bool] = []  # GICR_WAKER.ProcessorSleep
        write32(self._at("lines"), lines)
        write32(self._at("level_shift"), LEVEL_SHIFT)

    def connect(self, cpu: int, irq: Line, fiq: Line) -> None:
        """The outputs are in the state of the CPU, which looks there by itself."""

    def _at(self, name: str, index: int = 0) -> int:
        return self.block.address + GIC[name].at(index)

    def add_cpu(self, core: Core) -> None:
        if len(self.cores) == MAX_CPUS:
            raise ValueError(f"a GICv3 serves up to {MAX_CPUS} CPUs here")
        if not self.cores:
            self.shared = Bank({name: self._at(name) for name in BITMAPS}, self._at("priority"), core)
        ctypes.c_uint64.from_address(self._at("env", len(self.cores))).value = core.env
        self.cores.append(core)
        bitmaps = {name: core.env + ENV[f"gic_{name}"].offset for name in BITMAPS}
        self.private.append(Bank(bitmaps, core.env + ENV.gic_priority, core))
        self.asleep.append(True)
        write32(self._at("cpus"), len(self.cores))
        self.reset()

    def reset(self) -> None:
        """All as at power-on but the levels of the lines, which belong to whoever drives them."""
        self.groups = 0
        for word in range(1, self.lines // 32):
            self._clear(self.shared, word)
        for bank in self.private:
            self._clear(bank, 0)
            bank.write("edge", 0, SGI_BITS)
        for irq in range(PRIVATE, self.lines):
            self.shared.set_priority(irq, 0)
        for bank in self.private:
            for irq in range(PRIVATE):
                bank.set_priority(irq, 0)
        self.asleep = [True] * len(self.cores)
        self.routes = [0] * self.lines
        for core in self.cores:
            for word in range(1, self.lines // 32):
                write32(core.env + ENV["gic_targets"].at(word), 0xFFFFFFFF if core is self.cores[0] else 0)
        self.changed()

    @staticmethod
    def _clear(bank: Bank, word: int) -> None:
        for name in ("enabled", "group", "edge"):
            bank.write(name, word, 0)
        for name in ("latched", "active"):
            bank.clear_bits(name, word, 0xFFFFFFFF)

    @property
    def groups(self) -> int:
        """Which groups the distributor forwards: bit 0 for group 0, bit 1 for group 1."""
        return read32(self._at("groups"))

    @groups.setter
    def groups(self, value: int) -> None:
        write32(self._at("groups"), value)

    # Saving

    def state(self) -> dict[str, Any]:
        """Plain values; the CPU interfaces are saved with the CPUs."""
        words = range(self.lines // 32)
        return {
            "groups": self.groups,
            "shared": {name: [self.shared.read(name, word) for word in words] for name in BITMAPS},
            "priorities": [self.shared.priority(irq) for irq in range(self.lines)],
            "routes": list(self.routes),
            "asleep": list(self.asleep),
            "private": [{name: bank.read(name, 0) for name in BITMAPS} for bank in self.private],
            "private_priorities": [[bank.priority(irq) for irq in range(PRIVATE)] for bank in self.private],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing runs meanwhile."""
        if len(state["private"]) != len(self.cores) or len(state["routes"]) != self.lines:
            raise ValueError("gic: saved state is of another number of CPUs or lines")
        self.groups = state["groups"]
        for name, words in state["shared"].items():
            for word, value in enumerate(words):
                self.shared.write(name, word, value)
        for irq, value in enumerate(state["priorities"]):
            self.shared.set_priority(irq, value)
        for bank, bitmaps, priorities in zip(self.private, state["private"], state["private_priorities"], strict=True):
            for name, value in bitmaps.items():
                bank.write(name, 0, value)
            for irq, value in enumerate(priorities):
                bank.set_priority(irq, value)
        self.asleep = list(state["asleep"])
        for irq, route in enumerate(state["routes"]):
            self._route(irq, route)
        self.changed()

    # Input lines

    def spi(self, number: int) -> Line:
        """The input line of shared interrupt `number`, counted from 0 as device trees do."""
        irq = PRIVATE + number
        if not 0 <= number < self.lines - PRIVATE or irq in _IGNORED:
            raise ValueError(f"SPI {number} does not exist: the GIC has {min(self.lines, _IGNORED[0]) - PRIVATE}")
        word, bit = irq // 32, 1 << irq % 32

        def line(level: bool) -> None:
            if self.shared.input(word, bit, level):
                self._tell_target(irq)

        return line

    def ppi(self, cpu: int, number: int) -> PrivateLine:
        """The input line of a CPU's private interrupt, by its interrupt number (16 to 31)."""
        if not SGIS <= number < PRIVATE:
            raise ValueError(f"private interrupt {number} does not exist: they are {SGIS} to {PRIVATE - 1}")
        return PrivateLine(self, cpu, number)

    # Configuration

    def changed(self) -> None:
        """Something changed for any interrupt: the CPUs decide anew."""
        for core in self.cores:
            core.alert()

    def target(self, irq: int) -> int | None:
        """Which CPU a shared interrupt goes to."""
        route = self.routes[irq]
        cpu = (route >> 8 & 0xFF) * CLUSTER[VERSION] + (route & 0xFF)
        return cpu if cpu < len(self.cores) and affinity(cpu, VERSION) == route else None

    def _tell_target(self, irq: int) -> None:
        cpu = self.target(irq)
        if cpu is not None:
            self.cores[cpu].alert()

    def set_route(self, irq: int, route: int) -> None:
        self._route(irq, route)
        self.changed()

    def _route(self, irq: int, route: int) -> None:
        self.routes[irq] = route & ROUTE_MASK
        target, bit = self.target(irq), 1 << irq % 32
        for index, core in enumerate(self.cores):
            address = core.env + ENV["gic_targets"].at(irq // 32)
            others = read32(address) & ~bit
            write32(address, others | bit if index == target else others)
