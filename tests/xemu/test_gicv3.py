"""GICv3: arbitration, life of an interrupt, routes, SGIs, groups, several CPUs, timers' interrupts.

What native code does is evaluated here; tests/baremetal/programs/gicv3*.S compares it with QEMU as it runs for real,
and tests/arm/test_gic_threads.py lets CPUs race.
"""

import pytest
from gic_rig import FIQ, IRQ, Core

from targets.arm.exits import Event
from targets.arm.gic_state import SPURIOUS
from targets.arm.timers import NEVER
from xemu.devices.gic import UnsharedCore
from xemu.devices.gicv3 import Gicv3
from xemu.devices.gicv3_registers import REDISTRIBUTOR_SIZE, Distributor, add_registers
from xemu.memory import AddressSpace

GICD, GICR = 0x0800_0000, 0x080A_0000
SGI_BASE = 0x1_0000
CTLR, TYPER, IGROUPR, ISENABLER, ICENABLER = 0x000, 0x004, 0x080, 0x100, 0x180
ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = 0x200, 0x280, 0x300, 0x380
IPRIORITYR, ITARGETSR, ICFGR, SGIR, IROUTER = 0x400, 0x800, 0xC00, 0xF00, 0x6000
R_TYPER, WAKER = 0x08, 0x14


class Bench:
    """A GIC with both groups enabled, everything in group 1."""

    def __init__(self, cpus: int = 1) -> None:
        self.gic = Gicv3(288)
        self.memory = AddressSpace()
        add_registers(self.gic, self.memory, cpus, GICD, GICR)
        self.cores = [Core(index) for index in range(cpus)]
        for core in self.cores:
            self.gic.add_cpu(core)
            core.connect(self.gic.block.address)
            core.set("icc_pmr", 0xF8)
            core.set("icc_groups", 3)
            core.set("icc_bpr0", 2)
            core.set("icc_bpr1", 3)
        self.d(CTLR, 3)
        for word in range(1, 9):
            self.d(IGROUPR + 4 * word, 0xFFFFFFFF)
        for cpu in range(cpus):
            self.r(cpu, SGI_BASE + IGROUPR, 0xFFFFFFFF)

    @property
    def core(self) -> Core:
        return self.cores[0]

    def d(self, offset: int, value: int | None = None, size: int = 4):
        return self._access(GICD + offset, value, size)

    def r(self, cpu: int, offset: int, value: int | None = None, size: int = 4):
        return self._access(GICR + cpu * REDISTRIBUTOR_SIZE + offset, value, size)

    def _access(self, address: int, value: int | None, size: int):
        return self.memory.read(address, size) if value is None else self.memory.write(address, size, value)

    def lines(self) -> list[int]:
        return [core.lines() for core in self.cores]

    def enable(self, irq: int, priority: int = 0xA0, edge: bool = False, cpu: int = 0) -> None:
        if irq < 32:
            self.r(cpu, SGI_BASE + IPRIORITYR + irq, priority, 1)
            self.r(cpu, SGI_BASE + ISENABLER, 1 << irq)
            return
        self.d(IPRIORITYR + irq, priority, 1)
        self.d(IROUTER + 8 * irq, cpu, 8)
        if edge:
            self.d(ICFGR + irq // 16 * 4, self.d(ICFGR + irq // 16 * 4) | 2 << irq % 16 * 2)
        self.d(ISENABLER + irq // 32 * 4, 1 << irq % 32)


@pytest.fixture
def bench():
    return Bench()


# -- the life of an interrupt -----------------------------------------------------------------------------------------
def test_level_interrupt_stays_pending_while_the_line_is_high(bench):
    bench.enable(33)
    line = bench.gic.spi(1)
    line(True)
    assert bench.core.lines() == IRQ and bench.d(ISPENDR + 4) == 2
    assert bench.core.acknowledge() == 33
    assert bench.core.get("irq_lines") == 0 and bench.d(ISACTIVER + 4) == 2
    assert bench.core.acknowledge() == SPURIOUS
    bench.core.end(33)
    assert bench.core.get("irq_lines") == IRQ  # the device has not been seen to
    line(False)
    assert bench.core.lines() == 0 and bench.d(ISPENDR + 4) == 0
    assert bench.core.acknowledge() == SPURIOUS


def test_edge_interrupt_is_latched_until_acknowledged(bench):
    bench.enable(40, edge=True)
    line = bench.gic.spi(8)
    line(True)
    line(False)
    assert bench.core.acknowledge() == 40
    line(True)  # a new edge while active: pending and active
    assert bench.d(ISPENDR + 4) == bench.d(ISACTIVER + 4) == 1 << 8
    assert bench.core.lines() == 0
    bench.core.end(40)
    assert bench.core.serve() == 40
    assert bench.core.lines() == 0  # still high, but there was no further edge


def test_a_line_that_is_high_delivers_once_enabled(bench):
    bench.gic.ppi(0, 30)(True)
    assert bench.core.lines() == 0
    bench.enable(30)
    assert bench.core.lines() == IRQ


def test_every_change_makes_the_cpu_look(bench):
    bench.enable(33)
    for change in (
        lambda: bench.gic.spi(1)(True),
        lambda: bench.d(ICENABLER + 4, 2),
        lambda: bench.d(ISENABLER + 4, 2),
        lambda: bench.d(IPRIORITYR + 33, 0x80, 1),
        lambda: bench.d(ISACTIVER + 4, 2),
        lambda: bench.d(ICACTIVER + 4, 2),
        lambda: bench.d(ISPENDR + 4, 2),
        lambda: bench.d(ICPENDR + 4, 2),
        lambda: bench.d(ICFGR + 8, 8),
        lambda: bench.d(IGROUPR + 4, 0),
        lambda: bench.d(CTLR, 0),
        lambda: bench.gic.spi(1)(False),
        lambda: bench.r(0, SGI_BASE + ISENABLER, 1),
        lambda: bench.r(0, SGI_BASE + ISPENDR, 1),
        lambda: bench.r(0, SGI_BASE + IPRIORITYR, 8, 1),
        lambda: bench.gic.ppi(0, 20)(True),
        bench.gic.reset,
    ):
        bench.core.set("attn", 0)
        change()
        assert bench.core.get("attn") == 1


def test_the_most_urgent_comes_first_then_the_lowest_number(bench):
    for irq, priority in ((33, 0xA0), (34, 0x80), (5, 0xA0), (200, 0x80), (287, 0x10)):
        bench.enable(irq, priority)
    bench.d(ISPENDR + 4, 6)
    bench.d(ISPENDR + 24, 1 << 8)
    bench.d(ISPENDR + 32, 1 << 31)
    bench.r(0, SGI_BASE + ISPENDR, 1 << 5)
    assert [bench.core.serve() for _ in range(6)] == [287, 34, 200, 5, 33, SPURIOUS]


def test_everything_pending_at_once(bench):
    bench.r(0, SGI_BASE + ISENABLER, 0xFFFFFFFF)
    bench.r(0, SGI_BASE + ISPENDR, 0xFFFFFFFF)
    for word in range(1, 9):
        bench.d(ISENABLER + 4 * word, 0xFFFFFFFF)
        bench.d(ISPENDR + 4 * word, 0xFFFFFFFF)
    assert [bench.core.serve() for _ in range(289)] == [*range(288), SPURIOUS]


# -- priorities -------------------------------------------------------------------------------------------------------
def test_only_priorities_above_the_mask_pass(bench):
    bench.enable(33, 0x80)
    bench.d(ISPENDR + 4, 2)
    for mask, line in ((0x80, 0), (0x88, IRQ), (0, 0), (0xF8, IRQ)):
        bench.core.set("icc_pmr", mask)
        assert bench.core.lines() == line


def test_the_least_priority_never_passes(bench):
    bench.enable(33, 0xF8)
    bench.d(ISPENDR + 4, 2)
    assert bench.core.lines() == 0


def test_preemption_by_group_priority(bench):
    bench.enable(33, 0x80)
    bench.enable(34, 0x48)
    bench.d(ISPENDR + 4, 2)
    assert bench.core.acknowledge() == 33
    bench.d(ISPENDR + 4, 4)
    assert bench.core.lines() == IRQ
    bench.core.set("icc_bpr1", 7)  # bit 7 alone decides, and 0x48 has it clear
    assert bench.core.acknowledge() == 34
    assert bench.core.get("icc_apr", 1) == 1 << 0x80 // 8 | 1 << 0
    bench.core.end(34)
    bench.d(IPRIORITYR + 34, 0xC8, 1)
    bench.d(ISPENDR + 4, 4)
    assert bench.core.lines() == 0
    bench.core.end(33)
    assert bench.core.get("irq_lines") == IRQ


def test_ends_are_of_the_group_that_runs(bench):
    bench.r(0, SGI_BASE + IGROUPR, ~1 & 0xFFFFFFFF)  # SGI 0 is of group 0
    bench.enable(0, 0x40)
    bench.enable(1, 0x80)
    bench.r(0, SGI_BASE + ISPENDR, 2)
    assert bench.core.acknowledge() == 1
    bench.r(0, SGI_BASE + ISPENDR, 1)
    assert bench.core.lines() == FIQ
    assert bench.core.acknowledge(1) == SPURIOUS
    assert bench.core.acknowledge(0) == 0
    bench.core.end(1, 1)  # not the one that runs
    assert bench.r(0, SGI_BASE + ISACTIVER) == 3
    bench.core.end(0, 0)
    bench.core.end(1, 1)
    assert bench.r(0, SGI_BASE + ISACTIVER) == 0
    assert bench.core.get("icc_apr", 0) == bench.core.get("icc_apr", 1) == 0
    bench.core.end(1, 1)  # nothing runs
    for intid in (SPURIOUS, 288, 0xFFFFFF):
        bench.core.end(intid, 1)


def test_equal_priorities_of_both_groups_end_as_group_0_first(bench):
    bench.core.set("icc_apr", 1 << 16, 0)
    bench.core.set("icc_apr", 1 << 16, 1)
    bench.core.end(33, 1)
    assert bench.core.get("icc_apr", 1) == 1 << 16
    bench.core.end(33, 0)
    assert bench.core.get("icc_apr", 0) == 0


def test_a_disabled_group_does_not_hide_the_other(bench):
    bench.r(0, SGI_BASE + IGROUPR, ~1 & 0xFFFFFFFF)
    bench.enable(0, 0x40)
    bench.enable(1, 0x80)
    bench.r(0, SGI_BASE + ISPENDR, 3)
    assert bench.core.lines() == FIQ
    bench.core.set("icc_groups", 2)
    assert bench.core.lines() == IRQ
    bench.core.set("icc_groups", 3)
    bench.d(CTLR, 2)
    assert bench.core.lines() == IRQ
    bench.d(CTLR, 0)
    assert bench.core.lines() == 0


def test_separate_deactivation(bench):
    bench.core.set("icc_ctlr", 2)  # EOImode
    bench.enable(33)
    bench.gic.spi(1)(True)
    assert bench.core.acknowledge() == 33
    bench.core.end(33)
    assert bench.core.get("icc_apr", 1) == 0 and bench.d(ISACTIVER + 4) == 2
    assert bench.core.lines() == 0
    bench.core.call("gic_deactivate", 33)
    assert bench.core.lines() == IRQ


# -- several CPUs -----------------------------------------------------------------------------------------------------
def test_shared_interrupts_follow_their_routes():
    bench = Bench(cpus=18)
    bench.enable(40, cpu=1)
    bench.gic.spi(8)(True)
    assert bench.lines() == [0, IRQ] + [0] * 16
    bench.d(IROUTER + 8 * 40, 0x101, 8)  # the second CPU of the second cluster
    assert bench.lines() == [0] * 17 + [IRQ]
    assert bench.d(IROUTER + 8 * 40, size=8) == 0x101
    for nobody in (0x102, 0x12, 0x1_0000, 1 << 32, 0x1FF):
        bench.d(IROUTER + 8 * 40, nobody, 8)
        assert bench.lines() == [0] * 18
    bench.d(IROUTER + 8 * 40 + 4, 0)  # the halves by themselves
    bench.d(IROUTER + 8 * 40, 2)
    assert bench.cores[2].acknowledge() == 40


def test_a_cpu_may_deactivate_what_another_one_gets_next():
    bench = Bench(cpus=2)
    bench.enable(40, cpu=0)
    bench.gic.spi(8)(True)
    assert bench.core.acknowledge() == 40
    bench.d(IROUTER + 8 * 40, 1, 8)
    bench.cores[1].set("attn", 0)
    assert bench.cores[1].lines() == 0
    bench.core.end(40)
    assert bench.cores[1].get("attn") == 1 and bench.cores[1].lines() == IRQ


def test_sgis_by_list_to_all_others_and_to_nobody():
    bench = Bench(cpus=18)
    for cpu in range(18):
        bench.enable(5, cpu=cpu)
    sender = bench.cores[3]
    sender.send(5 << 24 | 0b1010)
    assert [cpu for cpu, line in enumerate(bench.lines()) if line] == [1, 3]
    assert bench.cores[1].serve() == bench.cores[3].serve() == 5
    sender.send(5 << 24 | 1 << 16 | 0xFFFF)
    assert [cpu for cpu, line in enumerate(bench.lines()) if line] == [16, 17]
    assert bench.cores[16].serve() == bench.cores[17].serve() == 5
    sender.send(5 << 24 | 1 << 40)
    assert [cpu for cpu, line in enumerate(bench.lines()) if not line] == [3]
    for cpu in range(18):
        bench.cores[cpu].serve()
    for elsewhere in (2 << 16, 1 << 32, 1 << 48, 1 << 44):
        sender.send(5 << 24 | elsewhere | 0xFFFF)
    sender.send(5 << 24)
    assert bench.lines() == [0] * 18


def test_sgis_are_for_their_group():
    bench = Bench(cpus=2)
    bench.enable(5, cpu=1)
    bench.core.send(5 << 24 | 2, group=0)
    assert bench.lines() == [0, 0]
    bench.r(1, SGI_BASE + IGROUPR, 0)
    bench.core.send(5 << 24 | 2, group=1)
    assert bench.lines() == [0, 0]
    bench.core.send(5 << 24 | 2, group=0)
    assert bench.lines() == [0, FIQ]


def test_an_sgi_wakes_a_cpu_that_waits():
    bench = Bench(cpus=3)
    bench.cores[2].set("waiting", 1)
    bench.core.send(5 << 24 | 0b110)
    assert bench.core.events == [(Event.WAKE, 2)]
    assert bench.cores[1].get("attn") == bench.cores[2].get("attn") == 1


def test_private_interrupts_are_private():
    bench = Bench(cpus=2)
    bench.enable(27, 0x50, cpu=1)
    bench.gic.ppi(1, 27)(True)
    assert bench.lines() == [0, IRQ]
    assert bench.r(0, SGI_BASE + ISENABLER) == bench.r(0, SGI_BASE + ISPENDR) == 0
    assert bench.r(1, SGI_BASE + IPRIORITYR + 27, size=1) == 0x50


# -- registers --------------------------------------------------------------------------------------------------------
def test_identification():
    bench = Bench(cpus=18)
    assert bench.d(TYPER) == 0x0348_0008  # 288 lines, INTIDs of 10 bits, affinity 3, no 1-of-N; no LPIs
    types = [bench.r(cpu, R_TYPER, size=8) for cpu in range(18)]
    assert [value >> 32 for value in types] == [*range(16), 0x100, 0x101]
    assert [value >> 8 & 0xFFFF for value in types] == [*range(18)]
    assert [value >> 4 & 1 for value in types] == [0] * 17 + [1]  # Last
    for block in (GICD, GICR):
        assert bench.memory.read(block + 0xFFE8, 4) == 0x3B


def test_lines_that_do_not_exist_and_private_ones_are_ignored(bench):
    for offset in (ISENABLER, ISPENDR, ISACTIVER, IGROUPR):
        for word in (0, 9, 31):
            bench.d(offset + 4 * word, 0xFFFFFFFF)
            assert bench.d(offset + 4 * word) == 0
    for irq in (0, 31, 288, 1023):
        bench.d(IPRIORITYR + irq, 0xFF, 1)
        assert bench.d(IPRIORITYR + irq, size=1) == 0
    for irq in (0, 31, 288, 1019):
        bench.d(IROUTER + 8 * irq, 1, 8)
        assert bench.d(IROUTER + 8 * irq, size=8) == 0
    for word in (0, 1, 18, 63):
        bench.d(ICFGR + 4 * word, 0xFFFFFFFF)
        assert bench.d(ICFGR + 4 * word) == 0
    for offset in (ITARGETSR + 40, SGIR):
        bench.d(offset, 0xFFFFFFFF)
        assert bench.d(offset) == 0


def test_sgis_are_edge_triggered(bench):
    bench.r(0, SGI_BASE + ICFGR, 0)
    assert bench.r(0, SGI_BASE + ICFGR) == 0xAAAAAAAA
    bench.r(0, SGI_BASE + ICFGR + 4, 0xAAAAAAAA)
    assert bench.r(0, SGI_BASE + ICFGR + 4) == 0xAAAAAAAA


def test_waker(bench):
    assert bench.r(0, WAKER) == 6
    bench.r(0, WAKER, 0)
    assert bench.r(0, WAKER) == 0


def test_a_full_controller_leaves_out_the_special_numbers():
    gic = Gicv3(1024)
    gic.add_cpu(UnsharedCore())
    distributor = Distributor(gic)
    distributor.write(ISENABLER + 124, 4, 0xFFFFFFFF)
    assert distributor.read(ISENABLER + 124, 4) == 0x0FFFFFFF
    assert gic.spi(987)
    with pytest.raises(ValueError, match="SPI 988 does not exist"):
        gic.spi(988)


# -- timers -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def timed(bench):
    bench.core.set("timer_ppi", 1 << 30, 0)
    bench.core.set("timer_ppi", 1 << 27, 1)
    bench.enable(27)
    bench.enable(30)
    return bench


def program(core: Core, timer: str, control: int, value: int) -> None:
    core.set(f"cnt{timer}_ctl_el0", control)
    core.set(f"cnt{timer}_cval_el0", value)
    core.call("timer_written")


def test_a_timers_interrupt_follows_its_condition(timed):
    core = timed.core
    program(core, "v", 1, 100)
    assert core.get("irq_lines") == 0 and core.get("timer_next") == 100
    core.now = 99
    core.call("timer_update")
    assert core.get("irq_lines") == 0
    core.now = 100
    core.call("timer_update")
    assert core.get("irq_lines") == IRQ and core.acknowledge() == 27
    program(core, "v", 3, 100)  # masked
    core.end(27)
    assert core.get("irq_lines") == 0
    program(core, "v", 1, 100)
    assert core.get("irq_lines") == IRQ
    program(core, "v", 1, 101)
    assert core.get("irq_lines") == 0 and core.get("timer_next") == 101
    program(core, "v", 0, 0)
    assert core.get("irq_lines") == 0 and core.get("timer_next") == NEVER


def test_python_hears_of_timers_that_are_due_before_it_looks(timed):
    core = timed.core
    program(core, "v", 1, 100)
    assert core.events == [(Event.TIMER, 0)]
    core.set("timer_alarm", 100)
    program(core, "v", 1, 200)
    program(core, "p", 1, 150)
    assert len(core.events) == 1 and core.get("timer_next") == 150
    program(core, "p", 1, 99)
    assert len(core.events) == 2 and core.get("timer_next") == 99


def test_an_edge_triggered_timer_is_latched(timed):
    core = timed.core
    timed.r(0, SGI_BASE + ICFGR + 4, 2 << 2 * 11)
    core.now = 10
    program(core, "v", 1, 5)
    program(core, "v", 0, 5)
    assert core.lines() == IRQ and core.serve() == 27
    assert core.lines() == 0


# -- saving -----------------------------------------------------------------------------------------------------------
def test_reset_and_restore():
    bench = Bench(cpus=2)
    bench.enable(40, 0x80, cpu=1, edge=True)
    bench.gic.spi(8)(True)
    bench.gic.spi(9)(True)
    bench.r(1, WAKER, 0)
    saved = bench.gic.state()
    bench.gic.reset()
    assert bench.lines() == [0, 0] and bench.d(ISENABLER + 4) == 0 and bench.d(CTLR) == 0x50
    assert bench.d(ISPENDR + 4) == 3 << 8  # the lines themselves are others'
    bench.gic.spi(9)(False)
    bench.gic.restore(saved)
    assert bench.gic.state() == saved
    assert bench.lines() == [0, IRQ] and bench.r(1, WAKER) == 0
    assert bench.cores[1].serve() == 40
    with pytest.raises(ValueError, match="another number of CPUs or lines"):
        Bench(cpus=1).gic.restore(saved)


@pytest.mark.parametrize("lines", [32, 33, 2048])
def test_impossible_shapes_are_refused(lines):
    with pytest.raises(ValueError, match="multiple of 32 lines"):
        Gicv3(lines)


def test_there_is_a_limit_to_cpus():
    gic = Gicv3(64)
    for _ in range(128):
        gic.add_cpu(UnsharedCore())
    with pytest.raises(ValueError, match="up to 128 CPUs"):
        gic.add_cpu(UnsharedCore())


@pytest.mark.parametrize("number", [15, 32])
def test_private_lines_are_16_to_31(bench, number):
    with pytest.raises(ValueError, match="does not exist"):
        bench.gic.ppi(0, number)
