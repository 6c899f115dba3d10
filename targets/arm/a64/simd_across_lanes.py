"""Advanced SIMD across lanes (C4.1.95): one number of all lanes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jit.ir import Value
from jit.types import F32, vec
from targets.arm import fp
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.a64.simd_three_same import LaneFn, Lift
from targets.arm.a64.simd_two_reg_misc import pairwise_long
from targets.arm.simd import arrangement, pairs


def reduce_halves(b: A64, x: Value, op: str) -> Value:
    """All lanes in one: each step, half of the rest onto the other half; the order makes no difference."""
    lanes = x.type.lanes
    while lanes > 1:
        lanes //= 2
        x = b.op(op, x, b.shuffle(x, x, [(k + lanes) % x.type.lanes for k in range(x.type.lanes)]))
    return x.lane(0)


def reduce_integers(b: A64, i: Insn, *, op: str) -> None:
    b.set_V(i.Rd, reduce_halves(b, b.V(i.Rn, arrangement(i)), op))


def add_long(b: A64, i: Insn, *, signed: bool) -> None:
    b.set_V(i.Rd, reduce_halves(b, pairwise_long(b, b.V(i.Rn, arrangement(i)), signed=signed), "add"))


def reduce_floats(b: A64, i: Insn, *, fn: LaneFn) -> None:
    """Neighbours first: with NaNs, the order matters."""
    x = b.V(i.Rn, vec(4, F32))
    y = fn(b, *pairs(b, b.shuffle(x, x, (0, 1)), b.shuffle(x, x, (2, 3))))
    b.set_V(i.Rd, fn(b, y.lane(0), y.lane(1)))


# -- rows -------------------------------------------------------------------------------------------------------------
def _lanes(f: Mapping[str, int]) -> bool:
    """`where`: at least four lanes, none of 64 bits."""
    return f["size"] < 2 or f["size"] == 2 and f["Q"] == 1


def _integer(name: str, u: int, opcode: str, lift: Lift, **bound: Any) -> Row:
    return row(name, f"0 Q {u} 01110 size 11000 {opcode} 10 Rn Rd", lift, needs="fp", where=_lanes, **bound)


def _floating(name: str, o1: int, opcode: str, fn: LaneFn) -> Row:
    return row(name, f"0 1 1 01110 {o1} 0 11000 {opcode} 10 Rn Rd", reduce_floats, needs="fp", fn=fn)


ROWS = [
    _integer("SADDLV", 0, "00011", add_long, signed=True),
    _integer("UADDLV", 1, "00011", add_long, signed=False),
    _integer("SMAXV", 0, "01010", reduce_integers, op="smax"),
    _integer("UMAXV", 1, "01010", reduce_integers, op="umax"),
    _integer("SMINV", 0, "11010", reduce_integers, op="smin"),
    _integer("UMINV", 1, "11010", reduce_integers, op="umin"),
    _integer("ADDV", 0, "11011", reduce_integers, op="add"),
    _floating("FMAXNMV", 0, "01100", fp.fp_maxnum),
    _floating("FMAXV", 0, "01111", fp.fp_max),
    _floating("FMINNMV", 1, "01100", fp.fp_minnum),
    _floating("FMINV", 1, "01111", fp.fp_min),
]
