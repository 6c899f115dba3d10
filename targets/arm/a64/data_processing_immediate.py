"""Data processing, immediate (C4.1.2 / C4.1.86): the semantics and rows of add, logical, move wide, bitfield, EXTR."""

from __future__ import annotations

from typing import Any

from jit.ir import Value
from jit.types import I1, I64
from targets.arm.a64.lift import A64, Insn, Reg
from targets.arm.a64.row import row


def add_with_carry(b: A64, x: Value, y: Value, carry: Value) -> tuple[Value, Value, Value, Value, Value]:
    """AddWithCarry(x, y, carry_in) of the manual: (result, n, z, c, v)."""
    partial, carry_in = x + y, carry.zext(x.type)
    result = partial + carry_in
    carry_out = b.op("uaddo", x, y, type=I1) | b.op("uaddo", partial, carry_in, type=I1)
    # both sums overflow only where the second undoes the first
    overflow = b.op("saddo", x, y, type=I1) ^ b.op("saddo", partial, carry_in, type=I1)
    return result, result.slt(0), result.eq(0), carry_out, overflow


def add_sub(b: A64, x: Value, y: Value, *, sub: bool, setflags: bool) -> Value:
    """x + y or x - y, with flags where asked."""
    result = x - y if sub else x + y
    if setflags:
        c = y.ule(x) if sub else b.op("uaddo", x, y, type=I1)
        v = b.op("ssubo" if sub else "saddo", x, y, type=I1)
        b.set_nzcv(result.slt(0), result.eq(0), c, v)
    return result


def is_zr(n: int) -> int:
    """Shape of a register field: whether it names ZR.  Only where that saves much in very common code."""
    return int(n == 31)


FLAGS_ONLY = {"Rd": is_zr}  # CMP, CMN and TST write flags and no register


def set_flagged(b: A64, i: Insn, result: Value) -> None:
    """Write Rd of a row that has the FLAGS_ONLY shape."""
    if not i.Rd:
        b.set_X(Reg("Rd"), result)


def add_sub_immediate(b: A64, i: Insn, *, sub: bool, setflags: bool) -> None:
    imm = i.hole("imm", lambda f: f.imm12 << (12 * f.sh), 0, 0xFFF000)
    result = add_sub(b, b.XSP(i.Rn, i.datasize), imm.resize(i.datasize), sub=sub, setflags=setflags)
    if setflags:
        set_flagged(b, i, result)
    else:
        b.set_XSP(i.Rd, result)


def decode_bit_masks(n: int, imms: int, immr: int, width: int) -> int | None:
    """wmask of DecodeBitMasks(immN, imms, immr, TRUE); None where the encoding is reserved."""
    length = ((n << 6) | (~imms & 0x3F)).bit_length() - 1
    if length < 1 or (width == 32 and n):
        return None
    size = 1 << length
    s, r = imms & (size - 1), immr & (size - 1)
    if s == size - 1:
        return None
    ones = (1 << (s + 1)) - 1
    element = ((ones >> r) | (ones << (size - r))) & ((1 << size) - 1)
    out = 0
    for k in range(0, width, size):
        out |= element << k
    return out


def _valid_mask(f: Any) -> bool:
    return decode_bit_masks(f["N"], f["imms"], f["immr"], 64 if f["sf"] else 32) is not None


def logical_immediate(b: A64, i: Insn, *, op: str, setflags: bool = False) -> None:
    width = 64 if i.sf else 32
    hi = (1 << width) - 1
    mask = i.hole("mask", lambda f: decode_bit_masks(f.N, f.imms, f.immr, width) or 0, 0, hi).resize(i.datasize)
    result = b.op(op, b.X(i.Rn, i.datasize), mask)
    if setflags:
        b.set_nz(result)
        set_flagged(b, i, result)
    else:
        b.set_XSP(i.Rd, result)


def move_wide(b: A64, i: Insn, *, op: str) -> None:
    """MOVN, MOVZ: the immediate in its place; MOVK: inserted there."""
    mask = i.datasize.mask
    if op == "movk":
        keep = i.hole("keep", lambda f: ~(0xFFFF << (16 * f.hw)) & mask, 0, mask)
        imm = i.hole("imm", lambda f: f.imm16 << (16 * f.hw), 0, mask)
        b.set_X(i.Rd, (b.X(i.Rd, I64) & keep) | imm)
        return
    invert = mask if op == "movn" else 0
    b.set_X(i.Rd, i.hole("imm", lambda f: (f.imm16 << (16 * f.hw)) ^ invert, 0, mask))


def bitfield(b: A64, i: Insn, *, signed: bool) -> None:
    """SBFM and UBFM: shift the field to the top, then down to its place (equal to the manual's rotate and mask)."""
    t = i.datasize
    top = t.bits - 1
    up = i.hole("up", lambda f: top - (f.imms & top), 0, top).resize(t)
    down = i.hole("down", lambda f: _field_shift(f, top), 0, top).resize(t)
    x = b.X(i.Rn, t) << up
    b.set_X(i.Rd, x.ashr(down) if signed else x.lshr(down))


def _field_shift(f: Any, top: int) -> int:
    imms, immr = f.imms & top, f.immr & top
    return top - imms + immr if imms >= immr else immr - imms - 1


def bitfield_move(b: A64, i: Insn) -> None:
    """BFM: bits of Rn rotated into place under a mask, the others of Rd kept."""
    t = i.datasize
    top = t.bits - 1
    mask = i.hole("mask", lambda f: _insert_mask(f, top), 0, t.mask).resize(t)
    rotate = i.hole("rotate", lambda f: f.immr & top, 0, top).resize(t)
    b.set_X(i.Rd, (b.X(i.Rd, t) & ~mask) | (b.X(i.Rn, t).rotr(rotate) & mask))


def _insert_mask(f: Any, top: int) -> int:
    imms, immr = f.imms & top, f.immr & top
    if imms >= immr:
        return (1 << (imms - immr + 1)) - 1
    return ((1 << (imms + 1)) - 1) << (top + 1 - immr)


def extract(b: A64, i: Insn) -> None:
    t = i.datasize
    lsb = i.hole("lsb", lambda f: f.imms, 0, t.bits - 1).resize(t)
    up = i.hole("up", lambda f: t.bits - 1 - f.imms, 0, t.bits - 1).resize(t)
    high = (b.X(i.Rn, t) << 1) << up
    b.set_X(i.Rd, high | b.X(i.Rm, t).lshr(lsb))


def pc_relative(b: A64, i: Insn, *, page: bool) -> None:
    def offset(f: Any) -> int:
        imm = (f.immhi << 2) | f.immlo
        return ((imm ^ (1 << 20)) - (1 << 20)) << (12 if page else 0)

    scale = 12 if page else 0
    imm = i.hole("imm", offset, -(1 << (20 + scale)), (1 << (20 + scale)) - 1)
    base = b.pc() & -4096 if page else b.pc()
    b.set_X(i.Rd, base + imm)


def _addsub(name: str, bits: str, *, sub: bool, setflags: bool, capstone: str) -> Any:
    return row(
        f"{name} (immediate)", f"sf {bits} 100010 sh imm12 Rn Rd", add_sub_immediate, holes="sh", capstone=capstone,
        shape_of=FLAGS_ONLY if setflags else None, sub=sub, setflags=setflags,
    )  # fmt: skip


def _logical(name: str, opc: str, op: str, *, setflags: bool = False, capstone: str) -> Any:
    return row(
        f"{name} (immediate)", f"sf {opc} 100100 N immr imms Rn Rd", logical_immediate, holes="N", where=_valid_mask,
        shape_of=FLAGS_ONLY if setflags else None, capstone=capstone, op=op, setflags=setflags,
    )  # fmt: skip


def _same_width(f: Any) -> bool:
    return f["N"] == f["sf"] and (f["sf"] == 1 or (f["immr"] < 32 and f["imms"] < 32))


def _move(name: str, opc: str, capstone: str) -> Any:
    return row(
        name, f"sf {opc} 100101 hw imm16 Rd", move_wide, holes="hw", capstone=capstone, op=name.lower(),
        where=lambda f: f["sf"] == 1 or f["hw"] < 2,
    )  # fmt: skip


ROWS = [
    _addsub("ADD", "00", sub=False, setflags=False, capstone="add mov"),
    _addsub("ADDS", "01", sub=False, setflags=True, capstone="adds cmn"),
    _addsub("SUB", "10", sub=True, setflags=False, capstone="sub"),
    _addsub("SUBS", "11", sub=True, setflags=True, capstone="subs cmp"),
    _logical("AND", "00", "and", capstone="and"),
    _logical("ORR", "01", "or", capstone="orr mov"),
    _logical("EOR", "10", "xor", capstone="eor"),
    _logical("ANDS", "11", "and", setflags=True, capstone="ands tst"),
    _move("MOVN", "00", "movn mov"),
    _move("MOVZ", "10", "movz mov"),
    _move("MOVK", "11", "movk"),
    row(
        "SBFM", "sf 00 100110 N immr imms Rn Rd", bitfield, holes="N", where=_same_width, signed=True,
        capstone="asr sxtb sxth sxtw sbfx sbfiz",
    ),
    row(
        "UBFM", "sf 10 100110 N immr imms Rn Rd", bitfield, holes="N", where=_same_width, signed=False,
        capstone="lsr lsl uxtb uxth ubfx ubfiz",
    ),
    row(
        "BFM", "sf 01 100110 N immr imms Rn Rd", bitfield_move, holes="N", where=_same_width, capstone="bfi bfxil bfc",
    ),
    row(
        "EXTR", "sf 00 100111 N 0 Rm imms Rn Rd", extract, holes="N", capstone="extr ror",
        where=lambda f: f["N"] == f["sf"] and (f["sf"] == 1 or f["imms"] < 32),
    ),
    row("ADR", "0 immlo 10000 immhi Rd", pc_relative, page=False),
    row("ADRP", "1 immlo 10000 immhi Rd", pc_relative, page=True),
]  # fmt: skip
