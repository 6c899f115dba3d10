"""Compiles IR functions with LLVM and takes the object file apart into relocatable pieces of code (jit/piece.py)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
from elftools.elf.elffile import ELFFile

from jit import passes
from jit.host import host_module
from jit.ir import Function
from jit.llvm_function import SLOW_SUFFIX
from jit.llvmgen import Module
from jit.piece import Fixup, LoadError, Piece


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
    manager, builder = _pass_manager(machine)
    manager.run(module, builder)
    return module


@lru_cache(maxsize=4)
def _pass_manager(machine: str | None) -> tuple[Any, Any]:
    """The passes, and what runs them.  Made once: llvmlite 0.50 leaks 5 KiB of each, and a guest can ask for many."""
    manager = llvm.create_new_module_pass_manager()
    manager.add_instruction_combine_pass()
    manager.add_simplify_cfg_pass()
    return manager, llvm.create_pass_builder(target_machine(machine), llvm.create_pipeline_tuning_options(2))


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
