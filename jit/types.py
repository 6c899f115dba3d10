"""IR types: integers i1..i128, floats f16/f32/f64, vectors of either, and host pointers.

Types are interned: `vec(4, I32) is vec(4, I32)`, so `is` and `==` agree and types are dict keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """One IR type.

    name: text form (`i64`, `f32`, `v4i32`, `ptr`, `void`).  kind: "int", "float", "ptr" or "void", of a lane for
    vectors.
    bits: size of one lane in bits; lanes: 0 for a scalar.
    """

    name: str
    kind: str
    bits: int
    lanes: int = 0
    elem: Type | None = None
    mask: int = field(default=0, repr=False)

    @property
    def is_int(self) -> bool:
        return self.kind == "int"

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_vec(self) -> bool:
        return self.lanes > 0

    @property
    def scalar(self) -> Type:
        """The lane type of a vector, the type itself of a scalar."""
        return self.elem or self

    @property
    def size(self) -> int:
        """Total size in bits."""
        return self.bits * (self.lanes or 1)

    @property
    def bytes(self) -> int:
        return (self.size + 7) // 8

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name


def _scalar(name: str, kind: str, bits: int) -> Type:
    return Type(name, kind, bits, mask=(1 << bits) - 1)


I1, I8, I16, I32, I64, I128 = (_scalar(f"i{n}", "int", n) for n in (1, 8, 16, 32, 64, 128))
F16, F32, F64 = (_scalar(f"f{n}", "float", n) for n in (16, 32, 64))
PTR = _scalar("ptr", "ptr", 64)
VOID = Type("void", "void", 0)

_BY_NAME: dict[str, Type] = {t.name: t for t in (I1, I8, I16, I32, I64, I128, F16, F32, F64, PTR, VOID)}


def vec(lanes: int, elem: Type) -> Type:
    """The vector of `lanes` elements of `elem`."""
    name = f"v{lanes}{elem.name}"
    found = _BY_NAME.get(name)
    if found is None:
        if elem.lanes or elem.kind not in ("int", "float") or lanes < 1:
            raise ValueError(f"no vector of {lanes} x {elem.name}")
        found = _BY_NAME[name] = Type(name, elem.kind, elem.bits, lanes, elem, elem.mask)
    return found


def int_type(bits: int) -> Type:
    return parse_type(f"i{bits}")


def float_type(bits: int) -> Type:
    return parse_type(f"f{bits}")


def parse_type(name: str) -> Type:
    """The type called `name`; ValueError where there is none."""
    found = _BY_NAME.get(name)
    if found is not None:
        return found
    if name.startswith("v"):
        cut = next((k for k, c in enumerate(name[1:], 1) if not c.isdigit()), 0)
        if cut > 1 and name[cut:] in _BY_NAME:
            return vec(int(name[1:cut]), _BY_NAME[name[cut:]])
    raise ValueError(f"no IR type is called {name!r}")


def with_lanes(t: Type, elem: Type) -> Type:
    """`elem`, or a vector of it with as many lanes as `t` has."""
    return vec(t.lanes, elem) if t.lanes else elem
