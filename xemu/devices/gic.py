"""What the versions of Arm's Generic Interrupt Controller have in common.

The state is in memory that native code shares (targets/arm/gic_state.py): arbitration, acknowledge and end are there,
in targets/arm/gic.py. What is left for Python is configuration (the register blocks) and the input lines.
"""

import ctypes
from typing import Any

from targets.arm.env import ENV
from targets.arm.gic_state import BITMAPS, GIC, MAX_LINES, PRIVATE, Block, Core, read32, write32
from xemu.accel.base import Line

SGIS = 16  # interrupts 0..15: software generated
SGI_BITS = (1 << SGIS) - 1
FIRST_SPECIAL = 1020  # INTIDs from here on have a meaning of their own


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

    def clear(self, word: int) -> None:
        """All but the levels, which belong to whoever drives them."""
        for name in ("enabled", "group", "edge"):
            self.write(name, word, 0)
        for name in ("latched", "active"):
            self.clear_bits(name, word, 0xFFFFFFFF)


class PrivateLine:
    """The input of a private interrupt; a CPU that drives its own by itself takes `number` from it."""

    def __init__(self, gic: "Gic", cpu: int, number: int) -> None:
        self._gic, self._cpu, self.number = gic, cpu, number

    def __call__(self, level: bool) -> None:
        if self._gic.private[self._cpu].input(0, 1 << self.number, level):
            self._gic.cores[self._cpu].alert()


class UnsharedCore:
    """A CPU that executes nothing: state without anybody who looks at it."""

    def __init__(self) -> None:
        self._memory = ctypes.create_string_buffer(ENV.size + 64)
        self.env = (ctypes.addressof(self._memory) + 63) & -64

    def get(self, name: str, index: int = 0) -> int:
        field = ENV[name]
        return int.from_bytes(ctypes.string_at(self.env + field.at(index), field.type.bytes), "little")

    def set(self, name: str, value: int, index: int = 0) -> None:
        field = ENV[name]
        data = (value & (1 << 8 * field.type.bytes) - 1).to_bytes(field.type.bytes, "little")
        ctypes.memmove(self.env + field.at(index), data, field.type.bytes)

    def call(self, name: str, *args: int) -> int:
        return 0

    def set_bits(self, address: int, bits: int) -> None:
        write32(address, read32(address) | bits)

    def clear_bits(self, address: int, bits: int) -> None:
        write32(address, read32(address) & ~bits)

    def alert(self) -> None: ...


class Gic:
    """All interrupts. CPUs are added one after the other, before anything happens."""

    version: int
    level_shift: int  # a level of preemption is so many bits of priority
    most_cpus: int

    def __init__(self, lines: int) -> None:
        if lines % 32 or not PRIVATE < lines <= MAX_LINES:
            limits = f"more than {PRIVATE} and up to {MAX_LINES}"
            raise ValueError(f"a GIC has a multiple of 32 lines, {limits}, not {lines}")
        self.lines = lines
        self.block = Block()
        self.cores: list[Core] = []
        self.private: list[Bank] = []
        self._receivers: list[tuple[Core, ...]] = [()] * lines  # whom a shared interrupt is sent to
        write32(self._at("lines"), lines)
        write32(self._at("version"), self.version)
        write32(self._at("level_shift"), self.level_shift)

    def connect(self, cpu: int, irq: Line, fiq: Line) -> None:
        """The outputs are in the state of the CPU, which looks there by itself."""

    def _at(self, name: str, index: int = 0) -> int:
        return self.block.address + GIC[name].at(index)

    def add_cpu(self, core: Core) -> None:
        if len(self.cores) == self.most_cpus:
            raise ValueError(f"a GICv{self.version} serves up to {self.most_cpus} CPUs here")
        if not self.cores:
            self.shared = Bank({name: self._at(name) for name in BITMAPS}, self._at("priority"), core)
        ctypes.c_uint64.from_address(self._at("env", len(self.cores))).value = core.env
        self.cores.append(core)
        bitmaps = {name: core.env + ENV[f"gic_{name}"].offset for name in BITMAPS}
        self.private.append(Bank(bitmaps, core.env + ENV.gic_priority, core))
        write32(self._at("cpus"), len(self.cores))
        self.reset()

    def reset(self) -> None:
        """All as at power-on but the levels of the lines."""
        self.groups = 0
        for word in range(1, self.lines // 32):
            self.shared.clear(word)
        for irq in range(PRIVATE, self.lines):
            self.shared.set_priority(irq, 0)
        for bank in self.private:
            bank.clear(0)
            bank.write("edge", 0, SGI_BITS)
            for irq in range(PRIVATE):
                bank.set_priority(irq, 0)
        self.changed()

    @property
    def groups(self) -> int:
        """Which groups the distributor forwards: bit 0 for group 0, bit 1 for group 1."""
        return read32(self._at("groups"))

    @groups.setter
    def groups(self, value: int) -> None:
        write32(self._at("groups"), value)

    # Saving

    def state(self) -> dict[str, Any]:
        """Plain values. The registers of a CPU are saved with it, those of its interface to a GICv3 as well."""
        words = range(self.lines // 32)
        return {
            "groups": self.groups,
            "shared": {name: [self.shared.read(name, word) for word in words] for name in BITMAPS},
            "priorities": [self.shared.priority(irq) for irq in range(self.lines)],
            "private": [{name: bank.read(name, 0) for name in BITMAPS} for bank in self.private],
            "private_priorities": [[bank.priority(irq) for irq in range(PRIVATE)] for bank in self.private],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing runs meanwhile."""
        if len(state["private"]) != len(self.cores) or len(state["priorities"]) != self.lines:
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
        self.changed()

    # Input lines

    def spi(self, number: int) -> Line:
        """The input line of shared interrupt `number`, counted from 0 as device trees do."""
        irq = PRIVATE + number
        if not 0 <= number < self.lines - PRIVATE or irq >= FIRST_SPECIAL:
            raise ValueError(f"SPI {number} does not exist: the GIC has {min(self.lines, FIRST_SPECIAL) - PRIVATE}")
        word, bit = irq // 32, 1 << irq % 32

        def line(level: bool) -> None:
            if self.shared.input(word, bit, level):
                for core in self._receivers[irq]:
                    core.alert()

        return line

    def ppi(self, cpu: int, number: int) -> PrivateLine:
        """The input line of a CPU's private interrupt, by its interrupt number (16 to 31)."""
        if not SGIS <= number < PRIVATE:
            raise ValueError(f"private interrupt {number} does not exist: they are {SGIS} to {PRIVATE - 1}")
        return PrivateLine(self, cpu, number)

    # Configuration

    def is_shared(self, irq: int) -> bool:
        return PRIVATE <= irq < min(self.lines, FIRST_SPECIAL)

    def shared_bits(self, word: int, value: int) -> int:
        """The shared interrupts that a write to word n of a bitmap names, less those that do not exist."""
        if not 1 <= word < self.lines // 32:
            return 0
        return value & 0x0FFFFFFF if word == MAX_LINES // 32 - 1 else value & 0xFFFFFFFF

    def changed(self) -> None:
        """Something changed for any interrupt: the CPUs decide anew."""
        for core in self.cores:
            core.alert()

    def _send_to(self, irq: int, cpus: int) -> None:
        """Send a shared interrupt to these CPUs (a mask)."""
        bit = 1 << irq % 32
        receivers: list[Core] = []
        for index, core in enumerate(self.cores):
            address = core.env + ENV["gic_targets"].at(irq // 32)
            others = read32(address) & ~bit
            write32(address, others | bit if cpus >> index & 1 else others)
            if cpus >> index & 1:
                receivers.append(core)
        self._receivers[irq] = tuple(receivers)


def spread_edges(edges: int) -> int:
    """ICFGR of 16 interrupts: the upper one of two bits each."""
    return sum((edges >> i & 1) << 2 * i + 1 for i in range(16))


def gather_edges(value: int) -> int:
    return sum((value >> 2 * i + 1 & 1) << i for i in range(16))
