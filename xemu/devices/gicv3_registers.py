"""The register blocks of the GICv3: the distributor, and a redistributor for each CPU (Arm IHI 0069, chapter 12).

What is only there for a second Security state, for LPIs or for GICv2 compatibility reads as zero and ignores writes.
"""

from targets.arm.gic_state import PRIVATE, affinity
from xemu.devices.gic import SGI_BITS, Bank, gather_edges, spread_edges
from xemu.devices.gicv3 import Gicv3
from xemu.devices.registers import Access, RegisterDevice, register
from xemu.memory import AddressSpace

DISTRIBUTOR_SIZE, REDISTRIBUTOR_SIZE = 0x1_0000, 0x2_0000

_WORDS, _LINES = 32, 1024
_ARM = 0x43B  # IIDR: implementer
_COMPONENT = (0x0D, 0xF0, 0x05, 0xB1)
_DISTRIBUTOR_ID = (0x44, 0, 0, 0, 0x92, 0xB4, 0x3B, 0, *_COMPONENT)  # from PIDR4 on: GICv3, by Arm
_REDISTRIBUTOR_ID = (0x44, 0, 0, 0, 0x93, 0xB4, 0x3B, 0, *_COMPONENT)
_ALWAYS = 1 << 6 | 1 << 4  # GICD_CTLR: DS, one Security state; ARE, affinity routing
_INTID_BITS, _AFF3, _ONE_TARGET = 9 << 19, 1 << 24, 1 << 25  # GICD_TYPER: 10 bits; A3V; No1N
_SLEEP, _ASLEEP = 1 << 1, 1 << 2  # GICR_WAKER: ProcessorSleep, ChildrenAsleep


class Distributor(RegisterDevice):
    """The GICD_* registers. With affinity routing, private interrupts are not there: word 0 of each bitmap is RES0."""

    name = "gic distributor"

    CTLR: int = register(0x0000, "enables forwarding of each group")
    TYPER: int = register(0x0004, "number of lines", access=Access.RO)
    IIDR: int = register(0x0008, "implementer: Arm", access=Access.RO, reset=_ARM)
    TYPER2: int = register(0x000C, "no virtual interrupts", access=Access.RO)
    STATUSR: int = register(0x0010, "errors are not reported", mask=0)
    IGROUPR: list[int] = register(0x0080, "group", count=_WORDS)
    ISENABLER: list[int] = register(0x0100, "enable", access=Access.W1S, count=_WORDS)
    ICENABLER: list[int] = register(0x0180, "disable", access=Access.W1C, count=_WORDS)
    ISPENDR: list[int] = register(0x0200, "set pending", access=Access.W1S, count=_WORDS)
    ICPENDR: list[int] = register(0x0280, "clear pending", access=Access.W1C, count=_WORDS)
    ISACTIVER: list[int] = register(0x0300, "set active", access=Access.W1S, count=_WORDS)
    ICACTIVER: list[int] = register(0x0380, "clear active", access=Access.W1C, count=_WORDS)
    IPRIORITYR: list[int] = register(0x0400, "priority, a byte each", width=1, count=_LINES)
    ITARGETSR: list[int] = register(0x0800, "RES0: affinity routing", mask=0, count=_LINES // 4)
    ICFGR: list[int] = register(0x0C00, "edge or level, two bits each", count=2 * _WORDS)
    IGRPMODR: list[int] = register(0x0D00, "RES0: one Security state", mask=0, count=_WORDS)
    NSACR: list[int] = register(0x0E00, "RES0: one Security state", mask=0, count=2 * _WORDS)
    SGIR: int = register(0x0F00, "RES0: affinity routing", mask=0)
    IROUTER: list[int] = register(0x6000, "affinity of the target, low and high half", count=2 * 1020)
    ID: list[int] = register(0xFFD0, "peripheral and component identification", access=Access.RO, count=12)

    def __init__(self, gic: Gicv3) -> None:
        super().__init__()
        self.gic = gic

    def _read(self, name: str, word: int) -> int:
        return self.gic.shared.read(name, word) if self.gic.shared_bits(word, 1) else 0

    def read_CTLR(self) -> int:
        return self.gic.groups | _ALWAYS

    def write_CTLR(self, value: int) -> None:
        self.gic.groups = value & 3
        self.gic.changed()

    def read_TYPER(self) -> int:
        return self.gic.lines // 32 - 1 | _INTID_BITS | _AFF3 | _ONE_TARGET

    def read_ID(self, index: int) -> int:
        return _DISTRIBUTOR_ID[index]

    def read_IGROUPR(self, word: int) -> int:
        return self._read("group", word)

    def write_IGROUPR(self, word: int, value: int) -> None:
        self._assign("group", word, self.gic.shared_bits(word, value))

    def _assign(self, name: str, word: int, value: int) -> None:
        if self.gic.shared_bits(word, 1):
            self.gic.shared.write(name, word, value)
            self.gic.changed()

    def read_ISENABLER(self, word: int) -> int:
        return self._read("enabled", word)

    read_ICENABLER = read_ISENABLER

    def write_ISENABLER(self, word: int, value: int) -> None:
        self._assign("enabled", word, self._read("enabled", word) | self.gic.shared_bits(word, value))

    def write_ICENABLER(self, word: int, value: int) -> None:
        self._assign("enabled", word, self._read("enabled", word) & ~value)

    def read_ISPENDR(self, word: int) -> int:
        return self.gic.shared.pending(word) if self.gic.shared_bits(word, 1) else 0

    read_ICPENDR = read_ISPENDR

    def write_ISPENDR(self, word: int, value: int) -> None:
        self._change("latched", word, value, True)

    def write_ICPENDR(self, word: int, value: int) -> None:
        self._change("latched", word, value, False)

    def read_ISACTIVER(self, word: int) -> int:
        return self._read("active", word)

    read_ICACTIVER = read_ISACTIVER

    def write_ISACTIVER(self, word: int, value: int) -> None:
        self._change("active", word, value, True)

    def write_ICACTIVER(self, word: int, value: int) -> None:
        self._change("active", word, value, False)

    def _change(self, name: str, word: int, value: int, to: bool) -> None:
        bits = self.gic.shared_bits(word, value)
        if bits:
            (self.gic.shared.set_bits if to else self.gic.shared.clear_bits)(name, word, bits)
            self.gic.changed()

    def read_IPRIORITYR(self, irq: int) -> int:
        return self.gic.shared.priority(irq) if self.gic.is_shared(irq) else 0

    def write_IPRIORITYR(self, irq: int, value: int) -> None:
        if self.gic.is_shared(irq):
            self.gic.shared.set_priority(irq, value)
            self.gic.changed()

    def read_ICFGR(self, word: int) -> int:
        return spread_edges(self._read("edge", word // 2) >> 16 * (word % 2))

    def write_ICFGR(self, word: int, value: int) -> None:
        edges = gather_edges(value) << 16 * (word % 2)
        kept = self._read("edge", word // 2) & 0xFFFF << 16 * (1 - word % 2)
        self._assign("edge", word // 2, self.gic.shared_bits(word // 2, kept | edges))

    def read_IROUTER(self, half: int) -> int:
        irq = half // 2
        return self.gic.routes[irq] >> 32 * (half % 2) & 0xFFFFFFFF if self.gic.is_shared(irq) else 0

    def write_IROUTER(self, half: int, value: int) -> None:
        irq, shift = half // 2, 32 * (half % 2)
        if self.gic.is_shared(irq):
            self.gic.set_route(irq, self.gic.routes[irq] & ~(0xFFFFFFFF << shift) | value << shift)


class Redistributor(RegisterDevice):
    """The GICR_* registers of one CPU: RD_base, and SGI_base 64 KiB above it."""

    name = "gic redistributor"

    CTLR: int = register(0x0000, "RES0: no LPIs", mask=0)
    IIDR: int = register(0x0004, "implementer: Arm", access=Access.RO, reset=_ARM)
    TYPER: int = register(0x0008, "which CPU's", access=Access.RO, width=8)
    STATUSR: int = register(0x0010, "errors are not reported", mask=0)
    WAKER: int = register(0x0014, "whether the CPU sleeps")
    ID: list[int] = register(0xFFD0, "peripheral and component identification", access=Access.RO, count=12)
    IGROUPR0: int = register(0x10080, "group")
    ISENABLER0: int = register(0x10100, "enable", access=Access.W1S)
    ICENABLER0: int = register(0x10180, "disable", access=Access.W1C)
    ISPENDR0: int = register(0x10200, "set pending", access=Access.W1S)
    ICPENDR0: int = register(0x10280, "clear pending", access=Access.W1C)
    ISACTIVER0: int = register(0x10300, "set active", access=Access.W1S)
    ICACTIVER0: int = register(0x10380, "clear active", access=Access.W1C)
    IPRIORITYR: list[int] = register(0x10400, "priority, a byte each", width=1, count=PRIVATE)
    ICFGR: list[int] = register(0x10C00, "edge or level, two bits each", count=2)
    IGRPMODR0: int = register(0x10D00, "RES0: one Security state", mask=0)
    NSACR: int = register(0x10E00, "RES0: one Security state", mask=0)

    def __init__(self, gic: Gicv3, cpu: int, last: bool) -> None:
        super().__init__()
        self.gic, self._cpu, self._last = gic, cpu, last

    @property
    def _bank(self) -> Bank:
        return self.gic.private[self._cpu]

    def _changed(self) -> None:
        self.gic.cores[self._cpu].alert()

    def read_TYPER(self) -> int:
        return affinity(self._cpu, self.gic.version) << 32 | self._cpu << 8 | self._last << 4

    def read_ID(self, index: int) -> int:
        return _REDISTRIBUTOR_ID[index]

    def read_WAKER(self) -> int:
        return _SLEEP | _ASLEEP if self.gic.asleep[self._cpu] else 0

    def write_WAKER(self, value: int) -> None:
        self.gic.asleep[self._cpu] = bool(value & _SLEEP)

    def read_IGROUPR0(self) -> int:
        return self._bank.read("group", 0)

    def write_IGROUPR0(self, value: int) -> None:
        self._bank.write("group", 0, value)
        self._changed()

    def read_ISENABLER0(self) -> int:
        return self._bank.read("enabled", 0)

    read_ICENABLER0 = read_ISENABLER0

    def write_ISENABLER0(self, value: int) -> None:
        self._bank.write("enabled", 0, self._bank.read("enabled", 0) | value)
        self._changed()

    def write_ICENABLER0(self, value: int) -> None:
        self._bank.write("enabled", 0, self._bank.read("enabled", 0) & ~value)
        self._changed()

    def read_ISPENDR0(self) -> int:
        return self._bank.pending(0)

    read_ICPENDR0 = read_ISPENDR0

    def write_ISPENDR0(self, value: int) -> None:
        self._bank.set_bits("latched", 0, value)
        self._changed()

    def write_ICPENDR0(self, value: int) -> None:
        self._bank.clear_bits("latched", 0, value)
        self._changed()

    def read_ISACTIVER0(self) -> int:
        return self._bank.read("active", 0)

    read_ICACTIVER0 = read_ISACTIVER0

    def write_ISACTIVER0(self, value: int) -> None:
        self._bank.set_bits("active", 0, value)
        self._changed()

    def write_ICACTIVER0(self, value: int) -> None:
        self._bank.clear_bits("active", 0, value)
        self._changed()

    def read_IPRIORITYR(self, irq: int) -> int:
        return self._bank.priority(irq)

    def write_IPRIORITYR(self, irq: int, value: int) -> None:
        self._bank.set_priority(irq, value)
        self._changed()

    def read_ICFGR(self, word: int) -> int:
        return spread_edges(self._bank.read("edge", 0) >> 16 * word)

    def write_ICFGR(self, word: int, value: int) -> None:
        if word:  # SGIs are edge-triggered
            self._bank.write("edge", 0, SGI_BITS | gather_edges(value) << 16)
            self._changed()


def add_registers(gic: Gicv3, memory: AddressSpace, cpus: int, distributor: int, redistributors: int) -> None:
    """Put the register blocks of a GIC for so many CPUs at these addresses."""
    memory.add_device(distributor, DISTRIBUTOR_SIZE, Distributor(gic), "gic distributor")
    for cpu in range(cpus):
        block = Redistributor(gic, cpu, last=cpu == cpus - 1)
        address = redistributors + cpu * REDISTRIBUTOR_SIZE
        memory.add_device(address, REDISTRIBUTOR_SIZE, block, f"gic redistributor {cpu}")
