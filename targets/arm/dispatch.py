"""How native code goes from block to block, and in and out: runtime functions in IR.

`lookup` is the one way to a virtual address: env.pc through the exec TLB to the page's entry table and on to the code.
An exec-TLB entry is 32 bytes: page VA, address of the page's entry table, physical page, and a spare word.
"""

from __future__ import annotations

from jit.ir import Builder, Function, Value
from jit.types import I1, I32, I64, PTR
from targets.arm.a64.lift import PAGE
from targets.arm.env import ENV
from targets.arm.exits import Exit

XTLB_BITS = 8
XTLB_ENTRY_BITS = 5
XTLB_TAG, XTLB_TABLE, XTLB_PHYSICAL = 0, 8, 16
XTLB_SIZE = 1 << (XTLB_BITS + XTLB_ENTRY_BITS)


def xtlb_entry(b: Builder, pc: Value) -> Value:
    index = pc.lshr(12 - XTLB_ENTRY_BITS) & (((1 << XTLB_BITS) - 1) << XTLB_ENTRY_BITS)
    return b.ptradd(b.ldenv(ENV.xtlb, PTR), index)


def lookup() -> Function:
    """Go on at env.pc: see what waits, find the page, find the code."""
    b = Builder("lookup", kind="stencil")
    b.leave_if(b.ldenv(ENV.attn, I32).ne(0), "attention")
    pc = b.ldenv(ENV.pc, I64)
    entry = xtlb_entry(b, pc)
    # bits 1..0 stay in the compared value: a misaligned pc misses and faults in fetch_fill
    hit = b.ld(entry, I64).eq(pc & ~(PAGE - 4))
    b.leave_if(~hit, "lookup_miss")
    enter_page(b, pc, entry)
    return b.function


def lookup_miss() -> Function:
    """The page is not in the exec TLB: walk, and fault or go on.  A tagged pc loses its tag in fetch_fill."""
    b = Builder("lookup_miss", kind="stencil")
    b.stenv(ENV.n_fetch_miss, b.ldenv(ENV.n_fetch_miss, I64) + 1)
    status = b.call("fetch_fill", b.ldenv(ENV.pc, I64), type=I64)
    b.leave_if(status.ne(0), "fetch_fault")
    pc = b.ldenv(ENV.pc, I64)
    enter_page(b, pc, xtlb_entry(b, pc))
    return b.function


def enter_page(b: Builder, pc: Value, entry: Value) -> None:
    """Jump to the code of env.pc, whose page is in the exec TLB."""
    table = b.ld(b.ptradd(entry, XTLB_TABLE), PTR)
    offset = b.ld(b.ptradd(table, pc & (PAGE - 4)), I32)
    b.stenv(ENV.pc_base, pc & -PAGE)
    b.goto_ptr(b.ptradd(b.ldenv(ENV.code_base, PTR), offset.zext(I64)))


def fetch_fault() -> Function:
    b = Builder("fetch_fault", kind="stencil")
    b.stenv(ENV.far_el1, b.ldenv(ENV.fault_va, I64))
    b.goto("take_exception")
    return b.function


def translate() -> Function:
    """No code for env.pc yet.  Reached from an empty entry table and from links."""
    b = Builder("translate", kind="stencil")
    b.leave_if(b.call("translate_here", type=I64).ne(0), "lookup")
    b.stenv(ENV.exit_reason, b.const(Exit.TRANSLATE, I32))
    b.goto("exit")
    return b.function


def _mode_key(b: Builder, el: int) -> Value:
    """Mode.key of the present state at one exception level (see Mode in targets/arm/a64/lift.py)."""
    fpen = b.ldenv(ENV.cpacr_el1, I64).lshr(20) & 3
    fp = fpen.eq(3) if el == 0 else (fpen & 1).ne(0)
    fpx = (b.ldenv(ENV.fpcr, I64) & (7 << 24)).ne(0)
    return b.const(el) | (fp.zext(I64) << 1) | (b.ldenv(ENV.step_mode, I64) & 4) | (fpx.zext(I64) << 3)


def mode_changed() -> Function:
    """After a write that may change the block mode: aim page_dir at the modes' directories, forget where pages are.

    The caller ends its block.  `dirs` holds MODES directories of `dir_bytes` each: a table pointer a RAM page.
    """
    b = Builder("mode_changed")
    changed = b.const(0, I1)
    dirs = b.ldenv(ENV.dirs, PTR)
    for el in (0, 1):
        at = ENV["page_dir"].at(el)
        new = b.ptradd(dirs, _mode_key(b, el) * b.ldenv(ENV.dir_bytes, I64))
        changed = changed | b.op("ptrtoint", new, type=I64).ne(b.op("ptrtoint", b.ldenv(at, PTR), type=I64))
        b.stenv(at, new)
    b.when(changed, lambda: b.call("fetch_flush"))
    b.ret()
    return b.function


def exit_code() -> Function:
    b = Builder("exit", kind="stencil")
    b.ret()
    return b.function


def resync() -> Function:
    """Leave a block whose code may be stale: go on behind the instruction at pc_off."""
    b = Builder("resync", kind="stencil")
    b.stenv(ENV.pc, b.ldenv(ENV.pc_base, I64) + b.ldenv(ENV.pc_off, I32).zext(I64) + 4)
    b.goto("lookup")
    return b.function


def poll() -> Function:
    """At the head of loops: leave where something waits.  The way out is a slow path, behind the block."""
    b = Builder("poll", kind="stencil")
    b.leave_if(b.ldenv(ENV.attn, I32).ne(0), "SLOW")
    b.next()
    out = Builder("poll", kind="stencil")
    out.stenv(ENV.pc, out.ldenv(ENV.pc_base, I64) + out.hole("PC", 0, PAGE - 4))
    out.goto("attention")
    b.function.slow = out.function
    return b.function


def link() -> Function:
    """A jump to an offset of this page that has no code yet, or is not known to: see link_hit."""
    b = Builder("link", kind="stencil")
    b.stenv(ENV.pc, b.ldenv(ENV.pc_base, I64) + b.hole("PC", 0, PAGE - 4))
    b.stenv(ENV.link_place, b.hole("HERE", 0, (1 << 31) - 1))
    b.goto("link_hit")
    return b.function


def plain_link() -> Function:
    """A jump to an offset of this page, or its end, that stays one through `lookup`."""
    b = Builder("plain_link", kind="stencil")
    b.stenv(ENV.pc, b.ldenv(ENV.pc_base, I64) + b.hole("PC", 0, PAGE))
    b.goto("lookup")
    return b.function


def link_hit() -> Function:
    """From a link: `lookup`, and where there is code the branch at env.link_place goes there from now on.

    Both are of one page and mode.  Where the page has been invalidated meanwhile, no one comes to that branch any more.
    """
    b = Builder("link_hit", kind="stencil")
    b.leave_if(b.ldenv(ENV.attn, I32).ne(0), "attention")
    pc = b.ldenv(ENV.pc, I64)
    entry = xtlb_entry(b, pc)
    b.leave_if(b.ld(entry, I64).ne(pc & ~(PAGE - 4)), "lookup_miss")
    table = b.ld(b.ptradd(entry, XTLB_TABLE), PTR)
    offset = b.ld(b.ptradd(table, pc & (PAGE - 4)), I32).zext(I64)
    place = b.ldenv(ENV.link_place, I64)
    written, run = b.ldenv(ENV.code_written, PTR), b.ldenv(ENV.code_base, PTR)
    b.when(offset.ne(0), lambda: b.call("patch_link", written, run, place, offset))
    enter_page(b, pc, entry)
    return b.function


def enter() -> Function:
    """The C function that runs guest code: (env, address of code).  FP modes and flags move in and out."""
    b = Builder("enter", args=(PTR,))
    several = b.ldenv(ENV.peers, I32).ne(0)
    b.when(several, lambda: b.call("come_in"))
    b.op("fp_set_round", (b.ldenv(ENV.fpcr, I64).lshr(22) & 3).trunc(I32))
    b.op("fp_set_flags", b.ldenv(ENV.fpsr, I64).trunc(I32) & 31)
    b.op("run_code", b.args[0])
    flags = b.emit("fp_flags", I32)
    b.stenv(ENV.fpsr, (b.ldenv(ENV.fpsr, I64) & 0x80) | flags.zext(I64))
    b.op("fp_set_flags", b.const(0, I32))
    b.op("fp_set_round", b.const(0, I32))
    b.when(several, lambda: b.call("go_out"))
    b.ret()
    return b.function


def functions() -> list[Function]:
    return [
        f() for f in (translate, exit_code, lookup, lookup_miss, link_hit, fetch_fault, resync, enter, mode_changed)
    ]
