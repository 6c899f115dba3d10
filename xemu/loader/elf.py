"""ELF64 executables for AArch64: their loadable segments at physical addresses."""

import io

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel

# Memory a program may ask for beyond its file (.bss): the largest RAM bounds it in the end, this keeps the zeros that
# are made for it within reason.
_MAX_MEMORY = 1 << 30
_KERNEL_HALF = 1 << 63


def load_elf(where: str, data: bytes) -> LoadedKernel:
    try:
        return _load(where, ELFFile(io.BytesIO(data)), len(data))
    except (ELFError, ConstructError, KeyError, AttributeError, UnicodeDecodeError, TypeError) as error:
        raise UserError(f"{where}: truncated or damaged ELF file ({error or type(error).__name__})") from None


def _load(where: str, elf: ELFFile, file_size: int) -> LoadedKernel:
    _check_header(where, elf)
    segments: list[tuple[int | None, bytes]] = []
    entry = elf["e_entry"]
    total = 0
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_INTERP":
            raise UserError(f"{where}: is a Linux user program, not a kernel or bare-metal program")
        if segment["p_type"] != "PT_LOAD" or segment["p_memsz"] == 0:
            continue
        offset, size, memory = segment["p_offset"], segment["p_filesz"], segment["p_memsz"]
        if offset + size > file_size:
            raise UserError(f"{where}: truncated: {file_size} bytes of the {offset + size} that its segments need")
        total += memory
        if memory < size or total > _MAX_MEMORY:
            raise UserError(f"{where}: damaged ELF file: a segment of {size} bytes asks for {memory} bytes of memory")
        if segment["p_paddr"] >= _KERNEL_HALF:
            hint = "boot arch/arm64/boot/Image, which was made from it"
            raise UserError(f"{where}: is linked for virtual addresses (a vmlinux?); {hint}")
        virtual, physical = segment["p_vaddr"], segment["p_paddr"]
        if segment["p_flags"] & 1 and virtual <= elf["e_entry"] < virtual + memory:
            entry = elf["e_entry"] - virtual + physical  # the CPU starts with the MMU off
        segments.append((physical, segment.data() + bytes(memory - size)))
    if not segments:
        raise UserError(f"{where}: is an ELF file with nothing to load; expected an executable with PT_LOAD segments")
    return LoadedKernel(segments, entry, False)


def _check_header(where: str, elf: ELFFile) -> None:
    machine = elf["e_machine"]
    if machine != "EM_AARCH64" or elf.elfclass != 64:
        name = elf.get_machine_arch() if isinstance(machine, str) else f"machine {machine}"
        raise UserError(f"{where}: is a {elf.elfclass}-bit ELF file for {name}; expected one for AArch64")
    if not elf.little_endian:
        raise UserError(f"{where}: is a big-endian ELF file; only little-endian programs run here")
    if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
        kinds = {"ET_REL": "an object file that is not linked yet", "ET_CORE": "a core dump"}
        raise UserError(f"{where}: is {kinds.get(elf['e_type'], 'an ELF file of unknown type')}; link an executable")
