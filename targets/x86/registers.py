"""The registers of an x86-64 CPU as data: names, widths and values at power-on.

Values are those of the Intel SDM, volume 3, table 10-1 ("processor states following power-up, reset or INIT").  A
segment register is four: `cs` (the selector), `cs_base`, `cs_limit` and `cs_attr`, which holds the access bits as in
bytes 5 and 6 of a descriptor, closed up to 12 bits (AMD APM, volume 2, 15.5.1): type 3..0, S 4, DPL 6..5, P 7, AVL 8,
L 9, D/B 10, G 11.  `cs_limit` is in bytes whatever G says.
"""

from __future__ import annotations

from dataclasses import dataclass

GENERAL = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
"""In the order of their encoding."""
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
"""In the order of their encoding."""
SYSTEM_SEGMENTS = ("ldtr", "tr")
TABLES = ("gdtr", "idtr")
DEBUG = ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7")


class Attr:
    """Bits of `cs_attr` and its like."""

    ACCESSED, WRITABLE, CODE = 1, 2, 8
    S, P, AVL, L, DB, G = 1 << 4, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11
    DPL3 = 3 << 5
    DATA16 = P | S | WRITABLE | ACCESSED
    CODE16 = DATA16 | CODE
    DATA32 = DATA16 | DB | G
    CODE32 = CODE16 | DB | G
    CODE64 = CODE16 | L | G
    LDT = P | 2
    TSS = P | 11  # busy, of 32 or 64 bits


@dataclass(frozen=True, slots=True)
class Msr:
    """A model-specific register that is part of the state; `efer` and the bases of fs and gs are registers of their own
    right here."""

    index: int
    reset: int = 0


MSRS: dict[str, Msr] = {
    "tsc": Msr(0x10),
    "sysenter_cs": Msr(0x174),
    "sysenter_esp": Msr(0x175),
    "sysenter_eip": Msr(0x176),
    "misc_enable": Msr(0x1A0, 1),  # fast strings
    "pat": Msr(0x277, 0x0007_0406_0007_0406),
    "tsc_deadline": Msr(0x6E0),
    "star": Msr(0xC000_0081),
    "lstar": Msr(0xC000_0082),
    "cstar": Msr(0xC000_0083),
    "fmask": Msr(0xC000_0084),
    "kernel_gs_base": Msr(0xC000_0102),
    "tsc_aux": Msr(0xC000_0103),
}


@dataclass(frozen=True, slots=True)
class Register:
    bits: int
    reset: int = 0


def _segments() -> dict[str, Register]:
    found: dict[str, Register] = {}
    for name in SEGMENTS + SYSTEM_SEGMENTS:
        attr = {"cs": Attr.CODE16, "ldtr": Attr.LDT, "tr": Attr.TSS}.get(name, Attr.DATA16)
        found[name] = Register(16, 0xF000 if name == "cs" else 0)
        found[f"{name}_base"] = Register(64, 0xFFFF_0000 if name == "cs" else 0)
        found[f"{name}_limit"] = Register(32, 0xFFFF)
        found[f"{name}_attr"] = Register(12, attr)
    for name in TABLES:
        found[f"{name}_base"] = Register(64)
        found[f"{name}_limit"] = Register(16, 0xFFFF)
    return found


REGISTERS: dict[str, Register] = {
    **{name: Register(64) for name in GENERAL},
    "rip": Register(64, 0xFFF0),
    "rflags": Register(64, 2),
    **_segments(),
    "cr0": Register(64, 0x6000_0010),
    "cr2": Register(64),
    "cr3": Register(64),
    "cr4": Register(64),
    "cr8": Register(4),
    "efer": Register(64),
    "xcr0": Register(64, 1),
    **{name: Register(64, {"dr6": 0xFFFF_0FF0, "dr7": 0x400}.get(name, 0)) for name in DEBUG},
    # x87 and SSE. ftw: one bit a register, 1 where it is in use, as FXSAVE stores it
    "fcw": Register(16, 0x40),
    "fsw": Register(16),
    "ftw": Register(8),
    "mxcsr": Register(32, 0x1F80),
    **{f"st{n}": Register(80) for n in range(8)},
    **{f"xmm{n}": Register(128) for n in range(16)},
    **{name: Register(64, msr.reset) for name, msr in MSRS.items()},
}
