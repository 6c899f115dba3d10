"""x86-64 hosts: target description, floating-point control, relocations.

The least CPU is x86-64-v2 (SSE4.2, POPCNT, CMPXCHG16B); what more the CPU has, LLVM uses.
Section numbers are those of the System V ABI, AMD64 supplement, 4.4 (relocation).
"""

from __future__ import annotations

from collections.abc import Callable

from jit.host.x86_64_crypto import DECLARATIONS as CRYPTO_DECLARATIONS  # noqa: F401
from jit.host.x86_64_crypto import RULES as CRYPTO_RULES  # noqa: F401

TRIPLE = "x86_64-unknown-linux-gnu"
LEAST_CPU = "x86-64-v2"
LEAST_FEATURES = frozenset(("sse4.2",))
ENV_REGISTER = "r12"  # where stencils have the address of the CPU state
CODE_MODEL = "small"
# R_X86_64_*: how a hole or symbol is written into the code
RELOC_ABS64, RELOC_ABS32, RELOC_ABS32S, RELOC_ABS16, RELOC_ABS8 = 1, 10, 11, 12, 14
RELOC_PC32, RELOC_PLT32 = 2, 4
ABSOLUTE = {RELOC_ABS64: "Q", RELOC_ABS32: "I", RELOC_ABS32S: "i", RELOC_ABS16: "H", RELOC_ABS8: "B"}
FMA: str | None = "fma"  # the feature that the op of that name needs
VECTOR_UTOF: str | None = "avx512vl"  # the feature that vectors of unsigned 32-bit numbers convert with
RELATIVE = {RELOC_PC32: "i", RELOC_PLT32: "i"}
FIELDS: dict[str, Callable[[int, int], int]] = {}  # holes are whole bytes
# of each format: (mask, right, left) of the bits that get (number >> right & mask) << left
BITS = {fmt: ((1 << 8 * size) - 1, 0, 0) for fmt, size in (("Q", 8), ("I", 4), ("i", 4), ("H", 2), ("B", 1))}
JUMP_SIZE, JUMP_FIELD = 5, 1  # bytes of a direct jump, and where in it the displacement is
RELAX = ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()")
BRANCH_FIELD, BRANCH_BIAS = BITS["i"], 4  # how a displacement is written, and where it counts from
BRANCH_REACH = 1 << 31
PUBLISHES = False  # instruction fetch sees what was stored


def is_jump(code: bytes) -> bool:
    """Whether this is jmp rel32: a stencil's tail call to the code behind it, cut off where last."""
    return code[0] == 0xE9


def swap_last_branch(code: bytes, conditional: int, last: int) -> bytes | None:
    """`jcc A; jmp B` at the end of `code`, displacements at those offsets, as `jncc B; jmp A`; None where it isn't.

    The caller exchanges the two targets.
    """
    if last != len(code) - 4 or conditional != last - 5 or code[last - 1] != 0xE9:
        return None
    if code[conditional - 2] != 0x0F or code[conditional - 1] & 0xF0 != 0x80:
        return None
    return code[: conditional - 1] + bytes([code[conditional - 1] ^ 1]) + code[conditional:]


def jump(distance: int) -> bytes:
    """A jump to `distance` bytes from its own first byte."""
    return b"\xe9" + (distance - 5).to_bytes(4, "little", signed=True)


def publish(address: int, size: int) -> None:
    """Code was written at `address` through another mapping: x86 fetches what was stored."""


def publish_address() -> int:
    """The C function (start, end) that does that, where PUBLISHES."""
    return 0


# code that does nothing, by length
NOPS = (
    b"", b"\x90", b"\x66\x90", b"\x0f\x1f\x00", b"\x0f\x1f\x40\x00", b"\x0f\x1f\x44\x00\x00",
    b"\x66\x0f\x1f\x44\x00\x00", b"\x0f\x1f\x80\x00\x00\x00\x00",
)  # fmt: skip

# The small code model stores any symbol as a sign-extended imm32, whatever its declared range: a wide hole is
# therefore first moved to a register behind an empty asm, which LLVM does not look through.
OPAQUE = 'call i64 asm "", "=r,0"(i64 {})'

# Guest registers live in memory, and a chain of instructions goes through it.  Recent CPUs (AMD since Zen 2, Intel
# since Golden Cove) forward a store to a later plain `mov` at no cost, but not to an operand of an arithmetic
# instruction (7 cycles): the empty asm keeps LLVM from making the load part of what uses it.
LOAD_ALONE = 'call {t} asm "", "=r,0"({t} {x})'

# Shifts by a hole: LLVM has the immediate form for rotates only, and would spend a register on the amount
SHIFT_BY_HOLE = {
    op: f'call {{t}} asm "{name}{{q}} $2, $0", "=r,0,i,~{{{{flags}}}}"({{t}} {{x}}, i64 {{n}})'
    for op, name in (("shl", "shl"), ("lshr", "shr"), ("ashr", "sar"))
}

# the same of all lanes, and PALIGNR
VECTOR_SHIFTS = {
    (op, bits): f"p{kind}{letter}"
    for op, kind in (("shl", "sll"), ("lshr", "srl"), ("ashr", "sra"))
    for bits, letter in ((16, "w"), (32, "d"), (64, "q"))
    if (op, bits) != ("ashr", 64)
}
ALIGN = "palignr"


def by_hole(name: str, number: str, operands: list[str], features: frozenset[str]) -> str:
    """LLVM text of vector instruction `name` with an immediate, the first operand being what SSE overwrites."""
    t, last = operands[0].rpartition(" ")[0], len(operands) + 1
    others = "".join(f"${k}, " for k in range(len(operands), 1, -1))
    avx = "avx" in features
    text = f"v{name} ${last}, {others}$1, $0" if avx else f"{name} ${last}, {others}$0"
    constraints = ",".join(["=x", "x" if avx else "0", *("x" for _ in operands[1:]), "i"])
    return f'call {t} asm "{text}", "{constraints}"({", ".join(operands)}, i64 {number})'


# MXCSR bits (Intel SDM 1, 10.2.3): IE DE ZE OE UE PE are 0..5, rounding control 13..14.
# DE has no counterpart in IEEE flags and is dropped.
FP_DECLARATIONS = """declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
"""


FP_SLOT = "%mxcsr = alloca i32"  # in the entry block of functions that read or write the control register


def _read(t: str) -> list[str]:
    return ["call void @llvm.x86.sse.stmxcsr(ptr %mxcsr)", f"{t}.m = load i32, ptr %mxcsr"]


def _write(value: str) -> list[str]:
    return [f"store i32 {value}, ptr %mxcsr", "call void @llvm.x86.sse.ldmxcsr(ptr %mxcsr)"]


def fp_flags(result: str) -> list[str]:
    """LLVM text that puts the sticky flags (invalid 1, zero 2, overflow 4, underflow 8, inexact 16) in `result`."""
    t = result
    return [
        *_read(t),
        f"{t}.i = and i32 {t}.m, 1",
        f"{t}.s = lshr i32 {t}.m, 1",
        f"{t}.r = and i32 {t}.s, 30",
        f"{result} = or i32 {t}.i, {t}.r",
    ]


def fp_set_flags(tmp: str, value: str) -> list[str]:
    return [
        *_read(tmp),
        f"{tmp}.c = and i32 {tmp}.m, -64",
        f"{tmp}.i = and i32 {value}, 1",
        f"{tmp}.h = and i32 {value}, 30",
        f"{tmp}.s = shl i32 {tmp}.h, 1",
        f"{tmp}.a = or i32 {tmp}.c, {tmp}.i",
        f"{tmp}.n = or i32 {tmp}.a, {tmp}.s",
        *_write(f"{tmp}.n"),
    ]


def fp_round(result: str) -> list[str]:
    t = result
    return [
        *_read(t),
        f"{t}.d = lshr i32 {t}.m, 12",
        f"{t}.e = and i32 {t}.d, 2",
        f"{t}.u = lshr i32 {t}.m, 14",
        f"{t}.v = and i32 {t}.u, 1",
        f"{t} = or i32 {t}.e, {t}.v",
    ]


def fp_set_round(tmp: str, value: str) -> list[str]:
    # our modes 0 nearest, 1 up, 2 down, 3 zero are MXCSR's 0, 2, 1, 3: the two bits swapped
    return [
        *_read(tmp),
        f"{tmp}.c = and i32 {tmp}.m, -24577",
        f"{tmp}.u = and i32 {value}, 1",
        f"{tmp}.us = shl i32 {tmp}.u, 14",
        f"{tmp}.d = and i32 {value}, 2",
        f"{tmp}.ds = shl i32 {tmp}.d, 12",
        f"{tmp}.a = or i32 {tmp}.c, {tmp}.us",
        f"{tmp}.n = or i32 {tmp}.a, {tmp}.ds",
        *_write(f"{tmp}.n"),
    ]


def ftoi(tmp: str, found: str, t: str, bits: int, operand: str) -> tuple[list[str], str]:
    """What makes LLVM's float to integer conversion the op table's: CVTT* gives the minimum out of range already."""
    return [], found


def table(result: str, values: str, index: str) -> tuple[list[str], str]:
    """16-byte table look-up with 0 for an index past 15; pshufb wants bit 7 set for that."""
    lines = [
        f"{result}.i = call <16 x i8> @llvm.uadd.sat.v16i8(<16 x i8> {index}, <16 x i8> splat (i8 112))",
        f"{result} = call <16 x i8> @llvm.x86.ssse3.pshuf.b.128(<16 x i8> {values}, <16 x i8> {result}.i)",
    ]
    return lines, (
        "declare <16 x i8> @llvm.uadd.sat.v16i8(<16 x i8>, <16 x i8>)\n"
        "declare <16 x i8> @llvm.x86.ssse3.pshuf.b.128(<16 x i8>, <16 x i8>)\n"
    )


def disassemble(code: bytes, address: int) -> str:
    """Host code as text, an instruction a line."""
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.skipdata = True  # what capstone does not know is shown as bytes
    return "\n".join(f"  {a:#x}: {name} {operands}" for a, _, name, operands in engine.disasm_lite(code, address))
