"""Arm Generic Interrupt Controller, version 2 (Arm IHI 0048B), without the Security and Virtualization Extensions.

`Gicv2` holds the state of all interrupts and decides what each CPU's IRQ and FIQ inputs show; the two register blocks
in front of it are in gicv2_registers.py. Without the Security Extensions there is one view of the registers, the one
that a secure access has elsewhere, and both groups may be used.

State is kept as one integer per property with one bit per interrupt, so finding what is pending for a CPU is a few
operations on integers of 288 bits, whatever the number of lines.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from xemu.accel.base import Line

MAX_CPUS = 8  # the width of a target field
SGIS = 16  # interrupts 0..15: software generated
PRIVATE = 32  # interrupts 0..31 exist once per CPU
MAX_LINES = 1020
SPURIOUS = 1023  # nothing to acknowledge
OTHER_GROUP = 1022  # something to acknowledge, but only through the group 1 aliases
IDLE_PRIORITY = 0x100  # lower than every priority
SGI_BITS = (1 << SGIS) - 1
_PRIVATE_BITS = (1 << PRIVATE) - 1


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


@dataclass(slots=True)
class Bank:
    """Properties of a set of interrupts; bit n of each belongs to interrupt n."""

    enabled: int = 0
    latched: int = 0  # pending by an edge, by software or by an SGI; a level adds itself
    level: int = 0  # the input lines
    active: int = 0
    group: int = 0
    edge: int = 0  # edge-triggered; else level-sensitive
    priority: list[int] = field(default_factory=list)  # indexed by the interrupt's number within the bank

    def pending(self) -> int:
        return self.latched | self.level & ~self.edge

    def deliverable(self) -> int:
        return self.enabled & (self.latched | self.level & ~self.edge) & ~self.active


def _private_bank() -> Bank:
    return Bank(enabled=SGI_BITS, edge=SGI_BITS, priority=[0] * PRIVATE)


@dataclass(slots=True)
class CpuState:
    """One CPU's private interrupts and its interface."""

    bank: Bank = field(default_factory=_private_bank)
    targets: int = 0  # the shared interrupts that are sent to this CPU
    sgi_sources: list[int] = field(default_factory=lambda: [0] * SGIS)  # per SGI: mask of the CPUs that sent it
    control: int = 0
    mask: int = 0  # PMR
    bpr: int = 0
    abpr: int = 1
    # Active priorities of group 0 and 1: bit n stands for the preemption level n, that is, priority 2n.
    active_priorities: list[int] = field(default_factory=lambda: [0, 0])
    # Derived from the above:
    running: int = IDLE_PRIORITY
    best: int = SPURIOUS  # the highest-priority pending interrupt that passes the mask
    best_priority: int = IDLE_PRIORITY
    irq: bool = False
    fiq: bool = False


class Gicv2:
    """All interrupts, and the arbitration."""

    def __init__(self, cpus: int, lines: int, current_cpu: Callable[[], int]) -> None:
        if not 1 <= cpus <= MAX_CPUS:
            raise ValueError(f"a GICv2 serves 1 to {MAX_CPUS} CPUs, not {cpus}")
        if lines % 32 or not PRIVATE <= lines <= 1024:
            raise ValueError(f"a GICv2 has a multiple of 32 lines up to 1024, not {lines}")
        self.lines = min(lines, MAX_LINES)
        self.implemented = (1 << self.lines) - 1
        self.current_cpu = current_cpu
        # What is wired to each CPU's inputs.
        self.irq_outputs: list[Line] = [_unconnected] * cpus
        self.fiq_outputs: list[Line] = [_unconnected] * cpus
        self._clear(cpus)

    def connect(self, cpu: int, irq: Line, fiq: Line) -> None:
        self.irq_outputs[cpu] = irq
        self.fiq_outputs[cpu] = fiq

    def _clear(self, cpus: int) -> None:
        self.enable = 0  # GICD_CTLR
        self.shared = Bank(priority=[0] * (self.lines - PRIVATE))
        self.cpus = [CpuState() for _ in range(cpus)]
        self.uniprocessor = cpus == 1
        if self.uniprocessor:  # there are no target registers: everything goes to the one CPU
            self.cpus[0].targets = self.implemented & ~_PRIVATE_BITS

    def reset(self) -> None:
        self._clear(len(self.cpus))
        for output in (*self.irq_outputs, *self.fiq_outputs):
            output(False)

    def state(self) -> dict[str, Any]:
        return {"enable": self.enable, "shared": asdict(self.shared), "cpus": [asdict(cpu) for cpu in self.cpus]}

    def restore(self, state: dict[str, Any]) -> None:
        if len(state["cpus"]) != len(self.cpus) or len(state["shared"]["priority"]) != self.lines - PRIVATE:
            raise ValueError("gic: saved state is of another number of CPUs or lines")
        self.enable = state["enable"]
        self.shared = Bank(**state["shared"])
        self.cpus = [CpuState(**{**cpu, "bank": Bank(**cpu["bank"])}) for cpu in state["cpus"]]
        for index, cpu in enumerate(self.cpus):
            cpu.irq = cpu.fiq = False
            self.irq_outputs[index](False)
            self.fiq_outputs[index](False)
        self.update_all()

    # Input lines

    def spi(self, number: int) -> Line:
        """The input line of shared interrupt `number`, counted from 0 as device trees do."""
        irq = PRIVATE + number
        if not 0 <= number < self.lines - PRIVATE:
            raise ValueError(f"SPI {number} does not exist: the GIC has {self.lines - PRIVATE}")

        def line(level: bool) -> None:
            if self._input(self.shared, 1 << irq, level):
                self.update_shared(1 << irq)

        return line

    def ppi(self, cpu: int, number: int) -> Line:
        """The input line of a CPU's private interrupt, by its interrupt number (16 to 31)."""
        if not SGIS <= number < PRIVATE:
            raise ValueError(f"private interrupt {number} does not exist: they are {SGIS} to {PRIVATE - 1}")

        def line(level: bool) -> None:
            if self._input(self.cpus[cpu].bank, 1 << number, level):
                self.update(cpu)

        return line

    @staticmethod
    def _input(bank: Bank, bit: int, level: bool) -> bool:
        """Change a line; whether it changed."""
        if bool(bank.level & bit) == level:
            return False
        if level:
            bank.level |= bit
            bank.latched |= bit & bank.edge
        else:
            bank.level &= ~bit
        return True

    # Arbitration

    def update_all(self) -> None:
        for index in range(len(self.cpus)):
            self.update(index)

    def update_shared(self, bits: int) -> None:
        """Some of these shared interrupts changed."""
        for index, cpu in enumerate(self.cpus):
            if cpu.targets & bits:
                self.update(index)

    def update(self, index: int) -> None:
        """Decide again what this CPU's best pending interrupt is, and drive its two inputs."""
        cpu = self.cpus[index]
        enabled = self.enable & cpu.control
        cpu.best, cpu.best_priority = SPURIOUS, IDLE_PRIORITY
        irq = fiq = False
        if self.enable & 3 and cpu.control & 3:
            waiting = cpu.bank.deliverable() | self.shared.deliverable() & cpu.targets
            if waiting and enabled & 3 != 3:
                waiting &= self._of_enabled_groups(cpu, self.enable)
            if waiting:
                self._find_best(cpu, waiting)
            if cpu.best_priority < cpu.running and enabled & (group := self.group_enable(cpu, cpu.best)):
                fiq = group == Enable.GROUP0 and bool(cpu.control & Control.FIQ_EN)
                irq = not fiq
        if irq != cpu.irq:
            cpu.irq = irq
            self.irq_outputs[index](irq)
        if fiq != cpu.fiq:
            cpu.fiq = fiq
            self.fiq_outputs[index](fiq)

    def _of_enabled_groups(self, cpu: CpuState, enable: int) -> int:
        """The interrupts whose group the distributor forwards."""
        group1 = cpu.bank.group | self.shared.group
        bits = group1 if enable & Enable.GROUP1 else 0
        return bits | (self.implemented & ~group1 if enable & Enable.GROUP0 else 0)

    def _find_best(self, cpu: CpuState, waiting: int) -> None:
        """The lowest priority value wins, then the lowest number; at most one step per line of the GIC."""
        best, best_priority = SPURIOUS, cpu.mask  # only priorities above (less than) the mask pass
        while waiting:
            bit = waiting & -waiting
            waiting ^= bit
            irq = bit.bit_length() - 1
            priority = self.priority(cpu, irq)
            if priority < best_priority:
                best, best_priority = irq, priority
        if best != SPURIOUS:
            cpu.best, cpu.best_priority = best, best_priority

    def bank(self, cpu: CpuState, irq: int) -> Bank:
        return cpu.bank if irq < PRIVATE else self.shared

    def priority(self, cpu: CpuState, irq: int) -> int:
        return cpu.bank.priority[irq] if irq < PRIVATE else self.shared.priority[irq - PRIVATE]

    def group_enable(self, cpu: CpuState, irq: int) -> int:
        """The enable bit of the interrupt's group."""
        return Enable.GROUP1 if self.bank(cpu, irq).group >> irq & 1 else Enable.GROUP0

    # Acknowledge and end

    def highest_pending(self, index: int, group1_view: bool) -> int:
        """What HPPIR (or AHPPIR) shows: the number, with the sender of an SGI."""
        cpu = self.cpus[index]
        irq = self._visible(cpu, group1_view)
        return irq | self._sgi_source(cpu, irq) << 10 if irq < SGIS else irq

    def _visible(self, cpu: CpuState, group1_view: bool) -> int:
        if cpu.best == SPURIOUS:
            return SPURIOUS
        group1 = self.group_enable(cpu, cpu.best) == Enable.GROUP1
        if group1_view:
            return cpu.best if group1 else SPURIOUS
        if group1 and not cpu.control & Control.ACK_CTL:
            return OTHER_GROUP
        return cpu.best

    @staticmethod
    def _sgi_source(cpu: CpuState, irq: int) -> int:
        sources = cpu.sgi_sources[irq]
        return (sources & -sources).bit_length() - 1 if sources else 0

    def acknowledge(self, index: int, group1_view: bool) -> int:
        """Reading IAR (or AIAR): the interrupt becomes active, and its priority this CPU's running priority."""
        cpu = self.cpus[index]
        irq = self._visible(cpu, group1_view)
        if irq >= self.lines:
            return irq
        if cpu.best_priority >= cpu.running:
            return SPURIOUS
        bank, bit = self.bank(cpu, irq), 1 << irq
        self._raise_priority(cpu, irq)
        bank.active |= bit
        result = irq
        if irq < SGIS:
            source = self._sgi_source(cpu, irq)
            cpu.sgi_sources[irq] &= ~(1 << source)
            if not cpu.sgi_sources[irq]:
                bank.latched &= ~bit
            result |= source << 10
        else:
            bank.latched &= ~bit
        self._update_for(index, irq)
        return result

    def _update_for(self, index: int, irq: int) -> None:
        """Interrupt `irq` changed by an action of CPU `index`, whose running priority may have changed too."""
        self.update(index)
        if irq >= PRIVATE and not self.uniprocessor:
            self.update_shared(1 << irq)

    def _raise_priority(self, cpu: CpuState, irq: int) -> None:
        group = self.bank(cpu, irq).group >> irq & 1
        # The binary point splits off the group priority, which alone decides preemption. Group 1's is one bit
        # coarser for the same register value, unless it shares group 0's.
        point = cpu.abpr - 1 if group and not cpu.control & Control.CBPR else cpu.bpr
        group_priority = self.priority(cpu, irq) >> (point + 1) << (point + 1)
        cpu.active_priorities[group] |= 1 << (group_priority >> 1)
        cpu.running = group_priority

    def end(self, index: int, value: int, group1_view: bool) -> None:
        """Writing EOIR (or AEOIR): priority drop, and deactivation unless DIR does that."""
        cpu = self.cpus[index]
        irq = value & 0x3FF
        if irq >= self.lines or cpu.running == IDLE_PRIORITY:
            return  # the number of a spurious interrupt, or nothing is running: ignored
        group = self.bank(cpu, irq).group >> irq & 1
        if group1_view and not group:
            return
        priorities = cpu.active_priorities
        priorities[group] &= priorities[group] - 1  # the lowest set bit is the highest priority
        self.recompute_running(cpu)
        if not cpu.control & Control.EOI_MODE:
            self.bank(cpu, irq).active &= ~(1 << irq)
        self._update_for(index, irq)

    @staticmethod
    def recompute_running(cpu: CpuState) -> None:
        both = cpu.active_priorities[0] | cpu.active_priorities[1]
        cpu.running = (both & -both).bit_length() - 1 << 1 if both else IDLE_PRIORITY

    def deactivate(self, index: int, irq: int) -> None:
        """Writing DIR, when EOIR only drops the priority."""
        if irq < self.lines:
            self.bank(self.cpus[index], irq).active &= ~(1 << irq)
            self._update_for(index, irq)

    def send_sgi(self, sender: int, targets: int, sgi: int) -> None:
        for index, cpu in enumerate(self.cpus):
            if targets >> index & 1:
                cpu.bank.latched |= 1 << sgi
                cpu.sgi_sources[sgi] |= 1 << sender
                self.update(index)


def _unconnected(level: bool) -> None:
    """An output that leads nowhere."""
