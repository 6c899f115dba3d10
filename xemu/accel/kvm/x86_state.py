"""x86 registers by the names of targets/x86/registers.py, in KVM's structures (arch/x86/include/uapi/asm/kvm.h)."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from targets.x86.registers import DEBUG, MSRS, REGISTERS
from xemu.accel.kvm.api import Handle, Ioctl


@dataclass(frozen=True)
class _Block:
    """One structure: how it is read and written."""

    get: Ioctl
    set: Ioctl
    size: int


REGS = _Block(Ioctl.GET_REGS, Ioctl.SET_REGS, 144)
SREGS = _Block(Ioctl.GET_SREGS, Ioctl.SET_SREGS, 312)
DEBUGREGS = _Block(Ioctl.GET_DEBUGREGS, Ioctl.SET_DEBUGREGS, 128)
XSAVE = _Block(Ioctl.GET_XSAVE, Ioctl.SET_XSAVE, 4096)
XCRS = _Block(Ioctl.GET_XCRS, Ioctl.SET_XCRS, 392)
BLOCKS = (SREGS, REGS, DEBUGREGS, XSAVE, XCRS)
_XSTATE_BV = 512  # in XSAVE: which parts of it hold something (SDM volume 1, 13.4.2)
_X87_SSE = 3
APIC_BASE = 272  # in SREGS


@dataclass(frozen=True)
class _Field:
    block: _Block
    offset: int
    size: int


# In the order of the structures.
_GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", *(f"r{n}" for n in range(8, 16)), "rip", "rflags")
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr")
_CONTROL = ("cr0", "cr2", "cr3", "cr4", "cr8", "efer")


def _fields() -> dict[str, _Field]:
    found = {name: _Field(REGS, 8 * n, 8) for n, name in enumerate(_GENERAL)}
    for n, name in enumerate(_SEGMENTS):
        found[f"{name}_base"] = _Field(SREGS, 24 * n, 8)
        found[f"{name}_limit"] = _Field(SREGS, 24 * n + 8, 4)
        found[name] = _Field(SREGS, 24 * n + 12, 2)
        found[f"{name}_attr"] = _Field(SREGS, 24 * n + 14, 0)  # eight bytes of their own: see below
    for n, name in enumerate(("gdtr", "idtr")):
        found[f"{name}_base"] = _Field(SREGS, 192 + 16 * n, 8)
        found[f"{name}_limit"] = _Field(SREGS, 200 + 16 * n, 2)
    found |= {name: _Field(SREGS, 224 + 8 * n, 8) for n, name in enumerate(_CONTROL)}
    found |= {name: _Field(DEBUGREGS, 8 * n, 8) for n, name in enumerate(DEBUG)}
    found["xcr0"] = _Field(XCRS, 16, 8)
    for name, offset, size in (("fcw", 0, 2), ("fsw", 2, 2), ("ftw", 4, 1), ("mxcsr", 24, 4)):
        found[name] = _Field(XSAVE, offset, size)
    found |= {f"st{n}": _Field(XSAVE, 32 + 16 * n, 10) for n in range(8)}
    found |= {f"xmm{n}": _Field(XSAVE, 160 + 16 * n, 16) for n in range(16)}
    return found


_FIELDS = _fields()
assert _FIELDS.keys() | MSRS.keys() == REGISTERS.keys()

# struct kvm_segment from `type` on, with the place of each in an attribute word
_ATTR_BITS = (("type", 0, 15), ("present", 7, 1), ("dpl", 5, 3), ("db", 10, 1), ("s", 4, 1), ("l", 9, 1),
              ("g", 11, 1), ("avl", 8, 1))  # fmt: skip
_UNUSABLE = len(_ATTR_BITS)


def _attr_of(data: bytearray, offset: int) -> int:
    if data[offset + _UNUSABLE]:
        return 0
    return sum((data[offset + n] & mask) << shift for n, (_, shift, mask) in enumerate(_ATTR_BITS))


def _set_attr(data: bytearray, offset: int, attr: int) -> None:
    for n, (_, shift, mask) in enumerate(_ATTR_BITS):
        data[offset + n] = attr >> shift & mask
    data[offset + _UNUSABLE] = not attr & 1 << 7  # P


class State:
    """The registers of one vCPU."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def read(self, name: str) -> int:
        if name in MSRS:
            return read_msrs(self._handle, [MSRS[name].index])[MSRS[name].index]
        field = _FIELDS[name]
        data = self._handle.read(field.block.get, field.block.size)
        if name.endswith("_attr"):
            return _attr_of(data, field.offset)
        return int.from_bytes(data[field.offset : field.offset + field.size], "little")

    def write(self, values: Mapping[str, int], apic_base: int | None = None) -> None:
        """Set these registers, with one ioctl a structure.  apic_base: set as well; it is the platform's, not ours."""
        unknown = values.keys() - REGISTERS.keys()
        if unknown:
            raise KeyError(f"there is no register {min(unknown)}")
        blocks: dict[_Block, bytearray] = {}
        for name, value in values.items():
            if name in MSRS:
                continue
            field = _FIELDS[name]
            if field.block not in blocks:
                blocks[field.block] = self._handle.read(field.block.get, field.block.size)
            _put(blocks[field.block], field, name, value)
        if apic_base is not None and SREGS in blocks:
            struct.pack_into("<Q", blocks[SREGS], APIC_BASE, apic_base)
        for block, data in blocks.items():
            self._handle.call(block.set, data)
        write_msrs(self._handle, {MSRS[name].index: value for name, value in values.items() if name in MSRS})


def _put(data: bytearray, field: _Field, name: str, value: int) -> None:
    if name.endswith("_attr"):
        _set_attr(data, field.offset, value)
        return
    value &= (1 << REGISTERS[name].bits) - 1
    data[field.offset : field.offset + field.size] = value.to_bytes(field.size, "little")
    if field.block is XSAVE:
        data[_XSTATE_BV] |= _X87_SSE
    elif field.block is XCRS:
        struct.pack_into("<III", data, 0, 1, 0, 0)  # one register, no flags, number 0


# Model-specific registers: struct kvm_msrs is a count, padding, and entries of index, padding, value.
_MSR_BATCH = 64


def msr_indices(system: Handle) -> list[int]:
    """Those that are state of a vCPU on this host (4.3)."""
    room = 1024
    data = bytearray(4 + 4 * room)
    struct.pack_into("<I", data, 0, room)
    system.call(Ioctl.GET_MSR_INDEX_LIST, data)
    count = struct.unpack_from("<I", data)[0]
    return list(struct.unpack_from(f"<{count}I", data, 4))


def read_msrs(handle: Handle, indices: Iterable[int]) -> dict[int, int]:
    """Values of those that this vCPU has; KVM stops at the first that it has not, which is then left out."""
    rest = list(indices)
    found: dict[int, int] = {}
    while rest:
        batch = rest[:_MSR_BATCH]
        data = _msr_list([(index, 0) for index in batch])
        count = handle.call(Ioctl.GET_MSRS, data)
        for n in range(count):
            index, value = struct.unpack_from("<I4xQ", data, 8 + 16 * n)
            found[index] = value
        rest = rest[count + (count < len(batch)) :]
    return found


def write_msrs(handle: Handle, values: Mapping[int, int]) -> None:
    """The same for writing."""
    rest = list(values.items())
    while rest:
        batch = rest[:_MSR_BATCH]
        count = handle.call(Ioctl.SET_MSRS, _msr_list(batch))
        rest = rest[count + (count < len(batch)) :]


def _msr_list(entries: list[tuple[int, int]]) -> bytearray:
    return bytearray(struct.pack("<II", len(entries), 0) + b"".join(struct.pack("<I4xQ", *entry) for entry in entries))
