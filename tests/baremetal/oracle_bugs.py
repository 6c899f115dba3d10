"""Where QEMU prints something that the architecture forbids: the line it prints, the right one, and why.

An entry needs the manual's section (Arm ARM, DDI 0487) and a reason that can be checked; an IMPLEMENTATION DEFINED or
CONSTRAINED UNPREDICTABLE choice is no bug, and xemu makes QEMU's choice there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class OracleBug:
    program: str
    name: str  # what the line begins with: the name of its TRY
    printed: str  # the rest of the line as QEMU prints it
    correct: str | None  # None: there is no such line
    why: str
    manual: str
    under: str | None = None  # the last line before it that isn't indented, where that is needed to find it
    cpu: str | None = None  # None: every model
    sometimes: bool = False  # not in each run; `printed` is a regular expression

    def applies(self, program: str, cpu: str) -> bool:
        return program == self.program and self.cpu in (None, cpu)

    def matches(self, title: str, line: str) -> bool:
        rest = line.removeprefix(f"{self.name} ")
        same = re.fullmatch(self.printed, rest) is not None if self.sometimes else rest == self.printed
        return rest != line and same and self.under in (None, title)


def correct(program: str, cpu: str, output: str) -> tuple[str, set[OracleBug]]:
    """QEMU's output as it should have been, and the bugs that were found in it."""
    bugs = [bug for bug in ORACLE_BUGS if bug.applies(program, cpu)]
    found: set[OracleBug] = set()
    lines = []
    title = ""
    for line in output.splitlines():
        if not line.startswith(" "):
            title = line
        bug = next((bug for bug in bugs if bug.matches(title, line)), None)
        if bug:
            found.add(bug)
            if bug.correct is None:
                continue
            line = f"{bug.name} {bug.correct}"
        lines.append(line + "\n")
    return "".join(lines), found


def _stack_alignment() -> Iterator[OracleBug]:
    faults = {
        "SA=1 EL1h": "v=4 esr=9a000000 elr=@-4 spsr=3c5",
        "SA=1 EL1t": "v=0 esr=9a000000 elr=@-4 spsr=3c4",
        "SA=1 SA0=1 EL0": "v=8 esr=9a000000 elr=@-8 spsr=3c0",
        "SA=0 SA0=1 EL0": "v=8 esr=9a000000 elr=@-8 spsr=3c0",
    }
    forms = ["ldr", "ldr [sp, 8]", "ldrb", "str pre", "stp", "ldur", "ldr reg", "ldxr", "ldar"]
    for where, fault in faults.items():
        for form in forms if "EL1" in where else forms[:1]:
            yield OracleBug(
                program="exc_state",
                name=f"{where} {form}",
                printed="ok",
                correct=fault,
                why="QEMU leaves out SP alignment checks on purpose: gen_check_sp_alignment of its translator is empty",
                manual="D1.8.2 SP alignment checking; CheckSPAlignment() in each load and store but PRFM",
            )


def _reserved_blocks() -> Iterator[OracleBug]:
    """A block descriptor at a level that has none is a reserved value, which is a translation fault at that level."""
    places = (("4k", 0, "555540000000"), ("16k", 0, "ffffd55540000000"), ("16k", 1, "555540000000"))
    for granule, level, address in (*places, ("64k", 1, "555540000000")):
        data = f"{address[:-1]}8"
        external = {  # what QEMU does instead: it uses the block, and nothing answers at its output address
            " r1": (f"v=4 esr=96000010 far={data} elr=@-4 spsr=600003c5", 0x96000004),
            " w1": (f"v=4 esr=96000050 far={data} elr=@-4 spsr=600003c5", 0x96000044),
            " x1": (f"v=4 esr={0x8600000C + level:x} far={address} elr={address} spsr=600003c5", 0x86000004),
            " r0": (f"v=8 esr=92000010 far={data} elr=@-8 spsr=3c0", 0x92000004),
            " w0": (f"v=8 esr=92000050 far={data} elr=@-8 spsr=3c0", 0x92000044),
            " x0": (f"v=8 esr=82000010 far={address} elr={address} spsr=3c0", 0x82000004),
        }
        for name, (printed, syndrome) in external.items():
            before, _, after = printed.partition("esr=")
            yield OracleBug(
                program=f"mmu_faults_{granule}",
                under=f"L{level} block",
                name=name,
                printed=printed,
                correct=f"{before}esr={syndrome + level:x} {after.partition(' ')[2]}",
                why="QEMU 7.2 takes bits 01 for a block at every level above 3",
                manual="D8.3.1 VMSAv8-64 block descriptors: level 1 (4 KiB granule) and level 2 only, without LPA2",
            )


def _device_alignment() -> Iterator[OracleBug]:
    lines = {
        "device ldr w": "v=4 esr=96000021 far=6000004042 elr=@-4 spsr=3c5",
        "device str x": "v=4 esr=96000061 far=6000004044 elr=@-4 spsr=3c5",
        "device ldrh": "v=4 esr=96000021 far=6000004041 elr=@-4 spsr=3c5",
        "device EL0 ldr": "v=8 esr=92000021 far=6000004041 elr=@-8 spsr=3c0",
        "gre ldr w": "v=4 esr=96000021 far=6000005042 elr=@-4 spsr=3c5",
    }
    cases = [(program, *line) for program in ("mmu_alignment", "mmu_alignment_lse") for line in lines.items()]
    cases.append(("mmu_places", "zva device", "v=4 esr=96000061 far=6000004080 elr=@-4 spsr=3c5"))
    for program, name, correct in cases:
        yield OracleBug(
            program=program,
            name=name,
            printed="ok",
            correct=correct,
            why="QEMU 7.2 does not look at the memory type (9.0 does)",
            manual="B2.5.2 Alignment of data accesses; DC ZVA: Device memory takes Alignment faults",
        )


def _cache_maintenance() -> Iterator[OracleBug]:
    """DC by address needs a translation; IC IVAU may do without (IMPLEMENTATION DEFINED), as QEMU does."""
    el1, el0 = "elr=@-4 spsr=3c5", "elr=@-8 spsr=3c0"
    lines = {
        "ro dc ivac": f"v=4 esr=9600014f far=6000001048 {el1}",
        "EL1 page EL0 dc cvac": f"v=8 esr=9200014f far=6000006048 {el0}",
        "EL1 page EL0 dc civac": f"v=8 esr=9200014f far=6000006048 {el0}",
    }
    for where, status, address in (("hole", 0x147, "6000002048"), ("no AF", 0x14B, "6000009048")):
        for form in ("cvac", "cvau", "civac", "ivac"):
            lines[f"{where} dc {form}"] = f"v=4 esr={0x96000000 + status:x} far={address} {el1}"
        for form in ("cvac", "civac"):
            lines[f"{where} EL0 dc {form}"] = f"v=8 esr={0x92000000 + status:x} far={address} {el0}"
    for name, correct in lines.items():
        yield OracleBug(
            program="mmu_places",
            name=name,
            printed="ok",
            correct=correct,
            why="QEMU implements data cache maintenance as nothing at all",
            manual="D8.16 faults on cache maintenance; DCInstNeedsTranslation() where CLIDR_EL1.LoC isn't 0",
        )


def _par_shareability() -> Iterator[OracleBug]:
    results = {  # what AT finds for reads and writes of EL1, then of EL0
        "MMU off": (0x42000A00, None),
        "L3 nc": (0x4400000042000A00, 0x81F),
        "L3 device": (0x42000A00, 0x81F),
        "L3 gre": (0x0C00000042000A00, 0x81F),
        "uart": (0x9000A00, 0x81F),
    }

    def line(el1: int, el0: int | None) -> str:
        el0 = el1 if el0 is None else el0
        return f"r1={el1:x} w1={el1:x} r0={el0:x} w0={el0:x}"

    for granule in ("4k", "16k", "64k"):
        for title, (el1, el0) in results.items():
            yield OracleBug(
                program=f"mmu_at_{granule}",
                under=title,
                name="",
                printed=line(el1, el0),
                correct=line(el1 | 2 << 7, el0),
                why="QEMU 7.2 copies the descriptor's shareability",
                manual="D19.2 PAR_EL1.SH: 0b10 for Device and Normal non-cacheable memory; PAREncodeShareability()",
            )


def _os_lock() -> Iterator[OracleBug]:
    for program, name, printed in (
        ("debug_break", "EL0 bp OS lock", "v=8 esr=c2000022 elr=@-c spsr=3c0"),
        ("debug_step", "OS lock", "v=8 esr=cb000022 elr=@-4 spsr=3c0"),
        ("debug_watch", "EL0 OS lock", "v=8 esr=d2000022 far=+20008 elr=@-8 spsr=3c0"),
    ):
        yield OracleBug(
            program=program,
            name=name,
            printed=printed,
            correct="ok",
            why="QEMU 7.2 keeps the OS lock but does not look at it",
            manual="H2.4.2: with OSLSR_EL1.OSLK set only BRK's debug exceptions are generated",
        )


def _step_after_masking() -> Iterator[OracleBug]:
    """An instruction that sets PSTATE.D while it is stepped: debug exceptions are masked when it has completed."""
    after = "v=4 esr=cf000022 elr=@0 spsr=3c5"
    for title, printed in (
        ("EL1 KDE D=0 v=4 esr=cf000022 elr=@-8 spsr=1c5", after),
        ("EL1 KDE D=0 SS=0 v=4 esr=ce000022 elr=@-c spsr=1c5", after),
        ("EL1t KDE D=0 v=0 esr=cf000022 elr=@-8 spsr=1c4", after),
        ("EL1 exclusive v=4 esr=cf000062 elr=@-10 spsr=1c5", after),
        ("EL1 D set v=4 esr=cf000022 elr=@-10 spsr=1c5", "v=4 esr=cf000022 elr=@-c spsr=3c5"),
        ("D unmasked v=4 esr=ce000022 elr=@-c spsr=1c5", after),
    ):
        yield OracleBug(
            program="debug_step",
            under=title,
            name="",
            printed=printed,
            correct=None,
            why="QEMU 7.2 raises the exception behind the stepped instruction without a look at the new PSTATE.D",
            manual="J1.3 CheckSoftwareStep(): AArch64.GenerateDebugExceptions() is false at EL1 with PSTATE.D set",
        )


def _daif_immediate() -> Iterator[OracleBug]:
    for name, printed, correct in (
        ("UMA=0 daifset", "esr=620793e4", "esr=620cd3e4"),
        ("UMA=0 daifclr", "esr=6207d3fe", "esr=620ed3fe"),
    ):
        yield OracleBug(
            program="exc_el0",
            name=name,
            printed=f"v=8 {printed} elr=@-8 spsr=3c0",
            correct=f"v=8 {correct} elr=@-8 spsr=3c0",
            why="QEMU 7.2 exchanges op1 and op2 of MSR (immediate) in the syndrome",
            manual="D19.2.37 ESR_EL1, ISS of exception class 0x18: Op2 is in bits 19..17, Op1 in bits 16..14; "
            "C6.2 MSR (immediate): DAIFSet is op1 = 3, op2 = 6",
        )


def _raced_stores() -> Iterator[OracleBug]:
    for how in ("ivau", "ialluis"):
        for offset in ("0x40", "0xff8", "0x2000"):
            yield OracleBug(
                program="smp_code",
                name=f"{how} {offset}",
                printed="old code=[1-9a-f][0-9a-f]*",
                correct="old code=0",
                why="QEMU 7.2 may miss a store to a page from which another CPU is just translating",
                manual="B2.2.5 concurrent modification and execution: what the other PE runs once it has had its ISB",
                sometimes=True,
            )


ORACLE_BUGS: tuple[OracleBug, ...] = (
    *_stack_alignment(),
    *_reserved_blocks(),
    *_device_alignment(),
    *_cache_maintenance(),
    *_par_shareability(),
    *_os_lock(),
    *_step_after_masking(),
    *_daif_immediate(),
    *_raced_stores(),
    OracleBug(
        program="smp_power",
        name="rounds",
        printed="refused=0 wrong=[1-9a-f][0-9a-f]*",
        correct="refused=0 wrong=0",
        why="QEMU 7.2 may start a CPU that is just going off with another context than it was given",
        manual="DEN 0022, 5.6 CPU_ON: context_id is in X0 of the CPU that starts",
        sometimes=True,
    ),
    OracleBug(
        program="smp_litmus",
        name="SB+dsb.st",
        printed="forbidden=[1-9a-f][0-9a-f]*",
        correct="forbidden=0",
        why="QEMU 7.2 translates DSB ST as DMB ST, which orders stores alone",
        manual="B2.3.12 DSB: no instruction behind it is executed until it has completed, loads included",
        sometimes=True,
    ),
    OracleBug(
        program="smp_litmus",
        name="SB+stlr+ldar",
        printed="forbidden=[1-9a-f][0-9a-f]*",
        correct="forbidden=0",
        why="QEMU 7.2 has no barrier between a store-release and a later load-acquire",
        manual="B2.3.5 barrier-ordered-before: RW1 is a Store-Release, RW2 a Load-Acquire behind it",
        sometimes=True,
    ),
    OracleBug(
        program="exc_el0",
        name="TDCC=1 mdccsr",
        printed="ok",
        correct="v=8 esr=6220c123 elr=@-8 spsr=3c0",
        why="QEMU 7.2 does not look at MDSCR_EL1.TDCC",
        manual="D19.3 MDSCR_EL1.TDCC; MDCCSR_EL0, accessibility",
    ),
)
