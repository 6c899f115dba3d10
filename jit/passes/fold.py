"""Constant folding: ops on constants become constants, and an `if` on one the body that runs.

The evaluator computes the results, so folding means what running means.
"""

from __future__ import annotations

from jit.ir import Body, Function, Value
from jit.passes.rewrite import FOLDABLE, Rewriter, folded


def run(f: Function) -> None:
    Rewriter(_fold, FOLDABLE | {"if", "result"}).run(f)


def _fold(r: Rewriter, v: Value) -> Value | None:
    if v.op == "if":
        taken = _taken(v)
        if taken is None:
            return v
        r.splice(taken)
        return None
    if v.op == "result":
        taken = _taken(v.args[0])
        return v if taken is None or taken.yields is None else taken.yields[v.attrs["index"]]
    return folded(r, v)


def _taken(node: Value) -> Body | None:
    """The body of an `if` that runs, where that is known and it goes on behind the `if`."""
    if node.op != "if" or node.args[0].op != "const":
        return None
    body = node.bodies[0 if node.args[0].attrs["value"] else 1]
    return body if body.yields is not None else None
