"""Vector ops by a number that is a hole: shifts of all lanes, and bytes picked from a place on.

Hosts whose instructions take such a number as an immediate do them in one (VECTOR_SHIFTS and ALIGN of jit/host/*.py);
LLVM, which may not know an immediate that is filled in later, would spend a register and two moves on it.
"""

from __future__ import annotations

from jit.ir import Value
from jit.types import I8, I16, I128, vec

BYTE_NUMBERS = int.from_bytes(bytes(range(16)), "little")


def uniform(n: Value) -> Value | None:
    """The hole, of at most 8 bits, that every lane of n is."""
    if n.op != "splat" or n.args[0].op != "hole":
        return None
    hole = n.args[0]
    return hole if hole.attrs["lo"] >= 0 and hole.attrs["hi"] <= 0xFF else None


def shift_bytes(v: Value, hole: Value) -> Value:
    """Lanes of 8 bits shifted as pairs: those with even numbers, and those with odd ones."""
    b, t = v.builder, vec(v.type.lanes // 2, I16)
    x = v.args[0].bitcast(t)
    n = b.splat(b.emit("hole", I16, **hole.attrs), t.lanes)
    if v.op == "shl":
        even, odd = (x << n) & 0xFF, (x & 0xFF00) << n
    elif v.op == "lshr":
        even, odd = (x & 0xFF).lshr(n), x.lshr(n) & 0xFF00
    else:
        even, odd = (x << 8).ashr(n).lshr(8), x.ashr(n) & 0xFF00
    return (even | odd).bitcast(v.type)


def align_by_table(v: Value) -> Value:
    """align by two table look-ups, of which each byte is in one."""
    low, high, n = v.args
    b, t = v.builder, v.type
    at = b.splat(n.trunc(I8) & 15, t.lanes) + b.const(BYTE_NUMBERS, I128).bitcast(t)
    return b.op("table", low, at) | b.op("table", high, at - 16)
