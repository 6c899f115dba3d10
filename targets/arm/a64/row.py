"""A row of the A64 table: one encoding of the Arm manual, as data.

    Row("ADD (immediate)", "sf 00 100010 sh imm12 Rn Rd", add_sub_immediate, sub=False, setflags=False)

The bit layout is the manual's diagram from bit 31 down: runs of 0 and 1 are fixed, names are fields.  A field's width
is in WIDTHS, or after a colon (`opc:2`).  `x` is a bit that may be either and is ignored.

Roles follow from the names.  R* fields are register numbers and never change the code: they become env offsets.
`imm*` fields, and those named in `holes`, are numbers that are holes in the code.  All other fields are the *shape*:
the lifter may branch on them in Python, and each combination of their values has code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

WIDTHS = {
    "sf": 1, "sh": 1, "N": 1, "S": 1, "Q": 1, "U": 1, "L": 1, "M": 1, "H": 1, "b5": 1, "op": 1,
    "o0": 1, "o1": 1, "o2": 1, "A": 1, "R": 1, "V": 1, "sz": 1,
    "Rd": 5, "Rn": 5, "Rm": 5, "Ra": 5, "Rt": 5, "Rt2": 5, "Rs": 5,
    "imm3": 3, "imm4": 4, "imm5": 5, "imm6": 6, "imm7": 7, "imm8": 8, "imm9": 9, "imm12": 12, "imm14": 14, "imm16": 16,
    "imm19": 19, "imm26": 26, "immr": 6, "imms": 6, "immlo": 2, "immhi": 19, "immh": 4, "immb": 3,
    "cond": 4, "nzcv": 4, "option": 3, "shift": 2, "size": 2, "opc": 2, "hw": 2, "b40": 5, "CRm": 4, "CRn": 4,
    "op1": 3, "op2": 3, "rmode": 2, "type": 2, "scale": 6, "cmode": 4, "opcode": 5, "len": 2,
    "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A field of the word: bits [low + width - 1 : low]."""

    name: str
    low: int
    width: int


def parse_layout(text: str) -> tuple[int, int, tuple[Part, ...]]:
    """(mask, value, fields) of a bit layout; ValueError where it is not 32 bits."""
    mask = value = 0
    parts: list[Part] = []
    at = 32
    for token in text.split():
        name, _, width_text = token.partition(":")
        if set(name) <= {"0", "1", "x"} and not width_text:
            for bit in name:
                at -= 1
                mask |= (bit != "x") << at
                value |= (bit == "1") << at
            continue
        width = int(width_text) if width_text else WIDTHS[name]
        at -= width
        parts.append(Part(name, at, width))
    if at != 0:
        raise ValueError(f"layout {text!r} has {32 - at} bits")
    return mask, value, tuple(parts)


@dataclass(frozen=True, eq=False)
class Row:
    """One encoding.

    name: the manual's, with its variant in brackets.  lift: the semantics, `lift(b, i, **bound)`.
    feature: the FEAT_ name that a CPU must have, or "" for Armv8.0.  capstone: mnemonics that capstone may give.
    oracle: "unicorn", or "qemu" for what only a bare-metal program shows.  needs: "fp" (traps under CPACR_EL1.FPEN).
    holes: further fields that are holes.  shape_of: for a field, the function of its value that is the shape (the
    semantics then see that value).  where: a predicate on the fields that must hold too (else another row, or
    undefined).  ends: what the instruction does to the block: "" nothing, "jump", "branch" (conditional), "sync".
    """

    name: str
    layout: str
    lift: Callable[..., None]
    feature: str = ""
    capstone: tuple[str, ...] = ()
    oracle: str = "unicorn"
    needs: str = ""
    holes: tuple[str, ...] = ()
    shape_of: Mapping[str, Callable[[int], int]] = field(default_factory=dict[str, Callable[[int], int]])
    where: Callable[[Mapping[str, int]], bool] | None = None
    ends: str = ""
    reference_cases: int = 500
    bound: Mapping[str, Any] = field(default_factory=dict[str, Any])
    mask: int = field(init=False)
    value: int = field(init=False)
    parts: tuple[Part, ...] = field(init=False)
    shape_parts: tuple[Part, ...] = field(init=False)
    shape_bits: int = field(init=False)  # the bits of a word that its shape depends on
    _cuts: tuple[tuple[str, int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        mask, value, parts = parse_layout(self.layout)
        shape = tuple(p for p in parts if not self.is_hole(p.name))
        bits = sum(((1 << p.width) - 1) << p.low for p in shape)
        cuts = tuple((p.name, p.low, (1 << p.width) - 1) for p in parts)
        derived = {
            "mask": mask,
            "value": value,
            "parts": parts,
            "shape_parts": shape,
            "shape_bits": bits,
            "_cuts": cuts,
        }
        for name, v in derived.items():
            object.__setattr__(self, name, v)

    @property
    def identity(self) -> str:
        """What tells the row from all others, in every run."""
        return f"{self.name}: {self.layout}"

    def is_hole(self, name: str) -> bool:
        if name in self.shape_of:
            return False
        return name[0] == "R" and name != "R" or name.startswith("imm") or name in self.holes

    def split(self, word: int) -> dict[str, int]:
        """The fields of a word by name."""
        return {name: word >> low & mask for name, low, mask in self._cuts}

    def matches(self, word: int) -> bool:
        return word & self.mask == self.value and (self.where is None or self.where(self.split(word)))

    def shape(self, fields: Mapping[str, int]) -> tuple[int, ...]:
        """What of the fields changes the code."""
        return tuple(
            self.shape_of[p.name](fields[p.name]) if p.name in self.shape_of else fields[p.name]
            for p in self.shape_parts
        )


def row(
    name: str,
    layout: str,
    lift: Callable[..., None],
    *,
    feature: str = "",
    capstone: str = "",
    oracle: str = "unicorn",
    needs: str = "",
    holes: str = "",
    shape_of: Mapping[str, Callable[[int], int]] | None = None,
    where: Callable[[Mapping[str, int]], bool] | None = None,
    ends: str = "",
    reference_cases: int = 500,
    **bound: Any,
) -> Row:
    """A Row; what is not a column is bound as a parameter of the semantics."""
    names = tuple(capstone.split()) or (name.split()[0].lower(),)
    return Row(
        name, layout, lift, feature, names, oracle, needs, tuple(holes.split()), shape_of or {}, where, ends,
        reference_cases, bound,
    )  # fmt: skip
