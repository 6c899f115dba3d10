"""Scalar floating point (C4.1.96, data processing - scalar floating-point): moves, arithmetic, compares, conversions.

The arithmetic itself is in targets/arm/fp.py, which vectors use too.  Half precision has conversions only in Armv8.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jit.ir import Value
from jit.types import F32, F64, I16, I32, I64, Type
from targets.arm import fp
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row


def _size(i: Insn) -> Type:
    return F64 if i.sz else F32


def _integer(i: Insn) -> Type:
    """The integer type of the same size."""
    return I64 if i.sz else I32


# -- moves ------------------------------------------------------------------------------------------------------------
def fmov_register(b: A64, i: Insn) -> None:
    b.set_V(i.Rd, b.V(i.Rn, _integer(i)))


def fabs_fneg(b: A64, i: Insn, *, op: str) -> None:
    sign = 1 << (63 if i.sz else 31)
    x = b.V(i.Rn, _integer(i))
    b.set_V(i.Rd, x & ~sign if op == "abs" else x ^ sign)


def fmov_to_general(b: A64, i: Insn, *, type: Type) -> None:
    b.set_X(i.Rd, b.V(i.Rn, type))


def fmov_from_general(b: A64, i: Insn, *, type: Type) -> None:
    b.set_V(i.Rd, b.X(i.Rn, type))


def fmov_top_to_general(b: A64, i: Insn) -> None:
    b.set_X(i.Rd, b.Velem(i.Rn, "top", lambda f: 1, I64))


def fmov_top_from_general(b: A64, i: Insn) -> None:
    b.set_Velem(i.Rd, "top", lambda f: 1, b.X(i.Rn))


def vfp_expand_imm(imm8: int, size: int) -> int:
    """VFPExpandImm: sign, a 3-bit exponent around 1.0, four bits of fraction."""
    exponent_bits = {16: 5, 32: 8, 64: 11}[size]
    low = exponent_bits - 3
    top = (1 << (exponent_bits - 1)) if not imm8 & 0x40 else ((1 << low) - 1) << 2
    exponent = top | (imm8 >> 4) & 3
    fraction = size - 1 - exponent_bits
    return (imm8 >> 7) << (size - 1) | exponent << fraction | (imm8 & 15) << (fraction - 4)


def fmov_immediate(b: A64, i: Insn) -> None:
    size = 64 if i.sz else 32
    t = _integer(i)
    b.set_V(i.Rd, i.hole("imm", lambda f: vfp_expand_imm(f.imm8, size), 0, t.mask, t))


def fcsel(b: A64, i: Insn) -> None:
    t = _integer(i)
    b.set_V(i.Rd, b.select(b.condition_holds(i.cond), b.V(i.Rn, t), b.V(i.Rm, t)))


# -- arithmetic -------------------------------------------------------------------------------------------------------
def unary(b: A64, i: Insn, *, fn: Callable[..., Value]) -> None:
    b.set_V(i.Rd, fn(b, b.V(i.Rn, _size(i))))


def binary(b: A64, i: Insn, *, fn: Callable[..., Value]) -> None:
    b.set_V(i.Rd, fn(b, b.V(i.Rn, _size(i)), b.V(i.Rm, _size(i))))


def fnmul(b: A64, i: Insn) -> None:
    b.set_V(i.Rd, fp.fp_neg(fp.fp_mul(b, b.V(i.Rn, _size(i)), b.V(i.Rm, _size(i)))))


def multiply_add(b: A64, i: Insn, *, negate_addend: bool, negate_product: bool) -> None:
    t = _size(i)
    addend, x, y = b.V(i.Ra, t), b.V(i.Rn, t), b.V(i.Rm, t)
    addend = fp.fp_neg(addend) if negate_addend else addend
    x = fp.fp_neg(x) if negate_product else x
    b.set_V(i.Rd, fp.fp_muladd(b, addend, x, y))


def frint(b: A64, i: Insn, *, mode: str) -> None:
    b.set_V(i.Rd, fp.fp_round_int(b, b.V(i.Rn, _size(i)), mode))


# -- comparison -------------------------------------------------------------------------------------------------------
def fcmp(b: A64, i: Insn, *, zero: bool, signals: bool) -> None:
    t = _size(i)
    y = b.const(0, t) if zero else b.V(i.Rm, t)
    b.set_nzcv(*fp.fp_compare_flags(b, b.V(i.Rn, t), y, signals))


def fccmp(b: A64, i: Insn, *, signals: bool) -> None:
    t = _size(i)

    def compare() -> None:
        b.set_nzcv(*fp.fp_compare_flags(b, b.V(i.Rn, t), b.V(i.Rm, t), signals))

    def immediate() -> None:
        b.set_nzcv(*(i.nzcv.bit(k) for k in (3, 2, 1, 0)))

    b.cond(b.condition_holds(i.cond), compare, immediate)


# -- conversion -------------------------------------------------------------------------------------------------------
def fcvt(b: A64, i: Insn) -> None:
    single, double, half = 0, 1, 3
    if i.type == half:
        b.set_V(i.Rd, fp.fp_from_half(b, b.V(i.Rn, I16), F32 if i.opc == single else F64))
        return
    x = b.V(i.Rn, F64 if i.type == double else F32)
    if i.opc == half:
        b.set_V(i.Rd, fp.fp_to_half(b, x))
    else:
        b.set_V(i.Rd, fp.fp_widen(b, x) if i.opc == double else fp.fp_narrow(b, x))


def float_to_integer(b: A64, i: Insn, *, mode: str, signed: bool) -> None:
    b.set_X(i.Rd, fp.fp_to_int(b, b.V(i.Rn, _size(i)), i.datasize, mode, signed))


def float_to_fixed(b: A64, i: Insn, *, signed: bool) -> None:
    scale = fp.scale_hole(i, "scale", lambda f: 64 - f.scale, _size(i))
    b.set_X(i.Rd, fp.fp_to_int(b, b.V(i.Rn, _size(i)), i.datasize, "zero", signed, scale))


def integer_to_float(b: A64, i: Insn, *, signed: bool) -> None:
    b.set_V(i.Rd, fp.int_to_fp(b, b.X(i.Rn, i.datasize), _size(i), signed))


def fixed_to_float(b: A64, i: Insn, *, signed: bool) -> None:
    scale = fp.scale_hole(i, "scale", lambda f: f.scale - 64, _size(i))
    b.set_V(i.Rd, fp.int_to_fp(b, b.X(i.Rn, i.datasize), _size(i), signed, scale))


# -- rows -------------------------------------------------------------------------------------------------------------
def _row(name: str, layout: str, lift: Callable[..., None], **columns: Any) -> Row:
    return row(name, layout, lift, needs="fp", **columns)


def _one_source(name: str, opcode: str, lift: Callable[..., None], **bound: Any) -> Row:
    return _row(name, f"000 11110 0 sz 1 {opcode} 10000 Rn Rd", lift, **bound)


def _two_source(name: str, opcode: str, fn: Callable[..., Value]) -> Row:
    return _row(f"{name} (scalar)", f"000 11110 0 sz 1 Rm {opcode} 10 Rn Rd", binary, fn=fn)


def _three_source(name: str, o1: int, o0: int, addend: bool, product: bool) -> Row:
    layout = f"000 11111 0 sz {o1} Rm {o0} Ra Rn Rd"
    return _row(name, layout, multiply_add, negate_addend=addend, negate_product=product)


def _compare(name: str, opcode2: str, zero: bool, signals: bool) -> Row:
    return _row(
        f"{name} [zero]" if zero else name,
        f"000 11110 0 sz 1 {'xxxxx' if zero else 'Rm'} 001000 Rn {opcode2}",
        fcmp,
        zero=zero,
        signals=signals,
    )


def _integer_row(name: str, code: str, lift: Callable[..., None], **bound: Any) -> Row:
    return _row(name, f"sf 00 11110 0 sz 1 {code} 000000 Rn Rd", lift, **bound)


def _to_integer(letter: str, rmode: str, opcode: str, mode: str) -> list[Row]:
    variant = "(scalar, integer)" if letter == "Z" else "(scalar)"
    return [
        _integer_row(
            f"FCVT{letter}{'US'[signed]} {variant}", f"{rmode} {opcode}{1 - signed}", float_to_integer, mode=mode,
            signed=signed,
        )
        for signed in (True, False)
    ]  # fmt: skip


def _fixed_row(name: str, code: str, lift: Callable[..., None], signed: bool) -> Row:
    return _row(
        f"{name} (scalar, fixed-point)", f"sf 00 11110 0 sz 0 {code} scale Rn Rd", lift, holes="scale", signed=signed,
        where=lambda f: f["sf"] == 1 or f["scale"] >= 32,
    )  # fmt: skip


ROWS = [
    _one_source("FMOV (register)", "000000", fmov_register),
    _one_source("FABS (scalar)", "000001", fabs_fneg, op="abs"),
    _one_source("FNEG (scalar)", "000010", fabs_fneg, op="neg"),
    _one_source("FSQRT (scalar)", "000011", unary, fn=fp.fp_sqrt),
    _row(
        "FCVT", "000 11110 type 1 0001 opc 10000 Rn Rd", fcvt,
        where=lambda f: f["type"] != 2 and f["opc"] != 2 and f["type"] != f["opc"],
    ),
    _one_source("FRINTN (scalar)", "001000", frint, mode="even"),
    _one_source("FRINTP (scalar)", "001001", frint, mode="up"),
    _one_source("FRINTM (scalar)", "001010", frint, mode="down"),
    _one_source("FRINTZ (scalar)", "001011", frint, mode="zero"),
    _one_source("FRINTA (scalar)", "001100", frint, mode="away"),
    _one_source("FRINTX (scalar)", "001110", frint, mode="exact"),
    _one_source("FRINTI (scalar)", "001111", frint, mode="current"),
    _two_source("FMUL", "0000", fp.fp_mul),
    _two_source("FDIV", "0001", fp.fp_div),
    _two_source("FADD", "0010", fp.fp_add),
    _two_source("FSUB", "0011", fp.fp_sub),
    _two_source("FMAX", "0100", fp.fp_max),
    _two_source("FMIN", "0101", fp.fp_min),
    _two_source("FMAXNM", "0110", fp.fp_maxnum),
    _two_source("FMINNM", "0111", fp.fp_minnum),
    _row("FNMUL (scalar)", "000 11110 0 sz 1 Rm 1000 10 Rn Rd", fnmul),
    _three_source("FMADD", 0, 0, False, False),
    _three_source("FMSUB", 0, 1, False, True),
    _three_source("FNMADD", 1, 0, True, True),
    _three_source("FNMSUB", 1, 1, True, False),
    _compare("FCMP", "00000", False, False),
    _compare("FCMP", "01000", True, False),
    _compare("FCMPE", "10000", False, True),
    _compare("FCMPE", "11000", True, True),
    _row("FCCMP", "000 11110 0 sz 1 Rm cond 01 Rn 0 nzcv", fccmp, holes="nzcv", signals=False),
    _row("FCCMPE", "000 11110 0 sz 1 Rm cond 01 Rn 1 nzcv", fccmp, holes="nzcv", signals=True),
    _row("FCSEL", "000 11110 0 sz 1 Rm cond 11 Rn Rd", fcsel),
    _row("FMOV (scalar, immediate)", "000 11110 0 sz 1 imm8 100 00000 Rd", fmov_immediate),
    _row("FMOV (general) [W from S]", "000 11110 00 1 00 110 000000 Rn Rd", fmov_to_general, type=I32),
    _row("FMOV (general) [X from D]", "100 11110 01 1 00 110 000000 Rn Rd", fmov_to_general, type=I64),
    _row("FMOV (general) [X from V.D[1]]", "100 11110 10 1 01 110 000000 Rn Rd", fmov_top_to_general),
    _row("FMOV (general) [S from W]", "000 11110 00 1 00 111 000000 Rn Rd", fmov_from_general, type=I32),
    _row("FMOV (general) [D from X]", "100 11110 01 1 00 111 000000 Rn Rd", fmov_from_general, type=I64),
    _row("FMOV (general) [V.D[1] from X]", "100 11110 10 1 01 111 000000 Rn Rd", fmov_top_from_general),
    *_to_integer("N", "00", "00", "even"),
    *_to_integer("A", "00", "10", "away"),
    *_to_integer("P", "01", "00", "up"),
    *_to_integer("M", "10", "00", "down"),
    *_to_integer("Z", "11", "00", "zero"),
    _integer_row("SCVTF (scalar, integer)", "00 010", integer_to_float, signed=True),
    _integer_row("UCVTF (scalar, integer)", "00 011", integer_to_float, signed=False),
    _fixed_row("FCVTZS", "11 000", float_to_fixed, True),
    _fixed_row("FCVTZU", "11 001", float_to_fixed, False),
    _fixed_row("SCVTF", "00 010", fixed_to_float, True),
    _fixed_row("UCVTF", "00 011", fixed_to_float, False),
]  # fmt: skip
