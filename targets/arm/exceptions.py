"""Exception entry and return, and what waits at block heads: runtime code in IR (D1.3 to D1.8, AArch64.TakeException).

Continuations, each reached with the whole state in env:

    take_exception      synchronous, to EL1: env.pc is the return address, env.fault_esr the syndrome
    data_fault          a data access of the instruction at pc_base + pc_off failed: fault_va, fault_esr
    undefined_insn      the instruction at pc_base + pc_off is UNDEFINED
    exception_return    ERET
    attention           env.attn was not 0 where code looks; env.pc is the next instruction

The soft TLB's base pointers and the block mode follow EL and PAN: `set_privilege` (tlb.py) is called after they change.
"""

from __future__ import annotations

from collections.abc import Callable

from jit.ir import Builder, Function, Value
from jit.types import I8, I32, I64
from targets.arm import debug, gic, trace
from targets.arm.env import ENV
from targets.arm.exits import Event, Exit
from targets.arm.state import guarded_callback

IL = 1 << 25
EC_UNKNOWN, EC_ILLEGAL_STATE, EC_SVC, EC_SP_ALIGNMENT = 0x00, 0x0E, 0x15, 0x26
# Vector offsets: by kind, and by where the exception comes from (D1.3.4, table of vector offsets)
SYNC, IRQ, FIQ = 0x000, 0x080, 0x100
FROM_SP0, FROM_SPX, FROM_LOWER = 0x000, 0x200, 0x400
DAIF_I, DAIF_F = 1 << 1, 1 << 0
SCTLR_SA, SCTLR_SA0, SCTLR_SPAN = 3, 4, 23
PAGE = 4096
ID_AA64MMFR1 = ENV["feature_ids"].at(7 * 8 + 1)
ID_AA64MMFR1_PAN = 0xF << 20
SP = ENV.x + 8 * 31
NO_ADDRESS = (1 << 64) - 1

# PSTATE as SPSR_EL1 shows it: (env field, lowest bit, width)
PSTATE_BITS = (
    ("nf", 31, 1), ("zf", 30, 1), ("cf", 29, 1), ("vf", 28, 1), ("dit", 24, 1), ("uao", 23, 1), ("pan", 22, 1),
    ("ss", 21, 1), ("il", 20, 1), ("daif", 6, 4), ("el", 2, 2), ("spsel", 0, 1),
)  # fmt: skip


def byte(b: Builder, name: str) -> Value:
    """A byte of PSTATE as i64."""
    return b.ldenv(ENV[name].offset, I8).zext(I64)


def set_byte(b: Builder, name: str, value: Value | int) -> None:
    b.stenv(ENV[name].offset, b.const(value, I8) if isinstance(value, int) else value.resize(I8))


def set_word(b: Builder, name: str, value: int) -> None:
    b.stenv(ENV[name].offset, b.const(value, I32))


def read_pstate(b: Builder) -> Value:
    """PSTATE in the layout of SPSR_EL1."""
    out = b.const(0)
    for name, low, _ in PSTATE_BITS:
        out = out | byte(b, name) << low
    return out


def bank_stack_pointer(b: Builder, spsel: Value | int) -> None:
    """Make SP_EL0 (0) or SP_EL1 (1) the current stack pointer, and PSTATE.SP say so."""
    b.stenv(byte(b, "spsel") * 8 + ENV.sp_el0, b.ldenv(SP, I64))
    new = b.coerce(spsel, I64)
    b.stenv(SP, b.ldenv(new * 8 + ENV.sp_el0, I64))
    set_byte(b, "spsel", new)


def event(b: Builder, kind: Event, value: Value | int = 0) -> None:
    """Tell Python (rare: about a microsecond and the interpreter's lock)."""
    guarded_callback(b, "event", b.env(), b.const(kind), b.coerce(value, I64))


def _stencil(name: str, build: Callable[[Builder], None]) -> Function:
    b = Builder(name, kind="stencil")
    build(b)
    return b.function


# -- entry ----------------------------------------------------------------------------------------------------------
def _enter_el1(b: Builder, kind: int) -> None:
    """AArch64.TakeException to EL1: env.pc is the preferred return address."""
    b.stenv(ENV.elr_el1, b.ldenv(ENV.pc, I64))
    b.when(b.ldenv(ENV.stepping, I32).ne(0), lambda: _advance_call(b), likely=False)
    b.stenv(ENV.spsr_el1, read_pstate(b))
    lower = byte(b, "el").eq(0)
    same = b.select(byte(b, "spsel").eq(0), b.const(FROM_SP0), FROM_SPX)
    offset = b.select(lower, b.const(FROM_LOWER), same) + kind
    bank_stack_pointer(b, 1)
    for name, value in (("daif", 15), ("el", 1), ("ss", 0), ("il", 0), ("uao", 0)):
        set_byte(b, name, value)
    set_word(b, "stepping", 0)
    set_word(b, "step_iss", 0)
    pan = byte(b, "pan")
    new_pan = pan | _sets_pan(b)
    set_byte(b, "pan", new_pan)
    b.when(lower | new_pan.ne(pan), lambda: _drop(b.call("set_privilege")), likely=True)
    b.stenv(ENV.pc, (b.ldenv(ENV.vbar_el1, I64) & ~0x7FF) + offset)
    b.stenv(ENV.n_exception, b.ldenv(ENV.n_exception, I64) + 1)
    trace.report(b, trace.EXCEPTIONS, Event.EXCEPTION, offset & 0x180)
    b.goto("lookup")


def _advance_call(b: Builder) -> None:
    """SSAdvance() of an instruction that completes by taking its exception: SVC.  A fault repeats the instruction."""
    called = b.ldenv(ENV.fault_esr, I64).lshr(26).eq(EC_SVC)
    b.when(called, lambda: set_byte(b, "ss", 0))


def _drop(_value: Value) -> None:
    """A body that gives nothing."""


def _sets_pan(b: Builder) -> Value:
    """1 where the CPU has PAN and SCTLR_EL1.SPAN is clear."""
    keeps = b.ldenv(ENV.sctlr_el1, I64).bit(SCTLR_SPAN)
    has = (b.ldenv(ID_AA64MMFR1, I64) & ID_AA64MMFR1_PAN).ne(0)
    return (has & ~keeps).zext(I64)


def _take_exception(b: Builder) -> None:
    b.stenv(ENV.esr_el1, b.ldenv(ENV.fault_esr, I64))
    _enter_el1(b, SYNC)


def _instruction_pc(b: Builder) -> None:
    """env.pc of the instruction inside a block that noted its offset."""
    b.stenv(ENV.pc, b.ldenv(ENV.pc_base, I64) + b.ldenv(ENV.pc_off, I32).zext(I64))


def _data_fault(b: Builder) -> None:
    _instruction_pc(b)
    b.stenv(ENV.far_el1, b.ldenv(ENV.fault_va, I64))
    b.goto("take_exception")


def _undefined_insn(b: Builder) -> None:
    _instruction_pc(b)
    b.stenv(ENV.fault_esr, b.const(EC_UNKNOWN << 26 | IL))
    b.goto("take_exception")


def stack_misaligned(b: Builder) -> Value:
    return (b.ldenv(SP, I64) & 15).ne(0)


def stack_check() -> Function:
    """The code before a load or store with SP as its base: CheckSPAlignment()."""
    b = Builder("stack_check", kind="stencil")
    b.leave_if(stack_misaligned(b), "SLOW")
    b.next()
    slow = Builder("stack_check", kind="stencil")
    check_stack(slow)
    b.function.slow = slow.function
    return b.function


def check_stack(b: Builder) -> None:
    """The same in full, and the way on."""
    el0 = byte(b, "el").eq(0)
    sctlr = b.ldenv(ENV.sctlr_el1, I64)

    def fault() -> None:
        b.stenv(ENV.pc, b.ldenv(ENV.pc_base, I64) + b.hole("PC", 0, PAGE - 4))
        _synchronous(b, b.const(EC_SP_ALIGNMENT << 26 | IL))

    checked = b.select(el0, sctlr.bit(SCTLR_SA0), sctlr.bit(SCTLR_SA))
    b.when(checked & stack_misaligned(b), fault)
    b.next()


# -- return ---------------------------------------------------------------------------------------------------------
def _legal_return(spsr: Value) -> Value:
    """Not IllegalExceptionReturn(spsr) on a CPU with AArch64 only, EL0 and EL1: M[4:0] is EL0t, EL1t or EL1h."""
    m = spsr & 0x1F
    return m.eq(0b00000) | (m & 0b11110).eq(0b00100)


def _exception_return(b: Builder) -> None:
    """AArch64.ExceptionReturn: SetPSTATEFromPSR, and branch to ELR_EL1."""
    spsr = b.ldenv(ENV.spsr_el1, I64)
    legal = _legal_return(spsr)
    set_byte(b, "ss", debug.return_step_bit(b, legal, spsr))
    for name, low in (("nf", 31), ("zf", 30), ("cf", 29), ("vf", 28)):
        set_byte(b, name, spsr.lshr(low) & 1)
    set_byte(b, "daif", spsr.lshr(6) & 15)
    b.cond(legal, lambda: _restore(b, spsr), lambda: set_byte(b, "il", 1), likely=True)
    pan = byte(b, "pan")
    features = b.ldenv(ID_AA64MMFR1, I64)
    new_pan = b.select((features & ID_AA64MMFR1_PAN).ne(0), spsr.lshr(22) & 1, 0)
    set_byte(b, "pan", new_pan)
    b.when(byte(b, "el").eq(0) | new_pan.ne(pan), lambda: _drop(b.call("set_privilege")), likely=True)
    b.stenv(ENV.pc, b.ldenv(ENV.elr_el1, I64))
    b.stenv(ENV.excl_addr, b.const(NO_ADDRESS))
    set_word(b, "event_register", 1)
    b.stenv(ENV.stepping, b.ldenv(ENV.stepping, I32) << 1)  # STEPPING to STEPPED_RETURN
    look = unmasked_work(b) | byte(b, "il").ne(0)
    b.leave_if(look, "attention")
    b.goto("lookup")


def _restore(b: Builder, spsr: Value) -> None:
    """What only a legal return brings back."""
    set_byte(b, "il", spsr.lshr(20) & 1)
    set_byte(b, "el", spsr.lshr(2) & 3)
    bank_stack_pointer(b, spsr & 1)


def unmasked_work(b: Builder) -> Value:
    """i1: an interrupt line is or may be up, or software step is on: after PSTATE.DAIF or EL changed, look there."""
    lines = (b.ldenv(ENV.irq_lines, I32) | b.ldenv(ENV.attn, I32)).zext(I64)
    return (lines | (b.ldenv(ENV.mdscr_el1, I64) & debug.MDSCR_SS)).ne(0)


# -- what waits at block heads ---------------------------------------------------------------------------------------
def _attention(b: Builder) -> None:
    """What interrupts there are; then stop requests, software step, illegal state, FIQ, IRQ.

    The exchange comes first: whoever sets a line or a request after it sets attn again.
    """
    b.rmw("xchg", b.ptradd(b.env(), ENV.attn), b.const(0, I32))
    b.when(b.ldenv(ENV.peers, I32).ne(0), lambda: _drop(b.call("catch_up")))
    b.when(gic.present(b), lambda: _interrupts(b), likely=True)
    pending = debug.step_exception_pending(b)
    b.when(debug.step_active(b), lambda: set_word(b, "attn", 1), likely=False)
    b.when(b.ldenv(ENV.stop_request, I32).ne(0), lambda: _stop(b), likely=False)
    b.when(pending, lambda: _synchronous(b, debug.step_syndrome(b)), likely=False)
    b.when(byte(b, "il").ne(0), lambda: _illegal_state(b), likely=False)
    lines, daif = b.ldenv(ENV.irq_lines, I32).zext(I64), byte(b, "daif")
    b.leave_if((lines & 2).ne(0) & (daif & DAIF_F).eq(0), "take_fiq")
    b.leave_if((lines & 1).ne(0) & (daif & DAIF_I).eq(0), "take_irq")
    b.when(debug.step_active(b), lambda: _step(b), likely=False)
    b.goto("lookup")


def _interrupts(b: Builder) -> None:
    """Bring env.irq_lines up to date."""

    def due() -> None:
        set_word(b, "timer_due", 0)
        b.call("timer_update")

    b.when(b.ldenv(ENV.timer_due, I32).ne(0), due, likely=False)
    b.call("gic_update", type=I64)


def _stop(b: Builder) -> None:
    """Each request ends one run of native code."""
    b.rmw("xchg", b.ptradd(b.env(), ENV.stop_request), b.const(0, I32))
    _exit(b, Exit.STOP)


def _exit(b: Builder, reason: Exit) -> None:
    set_word(b, "exit_reason", reason)
    b.leave("exit")


def _synchronous(b: Builder, syndrome: Value) -> None:
    b.stenv(ENV.fault_esr, syndrome)
    b.leave("take_exception")


def _illegal_state(b: Builder) -> None:
    """PSTATE.IL makes every instruction an Illegal Execution state exception, once it has been fetched."""
    status = b.call("fetch_fill", b.ldenv(ENV.pc, I64), type=I64)
    b.leave_if(status.ne(0), "fetch_fault")
    _synchronous(b, b.const(EC_ILLEGAL_STATE << 26 | IL))


def _step(b: Builder) -> None:
    set_word(b, "stepping", debug.STEPPING)
    set_word(b, "step_iss", debug.STEP_ISV)
    _exit(b, Exit.STEP)


def functions() -> list[Function]:
    """The runtime functions of this file."""
    return [
        _stencil("take_exception", _take_exception),
        _stencil("take_irq", lambda b: _enter_el1(b, IRQ)),
        _stencil("take_fiq", lambda b: _enter_el1(b, FIQ)),
        _stencil("data_fault", _data_fault),
        _stencil("undefined_insn", _undefined_insn),
        _stencil("exception_return", _exception_return),
        _stencil("attention", _attention),
    ]
