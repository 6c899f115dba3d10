"""Floating-point ops: the evaluator and LLVM's code give the same value and sticky flags in all rounding modes.

The table leaves to the host which NaN arithmetic gives and whether it finds underflow before or after rounding.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

import pytest

from jit.evaluate import unpack
from jit.ir import Builder, Value
from jit.softfloat import FORMATS, is_nan
from jit.stencil import host_features
from jit.types import F16, F32, F64, I1, I32, I64, Type, vec, with_lanes
from tests.jit.test_ops import FLAGS, FLOATS, MACHINES, RESULT, STEP, Case, agree, stored

UNDERFLOW = 8


def case(name: str, types: tuple[Type, ...], make: Callable[..., Value], mode: int, free: bool = False) -> Case:
    """As tests.jit.test_ops.case, in a rounding mode and with the flags stored too.  free: the host has a choice."""
    b = Builder(name)
    operands = [b.ldenv(STEP * k, t) for k, t in enumerate(types)]
    b.op("fp_set_round", b.const(mode, I32))
    b.op("fp_set_flags", b.const(0, I32))
    out = make(b, *operands)
    flags = b.emit("fp_flags", I32)
    b.op("fp_set_flags", b.const(0, I32))
    b.op("fp_set_round", b.const(0, I32))
    out = stored(b, out)
    b.stenv(RESULT, out)
    b.stenv(FLAGS, flags)
    b.ret()
    return Case(f"{name} mode {mode}", b.function, types, out.type, fp=free)


def arithmetic(mode: int) -> Iterator[Case]:
    for op, n in (("fadd", 2), ("fsub", 2), ("fmul", 2), ("fdiv", 2), ("fsqrt", 1), ("fma", 3)):
        for t in FLOATS:
            yield case(f"{op} {t}", (t,) * n, lambda b, *args, op=op: b.op(op, *args), mode, free=True)


def comparison(mode: int) -> Iterator[Case]:
    for pred in ("eq", "lt", "le", "uno", "ueq") if mode == 0 else ():
        for signals in (False, True):
            for t in FLOATS:

                def compared(b: Builder, x: Value, y: Value, pred: str = pred, signals: bool = signals) -> Value:
                    return b.op("fcmp", x, y, type=with_lanes(x.type, I1), pred=pred, signals=signals)

                yield case(f"fcmp {pred} {signals} {t}", (t, t), compared, mode)


def rounding(mode: int) -> Iterator[Case]:
    for t in FLOATS:
        for how in ("even", "up", "down", "zero", "current", "exact"):
            yield case(f"fround {how} {t}", (t,), lambda b, x, how=how: b.op("fround", x, mode=how), mode)


def conversion(mode: int) -> Iterator[Case]:
    yield case("fp_round", (I32,), lambda b, x: x ^ b.emit("fp_round", I32), mode)
    for lanes in (0, 2, 4):
        f32, f64, i32, i64 = (vec(lanes, t) if lanes else t for t in (F32, F64, I32, I64))
        pairs = [("fext", f32, f64), ("ftrunc", f64, f32)]
        pairs += [(op, i, f) for op in ("itof", "utof") for i in (i32, i64) for f in (f32, f64)]
        if not lanes:
            pairs += [("ftoi", f, i) for i in (i32, i64) for f in (f32, f64)]
        for op, a, t in pairs:
            if t.size <= 128 and a.size <= 128:
                yield case(f"{op} {a} {t}", (a,), lambda b, x, op=op, t=t: b.op(op, x, type=t), mode)


def half(mode: int) -> Iterator[Case]:
    for lanes in (0, 4):
        f16, f32 = (vec(lanes, t) if lanes else t for t in (F16, F32))
        yield case(f"fext {f16} {f32}", (f16,), lambda b, x, t=f32: b.op("fext", x, type=t), mode)
        yield case(f"ftrunc {f32} {f16}", (f32,), lambda b, x, t=f16: b.op("ftrunc", x, type=t), mode)


def same(c: Case, want: bytes, got: bytes) -> bool:
    """Equal but for what the table leaves open."""
    if not c.fp:
        return False
    t, n = c.result, c.result.bytes
    f = FORMATS[t.bits]
    values = [unpack(int.from_bytes(x[:n], "little"), t) for x in (want, got)]
    pairs = list(zip(*values, strict=True)) if t.lanes else [tuple(values)]
    flags = [int.from_bytes(x[-4:], "little") & ~UNDERFLOW for x in (want, got)]
    return flags[0] == flags[1] and all(x == y or (is_nan(x, f) and is_nan(y, f)) for x, y in pairs)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("make", [arithmetic, comparison, rounding, conversion])
def test_evaluator_and_llvm_agree(make: Callable[[int], Iterator[Case]], machine: str | None) -> None:
    agree([c for mode in range(4) for c in make(mode)], machine, same)


@pytest.mark.skipif(platform.machine() == "x86_64" and "f16c" not in host_features(), reason="the host lacks F16C")
def test_half_precision_agrees() -> None:
    agree([c for mode in range(4) for c in half(mode)], None, same)
