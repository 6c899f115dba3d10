"""The checksum and cipher ops written in simpler ops, for hosts that have no instructions for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jit.evaluate_crypto import CRC32, CRC32C, INV_SHIFT_ROWS, SHIFT_ROWS, s_boxes
from jit.ir import Builder, Value
from jit.types import I8, I32, I64, I128, vec

Has = Callable[[str], bool]
V16I8 = vec(16, I8)


def expand(v: Value, has: Has) -> Value:
    """Emit, at the place where v's builder stands, ops that compute v.  `has`: whether the host has an op itself."""
    return _EXPAND[v.op](v.builder, has, v)


# -- CRC and carry-less products -----------------------------------------------------------------------------------
def _crc(b: Builder, has: Has, v: Value) -> Value:
    value, data = v.args
    polynomial = CRC32 if v.op == "crc32" else CRC32C
    n = data.type.bits
    mixed = value.zext(I64) ^ data.zext(I64)
    if n < 64:
        mixed = mixed & ((1 << n) - 1)
    rest = _crc_clmul(b, mixed << (64 - n), polynomial) if has("clmul") else _crc_bits(b, mixed, n, polynomial)
    out = rest.trunc(I32)
    return out ^ value.lshr(n) if n < 32 else out


def _crc_bits(b: Builder, x: Value, n: int, polynomial: int) -> Value:
    def step(count: Value, x: Value) -> tuple[Value, Sequence[Value]]:
        return count.ne(1), (count - 1, x.lshr(1) ^ (-(x & 1) & polynomial))

    return b.loop((b.const(n), x), step)[1]


def _crc_clmul(b: Builder, x: Value, polynomial: int) -> Value:
    """x * t^32 modulo the polynomial P of degree 32, by Barrett's quotient: q = x * (t^96 / P) / t^64.

    All bits are reversed (bit 0 is t^63), so high parts of products are the low halves here.
    """
    quotient = b.op("clmul", x, b.const(barrett_factor(polynomial)), type=I128).trunc(I64)
    product = b.op("clmul", quotient, b.const(polynomial << 1 | 1), type=I128)
    return product.lshr(64).trunc(I64)


def reverse(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)


def barrett_factor(polynomial: int) -> int:
    """t^96 / P, reversed over 65 bits, without the highest."""
    p = reverse(polynomial, 32) | 1 << 32
    rest, quotient = 1 << 96, 0
    for k in range(64, -1, -1):
        if rest >> (k + 32) & 1:
            rest ^= p << k
            quotient |= 1 << k
    return reverse(quotient, 65) & ((1 << 64) - 1)


def _clmul(b: Builder, has: Has, v: Value) -> Value:
    def step(x: Value, y: Value, out: Value) -> tuple[Value, Sequence[Value]]:
        rest = y.lshr(1)
        return rest.ne(0), (x << 1, rest, out ^ (x & -(y & 1).zext(I128)))

    return b.loop((v.args[0].zext(I128), v.args[1], b.const(0, I128)), step)[2]


# -- AES ----------------------------------------------------------------------------------------------------------
def _bytes(b: Builder, values: Sequence[int]) -> Value:
    return b.const(int.from_bytes(bytes(values), "little"), I128).bitcast(V16I8)


def _permute(b: Builder, x: Value, order: Sequence[int]) -> Value:
    return b.shuffle(x, x, order)


def _substitute(b: Builder, x: Value, box: bytes) -> Value:
    """box[x] of each byte: sixteen look-ups of sixteen entries, of which all but one give 0."""
    out: Value | None = None
    for k in range(16):
        part = b.op("table", _bytes(b, box[16 * k : 16 * k + 16]), x - 16 * k)
        out = part if out is None else out | part
    assert out is not None
    return out


def _aes_enc(b: Builder, has: Has, v: Value) -> Value:
    return _substitute(b, _permute(b, v.args[0], SHIFT_ROWS), s_boxes()[0])


def _aes_dec(b: Builder, has: Has, v: Value) -> Value:
    return _substitute(b, _permute(b, v.args[0], INV_SHIFT_ROWS), s_boxes()[1])


def _double(x: Value) -> Value:
    """Each byte times t in AES's field."""
    return (x << 1) ^ (x.ashr(7) & 0x1B)


def _rows(b: Builder, x: Value, by: int) -> Value:
    """Each column rotated up by `by` rows."""
    return _permute(b, x, [(k & ~3) | ((k + by) & 3) for k in range(16)])


def _mix(b: Builder, x: Value) -> Value:
    pair = x ^ _rows(b, x, 1)  # 2 x0 + 3 x1 + x2 + x3 = 2 (x0 + x1) + x1 + (x2 + x3)
    return _double(pair) ^ _rows(b, x, 1) ^ _rows(b, pair, 2)


def _aes_mix(b: Builder, has: Has, v: Value) -> Value:
    return _mix(b, v.args[0])


def _aes_inv_mix(b: Builder, has: Has, v: Value) -> Value:
    x = v.args[0]  # 14 11 13 9 is 2 3 1 1 times 5 0 4 0
    return _mix(b, x ^ _double(_double(x ^ _rows(b, x, 2))))


# -- SHA ----------------------------------------------------------------------------------------------------------
def choose(x: Value, y: Value, z: Value) -> Value:
    return ((y ^ z) & x) ^ z


def parity(x: Value, y: Value, z: Value) -> Value:
    return x ^ y ^ z


def majority(x: Value, y: Value, z: Value) -> Value:
    return (x & y) | ((x | y) & z)


_KINDS = {"choose": choose, "parity": parity, "majority": majority}


def _lanes(x: Value) -> list[Value]:
    return [x.lane(k) for k in range(x.type.lanes)]


def _join(b: Builder, lanes: Sequence[Value]) -> Value:
    out = b.const(0, vec(len(lanes), lanes[0].type))
    for k, x in enumerate(lanes):
        out = out.with_lane(k, x)
    return out


def _sha1_rounds(b: Builder, has: Has, v: Value) -> Value:
    x, y, z, t = _lanes(v.args[0])
    e = v.args[1]
    for w in _lanes(v.args[2]):
        total = x.rotr(27) + _KINDS[v.attrs["kind"]](y, z, t) + e + w
        x, y, z, t, e = total, x, y.rotr(2), z, t
    return _join(b, (x, y, z, t))


def _sha256_rounds(b: Builder, has: Has, v: Value) -> Value:
    s = [*_lanes(v.args[0]), *_lanes(v.args[1])]
    for w in _lanes(v.args[2]):
        x, e = s[0], s[4]
        t1 = s[7] + (e.rotr(6) ^ e.rotr(11) ^ e.rotr(25)) + choose(e, s[5], s[6]) + w
        t2 = (x.rotr(2) ^ x.rotr(13) ^ x.rotr(22)) + majority(x, s[1], s[2])
        s = [t1 + t2, *s[:3], s[3] + t1, *s[4:7]]
    return _join(b, s[:4] if v.op == "sha256_abcd" else s[4:])


def _sigma0(x: Value) -> Value:
    return x.rotr(7) ^ x.rotr(18) ^ x.lshr(3)


def _sigma1(x: Value) -> Value:
    return x.rotr(17) ^ x.rotr(19) ^ x.lshr(10)


def _schedule0(b: Builder, has: Has, v: Value) -> Value:
    w0, w4 = v.args
    return w0 + _sigma0(b.shuffle(w0, w4, (1, 2, 3, 4)))


def _schedule1(b: Builder, has: Has, v: Value) -> Value:
    partial, w8, w12 = v.args
    x = partial + b.shuffle(w8, w12, (1, 2, 3, 4))
    zero = b.const(0, x.type)
    low = x + b.shuffle(_sigma1(w12), zero, (2, 3, 4, 4))  # lanes 0 and 1 follow from w12, 2 and 3 from them
    return low + b.shuffle(_sigma1(low), zero, (4, 4, 0, 1))


_EXPAND: dict[str, Callable[[Builder, Has, Any], Value]] = {
    "crc32": _crc,
    "crc32c": _crc,
    "clmul": _clmul,
    "aes_enc": _aes_enc,
    "aes_dec": _aes_dec,
    "aes_mix": _aes_mix,
    "aes_inv_mix": _aes_inv_mix,
    "sha1_rounds": _sha1_rounds,
    "sha256_abcd": _sha256_rounds,
    "sha256_efgh": _sha256_rounds,
    "sha256_schedule0": _schedule0,
    "sha256_schedule1": _schedule1,
}

OPS = tuple(_EXPAND)
