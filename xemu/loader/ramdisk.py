"""Initial ramdisks and device trees: checked for being what they should and for being whole."""

import struct
import zlib

from xemu.errors import UserError
from xemu.loader import detect, files

# What Linux unpacks or mounts as an initial ramdisk. Raw data is accepted, too: bare-metal guests take any blob.
_INITRD_KINDS = {
    "cpio", "gzip", "xz", "bzip2", "zstd", "lz4", "lzma", "lzop", "squashfs", "erofs", "ext", "cramfs", "romfs", "raw",
}  # fmt: skip
_CPIO_HEADER = 110
_CPIO_TRAILER = b"TRAILER!!!"
_XZ_FOOTER = b"YZ"
# The kernel maps at most this much for the device tree.
MAX_DTB_SIZE = 2 << 20
_DTB_HEADER = struct.Struct(">10I")


def load_initrd(path: str) -> bytes:
    data = files.read_file("initrd", path)
    where = f"initrd '{path}'"
    kind = detect.identify(data)
    if kind.kind not in _INITRD_KINDS:
        raise UserError(f"{where}: is {kind.text}; expected a cpio archive, plain or packed, or a file system image")
    check = {"cpio": _check_cpio, "gzip": _check_gzip, "xz": _check_xz}.get(kind.kind)
    if check is not None:
        check(where, data)
    return data


def _check_cpio(where: str, data: bytes) -> None:
    """Walk the headers up to the trailer; further archives may follow and are the kernel's business."""
    position = 0
    while True:
        header = data[position : position + _CPIO_HEADER]
        if len(header) < _CPIO_HEADER:
            raise UserError(f"{where}: truncated: the cpio archive has no end mark within its {len(data)} bytes")
        try:
            size, name_size = int(header[54:62], 16), int(header[94:102], 16)
        except ValueError:
            size = name_size = -1
        if header[:5] != b"07070" or size < 0 or name_size < 1:
            raise UserError(f"{where}: damaged: no cpio header at byte {position}")
        name_start = position + _CPIO_HEADER
        if data[name_start : name_start + name_size - 1] == _CPIO_TRAILER:
            return
        position = _align4(_align4(name_start + name_size) + size)


def _align4(value: int) -> int:
    return value + 3 & ~3


def _check_gzip(where: str, data: bytes) -> None:
    """Unpack the first member without keeping it: zlib tells whether it is whole."""
    unpacker = zlib.decompressobj(wbits=31)
    chunk = data
    total = 0
    try:
        while not unpacker.eof and chunk:
            total += len(unpacker.decompress(chunk, 1 << 20))
            chunk = unpacker.unconsumed_tail
            if total > files.MAX_FILE_SIZE:
                raise UserError(f"{where}: unpacks to more than {files.MAX_FILE_SIZE >> 30} GiB")
    except zlib.error as error:
        raise UserError(f"{where}: damaged gzip data ({error})") from None
    if not unpacker.eof:
        raise UserError(f"{where}: truncated: its gzip data ends too early")


def _check_xz(where: str, data: bytes) -> None:
    # Unpacking xz takes seconds, and its footer shows that the end is there; without it, another archive may follow.
    if not data.rstrip(b"\0").endswith(_XZ_FOOTER):
        files.unpack(where, "xz", data)


def load_dtb(path: str) -> bytes:
    data = files.read_file("dtb", path)
    where = f"dtb '{path}'"
    kind = detect.identify(data)
    if kind.kind == "text":
        raise UserError(f"{where}: is a text file; compile device tree source with dtc -O dtb")
    if kind.kind != "dtb":
        raise UserError(f"{where}: is {kind.text}; expected a device tree blob (magic d00dfeed)")
    if len(data) < _DTB_HEADER.size:
        raise UserError(f"{where}: truncated: {len(data)} bytes are less than a header of {_DTB_HEADER.size}")
    _, total, structure, strings, reservations, version, compatible, _, strings_size, structure_size = (
        _DTB_HEADER.unpack_from(data)
    )
    if total > MAX_DTB_SIZE:
        raise UserError(f"{where}: {total} bytes are more than the {MAX_DTB_SIZE} a kernel takes")
    if total > len(data):
        raise UserError(f"{where}: truncated: {len(data)} bytes of {total}")
    if version < 17 or compatible > 17:
        raise UserError(f"{where}: device tree format {version} is not known; expected version 17")
    if structure + structure_size > total or strings + strings_size > total or reservations + 16 > total:
        raise UserError(f"{where}: damaged: a block lies outside of its {total} bytes")
    return data[:total]
