"""Atomic memory operations (C4.1.94): FEAT_LSE's compare and swap, swap, read-modify-write; FEAT_LRCPC's LDAPR.

Acquire and release bits (A, R) are no shape: all are fully ordered on the host.  What the manual calls ST<op> is LD<op>
to the zero register.  Rows have the plain name; LDADD is LDADD, LDADDA, LDADDAL and LDADDL.
"""

from __future__ import annotations

from jit.ir import Value
from jit.types import I32, I64, Type, int_type
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.loads_stores import base
from targets.arm.a64.loads_stores_exclusive import SIZES, load_ordered
from targets.arm.a64.row import Row, row

_OPERATIONS = {  # name: (o3 and opc, kind of the IR's rmw)
    "LDADD": ("0 000", "add"),
    "LDCLR": ("0 001", "clr"),
    "LDEOR": ("0 010", "xor"),
    "LDSET": ("0 011", "or"),
    "LDSMAX": ("0 100", "smax"),
    "LDSMIN": ("0 101", "smin"),
    "LDUMAX": ("0 110", "umax"),
    "LDUMIN": ("0 111", "umin"),
    "SWP": ("1 000", "xchg"),
}


def _type(i: Insn, bits: int) -> Type:
    return int_type(bits) if bits else I64 if i.sz else I32


def read_modify_write(b: A64, i: Insn, *, kind: str, bits: int) -> None:
    """LDADD and its like, SWP: Rt gets the old value."""
    t = _type(i, bits)
    operand = b.X(i.Rs, t)
    host = b.host_pointer(base(b, i), t.bytes)
    old = b.rmw("and", host, ~operand) if kind == "clr" else b.rmw(kind, host, operand)
    b.wrote(host, t.bytes)
    b.set_X(i.Rt, old)


def compare_and_swap(b: A64, i: Insn, *, bits: int) -> None:
    """CAS: Rs is compared with memory and gets the old value; it must be writable even if the comparison fails."""
    t = _type(i, bits)
    expected, new = b.X(i.Rs, t), b.X(i.Rt, t)
    host = b.host_pointer(base(b, i), t.bytes)
    old = b.cmpxchg(host, expected, new)
    b.wrote(host, t.bytes)
    b.set_X(i.Rs, old)


def compare_and_swap_pair(b: A64, i: Insn) -> None:
    """CASP: of the registers s and s+1, the first is the low half."""
    t = I64 if i.sz else I32
    wide = int_type(2 * t.bits)

    def both(r: str) -> Value:
        low, high = (b.X(getattr(i, r) + k, t).zext(wide) for k in (0, 1))
        return low | (high << t.bits)

    expected, new = both("Rs"), both("Rt")
    host = b.host_pointer(base(b, i), wide.bytes)
    old = b.cmpxchg(host, expected, new)
    b.wrote(host, wide.bytes)
    b.set_X(i.Rs, old.trunc(t))
    b.set_X(i.Rs + 1, old.lshr(t.bits).trunc(t))


def _ordered_names(name: str, letter: str) -> list[str]:
    return [f"{name}{order}{letter}".lower() for order in ("", "a", "al", "l")]


def _operation(name: str, opc: str, kind: str) -> list[Row]:
    rows: list[Row] = []
    for letter, size, bits in SIZES:
        names = _ordered_names(name, letter)
        if name != "SWP":  # with Rt = 31 and A = 0
            names += [f"st{name[2:]}{order}{letter}".lower() for order in ("", "l")]
        rows.append(
            row(
                name + letter, f"{size} 111 0 00 A R 1 Rs {opc} 00 Rn Rt", read_modify_write, feature="FEAT_LSE",
                holes="A R", capstone=" ".join(names), kind=kind, bits=bits,
            )
        )  # fmt: skip
    return rows


def _compare(letter: str, size: str, bits: int) -> Row:
    return row(
        f"CAS{letter}", f"{size} 001000 1 A 1 Rs R 11111 Rn Rt", compare_and_swap, feature="FEAT_LSE", holes="A R",
        capstone=" ".join(_ordered_names("CAS", letter)), bits=bits,
    )  # fmt: skip


ROWS = [
    *(_compare(letter, size, bits) for letter, size, bits in SIZES),
    row(
        "CASP", "0 sz 001000 0 A 1 Rs R 11111 Rn Rt", compare_and_swap_pair, feature="FEAT_LSE", holes="A R",
        capstone=" ".join(_ordered_names("CASP", "")), where=lambda f: not (f["Rs"] | f["Rt"]) & 1,
    ),
    *(r for name, (opc, kind) in _OPERATIONS.items() for r in _operation(name, opc, kind)),
    *(
        row(f"LDAPR{letter}", f"{size} 111 0 00 1 0 1 11111 1 100 00 Rn Rt", load_ordered, feature="FEAT_LRCPC", bits=n)
        for letter, size, n in SIZES
    ),
]  # fmt: skip
