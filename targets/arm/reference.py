"""The reference engine: the same vCPU, with every function and instruction evaluated in Python instead of natively."""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable
from typing import Any

from jit.evaluate import Evaluator
from targets.arm.cpu import SIGNATURES, ArmCpu
from targets.arm.exits import Exit
from targets.arm.models import Model
from targets.arm.system import PAGE, Bus, System, inserts, runtime_functions


class ReferenceCpu(ArmCpu):
    """Executes by evaluation: slow, simple, and the oracle for the engines that generate code."""

    def __init__(self, system: System, bus: Bus, index: int, model: Model) -> None:
        self._functions = {f.name: f for f in runtime_functions()}
        self._inserts = {f.name: f for f in inserts()}
        self._decoded: dict[tuple[int, int, bool], Any] = {}
        super().__init__(system, bus, index, model)
        callbacks: dict[str, Callable[..., int | None]] = {name: getattr(self, f"_on_{name}") for name in SIGNATURES}
        callbacks |= {"clock_gettime": _clock_gettime, "usleep": _usleep}
        self.evaluator = Evaluator(self.env, self._functions, callbacks)

    def run(self) -> Exit:
        fp = self.evaluator.fp
        fp.rounding, fp.flags = (self.get("fpcr") >> 22) & 3, self.get("fpsr") & 31
        several = self.get("peers") != 0
        if several:
            self.call("come_in")
        try:
            return self._run()
        finally:
            if several:
                self.call("go_out")
            self.set("fpsr", (self.get("fpsr") & 0x80) | fp.flags)

    def _run(self) -> Exit:
        """From continuation to continuation; a jump into the code cache means instructions."""
        name = "lookup"
        while True:
            out = self.evaluator.run(self._functions[name])
            if out.kind == "goto":
                name = out.name
            elif out.kind == "goto_ptr":
                name = self._instructions()
            else:
                reason = Exit(self.get("exit_reason"))
                self.exits[reason] += 1
                if reason != Exit.STEP:
                    return reason
                name = self._step_one()

    def _step_one(self) -> str:
        """Software step: evaluate the instruction at env.pc alone; gives the continuation behind it."""
        if self.call("fetch_fill", self.get("pc")):
            return "fetch_fault"
        pc, base = self.get("pc"), self.get("pc") & -PAGE
        number = self._physical_page(pc)
        assert number is not None, f"no exec TLB entry for {pc:#x}"
        self.set("pc_base", base)
        (word,) = struct.unpack_from("<I", self.system.read_page(number), pc - base)
        self._note_step(word)
        out, displacement = self._instruction(word, pc - base, self._mode())
        if out.kind == "next" or out.name == "TAKEN":
            self.set("pc", pc + (4 if out.kind == "next" else displacement or 0))
            return "lookup"
        return out.name

    def _instructions(self) -> str:
        """Evaluate instructions from env.pc until one leaves its page; gives the continuation to go on at."""
        pc, system = self.get("pc"), self.system
        if self.trace_blocks:
            self.log("exec", self.trace_text())
        with system.engine.lock:
            number = self._physical_page(pc)
        assert number is not None, f"no exec TLB entry for {pc:#x}"
        base, offset, mode = pc & -PAGE, pc & (PAGE - 1), self._mode()
        while offset < PAGE:
            (word,) = struct.unpack_from("<I", system.read_page(number), offset)
            out, displacement = self._instruction(word, offset, mode)
            if out.kind == "next":
                offset += 4
            elif out.name == "TAKEN":
                offset += displacement or 0
                if (displacement or 0) <= 0 and self.get("attn"):
                    self.set("pc", base + offset)
                    return "attention"
            else:
                return out.name
        self.set("pc", base + offset)
        return "lookup"

    def _instruction(self, word: int, offset: int, mode: int) -> tuple[Any, int | None]:
        front = self.system.frontend
        decoded = front.decode(word, mode)
        near = decoded.displacement is not None and 0 <= offset + decoded.displacement < PAGE
        stop = self.system.engine.stops.get(offset)
        for insert in (stop, *decoded.before) if stop else decoded.before:
            out = self.evaluator.run(self._inserts[insert], {"PC": offset})
            if out.kind != "next":
                return out, None
        function = front.lift(decoded, mode, near)
        holes = {**front.holes(decoded, mode, near), "PC": offset}
        return self.evaluator.run(function, holes), decoded.displacement

    def call(self, name: str, *args: int) -> int:
        return self.evaluator.call(name, *args) or 0


def _usleep(us: int) -> int:
    time.sleep(us / 1e6)
    return 0


def _clock_gettime(clock: int, where: int) -> int:
    """The host's clock_gettime, called from evaluated code."""
    return ctypes.CDLL(None).clock_gettime(ctypes.c_int(clock), ctypes.c_void_p(where))
