"""Kernels: arm64 Linux Image (plain, gzip'd, EFI zboot), ELF64 for AArch64, and raw code."""

import struct

from xemu.errors import UserError
from xemu.loader import detect, files
from xemu.loader.elf import load_elf
from xemu.loader.loaded import LoadedKernel

# Where boot loaders put an image that does not say (old Linux Images, raw code): offset from the start of RAM.
DEFAULT_TEXT_OFFSET = 0x80000
# A wrapper around a wrapper is legitimate (gzip'd zboot); more is somebody playing.
_MAX_NESTING = 3
_ZBOOT_HEADER = struct.Struct("<4x4sII8x32s")
_PAGE_SIZES = {1: 4096, 2: 16384, 3: 65536}
_WANTED = "expected an arm64 Linux Image (plain, gzip or EFI zboot), an AArch64 ELF file or raw code"


def load_kernel(path: str) -> LoadedKernel:
    data = files.read_file("kernel", path)
    where = f"kernel '{path}'"
    packed_by: list[str] = []
    for _ in range(_MAX_NESTING):
        kind = detect.identify(data)
        if kind.kind == "image":
            return _linux_image(where, data)
        if kind.kind == "elf":
            return load_elf(where, data)
        if kind.kind == "raw" and not packed_by:
            return _raw(data)
        if kind.kind == "zboot":
            method, data = _zboot_payload(where, data)
        elif kind.kind == "gzip":
            method = "gzip"
        else:
            raise UserError(f"{where}: is {_described(kind, packed_by)}; {_WANTED}")
        packed_by.append(method)
        data = files.unpack(where, method, data)
    raise UserError(f"{where}: is packed more than {_MAX_NESTING} times over; unpack it first")


def load_kernel_file(path: str) -> bytes:
    """What firmware is given to start: the file itself, unpacked where it is gzip'd."""
    data = files.read_file("kernel", path)
    return files.unpack(f"kernel '{path}'", "gzip", data) if detect.identify(data).kind == "gzip" else data


def load_firmware(path: str, limit: int) -> bytes:
    """Raw firmware for the board's flash of `limit` bytes."""
    data = files.read_file("firmware", path)
    kind = detect.identify(data)
    if kind.kind != "raw":
        raise UserError(f"firmware '{path}': is {kind.text}; expected raw code to put at the reset address")
    if len(data) > limit:
        raise UserError(f"firmware '{path}': {len(data)} bytes do not fit the flash of {limit} bytes")
    return data


def _described(kind: detect.Signature, packed_by: list[str]) -> str:
    return f"{kind.text} inside {' inside '.join(reversed(packed_by))}" if packed_by else kind.text


def _raw(data: bytes) -> LoadedKernel:
    return LoadedKernel([(None, data)], None, True, DEFAULT_TEXT_OFFSET, len(data))


def _linux_image(where: str, data: bytes) -> LoadedKernel:
    if len(data) < 64:
        raise UserError(f"{where}: truncated: {len(data)} bytes are less than an Image's header of 64")
    text_offset, image_size, flags = struct.unpack_from("<QQQ", data, 8)
    needed = detect.pe_extent(data)
    if len(data) < needed:
        raise UserError(f"{where}: truncated: {len(data)} bytes of the {needed} that its PE sections need")
    if flags & 1:
        raise UserError(f"{where}: is a big-endian arm64 Image; only little-endian kernels run here")
    if image_size == 0:
        # Images from before Linux 3.17 leave both fields unset.
        text_offset, image_size = DEFAULT_TEXT_OFFSET, len(data)
    if image_size > files.MAX_FILE_SIZE or text_offset > files.MAX_FILE_SIZE:
        raise UserError(f"{where}: damaged: its header asks for {image_size} bytes at offset {text_offset:#x}")
    page_size = _PAGE_SIZES.get(flags >> 1 & 3)
    return LoadedKernel([(None, data)], None, True, text_offset, max(image_size, len(data)), page_size)


def _zboot_payload(where: str, data: bytes) -> tuple[str, bytes]:
    """Compression method and compressed bytes of an EFI zboot image."""
    if len(data) < 64:
        raise UserError(f"{where}: truncated: {len(data)} bytes are less than a zboot header of 64")
    machine = detect.pe_machine(data)
    if machine not in (None, detect.PE_MACHINES[detect.PE_ARM64]):
        raise UserError(f"{where}: is an EFI zboot image for {machine}; {_WANTED}")
    _, offset, size, name = _ZBOOT_HEADER.unpack_from(data)
    needed = max(detect.pe_extent(data), offset + size)
    if len(data) < needed:
        raise UserError(f"{where}: truncated: {len(data)} bytes of the {needed} that its header calls for")
    method = name.split(b"\0")[0].decode("ascii", "replace")
    # Linux names the level, too: "zstd22".
    method = "zstd" if method.startswith("zstd") else method
    if method not in files.METHODS:
        raise UserError(f"{where}: is an EFI zboot image packed with {method!r}; known are {', '.join(files.METHODS)}")
    return method, data[offset : offset + size]
