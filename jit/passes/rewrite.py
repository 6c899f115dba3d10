"""What passes that replace values share: one walk in program order with operands renamed on the way."""

from __future__ import annotations

from collections.abc import Callable

from jit.evaluate import apply
from jit.ir import Body, Function, Value
from jit.ops import OPS
from jit.types import PTR, VOID, Type

# Pure ops whose result is a number that depends on their operands and attributes alone
FOLDABLE = frozenset(
    name
    for name, op in OPS.items()
    if op.pure and name not in ("const", "hole", "arg", "env", "ptradd", "ptrtoint", "result", "carried")
)


def constant(v: Value) -> int | None:
    """The number of a constant (of each of its lanes)."""
    return v.attrs["value"] if v.op == "const" else None


class Rewriter:
    """Replaces values.  `rewrite` gives the value to use instead of v: v itself to keep it, None to drop it.

    active: the ops that it is asked about.
    """

    def __init__(self, rewrite: Callable[[Rewriter, Value], Value | None], active: frozenset[str]) -> None:
        self.rewrite, self.active = rewrite, active
        self.renamed: dict[Value, Value] = {}
        self.out = Body()

    def run(self, f: Function) -> None:
        self._body(f.body)

    def _body(self, body: Body) -> None:
        saved, self.out = self.out, Body()
        renamed, active, out = self.renamed, self.active, self.out
        for v in body:
            if renamed:
                for a in v.args:
                    if a in renamed:
                        v.args = tuple([renamed.get(x, x) for x in v.args])
                        break
            if v.op in active:
                new = self.rewrite(self, v)
                if new is not v:
                    if new is not None:
                        renamed[v] = new
                    continue
            for inner in v.bodies:
                self._body(inner)
            out.append(v)
        if body.yields:
            body.yields = tuple([renamed.get(y, y) for y in body.yields])
        body[:] = out
        self.out = saved

    # -- what rewriting functions emit with -------------------------------------------------------------------------
    def const(self, like: Value, value: int, t: Type) -> Value:
        """A constant at the present place."""
        return self.put(Value(like.builder, "const", t, (), {"value": value & t.mask}))

    def put(self, v: Value) -> Value:
        self.out.append(v)
        return v

    def splice(self, body: Body) -> None:
        """Take over the ops of a body that is known to run."""
        self._body(body)
        self.out.extend(body)


def folded(r: Rewriter, v: Value) -> Value:
    """The constant that v is when all its operands are constants; else v."""
    if v.op not in FOLDABLE or v.type is VOID or v.type is PTR:
        return v
    args = v.args
    for a in args:
        if a.op != "const" or a.type is PTR:
            return v
    if not args:
        return v
    data = [(a.attrs["value"],) * a.type.lanes if a.type.lanes else a.attrs["value"] for a in args]
    result = apply(v, data)
    if v.type.lanes:  # a constant has the same number in every lane
        if any(x != result[0] for x in result):
            return v
        result = result[0]
    return r.const(v, result, v.type)
