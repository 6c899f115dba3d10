"""Branches, exception generating and returning instructions (C4.1.88 to C4.1.94): semantics and rows.

The direct target of a pc-relative branch is pc + 4 * sign_extend(imm26, imm19 or imm14): engines rely on these names.
"""

from __future__ import annotations

from typing import Any

from jit.types import I1, I32
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import row
from targets.arm.env import ENV
from targets.arm.exits import Exit

LINK = ENV.x + 8 * 30

# Exception classes, ESR_EL1.EC (D19.2.37), and the bit that says "32-bit instruction"
EC_SVC, EC_HVC, EC_BRK = 0x15, 0x16, 0x3C
IL = 1 << 25


def branch(b: A64, i: Insn, *, link: bool) -> None:
    """B and BL."""
    if link:
        b.stenv(LINK, b.pc() + 4)
    b.jump(i.simm("imm26", 4))


def branch_register(b: A64, i: Insn, *, link: bool) -> None:
    """BR, BLR and RET: the target is read before x30 is written."""
    target = b.X(i.Rn)
    if link:
        b.stenv(LINK, b.pc() + 4)
    b.jump_register(target)


def branch_conditional(b: A64, i: Insn) -> None:
    b.jump_if(b.condition_holds(i.cond), i.simm("imm19", 4))


def compare_and_branch(b: A64, i: Insn, *, nonzero: bool) -> None:
    x = b.X(i.Rt, i.datasize)
    b.jump_if(x.ne(0) if nonzero else x.eq(0), i.simm("imm19", 4))


def test_and_branch(b: A64, i: Insn, *, nonzero: bool) -> None:
    position = i.hole("bit", lambda f: f.b5 << 5 | f.b40, 0, 63)
    bit = b.X(i.Rt).lshr(position).trunc(I1)
    b.jump_if(bit if nonzero else ~bit, i.simm("imm14", 4))


def supervisor_call(b: A64, i: Insn) -> None:
    b.raise_exception(i.imm16 + (EC_SVC << 26 | IL), 4)


def hypervisor_call(b: A64, i: Insn) -> None:
    """HVC: the machine's firmware answers where there is no EL2; UNDEFINED at EL0."""
    if i.mode.el == 0:
        b.undefined()
        return
    b.stenv(ENV.fault_esr, i.imm16 + (EC_HVC << 26 | IL))
    b.stenv(ENV.pc, b.pc() + 4)
    b.stenv(ENV.exit_reason, b.const(Exit.HYPERCALL, I32))
    b.goto("exit")


def breakpoint_instruction(b: A64, i: Insn) -> None:
    """BRK: the return address is its own."""
    b.raise_exception(i.imm16 + (EC_BRK << 26 | IL))


def exception_return(b: A64, i: Insn) -> None:
    if i.mode.el == 0:
        b.undefined()
    else:
        b.goto("exception_return")


def undefined(b: A64, i: Insn) -> None:
    """What is UNDEFINED on a CPU without EL3, or outside Debug state with halting debug not allowed."""
    b.undefined()


def _branch_register(name: str, opc: str, *, link: bool = False) -> Any:
    return row(
        name, f"1101011 {opc} 11111 000000 Rn 00000", branch_register, link=link, capstone=name.lower(), ends="jump"
    )


def _compare(name: str, op: int) -> Any:
    return row(name, f"sf 011010 {op} imm19 Rt", compare_and_branch, ends="branch", nonzero=bool(op))


def _test(name: str, op: int) -> Any:
    # b5 and b40 number the bit: one hole
    return row(name, f"b5 011011 {op} b40 imm14 Rt", test_and_branch, holes="b5 b40", ends="branch", nonzero=bool(op))


def _exception(name: str, opc: str, ll: str, lift: Any, *, ends: str = "jump") -> Any:
    return row(name, f"11010100 {opc} imm16 000 {ll}", lift, oracle="qemu", ends=ends)


_B_COND = " ".join(
    f"b.{c}" for c in ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al", "nv")
)

ROWS = [
    row("B", "0 00101 imm26", branch, link=False, ends="jump"),
    row("BL", "1 00101 imm26", branch, link=True, ends="jump"),
    row(
        "B.cond", "0101010 0 imm19 0 cond", branch_conditional, ends="branch", capstone=_B_COND,
        shape_of={"cond": lambda cond: min(cond, 14)},
    ),
    _compare("CBZ", 0),
    _compare("CBNZ", 1),
    _test("TBZ", 0),
    _test("TBNZ", 1),
    _branch_register("BR", "0000"),
    _branch_register("BLR", "0001", link=True),
    _branch_register("RET", "0010"),
    row("ERET", "1101011 0100 11111 000000 11111 00000", exception_return, oracle="qemu", ends="jump"),
    row("DRPS", "1101011 0101 11111 000000 11111 00000", undefined, oracle="qemu", ends="jump"),
    _exception("SVC", "000", "01", supervisor_call),
    _exception("HVC", "000", "10", hypervisor_call),
    _exception("SMC", "000", "11", undefined),
    _exception("BRK", "001", "00", breakpoint_instruction),
    _exception("HLT", "010", "00", undefined),
    _exception("DCPS1", "101", "01", undefined),
    _exception("DCPS2", "101", "10", undefined),
    _exception("DCPS3", "101", "11", undefined),
]  # fmt: skip
