"""ELF64 executables for AArch64: their loadable segments at physical addresses.

Read with `struct` alone: every number in the file is hostile, and this is all that a boot needs of the format.
"""

import struct

from xemu.errors import UserError
from xemu.loader.loaded import LoadedKernel

_CLASSES = {1: 32, 2: 64}
_MACHINES = {
    2: "SPARC", 3: "i386", 4: "m68k", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "S/390", 40: "32-bit Arm",
    43: "SPARC 64", 62: "x86-64", 94: "Xtensa", 243: "RISC-V", 247: "eBPF", 258: "LoongArch",
}  # fmt: skip
_AARCH64 = 183
_TYPES = {1: "an object file that is not linked yet", 4: "a core dump"}
_EXECUTABLE = (2, 3)  # fixed address, position independent
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_INTERP = 1, 3
_FLAG_EXECUTE = 1
# Memory a program may ask for beyond its file (.bss): the largest RAM bounds it in the end, this keeps the zeros that
# are made for it within reason.
_MAX_MEMORY = 1 << 30
_KERNEL_HALF = 1 << 63


def load_elf(where: str, data: bytes) -> LoadedKernel:
    _check_ident(where, data)
    _, kind, machine, _, entry, table, _, _, _, entry_size, count, _, _, _ = _HEADER.unpack_from(data)
    if machine != _AARCH64:
        raise _foreign(where, 64, machine)
    if kind not in _EXECUTABLE:
        raise UserError(f"{where}: is {_TYPES.get(kind, f'an ELF file of type {kind}')}; link an executable")
    if count and entry_size < _SEGMENT.size:
        raise UserError(f"{where}: damaged ELF file: segment headers of {entry_size} bytes")
    _check_length(where, data, table + count * entry_size)
    return _load(where, data, [_SEGMENT.unpack_from(data, table + index * entry_size) for index in range(count)], entry)


def _load(where: str, data: bytes, headers: list[tuple[int, ...]], program_entry: int) -> LoadedKernel:
    segments: list[tuple[int | None, bytes]] = []
    entry = program_entry
    total = 0
    for kind, flags, offset, virtual, physical, size, memory, _ in headers:
        if kind == _PT_INTERP:
            raise UserError(f"{where}: is a Linux user program, not a kernel or bare-metal program")
        if kind != _PT_LOAD or memory == 0:
            continue
        _check_length(where, data, offset + size)
        total += memory
        if memory < size or total > _MAX_MEMORY:
            raise UserError(f"{where}: damaged ELF file: a segment of {size} bytes asks for {memory} bytes of memory")
        if physical >= _KERNEL_HALF:
            hint = "boot arch/arm64/boot/Image, which was made from it"
            raise UserError(f"{where}: is linked for virtual addresses (a vmlinux?); {hint}")
        if flags & _FLAG_EXECUTE and virtual <= program_entry < virtual + memory:
            entry = program_entry - virtual + physical  # the CPU starts with the MMU off
        segments.append((physical, data[offset : offset + size] + bytes(memory - size)))
    if not segments:
        raise UserError(f"{where}: is an ELF file with nothing to load; expected an executable with PT_LOAD segments")
    return LoadedKernel(segments, entry, False)


def _check_ident(where: str, data: bytes) -> None:
    _check_length(where, data, 20)
    bits = _CLASSES.get(data[4], 0)
    if bits == 0 or data[5] not in (1, 2):
        raise UserError(f"{where}: damaged ELF file: class {data[4]}, byte order {data[5]}")
    (machine,) = struct.unpack_from("<H" if data[5] == 1 else ">H", data, 18)
    if bits != 64 or (machine != _AARCH64 and data[5] == 2):
        raise _foreign(where, bits, machine)
    if data[5] == 2:
        raise UserError(f"{where}: is a big-endian ELF file; only little-endian programs run here")
    _check_length(where, data, _HEADER.size)


def _foreign(where: str, bits: int, machine: int) -> UserError:
    name = "AArch64" if machine == _AARCH64 else _MACHINES.get(machine, f"machine {machine}")
    return UserError(f"{where}: is a {bits}-bit ELF file for {name}; expected a 64-bit one for AArch64")


def _check_length(where: str, data: bytes, needed: int) -> None:
    if len(data) < needed:
        raise UserError(f"{where}: truncated: {len(data)} bytes of the {needed} that its ELF headers call for")
