"""The verifier: does a function keep the rules of the IR?  Run on what parsers, lifters and passes give.

Operands are defined before their use, in the same body or one around it, and of the op table's types; attributes are
the table's; one terminal of the function's kind ends it, and none stands anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from jit.ir import Body, Function, IRError, Value
from jit.ops import OPS, RMW_KINDS, TERMINALS
from jit.types import I1, PTR, VOID, Type, parse_type, with_lanes


class VerifyError(IRError):
    """A function breaks a rule of the IR; the text names the op and the rule."""


_CLASSES: dict[str, Callable[[Type], bool]] = {
    "any": lambda t: t is not VOID,
    "num": lambda t: t.kind in ("int", "float"),
    "int": lambda t: t.is_int,
    "float": lambda t: t.is_float,
}


@cache
def _signature(op: str) -> tuple[tuple[str, ...], str]:
    left, _, right = OPS[op].signature.partition("->")
    return tuple(left.split()), right.strip()


@cache
def _typed(op: str, types: tuple[Type, ...], result: Type) -> str:
    """What is wrong with these operand and result types by the signature; "" where they fit."""
    tokens, out = _signature(op)
    rest = tokens[-1:] == ("...",)
    tokens = tokens[:-1] if rest else tokens
    if len(types) < len(tokens) or (len(types) > len(tokens) and not rest):
        return f"{len(types)} operands, not {len(tokens)}"
    bound: dict[str, Type] = {}
    for k, (token, t) in enumerate(zip(tokens, types, strict=False)):
        if not _matches(token, t, bound):
            return f"operand {k} is {t}, which is not {token!r}"
    if out != "*" and not _matches(out or "void", result, bound):
        return f"the result is {result}, which is not {out or 'void'!r}"
    return ""


def _matches(token: str, t: Type, bound: dict[str, Type]) -> bool:
    letter, _, kind = token.partition(":")
    if letter.startswith("?"):
        return t is with_lanes(bound[letter[1]], I1)
    if letter.startswith("e("):
        return t is bound[letter[2]].scalar
    if len(letter) > 1:
        return t is parse_type(letter)
    if letter == "c" and not kind:  # select's condition: its lanes are looked at below
        return t.scalar is I1
    if kind:
        bound[letter] = t
        return _CLASSES[kind](t)
    return t is bound[letter]


# -- rules that a signature does not tell: text of what is wrong, or "" -----------------------------------------------
def _extend(v: Value, widens: bool) -> str:
    a, t = v.args[0].type, v.type
    fine = a.lanes == t.lanes and a.kind == t.kind and (a.bits < t.bits if widens else a.bits > t.bits)
    return "" if fine else f"from {a} to {t}"


def _int_float(v: Value) -> str:
    a, t = v.args[0].type, v.type
    fine = a.lanes == t.lanes and {a.kind, t.kind} == {"int", "float"}
    return "" if fine else f"from {a} to {t}"


def _bitcast(v: Value) -> str:
    a, t = v.args[0].type, v.type
    return "" if a.size == t.size and PTR not in (a, t) else f"from {a} to {t}"


def _shuffle(v: Value) -> str:
    a, mask = v.args[0].type, v.attrs["mask"]
    fine = a.is_vec and v.type.scalar is a.scalar and v.type.lanes == len(mask)
    return "" if fine and all(0 <= k < 2 * a.lanes for k in mask) else f"lanes {mask} of two {a} as {v.type}"


def _select(v: Value) -> str:
    c, t = v.args[0].type, v.type
    return "" if c is I1 or c is with_lanes(t, I1) else f"a condition {c} for {t}"


def _result(v: Value) -> str:
    node, k = v.args[0], v.attrs["index"]
    if node.op not in ("if", "loop"):
        return f"of {node.op}"
    given = node_types(node)
    return "" if 0 <= k < len(given) and given[k] is v.type else f"number {k} of {list(map(str, given))} as {v.type}"


def node_types(node: Value) -> list[Type]:
    """The types of an if's or loop's results."""
    if node.op == "loop":
        return [a.type for a in node.args]
    yields = next((b.yields for b in node.bodies if b.yields is not None), ())
    return [y.type for y in yields]


def _if(v: Value) -> str:
    ways = [[y.type for y in body.yields] for body in v.bodies if body.yields is not None]
    if len(v.bodies) != 2 or not ways:
        return "without two bodies of which one goes on"
    return "" if ways[0] == ways[-1] else "whose bodies give different types"


def _loop(v: Value) -> str:
    if len(v.bodies) != 1 or not v.bodies[0].yields:
        return "without a body that yields"
    again, *carried = (y.type for y in v.bodies[0].yields)
    return (
        "" if again is I1 and carried == [a.type for a in v.args] else "whose body yields other types than it carries"
    )


def _one_of(attr: str, *allowed: object) -> Callable[[Value], str]:
    return lambda v: "" if v.attrs[attr] in allowed else f"with {attr} {v.attrs[attr]!r}"


_RULES: dict[str, Callable[[Value], str]] = {
    "const": lambda v: "" if 0 <= v.attrs["value"] <= (v.type.mask or 0) else f"{v.attrs['value']} as {v.type}",
    "hole": lambda v: (
        "" if v.attrs["lo"] <= v.attrs["hi"] and v.type.is_int and not v.type.lanes else "without a range"
    ),
    "zext": lambda v: _extend(v, True),
    "sext": lambda v: _extend(v, True),
    "trunc": lambda v: _extend(v, False),
    "fext": lambda v: _extend(v, True),
    "ftrunc": lambda v: _extend(v, False),
    **dict.fromkeys(("itof", "utof", "ftoi"), _int_float),
    "bitcast": _bitcast,
    "splat": lambda v: "" if v.type.is_vec and v.type.scalar is v.args[0].type else f"of {v.args[0].type} as {v.type}",
    "extract": lambda v: "" if v.args[0].type.is_vec else f"of {v.args[0].type}",
    "insert": lambda v: "" if v.args[0].type.is_vec else f"into {v.args[0].type}",
    "shuffle": _shuffle,
    "select": _select,
    **dict.fromkeys(("ldenv", "arg", "carried"), lambda v: "" if v.type is not VOID else "without a type"),
    "ld": lambda v: _one_of("order", "plain", "acquire")(v) or ("" if v.type is not VOID else "without a type"),
    "st": _one_of("order", "plain", "release"),
    "rmw": _one_of("kind", *RMW_KINDS),
    "result": _result,
    "if": _if,
    "loop": _loop,
}
_ENDS = {"stencil": TERMINALS, "function": frozenset(("ret", "goto_ptr"))}


class _Verifier:
    def __init__(self, f: Function) -> None:
        self.f, self.scope = f, set[Value]()

    def error(self, v: Value, text: str) -> VerifyError:
        return VerifyError(f"{self.f.name}: {v.op} {text}")

    def body(self, body: Body, carried: list[Type] | None, top: bool = False) -> None:
        defined: list[Value] = []
        for k, v in enumerate(body):
            self.op(v, carried)
            last = k == len(body) - 1
            if v.op in TERMINALS and not (top and last):
                raise self.error(v, "is not the last of the function")
            if v.op == "leave" and (top or not last or body.yields is not None):
                raise self.error(v, "does not end a body that leaves")
            self.scope.add(v)
            defined.append(v)
        if body.yields is None and not (body and body[-1].op == "leave"):
            raise VerifyError(f"{self.f.name}: a body without results does not leave")
        for y in body.yields or ():
            if y not in self.scope:
                raise self.error(y, "is yielded where it is not defined")
        self.scope.difference_update(defined)

    def op(self, v: Value, carried: list[Type] | None) -> None:
        info = OPS.get(v.op)
        if info is None:
            raise self.error(v, "is no op")
        if set(v.attrs) != set(info.attrs):
            raise self.error(v, f"has attributes {sorted(v.attrs)}, not {sorted(info.attrs)}")
        for a in v.args:
            if a not in self.scope:
                raise self.error(v, f"uses {a.op} {a.type}, which is not defined there")
        wrong = _typed(v.op, tuple(a.type for a in v.args), v.type) if v.op not in ("if", "loop", "result") else ""
        rule = _RULES.get(v.op)
        wrong = wrong or (rule(v) if rule else "")
        if v.op == "carried" and (carried is None or carried[v.attrs["index"]] is not v.type):
            wrong = "is not of the loop"
        if wrong:
            raise self.error(v, wrong)
        for inner in v.bodies:
            self.body(inner, [a.type for a in v.args] if v.op == "loop" else carried)


def verify(f: Function) -> None:
    """VerifyError where `f` breaks a rule."""
    _Verifier(f).body(f.body, None, top=True)
    if not f.body or f.body[-1].op not in _ENDS[f.kind]:
        raise VerifyError(f"{f.name}: does not end in a terminal of a {f.kind}")
    end = f.body[-1]
    if end.op == "ret" and [a.type for a in end.args] != ([] if f.ret is VOID else [f.ret]):
        raise VerifyError(f"{f.name}: returns other types than {f.ret}")
    if f.slow:
        verify(f.slow)
