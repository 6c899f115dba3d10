"""Cryptographic AES, SHA-1 and SHA-256, and the 64-bit polynomial multiply (C4.1.6 / C4.1.96, "Cryptographic ...")."""

from __future__ import annotations

from typing import Any

from jit.types import I8, I32, I64, vec
from targets.arm.a64.lift import A64, Insn
from targets.arm.a64.row import row

V4I32, V16I8 = vec(4, I32), vec(16, I8)


# -- AES ------------------------------------------------------------------------------------------------------------
def aes_round(b: A64, i: Insn, *, op: str) -> None:
    b.set_V(i.Rd, b.op(op, b.V(i.Rd, V16I8) ^ b.V(i.Rn, V16I8)))


def aes_mix(b: A64, i: Insn, *, op: str) -> None:
    b.set_V(i.Rd, b.op(op, b.V(i.Rn, V16I8)))


# -- SHA-1 ------------------------------------------------------------------------------------------------------------
def sha1_hash(b: A64, i: Insn, *, kind: str) -> None:
    b.set_V(i.Rd, b.op("sha1_rounds", b.V(i.Rd, V4I32), b.V(i.Rn, I32), b.V(i.Rm, V4I32), kind=kind))


def sha1_rotate(b: A64, i: Insn) -> None:
    b.set_V(i.Rd, b.V(i.Rn, I32).rotr(2))


def sha1_schedule0(b: A64, i: Insn) -> None:
    x = b.V(i.Rd, V4I32)
    b.set_V(i.Rd, b.shuffle(x, b.V(i.Rn, V4I32), (2, 3, 4, 5)) ^ x ^ b.V(i.Rm, V4I32))


def sha1_schedule1(b: A64, i: Insn) -> None:
    zero = b.const(0, V4I32)
    t = b.V(i.Rd, V4I32) ^ b.shuffle(b.V(i.Rn, V4I32), zero, (1, 2, 3, 4))
    b.set_V(i.Rd, t.rotr(31) ^ b.shuffle(t.rotr(30), zero, (4, 4, 4, 0)))


# -- SHA-256 ----------------------------------------------------------------------------------------------------------
def sha256_hash(b: A64, i: Insn, *, part1: bool) -> None:
    d, n = b.V(i.Rd, V4I32), b.V(i.Rn, V4I32)
    words = b.V(i.Rm, V4I32)
    b.set_V(i.Rd, b.op("sha256_abcd", d, n, words) if part1 else b.op("sha256_efgh", n, d, words))


def sha256_schedule0(b: A64, i: Insn) -> None:
    b.set_V(i.Rd, b.op("sha256_schedule0", b.V(i.Rd, V4I32), b.V(i.Rn, V4I32)))


def sha256_schedule1(b: A64, i: Insn) -> None:
    b.set_V(i.Rd, b.op("sha256_schedule1", b.V(i.Rd, V4I32), b.V(i.Rn, V4I32), b.V(i.Rm, V4I32)))


# -- polynomials ------------------------------------------------------------------------------------------------------
def polynomial_multiply_long(b: A64, i: Insn) -> None:
    """PMULL of doublewords: the lower ones, or with Q the upper."""
    x = b.Velem(i.Rn, "Rn.d", lambda f: f.Q, I64)
    y = b.Velem(i.Rm, "Rm.d", lambda f: f.Q, I64)
    b.set_V(i.Rd, b.op("clmul", x, y))


def _aes(name: str, opcode: str, lift: Any, op: str) -> Any:
    return row(name, f"01001110 00 10100 {opcode} 10 Rn Rd", lift, feature="FEAT_AES", needs="fp", op=op)


def _sha3(name: str, opcode: str, feature: str, lift: Any, **bound: Any) -> Any:
    return row(name, f"01011110 00 0 Rm 0 {opcode} 00 Rn Rd", lift, feature=feature, needs="fp", **bound)


def _sha2(name: str, opcode: str, feature: str, lift: Any) -> Any:
    return row(name, f"01011110 00 10100 {opcode} 10 Rn Rd", lift, feature=feature, needs="fp")


ROWS = [
    _aes("AESE", "00100", aes_round, "aes_enc"),
    _aes("AESD", "00101", aes_round, "aes_dec"),
    _aes("AESMC", "00110", aes_mix, "aes_mix"),
    _aes("AESIMC", "00111", aes_mix, "aes_inv_mix"),
    _sha3("SHA1C", "000", "FEAT_SHA1", sha1_hash, kind="choose"),
    _sha3("SHA1P", "001", "FEAT_SHA1", sha1_hash, kind="parity"),
    _sha3("SHA1M", "010", "FEAT_SHA1", sha1_hash, kind="majority"),
    _sha3("SHA1SU0", "011", "FEAT_SHA1", sha1_schedule0),
    _sha3("SHA256H", "100", "FEAT_SHA256", sha256_hash, part1=True),
    _sha3("SHA256H2", "101", "FEAT_SHA256", sha256_hash, part1=False),
    _sha3("SHA256SU1", "110", "FEAT_SHA256", sha256_schedule1),
    _sha2("SHA1H", "00000", "FEAT_SHA1", sha1_rotate),
    _sha2("SHA1SU1", "00001", "FEAT_SHA1", sha1_schedule1),
    _sha2("SHA256SU0", "00010", "FEAT_SHA256", sha256_schedule0),
    row(
        "PMULL, PMULL2 [1Q]",
        "0 Q 0 01110 11 1 Rm 1110 00 Rn Rd",
        polynomial_multiply_long,
        feature="FEAT_PMULL",
        needs="fp",
        holes="Q",
        capstone="pmull pmull2",
    ),
]
