"""EFI zboot images made from a plain Image, laid out as Linux's own build does it.

Debian's kernels are plain Images; wrapping one gives the form other distributions ship.
"""

import gzip
import lzma
import struct
from collections.abc import Callable

_PE_MAGIC = 0x818223CD  # how a zboot header says "the PE header's address follows"
_ARM64 = 0xAA64
_PE_OFFSET = 64
_HEADER_SIZE = 0x200
_COFF = struct.Struct("<4sHHIIIHH")
_OPTIONAL_SIZE = 112
_SECTION = struct.Struct("<8sIIIIIIHHI")

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda image: gzip.compress(image, compresslevel=1, mtime=0),
    "xz": lambda image: lzma.compress(image, preset=0, check=lzma.CHECK_CRC32),
    "lzma": lambda image: lzma.compress(image, format=lzma.FORMAT_ALONE, preset=0),
}


def wrap(image: bytes, method: str = "gzip") -> bytes:
    """A zboot image holding `image`; its EFI part is a header only, since direct boot runs none of it."""
    payload = PACKERS[method](image)
    head = struct.pack("<4s4sII8x32s", b"MZ\0\0", b"zimg", _HEADER_SIZE, len(payload), method.encode())
    head += struct.pack("<II", _PE_MAGIC, _PE_OFFSET)
    head += _COFF.pack(b"PE\0\0", _ARM64, 1, 0, 0, 0, _OPTIONAL_SIZE, 0x206)
    head += struct.pack("<H", 0x20B).ljust(_OPTIONAL_SIZE, b"\0")
    head += _SECTION.pack(b".text", len(payload), _HEADER_SIZE, len(payload), _HEADER_SIZE, 0, 0, 0, 0, 0x60000020)
    return head.ljust(_HEADER_SIZE, b"\0") + payload
