"""Guest memory accesses in IR: the inline soft-TLB probe, and the call to the slow path behind it.

A TLB entry is 32 bytes: tag for reads, tag for writes, host address minus guest address, and a spare word.  A tag is a
page's virtual address, or all ones.  The page of the access's *last* byte is compared with the entry of its first
byte's page, so a misaligned access is fast and only one that crosses a page is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jit.ir import Builder, Function, Value
from jit.types import I32, I64, I128, PTR, Type
from targets.arm.env import ENV

if TYPE_CHECKING:
    from targets.arm.a64.lift import A64

TLB_BITS = 10
ENTRY_BITS = 5
PAGE_MASK = -4096
TAG_READ, TAG_WRITE, ADDEND = 0, 8, 16

# The descriptor that slow paths get: size of an element in bytes, flags, and for `*_elements` their number.
# READ_TOO: a read-modify-write, whose faults are a read's where reading faults
UNPRIV, ALIGNED, WRITE, ATOMIC, READ_TOO = 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12
COUNT_SHIFT = 16


def _probe(b: Builder, va: Value, size: int, tag: int, unpriv: bool, align: int = 1) -> tuple[Value, Value]:
    """(hit, entry) of the soft TLB.  An access that must be aligned misses where it isn't: a tag has no low bits."""
    tlb = b.ldenv(ENV.tlb_unpriv if unpriv else ENV.tlb, PTR)
    index = va.lshr(12 - ENTRY_BITS) & (((1 << TLB_BITS) - 1) << ENTRY_BITS)
    entry = b.ptradd(tlb, index)
    if align > 1:
        if align != size:
            raise ValueError(f"alignment {align} of a {size}-byte access")
        page = va & (PAGE_MASK | (align - 1))
    else:
        page = (va + (size - 1) if size > 1 else va) & PAGE_MASK
    return b.ld(b.ptradd(entry, tag), I64).eq(page), entry


def _note_pc(b: Builder) -> None:
    """Where the instruction is, for a slow path that may fault."""
    b.stenv(ENV.pc_off, b.hole("PC", 0, 4092, I32))


def _descriptor(size: int, unpriv: bool, align: int) -> int:
    return size | (UNPRIV if unpriv else 0) | (ALIGNED if align > 1 else 0)


@dataclass(frozen=True)
class _Probe:
    """An access to look up: `tag` is the one that it needs."""

    va: Value
    size: int
    tag: int
    unpriv: bool = False
    align: int = 1

    def either(self, b: A64, fast: Callable[[Value], Any], slow: Callable[[], Any]) -> Any:
        """`fast` with the host's address where the TLB has it, else `slow`."""

        def probe() -> tuple[Value, Callable[[], Any]]:
            hit, entry = _probe(b, self.va, self.size, self.tag, self.unpriv, self.align)
            return hit, lambda: fast(b.ptradd(b.ld(b.ptradd(entry, ADDEND), PTR), self.va))

        return b.either(probe, slow)


def _slow_call(b: Builder, name: str, va: Value, desc: Value | int) -> None:
    """Call a slow path, which may fault."""
    _note_pc(b)
    status = b.call(name, va, b.coerce(desc, I64), type=I64)
    b.leave_if(status.ne(0), "data_fault")


def load(b: A64, va: Value, type: Type, *, unpriv: bool, order: str, align: int) -> Value:
    def slow() -> Value:
        _slow_call(b, "slow_load", va, _descriptor(type.bytes, unpriv, align))
        return b.ldenv(ENV.scratch, type)

    return _Probe(va, type.bytes, TAG_READ, unpriv, align).either(b, lambda host: b.ld(host, type, order), slow)


def store(b: A64, va: Value, value: Value, *, unpriv: bool, order: str, align: int) -> None:
    size = value.type.bytes

    def slow() -> None:
        b.stenv(ENV.scratch, value)
        _slow_call(b, "slow_store", va, _descriptor(size, unpriv, align) | WRITE)

    _Probe(va, size, TAG_WRITE, unpriv, align).either(b, lambda host: b.st(host, value, order), slow)


def host_pointer(b: A64, va: Value, size: int, *, atomic: bool = True, read_too: bool = False) -> Value:
    """Where to write: for atomics (read_too: they fault as reads where reading faults), or the block of DC ZVA."""

    def slow() -> Value:
        flags = (ATOMIC if atomic else 0) | (READ_TOO if read_too else 0)
        _slow_call(b, "slow_probe", va, size | ALIGNED | WRITE | flags)
        return b.ldenv(ENV.scratch, PTR)

    return _Probe(va, size, TAG_WRITE, False, size).either(b, lambda host: host, slow)


def elements(size: int, count: int) -> int:
    """The descriptor of `count` elements of `size` bytes one behind the other."""
    return size | count << COUNT_SHIFT


def _offsets(types: Sequence[Type]) -> list[int]:
    """Where each of the types begins when they lie one behind the other, and the total."""
    out = [0]
    for t in types:
        out.append(out[-1] + t.bytes)
    return out


def load_elements(b: A64, va: Value, types: Sequence[Type], desc: Value, *, unpriv: bool = False) -> list[Value]:
    """Several values from consecutive memory with one probe.

    desc: what the memory is made of in the manual's sense (see `elements`): on the slow path, each of those elements is
    an access of its own, in order, with its own alignment and its own fault.
    """
    *offsets, total = _offsets(types)

    def fast(host: Value) -> list[Value]:
        return [b.ld(b.ptradd(host, at), t) for t, at in zip(types, offsets, strict=True)]

    def slow() -> list[Value]:
        _slow_call(b, "load_elements", va, desc)
        return [b.ldenv(ENV.elements + at, t) for t, at in zip(types, offsets, strict=True)]

    out = _Probe(va, total, TAG_READ, unpriv).either(b, fast, slow)
    return [out] if isinstance(out, Value) else out


def store_elements(b: A64, va: Value, values: Sequence[Value], desc: Value, *, unpriv: bool = False) -> None:
    """Several values to consecutive memory with one probe; `desc` as for `load_elements`."""
    *offsets, total = _offsets([v.type for v in values])

    def fast(host: Value) -> None:
        for value, at in zip(values, offsets, strict=True):
            b.st(b.ptradd(host, at), value)

    def slow() -> None:
        for value, at in zip(values, offsets, strict=True):
            b.stenv(ENV.elements + at, value)
        _slow_call(b, "store_elements", va, desc | WRITE)

    _Probe(va, total, TAG_WRITE, unpriv).either(b, fast, slow)


def _each(name: str, step: Callable[[Builder, Value, Value, Value], Value]) -> Function:
    """A runtime function (va, desc) -> status that does `step` for each element up to the first fault."""
    b = Builder(name, ret=I64, args=(I64, I64))
    va, desc = b.args
    size, count = desc & 0xFF, desc.lshr(COUNT_SHIFT) & 0xFF
    one, total = desc & ((1 << COUNT_SHIFT) - 1), size * count

    def body(offset: Value, _status: Value) -> tuple[Value, tuple[Value, Value]]:
        status = step(b, va + offset, one, b.ptradd(b.env(), offset + ENV.elements))
        return status.eq(0) & (offset + size).ult(total), (offset + size, status)

    _, status = b.loop((b.const(0), b.const(0)), body)
    b.ret(status)
    return b.function


def _load_one(b: Builder, va: Value, desc: Value, place: Value) -> Value:
    status = b.call("slow_load", va, desc, type=I64)
    b.st(place, b.ldenv(ENV.scratch, I128))  # the next one goes over what is too much of it
    return status


def _store_one(b: Builder, va: Value, desc: Value, place: Value) -> Value:
    b.stenv(ENV.scratch, b.ld(place, I128))
    return b.call("slow_store", va, desc, type=I64)


def functions() -> list[Function]:
    """The runtime functions that stencils reach here."""
    return [_each("load_elements", _load_one), _each("store_elements", _store_one)]
