"""The debug log of -accel tcg: what the translator and its CPUs tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jit.baseline import CodePage
from jit.frontend import Decoded
from jit.host import host_module
from jit.ir import Function
from jit.text import to_text
from targets.arm import trace
from targets.arm.a64.lift import PAGE, Mode
from targets.arm.statistics import report
from xemu.cli import log

if TYPE_CHECKING:
    from targets.arm.cpu import ArmCpu
    from targets.arm.system import System
    from xemu.machine import Machine


def attach(system: System, machine: Machine) -> None:
    """Have the translator call us for the items that are on; nothing is called for those that are off."""
    writer = _Writer(system)
    if log.enabled("in_asm") or log.enabled("out_asm"):
        system.engine.on_translate = writer.block
    if log.enabled("op") or log.enabled("op_opt"):
        system.engine.words.on_stencil = writer.stencil
    system.engine.chain = not log.enabled("exec")
    if log.enabled("stats"):
        machine.on_stop.append(writer.statistics)


def attach_cpu(cpu: ArmCpu) -> None:
    cpu.log = log.write
    bits = (("int", trace.EXCEPTIONS), ("mmu", trace.MMU), ("unimp", trace.UNIMPLEMENTED))
    cpu.set("trace", sum(bit for item, bit in bits if log.enabled(item)))
    cpu.trace_blocks = log.enabled("exec")


_STAGES = {"op": "OP", "op_opt": "OP after the passes"}


class _Writer:
    def __init__(self, system: System) -> None:
        self._system = system

    def block(self, page: CodePage, offset: int, insns: list[Decoded], start: int, end: int) -> None:
        """Guest and host code of one translation."""
        step, front = self._system.frontend.insn_size, self._system.frontend
        if log.enabled("in_asm"):
            pc = self._system.fetch_pc
            mode = Mode.from_key(page.mode)
            lines = [f"IN: {pc:#x}, physical {page.number * PAGE + offset:#x}, EL{mode.el}"]
            for k, d in enumerate(insns):
                address = pc + k * step
                lines.append(f"  {address:#x}: {d.word:08x}  {front.disassemble(d.word, address)}")
            log.write("in_asm", "\n".join(lines))
        if log.enabled("out_asm"):
            cache = self._system.engine.cache
            text = host_module().disassemble(bytes(cache.write[start:end]), cache.base + start)
            log.write("out_asm", f"OUT: {end - start} bytes\n{text}")

    def stencil(self, stage: str, function: Function) -> None:
        """IR of a shape that is new: as the semantics emit it, and behind the passes."""
        if log.enabled(stage):
            log.write(stage, f"{_STAGES[stage]}: {to_text(function)}")

    def statistics(self) -> None:
        log.write("stats", report(self._system))
