"""Algebra: patterns of ops and what they are equal to.

A rule is a line `(op ...) -> value [if condition]`.  Small letters stand for any value (the same one where repeated),
capitals for any constant, numbers for that constant (-1: all bits set; in vectors: in each lane).  A replacement's
numbers and ops have the type of what they replace, the ops inside it the type of their first operand.  Conditions are
Python: a capital is its number, `width` the bits of the pattern's first operand, and

    bits(x)  the bits of x's lanes       known(x)  a mask of the bits that x can have
    same(x)  x's type is the result's    lanes(x)  x's lane count
"""

from __future__ import annotations

import re
from typing import Any

from jit.ir import Function, Value
from jit.passes.rewrite import FOLDABLE, Rewriter, folded
from jit.types import Type

RULES = """
(add x 0) -> x
(add (add x C) D) -> (add x (add C D))
(add (sub x C) D) -> (add x (sub D C))
(sub x 0) -> x
(sub x x) -> 0
(sub (add x C) D) -> (add x (sub C D))
(sub (sub x C) D) -> (sub x (add C D))
(mul x 0) -> 0
(mul x 1) -> x
(udiv x 0) -> 0
(udiv x 1) -> x
(sdiv x 0) -> 0
(sdiv x 1) -> x

(and x 0) -> 0
(and x x) -> x
(and x C) -> x if known(x) & ~C == 0
(and x C) -> 0 if known(x) & C == 0
(and (and x C) D) -> (and x (and C D))
(or x 0) -> x
(or x -1) -> -1
(or x x) -> x
(or (or x C) D) -> (or x (or C D))
(xor x 0) -> x
(xor x x) -> 0
(xor (xor x C) D) -> (xor x (xor C D))

(shl x C) -> 0 if C >= width
(shl x 0) -> x
(shl (shl x C) D) -> (shl x (add C D)) if C + D < width
(lshr x C) -> 0 if C >= width
(lshr x 0) -> x
(lshr (lshr x C) D) -> (lshr x (add C D)) if C + D < width
(ashr x 0) -> x
(rotr x C) -> x if C % width == 0

(umin x x) -> x
(umax x x) -> x
(smin x x) -> x
(smax x x) -> x
(umin x 0) -> 0
(umax x 0) -> x
(uaddsat x 0) -> x
(saddsat x 0) -> x
(usubsat x 0) -> x
(ssubsat x 0) -> x
(uaddo x 0) -> 0
(saddo x 0) -> 0
(ssubo x 0) -> 0

(eq x x) -> 1
(ne x x) -> 0
(ult x x) -> 0
(ule x x) -> 1
(slt x x) -> 0
(sle x x) -> 1
(ult x 0) -> 0
(ule 0 x) -> 1
(ne b 0) -> b if bits(b) == 1
(eq b 0) -> (xor b 1) if bits(b) == 1
(ne (zext b) 0) -> b if bits(b) == 1
(eq (zext b) 0) -> (xor b 1) if bits(b) == 1
(eq (sub x y) 0) -> (eq x y)
(ne (sub x y) 0) -> (ne x y)
(eq (xor x y) 0) -> (eq x y)
(ne (xor x y) 0) -> (ne x y)

(select 1 x y) -> x
(select 0 x y) -> y
(select c x x) -> x
(select c 1 0) -> c if same(c)
(select (xor c 1) x y) -> (select c y x)

(zext (zext x)) -> (zext x)
(sext (sext x)) -> (sext x)
(sext (zext x)) -> (zext x)
(trunc (trunc x)) -> (trunc x)
(trunc (zext x)) -> x if same(x)
(trunc (zext x)) -> (zext x) if bits(x) < result
(trunc (zext x)) -> (trunc x) if bits(x) > result
(trunc (sext x)) -> x if same(x)
(trunc (sext x)) -> (sext x) if bits(x) < result
(trunc (sext x)) -> (trunc x) if bits(x) > result
(bitcast (bitcast x)) -> x if same(x)
(bitcast (bitcast x)) -> (bitcast x)

(extract (splat x) i) -> x
(extract (insert v x C) D) -> x if C % lanes(v) == D % lanes(v)
(extract (insert v x C) D) -> (extract v D) if C % lanes(v) != D % lanes(v)
(ptradd p 0) -> p
(ptradd (ptradd p C) D) -> (ptradd p (add C D))
"""

COMMUTATIVE = frozenset(
    ("add", "mul", "umulh", "smulh", "and", "or", "xor", "umin", "umax", "smin", "smax", "uaddsat", "saddsat")
    + ("uaddo", "saddo", "eq", "ne")
)

Tree = Any  # a name, a number, or (op, subtree, ...)
Names = dict[str, Value]


def known(v: Value) -> int:
    """A mask of the bits that may be set in v (in each lane)."""
    if v.op == "hole" and v.attrs["lo"] >= 0:
        return (1 << v.attrs["hi"].bit_length()) - 1
    if v.op == "zext":
        return v.args[0].type.mask
    if v.op == "and" and v.args[1].op == "const":
        return v.args[1].attrs["value"]
    return v.type.mask


class Rule:
    """One line of RULES, parsed."""

    __slots__ = ("pattern", "needs", "replacement", "condition")

    def __init__(self, line: str) -> None:
        left, _, right = line.partition("->")
        right, _, condition = right.partition(" if ")
        self.pattern: Tree = _parse(left)
        self.replacement: Tree = _parse(right)
        self.condition = compile(condition.strip(), line, "eval") if condition else None
        self.needs = tuple(_needed(p) for p in self.pattern[1:])

    def apply(self, r: Rewriter, v: Value) -> Value | None:
        names: Names = {}
        for p, a in zip(self.pattern[1:], v.args, strict=True):
            if not _match(p, a, names):
                return None
        if self.condition and not eval(self.condition, _FUNCTIONS, _Scope(names, v)):
            return None
        return _build(r, v, self.replacement, names, v.type)


def _needed(p: Tree) -> str:
    if isinstance(p, tuple):
        return p[0]
    return "const" if isinstance(p, int) or p.isupper() else ""


class _Scope(dict[str, Any]):
    """The names of a condition: numbers of capitals, values of small letters, the width, the result."""

    def __init__(self, names: Names, v: Value) -> None:
        super().__init__((k, x.attrs["value"] if k.isupper() else x) for k, x in names.items())
        self["width"], self["result"] = v.args[0].type.bits, v.type.bits
        self["same"] = lambda x: x.type is v.type


_FUNCTIONS = {"bits": lambda x: x.type.bits, "known": known, "lanes": lambda x: x.type.lanes}


def _parse(text: str) -> Tree:
    tokens = re.findall(r"[()]|[^\s()]+", text)

    def tree() -> Tree:
        token = tokens.pop(0)
        if token == "(":
            out = [tokens.pop(0)]
            while tokens[0] != ")":
                out.append(tree())
            tokens.pop(0)
            return tuple(out)
        return int(token) if re.fullmatch(r"-?\d+", token) else token

    return tree()


def _match(p: Tree, v: Value, names: Names) -> bool:
    if isinstance(p, tuple):
        return v.op == p[0] and all(_match(q, a, names) for q, a in zip(p[1:], v.args, strict=True))
    if isinstance(p, int):
        return v.op == "const" and v.attrs["value"] == p & v.type.mask
    if p.isupper() and v.op != "const":
        return False
    return names.setdefault(p, v) is v


def _build(r: Rewriter, v: Value, tree: Tree, names: Names, t: Type | None) -> Value:
    """The replacement's value; `t` is its type where that is known, else its first operand's."""
    if isinstance(tree, str):
        return names[tree]
    if isinstance(tree, int):
        assert t is not None
        return r.const(v, tree, t)
    first = _build(r, v, tree[1], names, None)
    args = (first, *(_build(r, v, x, names, first.type if isinstance(x, int) else None) for x in tree[2:]))
    made = Value(v.builder, tree[0], t or first.type, args)
    new = _simplified(r, made)
    return r.put(made) if new is made else new


def _simplified(r: Rewriter, v: Value) -> Value:
    if v.op in COMMUTATIVE and v.args[0].op == "const" and v.args[1].op != "const":
        v.args = (v.args[1], v.args[0])
    key = (v.op, *[a.op for a in v.args])
    for rule in _candidates[key] if key in _candidates else _find_candidates(key):
        new = rule.apply(r, v)
        if new is not None:
            return new
    return folded(r, v)


_RULES = [Rule(line) for line in RULES.split("\n") if line]
_ACTIVE = FOLDABLE | {rule.pattern[0] for rule in _RULES}
_candidates: dict[tuple[str, ...], list[Rule]] = {}


def _find_candidates(key: tuple[str, ...]) -> list[Rule]:
    """The rules that fit an op with operands of these ops; kept for the next time."""
    found = [
        rule
        for rule in _RULES
        if rule.pattern[0] == key[0] and all(n in ("", k) for n, k in zip(rule.needs, key[1:], strict=True))
    ]
    _candidates[key] = found
    return found


def run(f: Function) -> None:
    Rewriter(_simplified, _ACTIVE).run(f)
