"""The x86 CPU models as data: who made them, what they can.  Names and contents are QEMU's.

Left out of them is what no guest here can have: virtualization of its own (svm, vmx, npt), and `monitor`.
"""

from __future__ import annotations

from dataclasses import dataclass

INTEL, AMD = "GenuineIntel", "AuthenticAMD"


@dataclass(frozen=True, slots=True)
class Model:
    """level, xlevel: the highest basic and extended leaf of CPUID."""

    name: str
    vendor: str
    family: int
    model: int
    stepping: int
    level: int
    xlevel: int
    brand: str
    features: frozenset[str]

    @property
    def signature(self) -> int:
        """CPUID leaf 1 EAX."""
        base, extended = (self.family, 0) if self.family < 15 else (15, self.family - 15)
        return extended << 20 | self.model >> 4 << 16 | base << 8 | (self.model & 15) << 4 | self.stepping


def _words(text: str, *more: frozenset[str]) -> frozenset[str]:
    return frozenset(text.split()).union(*more)


_BASE = _words(
    "apic clflush cmov cx16 cx8 de fpu fxsr hypervisor lm mca mce mmx msr mtrr nx pae pat pge pni pse pse36 sep sse "
    "sse2 syscall tsc"
)
_V2 = _words("lahf-lm popcnt sse4.1 sse4.2 ssse3", _BASE)
_HASWELL = _words(
    "abm aes arat avx avx2 bmi1 bmi2 erms f16c fma fsgsbase invpcid movbe pcid pclmulqdq rdrand rdtscp smep spec-ctrl "
    "tsc-deadline x2apic xsave xsaveopt",
    _V2,
)
_EPYC = _words(
    "3dnowprefetch abm adx aes arat avx avx2 bmi1 bmi2 clflushopt cr8legacy f16c fma fsgsbase fxsr-opt misalignsse "
    "mmxext movbe osvw pclmulqdq pdpe1gb rdrand rdseed rdtscp sha-ni smap smep sse4a topoext xgetbv1 xsave xsavec "
    "xsaveopt",
    _V2,
)

_ALL = (
    Model("qemu64", AMD, 15, 107, 1, 0xD, 0x8000_000A, "QEMU Virtual CPU version 2.5+", _words("lahf-lm", _BASE)),
    Model("kvm64", INTEL, 15, 6, 1, 0xD, 0x8000_0008, "Common KVM processor", _BASE),
    Model("Nehalem", INTEL, 6, 26, 3, 0xB, 0x8000_0008, "Intel Core i7 9xx (Nehalem Class Core i7)", _V2),
    Model(
        "Haswell", INTEL, 6, 60, 1, 0xD, 0x8000_0008, "Intel Core Processor (Haswell, no TSX, IBRS)", _HASWELL
    ),
    Model(
        "Skylake-Client", INTEL, 6, 94, 3, 0xD, 0x8000_0008, "Intel Core Processor (Skylake, IBRS, no TSX)",
        _words("3dnowprefetch adx rdseed smap xgetbv1 xsavec xsaves", _HASWELL),
    ),
    Model("EPYC", AMD, 23, 1, 2, 0xD, 0x8000_001E, "AMD EPYC Processor", _EPYC),
)  # fmt: skip

MODELS: dict[str, Model] = {model.name: model for model in _ALL}
