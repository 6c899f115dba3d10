"""System instructions (C4.1.89 to C4.1.95): hints, barriers, MRS and MSR, PSTATE, cache, address and TLB maintenance.

MRS and MSR derive everything from the table of targets/arm/sysregs.py.  Registers that are nothing but memory share one
stencil, in which the register's place in the CPU state is a hole; all others have a shape of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jit.ir import Value
from jit.types import I8, I32, I64, vec
from targets.arm import access, mmu, trace
from targets.arm import sysreg_effects as fx
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import Row, row
from targets.arm.env import ENV
from targets.arm.exceptions import NO_ADDRESS, bank_stack_pointer, byte, set_byte
from targets.arm.exits import Event, Exit
from targets.arm.smp import TLBI_KINDS
from targets.arm.state import get, put
from targets.arm.sysregs import BY_KEY, MASK64, SYSREGS, SysReg

EC_WFX, EC_SYSTEM = 0x01, 0x18
IL = 1 << 25
ALWAYS = 1 << 24 | 0xE << 20  # CV and COND of instructions without a condition
SCTLR_UMA, SCTLR_DZE, SCTLR_NTWI, SCTLR_NTWE, SCTLR_UCI = 9, 14, 16, 18, 26
ZVA_SIZE = 64  # DCZID_EL0.BS = 4

# What the shape of MRS and MSR is: no access, an env field for EL1 or for all, the same with a mask, or the register
NO_ACCESS, FIELD, FIELD_EL0, FIELD_MASKED, OWN_CODE = 0, 1, 2, 3, 1 << 15


def trap_el0(b: A64, trapped: Value, syndrome: Value | int) -> None:
    """Take the exception to EL1 where `trapped` holds."""
    b.when(trapped, lambda: b.raise_exception(syndrome), likely=False)


# -- MRS, MSR (register) -----------------------------------------------------------------------------------------------
def _read_shape(key: int) -> int:
    reg = BY_KEY[key]
    if reg.access == "WO":
        return NO_ACCESS
    if reg.read or reg.trap:
        return OWN_CODE | key
    return FIELD if reg.el else FIELD_EL0


def _write_shape(key: int) -> int:
    reg = BY_KEY[key]
    if reg.access == "RO":
        return NO_ACCESS
    if reg.write or (reg.trap and reg.el_write == 0):
        return OWN_CODE | key
    if reg.mask != MASK64:
        return FIELD_MASKED if reg.el_write else OWN_CODE | key
    return FIELD if reg.el_write else FIELD_EL0


def _offset(i: Insn) -> Value:
    return i.hole("register", lambda f: BY_KEY[f.sysreg].offset, 0, ENV.size)


def _syndrome(f: Any, read: bool) -> int:
    """ESR of a trapped MRS, MSR or system instruction: Op0 Op2 Op1 CRn Rt CRm Direction."""
    key = f.sysreg
    op0, op1, crn, crm, op2 = 2 + (key >> 14), key >> 11 & 7, key >> 7 & 15, key >> 3 & 15, key & 7
    iss = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | f.Rt << 5 | crm << 1 | read
    return EC_SYSTEM << 26 | IL | iss


def _register_trap(b: A64, i: Insn, reg: SysReg, write: bool) -> None:
    if i.mode.el == 0 and reg.trap:
        syndrome = i.hole("syndrome", lambda f: _syndrome(f, not write), 0, (1 << 32) - 1)
        trap_el0(b, reg.trap(b, write), syndrome)


def move_from_register(b: A64, i: Insn) -> None:
    shape = i.sysreg
    if shape == NO_ACCESS or (shape == FIELD and i.mode.el == 0):
        b.undefined()
        return
    if shape < OWN_CODE:
        b.set_X(i.Rt, b.ldenv(_offset(i), I64))
        return
    reg = BY_KEY[shape & ~OWN_CODE]
    if i.mode.el < reg.el:
        b.undefined()
        return
    _register_trap(b, i, reg, False)
    b.set_X(i.Rt, reg.read(b) if reg.read else b.ldenv(reg.offset, I64))


def move_to_register(b: A64, i: Insn, *, sync: bool) -> None:
    shape = i.sysreg
    if shape == NO_ACCESS or (shape in (FIELD, FIELD_MASKED) and i.mode.el == 0):
        b.undefined()
        return
    value = b.X(i.Rt)
    if shape == FIELD_MASKED:
        offset = _offset(i)
        mask = i.hole("mask", lambda f: BY_KEY[f.sysreg].mask, 0, MASK64)
        b.stenv(offset, (b.ldenv(offset, I64) & ~mask) | (value & mask))
    elif shape < OWN_CODE:
        b.stenv(_offset(i), value)
    elif not _write_own(b, i, BY_KEY[shape & ~OWN_CODE], value):
        return
    if sync:
        b.sync()


def _write_own(b: A64, i: Insn, reg: SysReg, value: Value) -> bool:
    """False where the access is UNDEFINED."""
    if i.mode.el < reg.el_write:
        b.undefined()
        return False
    _register_trap(b, i, reg, True)
    if reg.write:
        reg.write(b, value)
    else:
        b.stenv(reg.offset, (b.ldenv(reg.offset, I64) & ~reg.mask) | (value & reg.mask))
    return True


def unknown_register(b: A64, i: Insn, *, read: bool) -> None:
    """UNDEFINED, with a note for whoever wonders what the guest misses."""
    b.stenv(ENV.pc_off, b.pc_offset(I32))
    syndrome = i.hole("syndrome", lambda f: _syndrome(f, read), 0, (1 << 32) - 1)
    trace.report(b, trace.UNIMPLEMENTED, Event.UNKNOWN_REGISTER, syndrome)
    b.undefined()


def _group(*key: Any) -> Callable[[Mapping[str, int]], bool]:
    """The registers whose row says the same in the columns that an instruction row has."""
    chosen = frozenset(r.key for r in SYSREGS if (r.feature, r.needs, r.sync)[: len(key)] == key)
    return lambda f: f["sysreg"] in chosen


def _title(name: str, *words: str) -> str:
    return name + "".join(f" [{w}]" for w in words if w)


def _register_rows() -> list[Row]:
    """MRS and MSR once for each combination of what a row says: feature, FP access, end of block."""
    rows: list[Row] = []
    for feature, needs in sorted({(r.feature, r.needs) for r in SYSREGS}):
        rows.append(
            row(
                _title("MRS", feature, needs), "1101010100 1 1 sysreg:15 Rt", move_from_register, feature=feature,
                needs=needs, oracle="qemu", capstone="mrs", shape_of={"sysreg": _read_shape},
                where=_group(feature, needs),
            )
        )  # fmt: skip
    for feature, needs, sync in sorted({(r.feature, r.needs, r.sync) for r in SYSREGS}):
        rows.append(
            row(
                _title("MSR (register)", feature, needs, "sync" if sync else ""), "1101010100 0 1 sysreg:15 Rt",
                move_to_register, feature=feature, needs=needs, oracle="qemu", capstone="msr",
                shape_of={"sysreg": _write_shape}, where=_group(feature, needs, sync), ends="sync" if sync else "",
                sync=sync,
            )
        )  # fmt: skip
    for name, bit, layout in (("MRS", True, "1101010100 1 1"), ("MSR (register)", False, "1101010100 0 1")):
        rows.append(
            row(
                f"{name} [unknown]", f"{layout} sysreg:15 Rt", unknown_register, holes="sysreg", oracle="qemu",
                capstone=name[:3].lower(), ends="jump", read=bit,
            )
        )  # fmt: skip
    return rows


# -- MSR (immediate) ---------------------------------------------------------------------------------------------------
def _daif_syndrome(i: Insn, op2: int) -> Value:
    """As for MSR (register) with op0 = 0, op1 = 3, CRn = 4 and Rt = 31."""
    return (i.CRm << 1) + (EC_SYSTEM << 26 | IL | op2 << 17 | 3 << 14 | 4 << 10 | 31 << 5)


def daif_set(b: A64, i: Insn) -> None:
    if i.mode.el == 0:
        trap_el0(b, fx.sctlr_clear(SCTLR_UMA)(b, True), _daif_syndrome(i, 6))
    set_byte(b, "daif", byte(b, "daif") | i.CRm)


def daif_clear(b: A64, i: Insn) -> None:
    if i.mode.el == 0:
        trap_el0(b, fx.sctlr_clear(SCTLR_UMA)(b, True), _daif_syndrome(i, 7))
    set_byte(b, "daif", byte(b, "daif") & ~i.CRm)
    fx.look_behind(b)


def stack_select(b: A64, i: Insn) -> None:
    if i.mode.el == 0:
        b.undefined()
        return
    bank_stack_pointer(b, i.CRm & 1)


def privileged_access_never(b: A64, i: Insn) -> None:
    if i.mode.el == 0:
        b.undefined()
        return
    set_byte(b, "pan", i.CRm & 1)
    b.call("set_privilege")


def _immediate(name: str, op1: str, op2: str, lift: Any, **more: Any) -> Row:
    return row(
        f"MSR (immediate) {name}", f"1101010100 0 00 {op1} 0100 CRm {op2} 11111", lift, holes="CRm", oracle="qemu",
        capstone="msr", **more,
    )  # fmt: skip


# -- hints and barriers ------------------------------------------------------------------------------------------------
def nop(b: A64, i: Insn) -> None:
    pass


def _wait(b: A64, reason: Exit) -> None:
    b.stenv(ENV.pc, b.pc() + 4)
    put(b, "exit_reason", reason)
    b.leave("exit")


def wait_for_interrupt(b: A64, i: Insn) -> None:
    """WFI: an interrupt line ends it, masked or not.  It traps from EL0 only where it would wait."""

    def nothing_pending() -> None:
        if i.mode.el == 0:
            trap_el0(b, fx.sctlr_clear(SCTLR_NTWI)(b, False), EC_WFX << 26 | IL | ALWAYS)
        _wait(b, Exit.WFI)

    b.when(get(b, "irq_lines").eq(0), nothing_pending)
    b.sync()


def wait_for_event(b: A64, i: Insn) -> None:
    """WFE: the event register ends it at once."""

    def no_event() -> None:
        if i.mode.el == 0:
            trap_el0(b, fx.sctlr_clear(SCTLR_NTWE)(b, False), EC_WFX << 26 | IL | ALWAYS | 1)
        asleep = b.call("wait_for_event", type=I64)
        b.when(asleep.ne(0), lambda: _wait(b, Exit.WFE), likely=False)

    b.cond(get(b, "event_register").eq(0), no_event, lambda: put(b, "event_register", 0))
    b.sync()


def send_event(b: A64, i: Insn, *, local: bool) -> None:
    put(b, "event_register", 1)
    if not local:
        b.when(get(b, "peers").ne(0), lambda: b.call("send_event"), likely=False)


def clear_exclusive(b: A64, i: Insn) -> None:
    b.stenv(ENV.excl_addr, b.const(NO_ADDRESS))


def memory_barrier(b: A64, i: Insn) -> None:
    """DMB by its kinds below."""
    b.fence(("full", "acquire", "release")[i.CRm])


def synchronization_barrier(b: A64, i: Insn) -> None:
    """DSB: as DMB, and TLB maintenance is complete on all CPUs."""
    kind = ("full", "acquire")[i.CRm]

    def wait() -> None:
        b.fence()
        b.call("maintenance_done")

    def probe() -> tuple[Value, Callable[[], None]]:
        return get(b, "log_issued").eq(0), lambda: b.fence(kind)

    b.either(probe, wait)


def _dmb_kind(crm: int) -> int:
    """For loads (CRm<1:0> = 01), for stores (10), or full."""
    return (0, 1, 2, 0)[crm & 3]


def _dsb_kind(crm: int) -> int:
    """As DMB, but nothing behind a DSB is done before what it waits for: loads behind stores neither."""
    return (0, 1, 0, 0)[crm & 3]


def instruction_barrier(b: A64, i: Insn) -> None:
    b.sync()


def _hint(name: str, crm: str, op2: str, lift: Any, **more: Any) -> Row:
    return row(name, f"1101010100 0 00 011 0010 {crm} {op2} 11111", lift, **{"oracle": "qemu", **more})


def _barrier(name: str, opc: str, lift: Any, **more: Any) -> Row:
    more = {"oracle": "qemu"} | more
    return row(name, f"1101010100 0 00 011 0011 CRm {opc} 11111", lift, **more)


# -- SYS: cache, address translation and TLB maintenance ---------------------------------------------------------------
def _system_trap(b: A64, i: Insn, control: int) -> None:
    """From EL0, trapped while this bit of SCTLR_EL1 is 0."""
    if i.mode.el:
        return
    key = i.row.value >> 5 & 0x3FFF
    op1, crn, crm, op2 = key >> 11, key >> 7 & 15, key >> 3 & 15, key & 7
    base = EC_SYSTEM << 26 | IL | 1 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1
    syndrome = i.hole("syndrome", lambda f: base | f.Rt << 5, 0, (1 << 32) - 1)
    trap_el0(b, fx.sctlr_clear(control)(b, True), syndrome)


def _faulting(b: A64, status: Value) -> None:
    b.leave_if(status.ne(0), "data_fault")


def data_cache(b: A64, i: Insn, *, el: int, write: bool = False) -> None:
    """DC by address: caches don't show, faults do."""
    if i.mode.el < el:
        b.undefined()
        return
    _system_trap(b, i, SCTLR_UCI)
    b.stenv(ENV.pc_off, b.pc_offset(I32))
    desc = 1 | mmu.CACHE | (access.WRITE if write else 0)
    _faulting(b, b.call("probe_address", b.X(i.Rt), b.const(desc), type=I64))


def data_cache_zero(b: A64, i: Insn) -> None:
    """DC ZVA: the block of 64 bytes around the address."""
    _system_trap(b, i, SCTLR_DZE)
    va = b.X(i.Rt)
    # the block lies in one page; faults report the address as it was given
    host = b.ptradd(access.host_pointer(b, va, 1, atomic=False), (va & -ZVA_SIZE) - va)
    zero = b.const(0, vec(16, I8))
    for at in range(0, ZVA_SIZE, 16):
        b.st(b.ptradd(host, at), zero)
    b.wrote(host, ZVA_SIZE)


def privileged_nothing(b: A64, i: Insn) -> None:
    """Cache maintenance by set and way, or of everything: nothing that shows.  UNDEFINED at EL0."""
    if i.mode.el == 0:
        b.undefined()
    elif i.row.ends == "sync":
        b.sync()


def instruction_cache_va(b: A64, i: Insn) -> None:
    """IC IVAU: stores drop translated code by themselves, and what is left is to look for new code."""
    _system_trap(b, i, SCTLR_UCI)
    b.sync()


def address_translation(b: A64, i: Insn, *, kind: int) -> None:
    if i.mode.el == 0:
        b.undefined()
        return
    b.stenv(ENV.pc_off, b.pc_offset(I32))
    _faulting(b, b.call("address_translate", b.X(i.Rt), b.const(kind), type=I64))


def tlb_maintenance(b: A64, i: Insn, *, what: str, broadcast: bool) -> None:
    """TLBI.  The operand: VA<55:12> in bits 43..0, the ASID in bits 63..48."""
    if i.mode.el == 0:
        b.undefined()
        return
    operand = b.X(i.Rt)
    va, asid = (operand << 20).ashr(8), operand.lshr(48)
    args = {"tlbi_all": (), "tlbi_asid": (asid,), "tlbi_va": (va, asid), "tlbi_va_all_asid": (va,)}[what]

    def here() -> None:
        b.call(what, *args)

    def everywhere() -> None:
        b.call("request", b.const(TLBI_KINDS.index(what)), operand, type=I64)
        b.call("catch_up")

    if broadcast:
        b.cond(get(b, "peers").eq(0), here, everywhere)
    else:
        here()


def _sys(name: str, op1: str, crn: str, crm: str, op2: str, lift: Any, **more: Any) -> Row:
    return row(
        name, f"1101010100 0 01 {op1} {crn} {crm} {op2} Rt", lift,
        **{"oracle": "qemu", "capstone": f"{name.split()[0].lower()} sys", **more},
    )  # fmt: skip


def _tlbi_rows() -> list[Row]:
    rows: list[Row] = []
    forms = (
        ("VMALLE1", "000", "tlbi_all"), ("VAE1", "001", "tlbi_va"), ("ASIDE1", "010", "tlbi_asid"),
        ("VAAE1", "011", "tlbi_va_all_asid"), ("VALE1", "101", "tlbi_va"), ("VAALE1", "111", "tlbi_va_all_asid"),
    )  # fmt: skip
    for suffix, crm in (("IS", "0011"), ("", "0111")):
        for name, op2, what in forms:
            rows.append(
                _sys(
                    f"TLBI {name}{suffix}", "000", "1000", crm, op2, tlb_maintenance, what=what, broadcast=bool(suffix)
                )
            )
    return rows


_AT_KINDS = (("S1E1R", 0), ("S1E1W", mmu.AT_WRITE), ("S1E0R", mmu.AT_EL0), ("S1E0W", mmu.AT_EL0 | mmu.AT_WRITE))

# What is a hint to a CPU without the feature has a name of its own all the same
_HINTS = (
    "hint esb psb tsb dgh bti csdb xpaclri pacia1716 pacib1716 autia1716 autib1716 paciaz paciasp pacibz pacibsp "
    "autiaz autiasp autibz autibsp"
)
_DSB = "dsb ssbb pssbb dfb"

ROWS = [
    _hint("NOP", "0000", "000", nop, oracle="unicorn"),
    _hint("YIELD", "0000", "001", nop, oracle="unicorn"),
    _hint("WFE", "0000", "010", wait_for_event, ends="sync"),
    _hint("WFI", "0000", "011", wait_for_interrupt, ends="sync"),
    _hint("SEV", "0000", "100", send_event, local=False),
    _hint("SEVL", "0000", "101", send_event, local=True),
    _hint("HINT", "CRm", "op2", nop, holes="CRm op2", oracle="unicorn", capstone=_HINTS),
    _barrier("CLREX", "010", clear_exclusive, holes="CRm"),
    _barrier("DSB", "100", synchronization_barrier, oracle="unicorn", shape_of={"CRm": _dsb_kind}, capstone=_DSB),
    _barrier("DMB", "101", memory_barrier, oracle="unicorn", shape_of={"CRm": _dmb_kind}),
    _barrier("ISB", "110", instruction_barrier, holes="CRm", ends="sync"),
    _immediate("SPSel", "000", "101", stack_select),
    _immediate("DAIFSet", "011", "110", daif_set),
    _immediate("DAIFClr", "011", "111", daif_clear),
    _immediate("PAN", "000", "100", privileged_access_never, feature="FEAT_PAN"),
    *_register_rows(),
    _sys("DC IVAC", "000", "0111", "0110", "001", data_cache, el=1, write=True),
    _sys("DC ISW", "000", "0111", "0110", "010", privileged_nothing),
    _sys("DC CSW", "000", "0111", "1010", "010", privileged_nothing),
    _sys("DC CISW", "000", "0111", "1110", "010", privileged_nothing),
    _sys("DC ZVA", "011", "0111", "0100", "001", data_cache_zero),
    _sys("DC CVAC", "011", "0111", "1010", "001", data_cache, el=0),
    _sys("DC CVAU", "011", "0111", "1011", "001", data_cache, el=0),
    _sys("DC CIVAC", "011", "0111", "1110", "001", data_cache, el=0),
    _sys("IC IALLUIS", "000", "0111", "0001", "000", privileged_nothing, ends="sync"),
    _sys("IC IALLU", "000", "0111", "0101", "000", privileged_nothing, ends="sync"),
    _sys("IC IVAU", "011", "0111", "0101", "001", instruction_cache_va, ends="sync"),
    *(
        _sys(f"AT {name}", "000", "0111", "1000", f"{k:03b}", address_translation, kind=kind)
        for k, (name, kind) in enumerate(_AT_KINDS)
    ),
    *_tlbi_rows(),
]
