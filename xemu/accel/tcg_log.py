"""The translator's debug log: `-d in_asm,op,op_opt,out_asm,exec,int,stats` for -accel tcg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jit.baseline import CodePage
from jit.frontend import Decoded
from jit.host import host_module
from jit.ir import Function
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
        system.engine.on_stencil = writer.stencil
    system.engine.chain = not log.enabled("exec")
    if log.enabled("stats"):
        machine.on_stop.append(writer.statistics)


def attach_cpu(cpu: ArmCpu) -> None:
    cpu.log = log.write
    cpu.set("trace", int(log.enabled("int")))
    cpu.trace_blocks = log.enabled("exec")


class _Writer:
    def __init__(self, system: System) -> None:
        self._system = system

    def block(self, page: CodePage, offset: int, insns: list[Decoded], start: int, end: int) -> None:
        """Guest and host code of one translation."""
        step, front = self._system.frontend.insn_size, self._system.frontend
        if log.enabled("in_asm"):
            lines = [f"IN: page {page.number * 4096:#x} mode {page.mode:#x}"]
            for k, d in enumerate(insns):
                lines.append(f"  {offset + k * step:#05x}: {d.word:08x}  {front.disassemble(d.word, offset + k * step)}")
            log.write("in_asm", "\n".join(lines))
        if log.enabled("out_asm"):
            cache = self._system.engine.cache
            text = host_module().disassemble(bytes(cache.write[start:end]), cache.base + start)
            log.write("out_asm", f"OUT: {end - start} bytes\n{text}")

    def stencil(self, function: Function) -> None:
        """IR of a shape that is new."""
        from jit.passes import run_pipeline
        from jit.text import to_text

        log.write("op", f"OP: {to_text(function)}")
        if log.enabled("op_opt"):
            log.write("op_opt", f"OP after the passes: {to_text(run_pipeline(function))}")

    def statistics(self) -> None:
        from targets.arm.statistics import report

        log.write("stats", report(self._system))
