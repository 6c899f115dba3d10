"""Loads and stores of SIMD&FP registers (C4.1.94): as the general ones, and structures of one to four registers.

Post-index forms add X[m], or for m = 31 the number of bytes: one code for both, as X[31] reads as zero and the number
is a hole.  Register lists go on from V31 to V0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jit.ir import Value
from jit.types import I64, Type, int_type, vec
from targets.arm import access
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.loads_stores import MODES, PAIR_MODES, VECTOR, base, load_literal, pair_row, single_row
from targets.arm.a64.row import Row, row

SIMD: dict[str, Any] = {"vector": True, "needs": "fp"}


def post_index(b: A64, i: Insn, va: Value, total: int) -> Callable[[], None]:
    """The write-back of a structure of `total` bytes, for when all else is done; none in the rows without offset."""
    if not i.has("Rm"):
        return lambda: None
    after = va + (b.X(i.Rm) + i.hole("step", lambda f: total if f.Rm == 31 else 0, 0, total))
    return lambda: b.set_XSP(i.Rn, after)


# -- multiple structures ----------------------------------------------------------------------------------------------
def even_odd(b: A64, x: Value, y: Value) -> tuple[Value, Value]:
    """Elements 0, 2, 4, ... and 1, 3, 5, ... of x and y laid end to end."""
    n = x.type.lanes
    return b.shuffle(x, y, range(0, 2 * n, 2)), b.shuffle(x, y, range(1, 2 * n, 2))


def zipped(b: A64, x: Value, y: Value) -> tuple[Value, Value]:
    """x0, y0, x1, y1, ...: the lower and the upper half."""
    n = x.type.lanes
    order = [k // 2 + n * (k % 2) for k in range(2 * n)]
    return b.shuffle(x, y, order[:n]), b.shuffle(x, y, order[n:])


def _pick(b: A64, three: list[Value], order: list[tuple[int, int]]) -> Value:
    """The vector of lanes (vector, lane) of three vectors."""
    n = three[0].type.lanes
    two = b.shuffle(three[0], three[1], [lane + n * (v == 1) for v, lane in order])
    return b.shuffle(two, three[2], [n + lane if v == 2 else k for k, (v, lane) in enumerate(order)])


def deinterleave(b: A64, chunks: list[Value]) -> list[Value]:
    """Registers from memory in which their elements take turns."""
    n = chunks[0].type.lanes
    if len(chunks) == 2:
        return list(even_odd(b, *chunks))
    if len(chunks) == 3:
        return [_pick(b, chunks, [divmod(3 * k + r, n) for k in range(n)]) for r in range(3)]
    (e0, o0), (e1, o1) = even_odd(b, *chunks[:2]), even_odd(b, *chunks[2:])
    (v0, v2), (v1, v3) = even_odd(b, e0, e1), even_odd(b, o0, o1)
    return [v0, v1, v2, v3]


def interleave(b: A64, registers: list[Value]) -> list[Value]:
    """Memory in which the registers' elements take turns."""
    n = registers[0].type.lanes
    if len(registers) == 2:
        return list(zipped(b, *registers))
    if len(registers) == 3:
        return [_pick(b, registers, [((m + k) % 3, (m + k) // 3) for k in range(n)]) for m in (0, n, 2 * n)]
    v0, v1, v2, v3 = registers
    (a0, a1), (b0, b1) = zipped(b, v0, v2), zipped(b, v1, v3)
    return [*zipped(b, a0, b0), *zipped(b, a1, b1)]


def multiple_structures(b: A64, i: Insn, *, load: bool, registers: int, turns: bool) -> None:
    """LD1 to LD4, ST1 to ST4 of whole registers; turns: their elements alternate in memory (all but LD1, ST1)."""
    total = registers * (16 if i.Q else 8)
    if turns:
        t = vec((16 if i.Q else 8) >> i.size, int_type(8 << i.size))
        desc = b.const(access.elements(1 << i.size, total >> i.size))
    else:  # the size of elements matters to the slow path only
        t = VECTOR if i.Q else I64
        desc = i.hole("elements", lambda f: access.elements(1 << f.size, total >> f.size), 0, access.elements(8, total))
    va = base(b, i)
    write_back = post_index(b, i, va, total)
    names = [i.Rt + k for k in range(registers)]
    if load:
        values = access.load_elements(b, va, [t] * registers, desc)
        for r, value in zip(names, deinterleave(b, values) if turns else values, strict=True):
            b.set_V(r, value)
    else:
        values = [b.V(r, t) for r in names]
        access.store_elements(b, va, interleave(b, values) if turns else values, desc)
    write_back()


# -- single structures ------------------------------------------------------------------------------------------------
_INDEX = {
    8: lambda f: f.Q << 3 | f.S << 2 | f.size,
    16: lambda f: f.Q << 2 | f.S << 1 | f.size >> 1,
    32: lambda f: f.Q << 1 | f.S,
    64: lambda f: f.Q,
}


def _load_each(b: A64, va: Value, t: Type, count: int) -> list[Value]:
    if count == 1:
        return [b.load(va, t)]
    return access.load_elements(b, va, [t] * count, b.const(access.elements(t.bytes, count)))


def _store_each(b: A64, va: Value, values: list[Value]) -> None:
    if len(values) == 1:
        b.store(va, values[0])
    else:
        access.store_elements(b, va, values, b.const(access.elements(values[0].type.bytes, len(values))))


def single_structure(b: A64, i: Insn, *, load: bool, registers: int, bits: int) -> None:
    """One lane of each register: its number is a hole, the other lanes stay."""
    t, va = int_type(bits), base(b, i)
    write_back = post_index(b, i, va, registers * t.bytes)
    lanes = [(i.Rt + k, f"lane{k}", _INDEX[bits]) for k in range(registers)]
    if load:
        for (r, name, index), value in zip(lanes, _load_each(b, va, t, registers), strict=True):
            b.set_Velem(r, name, index, value)
    else:
        _store_each(b, va, [b.Velem(r, name, index, t) for r, name, index in lanes])
    write_back()


def replicate(b: A64, i: Insn, *, registers: int) -> None:
    """LD1R to LD4R: an element to all lanes of each register."""
    t, va = int_type(8 << i.size), base(b, i)
    write_back = post_index(b, i, va, registers * t.bytes)
    for k, value in enumerate(_load_each(b, va, t, registers)):
        b.set_V(i.Rt + k, b.splat(value, (16 if i.Q else 8) >> i.size))
    write_back()


# -- rows -------------------------------------------------------------------------------------------------------------
_OFFSETS = (("no offset", "0", "{} 00000"), ("post-index", "1", "{} Rm"))  # variant, bit 23, bits 21..16
_SIDES = (("LD", 1), ("ST", 0))


def _multiple() -> Iterator[Row]:
    lists = (
        (1, 1, "0111"),
        (1, 2, "1010"),
        (1, 3, "0110"),
        (1, 4, "0010"),
        (2, 2, "1000"),
        (3, 3, "0100"),
        (4, 4, "0000"),
    )
    for side, load in _SIDES:
        for n, registers, opcode in lists:
            for variant, post, middle in _OFFSETS:
                count = f"{registers} register{'s' * (registers > 1)}, " if n == 1 else ""
                yield row(
                    f"{side}{n} (multiple structures) [{count}{variant}]",
                    f"0 Q 001100 {post} {load} {middle.format(0)} {opcode} size Rn Rt", multiple_structures, needs="fp",
                    holes="size" if n == 1 else "", where=None if n == 1 else lambda f: f["size"] != 3 or f["Q"] == 1,
                    load=bool(load), registers=registers, turns=n > 1,
                )  # fmt: skip


def _single() -> Iterator[Row]:
    scales: tuple[tuple[int, str, str, Any], ...] = (
        (8, "00", "S size", None),
        (16, "01", "S size", lambda f: not f["size"] & 1),
        (32, "10", "S 00", None),
        (64, "10", "0 01", None),
    )
    for side, load in _SIDES:
        for n in (1, 2, 3, 4):
            half, odd = divmod(n - 1, 2)  # opcode<0> and R
            for bits, scale, size, where in scales:
                for variant, post, middle in _OFFSETS:
                    yield row(
                        f"{side}{n} (single structure) [{bits}-bit, {variant}]",
                        f"0 Q 001101 {post} {load} {middle.format(odd)} {scale}{half} {size} Rn Rt", single_structure,
                        needs="fp", holes="Q S size", where=where, load=bool(load), registers=n, bits=bits,
                    )  # fmt: skip


def _replicate() -> Iterator[Row]:
    for n in (1, 2, 3, 4):
        half, odd = divmod(n - 1, 2)
        for variant, post, middle in _OFFSETS:
            yield row(
                f"LD{n}R [{variant}]", f"0 Q 001101 {post} 1 {middle.format(odd)} 11{half} 0 size Rn Rt", replicate,
                needs="fp", registers=n,
            )  # fmt: skip


def _one_q(f: Any) -> bool:
    """opc<1> (o1) makes a whole register of size 00 and nothing of others."""
    return not f["o1"] or f["size"] == 0


ROWS: list[Row] = [
    row("LDR (literal, SIMD&FP)", "opc 011 1 00 imm19 Rt", load_literal, where=lambda f: f["opc"] < 3, **SIMD),
    *(
        single_row(f"{op}R", "size", f"o1 {int(op == 'LD')}", mode, load=op == "LD", where=_one_q, **SIMD)
        for op in ("ST", "LD")
        for mode in MODES
        if mode != "unprivileged"
    ),
    *(
        pair_row(f"{op}P", "opc", mode, load=op == "LD", where=lambda f: f["opc"] < 3, **SIMD)
        for op in ("ST", "LD")
        for mode in PAIR_MODES
    ),
    *_multiple(),
    *_single(),
    *_replicate(),
]
