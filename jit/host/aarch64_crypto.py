"""AArch64 instructions for the checksum and cipher ops (jit/evaluate_crypto.py says what these do).

A rule: the CPU feature it needs, and LLVM text with {r} for the result's name and {0}, {1}, ... for the operands.
"""

from __future__ import annotations

_V4, _V16 = "<4 x i32>", "<16 x i8>"


def _crc(c: str, letter: str, bits: int) -> tuple[str, str]:
    operand = bits if bits == 64 else 32
    extend = "" if bits >= 32 else f"{{r}}.0 = zext i{bits} {{1}} to i32\n"
    data = "{r}.0" if extend else "{1}"
    return "crc", f"{extend}{{r}} = call i32 @llvm.aarch64.crc32{c}{letter}(i32 {{0}}, i{operand} {data})"


def _sha1(letter: str) -> tuple[str, str]:
    return "sha2", f"{{r}} = call {_V4} @llvm.aarch64.crypto.sha1{letter}({_V4} {{0}}, i32 {{1}}, {_V4} {{2}})"


def _words(name: str, *operands: int) -> tuple[str, str]:
    args = ", ".join(f"{_V4} {{{k}}}" for k in operands)
    return "sha2", f"{{r}} = call {_V4} @llvm.aarch64.crypto.{name}({args})"


def _bytes(name: str, key: bool) -> tuple[str, str]:
    zero = f", {_V16} zeroinitializer" if key else ""
    return "aes", f"{{r}} = call {_V16} @llvm.aarch64.crypto.{name}({_V16} {{0}}{zero})"


_CLMUL = f"""
{{r}}.0 = call {_V16} @llvm.aarch64.neon.pmull64(i64 {{0}}, i64 {{1}})
{{r}} = bitcast {_V16} {{r}}.0 to i128
"""

_SIZES = (("b", 8), ("h", 16), ("w", 32), ("x", 64))

RULES: dict[str, tuple[str, str]] = {
    **{f"crc32{c}.i{n}": _crc(c, letter, n) for c in ("", "c") for letter, n in _SIZES},
    "clmul": ("aes", _CLMUL),
    "aes_enc": _bytes("aese", True),
    "aes_dec": _bytes("aesd", True),
    "aes_mix": _bytes("aesmc", False),
    "aes_inv_mix": _bytes("aesimc", False),
    "sha1_rounds.choose": _sha1("c"),
    "sha1_rounds.parity": _sha1("p"),
    "sha1_rounds.majority": _sha1("m"),
    "sha256_abcd": _words("sha256h", 0, 1, 2),
    "sha256_efgh": _words("sha256h2", 1, 0, 2),
    "sha256_schedule0": _words("sha256su0", 0, 1),
    "sha256_schedule1": _words("sha256su1", 0, 1, 2),
}

DECLARATIONS = "".join(
    [
        *(f"declare i32 @llvm.aarch64.crc32{c}{k}(i32, i{max(n, 32)})\n" for c in ("", "c") for k, n in _SIZES),
        f"declare {_V16} @llvm.aarch64.neon.pmull64(i64, i64)\n",
        *(f"declare {_V16} @llvm.aarch64.crypto.{k}({_V16}, {_V16})\n" for k in ("aese", "aesd")),
        *(f"declare {_V16} @llvm.aarch64.crypto.{k}({_V16})\n" for k in ("aesmc", "aesimc")),
        *(f"declare {_V4} @llvm.aarch64.crypto.sha1{k}({_V4}, i32, {_V4})\n" for k in "cpm"),
        *(
            f"declare {_V4} @llvm.aarch64.crypto.{k}({_V4}, {_V4}, {_V4})\n"
            for k in ("sha256h", "sha256h2", "sha256su1")
        ),
        f"declare {_V4} @llvm.aarch64.crypto.sha256su0({_V4}, {_V4})\n",
    ]
)
