"""Compares identification registers: xemu claims what it implements, which is not always what QEMU claims.

Everything must be equal but for the fields in FIELDS, and, for `max`, whose features are each emulator's own choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ALLOWED_MAX_DIFFERENT = ("midr_el1", "ctr_el0", "dczid_el0", "clidr_el1", "ccsidr_el1")


@dataclass(frozen=True)
class Field:
    register: str
    high: int
    low: int
    allowed: Callable[[int, int], bool]  # of QEMU's value and xemu's
    why: str


def _is(value: int) -> Callable[[int, int], bool]:
    return lambda qemu, xemu: xemu == value


def _zero_or_same(qemu: int, xemu: int) -> bool:
    return xemu in (0, qemu)


AARCH32 = (
    *("id_pfr0_el1", "id_pfr1_el1", "id_dfr0_el1", "id_afr0_el1", "id_mmfr0_el1", "id_mmfr1_el1", "id_mmfr2_el1"),
    *("id_mmfr3_el1", "id_isar0_el1", "id_isar1_el1", "id_isar2_el1", "id_isar3_el1", "id_isar4_el1", "id_isar5_el1"),
    *("mvfr0_el1", "mvfr1_el1", "mvfr2_el1"),
)

FIELDS = (
    Field("id_aa64pfr0_el1", 3, 0, _is(1), "EL0 has no AArch32"),
    Field("id_aa64pfr0_el1", 7, 4, _is(1), "EL1 has no AArch32"),
    Field("id_aa64pfr0_el1", 11, 8, _zero_or_same, "EL2 comes later"),
    Field("id_aa64pfr0_el1", 15, 12, _zero_or_same, "EL3 comes later"),
    Field("id_aa64dfr0_el1", 11, 8, _zero_or_same, "no performance counters"),
    Field("id_aa64mmfr0_el1", 11, 8, _zero_or_same, "no big-endian data"),
    Field("id_aa64mmfr0_el1", 15, 12, _zero_or_same, "no Secure state to tell memory of"),
    *(Field(name, 63, 0, lambda qemu, xemu: True, "unknown where there is no AArch32") for name in AARCH32),
)


def parse(output: str) -> dict[str, int]:
    lines = [line.partition("=") for line in output.splitlines() if "=" in line]
    return {name: int(value, 16) for name, _, value in lines}


def _field(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def _differences_of(name: str, qemu: int, xemu: int) -> list[str]:
    found = []
    for field in FIELDS:
        if field.register == name:
            theirs, ours = (_field(value, field.high, field.low) for value in (qemu, xemu))
            if not field.allowed(theirs, ours):
                found.append(f"{name}[{field.high}:{field.low}] = {ours:#x}, QEMU {theirs:#x}, {field.why}")
            mask = (1 << field.high - field.low + 1) - 1 << field.low
            qemu, xemu = qemu & ~mask, xemu & ~mask
    if qemu != xemu:
        found.append(f"{name} = {xemu:#x}, should be {qemu:#x} (in the bits that must be equal)")
    return found


def _differences_of_max(name: str, qemu: int, xemu: int) -> list[str]:
    """Features are unsigned fields of four bits: none may be above QEMU's, so that the oracle can follow."""
    if name.startswith(ALLOWED_MAX_DIFFERENT) or name in AARCH32:
        return []
    if not name.startswith("id_aa64"):
        return [] if qemu == xemu else [f"{name} = {xemu:#x}, QEMU {qemu:#x}"]
    signed = {"id_aa64pfr0_el1": (16, 20), "id_aa64mmfr0_el1": (24, 28), "id_aa64dfr0_el1": (8,)}.get(name, ())
    found = []
    for low in range(0, 64, 4):
        theirs, ours = (_field(value, low + 3, low) for value in (qemu, xemu))
        if low in signed:
            theirs, ours = theirs + 1 & 15, ours + 1 & 15
        if ours > theirs:
            found.append(f"{name}[{low + 3}:{low}] claims {ours:#x}, more than QEMU's {theirs:#x}")
    return found


def differences(cpu: str, qemu: str, xemu: str) -> list[str]:
    wanted, got = parse(qemu), parse(xemu)
    found = [f"{name} is not printed" for name in wanted.keys() - got.keys()]
    compare = _differences_of_max if cpu == "max" else _differences_of
    for name in (name for name in wanted if name in got):
        found += compare(name, wanted[name], got[name])
    return found
