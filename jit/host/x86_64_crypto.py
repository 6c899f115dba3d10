"""x86-64 instructions for the checksum and cipher ops (jit/evaluate_crypto.py says what these do).

A rule: the CPU feature it needs, and LLVM text with {r} for the result's name and {0}, {1}, ... for the operands.
CRC-32 has no instruction here: it is expanded to carry-less products.
"""

from __future__ import annotations


def _aes(*instructions: str) -> tuple[str, str]:
    lines = ["{r}.0 = bitcast <16 x i8> {0} to <2 x i64>"]
    for k, name in enumerate(instructions):
        key = "" if name == "aesimc" else ", <2 x i64> zeroinitializer"
        lines.append(f"{{r}}.{k + 1} = call <2 x i64> @llvm.x86.aesni.{name}(<2 x i64> {{r}}.{k}{key})")
    lines.append(f"{{r}} = bitcast <2 x i64> {{r}}.{len(instructions)} to <16 x i8>")
    return "aes", "\n".join(lines)


def _crc(bits: int) -> tuple[str, str]:
    if bits < 64:
        return "sse4.2", f"{{r}} = call i32 @llvm.x86.sse42.crc32.32.{bits}(i32 {{0}}, i{bits} {{1}})"
    return "sse4.2", (
        "{r}.0 = zext i32 {0} to i64\n"
        "{r}.1 = call i64 @llvm.x86.sse42.crc32.64.64(i64 {r}.0, i64 {1})\n"
        "{r} = trunc i64 {r}.1 to i32"
    )


_CLMUL = """
{r}.0 = insertelement <2 x i64> zeroinitializer, i64 {0}, i64 0
{r}.1 = insertelement <2 x i64> zeroinitializer, i64 {1}, i64 0
{r}.2 = call <2 x i64> @llvm.x86.pclmulqdq(<2 x i64> {r}.0, <2 x i64> {r}.1, i8 0)
{r} = bitcast <2 x i64> {r}.2 to i128
"""

# SHA1RNDS4 has a in lane 3, adds the round constant itself, and e comes with the first word
_SHA1 = """
{r}.0 = shufflevector <4 x i32> {0}, <4 x i32> poison, <4 x i32> <i32 3, i32 2, i32 1, i32 0>
{r}.1 = insertelement <4 x i32> zeroinitializer, i32 {1}, i64 0
{r}.2 = add <4 x i32> {2}, {r}.1
{r}.3 = sub <4 x i32> {r}.2, splat (i32 CONSTANT)
{r}.4 = shufflevector <4 x i32> {r}.3, <4 x i32> poison, <4 x i32> <i32 3, i32 2, i32 1, i32 0>
{r}.5 = call <4 x i32> @llvm.x86.sha1rnds4(<4 x i32> {r}.0, <4 x i32> {r}.4, i8 KIND)
{r} = shufflevector <4 x i32> {r}.5, <4 x i32> poison, <4 x i32> <i32 3, i32 2, i32 1, i32 0>
"""


def _sha1(kind: int, constant: int) -> tuple[str, str]:
    return "sha", _SHA1.replace("KIND", str(kind)).replace("CONSTANT", str(constant))


# SHA256RNDS2 does two rounds from c d g h and a b e f (f lowest), giving the new a b e f; the old one is then c d g h
_SHA256 = """
{r}.0 = shufflevector <4 x i32> {0}, <4 x i32> {1}, <4 x i32> <i32 5, i32 4, i32 1, i32 0>
{r}.1 = shufflevector <4 x i32> {0}, <4 x i32> {1}, <4 x i32> <i32 7, i32 6, i32 3, i32 2>
{r}.2 = call <4 x i32> @llvm.x86.sha256rnds2(<4 x i32> {r}.1, <4 x i32> {r}.0, <4 x i32> {2})
{r}.3 = shufflevector <4 x i32> {2}, <4 x i32> zeroinitializer, <4 x i32> <i32 2, i32 3, i32 4, i32 4>
{r}.4 = call <4 x i32> @llvm.x86.sha256rnds2(<4 x i32> {r}.0, <4 x i32> {r}.2, <4 x i32> {r}.3)
{r} = shufflevector <4 x i32> {r}.4, <4 x i32> {r}.2, <4 x i32> <LANES>
"""


def _sha256(*lanes: int) -> tuple[str, str]:
    return "sha", _SHA256.replace("LANES", ", ".join(f"i32 {k}" for k in lanes))


_SCHEDULE1 = """
{r}.0 = shufflevector <4 x i32> {1}, <4 x i32> {2}, <4 x i32> <i32 1, i32 2, i32 3, i32 4>
{r}.1 = add <4 x i32> {0}, {r}.0
{r} = call <4 x i32> @llvm.x86.sha256msg2(<4 x i32> {r}.1, <4 x i32> {2})
"""

RULES: dict[str, tuple[str, str]] = {
    **{f"crc32c.i{n}": _crc(n) for n in (8, 16, 32, 64)},
    "clmul": ("pclmul", _CLMUL),
    "aes_enc": _aes("aesenclast"),
    "aes_dec": _aes("aesdeclast"),
    "aes_mix": _aes("aesdeclast", "aesenc"),
    "aes_inv_mix": _aes("aesimc"),
    "sha1_rounds.choose": _sha1(0, 0x5A827999),
    "sha1_rounds.parity": _sha1(1, 0x6ED9EBA1),
    "sha1_rounds.majority": _sha1(2, 0x8F1BBCDC),
    "sha256_abcd": _sha256(3, 2, 7, 6),
    "sha256_efgh": _sha256(1, 0, 5, 4),
    "sha256_schedule0": ("sha", "{r} = call <4 x i32> @llvm.x86.sha256msg1(<4 x i32> {0}, <4 x i32> {1})"),
    "sha256_schedule1": ("sha", _SCHEDULE1),
}

DECLARATIONS = """
declare i32 @llvm.x86.sse42.crc32.32.8(i32, i8)
declare i32 @llvm.x86.sse42.crc32.32.16(i32, i16)
declare i32 @llvm.x86.sse42.crc32.32.32(i32, i32)
declare i64 @llvm.x86.sse42.crc32.64.64(i64, i64)
declare <2 x i64> @llvm.x86.pclmulqdq(<2 x i64>, <2 x i64>, i8 immarg)
declare <2 x i64> @llvm.x86.aesni.aesenc(<2 x i64>, <2 x i64>)
declare <2 x i64> @llvm.x86.aesni.aesenclast(<2 x i64>, <2 x i64>)
declare <2 x i64> @llvm.x86.aesni.aesdeclast(<2 x i64>, <2 x i64>)
declare <2 x i64> @llvm.x86.aesni.aesimc(<2 x i64>)
declare <4 x i32> @llvm.x86.sha1rnds4(<4 x i32>, <4 x i32>, i8 immarg)
declare <4 x i32> @llvm.x86.sha256rnds2(<4 x i32>, <4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.x86.sha256msg1(<4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.x86.sha256msg2(<4 x i32>, <4 x i32>)
"""
