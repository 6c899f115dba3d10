"""Exception entry, return and delivery: the continuations of targets/arm/exceptions.py, evaluated on a CPU state.

What they make of whole programs, natively too, is compared with QEMU in tests/baremetal (exc_*, debug_*, gic, timer).
"""

from __future__ import annotations

import pytest

from jit.evaluate import Outcome, read_host
from targets.arm.debug import MDSCR_KDE, MDSCR_SS
from targets.arm.exceptions import ID_AA64MMFR1, SP, stack_check
from targets.arm.exits import Exit
from targets.arm.system import runtime_functions
from tests.arm.mmu_rig import RAM_BASE, Rig

FUNCTIONS = {f.name: f for f in runtime_functions()}
VBAR = 0x4008_0000
PC = RAM_BASE + 0x1234 * 4
SP_EL0, SP_EL1 = 0x1110, 0x2220
EL0T, EL1T, EL1H = 0b0000, 0b0100, 0b0101
SCTLR_SA, SCTLR_SA0, SCTLR_SPAN = 1 << 3, 1 << 4, 1 << 23
IRQ, FIQ = 1, 2


class Cpu(Rig):
    """A CPU in one of its three modes, with continuations to run."""

    def __init__(self, mode: int = EL1H) -> None:
        super().__init__("reference")
        self.evaluator.functions = FUNCTIONS
        self.el, self.spsel = mode >> 2, mode & 1
        self.set_stack(SP_EL1 if self.spsel else SP_EL0)
        self.sp_el0, self.sp_el1 = (0xDEAD, SP_EL1) if not self.spsel else (SP_EL0, 0xDEAD)
        self.daif, self.vbar_el1, self.pc = 0, VBAR, PC

    def stack(self) -> int:
        return read_host(self.env + SP, 8)

    def set_stack(self, value: int) -> None:
        self._set(SP, value, 8)

    def go(self, name: str) -> str:
        """Run a continuation; gives the name of the one that it ends at."""
        out: Outcome = self.evaluator.run(FUNCTIONS[name])
        assert out.kind == "goto"
        return out.name

    def set_pan_feature(self) -> None:
        self._set(ID_AA64MMFR1, 1 << 20, 8)


def test_synchronous_exception_saves_and_masks() -> None:
    cpu = Cpu(EL0T)
    cpu.nf, cpu.zf, cpu.cf, cpu.vf, cpu.daif, cpu.fault_esr = 1, 0, 1, 0, 0b0010, 0x5600_0007
    assert cpu.go("take_exception") == "lookup"
    assert (cpu.elr_el1, cpu.esr_el1, cpu.spsr_el1) == (PC, 0x5600_0007, 0xA000_0080)
    assert (cpu.el, cpu.spsel, cpu.daif, cpu.pc) == (1, 1, 15, VBAR + 0x400)
    assert (cpu.stack(), cpu.sp_el0) == (SP_EL1, SP_EL0)


@pytest.mark.parametrize(("mode", "offset"), [(EL0T, 0x400), (EL1T, 0x000), (EL1H, 0x200)])
@pytest.mark.parametrize(("line", "kind"), [(0, 0x000), (IRQ, 0x080), (FIQ, 0x100)])
def test_vectors(mode: int, offset: int, line: int, kind: int) -> None:
    cpu = Cpu(mode)
    if line:
        cpu.irq_lines, cpu.attn = line, 1
        cpu.go(cpu.go("attention"))
    else:
        cpu.go("take_exception")
    assert cpu.pc == VBAR + offset + kind
    assert cpu.spsr_el1 & 0x1F == mode
    assert cpu.stack() == SP_EL1


def test_vector_base_ignores_its_low_bits() -> None:
    cpu = Cpu()
    cpu.vbar_el1 = VBAR | 0x7FF
    cpu.go("take_exception")
    assert cpu.pc == VBAR + 0x200


@pytest.mark.parametrize(
    ("has_pan", "span", "before", "after"),
    [(True, 0, 0, 1), (True, 1, 0, 0), (True, 1, 1, 1), (False, 0, 0, 0)],
)
def test_entry_sets_pan_where_sctlr_says(has_pan: bool, span: int, before: int, after: int) -> None:
    cpu = Cpu(EL0T)
    if has_pan:
        cpu.set_pan_feature()
    cpu.pan, cpu.sctlr_el1 = before, SCTLR_SPAN * span
    cpu.go("take_exception")
    assert cpu.pan == after
    assert cpu.spsr_el1 >> 22 & 1 == before


def test_data_fault_returns_to_the_instruction() -> None:
    cpu = Cpu()
    cpu.pc_base, cpu.pc_off, cpu.fault_va = PC & -4096, PC & 4095, 0x1234_5678
    assert cpu.go("data_fault") == "take_exception"
    assert (cpu.pc, cpu.far_el1) == (PC, 0x1234_5678)


# -- attention ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("lines", "daif", "goes_to"),
    [
        (0, 0, "lookup"),
        (IRQ, 0b0010, "lookup"),
        (FIQ, 0b0001, "lookup"),
        (IRQ, 0b1101, "take_irq"),
        (FIQ, 0b1110, "take_fiq"),
        (IRQ | FIQ, 0, "take_fiq"),
        (IRQ | FIQ, 0b0001, "take_irq"),
    ],
)
def test_interrupt_masks(lines: int, daif: int, goes_to: str) -> None:
    cpu = Cpu()
    cpu.irq_lines, cpu.daif, cpu.attn = lines, daif, 1
    assert cpu.go("attention") == goes_to
    assert cpu.attn == 0


def test_stop_request_comes_first_and_once() -> None:
    cpu = Cpu()
    cpu.irq_lines, cpu.stop_request, cpu.attn = IRQ, 1, 1
    assert cpu.go("attention") == "exit"
    assert (cpu.exit_reason, cpu.stop_request, cpu.pc) == (Exit.STOP, 0, PC)
    assert cpu.go("attention") == "take_irq"


# -- return ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", range(32))
def test_return_modes(mode: int) -> None:
    cpu = Cpu(EL1H)
    cpu.elr_el1, cpu.spsr_el1, cpu.event_register = 0x4000_2000, 0x6000_03C0 | mode, 0
    went = cpu.go("exception_return")
    assert (cpu.pc, cpu.zf, cpu.cf, cpu.daif, cpu.event_register) == (0x4000_2000, 1, 1, 15, 1)
    assert cpu.excl_addr == (1 << 64) - 1
    if mode in (EL0T, EL1T, EL1H):
        assert (went, cpu.el, cpu.spsel, cpu.il) == ("lookup", mode >> 2, mode & 1, 0)
        assert cpu.stack() == (SP_EL1 if mode & 1 else SP_EL0)
    else:
        assert (went, cpu.el, cpu.spsel, cpu.il) == ("attention", 1, 1, 1)
        assert cpu.go("attention") == "take_exception"
        assert cpu.fault_esr == 0x3A00_0000


def test_illegal_state_waits_for_the_fetch() -> None:
    cpu = Cpu()
    cpu.il, cpu.pc = 1, PC + 2
    assert cpu.go("attention") == "fetch_fault"
    assert (cpu.fault_esr >> 26, cpu.fault_va) == (0x22, PC + 2)


def test_return_looks_at_interrupts_that_it_unmasks() -> None:
    cpu = Cpu()
    cpu.elr_el1, cpu.spsr_el1, cpu.irq_lines = PC, EL0T, IRQ
    assert cpu.go("exception_return") == "attention"


@pytest.mark.parametrize(("has_pan", "pan"), [(True, 1), (False, 0)])
def test_return_restores_pan(has_pan: bool, pan: int) -> None:
    cpu = Cpu()
    if has_pan:
        cpu.set_pan_feature()
    cpu.spsr_el1 = 1 << 22 | EL1H
    cpu.go("exception_return")
    assert cpu.pan == pan


# -- software step -----------------------------------------------------------------------------------------------------
def _stepping(mode: int, ss: int) -> Cpu:
    """Returned from EL1 to `mode` with step on and SPSR.SS = ss."""
    cpu = Cpu()
    cpu.mdscr_el1, cpu.daif = MDSCR_SS | MDSCR_KDE, 8
    cpu.elr_el1, cpu.spsr_el1 = PC, ss << 21 | mode
    assert cpu.go("exception_return") == "attention"
    return cpu


@pytest.mark.parametrize(("mode", "ec"), [(EL0T, 0x32), (EL1H, 0x33)])
def test_step_of_an_instruction(mode: int, ec: int) -> None:
    cpu = _stepping(mode, 1)
    assert (cpu.go("attention"), cpu.exit_reason, cpu.attn) == ("exit", Exit.STEP, 1)
    cpu.pc = PC + 4  # what the instruction does
    assert cpu.go("attention") == "take_exception"
    assert cpu.fault_esr == ec << 26 | 1 << 25 | 1 << 24 | 0x22
    cpu.go("take_exception")
    assert (cpu.elr_el1, cpu.spsr_el1 >> 21 & 1) == (PC + 4, 0)


def test_step_that_is_pending_at_once_tells_that_nothing_was_stepped() -> None:
    cpu = _stepping(EL0T, 0)
    assert cpu.go("attention") == "take_exception"
    assert cpu.fault_esr == 0x32 << 26 | 1 << 25 | 0x22


@pytest.mark.parametrize(("ec", "ss"), [(0x24, 1), (0x15, 0)])
def test_fault_repeats_the_step_and_svc_completes_it(ec: int, ss: int) -> None:
    cpu = _stepping(EL0T, 1)
    cpu.go("attention")
    cpu.fault_esr = ec << 26
    cpu.go("take_exception")
    assert cpu.spsr_el1 >> 21 & 1 == ss
    assert cpu.go("attention") == "lookup"  # the handler runs with PSTATE.D set


@pytest.mark.parametrize("change", [{"mdscr_el1": MDSCR_KDE}, {"oslsr": 2}, {"osdlr_el1": 1}])
def test_step_needs_debug_exceptions_enabled(change: dict[str, int]) -> None:
    cpu = Cpu()
    cpu.mdscr_el1, cpu.elr_el1, cpu.spsr_el1 = MDSCR_SS, PC, 1 << 21 | EL0T
    for name, value in change.items():
        setattr(cpu, name, value)
    cpu.go("exception_return")
    assert cpu.ss == 0
    assert cpu.go("attention") == "lookup"


# -- stack pointer -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mode", "sctlr", "sp", "faults"),
    [
        (EL1H, SCTLR_SA, 0x1008, True),
        (EL1H, SCTLR_SA, 0x1010, False),
        (EL1H, SCTLR_SA0, 0x1001, False),
        (EL0T, SCTLR_SA0, 0x1004, True),
        (EL0T, SCTLR_SA, 0x1004, False),
    ],
)
def test_stack_check(mode: int, sctlr: int, sp: int, faults: bool) -> None:
    cpu = Cpu(mode)
    cpu.sctlr_el1, cpu.pc_base = sctlr, PC & -4096
    cpu.set_stack(sp)
    out = cpu.evaluator.run(stack_check(), {"PC": PC & 4095})
    assert (out.kind, out.name) == (("goto", "take_exception") if faults else ("next", ""))
    if faults:
        assert (cpu.pc, cpu.fault_esr) == (PC, 0x9A00_0000)
