"""Where the table and an oracle disagree on whether a word is defined: by name, with the reason.

For each entry the table has verdict `ours` and the oracle the opposite.  Words that LLVM marks "potentially undefined"
are CONSTRAINED UNPREDICTABLE: both verdicts are right.  Of `max`, Unicorn has many more features than this project: it
is asked only about words that the table or LLVM defines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from targets.arm.a64.row import parse_layout
from tests.arm.decode_verdicts import NO, YES

CORTEX = ("cortex-a53", "cortex-a57", "cortex-a72")
EVERY = (*CORTEX, "max")


@dataclass(frozen=True)
class Difference:
    name: str
    oracle: str  # llvm or unicorn
    ours: str
    words: Callable[[int], bool]
    reason: str
    models: tuple[str, ...] = EVERY


def _layout(*texts: str) -> Callable[[int], bool]:
    pairs = [parse_layout(text)[:2] for text in texts]
    return lambda word: any(word & mask == value for mask, value in pairs)


def _register(*keys: tuple[int, int, int, int, int], read: bool = True, write: bool = True) -> Callable[[int], bool]:
    """MRS and MSR of system registers given as (op0, op1, CRn, CRm, op2)."""
    wanted = {op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2 for op0, op1, crn, crm, op2 in keys}
    kinds = (0xD500_0000,) * write + (0xD520_0000,) * read
    return lambda word: word & 0xFFE0_0000 in kinds and (word >> 5 & 0xFFFF) in wanted


def _pmu() -> Callable[[int], bool]:
    """PMCR_EL0 and those around it, PMINTEN*_EL1, PMMIR_EL1, PMEVCNTR<n>_EL0, PMEVTYPER<n>_EL0, PMCCFILTR_EL0."""
    keys = {(3, 3, 9, crm, op2) for crm in (12, 13, 14) for op2 in range(8)}
    keys |= {(3, 0, 9, 14, op2) for op2 in range(8)}
    keys |= {(3, 3, 14, crm, op2) for crm in range(8, 16) for op2 in range(8)}
    return _register(*keys)


def _cortex_own(word: int) -> bool:
    """op0 = 3, op1 = 1, CRn = 11 or 15: IMPLEMENTATION DEFINED."""
    return word & 0xFFD8_0000 == 0xD518_0000 and (word >> 16 & 7) == 1 and (word >> 12 & 15) in (11, 15)


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "system instructions and registers by number", "llvm", NO, _layout("1101010100" + "x" * 22),
        "The assembler language names every system register and SYS operation by its numbers, S3_0_C4_C2_5, and LLVM "
        "knows barriers and hints of later versions whatever -mcpu says.  Which exist, Unicorn tells.",
    ),
    Difference(
        "UDF", "llvm", NO, _layout("0" * 16 + "x" * 16), "UDF #imm16 is the name of words that stay UNDEFINED (C6.2).",
    ),
    Difference(
        "HLT", "unicorn", YES, _layout("11010100 010 imm16 00000"),
        "An instruction that is UNDEFINED unless halting debug is on; program exc_sync.",
    ),
    Difference(
        "DCPS1, DCPS2, DCPS3", "unicorn", YES, _layout("11010100 101 imm16 000 xx"),
        "Instructions that are UNDEFINED outside Debug state; program exc_sync.",
    ),
    Difference(
        "DRPS", "unicorn", YES, _layout("1101011010111111000000 11111 00000"),
        "An instruction that is UNDEFINED outside Debug state; program exc_sync.",
    ),
    Difference(
        "HVC", "unicorn", YES, _layout("11010100 000 imm16 00010"),
        "Here HVC calls the machine's PSCI, as under qemu-system-aarch64 -M virt.  Unicorn has neither EL2 nor PSCI.",
    ),
    Difference(
        "ERET with a register", "unicorn", NO, _layout("1101011010011111000000 xxxxx 00000"),
        "Unconditional branch (register), opc = 0100, wants Rn = 11111.  Unicorn does not look; LLVM does.",
    ),
    Difference(
        "debug communications and claim tags", "unicorn", YES,
        _register((2, 0, 0, 0, 2), (2, 0, 0, 3, 2), (2, 0, 0, 6, 2), (2, 0, 1, 4, 4), (2, 0, 7, 8, 6), (2, 0, 7, 9, 6),
                  (2, 0, 7, 14, 6), (2, 3, 0, 1, 0), (2, 3, 0, 4, 0), (2, 3, 0, 5, 0)),
        "OSDTRRX_EL1, OSDTRTX_EL1, OSECCR_EL1, DBGPRCR_EL1, DBGCLAIM*_EL1, DBGAUTHSTATUS_EL1, MDCCSR_EL0 and "
        "DBGDTR*_EL0 are not optional.  Unicorn lacks them.",
    ),
    Difference(
        "MDCCSR_EL0 misplaced", "unicorn", NO, _register((2, 0, 0, 1, 0), write=False),
        "MDCCSR_EL0 is op0 = 2, op1 = 3.  Unicorn has it at op1 = 0.",
    ),
    Difference(
        "RVBAR_EL1", "unicorn", YES, _register((3, 0, 12, 0, 1), write=False),
        "RVBAR_EL1 is there where EL1 is the highest exception level.  Unicorn's CPUs have more.",
    ),
    Difference(
        "CNTFRQ_EL0 written", "unicorn", YES, _register((3, 3, 14, 0, 0), read=False),
        "Writable at the highest exception level that is implemented, which is EL1 here.",
    ),
    Difference(
        "registers of the part's own", "unicorn", YES, _cortex_own,
        "IMPLEMENTATION DEFINED registers in the technical reference manuals of the Cortex-A53, A57 and A72.", CORTEX,
    ),
    Difference(
        "registers of the part's own, in max", "unicorn", NO, _cortex_own, "Unicorn's max has a CBAR_EL1.", ("max",),
    ),
    Difference("performance monitors", "unicorn", NO, _pmu(), "ID_AA64DFR0_EL1.PMUVer is 0: there are none."),
    Difference(
        "PSTATE and identification of more features", "unicorn", NO,
        _register((3, 0, 4, 2, 4), (3, 0, 10, 4, 7), (3, 3, 2, 4, 0), (3, 3, 2, 4, 1)),
        "UAO, LORID_EL1, RNDR and RNDRRS belong to features that `max` does not have here.", ("max",),
    ),
    Difference(
        "system instructions of more features", "unicorn", NO,
        _layout(
            "1101010100000 000 0100 xxxx 0xx 11111",  # CFINV, XAFLAG, AXFLAG, MSR UAO
            "1101010100000 011 0011 0000 111 11111",  # SB
            "1101010100001 000 0111 1001 00x xxxxx",  # AT S1E1RP, S1E1WP
            "1101010100001 011 0111 0011 1xx xxxxx",  # CFP, DVP and CPP RCTX
            "1101010100001 011 0111 110x 001 xxxxx",  # DC CVAP, CVADP
        ),
        "They belong to features that `max` does not have here.", ("max",),
    ),
)  # fmt: skip


def explain(word: int, model: str, oracle: str, ours: str) -> Difference | None:
    """The entry for a word on which the oracle says the opposite of `ours`."""
    for entry in DIFFERENCES:
        if entry.oracle == oracle and entry.ours == ours and model in entry.models and entry.words(word):
            return entry
    return None
