"""The register blocks of the GICv2: the distributor and the CPU interface (Arm IHI 0048B, chapter 4)."""

from xemu.devices.gicv2 import MAX_LINES, PRIVATE, SGI_BITS, SGIS, Bank, Control, CpuState, Enable, Gicv2
from xemu.devices.registers import Access, RegisterDevice, register


class Distributor(RegisterDevice):
    """The GICD_* registers. Word 0 of each bitmap, and the first 32 fields, belong to the CPU that reads or writes."""

    name = "gic distributor"

    CTLR: int = register(0x000, "enables forwarding of each group", fields=Enable)
    TYPER: int = register(0x004, "number of lines and CPUs", access=Access.RO)
    IIDR: int = register(0x008, "implementer: Arm", access=Access.RO, reset=0x43B)
    IGROUPR: list = register(0x080, "group", count=32)
    ISENABLER: list = register(0x100, "enable", access=Access.W1S, count=32)
    ICENABLER: list = register(0x180, "disable", access=Access.W1C, count=32)
    ISPENDR: list = register(0x200, "set pending", access=Access.W1S, count=32)
    ICPENDR: list = register(0x280, "clear pending", access=Access.W1C, count=32)
    ISACTIVER: list = register(0x300, "set active", access=Access.W1S, count=32)
    ICACTIVER: list = register(0x380, "clear active", access=Access.W1C, count=32)
    IPRIORITYR: list = register(0x400, "priority, a byte each", width=1, count=MAX_LINES)
    ITARGETSR: list = register(0x800, "target CPUs, a byte each", width=1, count=MAX_LINES)
    ICFGR: list = register(0xC00, "edge or level, two bits each", count=64)
    SGIR: int = register(0xF00, "send an SGI", access=Access.WO)
    CPENDSGIR: list = register(0xF10, "clear pending SGIs by sender", access=Access.W1C, width=1, count=SGIS)
    SPENDSGIR: list = register(0xF20, "set pending SGIs by sender", access=Access.W1S, width=1, count=SGIS)
    ID: list = register(0xFD0, "peripheral and component identification", access=Access.RO, count=12)

    _IDS = (0x04, 0x00, 0x00, 0x00, 0x90, 0xB4, 0x2B, 0x00, 0x0D, 0xF0, 0x05, 0xB1)

    def __init__(self, gic: Gicv2) -> None:
        super().__init__()
        self.gic = gic

    def _me(self) -> CpuState:
        return self.gic.cpus[self.gic.current_cpu()]

    def _bank(self, word: int) -> Bank:
        return self._me().bank if word == 0 else self.gic.shared

    def _bits(self, word: int, value: int) -> int:
        """The interrupts that a write to word n of a bitmap names; those that do not exist are ignored."""
        return value << 32 * word & self.gic.implemented

    def _changed(self, word: int, bits: int) -> None:
        if word == 0:
            self.gic.update(self.gic.current_cpu())
        else:
            self.gic.update_shared(bits)

    def read_CTLR(self) -> int:
        return self.gic.enable

    def write_CTLR(self, value: int) -> None:
        self.gic.enable = value & 3
        self.gic.update_all()

    def read_TYPER(self) -> int:
        return (self.gic.implemented.bit_length() + 31) // 32 - 1 | len(self.gic.cpus) - 1 << 5

    def read_ID(self, index: int) -> int:
        return self._IDS[index]

    def read_IGROUPR(self, word: int) -> int:
        return self._bank(word).group >> 32 * word & 0xFFFFFFFF

    def write_IGROUPR(self, word: int, value: int) -> None:
        bank = self._bank(word)
        bank.group = bank.group & ~self._bits(word, 0xFFFFFFFF) | self._bits(word, value)
        self._changed(word, self._bits(word, 0xFFFFFFFF))

    def read_ISENABLER(self, word: int) -> int:
        return self._bank(word).enabled >> 32 * word & 0xFFFFFFFF

    read_ICENABLER = read_ISENABLER

    def write_ISENABLER(self, word: int, value: int) -> None:
        bits = self._bits(word, value)
        self._bank(word).enabled |= bits
        self._changed(word, bits)

    def write_ICENABLER(self, word: int, value: int) -> None:
        bits = self._bits(word, value)
        self._bank(word).enabled &= ~bits
        if word == 0:
            self._bank(0).enabled |= SGI_BITS  # SGIs are always enabled
        self._changed(word, bits)

    def read_ISPENDR(self, word: int) -> int:
        return self._bank(word).pending() >> 32 * word & 0xFFFFFFFF

    read_ICPENDR = read_ISPENDR

    def write_ISPENDR(self, word: int, value: int) -> None:
        bits = self._without_sgis(word, value)
        self._bank(word).latched |= bits
        self._changed(word, bits)

    def write_ICPENDR(self, word: int, value: int) -> None:
        bits = self._without_sgis(word, value)
        self._bank(word).latched &= ~bits
        self._changed(word, bits)

    def _without_sgis(self, word: int, value: int) -> int:
        """SGIs become pending, and cease to be, through SPENDSGIR and CPENDSGIR only."""
        return self._bits(word, value & ~SGI_BITS if word == 0 else value)

    def read_ISACTIVER(self, word: int) -> int:
        return self._bank(word).active >> 32 * word & 0xFFFFFFFF

    read_ICACTIVER = read_ISACTIVER

    def write_ISACTIVER(self, word: int, value: int) -> None:
        bits = self._bits(word, value)
        self._bank(word).active |= bits
        self._changed(word, bits)

    def write_ICACTIVER(self, word: int, value: int) -> None:
        bits = self._bits(word, value)
        self._bank(word).active &= ~bits
        self._changed(word, bits)

    def read_IPRIORITYR(self, irq: int) -> int:
        return self.gic.priority(self._me(), irq) if irq < self.gic.lines else 0

    def write_IPRIORITYR(self, irq: int, value: int) -> None:
        if irq >= self.gic.lines:
            return
        bank = self.gic.bank(self._me(), irq)
        bank.priority[irq if irq < PRIVATE else irq - PRIVATE] = value
        self._changed(irq // 32, 1 << irq)

    def read_ITARGETSR(self, irq: int) -> int:
        if self.gic.uniprocessor or irq >= self.gic.lines:
            return 0  # a single CPU has no target registers
        if irq < PRIVATE:
            return 1 << self.gic.current_cpu()
        return sum((cpu.targets >> irq & 1) << index for index, cpu in enumerate(self.gic.cpus))

    def write_ITARGETSR(self, irq: int, value: int) -> None:
        if self.gic.uniprocessor or not PRIVATE <= irq < self.gic.lines:
            return
        bit = 1 << irq
        for index, cpu in enumerate(self.gic.cpus):
            cpu.targets = cpu.targets | bit if value >> index & 1 else cpu.targets & ~bit
        self.gic.update_all()

    def read_ICFGR(self, word: int) -> int:
        edge = self._bank(word // 2).edge >> 16 * word
        return sum((edge >> i & 1) << 2 * i + 1 for i in range(16))

    def write_ICFGR(self, word: int, value: int) -> None:
        if word == 0:
            return  # SGIs are edge-triggered
        bank = self._bank(word // 2)
        edge = sum((value >> 2 * i + 1 & 1) << i for i in range(16))
        bank.edge = (bank.edge & ~(0xFFFF << 16 * word) | edge << 16 * word) & self.gic.implemented
        self._changed(word // 2, 0xFFFF << 16 * word)

    def write_SGIR(self, value: int) -> None:
        me = self.gic.current_cpu()
        everyone = (1 << len(self.gic.cpus)) - 1
        how = value >> 24 & 3
        if how == 3:
            self.guest_error(f"GICD_SGIR: reserved target filter in {value:#x}")
            return
        targets = (value >> 16 & everyone, everyone & ~(1 << me), 1 << me)[how]
        self.gic.send_sgi(me, targets, value & 0xF)

    def read_SPENDSGIR(self, sgi: int) -> int:
        return self._me().sgi_sources[sgi]

    read_CPENDSGIR = read_SPENDSGIR

    def write_SPENDSGIR(self, sgi: int, value: int) -> None:
        cpu = self._me()
        cpu.sgi_sources[sgi] |= value & (1 << len(self.gic.cpus)) - 1
        if cpu.sgi_sources[sgi]:
            cpu.bank.latched |= 1 << sgi
        self.gic.update(self.gic.current_cpu())

    def write_CPENDSGIR(self, sgi: int, value: int) -> None:
        cpu = self._me()
        cpu.sgi_sources[sgi] &= ~value
        if not cpu.sgi_sources[sgi]:
            cpu.bank.latched &= ~(1 << sgi)
        self.gic.update(self.gic.current_cpu())


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
    APR: list = register(0x0D0, "active priorities of group 0", count=4)
    NSAPR: list = register(0x0E0, "active priorities of group 1", count=4)
    IIDR: int = register(0x0FC, "GICv2 by Arm", access=Access.RO, reset=0x0002043B)
    DIR: int = register(0x1000, "deactivate", access=Access.WO)

    def __init__(self, gic: Gicv2) -> None:
        super().__init__()
        self.gic = gic

    def _me(self) -> CpuState:
        return self.gic.cpus[self.gic.current_cpu()]

    def _update(self) -> None:
        self.gic.update(self.gic.current_cpu())

    def read_CTLR(self) -> int:
        return self._me().control

    def write_CTLR(self, value: int) -> None:
        self._me().control = value & self.registers["CTLR"].mask
        self._update()

    def read_PMR(self) -> int:
        return self._me().mask

    def write_PMR(self, value: int) -> None:
        self._me().mask = value & 0xFF
        self._update()

    def read_BPR(self) -> int:
        return self._me().bpr

    def write_BPR(self, value: int) -> None:
        self._me().bpr = value & 7

    def read_ABPR(self) -> int:
        return self._me().abpr

    def write_ABPR(self, value: int) -> None:
        self._me().abpr = max(
            value & 7, 1
        )  # group 1 has one bit of group priority less, and no value for less than none

    def read_IAR(self) -> int:
        return self.gic.acknowledge(self.gic.current_cpu(), group1_view=False)

    def read_AIAR(self) -> int:
        return self.gic.acknowledge(self.gic.current_cpu(), group1_view=True)

    def write_EOIR(self, value: int) -> None:
        self.gic.end(self.gic.current_cpu(), value, group1_view=False)

    def write_AEOIR(self, value: int) -> None:
        self.gic.end(self.gic.current_cpu(), value, group1_view=True)

    def read_RPR(self) -> int:
        return min(self._me().running, 0xFF)

    def read_HPPIR(self) -> int:
        return self.gic.highest_pending(self.gic.current_cpu(), group1_view=False)

    def read_AHPPIR(self) -> int:
        return self.gic.highest_pending(self.gic.current_cpu(), group1_view=True)

    def read_APR(self, index: int) -> int:
        return self._me().active_priorities[0] >> 32 * index & 0xFFFFFFFF

    def write_APR(self, index: int, value: int) -> None:
        self._set_active_priorities(0, index, value)

    def read_NSAPR(self, index: int) -> int:
        return self._me().active_priorities[1] >> 32 * index & 0xFFFFFFFF

    def write_NSAPR(self, index: int, value: int) -> None:
        self._set_active_priorities(1, index, value)

    def _set_active_priorities(self, group: int, index: int, value: int) -> None:
        cpu = self._me()
        priorities = cpu.active_priorities
        priorities[group] = priorities[group] & ~(0xFFFFFFFF << 32 * index) | value << 32 * index
        self.gic.recompute_running(cpu)
        self._update()

    def write_DIR(self, value: int) -> None:
        if self._me().control & Control.EOI_MODE:
            self.gic.deactivate(self.gic.current_cpu(), value & 0x3FF)
        else:
            self.guest_error(f"GICC_DIR of interrupt {value & 0x3FF} while EOImode is 0")
