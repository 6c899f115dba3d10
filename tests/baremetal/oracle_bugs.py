"""Where QEMU prints something that the architecture forbids: the line it prints, the right one, and why.

An entry needs the manual's section (Arm ARM, DDI 0487) and a second witness; an IMPLEMENTATION DEFINED or CONSTRAINED
UNPREDICTABLE choice is no bug, and xemu makes QEMU's choice there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OracleBug:
    program: str
    cpu: str | None  # None: every model
    printed: str  # the whole line as QEMU prints it
    correct: str
    why: str
    manual: str


def _stack_alignment() -> list[OracleBug]:
    faults = {
        "SA=1 EL1h": " v=4 esr=9a000000 elr=@-4 spsr=3c5",
        "SA=1 EL1t": " v=0 esr=9a000000 elr=@-4 spsr=3c4",
        "SA=1 SA0=1 EL0": " v=8 esr=9a000000 elr=@-8 spsr=3c0",
        "SA=0 SA0=1 EL0": " v=8 esr=9a000000 elr=@-8 spsr=3c0",
    }
    forms = ["ldr", "ldr [sp, 8]", "ldrb", "str pre", "stp", "ldur", "ldr reg", "ldxr", "ldar"]
    return [
        OracleBug(
            program="exc_state",
            cpu=None,
            printed=f"{where} {form} ok",
            correct=f"{where} {form}{fault}",
            why="QEMU leaves out SP alignment checks on purpose: gen_check_sp_alignment in its A64 translator is empty",
            manual="D1.8.2 SP alignment checking; CheckSPAlignment() in each load and store but PRFM",
        )
        for where, fault in faults.items()
        for form in (forms if "EL1" in where else forms[:1])
    ]


ORACLE_BUGS: tuple[OracleBug, ...] = (
    *_stack_alignment(),
    OracleBug(
        program="exc_el0",
        cpu=None,
        printed="TDCC=1 mdccsr ok",
        correct="TDCC=1 mdccsr v=8 esr=6220c123 elr=@-8 spsr=3c0",
        why="QEMU 7.2 does not look at MDSCR_EL1.TDCC",
        manual="D17.3 MDSCR_EL1.TDCC, MDCCSR_EL0 accessibility",
    ),
)
