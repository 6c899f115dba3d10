"""Kernels for x86-64: Linux bzImages, which start in 64-bit mode, and ELF64 files.

Offsets and names of the setup header are those of the Linux/x86 boot protocol (Documentation/x86/boot.rst).
"""

import struct

from xemu.errors import UserError
from xemu.loader import detect, files
from xemu.loader.elf import X86_64, load_elf
from xemu.loader.loaded import LoadedKernel

# setup_sects, syssize, boot_flag, header, version, loadflags, initrd_addr_max, relocatable_kernel, xloadflags,
# cmdline_size, pref_address, init_size
_FIELDS = struct.Struct("<B2xI6xH2x4sH9xB26xI4xB1xHI28xQI")
HEADER_START = 0x1F1
_HEADER_END = 0x264  # behind init_size, the last field that is read here
_HEADER_LIMIT = 0x290  # where the boot parameters that the header is copied to go on with other things
_SECTOR = 512
_PARAGRAPH = 16  # bytes; unit of syssize
_OLDEST = 0x20C  # the first version with a 64-bit entry
_LOADED_HIGH = 1 << 0  # of loadflags
_KERNEL_64 = 1 << 0  # of xloadflags
_LOAD_ADDRESS = 1 << 20  # of kernels that can't be moved
_ENTRY_64 = 0x200  # from the start of the protected-mode code
_WANTED = "expected an x86-64 Linux bzImage or ELF file (vmlinux), plain or gzip'd"


def load_x86_kernel(path: str) -> LoadedKernel:
    data = files.read_file("kernel", path)
    where = f"kernel '{path}'"
    kind = detect.identify(data)
    inside = ""
    if kind.kind == "gzip":
        data = files.unpack(where, "gzip", data)
        kind, inside = detect.identify(data), " inside gzip"
    if kind.kind == "bzimage":
        return _bzimage(where, data)
    if kind.kind == "elf":
        return load_elf(where, data, X86_64)
    raise UserError(f"{where}: is {kind.text}{inside}; {_WANTED}")


def _bzimage(where: str, data: bytes) -> LoadedKernel:
    if len(data) < _HEADER_END:
        raise UserError(f"{where}: truncated: {len(data)} bytes are less than a bzImage's header")
    (setup_sectors, size, boot_flag, _, version, load_flags, initrd_max, relocatable, extended_flags, line_size,
     preferred, init_size) = _FIELDS.unpack_from(data, HEADER_START)  # fmt: skip
    if boot_flag != 0xAA55:
        raise UserError(f"{where}: damaged bzImage: boot flag {boot_flag:#06x} in place of 0xaa55")
    if version < _OLDEST:
        raise UserError(
            f"{where}: is a bzImage of boot protocol {version >> 8}.{version & 0xFF:02}, which has no 64-bit entry; "
            f"kernels since Linux 3.8 have one"
        )
    if not extended_flags & _KERNEL_64 or not load_flags & _LOADED_HIGH:
        raise UserError(f"{where}: is a 32-bit bzImage; expected one for x86-64")
    start = ((setup_sectors or 4) + 1) * _SECTOR
    needed = start + size * _PARAGRAPH
    if len(data) + _PARAGRAPH <= needed or len(data) <= start + _ENTRY_64:
        raise UserError(f"{where}: truncated: {len(data)} bytes of the {needed} that its header calls for")
    end = min(0x202 + data[0x201], _HEADER_LIMIT)
    if end < _HEADER_END:
        raise UserError(f"{where}: damaged bzImage: its header ends at {end:#x}")
    # One that can be moved starts best where it wants to run; the others unpack themselves to there.
    load = preferred if relocatable and preferred >= _LOAD_ADDRESS else _LOAD_ADDRESS
    return LoadedKernel(
        [(load, data[start:])],
        load + _ENTRY_64,
        True,
        image_size=max(preferred + init_size - load, len(data) - start),
        setup_header=data[HEADER_START:end],
        command_line_size=line_size,
        initrd_end=initrd_max + 1,
    )
