"""The register blocks of the GICv2: the distributor and the CPU interface (Arm IHI 0048B, chapter 4)."""

from targets.arm.env import ENV
from targets.arm.gic_state import ACK_CTL, CBPR, EOI_MODE, FIQ_EN, PRIVATE, Core
from xemu.devices.gic import FIRST_SPECIAL, SGI_BITS, SGIS, Bank, gather_edges, spread_edges
from xemu.devices.gicv2 import Gicv2
from xemu.devices.registers import Access, RegisterDevice, register
from xemu.memory import AddressSpace

DISTRIBUTOR_SIZE, INTERFACE_SIZE = 0x1000, 0x2000
SGIR_OFFSET = 0xF00


class Enable:
    """Bits of GICD_CTLR, and the same of GICC_CTLR."""

    GROUP0 = 1 << 0
    GROUP1 = 1 << 1


class Control(Enable):
    """The other bits of GICC_CTLR."""

    ACK_CTL = 1 << 2  # IAR and EOIR handle group 1 too
    FIQ_EN = 1 << 3  # group 0 signals FIQ
    CBPR = 1 << 4  # group 1 uses BPR too
    EOI_MODE = 1 << 9  # EOIR drops the priority only; DIR deactivates


# GICC_CTLR's bits and those of icc_ctlr
_CONTROLS = (
    (Control.ACK_CTL, ACK_CTL),
    (Control.FIQ_EN, FIQ_EN),
    (Control.CBPR, CBPR),
    (Control.EOI_MODE, EOI_MODE),
)


class Distributor(RegisterDevice):
    """The GICD_* registers. Word 0 of each bitmap, and the first 32 fields, belong to the CPU that reads or writes."""

    name = "gic distributor"

    CTLR: int = register(0x000, "enables forwarding of each group", fields=Enable)
    TYPER: int = register(0x004, "number of lines and CPUs", access=Access.RO)
    IIDR: int = register(0x008, "implementer: Arm", access=Access.RO, reset=0x43B)
    IGROUPR: list[int] = register(0x080, "group", count=32)
    ISENABLER: list[int] = register(0x100, "enable", access=Access.W1S, count=32)
    ICENABLER: list[int] = register(0x180, "disable", access=Access.W1C, count=32)
    ISPENDR: list[int] = register(0x200, "set pending", access=Access.W1S, count=32)
    ICPENDR: list[int] = register(0x280, "clear pending", access=Access.W1C, count=32)
    ISACTIVER: list[int] = register(0x300, "set active", access=Access.W1S, count=32)
    ICACTIVER: list[int] = register(0x380, "clear active", access=Access.W1C, count=32)
    IPRIORITYR: list[int] = register(0x400, "priority, a byte each", width=1, count=FIRST_SPECIAL)
    ITARGETSR: list[int] = register(0x800, "target CPUs, a byte each", width=1, count=FIRST_SPECIAL)
    ICFGR: list[int] = register(0xC00, "edge or level, two bits each", count=64)
    SGIR: int = register(SGIR_OFFSET, "send an SGI", access=Access.WO)
    CPENDSGIR: list[int] = register(0xF10, "clear pending SGIs by sender", access=Access.W1C, width=1, count=SGIS)
    SPENDSGIR: list[int] = register(0xF20, "set pending SGIs by sender", access=Access.W1S, width=1, count=SGIS)
    ID: list[int] = register(0xFD0, "peripheral and component identification", access=Access.RO, count=12)

    _IDS = (0x04, 0x00, 0x00, 0x00, 0x90, 0xB4, 0x2B, 0x00, 0x0D, 0xF0, 0x05, 0xB1)

    def __init__(self, gic: Gicv2) -> None:
        super().__init__()
        self.gic = gic

    def _me(self) -> Core:
        return self.gic.cores[self.gic.current_cpu()]

    def _bank(self, word: int) -> Bank:
        return self.gic.private[self.gic.current_cpu()] if word == 0 else self.gic.shared

    def _bits(self, word: int, value: int) -> int:
        return value & 0xFFFFFFFF if word == 0 else self.gic.shared_bits(word, value)

    def _exists(self, irq: int) -> bool:
        return irq < min(self.gic.lines, FIRST_SPECIAL)

    def _changed(self, word: int) -> None:
        if word == 0:
            self._me().alert()
        else:
            self.gic.changed()

    def _read(self, name: str, word: int) -> int:
        return self._bank(word).read(name, word) if self._bits(word, 1) else 0

    def _assign(self, name: str, word: int, value: int) -> None:
        if self._bits(word, 1):
            self._bank(word).write(name, word, self._bits(word, value))
            self._changed(word)

    def _change(self, name: str, word: int, bits: int, to: bool) -> None:
        if bits:
            bank = self._bank(word)
            (bank.set_bits if to else bank.clear_bits)(name, word, bits)
            self._changed(word)

    def read_CTLR(self) -> int:
        return self.gic.groups

    def write_CTLR(self, value: int) -> None:
        self.gic.groups = value & 3
        self.gic.changed()

    def read_TYPER(self) -> int:
        return self.gic.lines // 32 - 1 | len(self.gic.cores) - 1 << 5

    def read_ID(self, index: int) -> int:
        return self._IDS[index]

    def read_IGROUPR(self, word: int) -> int:
        return self._read("group", word)

    def write_IGROUPR(self, word: int, value: int) -> None:
        self._assign("group", word, value)

    def read_ISENABLER(self, word: int) -> int:
        return self._read("enabled", word)

    read_ICENABLER = read_ISENABLER

    def write_ISENABLER(self, word: int, value: int) -> None:
        self._assign("enabled", word, self._read("enabled", word) | value)

    def write_ICENABLER(self, word: int, value: int) -> None:
        kept = SGI_BITS if word == 0 else 0  # SGIs are always enabled
        self._assign("enabled", word, self._read("enabled", word) & ~value | kept)

    def read_ISPENDR(self, word: int) -> int:
        return self._bank(word).pending(word) if self._bits(word, 1) else 0

    read_ICPENDR = read_ISPENDR

    def write_ISPENDR(self, word: int, value: int) -> None:
        self._change("latched", word, self._without_sgis(word, value), True)

    def write_ICPENDR(self, word: int, value: int) -> None:
        self._change("latched", word, self._without_sgis(word, value), False)

    def _without_sgis(self, word: int, value: int) -> int:
        """SGIs become pending, and cease to be, through SPENDSGIR and CPENDSGIR only."""
        return self._bits(word, value & ~SGI_BITS if word == 0 else value)

    def read_ISACTIVER(self, word: int) -> int:
        return self._read("active", word)

    read_ICACTIVER = read_ISACTIVER

    def write_ISACTIVER(self, word: int, value: int) -> None:
        self._change("active", word, self._bits(word, value), True)

    def write_ICACTIVER(self, word: int, value: int) -> None:
        self._change("active", word, self._bits(word, value), False)

    def read_IPRIORITYR(self, irq: int) -> int:
        return self._bank(irq // 32).priority(irq) if self._exists(irq) else 0

    def write_IPRIORITYR(self, irq: int, value: int) -> None:
        if self._exists(irq):
            self._bank(irq // 32).set_priority(irq, value)
            self._changed(irq // 32)

    def read_ITARGETSR(self, irq: int) -> int:
        if self.gic.uniprocessor or not self._exists(irq):
            return 0  # a single CPU has no target registers
        return 1 << self.gic.current_cpu() if irq < PRIVATE else self.gic.targets[irq]

    def write_ITARGETSR(self, irq: int, value: int) -> None:
        if not self.gic.uniprocessor and self.gic.is_shared(irq):
            self.gic.set_targets(irq, value)

    def read_ICFGR(self, word: int) -> int:
        return spread_edges(self._read("edge", word // 2) >> 16 * (word % 2))

    def write_ICFGR(self, word: int, value: int) -> None:
        if word == 0:
            return  # SGIs are edge-triggered
        kept = self._read("edge", word // 2) & 0xFFFF << 16 * (1 - word % 2)
        self._assign("edge", word // 2, kept | gather_edges(value) << 16 * (word % 2))

    def write_SGIR(self, value: int) -> None:
        if value >> 24 & 3 == 3:
            self.guest_error(f"GICD_SGIR: reserved target filter in {value:#x}")
        self._me().call("gicv2_send_sgi", value)

    def read_SPENDSGIR(self, sgi: int) -> int:
        return self._me().get("gic_sources", sgi)

    read_CPENDSGIR = read_SPENDSGIR

    def write_SPENDSGIR(self, sgi: int, value: int) -> None:
        cpus = value & (1 << len(self.gic.cores)) - 1
        self._me().set_bits(*self._sources(sgi, cpus))
        if cpus:
            self._bank(0).set_bits("latched", 0, 1 << sgi)
            self._me().alert()

    def write_CPENDSGIR(self, sgi: int, value: int) -> None:
        me = self._me()
        me.clear_bits(*self._sources(sgi, value))
        if not me.get("gic_sources", sgi):
            self._bank(0).clear_bits("latched", 0, 1 << sgi)
            if me.get("gic_sources", sgi):  # another one was just sent
                self._bank(0).set_bits("latched", 0, 1 << sgi)
        me.alert()

    def _sources(self, sgi: int, cpus: int) -> tuple[int, int]:
        """Where the senders of an SGI are among the words of this CPU, and the bits of these."""
        return self._me().env + ENV["gic_sources"].at(sgi & ~3), cpus << 8 * (sgi & 3)


class CpuInterface(RegisterDevice):
    """The GICC_* registers: the same addresses for every CPU, its own state behind them."""

    name = "gic cpu interface"

    CTLR: int = register(0x000, "control", fields=Control)
    PMR: int = register(0x004, "priority mask")
    BPR: int = register(0x008, "binary point of group 0")
    IAR: int = register(0x00C, "acknowledge", access=Access.RO)
    EOIR: int = register(0x010, "end of interrupt", access=Access.WO)
    RPR: int = register(0x014, "running priority", access=Access.RO)
    HPPIR: int = register(0x018, "highest-priority pending interrupt", access=Access.RO)
    ABPR: int = register(0x01C, "binary point of group 1")
    AIAR: int = register(0x020, "acknowledge, group 1", access=Access.RO)
    AEOIR: int = register(0x024, "end of interrupt, group 1", access=Access.WO)
    AHPPIR: int = register(0x028, "highest-priority pending interrupt, group 1", access=Access.RO)
    APR: list[int] = register(0x0D0, "active priorities of group 0", count=4)
    NSAPR: list[int] = register(0x0E0, "active priorities of group 1", count=4)
    IIDR: int = register(0x0FC, "GICv2 by Arm", access=Access.RO, reset=0x0002043B)
    DIR: int = register(0x1000, "deactivate", access=Access.WO)

    def __init__(self, gic: Gicv2) -> None:
        super().__init__()
        self.gic = gic

    def _me(self) -> Core:
        return self.gic.cores[self.gic.current_cpu()]

    def _set(self, name: str, value: int, index: int = 0) -> None:
        self._me().set(name, value, index)
        self._me().alert()

    def read_CTLR(self) -> int:
        control = self._me().get("icc_ctlr")
        return self._me().get("icc_groups") | sum(bit for bit, ours in _CONTROLS if control & ours)

    def write_CTLR(self, value: int) -> None:
        self._me().set("icc_groups", value & 3)
        self._set("icc_ctlr", sum(ours for bit, ours in _CONTROLS if value & bit))

    def read_PMR(self) -> int:
        return self._me().get("icc_pmr")

    def write_PMR(self, value: int) -> None:
        self._set("icc_pmr", value & 0xFF)

    def read_BPR(self) -> int:
        return self._me().get("icc_bpr0")

    def write_BPR(self, value: int) -> None:
        self._set("icc_bpr0", value & 7)

    def read_ABPR(self) -> int:
        return self._me().get("icc_bpr1")

    def write_ABPR(self, value: int) -> None:
        # group 1 has one bit of group priority less, and no value for less than none
        self._set("icc_bpr1", max(value & 7, 1))

    def read_IAR(self) -> int:
        return self._me().call("gicv2_acknowledge", 0)

    def read_AIAR(self) -> int:
        return self._me().call("gicv2_acknowledge", 1)

    def write_EOIR(self, value: int) -> None:
        self._me().call("gicv2_end", value, 0)
        self._me().alert()

    def write_AEOIR(self, value: int) -> None:
        self._me().call("gicv2_end", value, 1)
        self._me().alert()

    def read_RPR(self) -> int:
        priorities = self._me().get("icc_apr", 0) | self._me().get("icc_apr", 1)
        return (priorities & -priorities).bit_length() - 1 << 1 if priorities else 0xFF

    def read_HPPIR(self) -> int:
        return self._me().call("gicv2_pending", 0)

    def read_AHPPIR(self) -> int:
        return self._me().call("gicv2_pending", 1)

    def read_APR(self, index: int) -> int:
        return self._me().get("icc_apr", 0) >> 32 * index & 0xFFFFFFFF

    def write_APR(self, index: int, value: int) -> None:
        self._set_active_priorities(0, index, value)

    def read_NSAPR(self, index: int) -> int:
        return self._me().get("icc_apr", 1) >> 32 * index & 0xFFFFFFFF

    def write_NSAPR(self, index: int, value: int) -> None:
        self._set_active_priorities(1, index, value)

    def _set_active_priorities(self, group: int, index: int, value: int) -> None:
        others = self._me().get("icc_apr", group) & ~(0xFFFFFFFF << 32 * index)
        self._set("icc_apr", others | value << 32 * index, group)

    def write_DIR(self, value: int) -> None:
        if self._me().get("icc_ctlr") & EOI_MODE:
            self._me().call("gic_deactivate", value & 0x3FF)
            self._me().alert()
        else:
            self.guest_error(f"GICC_DIR of interrupt {value & 0x3FF} while EOImode is 0")


def add_registers(gic: Gicv2, memory: AddressSpace, distributor: int, interface: int) -> None:
    """Put the register blocks of a GIC at these addresses."""
    memory.add_device(distributor, DISTRIBUTOR_SIZE, Distributor(gic), "gic distributor")
    memory.add_device(interface, INTERFACE_SIZE, CpuInterface(gic), "gic cpu interface")
