"""The builder's guards: what must not be written, and what the operators emit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jit.ir import Builder, IRError, Value
from jit.ops import OPS
from jit.types import F32, F64, I1, I8, I16, I32, I64, PTR, VOID, Type, int_type, parse_type, vec, with_lanes


def make() -> tuple[Builder, Value, Value]:
    b = Builder("f", args=(I64, I32))
    return b, b.args[0], b.args[1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda b, x, y: x + y,
        lambda b, x, y: x & y,
        lambda b, x, y: x.eq(y),
        lambda b, x, y: x << y,
        lambda b, x, y: x.umin(y),
        lambda b, x, y: b.select(b.const(1, I1), x, y),
        lambda b, x, y: b.stenv(y, x),
        lambda b, x, y: b.splat(x, 2).with_lane(0, y),
        lambda b, x, y: b.splat(x, 2).lane(y),
        lambda b, x, y: x.trunc(I64).zext(I32),
        lambda b, x, y: y.trunc(I64),
        lambda b, x, y: b.splat(y, 4).zext(vec(2, I64)),
        lambda b, x, y: x.bitcast(I32),
        lambda b, x, y: b.emit("frobnicate", I64, (x,)),
        lambda b, x, y: x + Builder("g", args=(I64,)).args[0],
        lambda b, x, y: b.cond(x.eq(0), lambda: x, lambda: y),
        lambda b, x, y: b.cond(x.eq(0), lambda: b.leave("a"), lambda: b.leave("b")),
    ],
)
def test_refused(wrong: Callable[[Builder, Value, Value], object]) -> None:
    b, x, y = make()
    with pytest.raises(IRError):
        wrong(b, x, y)


def test_a_value_is_not_a_python_number() -> None:
    _, x, y = make()
    with pytest.raises(TypeError, match="not known"):
        if x.eq(0):
            pass
    with pytest.raises(TypeError, match="signedness"):
        _ = x >> 1
    with pytest.raises(TypeError):
        _ = x < 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        range(x)  # type: ignore[call-overload]
    assert (x == y) is False and x in {x: 1}


def test_nothing_follows_a_terminal() -> None:
    b, x, _ = make()
    b.ret()
    assert b.finished
    with pytest.raises(IRError, match="after ret"):
        b.stenv(0, x)


def test_nothing_follows_leave() -> None:
    b, x, _ = make()

    def body() -> None:
        b.leave("away")
        b.stenv(0, x)

    with pytest.raises(IRError, match="after leave"):
        b.when(x.eq(0), body)
    b.stenv(0, x)  # the builder is back where it was


def test_numbers_become_constants_of_the_other_type() -> None:
    _, x, y = make()
    for v, mask in ((x - 1, I64.mask), (y - 1, I32.mask)):
        assert v.args[1].op == "const" and v.args[1].attrs["value"] == 1
        assert (~v).args[1].attrs["value"] == mask
    assert [a.op for a in (5 - x).args] == ["const", "arg"]
    assert (-x).args[1] is x
    assert (x + -1).args[1].attrs["value"] == I64.mask


def test_comparisons_swap_their_operands() -> None:
    _, x, _ = make()
    assert x.ugt(3).op == "ult" and x.ugt(3).args[1] is x
    assert x.uge(3).op == "ule" and x.sle(3).args[0] is x
    assert x.eq(1).type is I1


def test_conversions_do_nothing_where_nothing_is_to_do() -> None:
    _, x, y = make()
    assert x.zext(I64) is x and x.bitcast(I64) is x and y.trunc(I32) is y
    assert x.resize(I32).op == "trunc" and y.resize(I64).op == "zext"


def test_narrow_holes_need_no_truncation() -> None:
    b, _, _ = make()
    assert b.hole("n", 0, 63).trunc(I32).op == "hole"
    assert b.hole("n", -1, 63).trunc(I32).op == "trunc"
    assert b.hole("n", 0, 256).trunc(I8).op == "trunc"


def test_named_ops_take_their_type_from_the_table() -> None:
    b, x, y = make()
    v = b.splat(y, 4)
    assert b.op("ult", v, v).type is vec(4, I1)
    assert b.op("clmul", x, x).type is int_type(128)
    assert b.op("fp_set_flags", y).type is VOID
    assert b.op("add", x, x).type is I64


def test_results_of_conditionals_and_loops() -> None:
    b, x, y = make()
    assert b.cond(x.eq(0), lambda: None) is None
    assert b.cond(x.eq(0), lambda: y, lambda: y).type is I32
    p, q = b.cond(x.eq(0), lambda: [x, y], lambda: b.leave("a"))
    assert (p.type, q.type) == (I64, I32)
    assert b.loop([x], lambda n: (n.ne(0), [n - 1])).type is I64


def test_types_are_interned() -> None:
    assert parse_type("v4i32") is vec(4, I32) and vec(4, I32).size == 128
    assert with_lanes(vec(2, F64), I1) is vec(2, I1) and with_lanes(F32, I16) is I16
    assert parse_type("ptr") is PTR
    for bad in ("i7", "v0i32", "vi32", "v4", "x", "v2ptr", "v2v2i8", ""):
        with pytest.raises(ValueError):
            parse_type(bad)


@pytest.mark.parametrize("name", OPS)
def test_the_op_table_is_well_formed(name: str) -> None:
    op = OPS[name]
    left, arrow, right = op.signature.partition("->")
    assert arrow and op.meaning.endswith(".") and op.name == name
    letters = {t[0] for t in left.split() if ":" in t} | {"c"}
    for token in (*left.split(), *right.split()):
        plain = token.partition(":")[0].strip("?")
        assert (
            token in ("...", "*") or token.startswith("e(") or plain in letters or isinstance(parse_type(plain), Type)
        )
    assert op.effects <= {"read", "write", "env-read", "env-write", "fp", "exit", "call"}
