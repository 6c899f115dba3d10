"""Guest memory beyond the inline TLB probe, in IR: fills, faults, devices, page crossings, instruction fetch, AT.

    slow_load(va, desc)       0: the value is in env.scratch.  1: env.fault_esr and env.fault_va are set
    slow_store(va, desc)      the same for the value in env.scratch
    slow_probe(va, desc)      0: env.scratch holds a host pointer to memory that may be read and written
    probe_address(va, desc)   0: env.access_pa is the physical address; for cache maintenance
    fetch_fill(pc)            0: the exec TLB has pc's page.  env.pc loses an address tag
    address_translate(va, kind)   AT: sets PAR_EL1.  1: a fault to be taken (external abort on the walk)
    regime_changed()          after a change of SCTLR_EL1, TCR_EL1 or MAIR_EL1
    set_regime(), set_privilege(), tlbi_*(), protect_page(), fetch_flush()     see targets/arm/tlb.py

`desc` is made by targets/arm/access.py: size in bytes and flags.  Cache maintenance says 1 | CACHE, DC IVAC also WRITE.

Callbacks: mmio_read(env, pa, size) -> value and mmio_write(env, pa, size, value), with sizes 1, 2, 4 and 8 and `pa`
aligned; they set env.bus_fault where nothing answers.  resolve(pa of a page) -> host address of RAM or ROM outside the
main RAM, plus 1 if stores may go there directly, or 0.  code_write(pa, size): a store went to a page that holds code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

from jit.ir import Builder, Function, Value
from jit.types import I64, PTR
from targets.arm import slow_access, tlb
from targets.arm import walk as w
from targets.arm.dispatch import XTLB_PHYSICAL, XTLB_TABLE, xtlb_entry
from targets.arm.env import ENV
from targets.arm.slow_access import CACHE, IL, same_level, set_fault
from targets.arm.state import address, cold, get, guarded_callback, put, run, shr
from targets.arm.tlb import SLOTS, SLOTS_BYTES
from targets.arm.trace import Mmu, report_mmu

EC_INSTRUCTION_ABORT, EC_PC_ALIGNMENT = 0x20, 0x22

# address_translate
AT_WRITE, AT_EL0, AT_PAN = 1, 2, 4

PAR_F, PAR_RES1, PAR_NS, PAR_SH = 1 << 0, 1 << 11, 1 << 9, 7
NORMAL_NON_CACHEABLE, OUTER_SHAREABLE = 0x44, 2


# -- instruction fetch ------------------------------------------------------------------------------------------------
def _untagged(b: Builder, pc: Value) -> Value:
    """AArch64.BranchAddr: where the top byte is ignored, it is a copy of bit 55."""
    tbi = shr(get(b, "tcr_el1"), pc.bits(55, 1) + w.TCR_TBI0).bit(0)
    return b.select(tbi, (pc << 8).ashr(8), pc)


def fetch_fill() -> Function:
    b = Builder("fetch_fill", ret=I64, args=(I64,))
    pc = _untagged(b, b.args[0])
    put(b, "pc", pc)

    def misaligned() -> Value:
        return set_fault(b, pc, b.const((EC_PC_ALIGNMENT << 26) | IL))

    b.ret(b.cond((pc & 3).ne(0), misaligned, lambda: _fetch(b, pc), likely=False))
    return b.function


def _fetch(b: Builder, pc: Value) -> Value:
    walked = b.call("walk", pc, type=I64)
    right = b.select(get(b, "el").eq(0), b.const(w.EXEC_EL0), b.const(w.EXEC_EL1))

    def refused() -> Value:
        status = b.select(walked.slt(0), walked & 0x3F, walked.bits(w.LEVEL_SHIFT, 2) + w.PERMISSION)
        return _fetch_fault(b, pc, status)

    return b.cond(walked.slt(0) | (walked & right).eq(0), refused, lambda: _fetch_entry(b, pc, walked), likely=False)


def _fetch_fault(b: Builder, pc: Value, status: Value) -> Value:
    return set_fault(b, pc, ((same_level(b) + EC_INSTRUCTION_ABORT) << 26) | IL | status)


def _fetch_entry(b: Builder, pc: Value, walked: Value) -> Value:
    page = walked & w.PA_MASK
    offset = page - get(b, "ram_base")
    empty = get(b, "empty_table")

    def in_ram() -> Value:
        directory = b.ldenv((get(b, "el").zext(I64) & 1) * 8 + ENV["page_dir"].offset, PTR)
        table = b.ld(b.ptradd(directory, offset.lshr(12) << 3), PTR)
        return b.select(address(b, table).ne(0), table, empty)

    def elsewhere() -> Value:
        # the translator finds the page itself, and puts its table into the entry
        host = guarded_callback(b, "resolve", page, type=PTR)
        return b.select(address(b, host).ne(0), empty, host)

    table = b.cond(offset.ult(get(b, "ram_size")), in_ram, elsewhere, likely=True)

    def fill() -> Value:
        at = xtlb_entry(b, pc)
        b.st(at, pc & -4096)
        b.st(b.ptradd(at, XTLB_TABLE), table)
        b.st(b.ptradd(at, XTLB_PHYSICAL), page)
        report_mmu(b, Mmu.FETCH, pc, walked)
        b.when(walked.uge(tlb.SIZE_2M), lambda: run(b, "note_block", pc, walked), likely=False)
        tlb.note_low_global(b, pc, walked)
        return b.const(0)

    return b.cond(address(b, table).ne(0), fill, lambda: _fetch_fault(b, pc, b.const(w.EXTERNAL)), likely=True)


# -- translation for its own sake -------------------------------------------------------------------------------------
def probe_address() -> Function:
    b = Builder("probe_address", ret=I64, args=(I64, I64))
    va, desc = b.args
    walked = b.call("walk", va, type=I64)
    put(b, "access_pa", (walked & w.PA_MASK) | (va & 4095))
    b.ret(b.call("access_check", va, desc, walked, type=I64))
    return b.function


def address_translate() -> Function:
    b = Builder("address_translate", ret=I64, args=(I64, I64))
    va, kind = b.args
    walked = b.call("walk", va, type=I64)
    status = walked & 0x3F
    on_walk = walked.slt(0) & (status & 0x3C).eq(w.EXTERNAL_ON_WALK)

    def abort() -> Value:
        return b.call("data_fault_at", va, b.const(CACHE), status, type=I64)

    def report() -> Value:
        put(b, "par_el1", b.cond(walked.slt(0), lambda: _par_fault(b, status), lambda: _par(b, kind, walked)))
        return b.const(0)

    b.ret(b.cond(on_walk, abort, report, likely=False))
    return b.function


def _par_fault(b: Builder, status: Value) -> Value:
    return (status << 1) | (PAR_F | PAR_RES1)


def _par(b: Builder, kind: Value, walked: Value) -> Value:
    """PAR_EL1 for an address that has a translation; the access may still not be allowed."""
    hidden = (kind & AT_PAN).ne(0) & get(b, "pan").ne(0) & (walked & w.READ_EL0).ne(0)
    el1 = b.select(hidden, b.const(0), walked.lshr(w.EL1_SHIFT))
    rights = b.select((kind & AT_EL0).ne(0), walked, el1)
    allowed = rights & b.select((kind & AT_WRITE).ne(0), b.const(2), b.const(1))

    def success() -> Value:
        attributes = walked.bits(w.ATTR_SHIFT, 8)
        # Device and Normal non-cacheable memory are outer shareable whatever the descriptor says
        outer = (attributes & 0xF0).eq(0) | attributes.eq(NORMAL_NON_CACHEABLE)
        shareability = b.select(outer, b.const(OUTER_SHAREABLE), walked.bits(w.SH_SHIFT, 2))
        return (attributes << 56) | (walked & w.PA_MASK) | (shareability << PAR_SH) | (PAR_RES1 | PAR_NS)

    level = walked.bits(w.LEVEL_SHIFT, 2)
    return b.cond(allowed.ne(0), success, lambda: _par_fault(b, level + w.PERMISSION))


def regime_changed() -> Function:
    b = Builder("regime_changed")
    b.call("tlbi_all")
    b.call("set_regime")
    b.ret()
    return b.function


def functions() -> list[Function]:
    """The runtime functions of the MMU; watch_check is a stand-in that another file's may replace."""
    rare = cold(f() for f in (probe_address, address_translate, regime_changed))
    return [*w.functions(), *tlb.functions(), *slow_access.functions(), *rare, fetch_fill()]


# -- set-up -----------------------------------------------------------------------------------------------------------
def init_env(env: int, pa_bits: int = 44, granules: tuple[int, ...] = (12, 16), flat: bool = False) -> None:
    """Prepare the state at host address `env` for its first set_regime(), at start-up and at each reset.

    The vCPU sets once, before: slots (SLOTS_BYTES of zeroed memory), ram_base, ram_size, ram_host, ram_flags (a byte a
    RAM page), empty_table, page_dir, and the callbacks.  pa_bits and granules (log2 of sizes) are the CPU model's, as
    ID_AA64MMFR0_EL1 says.  Registers are at their reset values; then `set_regime` runs natively.
    """
    values: Mapping[str, int] = {
        "pa_bits": pa_bits, "granules": w.granule_table(granules), "flat": flat, "watch_active": 0, "bus_fault": 0,
        "walk_abort": 0, "low_global": 0, "slot": 0, "slot_clock": 0,
    }  # fmt: skip
    for name, value in values.items():
        field = ENV[name]
        ctypes.memmove(env + field.offset, int(value).to_bytes(field.type.bytes, "little"), field.type.bytes)
    for name in ("slot_asid", "slot_used"):
        ctypes.memset(env + ENV[name].offset, 0, 8 * SLOTS)


__all__ = ["AT_EL0", "AT_PAN", "AT_WRITE", "CACHE", "SLOTS_BYTES", "functions", "init_env"]
