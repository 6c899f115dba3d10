"""The GIC's CPU interface as system registers, ICC_* (Arm IHI 0069, chapter 12): what reading and writing them does.

One Security state, no EL2: the registers are the Non-secure ones, group 0 is signalled as FIQ, group 1 as IRQ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from jit.ir import Value
from jit.types import I64, I128
from targets.arm import gic
from targets.arm.gic_state import CBPR, EOI_MODE, LEVEL_SHIFT, SPURIOUS
from targets.arm.state import flag, get, put
from targets.arm.sysreg_effects import A64, Read, Write, ignore, look_behind, read_constant

RowT = TypeVar("RowT")

PRIORITY_MASK = 0xFF >> LEVEL_SHIFT << LEVEL_SHIFT
BPR0_LEAST, BPR1_LEAST, BPR_MOST = 2, 3, 7
CTLR_FIXED = 1 << 15 | 1 << 11 | 4 << 8  # A3V; 24 bits of INTID; PRIbits less one
CTLR_MASK = CBPR | EOI_MODE
SRE = 7  # system registers only, and neither IRQs nor FIQs pass by the GIC


def _changed(b: A64) -> None:
    """Something that decides about interrupts was written: what they do comes behind this instruction."""
    b.call("gic_update", type=I64)
    look_behind(b)


def read_iar(group: int) -> Read:
    return lambda b: b.call("gic_acknowledge", b.const(group), type=I64)


def write_eoir(group: int) -> Write:
    def write(b: A64, value: Value) -> None:
        b.call("gic_end", value, b.const(group))
        look_behind(b)

    return write


def write_dir(b: A64, value: Value) -> None:
    def deactivate() -> None:
        b.call("gic_deactivate", value & 0xFF_FFFF)
        b.call("gic_update", type=I64)

    b.when((get(b, "icc_ctlr") & EOI_MODE).ne(0), deactivate)
    look_behind(b)


def read_hppir(group: int) -> Read:
    def read(b: A64) -> Value:
        best = b.call("gic_best", type=I64)
        return b.select((best & 1).eq(group), best.lshr(gic.INTID_SHIFT) & 0xFFFF, SPURIOUS)

    return read


def read_rpr(b: A64) -> Value:
    return gic.running_priority(b).umin(0xFF)


def write_pmr(b: A64, value: Value) -> None:
    put(b, "icc_pmr", value & PRIORITY_MASK)
    _changed(b)


def write_bpr0(b: A64, value: Value) -> None:
    put(b, "icc_bpr0", (value & 7).umax(BPR0_LEAST))
    _changed(b)


def read_bpr1(b: A64) -> Value:
    shared = (get(b, "icc_bpr0") + 1).umin(BPR_MOST)
    return b.select(_binary_point_shared(b), shared, get(b, "icc_bpr1"))


def write_bpr1(b: A64, value: Value) -> None:
    """Without effect while it shows group 0's."""
    put(b, "icc_bpr1", b.select(_binary_point_shared(b), get(b, "icc_bpr1"), (value & 7).umax(BPR1_LEAST)))
    _changed(b)


def _binary_point_shared(b: A64) -> Value:
    return (get(b, "icc_ctlr") & CBPR).ne(0)


def read_ctlr(b: A64) -> Value:
    return get(b, "icc_ctlr") | CTLR_FIXED


def write_ctlr(b: A64, value: Value) -> None:
    put(b, "icc_ctlr", value & CTLR_MASK)
    _changed(b)


def read_groups(bit: int) -> Read:
    """ICC_IGRPEN<n>_EL1: bit n of icc_groups."""
    return lambda b: flag(b, get(b, "icc_groups").bit(bit))


def write_groups(bit: int) -> Write:
    def write(b: A64, value: Value) -> None:
        put(b, "icc_groups", (get(b, "icc_groups") & ~(1 << bit)) | (value & 1) << bit)
        _changed(b)

    return write


def read_active(group: int) -> Read:
    return lambda b: get(b, "icc_apr", group).trunc(I64)


def write_active(group: int) -> Write:
    def write(b: A64, value: Value) -> None:
        put(b, "icc_apr", (value & 0xFFFF_FFFF).zext(I128), group)
        _changed(b)

    return write


def write_sgi(group: int) -> Write:
    def write(b: A64, value: Value) -> None:
        b.call("gic_send_sgi", value, b.const(group))
        look_behind(b)

    return write


def rows(make: Callable[..., RowT]) -> list[RowT]:
    """The rows of the table; make: as in sysregs.py, name and encoding first."""

    def icc(name: str, crm: int, op2: int, **more: object) -> RowT:
        return make(f"ICC_{name}_EL1", 3, 0, 12, crm, op2, feature="FEAT_GICv3", **more)

    return [
        make("ICC_PMR_EL1", 3, 0, 4, 6, 0, "icc_pmr", write=write_pmr, feature="FEAT_GICv3"),
        icc("IAR0", 8, 0, read=read_iar(0), access="RO"),
        icc("EOIR0", 8, 1, write=write_eoir(0), access="WO"),
        icc("HPPIR0", 8, 2, read=read_hppir(0), access="RO"),
        icc("BPR0", 8, 3, field="icc_bpr0", write=write_bpr0),
        icc("AP0R0", 8, 4, read=read_active(0), write=write_active(0)),
        icc("AP1R0", 9, 0, read=read_active(1), write=write_active(1)),
        icc("DIR", 11, 1, write=write_dir, access="WO"),
        icc("RPR", 11, 3, read=read_rpr, access="RO"),
        icc("SGI1R", 11, 5, write=write_sgi(1), access="WO"),
        icc("ASGI1R", 11, 6, write=ignore, access="WO"),  # there is no other Security state
        icc("SGI0R", 11, 7, write=write_sgi(0), access="WO"),
        icc("IAR1", 12, 0, read=read_iar(1), access="RO"),
        icc("EOIR1", 12, 1, write=write_eoir(1), access="WO"),
        icc("HPPIR1", 12, 2, read=read_hppir(1), access="RO"),
        icc("BPR1", 12, 3, field="icc_bpr1", read=read_bpr1, write=write_bpr1),
        icc("CTLR", 12, 4, field="icc_ctlr", read=read_ctlr, write=write_ctlr),
        icc("SRE", 12, 5, read=read_constant(SRE), write=ignore),
        icc("IGRPEN0", 12, 6, field="icc_groups", read=read_groups(0), write=write_groups(0)),
        icc("IGRPEN1", 12, 7, read=read_groups(1), write=write_groups(1)),
    ]
