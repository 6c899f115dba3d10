"""Advanced SIMD vector x indexed element (C4.1.95): the multiplications, by one element of Vm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from targets.arm import fp
from targets.arm.a64.row import Row, row
from targets.arm.a64.simd_three_different import doubling_multiply_long, long, long_accumulate, long_op
from targets.arm.a64.simd_three_same import Lift, accumulate, doubling_multiply_high, fused, ir_op, three_same
from targets.arm.simd import element, float_arrangement, float_sizes, sizes


def float_index(f: Mapping[str, int]) -> bool:
    """`where`: doubles need a whole register and have no L in their index."""
    return float_sizes(f) and not (f["sz"] and f["L"])


def _element(name: str, u: int, opcode: str, lift: Lift, **bound: Any) -> Row:
    """The integer multiplications: 16- and 32-bit lanes."""
    is_long = lift in (long, long_accumulate)
    return row(
        f"{name}, {name}2 (by element)" if is_long else f"{name} (by element)",
        f"0 Q {u} 01111 size L M Rm:4 {opcode} H 0 Rn Rd", lift, needs="fp", holes="L M H", where=sizes(1, 2),
        capstone=f"{name} {name}2".lower() if is_long else "", second=element, **bound,
    )  # fmt: skip


def _long(name: str, opcode: str, lift: Lift, **bound: Any) -> list[Row]:
    return [
        _element(letter + name, u, opcode, lift, fn=long_op, op="mul", signed=u == 0, **bound)
        for u, letter in enumerate("SU")
    ]


def _doubling(name: str, opcode: str, lift: Lift, **bound: Any) -> Row:
    return _element(name, 0, opcode, lift, fn=doubling_multiply_long, **bound)


def _floating(name: str, u: int, opcode: str, lift: Lift, **bound: Any) -> Row:
    return row(
        f"{name} (by element)", f"0 Q {u} 01111 1 sz L M Rm:4 {opcode} H 0 Rn Rd", lift, needs="fp", holes="L M H",
        where=float_index, second=element, **bound,
    )  # fmt: skip


ROWS = [
    _element("MLA", 1, "0000", accumulate, fn=ir_op, op="mul"),
    _element("MLS", 1, "0100", accumulate, fn=ir_op, op="mul", sub=True),
    _element("MUL", 0, "1000", three_same, fn=ir_op, op="mul"),
    *_long("MLAL", "0010", long_accumulate),
    *_long("MLSL", "0110", long_accumulate, sub=True),
    *_long("MULL", "1010", long),
    _doubling("SQDMLAL", "0011", long_accumulate, saturating=True),
    _doubling("SQDMLSL", "0111", long_accumulate, saturating=True, sub=True),
    _doubling("SQDMULL", "1011", long),
    _element("SQDMULH", 0, "1100", three_same, fn=doubling_multiply_high),
    _element("SQRDMULH", 0, "1101", three_same, fn=doubling_multiply_high, rounding=True),
    _floating("FMLA", 0, "0001", fused, negate=False),
    _floating("FMLS", 0, "0101", fused, negate=True),
    _floating("FMUL", 0, "1001", three_same, fn=fp.fp_mul, type_of=float_arrangement),
    _floating("FMULX", 1, "1001", three_same, fn=fp.fp_mulx, type_of=float_arrangement),
]
