"""Compiles IR functions with LLVM and takes the object file apart into relocatable pieces of code.

A piece is bytes plus fix-ups.  A fix-up names a hole (a number), a symbol (code placed elsewhere), or constant data.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
from elftools.elf.elffile import ELFFile

from jit import passes
from jit.host import host_module
from jit.host.aarch64 import FIELDS
from jit.ir import Function
from jit.llvmgen import Module

SLOW_SUFFIX = ".slow"  # the name of a slow path is its function's with this


class LoadError(Exception):
    """LLVM made something that the loader does not know: better to stop than to run wrong code."""


@dataclass(frozen=True, slots=True)
class Fixup:
    """At `offset`, write `name` + addend in format `fmt`, minus the place's address if `relative`.

    A format is that of a struct of one number, or names a field of a host's instructions (FIELDS of jit/host/*.py).
    """

    offset: int
    fmt: str
    name: str
    addend: int
    relative: bool
    data: bytes = b""  # constant pool contents when the target is data, not a name


@dataclass(frozen=True, slots=True)
class Piece:
    """Code of one function.  `falls_through`: its last jump to NEXT was cut off, so the next piece must follow.

    slow: the code that SLOW stands for, which may be placed anywhere and jumps to NEXT.
    """

    name: str
    code: bytes
    fixups: tuple[Fixup, ...]
    falls_through: bool
    slow: Piece | None = None


@lru_cache(maxsize=4)
def target_machine(machine: str | None = None) -> Any:
    """LLVM's target machine for a host architecture; this host's own CPU when not named."""
    host = host_module(machine)
    if machine is None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        cpu, features = host.LEAST_CPU, ""
    target = llvm.Target.from_triple(host.TRIPLE)
    return target.create_target_machine(cpu=cpu, features=features, opt=2, reloc="static", codemodel=host.CODE_MODEL)


@lru_cache(maxsize=4)
def host_features(machine: str | None = None) -> frozenset[str]:
    """LLVM's names of what that target machine's CPU has; of named hosts, what the least CPU has."""
    if machine is not None:
        return host_module(machine).LEAST_FEATURES
    return frozenset(name for name, have in llvm.get_host_cpu_features().items() if have)


def optimise(text: str, machine: str | None = None) -> Any:
    """Parse, verify and run LLVM's passes: the module that code is made from.

    Two passes are enough: what we write has no variables or dead code to clean up and few loops and calls.  Over the
    424 shapes of a kernel's text they give the same bytes as LLVM's whole pipeline in half its time, and
    of the runtime, which every start compiles, slightly smaller code in a sixth.
    """
    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(target_machine(machine), llvm.create_pipeline_tuning_options(2))
    manager = llvm.create_new_module_pass_manager()
    manager.add_instruction_combine_pass()
    manager.add_simplify_cfg_pass()
    manager.run(module, builder)
    return module


def to_llvm(
    functions: Sequence[Function],
    slots: Mapping[str, int],
    machine: str | None = None,
    pipeline: Sequence[passes.Pass] = passes.PIPELINE,
) -> str:
    """LLVM's text of functions and their slow paths.  The passes of `pipeline` change the functions in place."""
    text = Module(host_module(machine), slots, host_features(machine))
    for f in functions:
        passes.run(f, pipeline)
        text.add(f)
        if f.slow:
            f.slow.name = f.name + SLOW_SUFFIX
            text.add(f.slow)
    return text.text()


def to_pieces(module: Any, machine: str | None = None) -> dict[str, Piece]:
    """The host code of an optimised module: pieces by function, each with its slow path."""
    pieces = take_apart(target_machine(machine).emit_object(module), host_module(machine))
    for companion in [name for name in pieces if name.endswith(SLOW_SUFFIX)]:
        name = companion.removesuffix(SLOW_SUFFIX)
        pieces[name] = replace(pieces[name], slow=pieces.pop(companion))
    return pieces


def compile_functions(
    functions: Iterable[Function],
    slots: Mapping[str, int],
    machine: str | None = None,
    pipeline: Sequence[passes.Pass] = passes.PIPELINE,
) -> dict[str, Piece]:
    """Compile functions to pieces by name.  slots: CPU state offsets of pointers to continuations and runtime code."""
    return to_pieces(optimise(to_llvm(list(functions), slots, machine, pipeline), machine), machine)


def take_apart(obj: bytes, host: ModuleType) -> dict[str, Piece]:
    """The functions of an ELF object, one a `.text.NAME` section."""
    elf: Any = ELFFile(io.BytesIO(obj))  # its stubs know sections only in general
    symbols = list(elf.get_section_by_name(".symtab").iter_symbols())
    relocations = {s["sh_info"]: s for s in elf.iter_sections() if s["sh_type"] == "SHT_RELA"}
    pieces: dict[str, Piece] = {}
    for index, section in enumerate(elf.iter_sections()):
        if not section.name.startswith(".text.") or section["sh_type"] != "SHT_PROGBITS":
            continue
        rel = relocations.get(index)
        fixups = [_fixup(elf, symbols, r, host) for r in rel.iter_relocations()] if rel else []
        pieces[section.name[6:]] = _piece(section.name[6:], section.data(), fixups, host)
    return pieces


def _fixup(elf: ELFFile, symbols: list[Any], r: Any, host: ModuleType) -> Fixup:
    kind, symbol, addend = r["r_info_type"], symbols[r["r_info_sym"]], r["r_addend"]
    relative = kind in host.RELATIVE
    fmt = host.RELATIVE[kind] if relative else host.ABSOLUTE.get(kind)
    if fmt is None:
        raise LoadError(f"relocation type {kind} against {symbol.name!r} is not on the loader's list")
    where = symbol["st_shndx"]
    if where == "SHN_UNDEF":
        return Fixup(r["r_offset"], fmt, symbol.name.rpartition(":")[2], addend, relative)
    section = elf.get_section(where)
    if section.name.startswith(".text."):
        return Fixup(r["r_offset"], fmt, section.name[6:], addend + symbol["st_value"], relative)
    if section.name.startswith(".rodata"):  # constants are placed by the section: tables are indexed from its start
        return Fixup(r["r_offset"], fmt, "", addend + symbol["st_value"], relative, section.data())
    raise LoadError(f"code refers to section {section.name}, which the loader does not place")


def _piece(name: str, code: bytes, fixups: list[Fixup], host: ModuleType) -> Piece:
    fixups.sort(key=lambda f: f.offset)
    if name.endswith(SLOW_SUFFIX):
        return Piece(name, code, tuple(fixups), False)
    if len(fixups) > 1 and fixups[-2].name == "NEXT" and fixups[-1].name != "NEXT":
        # jcc NEXT; jmp TAKEN: the other way round the jump to NEXT is last and can go
        a, z = fixups[-2:]
        swapped = host.swap_last_branch(code, a.offset, z.offset)
        if swapped is not None:
            code, fixups[-2:] = swapped, [replace(z, offset=a.offset), replace(a, offset=z.offset)]
    last = fixups[-1] if fixups else None
    size = host.JUMP_SIZE
    if last and last.name == "NEXT" and last.offset >= len(code) - size and host.is_jump(code[-size:]):
        return Piece(name, code[:-size], tuple(fixups[:-1]), True)
    return Piece(name, code, tuple(fixups), False)


Writer = Callable[[bytearray, int, int], None]  # (code, offset, number)


@cache
def writer(fmt: str) -> tuple[Writer, int]:
    """What writes a number in a fix-up's format, and the mask to cut the number with before."""
    insert = FIELDS.get(fmt)
    if insert is None:
        packed = struct.Struct("<" + fmt)
        return packed.pack_into, -1 if fmt == "i" else (1 << 8 * packed.size) - 1

    def field(code: bytearray, offset: int, number: int) -> None:
        (word,) = struct.unpack_from("<I", code, offset)
        struct.pack_into("<I", code, offset, insert(word, number))

    return field, -1


def fill(code: bytearray, fixup: Fixup, value: int, place: int) -> None:
    """Write one fix-up: `value` is the number or address, `place` the address that the code will have."""
    number = value + fixup.addend - (place + fixup.offset if fixup.relative else 0)
    write, mask = writer(fixup.fmt)
    write(code, fixup.offset, number & mask)
