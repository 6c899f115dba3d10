"""AArch64 hosts: target description, floating-point control, relocations.

The flags of the op table are FPSR's own (IOC DZC OFC UFC IXC are bits 0..4) and the rounding modes are FPCR.RMode's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from jit.host.aarch64_crypto import DECLARATIONS as CRYPTO_DECLARATIONS  # noqa: F401
from jit.host.aarch64_crypto import RULES as CRYPTO_RULES  # noqa: F401

TRIPLE = "aarch64-unknown-linux-gnu"
LEAST_CPU = "generic"
LEAST_FEATURES: frozenset[str] = frozenset()
ENV_REGISTER = "x20"  # where stencils have the address of the CPU state
CODE_MODEL = "large"  # holes become MOVZ/MOVK; the small model would make them pc-relative ADRP + ADD
# ELF for the Arm 64-bit Architecture, 5.7, R_AARCH64_*: ABS64; MOVW_UABS_G0 to G3, with an overflow check and without;
# JUMP26 and CALL26.  A format is a struct's, or one of FIELDS.
ABSOLUTE = {257: "Q", 263: "G0", 264: "G0", 265: "G1", 266: "G1", 267: "G2", 268: "G2", 269: "G3"}
RELATIVE = {282: "B26", 283: "B26"}
SHIFT_BY_HOLE: dict[str, str] = {}  # an immediate shift is a bitfield move, whose fields are not the amount
VECTOR_SHIFTS: dict[tuple[str, int], str] = {}
ALIGN = ""
FMA: str | None = None
VECTOR_UTOF: str | None = None  # the feature that vectors of unsigned numbers convert with: always
BITS = {
    "Q": ((1 << 64) - 1, 0, 0), "B26": (0x03FF_FFFF, 2, 0), **{f"G{k}": (0xFFFF, 16 * k, 5) for k in range(4)}
}  # fmt: skip
JUMP_SIZE, JUMP_FIELD = 4, 0
RELAX = ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)")  # yield
BRANCH_FIELD, BRANCH_BIAS = BITS["B26"], 0
BRANCH_REACH = 1 << 27
PUBLISHES = True


def is_jump(code: bytes) -> bool:
    """Whether this is an unconditional direct jump, before relocation: b NEXT."""
    return code == b"\0\0\0\x14"


def _insert(fmt: str) -> Callable[[int, int], int]:
    """(instruction, number) -> the instruction with the number in its field."""
    mask, right, left = BITS[fmt]
    return lambda word, number: word & ~(mask << left) | (number >> right & mask) << left


def _branch26(word: int, number: int) -> int:
    """imm26 of B and BL: a distance in bytes."""
    if number & 3 or not -BRANCH_REACH <= number < BRANCH_REACH:
        raise OverflowError(f"a branch by {number} bytes")
    return _insert("B26")(word, number)


# What fix-ups write that is not a whole number of bytes
FIELDS = {fmt: _insert(fmt) for fmt in BITS if fmt != "Q"} | {"B26": _branch26}


def swap_last_branch(code: bytes, conditional: int, last: int) -> bytes | None:
    """See x86_64: here LLVM's conditional branches stay inside a function, so there is nothing to swap."""
    return None


def jump(distance: int) -> bytes:
    """A jump to `distance` bytes from its own first byte."""
    return _branch26(0x1400_0000, distance).to_bytes(4, "little")


@cache
def _clear_cache() -> Any:
    function = ctypes.CDLL("libgcc_s.so.1")["__clear_cache"]
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p], None
    return function


def publish(address: int, size: int) -> None:
    """Code was written at `address` through another mapping: clean and invalidate the caches for instruction fetch."""
    _clear_cache()(address, address + size)


def publish_address() -> int:
    return ctypes.cast(_clear_cache(), ctypes.c_void_p).value or 0


NOP = 0xD503_201F.to_bytes(4, "little")
NOPS = (b"", b"", b"", b"", NOP, b"", b"", b"")  # code is a multiple of 4 bytes

OPAQUE = "add i64 {}, 0"  # MOVZ/MOVK take all 64 bits anyway

LOAD_ALONE = ""  # loads are instructions of their own

FP_SLOT = ""
FP_DECLARATIONS = """declare i64 @llvm.aarch64.get.fpsr()
declare void @llvm.aarch64.set.fpsr(i64)
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
"""


def fp_flags(result: str) -> list[str]:
    t = result
    return [f"{t}.m = call i64 @llvm.aarch64.get.fpsr()", f"{t}.t = trunc i64 {t}.m to i32", f"{t} = and i32 {t}.t, 31"]


def fp_set_flags(tmp: str, value: str) -> list[str]:
    return [f"{tmp}.z = zext i32 {value} to i64", f"call void @llvm.aarch64.set.fpsr(i64 {tmp}.z)"]


def fp_round(result: str) -> list[str]:
    t = result
    return [
        f"{t}.m = call i64 @llvm.aarch64.get.fpcr()",
        f"{t}.s = lshr i64 {t}.m, 22",
        f"{t}.t = trunc i64 {t}.s to i32",
        f"{t} = and i32 {t}.t, 3",
    ]


def fp_set_round(tmp: str, value: str) -> list[str]:
    return [
        f"{tmp}.m = call i64 @llvm.aarch64.get.fpcr()",
        f"{tmp}.c = and i64 {tmp}.m, -12582913",
        f"{tmp}.z = zext i32 {value} to i64",
        f"{tmp}.s = shl i64 {tmp}.z, 22",
        f"{tmp}.n = or i64 {tmp}.c, {tmp}.s",
        f"call void @llvm.aarch64.set.fpcr(i64 {tmp}.n)",
    ]


def ftoi(tmp: str, found: str, t: str, bits: int, operand: str) -> tuple[list[str], str]:
    """FCVTZS saturates and gives 0 for a NaN: the minimum is wanted for what is not less than 2^(bits - 1)."""
    float_type, value = operand.rsplit(" ", 1)
    scalar = float_type.strip("<>").split()[-1]
    limit = f"0x{(1023 + bits - 1) << 52:016X}"  # LLVM writes float constants as doubles too
    minimum = str(-(1 << (bits - 1)))
    if t.startswith("<"):
        limit, minimum = f"splat ({scalar} {limit})", f"splat (i{bits} {minimum})"
    i1 = t.replace(f"i{bits}", "i1")
    return [
        f"{tmp}.o = fcmp uge {float_type} {value}, {limit}",
        f"{tmp} = select {i1} {tmp}.o, {t} {minimum}, {t} {found}",
    ], tmp


def table(result: str, values: str, index: str) -> tuple[list[str], str]:
    line = f"{result} = call <16 x i8> @llvm.aarch64.neon.tbl1.v16i8(<16 x i8> {values}, <16 x i8> {index})"
    return [line], "declare <16 x i8> @llvm.aarch64.neon.tbl1.v16i8(<16 x i8>, <16 x i8>)\n"


def disassemble(code: bytes, address: int) -> str:
    """Host code as text, an instruction a line."""
    import capstone

    engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    engine.skipdata = True  # what capstone does not know is shown as bytes
    return "\n".join(f"  {a:#x}: {name} {operands}" for a, _, name, operands in engine.disasm_lite(code, address))
