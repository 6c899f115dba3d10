"""The interrupt controller: arbitration, life of an interrupt, SGIs, groups, several CPUs."""

import pytest
from gic_rig import FIQ, IRQ, Core

from targets.arm.exits import Event
from xemu.devices.gicv2 import Gicv2
from xemu.devices.gicv2_registers import CpuInterface, Distributor

CTLR, TYPER, IGROUPR, ISENABLER, ICENABLER = 0x000, 0x004, 0x080, 0x100, 0x180
ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = 0x200, 0x280, 0x300, 0x380
IPRIORITYR, ITARGETSR, ICFGR, SGIR, CPENDSGIR, SPENDSGIR = 0x400, 0x800, 0xC00, 0xF00, 0xF10, 0xF20
C_CTLR, PMR, BPR, IAR, EOIR, RPR, HPPIR, ABPR = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C
AIAR, AEOIR, AHPPIR, APR, NSAPR, DIR = 0x20, 0x24, 0x28, 0xD0, 0xE0, 0x1000
SPURIOUS = 1023


class Input:
    """An input of a CPU, as it is when the CPU looks."""

    def __init__(self, core: Core, bit: int) -> None:
        self._core, self._bit = core, bit

    @property
    def level(self) -> bool:
        return bool(self._core.lines() & self._bit)


class Bench:
    """A GIC with everything enabled and its CPU inputs watched."""

    def __init__(self, cpus: int = 1, control: int = 1) -> None:
        self.cpu = 0
        self.gic = Gicv2(288, lambda: self.cpu)
        cores = [Core(index) for index in range(cpus)]
        for core in cores:
            self.gic.add_cpu(core)
            core.connect(self.gic.block.address)
        self.irq, self.fiq = [Input(core, IRQ) for core in cores], [Input(core, FIQ) for core in cores]
        self._blocks = Distributor(self.gic), CpuInterface(self.gic)
        self.d(CTLR, 3)
        for self.cpu in reversed(range(cpus)):
            self.c(C_CTLR, control)
            self.c(PMR, 0xFF)

    def d(self, offset, value=None, size=4):
        return self._access(self._blocks[0], offset, value, size)

    def c(self, offset, value=None):
        return self._access(self._blocks[1], offset, value, 4)

    @staticmethod
    def _access(block, offset, value, size):
        return block.read(offset, size) if value is None else block.write(offset, size, value)

    def enable(self, irq, priority=0xA0, target=1, edge=False):
        self.d(IPRIORITYR + irq, priority, 1)
        self.d(ITARGETSR + irq, target, 1)
        if edge:
            self.d(ICFGR + irq // 16 * 4, self.d(ICFGR + irq // 16 * 4) | 2 << irq % 16 * 2)
        self.d(ISENABLER + irq // 32 * 4, 1 << irq % 32)


@pytest.fixture
def bench():
    return Bench()


def test_level_interrupt_stays_pending_while_the_line_is_high(bench):
    bench.enable(33)
    line = bench.gic.spi(1)
    line(True)
    assert bench.irq[0].level and bench.d(ISPENDR + 4) == 2
    assert bench.c(HPPIR) == 33
    assert bench.c(IAR) == 33
    assert not bench.irq[0].level and bench.d(ISACTIVER + 4) == 2
    assert bench.c(IAR) == SPURIOUS
    bench.c(EOIR, 33)
    assert bench.irq[0].level  # the device has not been seen to
    line(False)
    assert not bench.irq[0].level and bench.d(ISPENDR + 4) == 0
    assert bench.c(IAR) == SPURIOUS


def test_edge_interrupt_is_latched_until_acknowledged(bench):
    bench.enable(40, edge=True)
    line = bench.gic.spi(8)
    line(True)
    line(False)
    assert bench.c(IAR) == 40
    line(True)  # a new edge while active: pending and active
    assert bench.d(ISPENDR + 4) == bench.d(ISACTIVER + 4) == 1 << 8
    assert not bench.irq[0].level
    bench.c(EOIR, 40)
    assert bench.irq[0].level
    assert bench.c(IAR) == 40
    bench.c(EOIR, 40)
    assert not bench.irq[0].level  # still high, but there was no further edge


def test_a_set_line_delivers_once_enabled(bench):
    bench.gic.ppi(0, 30)(True)
    assert not bench.irq[0].level
    bench.enable(30)
    assert bench.irq[0].level
    bench.d(ICENABLER, 1 << 30)
    assert not bench.irq[0].level


def test_best_priority_wins_then_lowest_number(bench):
    for irq, priority in ((50, 0xA0), (40, 0xA0), (60, 0x80)):
        bench.enable(irq, priority)
        bench.gic.spi(irq - 32)(True)
    taken = []
    for _ in range(3):
        irq = bench.c(IAR)
        taken.append(irq)
        bench.gic.spi(irq - 32)(False)
        bench.c(EOIR, irq)
    assert taken == [60, 40, 50]


def test_preemption_by_group_priority_only(bench):
    bench.c(BPR, 3)  # groups of 16 priorities
    bench.enable(40, 0x88)
    bench.enable(41, 0x84)
    bench.enable(42, 0x70)
    bench.gic.spi(8)(True)
    assert bench.c(IAR) == 40 and bench.c(RPR) == 0x80
    bench.gic.spi(9)(True)
    assert not bench.irq[0].level and bench.c(HPPIR) == 41 and bench.c(IAR) == SPURIOUS
    bench.gic.spi(10)(True)
    assert bench.irq[0].level and bench.c(IAR) == 42 and bench.c(RPR) == 0x70
    assert bench.c(APR + 4) == 1 << (0x70 // 2 - 32) and bench.c(APR + 8) == 1 << (0x80 // 2 - 64)
    bench.c(EOIR, 42)
    assert bench.c(RPR) == 0x80
    bench.c(EOIR, 40)
    assert bench.c(RPR) == 0xFF


def test_priority_mask(bench):
    bench.enable(40, 0xA0)
    bench.gic.spi(8)(True)
    bench.c(PMR, 0xA0)
    assert not bench.irq[0].level and bench.c(HPPIR) == SPURIOUS
    bench.c(PMR, 0xA1)
    assert bench.irq[0].level


def test_separate_deactivation(bench):
    bench.c(C_CTLR, 0x201)
    bench.enable(40)
    line = bench.gic.spi(8)
    line(True)
    bench.c(IAR)
    bench.c(EOIR, 40)
    assert bench.c(RPR) == 0xFF and bench.d(ISACTIVER + 4) == 1 << 8 and not bench.irq[0].level
    bench.c(DIR, 40)
    assert bench.d(ISACTIVER + 4) == 0 and bench.irq[0].level


def test_group1_needs_its_own_acknowledge(bench):
    bench.c(C_CTLR, 3)
    bench.d(IGROUPR + 4, 1 << 8)
    bench.enable(40)
    bench.gic.spi(8)(True)
    assert bench.irq[0].level
    assert bench.c(HPPIR) == bench.c(IAR) == 1022
    assert bench.c(AHPPIR) == bench.c(AIAR) == 40
    assert bench.c(NSAPR + 8) == 1 << (0xA0 // 2 - 64) and bench.c(APR + 8) == 0
    bench.c(AEOIR, 40)
    assert bench.c(RPR) == 0xFF
    bench.c(C_CTLR, 7)  # AckCtl
    assert bench.c(IAR) == 40


def test_group0_as_fiq(bench):
    bench.c(C_CTLR, 0xB)
    bench.d(IGROUPR + 4, 1 << 9)
    bench.enable(40, 0x80)
    bench.enable(41, 0xA0)
    bench.gic.spi(8)(True)
    bench.gic.spi(9)(True)
    assert bench.fiq[0].level and not bench.irq[0].level
    assert bench.c(AIAR) == SPURIOUS  # the highest is of group 0
    assert bench.c(IAR) == 40
    bench.gic.spi(8)(False)
    bench.c(EOIR, 40)
    assert bench.irq[0].level and not bench.fiq[0].level


def test_a_disabled_group_does_not_block_the_other(bench):
    bench.c(C_CTLR, 3)
    bench.d(IGROUPR + 4, 1 << 9)
    bench.enable(40, 0x80)
    bench.enable(41, 0xA0)
    bench.gic.spi(8)(True)
    bench.gic.spi(9)(True)
    bench.d(CTLR, 2)
    assert bench.c(AHPPIR) == 41 and bench.irq[0].level


def test_sgis_name_their_sender():
    bench = Bench(cpus=4)
    bench.cpu = 2
    bench.d(SGIR, 0b1001 << 16 | 5)
    bench.cpu = 1
    bench.d(SGIR, 1 << 24 | 5)  # all but me
    assert [w.level for w in bench.irq] == [True, False, True, True]
    bench.cpu = 0
    assert bench.d(SPENDSGIR + 5, size=1) == 0b0110
    assert bench.c(IAR) == 5 | 1 << 10
    bench.c(EOIR, 5 | 1 << 10)
    assert bench.c(IAR) == 5 | 2 << 10
    bench.c(EOIR, 5 | 2 << 10)
    assert bench.c(IAR) == SPURIOUS
    bench.cpu = 3
    bench.d(CPENDSGIR + 5, 0xFF, 1)
    assert not bench.irq[3].level
    bench.d(SGIR, 2 << 24 | 7)  # me
    assert bench.c(IAR) == 7 | 3 << 10


def test_shared_interrupts_follow_their_targets():
    bench = Bench(cpus=2)
    bench.enable(40, target=2)
    bench.gic.spi(8)(True)
    assert [w.level for w in bench.irq] == [False, True]
    bench.d(ITARGETSR + 40, 3, 1)
    assert [w.level for w in bench.irq] == [True, True]
    bench.cpu = 0
    assert bench.c(IAR) == 40
    assert [w.level for w in bench.irq] == [False, False]  # one CPU takes it, for all
    bench.gic.spi(8)(False)
    bench.c(EOIR, 40)
    assert bench.d(ITARGETSR, size=1) == 1
    bench.cpu = 1
    assert bench.d(ITARGETSR, size=1) == 2


def test_private_interrupts_are_banked():
    bench = Bench(cpus=2)
    bench.cpu = 1
    bench.enable(27, 0x50)
    bench.gic.ppi(1, 27)(True)
    assert [w.level for w in bench.irq] == [False, True]
    bench.cpu = 0
    assert bench.d(ISENABLER) == 0xFFFF and bench.d(IPRIORITYR + 27, size=1) == 0 and bench.d(ISPENDR) == 0


def test_identification():
    bench = Bench(cpus=4)
    assert bench.d(TYPER) == 0x68
    assert [bench.d(0xFD0 + 4 * i) for i in range(12)] == [4, 0, 0, 0, 0x90, 0xB4, 0x2B, 0, 0x0D, 0xF0, 5, 0xB1]


def test_lines_that_do_not_exist_are_ignored(bench):
    for offset in (ISENABLER, ISPENDR, ISACTIVER, IGROUPR):
        bench.d(offset + 36, 0xFFFFFFFF)  # the first word beyond line 287
        assert bench.d(offset + 36) == 0
    bench.d(IPRIORITYR + 288, 0xFF, 1)
    assert bench.d(IPRIORITYR + 288, size=1) == 0
    bench.c(EOIR, 1023)
    bench.c(EOIR, 500)


def test_everything_pending_at_once(bench):
    for word in range(9):
        bench.d(ISENABLER + 4 * word, 0xFFFFFFFF)
        bench.d(ISPENDR + 4 * word, 0xFFFFFFFF)
    for irq in range(16, 288):
        assert bench.c(IAR) == irq
        bench.c(EOIR, irq)
    assert not bench.irq[0].level


def test_reset_and_restore():
    bench = Bench(cpus=2)
    bench.enable(40, target=2)
    bench.gic.spi(8)(True)
    saved = bench.gic.state()
    bench.gic.reset()
    assert not bench.irq[1].level and bench.d(ISENABLER + 4) == 0
    bench.gic.restore(saved)
    assert bench.irq[1].level
    bench.cpu = 1
    assert bench.c(IAR) == 40
    with pytest.raises(ValueError, match="another number of CPUs or lines"):
        Bench(cpus=1).gic.restore(saved)


@pytest.mark.parametrize("lines", [32, 33, 2048])
def test_impossible_shapes_are_refused(lines):
    with pytest.raises(ValueError, match="multiple of 32 lines"):
        Gicv2(lines, lambda: 0)


def test_there_is_a_limit_to_cpus():
    with pytest.raises(ValueError, match="up to 8 CPUs"):
        Bench(cpus=9)


# What native code serves without asking Python


@pytest.fixture
def native():
    bench = Bench(cpus=2)
    for core in bench.gic.cores:
        core.set("gicc_at", 0x0801_0000)
        core.set("gicd_sgir_at", 0x0800_0F00)
    bench.cpu = 0
    return bench


def test_acknowledge_and_end_in_native_code(native):
    core = native.gic.cores[0]
    native.enable(33)
    native.gic.spi(1)(True)
    assert core.call("gicv2_load", 0x0801_000C) == 33
    assert not native.irq[0].level
    assert core.call("gicv2_store", 0x0801_0010, 33) == 1
    assert native.irq[0].level
    core.set("attn", 0)
    assert core.call("gicv2_store", 0x0801_0004, 0x80) == 1
    assert native.c(PMR) == 0x80 and not native.irq[0].level and core.get("attn") == 0
    assert core.call("gicv2_store", 0x0801_0004, 0xF0) == 1
    assert native.irq[0].level and core.get("attn") == 1  # to be seen at the next block head


def test_sgis_in_native_code(native):
    sender, target = native.gic.cores
    target.set("waiting", 1)
    assert sender.call("gicv2_store", 0x0800_0F00, 2 << 16 | 5) == 1
    assert sender.events == [(Event.WAKE, 1)] and target.get("attn") == 1
    assert target.call("gicv2_load", 0x0801_000C) == 5
    for filter_, receivers in ((0, 0b10), (1, 0b10), (2, 0b01), (3, 0)):
        sender.call("gicv2_store", 0x0800_0F00, filter_ << 24 | 0xFE << 16 | 6)
        assert [core.get("gic_latched") >> 6 & 1 for core in native.gic.cores] == [receivers & 1, receivers >> 1]
        for core in native.gic.cores:
            core.set("gic_latched", 0)
            core.set("gic_sources", 0, 6)


def test_an_sgi_without_a_sender_is_none(native):
    """Taken with the one before, by a CPU that acknowledged just as it was sent."""
    core = native.gic.cores[0]
    core.set("gic_latched", 1 << 5)
    assert core.call("gicv2_load", 0x0801_000C) == SPURIOUS
    assert core.get("gic_latched") == 0 and core.get("gic_active") == 0


def test_other_registers_are_left_to_python(native):
    core = native.gic.cores[0]
    for offset in (0x00, 0x04, 0x08, 0x10):
        assert core.call("gicv2_load", 0x0801_0000 + offset) == (1 << 64) - 1
    for offset in (0x00, 0x08, 0x0C):
        assert core.call("gicv2_store", 0x0801_0000 + offset, 1) == 0
