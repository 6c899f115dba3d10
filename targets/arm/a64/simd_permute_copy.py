"""Advanced SIMD copy, extract, table look-up and permute (C4.1.95): lanes go elsewhere, nothing is computed.

Copies name size and number of their lane in imm5: the lowest bit set tells the size, the bits above it the number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jit.ir import Value
from jit.types import I8, I32, I64, Type, int_type, vec
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.simd import arrangement, broadcast, shaped, sizes

V16I8 = vec(16, I8)


# -- copy -------------------------------------------------------------------------------------------------------------
def element_size(imm5: int) -> int:
    """LowestSetBit(imm5): lanes of 8 << size bits."""
    return (imm5 & -imm5).bit_length() - 1


def element_index(f: Any) -> int:
    return f.imm5 >> (element_size(f.imm5) + 1)


def _element_type(i: Insn) -> Type:
    return int_type(8 << i.imm5)  # imm5 is the size here, by the rows' shape_of


def dup_element(b: A64, i: Insn) -> None:
    elem = _element_type(i)
    b.set_V(i.Rd, broadcast(b, b.Velem(i.Rn, "element", element_index, elem), shaped(i, elem)))


def dup_general(b: A64, i: Insn) -> None:
    elem = _element_type(i)
    b.set_V(i.Rd, b.splat(b.X(i.Rn, elem), shaped(i, elem).lanes))


def ins_element(b: A64, i: Insn) -> None:
    source = b.Velem(i.Rn, "source", lambda f: f.imm4 >> element_size(f.imm5), _element_type(i))
    b.set_Velem(i.Rd, "element", element_index, source)


def ins_general(b: A64, i: Insn) -> None:
    b.set_Velem(i.Rd, "element", element_index, b.X(i.Rn, _element_type(i)))


def mov_to_general(b: A64, i: Insn, *, signed: bool) -> None:
    x = b.Velem(i.Rn, "element", element_index, _element_type(i))
    b.set_X(i.Rd, x.sext(I64 if i.Q else I32) if signed else x)


# -- extract, table look-up -------------------------------------------------------------------------------------------
def ext(b: A64, i: Insn) -> None:
    """Bytes from number imm4 on of Vm:Vn."""
    n, m = (b.V(r, shaped(i, I8)) for r in (i.Rn, i.Rm))
    if i.Q:
        b.set_V(i.Rd, b.op("align", n, m, i.imm4))
    else:
        both = b.shuffle(n, m, range(16))
        b.set_V(i.Rd, lower(b, b.op("align", both, both, i.imm4)))


def lower(b: A64, x: Value) -> Value:
    """The lower half of the lanes."""
    return b.shuffle(x, x, range(x.type.lanes // 2))


def table_lookup(b: A64, i: Insn, *, extension: bool) -> None:
    """TBL and TBX: bytes of 1 to 4 registers by number; past the end zero, or for the extension the byte of Vd."""
    registers = i.len + 1
    index = b.V(i.Rm, V16I8)
    result = b.op("table", b.V(i.Rn, V16I8), index)
    for k in range(1, registers):
        result = result | b.op("table", b.V(i.Rn + k, V16I8), index - 16 * k)
    if extension:
        result = b.select(index.ult(16 * registers), result, b.V(i.Rd, V16I8))
    b.set_V(i.Rd, result if i.Q else lower(b, result))


# -- permute ----------------------------------------------------------------------------------------------------------
def permute(b: A64, i: Insn, *, order: Callable[[int], Sequence[int]]) -> None:
    """order: for the lane count, the lanes of Vm:Vn that make Vd."""
    t = arrangement(i)
    b.set_V(i.Rd, b.shuffle(b.V(i.Rn, t), b.V(i.Rm, t), order(t.lanes)))


def unzip(part: int) -> Callable[[int], Sequence[int]]:
    return lambda n: range(part, 2 * n, 2)


def transpose(part: int) -> Callable[[int], Sequence[int]]:
    return lambda n: [k - k % 2 + part + n * (k % 2) for k in range(n)]


def zip_halves(part: int) -> Callable[[int], Sequence[int]]:
    return lambda n: [part * n // 2 + k // 2 + n * (k % 2) for k in range(n)]


# -- rows -------------------------------------------------------------------------------------------------------------
def fits(f: Mapping[str, int]) -> bool:
    """`where`: there is such a lane, and 64-bit lanes need a whole register."""
    return f["imm5"] & 15 != 0 and (element_size(f["imm5"]) < 3 or f.get("Q", 1) == 1)


def _to_general(*allowed: tuple[int, int]) -> Callable[[Mapping[str, int]], bool]:
    """`where`: (size, Q)."""
    return lambda f: (element_size(f["imm5"]), f["Q"]) in allowed


def _copy(name: str, head: str, tail: str, lift: Callable[..., None], **columns: Any) -> Row:
    columns = {"where": fits, **columns}
    layout = f"0 {head} 01110 000 imm5 0 {tail} 1 Rn Rd"
    return row(name, layout, lift, needs="fp", shape_of={"imm5": element_size}, **columns)


def _table(name: str, op: int, **bound: Any) -> Row:
    return row(name, f"0 Q 0 01110 00 0 Rm 0 len {op} 00 Rn Rd", table_lookup, needs="fp", **bound)


def _permute(name: str, opcode: str, order: Callable[[int], Sequence[int]]) -> Row:
    layout = f"0 Q 0 01110 size 0 Rm 0 {opcode} 10 Rn Rd"
    return row(name, layout, permute, needs="fp", where=sizes(0, 1, 2, 3), order=order)


ROWS = [
    _copy("DUP (element)", "Q 0", "0000", dup_element),
    _copy("DUP (general)", "Q 0", "0001", dup_general),
    _copy("INS (general)", "1 0", "0011", ins_general, capstone="mov"),
    _copy("INS (element)", "1 1", "imm4", ins_element, capstone="mov"),
    _copy(
        "SMOV", "Q 0", "0101", mov_to_general, signed=True,
        where=_to_general((0, 0), (1, 0), (0, 1), (1, 1), (2, 1)),
    ),
    _copy(
        "UMOV", "Q 0", "0111", mov_to_general, capstone="umov mov", signed=False,
        where=_to_general((0, 0), (1, 0), (2, 0), (3, 1)),
    ),
    row("EXT", "0 Q 1 01110 00 0 Rm 0 imm4 0 Rn Rd", ext, needs="fp", where=lambda f: f["Q"] == 1 or f["imm4"] < 8),
    _table("TBL", 0, extension=False),
    _table("TBX", 1, extension=True),
    _permute("UZP1", "001", unzip(0)),
    _permute("UZP2", "101", unzip(1)),
    _permute("TRN1", "010", transpose(0)),
    _permute("TRN2", "110", transpose(1)),
    _permute("ZIP1", "011", zip_halves(0)),
    _permute("ZIP2", "111", zip_halves(1)),
]  # fmt: skip
