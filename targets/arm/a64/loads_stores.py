"""Loads and stores of general registers (C4.1.94): literal, pairs, and one register with every kind of address.

Where the manual says CONSTRAINED UNPREDICTABLE, both QEMU and Unicorn go through with the instruction and so do we:
write-back comes last (a load with Rt == Rn leaves the address), a store with Rt == Rn stores the old value, and of a
pair with Rt == Rt2 the first element stays.  SP alignment (SCTLR.SA) is not checked, as in QEMU: `base` is the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jit.ir import Value
from jit.types import I32, I64, Type, int_type, vec
from targets.arm import access
from targets.arm.a64.lift import A64, Insn, Reg
from targets.arm.a64.row import Row, row

Predicate = Callable[[Mapping[str, int]], bool]

VECTOR = vec(2, I64)  # how a whole vector register travels


def base(b: A64, i: Insn) -> Value:
    """X[n] or SP as the base of an address."""
    return b.XSP(i.Rn)


def address(b: A64, i: Insn, mode: str, size: int) -> tuple[Value, Value | None]:
    """(address, what Rn becomes or None) of an access of `size` bytes."""
    n = base(b, i)
    if mode == "unsigned":
        return n + i.hole("imm", lambda f: f.imm12 * size, 0, 4095 * size), None
    if mode == "register":
        return n + extended_offset(b, i, size.bit_length() - 1), None
    moved = n + i.simm("imm9")
    return (n if mode == "post" else moved), (moved if mode in ("pre", "post") else None)


def extended_offset(b: A64, i: Insn, scale: int) -> Value:
    """ExtendReg(m, option, S ? scale : 0)."""
    m = b.X(i.Rm) if i.option & 1 else b.X(i.Rm, I32).sext(I64) if i.option & 4 else b.X(i.Rm, I32).zext(I64)
    return m << i.hole("amount", lambda f: f.S * scale, 0, scale) if scale else m


def get(b: A64, r: Reg, t: Type, vector: bool) -> Value:
    """What a store takes from a register."""
    return b.V(r, t) if vector else b.X(r, t)


def put(b: A64, r: Reg, value: Value, vector: bool, extend: Type | None = None) -> None:
    """What a load does with a register; `extend` is the width of sign extension."""
    if vector:
        b.set_V(r, value)
    else:
        b.set_X(r, value.sext(extend) if extend else value)


def element_type(i: Insn, bits: int) -> Type:
    """The type that goes to memory: `bits` of it, or as the fields say where 0."""
    if bits:
        return int_type(bits)
    if i.has("sz"):
        return I64 if i.sz else I32
    return VECTOR if i.o1 else int_type(8 << i.size)


def pair_type(i: Insn) -> Type:
    """The type by opc of SIMD&FP pairs and literals: S, D or Q."""
    return VECTOR if i.opc == 2 else int_type(32 << i.opc)


def load_store(
    b: A64, i: Insn, *, mode: str, load: bool, bits: int = 0, signed: bool = False, vector: bool = False
) -> None:
    """LDR, STR, LDUR, STUR, LDTR, STTR and their narrow and SIMD&FP forms."""
    t = element_type(i, bits)
    va, back = address(b, i, mode, t.bytes)
    unprivileged = mode == "unprivileged"
    if load:
        put(b, i.Rt, b.load(va, t, unpriv=unprivileged), vector, sign_width(i) if signed else None)
    else:
        b.store(va, get(b, i.Rt, t, vector), unpriv=unprivileged)
    if back is not None:
        b.set_XSP(i.Rn, back)


def sign_width(i: Insn) -> Type:
    """opc<0> of LDRSB and LDRSH: 32 or 64 bits; LDRSW has no choice."""
    return I32 if i.has("o0") and i.o0 else I64


def load_literal(b: A64, i: Insn, *, bits: int = 0, signed: bool = False, vector: bool = False) -> None:
    t = element_type(i, bits) if not vector else pair_type(i)
    value = b.load(b.pc() + i.simm("imm19", 4), t)
    put(b, i.Rt, value, vector, I64 if signed else None)


def pair(b: A64, i: Insn, *, mode: str, load: bool, bits: int = 0, signed: bool = False, vector: bool = False) -> None:
    """LDP, STP, LDPSW, LDNP, STNP: two elements, one probe."""
    t = element_type(i, bits) if not vector else pair_type(i)
    n = base(b, i)
    moved = n + i.simm("imm7", t.bytes)
    va = n if mode == "post" else moved
    desc = b.const(access.elements(t.bytes, 2))
    if load:
        first, second = access.load_elements(b, va, (t, t), desc)
        extend = I64 if signed else None
        # QEMU moves the first of general registers last; of SIMD registers, loaded as they come, the second is the last
        for r, value in ((i.Rt, first), (i.Rt2, second)) if vector else ((i.Rt2, second), (i.Rt, first)):
            put(b, r, value, vector, extend)
    else:
        access.store_elements(b, va, (get(b, i.Rt, t, vector), get(b, i.Rt2, t, vector)), desc)
    if mode in ("pre", "post"):
        b.set_XSP(i.Rn, moved)


def prefetch(b: A64, i: Insn) -> None:
    """PRFM is a hint and never faults."""


@dataclass(frozen=True)
class Mode:
    """A kind of address, as rows name and encode it."""

    letter: str  # in the mnemonic behind LD or ST: LDUR, LDTR
    kind: str  # in the manual's brackets
    variant: str
    bits: str  # bits 25..24, and what stands between opc and Rn


MODES = {
    "unsigned": Mode("", "immediate", " [unsigned offset]", "01 {opc} imm12"),
    "post": Mode("", "immediate", " [post-index]", "00 {opc} 0 imm9 01"),
    "pre": Mode("", "immediate", " [pre-index]", "00 {opc} 0 imm9 11"),
    "register": Mode("", "register", "", "00 {opc} 1 Rm option S 10"),
    "unscaled": Mode("U", "", "", "00 {opc} 0 imm9 00"),
    "unprivileged": Mode("T", "", "", "00 {opc} 0 imm9 10"),
}
PAIR_MODES = {
    "no-allocate": Mode("N", "", "", "000"),
    "post": Mode("", "", " [post-index]", "001"),
    "offset": Mode("", "", " [signed offset]", "010"),
    "pre": Mode("", "", " [pre-index]", "011"),
}


def _names(name: str, mode: Mode, vector: bool) -> tuple[str, str]:
    """(the manual's name, the mnemonic)."""
    mnemonic = name[:2] + mode.letter + name[2:]
    kinds = ", ".join(k for k in (mode.kind, "SIMD&FP" if vector else "") if k)
    return mnemonic + (f" ({kinds})" if kinds else "") + mode.variant, mnemonic.lower()


def single_row(
    name: str, size: str, opc: str, mode: str, *, vector: bool = False, where: Predicate | None = None, **bound: Any
) -> Row:
    """One register's load or store with one kind of address."""
    full, mnemonic = _names(name, MODES[mode], vector)
    layout = f"{size} 111 {int(vector)} {MODES[mode].bits.format(opc=opc)} Rn Rt"
    if mode != "register":
        return row(full, layout, load_store, capstone=mnemonic, where=where, mode=mode, vector=vector, **bound)
    return row(
        full, layout, load_store, capstone=mnemonic, holes="S", shape_of={"option": lambda o: 3 if o == 7 else o},
        where=lambda f: bool(f["option"] & 2) and (where is None or where(f)), mode=mode, vector=vector, **bound,
    )  # fmt: skip


def pair_row(name: str, opc: str, mode: str, *, vector: bool = False, load: bool, **more: Any) -> Row:
    """Two registers' load or store with one kind of address."""
    full, mnemonic = _names(name, PAIR_MODES[mode], vector)
    layout = f"{opc} 101 {int(vector)} {PAIR_MODES[mode].bits} {int(load)} imm7 Rt2 Rn Rt"
    return row(full, layout, pair, capstone=mnemonic, mode=mode, load=load, vector=vector, **more)


# Name, size, opc, parameters.  opc<0> of the signed loads (o0) is the width of the register.
_SINGLES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("STRB", "00", "00", {"load": False, "bits": 8}),
    ("LDRB", "00", "01", {"load": True, "bits": 8}),
    ("LDRSB", "00", "1 o0", {"load": True, "bits": 8, "signed": True}),
    ("STRH", "01", "00", {"load": False, "bits": 16}),
    ("LDRH", "01", "01", {"load": True, "bits": 16}),
    ("LDRSH", "01", "1 o0", {"load": True, "bits": 16, "signed": True}),
    ("STR", "1 sz", "00", {"load": False}),
    ("LDR", "1 sz", "01", {"load": True}),
    ("LDRSW", "10", "10", {"load": True, "bits": 32, "signed": True}),
]

ROWS = [
    row("LDR (literal)", "0 sz 011 0 00 imm19 Rt", load_literal),
    row("LDRSW (literal)", "10 011 0 00 imm19 Rt", load_literal, bits=32, signed=True),
    row("PRFM (literal)", "11 011 0 00 imm19 Rt", prefetch),
    *(single_row(name, size, opc, mode, **bound) for name, size, opc, bound in _SINGLES for mode in MODES),
    row("PRFM (immediate)", "11 111 0 01 10 imm12 Rn Rt", prefetch),
    row(
        "PRFM (register)", "11 111 0 00 10 1 Rm option S 10 Rn Rt", prefetch, holes="option S",
        where=lambda f: bool(f["option"] & 2),
    ),
    row("PRFUM", "11 111 0 00 10 0 imm9 00 Rn Rt", prefetch),
    *(pair_row(f"{op}P", "sz 0", mode, load=op == "LD") for op in ("ST", "LD") for mode in PAIR_MODES),
    *(pair_row("LDPSW", "01", mode, load=True, bits=32, signed=True) for mode in ("post", "offset", "pre")),
]  # fmt: skip
