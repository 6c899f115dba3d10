"""ELF64 executables: their loadable segments at physical addresses.

Read with `struct` alone: every number in the file is hostile, and this is all that a boot needs of the format.
"""

import struct

from xemu.errors import UserError
from xemu.loader.loaded import LoadedKernel

_CLASSES = {1: 32, 2: 64}
AARCH64, X86_64 = 183, 62
_MACHINES = {
    2: "SPARC", 3: "i386", 4: "m68k", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "S/390", 40: "32-bit Arm",
    43: "SPARC 64", X86_64: "x86-64", 94: "Xtensa", AARCH64: "AArch64", 243: "RISC-V", 247: "eBPF", 258: "LoongArch",
}  # fmt: skip
_TYPES = {1: "an object file that is not linked yet", 4: "a core dump"}
_EXECUTABLE = (2, 3)  # fixed address, position independent
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_INTERP, _PT_NOTE = 1, 3, 4
_FLAG_EXECUTE = 1
# Memory a program may ask for beyond its file (.bss): the largest RAM bounds it in the end, this keeps the zeros that
# are made for it within reason.
_MAX_MEMORY = 1 << 30
_KERNEL_HALF = 1 << 63
_NOTE = struct.Struct("<III")  # lengths of name and contents, type
_PVH_OWNER, _PVH_ENTRY = b"Xen\0", 18
_MAX_NOTES = 4096  # bytes: of the notes of one segment, as many as are looked at


def load_elf(where: str, data: bytes, wanted: int = AARCH64) -> LoadedKernel:
    """wanted: the machine it has to be for."""
    _check_ident(where, data, wanted)
    _, kind, machine, _, entry, table, _, _, _, entry_size, count, _, _, _ = _HEADER.unpack_from(data)
    if machine != wanted:
        raise _foreign(where, 64, machine, wanted)
    if kind not in _EXECUTABLE:
        raise UserError(f"{where}: is {_TYPES.get(kind, f'an ELF file of type {kind}')}; link an executable")
    if count and entry_size < _SEGMENT.size:
        raise UserError(f"{where}: damaged ELF file: segment headers of {entry_size} bytes")
    _check_length(where, data, table + count * entry_size)
    return _load(where, data, [_SEGMENT.unpack_from(data, table + index * entry_size) for index in range(count)], entry)


def _load(where: str, data: bytes, headers: list[tuple[int, ...]], program_entry: int) -> LoadedKernel:
    segments: list[tuple[int | None, bytes]] = []
    entry, pvh_entry = program_entry, None
    total = 0
    for kind, flags, offset, virtual, physical, size, memory, _ in headers:
        if kind == _PT_INTERP:
            raise UserError(f"{where}: is a Linux user program, not a kernel or bare-metal program")
        if kind == _PT_NOTE:
            pvh_entry = _pvh_entry(data[offset : offset + min(size, _MAX_NOTES)], pvh_entry)
        if kind != _PT_LOAD or memory == 0:
            continue
        _check_length(where, data, offset + size)
        total += memory
        if memory < size or total > _MAX_MEMORY:
            raise UserError(f"{where}: damaged ELF file: a segment of {size} bytes asks for {memory} bytes of memory")
        if physical >= _KERNEL_HALF:
            hint = "boot the image that was made from it: arch/arm64/boot/Image, arch/x86/boot/bzImage"
            raise UserError(f"{where}: is linked for virtual addresses (a vmlinux?); {hint}")
        if flags & _FLAG_EXECUTE and virtual <= program_entry < virtual + memory:
            entry = program_entry - virtual + physical  # the CPU starts with the MMU off
        segments.append((physical, data[offset : offset + size] + bytes(memory - size)))
    if not segments:
        raise UserError(f"{where}: is an ELF file with nothing to load; expected an executable with PT_LOAD segments")
    return LoadedKernel(segments, entry, False, pvh_entry=pvh_entry)


def _pvh_entry(notes: bytes, found: int | None) -> int | None:
    """The entry that a PVH note names (Xen's public header elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY)."""
    position = 0
    while position + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, position)
        name = position + _NOTE.size
        contents = name + _align4(name_size)
        if kind == _PVH_ENTRY and notes[name : name + name_size] == _PVH_OWNER and size in (4, 8):
            return int.from_bytes(notes[contents : contents + size], "little")
        position = contents + _align4(size)
    return found


def _align4(value: int) -> int:
    return value + 3 & ~3


def _check_ident(where: str, data: bytes, wanted: int) -> None:
    _check_length(where, data, 20)
    bits = _CLASSES.get(data[4], 0)
    if bits == 0 or data[5] not in (1, 2):
        raise UserError(f"{where}: damaged ELF file: class {data[4]}, byte order {data[5]}")
    (machine,) = struct.unpack_from("<H" if data[5] == 1 else ">H", data, 18)
    if bits != 64 or (machine != wanted and data[5] == 2):
        raise _foreign(where, bits, machine, wanted)
    if data[5] == 2:
        raise UserError(f"{where}: is a big-endian ELF file; only little-endian programs run here")
    _check_length(where, data, _HEADER.size)


def _foreign(where: str, bits: int, machine: int, wanted: int) -> UserError:
    name = _MACHINES.get(machine, f"machine {machine}")
    return UserError(f"{where}: is a {bits}-bit ELF file for {name}; expected a 64-bit one for {_MACHINES[wanted]}")


def _check_length(where: str, data: bytes, needed: int) -> None:
    if len(data) < needed:
        raise UserError(f"{where}: truncated: {len(data)} bytes of the {needed} that its ELF headers call for")
