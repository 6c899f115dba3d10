"""The CPU models as data: identification registers, which claim exactly what is implemented, and decoder features.

Identity, caches and physical address size are those of the parts' technical reference manuals.  What differs from the
real parts: no AArch32, no EL2 and EL3, no performance counters, no big-endian data.  GIC system registers are there in
machines with a GICv3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

CRYPTO = ("FEAT_CRC32", "FEAT_AES", "FEAT_PMULL", "FEAT_SHA1", "FEAT_SHA256")
CORTEX = (*CRYPTO, "IMPDEF_CORTEX")
_PA_BITS = (32, 36, 40, 42, 44, 48)  # by ID_AA64MMFR0_EL1.PARange


@dataclass(frozen=True, slots=True)
class Model:
    """One CPU model.

    features: rows of the A64 table that it has beyond Armv8.0.  registers: values of read-only registers by name, 0 for
    those that aren't here.  caches: CCSIDR_EL1 by CSSELR_EL1.
    """

    name: str
    features: tuple[str, ...]
    registers: Mapping[str, int]
    caches: tuple[int, ...]

    @property
    def pa_bits(self) -> int:
        """Width of physical addresses."""
        return _PA_BITS[self.registers["ID_AA64MMFR0_EL1"] & 15]

    @property
    def granules(self) -> tuple[int, ...]:
        """log2 of the translation granules that it has."""
        mmfr0 = self.registers["ID_AA64MMFR0_EL1"]
        fields = ((12, 28, 0), (14, 20, 1), (16, 24, 0))  # TGran16 counts from 1, the others from 0
        return tuple(size for size, low, has in fields if mmfr0 >> low & 15 == has)

    def with_gicv3(self) -> Model:
        """The same in a machine with a GICv3, whose CPU interface is the CPU's."""
        pfr0 = self.registers["ID_AA64PFR0_EL1"] | 1 << 24
        return replace(
            self, features=(*self.features, "FEAT_GICv3"), registers={**self.registers, "ID_AA64PFR0_EL1": pfr0}
        )


def _armv8(**more: int) -> dict[str, int]:
    """Registers of a CPU with all of Armv8.0 at EL0 and EL1, CRC32 and the cipher instructions."""
    return {
        "DCZID_EL0": 4,  # DC ZVA writes 64 bytes
        "CTR_EL0": 0x8444_C004,
        "CLIDR_EL1": 0x0A20_0023,
        "ID_AA64PFR0_EL1": 0x11,  # EL0 and EL1, AArch64 only; FP and Advanced SIMD
        "ID_AA64DFR0_EL1": 0x1030_5006,  # 2 of 6 breakpoints context-aware, 4 watchpoints
        "ID_AA64ISAR0_EL1": 0x0001_1120,  # CRC32, SHA256, SHA1, AES and PMULL
        **more,
    }


_L1_32K_2WAY, _L1_48K_3WAY, _L1_32K_4WAY = 0x701F_E00A, 0x201F_E012, 0x700F_E01A
_L1I_32K_2WAY, _L2_1M, _L2_2M = 0x201F_E00A, 0x707F_E07A, 0x70FF_E07A

CORTEX_A53 = Model(
    "cortex-a53",
    CORTEX,
    _armv8(MIDR_EL1=0x410F_D034, CTR_EL0=0x8444_8004, ID_AA64MMFR0_EL1=0x22),
    (_L1_32K_4WAY, _L1I_32K_2WAY, _L2_1M),
)
CORTEX_A57 = Model(
    "cortex-a57",
    CORTEX,
    _armv8(MIDR_EL1=0x411F_D070, ID_AA64MMFR0_EL1=0x24),
    (_L1_32K_2WAY, _L1_48K_3WAY, _L2_2M),
)
CORTEX_A72 = Model(
    "cortex-a72",
    CORTEX,
    _armv8(MIDR_EL1=0x410F_D083, ID_AA64MMFR0_EL1=0x24),
    (_L1_32K_2WAY, _L1_48K_3WAY, _L2_1M),
)
# Everything that is implemented.  The MIDR is no part's: implementer "software", as emulators do
MAX = Model(
    "max",
    (*CRYPTO, "FEAT_LSE", "FEAT_LRCPC", "FEAT_PAN"),
    _armv8(
        MIDR_EL1=0x000F_0510,
        ID_AA64ISAR0_EL1=0x0021_1120,  # and LSE
        ID_AA64ISAR1_EL1=0x0010_0000,  # LRCPC
        ID_AA64MMFR0_EL1=0x0010_0025,  # 48-bit addresses, 16 KiB granule
        ID_AA64MMFR1_EL1=0x0010_0000,  # PAN
    ),
    (_L1_32K_2WAY, _L1_48K_3WAY, _L2_2M),
)

MODELS: dict[str, Model] = {m.name: m for m in (CORTEX_A53, CORTEX_A57, CORTEX_A72, MAX)}
