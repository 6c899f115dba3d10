"""Small helpers of the runtime functions: CPU state fields by name, variable shifts, and calls back into Python."""

from __future__ import annotations

from collections.abc import Iterable

from jit.ir import Builder, Function, Value
from jit.types import I1, I32, I64, PTR, VOID, Type
from targets.arm.env import CALLBACK_AT, ENV

CLOCK_MONOTONIC = 1


def get(b: Builder, name: str, index: int = 0) -> Value:
    """Field `name` of the CPU state in its own type."""
    field = ENV[name]
    return b.ldenv(field.at(index), field.type)


def put(b: Builder, name: str, value: Value | int, index: int = 0) -> None:
    field = ENV[name]
    b.stenv(field.at(index), b.coerce(value, field.type))


def run(b: Builder, name: str, *args: Value) -> None:
    """Call a runtime function that gives nothing, or nothing that is wanted."""
    b.call(name, *args)


def count(b: Builder, name: str) -> None:
    """One more in a counter for the statistics."""
    put(b, name, get(b, name) + 1)


def shr(value: Value, amount: Value) -> Value:
    """Logical right shift by the amount modulo 64: one host instruction, where the plain op needs a comparison too."""
    return value.lshr(amount & 63)


def shl(value: Value, amount: Value) -> Value:
    """Left shift by the amount modulo 64."""
    return value << (amount & 63)


def address(b: Builder, p: Value) -> Value:
    """A pointer as a number, to compare."""
    return b.op("ptrtoint", p, type=I64)


def null(b: Builder) -> Value:
    return b.const(0, PTR)


def flag(b: Builder, c: Value) -> Value:
    """i1 as 0 or 1."""
    return c.zext(I64) if c.type is I1 else c


def guarded_callback(b: Builder, name: str, *args: Value, type: Type = VOID) -> Value:
    """Call back into Python.

    While guest code runs, the host's floating-point control register holds the guest's rounding mode and its cumulative
    flags.  Python's own arithmetic wants rounding to nearest and sets flags: both are put back behind the call.
    env.called_at tells the statistics how long Python's lock was waited for.
    """
    spec = b.ptradd(b.env(), ENV["called_at"].offset)
    b.callback("clock_gettime", CALLBACK_AT["clock_gettime"], b.const(CLOCK_MONOTONIC, I32), spec, type=I32)
    flags = b.op("fp_flags", type=I32)
    b.op("fp_set_round", b.const(0, I32), type=VOID)
    out = b.callback(name, CALLBACK_AT[name], *args, type=type)
    b.op("fp_set_flags", flags, type=VOID)
    b.op("fp_set_round", get(b, "fpcr").bits(22, 2).trunc(I32), type=VOID)
    return out


def cold(functions: Iterable[Function]) -> list[Function]:
    """Mark functions as rarely called: they are not inlined, and compiled for size."""
    out = list(functions)
    for f in out:
        f.cold = True
    return out
