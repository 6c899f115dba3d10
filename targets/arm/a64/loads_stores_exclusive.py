"""Load-exclusive, store-exclusive, load-acquire and store-release (C4.1.94: load/store exclusive, ordered).

The exclusive monitor is what QEMU's is: the address, size and value of the last load-exclusive.  A store-exclusive to
that address is a compare and exchange with that value, so it also works between vCPUs, and fails without an access
anywhere else (whether a store that fails faults is IMPLEMENTATION DEFINED).  Ordered forms differ on the host only.

CONSTRAINED UNPREDICTABLE, as in QEMU: fields that should be one are ignored; Rs may be any register and is written
last; of LDXP with Rt == Rt2 the second element stays.
"""

from __future__ import annotations

from typing import Any

from jit.ir import Value
from jit.types import I32, I64, Type, int_type
from targets.arm import access
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.loads_stores import base
from targets.arm.a64.row import Row, row
from targets.arm.env import ENV

NO_ADDRESS = -1  # in env.excl_addr: the monitor is open


def _type(i: Insn, bits: int) -> Type:
    return int_type(bits) if bits else I64 if i.sz else I32


def _whole(t: Type) -> Type:
    """The type of two elements together."""
    return int_type(2 * t.bits)


def _join(low: Value, high: Value) -> Value:
    wide = _whole(low.type)
    return low.zext(wide) | (high.zext(wide) << low.type.bits)


def load_exclusive(b: A64, i: Insn, *, bits: int = 0, pair: bool = False, ordered: bool) -> None:
    """LDXR, LDAXR, LDXP, LDAXP.  A pair of X registers need not be atomic by itself: the STXP compares all of it."""
    t = _type(i, bits)
    memory = _whole(t) if pair else t
    va = base(b, i)
    value = b.load(va, memory, order="acquire" if ordered else "plain", align=memory.bytes)
    b.stenv(ENV.excl_addr, va)
    b.stenv(ENV.excl_size, b.const(memory.bytes))
    b.stenv(ENV.excl_value, value)
    b.set_X(i.Rt, value.trunc(t))
    if pair:
        b.set_X(i.Rt2, value.lshr(t.bits).trunc(t))


def store_exclusive(b: A64, i: Insn, *, bits: int = 0, pair: bool = False, ordered: bool) -> None:
    """STXR, STLXR, STXP, STLXP: Rs is 0 where the store was done, else 1."""
    t = _type(i, bits)
    new = _join(b.X(i.Rt, t), b.X(i.Rt2, t)) if pair else b.X(i.Rt, t)
    va, size = base(b, i), new.type.bytes
    monitored = b.ldenv(ENV.excl_addr, I64).eq(va) & b.ldenv(ENV.excl_size, I64).eq(size)

    def attempt() -> Value:
        expected = b.ldenv(ENV.excl_value, new.type)
        host = access.host_pointer(b, va, size)
        old = b.cmpxchg(host, expected, new)
        b.wrote(host, size)
        return old.ne(expected).zext(I64)

    status = b.cond(monitored, attempt, lambda: b.const(1))
    b.stenv(ENV.excl_addr, b.const(NO_ADDRESS))
    b.set_X(i.Rs, status)


def load_ordered(b: A64, i: Insn, *, bits: int = 0) -> None:
    """LDAR, LDLAR, LDAPR."""
    t = _type(i, bits)
    b.set_X(i.Rt, b.load(base(b, i), t, order="acquire", align=t.bytes))


def store_ordered(b: A64, i: Insn, *, bits: int = 0) -> None:
    """STLR, STLLR."""
    t = _type(i, bits)
    b.store(base(b, i), b.X(i.Rt, t), order="release", align=t.bytes)


SIZES = (("B", "00", 8), ("H", "01", 16), ("", "1 sz", 0))


def _rows(name: str, bits: str, lift: Any, **bound: Any) -> list[Row]:
    """The byte, halfword and register rows of an instruction."""
    return [row(name + letter, f"{size} {bits} Rn Rt", lift, bits=n, **bound) for letter, size, n in SIZES]


def _exclusive(name: str, load: int, ordered: int) -> list[Row]:
    lift = load_exclusive if load else store_exclusive
    status = "xxxxx" if load else "Rs"
    return [
        *_rows(f"{name}R", f"001000 0 {load} 0 {status} {ordered} xxxxx", lift, ordered=bool(ordered)),
        row(
            f"{name}P", f"1 sz 001000 0 {load} 1 {status} {ordered} Rt2 Rn Rt", lift, pair=True, ordered=bool(ordered)
        ),
    ]  # fmt: skip


ROWS = [
    *_exclusive("STX", 0, 0),
    *_exclusive("STLX", 0, 1),
    *_exclusive("LDX", 1, 0),
    *_exclusive("LDAX", 1, 1),
    *_rows("STLR", "001000 1 0 0 xxxxx 1 xxxxx", store_ordered),
    *_rows("LDAR", "001000 1 1 0 xxxxx 1 xxxxx", load_ordered),
    *_rows("STLLR", "001000 1 0 0 xxxxx 0 xxxxx", store_ordered, feature="FEAT_LOR"),
    *_rows("LDLAR", "001000 1 1 0 xxxxx 0 xxxxx", load_ordered, feature="FEAT_LOR"),
]
