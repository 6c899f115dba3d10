"""Counting instructions (-icount), in IR: what stands before each one, where that is asked for.

env.icount_left is how many may still be executed before Python has to look, env.icount_end how many will have been
executed by then; their difference is the guest's time. One less is left before each instruction, so between two of them
it is exact.
"""

from __future__ import annotations

from jit.ir import Builder, Function, Value
from jit.types import I32, I64
from targets.arm import exceptions
from targets.arm.env import ENV
from targets.arm.exits import Exit

PAGE = 4096


def _left(b: Builder) -> Value:
    return b.ldenv(ENV.icount_left, I64) - 1


def _leave(b: Builder) -> None:
    b.stenv(ENV.pc, b.ldenv(ENV.pc_base, I64) + b.hole("PC", 0, PAGE - 4))
    b.stenv(ENV.exit_reason, b.const(Exit.ICOUNT, I32))
    b.leave("exit")


def count_instruction() -> Function:
    b = Builder("count_instruction", kind="stencil")
    left = _left(b)
    b.leave_if(left.slt(0), "SLOW")
    b.stenv(ENV.icount_left, left)
    b.next()
    out = Builder("count_instruction", kind="stencil")
    _leave(out)
    b.function.slow = out.function
    return b.function


def counted_stack_check() -> Function:
    """The same where `stack_check` belongs before the instruction, too: there is one insert before each."""
    b = Builder("counted_stack_check", kind="stencil")
    left = _left(b)
    b.leave_if(left.slt(0) | exceptions.stack_misaligned(b), "SLOW")
    b.stenv(ENV.icount_left, left)
    b.next()
    slow = Builder("counted_stack_check", kind="stencil")
    left = _left(slow)
    slow.when(left.slt(0), lambda: _leave(slow))
    slow.stenv(ENV.icount_left, left)
    exceptions.check_stack(slow)
    b.function.slow = slow.function
    return b.function
