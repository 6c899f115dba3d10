"""AArch64 registers by their names, as KVM numbers them for KVM_GET_ONE_REG (4.68)."""

import struct
from functools import cache

from xemu.accel.kvm.api import Handle, Ioctl, address_of

_ARM64 = 0x6 << 60
_SIZES = {4: 0x2 << 52, 8: 0x3 << 52, 16: 0x4 << 52}
_CORE, _SYSREG = 0x10 << 16, 0x13 << 16
# struct kvm_regs in units of 4 bytes
_CORE_AT = {"sp": 62, "pc": 64, "pstate": 66} | {f"x{n}": 2 * n for n in range(31)}
_V0, _FPSR, _FPCR = 84, 212, 213
# The core structure has these too, and KVM takes them by no other name.
_BANKED = {"sp_el1": 68, "elr_el1": 70, "spsr_el1": 72}
# KVM swaps the numbers of these two (in its uapi header it says so, and that it is too late to change).
_SWAPPED = {"cntv_cval_el0": (3, 3, 14, 0, 2), "cntvct_el0": (3, 3, 14, 3, 2)}


@cache
def _number(name: str) -> tuple[int, int]:
    """(id, bytes) of a register; KeyError where there is none of that name."""
    if name in _CORE_AT | _BANKED:
        return _ARM64 | _SIZES[8] | _CORE | (_CORE_AT | _BANKED)[name], 8
    if name in ("fpsr", "fpcr"):
        return _ARM64 | _SIZES[4] | _CORE | (_FPSR if name == "fpsr" else _FPCR), 4
    if name[:1] == "v" and name[1:].isdecimal() and int(name[1:]) < 32:
        return _ARM64 | _SIZES[16] | _CORE | _V0 + 4 * int(name[1:]), 16
    op0, op1, crn, crm, op2 = _SWAPPED[name] if name in _SWAPPED else _encoding(name)
    return _ARM64 | _SIZES[8] | _SYSREG | op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2, 8


def _encoding(name: str) -> tuple[int, int, int, int, int]:
    # Only here: a debugger asks for system registers, a run does not.
    from targets.arm.sysregs import BY_NAME

    row = BY_NAME[name]
    return row.op0, row.op1, row.crn, row.crm, row.op2


def read(vcpu: Handle, name: str) -> int:
    number, size = _number(name.lower())
    data = bytearray(size)
    vcpu.call(Ioctl.GET_ONE_REG, bytearray(struct.pack("<QQ", number, address_of(data))))
    return int.from_bytes(data, "little")


def write(vcpu: Handle, name: str, value: int) -> None:
    number, size = _number(name.lower())
    data = bytearray((value & (1 << 8 * size) - 1).to_bytes(size, "little"))
    vcpu.call(Ioctl.SET_ONE_REG, bytearray(struct.pack("<QQ", number, address_of(data))))
