"""The list of bare-metal programs: what each is about and which CPU models it runs on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    name: str
    about: str
    cpus: tuple[str, ...] = ("cortex-a57",)
    file: str = ""  # where it is not named after the program
    format: str = "elf"  # elf, image (Linux's arm64 header) or raw
    defines: tuple[str, ...] = ()  # assembler symbols, "NAME=VALUE", to make variants of one source
    options: tuple[str, ...] = ()  # more command-line options, the same for both emulators

    identification: bool = False  # compared by id_registers.py, not as text

    @property
    def source(self) -> str:
        return (self.file or self.name) + ".S"


ALL = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
FOUR = ("-smp", "4")
BOTH = ("cortex-a57", "max")
GICV3 = ("-M", "gic-version=3,its=off")


def _granules(name: str, about: str) -> list[Program]:
    """A program for each translation granule; of the models only max has 16 KiB."""
    return [
        Program(f"{name}_{size}k", f"{about}, {size} KiB granule", cpus, name, defines=(f"GRANULE={shift}",))
        for size, shift, cpus in ((4, 12, BOTH), (16, 14, ("max",)), (64, 16, BOTH))
    ]


PROGRAMS: tuple[Program, ...] = (
    Program("hello", "text and a few registers", cpus=("cortex-a53", "cortex-a57", "cortex-a72")),
    Program("hello_image", "hello as a Linux Image", file="hello", format="image"),
    Program("hello_raw", "hello as a raw file", file="hello", format="raw"),
    Program("exc_sync", "SVC, BRK, HVC, undefined words; what SPSR, ESR and the vector say", cpus=BOTH),
    Program("exc_el0", "what EL0 may do, under each control bit of EL1", cpus=BOTH),
    Program("exc_el0_id", "registers of EL1 from EL0"),
    Program("exc_state", "PC and SP alignment, illegal exception returns, DAIF, SPSel", cpus=BOTH),
    Program("gic", "GICv2: registers, SGIs, priorities, masks, preemption, active states"),
    Program("gicv3", "GICv3: registers, SGIs, groups, priorities, preemption, active states", options=GICV3),
    Program("gicv3_smp", "GICv3 of 18 CPUs: SGIs, affinity, routes", options=(*GICV3, "-smp", "18")),
    *(
        Program(f"gicv3_random{k}", "random accesses", file="gicv3_random", defines=(f"SEED={k}",), options=GICV3)
        for k in (1, 2)
    ),
    Program("ids_gicv3", "identification registers with a GICv3", file="ids", options=GICV3, identification=True),
    Program("timer", "generic timers: control, compare, interrupts, waking from WFI"),
    Program("timer_gicv3", "the same with a GICv3", file="timer", defines=("GICV3=1",), options=GICV3),
    Program("psci", "PSCI calls, their errors, CPU_SUSPEND"),
    Program("psci_reset", "SYSTEM_RESET and the state after it"),
    Program("sysregs", "which bits of the writable registers stick", cpus=("cortex-a53", "cortex-a57", "cortex-a72")),
    Program("ids", "identification registers", cpus=ALL, identification=True),
    Program("debug_step", "software step at EL0 and EL1"),
    Program("debug_break", "BRK, breakpoints, OS lock"),
    Program("debug_watch", "watchpoints"),
    Program("smc", "code that is written, then run: patches, page ends, copies, a small JIT", cpus=BOTH),
    Program("exclusive", "what makes store-exclusives succeed and fail", cpus=BOTH),
    Program("smp_power", "CPUs that go off and on, interrupts and events between them", options=FOUR),
    Program("smp_atomics", "counters and locks of four CPUs", options=FOUR),
    Program("smp_atomics_lse", "the same and atomics", ("max",), "smp_atomics", defines=("LSE=1",), options=FOUR),
    Program("smp_tlb", "TLB maintenance for other CPUs", options=FOUR),
    Program("smp_code", "code that other CPUs run is changed", options=FOUR),
    Program("smp_litmus", "what the memory model forbids, on four CPUs", options=FOUR),
    *_granules("smc_mapped", "code at several addresses, under mappings that change"),
    *_granules("mmu_faults", "translation, access flag and address size faults at each level"),
    Program("mmu_perm", "AP, UXN and PXN of pages and blocks", BOTH, defines=("LEAVES=1",)),
    Program("mmu_perm_tables", "permissions limited by tables", file="mmu_perm", defines=("TABLES=1",)),
    Program("mmu_perm_wxn", "permissions with SCTLR_EL1.WXN", file="mmu_perm", defines=("WXN=1",)),
    Program("mmu_alignment", "alignment by memory type, exclusives", BOTH, "mmu_access", defines=("ALIGNMENT=1",)),
    Program("mmu_alignment_lse", "the same and atomics", ("max",), "mmu_access", defines=("ALIGNMENT=1", "LSE=1")),
    Program("mmu_pan", "privileged access never", cpus=("max",)),
    Program(
        "mmu_places",
        "page crossings, LDTR, cache maintenance, DC ZVA, memory that isn't there",
        BOTH,
        "mmu_access",
        defines=("PLACES=1",),
    ),
    *_granules("mmu_at", "AT S1E1R, S1E1W, S1E0R, S1E0W and what PAR_EL1 says"),
    *_granules("mmu_tlb", "what TLBI, ASIDs, global entries and the contiguous bit do"),
    *_granules("mmu_ranges", "sizes of the address ranges"),
    *_granules("mmu_controls", "EPD, TBI, halves of different sizes"),
)

BY_NAME = {program.name: program for program in PROGRAMS}
