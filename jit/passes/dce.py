"""Dead code elimination: ops without effects whose value nobody uses go, and conditionals that are left empty."""

from __future__ import annotations

from jit.ir import Body, Function, Value
from jit.ops import OPS

# Loads may go too; an ordered one is also a barrier
_HARMLESS = frozenset(name for name, op in OPS.items() if op.effects <= {"read", "env-read"})


def run(f: Function) -> None:
    _sweep(f.body, set())


def _sweep(body: Body, used: set[Value]) -> None:
    used.update(body.yields or ())
    kept: list[Value] = []
    for v in reversed(body):
        if v not in used and v.op in _HARMLESS and v.attrs.get("order", "plain") == "plain":
            continue
        for inner in v.bodies:
            _sweep(inner, used)
        if v.op == "if" and v not in used and not any(inner or inner.yields is None for inner in v.bodies):
            continue
        used.update(v.args)
        kept.append(v)
    kept.reverse()
    body[:] = kept
