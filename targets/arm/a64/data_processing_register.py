"""Data processing, register (C4.1.5 / C4.1.94): arithmetic, logical, conditional, and one-, two- and three-source rows.

A shift by 0, the commonest, is a shape of its own: `imm6` is 0 or 1 in the semantics and the amount is the hole.
"""

from __future__ import annotations

from typing import Any

from jit.ir import Value
from jit.types import I8, I16, I32, I64, Type
from targets.arm.a64.data_processing_immediate import FLAGS_ONLY, add_sub, add_with_carry, is_zr, set_flagged
from targets.arm.a64.lift import A64, Insn, Reg
from targets.arm.a64.row import row
from targets.arm.env import ENV

_AMOUNT = {"imm6": lambda n: int(n != 0)}
NO_ADDEND = {"Ra": is_zr}  # MUL and its kin are multiply-adds of nothing


def _amount_fits(f: Any) -> bool:
    return f["sf"] == 1 or f["imm6"] < 32


def shifted(b: A64, i: Insn) -> Value:
    """ShiftReg(m, shift, amount) of the manual."""
    x, top = b.X(i.Rm, i.datasize), i.datasize.bits - 1
    if not i.imm6:
        return x
    amount = i.hole("amount", lambda f: f.imm6, 0, top).resize(i.datasize)
    return (x << amount, x.lshr(amount), x.ashr(amount), x.rotr(amount))[i.shift]


def add_sub_shifted(b: A64, i: Insn, *, sub: bool, setflags: bool) -> None:
    result = add_sub(b, b.X(i.Rn, i.datasize), shifted(b, i), sub=sub, setflags=setflags)
    if setflags:
        set_flagged(b, i, result)
    else:
        b.set_X(i.Rd, result)


def extend_register(b: A64, i: Insn) -> Value:
    """ExtendReg(m, option, shift): the low byte, half or word of Rm, extended, or all of it; then shifted left."""
    t = i.datasize
    source = (I8, I16, I32, I64)[i.option & 3]
    x = b.X(i.Rm, source if source.bits < t.bits else t)
    x = x.sext(t) if i.option & 4 else x.zext(t)
    return x << i.hole("amount", lambda f: f.imm3, 0, 4).resize(t)


def add_sub_extended(b: A64, i: Insn, *, sub: bool, setflags: bool) -> None:
    result = add_sub(b, b.XSP(i.Rn, i.datasize), extend_register(b, i), sub=sub, setflags=setflags)
    if setflags:
        set_flagged(b, i, result)
    else:
        b.set_XSP(i.Rd, result)


def add_sub_carry(b: A64, i: Insn, *, sub: bool, setflags: bool) -> None:
    y = b.X(i.Rm, i.datasize)
    result, *nzcv = add_with_carry(b, b.X(i.Rn, i.datasize), ~y if sub else y, b.flag("c"))
    if setflags:
        b.set_nzcv(*nzcv)
    b.set_X(i.Rd, result)


def logical_shifted(b: A64, i: Insn, *, op: str, invert: bool, setflags: bool = False) -> None:
    y = shifted(b, i)
    y = ~y if invert else y
    if op == "or" and i.Rn:  # MOV, MVN
        b.set_X(i.Rd, y)
        return
    rn = Reg("Rn") if op == "or" else i.Rn
    result = b.op(op, b.X(rn, i.datasize), y)
    if setflags:
        b.set_nz(result)
        set_flagged(b, i, result)
    else:
        b.set_X(i.Rd, result)


def conditional_compare(b: A64, i: Insn, *, sub: bool, immediate: bool) -> None:
    """Flags of a comparison where the condition holds, else those in the instruction."""

    def compare() -> None:
        y = i.imm5.resize(i.datasize) if immediate else b.X(i.Rm, i.datasize)
        add_sub(b, b.X(i.Rn, i.datasize), y, sub=sub, setflags=True)

    def given() -> None:
        b.stenv(ENV.nf, i.hole("nzcv", flag_bytes, 0, 0x01010101, I32))

    if i.cond >= 14:
        compare()
    else:
        b.cond(b.condition_holds(i.cond), compare, given)


def flag_bytes(f: Any) -> int:
    """The nzcv field as the CPU state's four flag bytes (n lowest)."""
    return sum((f.nzcv >> (3 - k) & 1) << (8 * k) for k in range(4))


def conditional_select(b: A64, i: Insn, *, invert: bool, increment: bool) -> None:
    other = b.X(i.Rm, i.datasize)
    other = ~other if invert else other
    other = other + 1 if increment else other
    b.set_X(i.Rd, b.select(b.condition_holds(i.cond), b.X(i.Rn, i.datasize), other))


def unary(b: A64, i: Insn, *, op: str) -> None:
    b.set_X(i.Rd, b.op(op, b.X(i.Rn, i.datasize)))


def reverse_halves(b: A64, i: Insn) -> None:
    """REV16: the bytes of each half-word swapped."""
    x, low = b.X(i.Rn, i.datasize), 0x00FF00FF00FF00FF
    b.set_X(i.Rd, (x.lshr(8) & low) | ((x & low) << 8))


def reverse_bytes(b: A64, i: Insn, *, t: Type, words: bool = False) -> None:
    """REV and REV32: bytes reversed in the whole register, or in each word of it."""
    x = b.X(i.Rn, t).bswap()
    b.set_X(i.Rd, x.rotr(32) if words else x)


def count_leading_sign(b: A64, i: Insn) -> None:
    x = b.X(i.Rn, i.datasize)
    b.set_X(i.Rd, (x ^ x.ashr(1)).clz() - 1)


def binary(b: A64, i: Insn, *, op: str) -> None:
    b.set_X(i.Rd, b.op(op, b.X(i.Rn, i.datasize), b.X(i.Rm, i.datasize)))


def shift_variable(b: A64, i: Insn, *, op: str) -> None:
    amount = b.X(i.Rm, i.datasize) & (i.datasize.bits - 1)
    b.set_X(i.Rd, b.op(op, b.X(i.Rn, i.datasize), amount))


def crc32(b: A64, i: Insn, *, data: Type, op: str) -> None:
    b.set_X(i.Rd, b.op(op, b.X(i.Rn, I32), b.X(i.Rm, data)))


def multiply_add(b: A64, i: Insn, *, sub: bool) -> None:
    t = i.datasize
    accumulate(b, i, b.X(i.Rn, t) * b.X(i.Rm, t), sub)


def multiply_long(b: A64, i: Insn, *, signed: bool, sub: bool) -> None:
    x, y = b.X(i.Rn, I32), b.X(i.Rm, I32)
    accumulate(b, i, x.sext(I64) * y.sext(I64) if signed else x.zext(I64) * y.zext(I64), sub)


def accumulate(b: A64, i: Insn, product: Value, sub: bool) -> None:
    if i.Ra:  # MUL, MNEG, SMULL ...
        b.set_X(i.Rd, -product if sub else product)
        return
    a = b.X(Reg("Ra"), product.type)
    b.set_X(i.Rd, a - product if sub else a + product)


def multiply_high(b: A64, i: Insn, *, op: str) -> None:
    b.set_X(i.Rd, b.op(op, b.X(i.Rn), b.X(i.Rm)))


def _add_sub(name: str, op: str, *, shifted: str, extended: str, carry: str) -> list[Any]:
    """The three register forms of ADD, ADDS, SUB or SUBS; `carry` names the fourth."""
    sub, setflags = op[0] == "1", op[1] == "1"
    only = FLAGS_ONLY if setflags else {}
    return [
        row(
            f"{name} (shifted register)", f"sf {op} 01011 shift 0 Rm imm6 Rn Rd", add_sub_shifted, capstone=shifted,
            shape_of=_AMOUNT | only, where=lambda f: f["shift"] != 3 and _amount_fits(f), sub=sub, setflags=setflags,
        ),
        row(
            f"{name} (extended register)", f"sf {op} 01011 00 1 Rm option imm3 Rn Rd", add_sub_extended,
            capstone=extended, shape_of=only, where=lambda f: f["imm3"] <= 4, sub=sub, setflags=setflags,
        ),
        row(
            carry.split()[0].upper(), f"sf {op} 11010000 Rm 000000 Rn Rd", add_sub_carry, capstone=carry, sub=sub,
            setflags=setflags,
        ),
    ]  # fmt: skip


def _logical(name: str, opc: str, n: int, op: str, *, setflags: bool = False, capstone: str) -> Any:
    shape_of = _AMOUNT | (FLAGS_ONLY if setflags else {"Rn": is_zr} if op == "or" else {})
    return row(
        f"{name} (shifted register)", f"sf {opc} 01010 shift {n} Rm imm6 Rn Rd", logical_shifted, capstone=capstone,
        shape_of=shape_of, where=_amount_fits, op=op, invert=n == 1, setflags=setflags,
    )  # fmt: skip


def _compare(name: str, op: int) -> list[Any]:
    layout = f"sf {op} 1 11010010 {{}} cond {{}} 0 Rn 0 nzcv"
    return [
        row(
            f"{name} ({kind})", layout.format(operand, bit), conditional_compare, holes="nzcv", capstone=name.lower(),
            sub=op == 1, immediate=bit == 1,
        )
        for kind, operand, bit in (("register", "Rm", 0), ("immediate", "imm5", 1))
    ]  # fmt: skip


def _select(name: str, op: int, o2: int, capstone: str) -> Any:
    return row(
        name, f"sf {op} 0 11010100 Rm cond 0 {o2} Rn Rd", conditional_select, capstone=capstone, invert=op == 1,
        increment=o2 == 1,
    )  # fmt: skip


def _one(name: str, sf: str, opcode: str, lift: Any, **bound: Any) -> Any:
    return row(name, f"{sf} 1 0 11010110 00000 {opcode} Rn Rd", lift, capstone=name.split()[0].lower(), **bound)


def _two(name: str, opcode: str, lift: Any, capstone: str = "", **bound: Any) -> Any:
    return row(name, f"sf 0 0 11010110 Rm {opcode} Rn Rd", lift, capstone=capstone or name.lower(), **bound)


def _crc(size: int, c: int) -> Any:
    name = f"CRC32{'C' if c else ''}{'BHWX'[size]}"
    return row(
        name, f"{size // 3} 0 0 11010110 Rm 010 {c} {size:02b} Rn Rd", crc32, feature="FEAT_CRC32",
        data=(I8, I16, I32, I64)[size], op="crc32c" if c else "crc32",
    )  # fmt: skip


def _long(name: str, u: int, o0: int, capstone: str) -> Any:
    return row(
        name, f"1 00 11011 {u} 01 Rm {o0} Ra Rn Rd", multiply_long, capstone=capstone, signed=u == 0, sub=o0 == 1,
        shape_of=NO_ADDEND,
    )  # fmt: skip


ROWS = [
    *_add_sub("ADD", "00", shifted="add", extended="add", carry="adc"),
    *_add_sub("ADDS", "01", shifted="adds cmn", extended="adds cmn", carry="adcs"),
    *_add_sub("SUB", "10", shifted="sub neg", extended="sub", carry="sbc ngc"),
    *_add_sub("SUBS", "11", shifted="subs cmp negs", extended="subs cmp", carry="sbcs ngcs"),
    _logical("AND", "00", 0, "and", capstone="and"),
    _logical("BIC", "00", 1, "and", capstone="bic"),
    _logical("ORR", "01", 0, "or", capstone="orr mov"),
    _logical("ORN", "01", 1, "or", capstone="orn mvn"),
    _logical("EOR", "10", 0, "xor", capstone="eor"),
    _logical("EON", "10", 1, "xor", capstone="eon"),
    _logical("ANDS", "11", 0, "and", setflags=True, capstone="ands tst"),
    _logical("BICS", "11", 1, "and", setflags=True, capstone="bics"),
    *_compare("CCMN", 0),
    *_compare("CCMP", 1),
    _select("CSEL", 0, 0, "csel"),
    _select("CSINC", 0, 1, "csinc cset cinc"),
    _select("CSINV", 1, 0, "csinv csetm cinv"),
    _select("CSNEG", 1, 1, "csneg cneg"),
    _one("RBIT", "sf", "000000", unary, op="bitrev"),
    _one("REV16", "sf", "000001", reverse_halves),
    _one("REV [32-bit]", "0", "000010", reverse_bytes, t=I32),
    _one("REV32", "1", "000010", reverse_bytes, t=I64, words=True),
    _one("REV [64-bit]", "1", "000011", reverse_bytes, t=I64),
    _one("CLZ", "sf", "000100", unary, op="clz"),
    _one("CLS", "sf", "000101", count_leading_sign),
    _two("UDIV", "000010", binary, op="udiv"),
    _two("SDIV", "000011", binary, op="sdiv"),
    _two("LSLV", "001000", shift_variable, "lsl", op="shl"),
    _two("LSRV", "001001", shift_variable, "lsr", op="lshr"),
    _two("ASRV", "001010", shift_variable, "asr", op="ashr"),
    _two("RORV", "001011", shift_variable, "ror", op="rotr"),
    *(_crc(size, c) for c in (0, 1) for size in range(4)),
    row("MADD", "sf 00 11011 000 Rm 0 Ra Rn Rd", multiply_add, capstone="madd mul", sub=False, shape_of=NO_ADDEND),
    row("MSUB", "sf 00 11011 000 Rm 1 Ra Rn Rd", multiply_add, capstone="msub mneg", sub=True, shape_of=NO_ADDEND),
    _long("SMADDL", 0, 0, "smaddl smull"),
    _long("SMSUBL", 0, 1, "smsubl smnegl"),
    _long("UMADDL", 1, 0, "umaddl umull"),
    _long("UMSUBL", 1, 1, "umsubl umnegl"),
    row("SMULH", "1 00 11011 010 Rm 0 xxxxx Rn Rd", multiply_high, op="smulh"),
    row("UMULH", "1 00 11011 110 Rm 0 xxxxx Rn Rd", multiply_high, op="umulh"),
]
