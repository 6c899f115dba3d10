"""The system registers of EL1 and EL0 (D19): one table of rows.  MRS and MSR, reset, debugger and tests derive from it.

A register that is not in the table is UNDEFINED.  A row without `read` or `write` functions is its env field; access
then needs no code of its own.  Fields of features that the CPU lacks are RES0.  The effects are in sysreg_effects.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jit.ir import Value
from targets.arm import icc, timers
from targets.arm import sysreg_effects as fx
from targets.arm.debug_points import BREAKPOINTS, WATCHPOINTS
from targets.arm.env import ENV
from targets.arm.gic_state import affinity

if TYPE_CHECKING:
    from targets.arm.models import Model

MASK64 = (1 << 64) - 1
MASK32 = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class SysReg:
    """One register.

    op0..op2: its encoding.  field, index: where env holds it.  access: RO, WO or RW, of EL1.  el: the lowest EL that
    may read, and write unless `el_write` says otherwise.  mask: the bits that a write changes.  trap: whether an access
    from EL0 is trapped to EL1 (exception class 0x18).  read, write: code in place of the field's load and store.
    sync: a write ends the block.  needs: "fp" where CPACR_EL1.FPEN traps it.
    """

    name: str
    op0: int
    op1: int
    crn: int
    crm: int
    op2: int
    field: str = ""
    index: int = 0
    access: str = "RW"
    el: int = 1
    el_write: int = 1
    mask: int = MASK64
    trap: Callable[[Any, bool], Value] | None = None
    read: Callable[[Any], Value] | None = None
    write: Callable[[Any, Value], None] | None = None
    sync: bool = False
    needs: str = ""
    feature: str = ""

    @property
    def key(self) -> int:
        """Bits 19..5 of MRS and MSR (register)."""
        return key_of(self.op0, self.op1, self.crn, self.crm, self.op2)

    @property
    def offset(self) -> int:
        return ENV[self.field].at(self.index)


def key_of(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    return (op0 & 1) << 14 | op1 << 11 | crn << 7 | crm << 3 | op2


def generic_name(key: int) -> str:
    """The name that assemblers take for any register: S3_0_C1_C0_0."""
    return f"S{2 + (key >> 14)}_{key >> 11 & 7}_C{key >> 7 & 15}_C{key >> 3 & 15}_{key & 7}"


def _r(name: str, op0: int, op1: int, crn: int, crm: int, op2: int, field: str | None = None, **more: Any) -> SysReg:
    if field is None and "read" not in more and "write" not in more:
        field = name.lower()
    return SysReg(name, op0, op1, crn, crm, op2, field or "", **more)


def _el0(name: str, *encoding: Any, **more: Any) -> SysReg:
    """A register that EL0 may read, and write where it is not RO."""
    return _r(name, *encoding, el=0, **{"el_write": 0, **more})


def _id(name: str, crm: int, op2: int) -> SysReg:
    """A register of the ID space; those without a name read as zero."""
    return _r(name, 3, 0, 0, crm, op2, "feature_ids", index=crm * 8 + op2, access="RO")


# Names of the ID space by CRm, from op2 = 0 on
_ID_NAMES = {
    1: "PFR0 PFR1 DFR0 AFR0 MMFR0 MMFR1 MMFR2 MMFR3",
    2: "ISAR0 ISAR1 ISAR2 ISAR3 ISAR4 ISAR5 MMFR4 ISAR6",
    3: "MVFR0 MVFR1 MVFR2 - PFR2 DFR1 MMFR5 -",
    4: "AA64PFR0 AA64PFR1 - - AA64ZFR0 AA64SMFR0 - -",
    5: "AA64DFR0 AA64DFR1 - - AA64AFR0 AA64AFR1 - -",
    6: "AA64ISAR0 AA64ISAR1 AA64ISAR2 - - - - -",
    7: "AA64MMFR0 AA64MMFR1 AA64MMFR2 - - - - -",
}


def _id_space() -> list[SysReg]:
    rows: list[SysReg] = []
    for crm, names in _ID_NAMES.items():
        for op2, short in enumerate(names.split()):
            name = f"S3_0_C0_C{crm}_{op2}" if short == "-" else f"{'' if 'MVFR' in short else 'ID_'}{short}_EL1"
            rows.append(_id(name, crm, op2))
    return rows


_IDENTIFICATION = [
    _r("MIDR_EL1", 3, 0, 0, 0, 0, access="RO"),
    _r("MPIDR_EL1", 3, 0, 0, 0, 5, access="RO"),
    _r("REVIDR_EL1", 3, 0, 0, 0, 6, access="RO"),
    *_id_space(),
    _r("CCSIDR_EL1", 3, 1, 0, 0, 0, read=fx.read_ccsidr, access="RO"),
    _r("CLIDR_EL1", 3, 1, 0, 0, 1, access="RO"),
    _r("AIDR_EL1", 3, 1, 0, 0, 7, access="RO"),
    _r("CSSELR_EL1", 3, 2, 0, 0, 0, mask=0xF),
    _el0("CTR_EL0", 3, 3, 0, 0, 1, access="RO", trap=fx.sctlr_clear(15)),
    _el0("DCZID_EL0", 3, 3, 0, 0, 7, "dczid_el0", read=fx.read_dczid, access="RO"),
    _r("RVBAR_EL1", 3, 0, 12, 0, 1, access="RO"),
]

_CONTROL = [
    _r("SCTLR_EL1", 3, 0, 1, 0, 0, "sctlr_el1", write=fx.write_sctlr, sync=True),
    _r("ACTLR_EL1", 3, 0, 1, 0, 1, mask=0),
    _r("CPACR_EL1", 3, 0, 1, 0, 2, "cpacr_el1", write=fx.write_cpacr, sync=True),
    _r("TTBR0_EL1", 3, 0, 2, 0, 0, "ttbr0_el1", write=fx.write_ttbr("ttbr0_el1"), sync=True),
    _r("TTBR1_EL1", 3, 0, 2, 0, 1, "ttbr1_el1", write=fx.write_ttbr("ttbr1_el1"), sync=True),
    _r("TCR_EL1", 3, 0, 2, 0, 2, "tcr_el1", write=fx.write_translation_control("tcr_el1"), sync=True),
    _r("MAIR_EL1", 3, 0, 10, 2, 0, "mair_el1", write=fx.write_translation_control("mair_el1"), sync=True),
    _r("AMAIR_EL1", 3, 0, 10, 3, 0, mask=0),
    _r("CONTEXTIDR_EL1", 3, 0, 13, 0, 1, mask=MASK32),
    _r("PAR_EL1", 3, 0, 7, 4, 0),
]

_EXCEPTIONS = [
    _r("SPSR_EL1", 3, 0, 4, 0, 0, mask=MASK32),
    _r("ELR_EL1", 3, 0, 4, 0, 1),
    _r("SP_EL0", 3, 0, 4, 1, 0, "sp_el0", read=fx.read_sp_el0, write=fx.write_sp_el0),
    _r("SPSel", 3, 0, 4, 2, 0, read=fx.read_pstate("spsel", 0), write=fx.write_spsel),
    _r("CurrentEL", 3, 0, 4, 2, 2, read=fx.read_pstate("el", 2), access="RO"),
    _r("PAN", 3, 0, 4, 2, 3, read=fx.read_pstate("pan", 22), write=fx.write_pan, sync=True, feature="FEAT_PAN"),
    _r("AFSR0_EL1", 3, 0, 5, 1, 0, mask=0),
    _r("AFSR1_EL1", 3, 0, 5, 1, 1, mask=0),
    _r("ESR_EL1", 3, 0, 5, 2, 0, mask=MASK32),
    _r("FAR_EL1", 3, 0, 6, 0, 0),
    _r("VBAR_EL1", 3, 0, 12, 0, 0, mask=MASK64 & ~0x7FF),
    _r("ISR_EL1", 3, 0, 12, 1, 0, read=fx.read_isr, access="RO"),
    _el0("NZCV", 3, 3, 4, 2, 0, read=fx.read_nzcv, write=fx.write_nzcv),
    _el0("DAIF", 3, 3, 4, 2, 1, read=fx.read_pstate("daif", 6), write=fx.write_daif, trap=fx.sctlr_clear(9)),
    _el0("FPCR", 3, 3, 4, 4, 0, "fpcr", write=fx.write_fpcr, sync=True, needs="fp"),
    _el0("FPSR", 3, 3, 4, 4, 1, read=fx.read_fpsr, write=fx.write_fpsr, needs="fp"),
]

_THREADS = [
    _r("TPIDR_EL1", 3, 0, 13, 0, 4),
    _el0("TPIDR_EL0", 3, 3, 13, 0, 2),
    _el0("TPIDRRO_EL0", 3, 3, 13, 0, 3, el_write=1),
]


def _timer(letter: str, crm: int, enable_bit: int) -> list[SysReg]:
    """TVAL, CTL and CVAL of the physical (P) or virtual (V) timer."""
    low, trap = letter.lower(), fx.cntkctl_clear(1 << enable_bit)
    ctl, cval = f"cnt{low}_ctl_el0", f"cnt{low}_cval_el0"
    return [
        _el0(
            f"CNT{letter}_TVAL_EL0",
            3,
            3,
            14,
            crm,
            0,
            read=fx.read_tval(cval),
            write=fx.write_tval(ctl, cval),
            trap=trap,
        ),
        _el0(f"CNT{letter}_CTL_EL0", 3, 3, 14, crm, 1, read=fx.read_ctl(ctl, cval), write=fx.write_ctl(ctl), trap=trap),
        _el0(f"CNT{letter}_CVAL_EL0", 3, 3, 14, crm, 2, cval, write=fx.write_cval(ctl, cval), trap=trap),
    ]


_TIMERS = [
    _r("CNTKCTL_EL1", 3, 0, 14, 1, 0, mask=0x3FF),
    _el0("CNTFRQ_EL0", 3, 3, 14, 0, 0, el_write=1, mask=MASK32, trap=fx.cntkctl_clear(3)),
    _el0("CNTPCT_EL0", 3, 3, 14, 0, 1, read=fx.read_count, access="RO", trap=fx.cntkctl_clear(1)),
    _el0("CNTVCT_EL0", 3, 3, 14, 0, 2, read=fx.read_count, access="RO", trap=fx.cntkctl_clear(2)),
    *_timer("P", 2, 9),
    *_timer("V", 3, 8),
]

_INTERRUPTS = icc.rows(_r)


def _cortex(name: str, crn: int, crm: int, op2: int, **more: Any) -> SysReg:
    """An IMPLEMENTATION DEFINED register of the Cortex-A53, A57 and A72 about their caches and buses: not modelled."""
    return _r(name, 3, 1, crn, crm, op2, "zero", mask=0, feature="IMPDEF_CORTEX", **more)


_CORTEX = [
    _cortex("L2CTLR_EL1", 11, 0, 2, read=fx.read_l2ctlr),
    _cortex("L2ECTLR_EL1", 11, 0, 3),
    _cortex("L2ACTLR_EL1", 15, 0, 0),
    _cortex("CPUACTLR_EL1", 15, 2, 0),
    _cortex("CPUECTLR_EL1", 15, 2, 1),
    _cortex("CPUMERRSR_EL1", 15, 2, 2),
    _cortex("L2MERRSR_EL1", 15, 2, 3),
    _cortex("CBAR_EL1", 15, 3, 0),
]

_BCR_MASK, _WCR_MASK = 0x00FF_E1E7, 0x1F1F_FFFF


def _debug_points(count: int, letter: str, op2: int, mask: int) -> list[SysReg]:
    """DBGBVR<n>_EL1 and DBGBCR<n>_EL1, or those of watchpoints."""
    out: list[SysReg] = []
    for n in range(count):
        value, control = f"dbg{letter}vr", f"dbg{letter}cr"
        write_v, write_c = fx.write_debug(value, n, MASK64 & ~3), fx.write_debug(control, n, mask)
        out.append(_r(f"{value.upper()}{n}_EL1", 2, 0, 0, n, op2, value, index=n, write=write_v, sync=True))
        out.append(_r(f"{control.upper()}{n}_EL1", 2, 0, 0, n, op2 + 1, control, index=n, write=write_c, sync=True))
    return out


_DEBUG = [
    _r("OSDTRRX_EL1", 2, 0, 0, 0, 2, mask=MASK32),
    _r("MDCCINT_EL1", 2, 0, 0, 2, 0, mask=3 << 29),
    _r("MDSCR_EL1", 2, 0, 0, 2, 2, "mdscr_el1", write=fx.write_mdscr, sync=True),
    _r("OSDTRTX_EL1", 2, 0, 0, 3, 2, mask=MASK32),
    _r("OSECCR_EL1", 2, 0, 0, 6, 2, mask=MASK32),
    *_debug_points(BREAKPOINTS, "b", 4, _BCR_MASK),
    *_debug_points(WATCHPOINTS, "w", 6, _WCR_MASK),
    _r("MDRAR_EL1", 2, 0, 1, 0, 0, "zero", access="RO"),
    _r("OSLAR_EL1", 2, 0, 1, 0, 4, write=fx.write_oslar, access="WO", sync=True),
    _r("OSLSR_EL1", 2, 0, 1, 1, 4, "oslsr", access="RO"),
    _r("OSDLR_EL1", 2, 0, 1, 3, 4, "osdlr_el1", write=fx.write_lock("osdlr_el1"), sync=True),
    _r("DBGPRCR_EL1", 2, 0, 1, 4, 4, "dbgprcr_el1", write=fx.write_lock("dbgprcr_el1"), sync=True),
    _r("DBGCLAIMSET_EL1", 2, 0, 7, 8, 6, read=fx.read_constant(0xFF), write=fx.write_claim(True)),
    _r("DBGCLAIMCLR_EL1", 2, 0, 7, 9, 6, "dbgclaim", write=fx.write_claim(False)),
    # only Non-secure state, and no external debug: its invasive and non-invasive forms are implemented and disabled
    _r("DBGAUTHSTATUS_EL1", 2, 0, 7, 14, 6, read=fx.read_constant(0xA), access="RO"),
    # the debug communications channel, with nobody at its other end
    _el0("MDCCSR_EL0", 2, 3, 0, 1, 0, read=fx.read_constant(0), access="RO", trap=fx.tdcc),
    _el0("DBGDTR_EL0", 2, 3, 0, 4, 0, read=fx.read_constant(0), write=fx.ignore, trap=fx.tdcc),
    _el0("DBGDTRRX_EL0", 2, 3, 0, 5, 0, read=fx.read_constant(0), write=fx.ignore, trap=fx.tdcc),
]

SYSREGS: tuple[SysReg, ...] = (
    *_IDENTIFICATION, *_CONTROL, *_EXCEPTIONS, *_THREADS, *_TIMERS, *_INTERRUPTS, *_CORTEX, *_DEBUG,
)  # fmt: skip

BY_KEY = {r.key: r for r in SYSREGS}
BY_NAME = {r.name.lower(): r for r in SYSREGS}
assert len(BY_KEY) == len(SYSREGS) == len(BY_NAME)

# Reset values that no model changes; all other fields of the state are zero (D19, "resets to").  SCTLR_EL1 is that of
# the Cortex-A57: nTWE, nTWI, SA0, SA and bits that are RES1.
RESET = {
    "SCTLR_EL1": 0x00C5_0838,
    "OSLSR_EL1": 0b1010,  # OS lock implemented, and locked
    "CNTFRQ_EL0": timers.FREQUENCY,
    "ICC_BPR0_EL1": icc.BPR0_LEAST,
    "ICC_BPR1_EL1": icc.BPR1_LEAST,
}


_PSTATE = ("nf", "zf", "cf", "vf", "pan", "ss", "il", "uao", "dit")
_HIDDEN = ("qc", "dbgclaim", "spsr_el1", "sp_el1", "stepping", "step_iss", "event_register", "waiting", "timer_due")


def reset_values(model: Model, index: int) -> list[tuple[str, int, int]]:
    """(env field, element, value) for all registers of CPU number `index` of the machine: EL1h, exceptions masked."""
    gicv3 = "FEAT_GICv3" in model.features
    values = {(r.field, r.index): 0 for r in SYSREGS if r.field}
    values.update({("icc_apr", group): 0 for group in (0, 1)})
    values.update({(name, 0): 0 for name in _PSTATE + _HIDDEN})
    mpidr = 1 << 31 | affinity(index, 3 if gicv3 else 2)
    for name, value in {**RESET, **model.registers, "MPIDR_EL1": mpidr}.items():
        reg = BY_NAME[name.lower()]
        values[reg.field, reg.index] = value
    if not gicv3:  # the CPU interface is not the CPU's
        values = {key: value for key, value in values.items() if not key[0].startswith("icc_")}
    values.update({("ccsidr_el1", k): value for k, value in enumerate(model.caches)})
    values.update({("el", 0): 1, ("spsel", 0): 1, ("daif", 0): 15})
    return [(name, element, value) for (name, element), value in values.items()]
