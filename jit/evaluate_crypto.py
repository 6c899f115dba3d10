"""What the checksum and cipher ops do, on plain numbers: straight from the standards, and slow.

CRC-32 and CRC-32C: reflected, no inversion before or after.  AES: FIPS 197.  SHA-1 and SHA-256: FIPS 180-4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Lanes = tuple[int, ...]
WORD = 0xFFFF_FFFF
CRC32, CRC32C = 0xEDB88320, 0x82F63B78  # the polynomials without x^32, bits reversed


def crc(value: int, data: int, bits: int, polynomial: int) -> int:
    """CRC of `bits` bits of data, lowest byte first, continued from `value`."""
    for k in range(0, bits, 8):
        value ^= (data >> k) & 0xFF
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return value


def clmul(a: int, b: int) -> int:
    """Product of polynomials over GF(2)."""
    out = 0
    while b:
        out ^= a * (b & -b)
        b &= b - 1
    return out


# -- AES ----------------------------------------------------------------------------------------------------------
def gf_mul(a: int, b: int) -> int:
    """Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    p = clmul(a, b)
    for k in range(14, 7, -1):
        if p >> k & 1:
            p ^= 0x11B << (k - 8)
    return p


def _s_box() -> bytes:
    out = bytearray()
    for x in range(256):
        y = next((y for y in range(256) if gf_mul(x, y) == 1), 0)
        s = 0x63
        for k in range(5):
            s ^= (y << k | y >> (8 - k)) & 0xFF
        out.append(s)
    return bytes(out)


class _Aes:
    """The S-boxes, made when first asked for."""

    forward: bytes = b""
    inverse: bytes = b""


def s_boxes() -> tuple[bytes, bytes]:
    """(S-box, inverse S-box)."""
    if not _Aes.forward:
        s = _s_box()
        _Aes.forward, _Aes.inverse = s, bytes(s.index(k) for k in range(256))
    return _Aes.forward, _Aes.inverse


# Byte r + 4 c of the result comes from byte r + 4 (c + r) or, for the inverse, r + 4 (c - r)
SHIFT_ROWS = tuple((k + 4 * (k % 4)) % 16 for k in range(16))
INV_SHIFT_ROWS = tuple((k - 4 * (k % 4)) % 16 for k in range(16))


def aes_enc(x: Lanes) -> Lanes:
    box = s_boxes()[0]
    return tuple(box[x[k]] for k in SHIFT_ROWS)


def aes_dec(x: Lanes) -> Lanes:
    box = s_boxes()[1]
    return tuple(box[x[k]] for k in INV_SHIFT_ROWS)


def _mix(x: Lanes, factors: Sequence[int]) -> Lanes:
    """Each column times the circulant matrix whose first row is `factors`."""
    out: list[int] = []
    for k in range(16):
        column, row = k & ~3, k & 3
        byte = 0
        for j in range(4):
            byte ^= gf_mul(x[column + j], factors[(j - row) % 4])
        out.append(byte)
    return tuple(out)


def aes_mix(x: Lanes) -> Lanes:
    return _mix(x, (2, 3, 1, 1))


def aes_inv_mix(x: Lanes) -> Lanes:
    return _mix(x, (14, 11, 13, 9))


# -- SHA ----------------------------------------------------------------------------------------------------------
def rol(x: int, n: int) -> int:
    return (x << n | x >> (32 - n)) & WORD


def ror(x: int, n: int) -> int:
    return rol(x, 32 - n)


def choose(x: int, y: int, z: int) -> int:
    return (x & y) ^ (~x & z & WORD)


def parity(x: int, y: int, z: int) -> int:
    return x ^ y ^ z


def majority(x: int, y: int, z: int) -> int:
    return (x & y) ^ (x & z) ^ (y & z)


SHA1_KINDS: dict[str, Callable[[int, int, int], int]] = {"choose": choose, "parity": parity, "majority": majority}


def sha1_rounds(abcd: Lanes, e: int, words: Lanes, kind: str) -> Lanes:
    a, b, c, d = abcd
    for w in words:
        t = (rol(a, 5) + SHA1_KINDS[kind](b, c, d) + e + w) & WORD
        a, b, c, d, e = t, a, rol(b, 30), c, d
    return a, b, c, d


def sha256_rounds(abcd: Lanes, efgh: Lanes, words: Lanes) -> tuple[Lanes, Lanes]:
    a, b, c, d = abcd
    e, f, g, h = efgh
    for w in words:
        t1 = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + choose(e, f, g) + w
        t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + majority(a, b, c)
        a, b, c, d, e, f, g, h = (t1 + t2) & WORD, a, b, c, (d + t1) & WORD, e, f, g
    return (a, b, c, d), (e, f, g, h)


def sigma0(x: int) -> int:
    return ror(x, 7) ^ ror(x, 18) ^ x >> 3


def sigma1(x: int) -> int:
    return ror(x, 17) ^ ror(x, 19) ^ x >> 10


def sha256_schedule0(w0: Lanes, w4: Lanes) -> Lanes:
    following = (*w0[1:], w4[0])
    return tuple((x + sigma0(y)) & WORD for x, y in zip(w0, following, strict=True))


def sha256_schedule1(partial: Lanes, w8: Lanes, w12: Lanes) -> Lanes:
    w = list(w12[2:])
    for x, y in zip(partial, (*w8[1:], w12[0]), strict=True):
        w.append((x + y + sigma1(w[-2])) & WORD)
    return tuple(w[2:])


# Evaluator steps: (frame, op, operands)
STEPS: dict[str, Callable[..., Any]] = {
    "crc32": lambda f, v, c, x: crc(c, x, v.args[1].type.bits, CRC32),
    "crc32c": lambda f, v, c, x: crc(c, x, v.args[1].type.bits, CRC32C),
    "clmul": lambda f, v, a, b: clmul(a, b),
    "aes_enc": lambda f, v, x: aes_enc(x),
    "aes_dec": lambda f, v, x: aes_dec(x),
    "aes_mix": lambda f, v, x: aes_mix(x),
    "aes_inv_mix": lambda f, v, x: aes_inv_mix(x),
    "sha1_rounds": lambda f, v, x, e, w: sha1_rounds(x, e, w, v.attrs["kind"]),
    "sha256_abcd": lambda f, v, x, y, w: sha256_rounds(x, y, w)[0],
    "sha256_efgh": lambda f, v, x, y, w: sha256_rounds(x, y, w)[1],
    "sha256_schedule0": lambda f, v, x, y: sha256_schedule0(x, y),
    "sha256_schedule1": lambda f, v, x, y, z: sha256_schedule1(x, y, z),
}
