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


def by_element(name: str, u: int, opcode: str, lift: Lift, *, scalar: bool = False, **bound: Any) -> Row:
    """A row of the integer multiplications: 16- and 32-bit lanes.  Long ones have "2" forms as vectors."""
    head = f"01 {u} 11111" if scalar else f"0 Q {u} 01111"
    long_name = lift in (long, long_accumulate) and not scalar
    return row(
        f"{name}, {name}2 (by element)" if long_name else f"{name} (by element)" + " [scalar]" * scalar,
        f"{head} size L M Rm:4 {opcode} H 0 Rn Rd", lift, needs="fp", holes="L M H", where=sizes(1, 2), second=element,
        capstone=f"{name} {name}2".lower() if long_name else "", **bound,
    )  # fmt: skip


def by_float_element(name: str, u: int, opcode: str, lift: Lift, *, scalar: bool = False, **bound: Any) -> Row:
    head = f"01 {u} 11111" if scalar else f"0 Q {u} 01111"
    return row(
        f"{name} (by element)" + " [scalar]" * scalar, f"{head} 1 sz L M Rm:4 {opcode} H 0 Rn Rd", lift, needs="fp",
        holes="L M H", where=float_index, second=element, **bound,
    )  # fmt: skip


def saturating_rows(scalar: bool) -> list[Row]:
    """Those that there are for vectors and scalars alike: doubling and floating point."""
    doubling: dict[str, Any] = {"fn": doubling_multiply_long, "scalar": scalar}
    high: dict[str, Any] = {"fn": doubling_multiply_high, "scalar": scalar}
    product: dict[str, Any] = {"type_of": float_arrangement, "scalar": scalar}
    return [
        by_element("SQDMLAL", 0, "0011", long_accumulate, saturating=True, **doubling),
        by_element("SQDMLSL", 0, "0111", long_accumulate, saturating=True, sub=True, **doubling),
        by_element("SQDMULL", 0, "1011", long, **doubling),
        by_element("SQDMULH", 0, "1100", three_same, **high),
        by_element("SQRDMULH", 0, "1101", three_same, rounding=True, **high),
        by_float_element("FMLA", 0, "0001", fused, negate=False, scalar=scalar),
        by_float_element("FMLS", 0, "0101", fused, negate=True, scalar=scalar),
        by_float_element("FMUL", 0, "1001", three_same, fn=fp.fp_mul, **product),
        by_float_element("FMULX", 1, "1001", three_same, fn=fp.fp_mulx, **product),
    ]


def _long_multiply(name: str, opcode: str, lift: Lift, **bound: Any) -> list[Row]:
    return [
        by_element(letter + name, u, opcode, lift, fn=long_op, op="mul", signed=u == 0, **bound)
        for u, letter in enumerate("SU")
    ]


ROWS = [
    by_element("MLA", 1, "0000", accumulate, fn=ir_op, op="mul"),
    by_element("MLS", 1, "0100", accumulate, fn=ir_op, op="mul", sub=True),
    by_element("MUL", 0, "1000", three_same, fn=ir_op, op="mul"),
    *_long_multiply("MLAL", "0010", long_accumulate),
    *_long_multiply("MLSL", "0110", long_accumulate, sub=True),
    *_long_multiply("MULL", "1010", long),
    *saturating_rows(scalar=False),
]
