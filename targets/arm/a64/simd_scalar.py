"""Advanced SIMD scalar (C4.1.95): the vector instructions that there are with one lane, and the scalar pairwise ones.

A scalar encoding is the vector one's with bits 30 (Q) and 28 set.  Its rows are made from the vector rows, whose
semantics do one lane where there is no Q field; what this module says is which there are, and of which sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import ModuleType

from jit.types import F32, F64, I64, vec
from targets.arm import fp
from targets.arm.a64 import (
    simd_by_element,
    simd_permute_copy,
    simd_shift_immediate,
    simd_three_different,
    simd_three_same,
    simd_two_reg_misc,
)
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.a64.simd_three_same import LaneFn
from targets.arm.a64.simd_two_reg_misc import two_reg
from targets.arm.simd import float_arrangement, sizes

Where = Callable[[Mapping[str, int]], bool]
ALIASES = {"DUP (element)": ("mov",)}  # what capstone calls the scalar form


# -- rows made of vector rows -----------------------------------------------------------------------------------------
def scalar(r: Row, where: Where | None) -> Row:
    """The scalar row of a vector row."""
    layout, made = re.subn(r"^0 Q (\S+) 0111", r"01 \1 1111", r.layout)
    if not made:
        raise ValueError(f"{r.name} is not a vector row: {r.layout}")
    names = ALIASES.get(r.name) or tuple(name for name in r.capstone if not name.endswith("2"))
    return replace(r, name=f"{r.name} [scalar]", layout=layout, where=where or r.where, capstone=names)


def of(module: ModuleType, choices: Mapping[str, Where | None]) -> Iterator[Row]:
    """choices: names of vector rows, separated by commas, and what else must hold of the scalar row's fields."""
    rows = {r.name: r for r in module.ROWS}
    for names, where in choices.items():
        for name in names.split("; "):
            yield scalar(rows[name], where)


ANY_SIZE, DOUBLEWORD, MIDDLE = sizes(0, 1, 2, 3), sizes(3), sizes(1, 2)

THREE_SAME: dict[str, Where | None] = {
    "SQADD; UQADD; SQSUB; UQSUB; SQSHL (register); UQSHL (register); SQRSHL; UQRSHL": ANY_SIZE,
    "ADD (vector); SUB (vector); SSHL; USHL; SRSHL; URSHL": DOUBLEWORD,
    "CMGT (register); CMHI (register); CMGE (register); CMHS (register); CMTST; CMEQ (register)": DOUBLEWORD,
    "SQDMULH (vector); SQRDMULH (vector)": None,
    "FMULX; FRECPS; FRSQRTS; FABD; FCMEQ (register); FCMGE (register); FCMGT (register); FACGE; FACGT": None,
}
THREE_DIFFERENT: dict[str, Where | None] = {"SQDMLAL, SQDMLAL2; SQDMLSL, SQDMLSL2; SQDMULL, SQDMULL2": None}
BY_ELEMENT: dict[str, Where | None] = {
    "SQDMLAL, SQDMLAL2 (by element); SQDMLSL, SQDMLSL2 (by element); SQDMULL, SQDMULL2 (by element)": None,
    "SQDMULH (by element); SQRDMULH (by element)": None,
    "FMLA (by element); FMLS (by element); FMUL (by element); FMULX (by element)": None,
}
TWO_REG_MISC: dict[str, Where | None] = {
    "SUQADD; USQADD; SQABS; SQNEG": ANY_SIZE,
    "CMGT (zero); CMGE (zero); CMEQ (zero); CMLE (zero); CMLT (zero); ABS; NEG (vector)": DOUBLEWORD,
    "SQXTUN, SQXTUN2; SQXTN, SQXTN2; UQXTN, UQXTN2; FCVTXN, FCVTXN2": None,
    "FCMGT (zero); FCMGE (zero); FCMEQ (zero); FCMLE (zero); FCMLT (zero)": None,
    "FCVTNS (vector); FCVTMS (vector); FCVTAS (vector); FCVTPS (vector); FCVTZS (vector, integer)": None,
    "FCVTNU (vector); FCVTMU (vector); FCVTAU (vector); FCVTPU (vector); FCVTZU (vector, integer)": None,
    "SCVTF (vector, integer); UCVTF (vector, integer); FRECPE; FRSQRTE": None,
}
SHIFT_IMMEDIATE: dict[str, Where | None] = {
    "SSHR; USHR; SSRA; USRA; SRSHR; URSHR; SRSRA; URSRA; SRI; SHL; SLI": simd_shift_immediate.lanes_of(3),
    "SQSHLU; SQSHL (immediate); UQSHL (immediate)": None,
    "SQSHRUN, SQSHRUN2; SQSHRN, SQSHRN2; UQSHRN, UQSHRN2": None,
    "SQRSHRUN, SQRSHRUN2; SQRSHRN, SQRSHRN2; UQRSHRN, UQRSHRN2": None,
    "SCVTF (vector, fixed-point); UCVTF (vector, fixed-point)": None,
    "FCVTZS (vector, fixed-point); FCVTZU (vector, fixed-point)": None,
}
COPY: dict[str, Where | None] = {"DUP (element)": None}


# -- pairwise ---------------------------------------------------------------------------------------------------------
def add_pair(b: A64, i: Insn) -> None:
    x = b.V(i.Rn, vec(2, I64))
    b.set_V(i.Rd, x.lane(0) + x.lane(1))


def float_pair(b: A64, i: Insn, *, fn: LaneFn) -> None:
    x = b.V(i.Rn, vec(2, F64 if i.sz else F32))
    b.set_V(i.Rd, fn(b, x.lane(0), x.lane(1)))


def _pair(name: str, o1: int, opcode: str, fn: LaneFn) -> Row:
    return row(f"{name} (scalar)", f"01 1 11110 {o1} sz 11000 {opcode} 10 Rn Rd", float_pair, needs="fp", fn=fn)


ROWS: list[Row] = [
    *of(simd_three_same, THREE_SAME),
    *of(simd_three_different, THREE_DIFFERENT),
    *of(simd_by_element, BY_ELEMENT),
    *of(simd_two_reg_misc, TWO_REG_MISC),
    *of(simd_shift_immediate, SHIFT_IMMEDIATE),
    *of(simd_permute_copy, COPY),
    row("ADDP (scalar)", "01 0 11110 11 11000 11011 10 Rn Rd", add_pair, needs="fp"),
    _pair("FMAXNMP", 0, "01100", fp.fp_maxnum),
    _pair("FADDP", 0, "01101", fp.fp_add),
    _pair("FMAXP", 0, "01111", fp.fp_max),
    _pair("FMINNMP", 1, "01100", fp.fp_minnum),
    _pair("FMINP", 1, "01111", fp.fp_min),
    row(
        "FRECPX",
        "01 0 11110 1 sz 10000 11111 10 Rn Rd",
        two_reg,
        needs="fp",
        fn=fp.fp_recpx,
        type_of=float_arrangement,
    ),
]
