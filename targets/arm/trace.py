"""What CPUs tell the debug log: exceptions, the MMU's doings, and what is not implemented.

Native code reports through callback `event`, and only while env.trace has the bit: otherwise it costs a test on a path
that is slow anyway.  What does not fit into the event's value is in env.trace_more.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from jit.ir import Builder, Value
from jit.types import I64
from targets.arm import walk as w
from targets.arm.exits import Event
from targets.arm.state import get, guarded_callback, put

if TYPE_CHECKING:
    from targets.arm.cpu import ArmCpu

# Bits of env.trace
EXCEPTIONS, MMU, UNIMPLEMENTED = 1, 2, 4


class Mmu(IntEnum):
    """What Event.MMU tells of; behind it env.trace_more."""

    DATA = 0  # data TLB entry: address, walk result
    FETCH = 1  # exec TLB entry: the same
    FAULT = 2  # a translation or access failed: address, syndrome
    ALL = 3  # everything is dropped
    ASID = 4  # one address space: ASID
    PAGE = 5  # one page of an address space: address, ASID
    PAGE_OF_ALL = 6  # one page of all address spaces: address
    SLOT = 7  # the tables of a slot, for another address space: slot, its new key


def report(b: Builder, bit: int, kind: Event, value: Value | int, *more: Value | int) -> None:
    """Tell the log, where it wants to know."""

    def tell() -> None:
        for k, extra in enumerate(more):
            put(b, "trace_more", extra, k)
        guarded_callback(b, "event", b.env(), b.const(kind), b.coerce(value, I64))

    b.when((get(b, "trace") & bit).ne(0), tell, likely=False)


def report_mmu(b: Builder, what: Mmu, *more: Value | int) -> None:
    report(b, MMU, Event.MMU, what, *more)


# -- texts ------------------------------------------------------------------------------------------------------------
_STATUS = {
    w.ADDRESS_SIZE: "address size fault",
    w.TRANSLATION: "translation fault",
    w.ACCESS_FLAG: "access flag fault",
    w.PERMISSION: "permission fault",
    w.EXTERNAL_ON_WALK: "external abort on the walk",
}
_STATUS_ALONE = {
    w.EXTERNAL: "external abort",
    w.ALIGNMENT: "alignment fault",
    w.UNSUPPORTED_ATOMIC: "unsupported exclusive or atomic access",
    0x22: "watchpoint",
}
_SIZES = ("", "KiB", "MiB", "GiB")


def describe(cpu: ArmCpu, kind: int, value: int) -> tuple[str, str] | None:
    """(log item, text) of an event; None where it was told before."""
    make = _TEXTS.get(kind)
    text = make[1](cpu, value) if make else None
    return (make[0], f"CPU {cpu.index}: {text}") if make and text else None


def _exception(cpu: ArmCpu, offset: int) -> str:
    kind = {0: "synchronous", 0x80: "IRQ", 0x100: "FIQ", 0x180: "SError"}[offset & 0x180]
    text = f"{kind} exception to EL1, return to {cpu.get('elr_el1'):#x}, SPSR {cpu.get('spsr_el1'):#x}"
    if kind == "synchronous":
        esr = cpu.get("esr_el1")
        text += f", ESR {esr:#x} (EC {esr >> 26:#x}), FAR {cpu.get('far_el1'):#x}"
    return text


def _mmu(cpu: ArmCpu, what: int) -> str:
    first, second = (cpu.get("trace_more", k) for k in (0, 1))
    if what in (Mmu.DATA, Mmu.FETCH):
        name = "data" if what == Mmu.DATA else "exec"
        return f"{name} TLB entry: {first:#x} -> {_translation(cpu, first, second)}"
    if what == Mmu.FAULT:
        return f"fault at {first:#x}: {_fault(cpu, second)}"
    if what == Mmu.SLOT:
        owner = f"ASID {second & 0xFFFF}" if second & 1 << 16 and not second & 1 << 17 else "the MMU being off"
        return f"TLB slot {first} emptied for {owner}"
    return (
        "TLB flush: "
        + {
            Mmu.ALL: "everything",
            Mmu.ASID: f"ASID {first}",
            Mmu.PAGE: f"page {first:#x} of ASID {second}",
            Mmu.PAGE_OF_ALL: f"page {first:#x} of all ASIDs",
        }[Mmu(what)]
    )


def _translation(cpu: ArmCpu, va: int, walked: int) -> str:
    """A walk result in words (see targets/arm/walk.py)."""
    text = f"{walked & w.PA_MASK | va & 0xFFF:#x}"
    if not cpu.get("sctlr_el1") >> w.SCTLR_M & 1:
        return f"{text}, MMU off"
    bits = 12 + (walked >> w.SIZE_SHIFT & 31)
    text += f", {1 << bits % 10} {_SIZES[bits // 10]} at level {walked >> w.LEVEL_SHIFT & 3}"
    rights = ((w.READ_EL0, w.WRITE_EL0, w.EXEC_EL0), (w.READ_EL1, w.WRITE_EL1, w.EXEC_EL1))
    for el, bits_of in enumerate(rights):
        text += f", EL{el} " + "".join(c if walked & bit else "-" for c, bit in zip("rwx", bits_of, strict=True))
    text += f", {'Device' if walked & w.DEVICE else 'Normal'} {walked >> w.ATTR_SHIFT & 0xFF:#04x}"
    return text + (", not global" if walked & w.NOT_GLOBAL else ", global")


def _fault(cpu: ArmCpu, esr: int) -> str:
    ec, status = esr >> 26, esr & 0x3F
    if ec == 0x22:
        return f"misaligned pc, EL{cpu.get('el')}"
    access = "fetch" if ec >> 1 == 0x20 >> 1 else "write" if esr & 1 << 6 else "read"
    kind = _STATUS_ALONE.get(status) or f"{_STATUS.get(status & ~3, f'status {status:#x}')} at level {status & 3}"
    return f"{kind}, {access}, EL{cpu.get('el')}"


def _once(cpu: ArmCpu, kind: int, value: int) -> bool:
    told = (kind, value)
    if told in cpu.system.told:
        return False
    cpu.system.told.add(told)
    return True


def _where(cpu: ArmCpu) -> str:
    return f"pc {cpu.get('pc_base') + cpu.get('pc_off'):#x}"


def _undefined(cpu: ArmCpu, word: int) -> str | None:
    if not _once(cpu, Event.UNDEFINED, word):
        return None
    front = cpu.system.frontend
    feature = front.missing_feature(word)
    why = f"needs {feature}, which {cpu.model.name} lacks" if feature else "undefined"
    return f"{_where(cpu)}: {word:08x} {front.disassemble(word, 0)}: {why}"


def _unknown_register(cpu: ArmCpu, iss: int) -> str | None:
    """An unknown system register access from the ISS of exception class 0x18."""
    if not _once(cpu, Event.UNKNOWN_REGISTER, iss & ~(31 << 5)):
        return None
    name = f"S{iss >> 20 & 3}_{iss >> 14 & 7}_C{iss >> 10 & 15}_C{iss >> 1 & 15}_{iss >> 17 & 7}"
    return f"{_where(cpu)}: {'MRS' if iss & 1 else 'MSR'} of {name}, which is not implemented"


_TEXTS: dict[int, tuple[str, Callable[[ArmCpu, int], str | None]]] = {
    Event.EXCEPTION: ("int", _exception),
    Event.MMU: ("mmu", _mmu),
    Event.UNDEFINED: ("unimp", _undefined),
    Event.UNKNOWN_REGISTER: ("unimp", _unknown_register),
}
