"""Guest memory accesses in IR: the inline soft-TLB probe, and the call to the slow path behind it.

A TLB entry is 32 bytes: tag for reads, tag for writes, host address minus guest address, and a spare word.  A tag is a
page's virtual address, or all ones.  The page of the access's *last* byte is compared with the entry of its first
byte's page, so a misaligned access is fast and only one that crosses a page is not.
"""

from __future__ import annotations

from jit.ir import Builder, Value
from jit.types import I32, I64, PTR, Type
from targets.arm.env import ENV

TLB_BITS = 10
ENTRY_BITS = 5
PAGE_MASK = -4096
TAG_READ, TAG_WRITE, ADDEND = 0, 8, 16

# The descriptor that slow paths get: size in bytes, then flags
UNPRIV, ALIGNED, WRITE = 1 << 8, 1 << 9, 1 << 10


def _probe(b: Builder, va: Value, size: int, tag: int, unpriv: bool) -> tuple[Value, Value]:
    """(hit, entry) of the soft TLB."""
    tlb = b.ldenv(ENV.tlb_unpriv if unpriv else ENV.tlb, PTR)
    index = va.lshr(12 - ENTRY_BITS) & (((1 << TLB_BITS) - 1) << ENTRY_BITS)
    entry = b.ptradd(tlb, index)
    page = (va + (size - 1) if size > 1 else va) & PAGE_MASK
    return b.ld(b.ptradd(entry, tag), I64).eq(page), entry


def _host(b: Builder, entry: Value, va: Value) -> Value:
    return b.ptradd(b.ld(b.ptradd(entry, ADDEND), PTR), va)


def _note_pc(b: Builder) -> None:
    """Where the instruction is, for a slow path that may fault."""
    b.stenv(ENV.pc_off, b.hole("PC", 0, 4092, I32))


def _descriptor(size: int, unpriv: bool, align: int) -> int:
    return size | (UNPRIV if unpriv else 0) | (ALIGNED if align > 1 else 0)


def _aligned(va: Value, align: int, hit: Value) -> Value:
    return hit & (va & (align - 1)).eq(0) if align > 1 else hit


def load(b: Builder, va: Value, type: Type, *, unpriv: bool, order: str, align: int) -> Value:
    size = type.bytes
    hit, entry = _probe(b, va, size, TAG_READ, unpriv)

    def fast() -> Value:
        return b.ld(_host(b, entry, va), type, order)

    def slow() -> Value:
        _note_pc(b)
        status = b.call("slow_load", va, b.const(_descriptor(size, unpriv, align)), type=I64)
        b.leave_if(status.ne(0), "data_fault")
        return b.ldenv(ENV.scratch, type)

    return b.cond(_aligned(va, align, hit), fast, slow, likely=True)


def store(b: Builder, va: Value, value: Value, *, unpriv: bool, order: str, align: int) -> None:
    size = value.type.bytes
    hit, entry = _probe(b, va, size, TAG_WRITE, unpriv)

    def fast() -> None:
        b.st(_host(b, entry, va), value, order)

    def slow() -> None:
        _note_pc(b)
        b.stenv(ENV.scratch, value)
        status = b.call("slow_store", va, b.const(_descriptor(size, unpriv, align) | WRITE), type=I64)
        b.leave_if(status.ne(0), "data_fault")

    b.cond(_aligned(va, align, hit), fast, slow, likely=True)


def host_pointer(b: Builder, va: Value, size: int) -> Value:
    hit, entry = _probe(b, va, size, TAG_WRITE, False)

    def fast() -> Value:
        return _host(b, entry, va)

    def slow() -> Value:
        _note_pc(b)
        status = b.call("slow_probe", va, b.const(size | ALIGNED | WRITE), type=I64)
        b.leave_if(status.ne(0), "data_fault")
        return b.ldenv(ENV.scratch, PTR)

    return b.cond(_aligned(va, size, hit), fast, slow, likely=True)
