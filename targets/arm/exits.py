"""Why native code goes back to Python: the values of env.exit_reason when continuation `exit` is reached.

On every exit env.pc is the address of the next instruction to execute.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Reasons; each has a counter in the statistics."""

    NONE = 0
    TRANSLATE = 1  # no code for env.pc in the present mode
    STOP = 2  # env.stop_request was set: look at the machine's state
    WFI = 3  # wait for an interrupt line (env.irq_lines), masked or not
    WFE = 4  # wait for an event: as WFI, but SEV of another CPU ends it too; only where that takes long (smp.py)
    HYPERCALL = 5  # HVC: x0..x3 in, x0 out; the immediate is in env.fault_esr bits 15..0
    EVENT = 6  # a callback asks for the machine's attention (timers were programmed)
    CACHE_FULL = 7  # no room for more code
    STEP = 8  # software step: run the one instruction at env.pc in step mode
    ICOUNT = 9  # env.icount_left is 0: a timer is due


class Event(IntEnum):
    """What native code reports through callback `event(env, kind, value)`.  *: only while env.trace has the bit."""

    EXCEPTION = 1  # * taken: value = vector offset & 0x180; ELR, SPSR, ESR, FAR are set
    UNKNOWN_REGISTER = 2  # * MRS or MSR of an unknown register; value = ISS of exception class 0x18
    SEND_EVENT = 3  # SEV: end the sleep of CPUs in WFE
    TIMER = 5  # a timer was programmed, to an earlier time than Python looks at it anyway
    DEBUG = 6  # breakpoints, watchpoints or what enables them changed
    MMU = 7  # * value = targets.arm.trace.Mmu
    UNDEFINED = 8  # * value = a word that no row of this CPU defines, at pc_base + pc_off
    WAKE = 9  # value = a CPU that waits and has an interrupt
