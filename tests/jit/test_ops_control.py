"""Ops on memory and ops of control: the evaluator and LLVM's code do the same to memory and give the same results."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable

import pytest

from jit.evaluate import Evaluator
from jit.ir import Builder, Function, Value
from jit.ops import OPS, RMW_KINDS
from jit.types import F32, I8, I16, I32, I64, I128, PTR, Type, vec
from tests.jit import test_ops, test_ops_float
from tests.jit.native import Memory, Native

SIZE = 1024
# What this file tests; all other ops are in cases made from the table
OPS_HERE = """
    arg env hole ptradd ptrtoint ld st cmpxchg rmw fence relax if loop result carried call callback run_code
    leave next goto branch goto_ptr
"""


def both(
    functions: list[Function], args: tuple[int, ...] = (), holes: dict[str, int] | None = None, fill: int = 1
) -> bytes:
    """Run the first function on equal memory in both engines; what memory holds then, which must agree."""
    native = Native(functions, holes=holes)
    contents = random.Random(fill).randbytes(SIZE)
    out: list[tuple[bytes, int | None]] = []
    for engine in ("evaluator", "native"):
        memory = Memory(SIZE)
        memory.write(0, contents)
        wide = functions[0].ret is I64
        if engine == "evaluator":
            by_name = {f.name: f for f in functions}
            result = Evaluator(memory.address, by_name).run(functions[0], holes, args).value
        else:
            types = (ctypes.c_uint64,) * len(args)
            call = native.function(functions[0].name, *types, ret=ctypes.c_uint64 if wide else None)
            result = call(memory.address, *args)
        out.append((memory.read(0, SIZE), result if wide else None))
    assert out[0] == out[1]
    return out[0][0]


def word(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


@pytest.mark.parametrize("t", [I8, I16, I32, I64, I128, F32, vec(4, I32), vec(8, I8)])
def test_loads_and_stores(t: Type) -> None:
    b = Builder("f")
    p = b.ptradd(b.env(), 3)  # misaligned
    b.st(b.ptradd(p, 100), b.ld(p, t))
    b.stenv(320, b.ldenv(208, t))
    b.ret()
    both([b.function])


@pytest.mark.parametrize("t", [I8, I16, I32, I64])
def test_ordered_accesses(t: Type) -> None:
    b = Builder("f")
    x = b.ld(b.ptradd(b.env(), 64), t, "acquire")
    for order in ("full", "acquire", "release"):
        b.fence(order)
    b.op("relax")
    b.st(b.ptradd(b.env(), 128), x, "release")
    b.ret()
    both([b.function])


@pytest.mark.parametrize("t", [I8, I16, I32, I64])
@pytest.mark.parametrize("kind", RMW_KINDS)
def test_read_modify_write(kind: str, t: Type) -> None:
    for fill in range(3):
        b = Builder("f")
        p = b.ptradd(b.env(), 64)
        b.stenv(256, b.rmw(kind, p, b.ldenv(72, t)))
        b.stenv(272, b.rmw(kind, p, b.ldenv(80, t)))
        b.ret()
        both([b.function], fill=fill)


@pytest.mark.parametrize("t", [I8, I16, I32, I64, I128])
def test_compare_and_exchange(t: Type) -> None:
    b = Builder("f")
    b.stenv(64, b.ldenv(80, t))
    p = b.ptradd(b.env(), 64)
    b.stenv(128, b.cmpxchg(p, b.ldenv(80, t), b.ldenv(96, t)))  # succeeds
    b.stenv(144, b.cmpxchg(p, b.ldenv(80, t), b.ldenv(112, t)))  # fails
    b.ret()
    data = both([b.function])
    n = t.bytes
    assert data[64 : 64 + n] == data[96 : 96 + n] == data[144 : 144 + n] and data[128 : 128 + n] == data[80 : 80 + n]


def test_negative_offsets_and_pointers() -> None:
    b = Builder("f", args=(I64,), ret=I64)
    p = b.ptradd(b.env(), b.args[0])
    b.stenv(64, b.ptradd(p, -8))
    b.stenv(72, b.ld(b.ptradd(p, -8), I64))
    again = b.ldenv(64, PTR)
    b.ret(b.op("ptrtoint", p) - b.op("ptrtoint", again))
    for engine in (0, 1):
        memory = Memory(SIZE)
        memory.write(0, random.Random(1).randbytes(SIZE))
        native = Native([b.function]).function("f", ctypes.c_uint64, ret=ctypes.c_uint64)
        value = native(memory.address, 40) if engine else Evaluator(memory.address).run(b.function, None, (40,)).value
        assert value == 8
        assert word(memory.read(64, 8), 0) == memory.address + 32 and memory.read(72, 8) == memory.read(32, 8)


@pytest.mark.parametrize("value", [0, 1, 7])
def test_conditionals(value: int) -> None:
    b = Builder("f", args=(I64,), ret=I64)
    x = b.args[0]

    def inner() -> Value:
        return b.cond(x.ugt(3), lambda: x + 10, lambda: x + 20)

    first, second = b.cond(x.ne(0), lambda: [inner(), b.const(5, I32)], lambda: [b.const(99), b.const(6, I32)])
    b.when(x.eq(7), lambda: b.stenv(0, x), likely=False)
    b.ret(first * 100 + second.zext(I64))
    both([b.function], (value,))


def test_a_body_that_ends_the_loop_body() -> None:
    """Collatz steps, with a conditional in the loop and a nested loop behind it."""
    b = Builder("f", args=(I64,), ret=I64)

    def step(x: Value, n: Value) -> tuple[Value, list[Value]]:
        following = b.cond((x & 1).eq(0), lambda: x.lshr(1), lambda: x * 3 + 1)
        return following.ne(1), [following, n + 1]

    _, steps = b.loop([b.args[0], b.const(0)], step)

    def outer(k: Value, total: Value) -> tuple[Value, list[Value]]:
        _, inner = b.loop([k, total], lambda j, t: (j.ugt(1), [j - 1, t + j * k]))
        return k.ult(5), [k + 1, inner]

    _, total = b.loop([b.const(1), steps], outer)
    b.ret(total)
    for start in (1, 2, 7, 27):
        both([b.function], (start,))


def test_calls() -> None:
    inner = Builder("inner", args=(I64, I32), ret=I64)
    inner.stenv(8, inner.args[1])
    inner.ret(inner.args[0] * 3)
    nothing = Builder("nothing")
    nothing.stenv(16, nothing.const(7))
    nothing.ret()
    b = Builder("f", args=(I64,), ret=I64)
    b.call("nothing")
    b.ret(b.call("inner", b.args[0], b.args[0].trunc(I32), type=I64) + 1)
    both([b.function, inner.function, nothing.function], (1 << 40 | 5,))


def test_callbacks() -> None:
    b = Builder("f", args=(I64,), ret=I64)
    b.ret(b.callback("twice", 64, b.args[0], b.const(1), type=I64) + 1)
    native = Native([b.function]).function("f", ctypes.c_uint64, ret=ctypes.c_uint64)
    callback = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)(lambda x, y: x * 2 + y)
    memory = Memory()
    memory.write(64, ctypes.cast(callback, ctypes.c_void_p).value.to_bytes(8, "little"))
    assert native(memory.address, 20) == 42
    assert (
        Evaluator(memory.address, callbacks={"twice": lambda x, y: x * 2 + y}).run(b.function, None, (20,)).value == 42
    )


def ways(build: Callable[[Builder], None], holes: dict[str, int] | None = None) -> list[str]:
    """Where a stencil goes in both engines: "next" or the name of a continuation."""
    b = Builder("s", kind="stencil")
    build(b)
    ends: list[Function] = []
    for k, name in enumerate(("NEXT", "TAKEN", "away", "far"), 1):
        e = Builder(name, kind="stencil")
        e.stenv(0, e.const(k))
        e.ret()
        ends.append(e.function)
    start = Builder("start")
    start.op("run_code", start.ldenv(8, PTR))
    start.ret()
    native = Native([b.function, *ends, start.function], holes=holes)
    memory, out = Memory(), list[str]()
    memory.write(16, (5).to_bytes(8, "little"))
    memory.write(24, (native.cache.base + native.at["far"]).to_bytes(8, "little"))
    memory.write(8, (native.cache.base + native.at["s"]).to_bytes(8, "little"))
    outcome = Evaluator(memory.address).run(b.function, holes)
    out.append("far" if outcome.kind == "goto_ptr" else outcome.name or outcome.kind)
    native.function("start")(memory.address)
    out.append(("", "next", "TAKEN", "away", "far")[word(memory.read(0, 8), 0)])
    return out


def test_leaving_a_stencil() -> None:
    def branch(b: Builder, n: int) -> None:
        b.branch(b.ldenv(16, I64).eq(n), "TAKEN")

    def leave(b: Builder, n: int) -> None:
        b.leave_if(b.ldenv(16, I64).eq(n), "away")
        b.next()

    assert ways(lambda b: b.next()) == ["next"] * 2
    assert ways(lambda b: b.goto("away")) == ["away"] * 2
    assert ways(lambda b: branch(b, 5)) == ["TAKEN"] * 2
    assert ways(lambda b: branch(b, 6)) == ["next"] * 2
    assert ways(lambda b: leave(b, 5)) == ["away"] * 2
    assert ways(lambda b: leave(b, 6)) == ["next"] * 2
    assert ways(lambda b: b.goto_ptr(b.ldenv(24, PTR))) == ["far"] * 2


@pytest.mark.parametrize("x, y", [(0, 0), (0, 1), (1, 0), (5, 5), (-1, -1), (0x7FFF_FFFF, -0x8000_0000)])
def test_nothing_is_assumed_of_holes(x: int, y: int) -> None:
    """Two holes may be equal, and each may be 0: LLVM must not fold the comparisons."""
    b = Builder("f", ret=I64)
    p, q = (b.hole(n, -(1 << 31), (1 << 31) - 1) for n in "xy")
    bits = (p.eq(q), p.eq(0), q.ne(0), p.slt(q), p.ult(q), p.eq(-1))
    out = b.const(0)
    for k, bit in enumerate(bits):
        out = out | (bit.zext(I64) << k)
    b.stenv(0, b.ldenv(p & 0xF8, I64) + b.ldenv(q & 0xF8, I64))
    b.ret(out)
    both([b.function], holes={"x": x, "y": y})


@pytest.mark.parametrize("value", [0, 1, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 0x8000_0000_0000_0000, (1 << 64) - 1])
def test_wide_holes(value: int) -> None:
    b = Builder("f", ret=I64)
    b.ret(b.hole("wide", 0, (1 << 64) - 1) ^ (b.hole("wide", 0, (1 << 64) - 1) << 1))
    both([b.function], holes={"wide": value})


def test_every_op_is_tested() -> None:
    makers = (
        test_ops.plain_cases,
        test_ops.constant_cases,
        test_ops.select_cases,
        test_ops.conversion_cases,
        test_ops.lane_cases,
    )
    floats = (
        test_ops_float.arithmetic,
        test_ops_float.comparison,
        test_ops_float.rounding,
        test_ops_float.conversion,
    )
    cases = [c for make in makers for c in make()] + [c for make in floats for c in make(0)]
    made = {v.op for c in cases for v in c.function.body}
    assert set(OPS) == made | set(OPS_HERE.split())
