"""Self-hosted debug (D2): when debug exceptions are enabled, and software step.

Software step's states are MDSCR_EL1.SS, PSTATE.SS and `stepping`.  While step is enabled at the present EL, env.attn
stays set, so that every look-up of code goes to `attention`.  That takes the step exception where PSTATE.SS is 0, else
goes to Python with Exit.STEP: one instruction is run from code made in step mode, which always leaves through lookup.
"""

from __future__ import annotations

from jit.ir import Builder, Value
from jit.types import I1, I8, I32, I64
from targets.arm.env import ENV

EC_SOFT_STEP = 0x32  # from a lower EL; one more from the same
IL = 1 << 25
DEBUG_FSC = 0x22  # the fault status code of breakpoint, watchpoint and step exceptions
STEP_ISV, STEP_EX = 1 << 24, 1 << 6
STEPPING, STEPPED_RETURN = 1, 2  # env.stepping: an instruction; an ERET, which has set PSTATE.SS itself
MDSCR_SS, MDSCR_TDCC, MDSCR_KDE, MDSCR_MDE = 1 << 0, 1 << 12, 1 << 13, 1 << 15
OSLSR_OSLK = 1 << 1


def debug_exceptions_enabled(b: Builder, el: Value | None = None, masked: Value | None = None) -> Value:
    """AArch64.GenerateDebugExceptionsFrom: at `el` (i64) with PSTATE.D `masked`; of the present state if not given."""
    if el is None:
        el = b.ldenv(ENV.el, I8).zext(I64)
    if masked is None:
        masked = b.ldenv(ENV.daif, I8).bit(3)
    locked = (b.ldenv(ENV.oslsr, I64) & OSLSR_OSLK).ne(0) | _double_locked(b)
    kernel = (b.ldenv(ENV.mdscr_el1, I64) & MDSCR_KDE).ne(0) & ~masked
    return ~locked & (el.eq(0) | kernel)


def _double_locked(b: Builder) -> Value:
    """DoubleLockStatus(): OSDLR_EL1.DLK, unless DBGPRCR_EL1.CORENPDRQ."""
    return (b.ldenv(ENV.osdlr_el1, I64) & 1).ne(0) & (b.ldenv(ENV.dbgprcr_el1, I64) & 1).eq(0)


def software_step_on(b: Builder) -> Value:
    """MDSCR_EL1.SS: cheap, and false nearly always."""
    return b.ldenv(ENV.mdscr_el1, I64).trunc(I1)


def return_step_bit(b: Builder, legal: Value, spsr: Value) -> Value:
    """DebugExceptionReturnSS(spsr) as i64; `legal`: the exception return is not illegal."""

    def on() -> Value:
        here = debug_exceptions_enabled(b)
        el = b.select(legal, (spsr.lshr(2) & 3), b.ldenv(ENV.el, I8).zext(I64))
        there = debug_exceptions_enabled(b, el, spsr.bit(9))
        return (~here & there).zext(I64) & spsr.lshr(21)

    return b.cond(software_step_on(b), on, lambda: b.const(0), likely=False)


def step_exception_pending(b: Builder) -> Value:
    """The part of `attention` for software step: i1, step is enabled and PSTATE.SS is 0."""
    stepping = b.ldenv(ENV.stepping, I32)

    def look() -> Value:
        _complete_step(b, stepping)
        return software_step_on(b) & debug_exceptions_enabled(b) & b.ldenv(ENV.ss, I8).eq(0)

    return b.cond(software_step_on(b) | stepping.ne(0), look, lambda: b.const(0, I1), likely=False)


def _complete_step(b: Builder, stepping: Value) -> None:
    """SSAdvance() for the instruction that was stepped; where none was, the syndrome of an exception says so."""
    b.when(stepping.eq(0), lambda: b.stenv(ENV.step_iss, b.const(0, I32)))
    b.when(stepping.eq(STEPPING) & software_step_on(b), lambda: b.stenv(ENV.ss, b.const(0, I8)))
    b.stenv(ENV.stepping, b.const(0, I32))


def step_active(b: Builder) -> Value:
    """Software step is enabled and PSTATE.SS is 1: the next instruction is to be stepped."""
    return software_step_on(b) & debug_exceptions_enabled(b) & b.ldenv(ENV.ss, I8).ne(0)


def is_load_exclusive(word: int) -> bool:
    """LDXR, LDAXR, LDXP, LDAXP of any size: what EX in a step exception's syndrome tells of."""
    pair = word >> 21 & 1
    return word & 0x3FC0_0000 == 0x0840_0000 and (not pair or word >> 31 == 1)


def step_syndrome(b: Builder) -> Value:
    """ESR_EL1 of a software step exception."""
    same = b.ldenv(ENV.el, I8).zext(I64) << 26
    return b.ldenv(ENV.step_iss, I32).zext(I64) | same | (EC_SOFT_STEP << 26 | IL | DEBUG_FSC)
