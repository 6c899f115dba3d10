"""CPUID's feature bits by name, as QEMU spells them (Intel SDM, volume 2A, CPUID; AMD APM, volume 3, appendix E).

`targets/x86/models.py` names features; an accelerator turns them into bits with WORDS, or back.
"""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """One register of one leaf."""

    leaf: int
    subleaf: int
    register: str


# The names of a word's bits from bit 0 up; "-" where there is no name.
_NAMES: dict[Word, str] = {
    Word(1, 0, "edx"): """fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi
        mmx fxsr sse sse2 ss ht tm ia64 pbe""",
    Word(1, 0, "ecx"): """pni pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cid - fma cx16 xtpr pdcm - pcid dca
        sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor""",
    Word(7, 0, "ebx"): """fsgsbase tsc-adjust sgx bmi1 hle avx2 fdp-excptn-only smep bmi2 erms invpcid rtm -
        zero-fcs-fds mpx - avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel-pt avx512pf avx512er
        avx512cd sha-ni avx512bw avx512vl""",
    Word(7, 0, "ecx"): """- avx512vbmi umip pku ospke waitpkg avx512vbmi2 - gfni vaes vpclmulqdq avx512vnni avx512bitalg
        - avx512-vpopcntdq - la57 - - - - - rdpid - bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks""",
    Word(7, 0, "edx"): """- - avx512-4vnniw avx512-4fmaps fsrm - - - avx512-vp2intersect - md-clear - - - serialize -
        tsx-ldtrk - - arch-lbr - - amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp flush-l1d arch-capabilities
        core-capability ssbd""",
    Word(0xD, 1, "eax"): "xsaveopt xsavec xgetbv1 xsaves xfd",
    Word(6, 0, "eax"): "- - arat",
    Word(
        0x8000_0001, 0, "edx"
    ): """- - - - - - - - - - - syscall - - - - - - - - nx - mmxext - - fxsr-opt pdpe1gb rdtscp
        - lm 3dnowext 3dnow""",
    Word(0x8000_0001, 0, "ecx"): """lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw
        ibs xop skinit wdt - lwp fma4 tce - nodeid-msr - tbm topoext perfctr-core perfctr-nb""",
    Word(0x8000_0007, 0, "edx"): "- - - - - - - - invtsc",
    Word(0x8000_0008, 0, "ebx"): """clzero - xsaveerptr - - - - - - wbnoinvd - - ibpb - ibrs amd-stibp - - - - - - - -
        amd-ssbd virt-ssbd amd-no-ssb""",
    Word(0x4000_0001, 0, "eax"): """kvmclock kvm-nopiodelay kvm-mmu kvmclock2 kvm-asyncpf kvm-steal-time kvm-pv-eoi
        kvm-pv-unhalt - kvm-pv-tlb-flush kvm-asyncpf-vmexit kvm-pv-ipi kvm-poll-control kvm-pv-sched-yield
        kvm-asyncpf-int kvm-msi-ext-dest-id - - - - - - - - kvmclock-stable-bit""",
}

FEATURES: dict[str, tuple[Word, int]] = {
    name: (word, bit) for word, names in _NAMES.items() for bit, name in enumerate(names.split()) if name != "-"
}
WORDS = tuple(_NAMES)


def canonical(name: str) -> str:
    """QEMU takes an underscore for a dash, and has a few second names."""
    name = name.replace("_", "-").replace("sse4-1", "sse4.1").replace("sse4-2", "sse4.2")
    return {"sse3": "pni", "lzcnt": "abm", "xd": "nx", "i64": "lm", "ffxsr": "fxsr-opt", "kvm-clock": "kvmclock"}.get(
        name, name
    )


def names_of(word: Word, bits: int) -> list[str]:
    """The features that are set in a word."""
    return [name for name, (where, bit) in FEATURES.items() if where == word and bits >> bit & 1]
