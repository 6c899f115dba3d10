"""What reading and writing system registers does beyond a load or store of the CPU state: code in IR.

Read functions give the value as i64, write functions get it; `b` is the A64 builder.  Trap functions give i1: an access
from EL0 is trapped.  All have run their EL checks before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jit.ir import Value
from jit.types import I1, I32, I64, VOID
from targets.arm import timers
from targets.arm.debug import MDSCR_KDE, MDSCR_MDE, MDSCR_SS, MDSCR_TDCC, OSLSR_OSLK
from targets.arm.env import ENV
from targets.arm.exceptions import bank_stack_pointer, byte, set_byte, unmasked_work
from targets.arm.state import get, put

A64 = Any  # targets.arm.a64.lift.A64, which must not be needed to read the table
Read = Callable[[A64], Value]
Write = Callable[[A64, Value], None]
Trap = Callable[[A64, bool], Value]

# FPCR: AHP, DN, FZ, RMode; FPSR: QC, IDC (kept in env.fpsr), the other cumulative flags
FPCR_MASK = 0x07C0_0000
FPSR_QC, FPSR_IDC, FPSR_FLAGS = 27, 1 << 7, 0x1F
SCTLR_MASK = ((1 << 64) - 1) & ~(3 << 24)  # EE and E0E: no big-endian data
CPACR_MASK = 3 << 20
# MDSCR_EL1: always writable, and writable while the OS lock is locked
MDSCR_MASK = MDSCR_SS | MDSCR_TDCC | MDSCR_KDE | MDSCR_MDE
MDSCR_LOCKED_MASK = MDSCR_MASK | 1 << 6 | 1 << 14 | 3 << 22 | 3 << 26 | 3 << 29


# -- traps of EL0 ------------------------------------------------------------------------------------------------------
def sctlr_clear(bit: int) -> Trap:
    """Trapped while this bit of SCTLR_EL1 is 0."""
    return lambda b, write: ~get(b, "sctlr_el1").bit(bit)


def cntkctl_clear(bits: int) -> Trap:
    """Trapped while all these bits of CNTKCTL_EL1 are 0."""
    return lambda b, write: (get(b, "cntkctl_el1") & bits).eq(0)


def tdcc(b: A64, write: bool) -> Value:
    return (get(b, "mdscr_el1") & MDSCR_TDCC).ne(0)


# -- simple ones -------------------------------------------------------------------------------------------------------
def read_constant(value: int) -> Read:
    return lambda b: b.const(value)


def ignore(b: A64, value: Value) -> None:
    """The write has no effect."""


def read_pstate(name: str, low: int) -> Read:
    """A byte of PSTATE at bit `low`."""
    return lambda b: byte(b, name) << low


def read_nzcv(b: A64) -> Value:
    return byte(b, "nf") << 31 | byte(b, "zf") << 30 | byte(b, "cf") << 29 | byte(b, "vf") << 28


def write_nzcv(b: A64, value: Value) -> None:
    for name, low in (("nf", 31), ("zf", 30), ("cf", 29), ("vf", 28)):
        set_byte(b, name, value.lshr(low) & 1)


def read_ccsidr(b: A64) -> Value:
    return b.ldenv(get(b, "csselr_el1") * 8 + ENV.ccsidr_el1, I64)


def read_dczid(b: A64) -> Value:
    """DZP tells EL0 that SCTLR_EL1.DZE forbids DC ZVA."""
    value = get(b, "dczid_el0")
    return value if b.i.mode.el else value | (~get(b, "sctlr_el1").bit(14)).zext(I64) << 4


def read_isr(b: A64) -> Value:
    lines = b.call("interrupt_poll", type=I64)
    return (lines & 1) << 7 | (lines & 2) << 5


def read_l2ctlr(b: A64) -> Value:
    """Number of cores less one in bits 25..24."""
    return get(b, "peers").zext(I64).umin(3) << 24


# -- stack pointers, masks, PAN ----------------------------------------------------------------------------------------
def _no_sp_el0(b: A64) -> None:
    """SP_EL0 is UNDEFINED as a register where it is the stack pointer."""
    b.when(byte(b, "spsel").eq(0), lambda: b.undefined(), likely=False)


def read_sp_el0(b: A64) -> Value:
    _no_sp_el0(b)
    return get(b, "sp_el0")


def write_sp_el0(b: A64, value: Value) -> None:
    _no_sp_el0(b)
    put(b, "sp_el0", value)


def write_spsel(b: A64, value: Value) -> None:
    bank_stack_pointer(b, value & 1)


def look_behind(b: A64) -> None:
    """After unmasking: where something waits, take it behind this instruction, inside a block too."""

    def look() -> None:
        b.stenv(ENV.pc, b.pc() + 4)
        b.leave("attention")

    b.when(unmasked_work(b), look, likely=False)


def write_daif(b: A64, value: Value) -> None:
    set_byte(b, "daif", value.lshr(6) & 15)
    look_behind(b)


def write_pan(b: A64, value: Value) -> None:
    set_byte(b, "pan", value.lshr(22) & 1)
    b.call("set_privilege")


# -- floating point ----------------------------------------------------------------------------------------------------
def write_fpcr(b: A64, value: Value) -> None:
    put(b, "fpcr", value & FPCR_MASK)
    b.op("fp_set_round", value.bits(22, 2).trunc(I32), type=VOID)
    b.call("mode_changed")


def read_fpsr(b: A64) -> Value:
    flags = b.op("fp_flags", type=I32).zext(I64)
    return get(b, "qc") << FPSR_QC | (get(b, "fpsr") & FPSR_IDC) | flags


def write_fpsr(b: A64, value: Value) -> None:
    put(b, "qc", value.bits(FPSR_QC, 1))
    put(b, "fpsr", value & FPSR_IDC)
    b.op("fp_set_flags", value.trunc(I32) & FPSR_FLAGS, type=VOID)


# -- translation -------------------------------------------------------------------------------------------------------
def write_sctlr(b: A64, value: Value) -> None:
    put(b, "sctlr_el1", value & SCTLR_MASK)
    b.call("regime_changed")


def write_translation_control(field: str) -> Write:
    """TCR_EL1, MAIR_EL1: all that was translated under the old value is forgotten."""

    def write(b: A64, value: Value) -> None:
        put(b, field, value)
        b.call("regime_changed")

    return write


def write_ttbr(field: str) -> Write:
    """TTBR0_EL1, TTBR1_EL1: what is cached stays valid under its ASID."""

    def write(b: A64, value: Value) -> None:
        put(b, field, value)
        b.call("set_regime")

    return write


def write_cpacr(b: A64, value: Value) -> None:
    put(b, "cpacr_el1", value & CPACR_MASK)
    b.call("mode_changed")


# -- timers ------------------------------------------------------------------------------------------------------------
def read_count(b: A64) -> Value:
    """CNTPCT_EL0, and CNTVCT_EL0: without EL2 the offset is zero."""
    return timers.count(b)


def read_tval(cval: str) -> Read:
    return lambda b: (get(b, cval) - timers.count(b)) & 0xFFFF_FFFF


def read_ctl(ctl: str, cval: str) -> Read:
    """ISTATUS, bit 2, is the timer's condition while it is enabled."""

    def read(b: A64) -> Value:
        control = get(b, ctl)
        met = timers.count(b).uge(get(b, cval)) & control.trunc(I1)
        return control | met.zext(I64) << 2

    return read


def write_ctl(ctl: str) -> Write:
    def write(b: A64, value: Value) -> None:
        put(b, ctl, value & 3)
        b.call("timer_written")
        look_behind(b)

    return write


def _reprogram(b: A64, ctl: str, cval: str, value: Value) -> None:
    put(b, cval, value)
    b.when(get(b, ctl).trunc(I1), lambda: b.call("timer_written"))
    look_behind(b)


def write_cval(ctl: str, cval: str) -> Write:
    return lambda b, value: _reprogram(b, ctl, cval, value)


def write_tval(ctl: str, cval: str) -> Write:
    """CVAL = count + SignExtend(value<31:0>)."""
    return lambda b, value: _reprogram(b, ctl, cval, timers.count(b) + value.trunc(I32).sext(I64))


# -- debug -------------------------------------------------------------------------------------------------------------
def debug_changed(b: A64) -> None:
    """Debug exceptions may be enabled differently now: look at the next block head, tell Python about breakpoints."""
    b.call("debug_changed")


def write_mdscr(b: A64, value: Value) -> None:
    """Some bits belong to the debugger's saved state: writable while the OS lock is locked."""
    locked = (get(b, "oslsr") & OSLSR_OSLK).ne(0)
    mask = b.select(locked, b.const(MDSCR_LOCKED_MASK), MDSCR_MASK)
    put(b, "mdscr_el1", (get(b, "mdscr_el1") & ~mask) | (value & mask))
    debug_changed(b)


def write_oslar(b: A64, value: Value) -> None:
    put(b, "oslsr", (get(b, "oslsr") & ~OSLSR_OSLK) | (value & 1) << 1)
    debug_changed(b)


def write_lock(field: str) -> Write:
    """OSDLR_EL1.DLK, DBGPRCR_EL1.CORENPDRQ."""

    def write(b: A64, value: Value) -> None:
        put(b, field, value & 1)
        debug_changed(b)

    return write


def write_claim(set_bits: bool) -> Write:
    def write(b: A64, value: Value) -> None:
        old, bits = get(b, "dbgclaim"), value & 0xFF
        put(b, "dbgclaim", old | bits if set_bits else old & ~bits)

    return write


def write_debug(field: str, index: int, mask: int) -> Write:
    """A breakpoint's or watchpoint's value or control register."""

    def write(b: A64, value: Value) -> None:
        put(b, field, value & mask, index)
        debug_changed(b)

    return write
