"""Runs A64 instructions without a machine: the same start state on the reference engine, as stencils, and in Unicorn.

Memory is flat: one readable page of code and a few pages of data; all else faults.  The runtime that stencils call is
replaced by small Python functions, so what is tested is the instruction's own semantics and nothing else.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, field
from typing import Any

from jit.codecache import CodeCache
from jit.evaluate import Evaluator
from jit.host import host_module
from jit.ir import Builder, Function
from jit.piece import Fixup, Piece, fill
from jit.stencil import compile_functions
from jit.types import I32, I64, PTR
from targets.arm.a64.lift import A64, Mode, hole_values, lift, mode_for_fpcr
from targets.arm.a64.row import Row
from targets.arm.a64.table import Decoder
from targets.arm.env import CALLBACK_AT, CONTINUATIONS, ENV, FUNCTIONS, SLOTS

CODE, DATA, DATA_SIZE = 0x1_0000, 0x20_0000, 0x1_0000
MASK64 = (1 << 64) - 1


@dataclass
class State:
    """What an instruction can see and change.  outcome: "ok" or "fault" (any exception)."""

    x: list[int] = field(default_factory=lambda: [0] * 31)
    sp: int = DATA + 0x8000
    v: list[int] = field(default_factory=lambda: [0] * 32)
    nzcv: int = 0
    fpcr: int = 0
    fpsr: int = 0
    pc: int = CODE
    memory: bytes = bytes(DATA_SIZE)
    outcome: str = "ok"

    def copy(self) -> State:
        return State(
            list(self.x), self.sp, list(self.v), self.nzcv, self.fpcr, self.fpsr, self.pc, self.memory, self.outcome
        )


def _rounding(fpcr: int) -> int:
    return (fpcr >> 22) & 3


def code_page(s: State, words: list[int]) -> bytes:
    """The page of code: the words, zeros behind them (Unicorn fetches ahead), and data for literal loads elsewhere."""
    page = bytearray(s.memory[:4096])
    at = s.pc & 4095
    page[at : at + 4 * len(words) + 32] = b"".join(w.to_bytes(4, "little") for w in words) + bytes(32)
    return bytes(page[:4096])


SLOW_PATHS = ("slow_load", "slow_store", "slow_probe", "note_write")  # runtime functions that Flat stands in for


class Flat:
    """The CPU state and flat memory that both of our engines run on."""

    def __init__(self, features: tuple[str, ...] = ()) -> None:
        self.decoder = Decoder(features)
        self._raw = (ctypes.c_uint8 * (ENV.size + 64))()
        self.env = (ctypes.addressof(self._raw) + 63) & -64
        self._tlb_raw = (ctypes.c_uint8 * (32 * 1024 + 64))()
        self.tlb = (ctypes.addressof(self._tlb_raw) + 63) & -64
        self.data = ctypes.create_string_buffer(DATA_SIZE + 4096)
        self.host = (ctypes.addressof(self.data) + 4095) & -4096
        self.code = ctypes.create_string_buffer(8192)
        self.code_host = (ctypes.addressof(self.code) + 4095) & -4096
        self.lifted: dict[tuple[Any, ...], A64] = {}

    # -- state in and out -------------------------------------------------------------------------------------------
    def poke(self, offset: int, value: int, size: int = 8) -> None:
        ctypes.memmove(self.env + offset, (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little"), size)

    def peek(self, offset: int, size: int = 8) -> int:
        return int.from_bytes(ctypes.string_at(self.env + offset, size), "little")

    def load_state(self, s: State, words: list[int]) -> None:
        ctypes.memset(self.env, 0, ENV.size)
        ctypes.memset(self.tlb, 0xFF, 32 * 1024)
        ctypes.memmove(self.env + ENV.x, struct.pack("<32Q", *s.x, s.sp), 256)
        ctypes.memmove(self.env + ENV.v, b"".join(v.to_bytes(16, "little") for v in s.v), 512)
        for k, name in enumerate(("nf", "zf", "cf", "vf")):
            self.poke(ENV[name].offset, (s.nzcv >> (3 - k)) & 1, 1)
        self.poke(ENV.fpcr, s.fpcr)
        self.poke(ENV.fpsr, s.fpsr & 0x9F)
        self.poke(ENV.qc, (s.fpsr >> 27) & 1)
        self.poke(ENV.pc, s.pc)
        self.poke(ENV.pc_base, s.pc & -4096)
        self.poke(ENV.el, 1, 1)
        self.poke(ENV.spsel, 1, 1)
        self.poke(ENV.excl_addr, MASK64)
        self.poke(ENV.tlb, self.tlb)
        self.poke(ENV.tlb_unpriv, self.tlb)
        ctypes.memmove(self.host, s.memory, DATA_SIZE)
        ctypes.memmove(self.code_host, code_page(s, words), 4096)

    def save_state(self, outcome: str) -> State:
        regs = struct.unpack("<32Q", ctypes.string_at(self.env + ENV.x, 256))
        v = ctypes.string_at(self.env + ENV.v, 512)
        nzcv = sum(self.peek(ENV[n].offset, 1) << (3 - k) for k, n in enumerate(("nf", "zf", "cf", "vf")))
        return State(
            list(regs[:31]), regs[31], [int.from_bytes(v[k : k + 16], "little") for k in range(0, 512, 16)], nzcv,
            self.peek(ENV.fpcr), (self.peek(ENV.fpsr) & 0x9F) | (self.peek(ENV.qc) & 1) << 27, self.peek(ENV.pc),
            ctypes.string_at(self.host, DATA_SIZE), outcome,
        )  # fmt: skip

    # -- the runtime, in Python -------------------------------------------------------------------------------------
    def _host_of(self, va: int, size: int, write: bool) -> int | None:
        if va >= DATA and va + size <= DATA + DATA_SIZE:
            return self.host + va - DATA
        if va >= CODE and va + size <= CODE + 4096 and not write:
            return self.code_host + va - CODE
        return None

    def _enter_tlb(self, va: int) -> None:
        page = va & -4096
        entry = self.tlb + ((va >> 12) & 1023) * 32
        if page == CODE:
            ctypes.memmove(entry, struct.pack("<3Q", page, MASK64, (self.code_host - CODE) & MASK64), 24)
        else:
            ctypes.memmove(entry, struct.pack("<3Q", page, page, (self.host - DATA) & MASK64), 24)

    def slow(self, kind: str, va: int, desc: int) -> int:
        if kind == "note_write":  # of a store that was done: nothing here is translated
            return 0
        size = desc & 0xFF
        p = self._host_of(va, size, kind != "slow_load")
        if p is None or (desc & 0x200 and va % size):
            return 1
        if kind == "slow_load":
            ctypes.memmove(self.env + ENV.scratch, p, size)
        elif kind == "slow_store":
            ctypes.memmove(p, self.env + ENV.scratch, size)
        else:
            self.poke(ENV.scratch, p)
        self._enter_tlb(va)
        return 0

    # -- lifting ----------------------------------------------------------------------------------------------------
    def decode(self, word: int) -> Row | None:
        return self.decoder.row(word)

    def lift(self, row: Row, word: int, mode: Mode) -> tuple[A64, dict[str, int]]:
        fields = row.split(word)
        key = (row.name, row.layout, row.shape(fields), mode)
        found = self.lifted.get(key)
        if found is None:
            found = self.lifted[key] = lift(row, row.shape(fields), mode, near=False)
            found.function.name = f"s{len(self.lifted)}"
        return found, hole_values(found.holes, fields)


def mode_of(s: State) -> Mode:
    """The block mode that a start state implies."""
    return mode_for_fpcr(Mode(), s.fpcr)


class _FlatEvaluator(Evaluator):
    """The evaluator, with the harness's runtime where it has one, and IR runtime functions otherwise."""

    def __init__(self, flat: Flat, runtime: dict[str, Function]) -> None:
        super().__init__(flat.env, runtime)
        self.flat = flat

    def call(self, name: str, *args: Any) -> Any:
        if name in SLOW_PATHS:
            return self.flat.slow(name, *args)
        return super().call(name, *args)


def runtime_functions() -> dict[str, Function]:
    """IR runtime functions that semantics call (beyond memory access): modules that have `functions()`."""
    out: dict[str, Function] = {}
    for name in ("fp", "access"):
        try:
            module = __import__(f"targets.arm.{name}", fromlist=["functions"])
        except ModuleNotFoundError:
            continue
        for f in getattr(module, "functions", list)():
            out[f.name] = f
    return out


class Reference:
    """One instruction at a time on the IR evaluator."""

    def __init__(self, flat: Flat) -> None:
        self.flat, self._runtime = flat, runtime_functions()

    def run(self, words: list[int], s: State) -> State:
        f = self.flat
        f.load_state(s, words)
        evaluator = _FlatEvaluator(f, self._runtime)
        evaluator.fp.rounding, evaluator.fp.flags = _rounding(s.fpcr), s.fpsr & 31
        outcome, pc = "ok", s.pc
        for word in words:
            row = f.decode(word)
            if row is None:
                outcome = "fault"
                break
            lifted, holes = f.lift(row, word, mode_of(s))
            out = evaluator.run(lifted.function, {**holes, "PC": pc & 4095})
            if out.kind == "next":
                pc += 4
            elif out.name == "lookup":
                pc = f.peek(ENV.pc)
                break
            else:
                outcome = "fault"
                break
        f.poke(ENV.fpsr, (f.peek(ENV.fpsr) & 0x80) | evaluator.fp.flags)
        f.poke(ENV.pc, pc)
        return f.save_state(outcome)


class Native:
    """Stencils, stitched one behind the other and run in the code cache."""

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self.cache = CodeCache(32 << 20)
        self.host = host_module()
        self.pieces: dict[str, Piece] = {}
        self._callbacks: list[Any] = []
        self._start()

    def _start(self) -> None:
        exits = [_exit_stencil(name, k) for k, name in enumerate(("done", *CONTINUATIONS))]
        extra = runtime_functions()
        pieces = compile_functions([*exits, _enter_function(), *extra.values()], SLOTS)
        self.at = {name: 0 for name in pieces}
        for name in pieces:  # place once to learn addresses, then again with them known
            self.at[name] = self.cache.base + self.cache.reserve(len(pieces[name].code) + 8)
        for name, piece in pieces.items():
            self._write(self.at[name] - self.cache.base, piece, {})
        self.slots = {SLOTS[n]: self.at[n] for n in CONTINUATIONS}
        self.slots.update({SLOTS[n]: self.at[n] for n in extra if n in SLOTS})
        c_slow = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
        for name in FUNCTIONS:
            if name in SLOW_PATHS:
                fn = c_slow(lambda _env, va, desc, kind=name: self.flat.slow(kind, va, desc))
                self._callbacks.append(fn)
                self.slots[SLOTS[name]] = ctypes.cast(fn, ctypes.c_void_p).value or 0
        self.slots_at, end = min(SLOTS.values()), max(SLOTS.values()) + 8
        self.slots_bytes = b"".join(self.slots.get(at, 0).to_bytes(8, "little") for at in range(self.slots_at, end, 8))
        self.enter = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(self.at["enter"])

    def _write(self, offset: int, piece: Piece, values: dict[str, int]) -> int:
        code = bytearray(piece.code)
        end = self.cache.base + offset + len(code)
        for fx in piece.fixups:
            fill(code, fx, self._value(fx, values, end), self.cache.base + offset)
        self.cache.write[offset : offset + len(code)] = bytes(code)
        return offset + len(code)

    def _value(self, fx: Fixup, values: dict[str, int], end: int) -> int:
        if fx.data:
            at = self.cache.reserve(len(fx.data), 64)
            self.cache.write[at : at + len(fx.data)] = fx.data
            return self.cache.base + at
        if fx.name == "NEXT":
            return values.get("NEXT", end)
        return values[fx.name] if fx.name in values else self.at[fx.name]

    def run(self, words: list[int], s: State) -> State:
        f = self.flat
        f.load_state(s, words)
        ctypes.memmove(f.env + self.slots_at, self.slots_bytes, len(self.slots_bytes))
        f.poke(ENV.exit_reason, 99, 4)
        placed: list[tuple[Piece, dict[str, int]]] = []
        pc, stop = s.pc, "done"
        for word in words:
            row = f.decode(word)
            if row is None:
                stop = "undefined_insn"
                break
            lifted, holes = f.lift(row, word, mode_of(s))
            name = lifted.function.name
            if name not in self.pieces:
                self.pieces.update(compile_functions([lifted.function], SLOTS))
            placed.append((self.pieces[name], {**holes, "PC": pc & 4095}))
            pc += 4
        start = self._stitch(placed, stop)
        self.enter(f.env, self.cache.base + start)
        reason = ("done", *CONTINUATIONS)[f.peek(ENV.exit_reason, 4)]
        if reason == "done":
            f.poke(ENV.pc, pc)
        elif reason != "lookup":
            f.poke(ENV.pc, s.pc if len(words) == 1 else f.peek(ENV.pc))
        return f.save_state("ok" if reason in ("done", "lookup") else "fault")

    def _stitch(self, placed: list[tuple[Piece, dict[str, int]]], stop: str) -> int:
        if self.cache.used > self.cache.size - (1 << 20):
            self.cache.used = self.start_used
        size = sum(len(p.code) + (len(p.slow.code) if p.slow else 0) for p, _ in placed) + 16
        start = self.cache.reserve(size)
        if not hasattr(self, "start_used"):
            self.start_used = start
        at = start
        behind = start + sum(len(p.code) for p, _ in placed) + 16
        for piece, values in placed:
            end = at + len(piece.code)
            self._write(at, piece, {**values, "SLOW": self.cache.base + behind})
            if piece.slow:
                behind = self._write(behind, piece.slow, {**values, "NEXT": self.cache.base + end})
            at = end
        jump = b"\xe9" + struct.pack("<i", self.at[stop] - (self.cache.base + at + 5))
        self.cache.write[at : at + 5] = jump
        return start


def _exit_stencil(name: str, reason: int) -> Function:
    b = Builder(name, kind="stencil")
    b.stenv(ENV.exit_reason, b.const(reason, I32))
    b.ret()
    return b.function


def _enter_function() -> Function:
    """Enter guest code: its rounding mode and sticky flags go into the host's control register and back."""
    b = Builder("enter", args=(PTR,))
    b.op("fp_set_round", b.ldenv(ENV.fpcr, I64).lshr(22).trunc(I32) & 3, type=I64)
    b.op("fp_set_flags", b.ldenv(ENV.fpsr, I64).trunc(I32) & 31, type=I64)
    b.emit("run_code", I64, (b.args[0],))
    flags = b.emit("fp_flags", I32)
    b.stenv(ENV.fpsr, (b.ldenv(ENV.fpsr, I64) & 0x80) | flags.zext(I64))
    b.op("fp_set_flags", b.const(0, I32), type=I64)
    b.op("fp_set_round", b.const(0, I32), type=I64)
    b.ret()
    return b.function


class _UnicornRegisters:
    """Many registers in one call: one by one they take longer than all the rest of a case."""

    def __init__(self, uc: Any, narrow: list[int], wide: list[int]) -> None:
        """narrow, wide: numbers of registers of 64 and 128 bits, in the order of their values."""
        from unicorn.unicorn_py3.unicorn import uclib

        self._lib, self._uc = uclib, uc
        self._narrow, self._wide = struct.Struct(f"<{len(narrow)}Q"), len(wide)
        numbers = [*narrow, *wide]
        self._values = (ctypes.c_uint8 * (self._narrow.size + 16 * len(wide)))()
        at = ctypes.addressof(self._values)
        places = [at + 8 * k for k in range(len(narrow))] + [at + self._narrow.size + 16 * k for k in range(len(wide))]
        self._numbers = (ctypes.c_int * len(numbers))(*numbers)
        self._places = (ctypes.c_void_p * len(numbers))(*places)

    def _all(self, do: Any) -> None:
        status = do(self._uc._uch, self._numbers, self._places, len(self._numbers))
        assert status == 0, f"Unicorn: error {status}"

    def write(self, narrow: list[int], wide: list[int]) -> None:
        self._narrow.pack_into(self._values, 0, *narrow)
        self._values[self._narrow.size :] = b"".join(v.to_bytes(16, "little") for v in wide)
        self._all(self._lib.uc_reg_write_batch)

    def read(self) -> tuple[tuple[int, ...], list[int]]:
        self._all(self._lib.uc_reg_read_batch)
        data = bytes(self._values)
        wide = [int.from_bytes(data[k : k + 16], "little") for k in range(self._narrow.size, len(data), 16)]
        return self._narrow.unpack_from(data), wide


class Oracle:
    """Unicorn, on the same memory map."""

    def __init__(self) -> None:
        import unicorn as u
        from unicorn import arm64_const as c

        self.u, self.c = u, c
        self.uc = u.Uc(u.UC_ARCH_ARM64, u.UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(c.UC_CPU_ARM64_MAX)
        self.uc.mem_map(CODE, 0x1000, u.UC_PROT_READ | u.UC_PROT_EXEC)
        self.uc.mem_map(DATA, DATA_SIZE)
        self.uc.reg_write(c.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        self.uc.hook_add(u.UC_HOOK_INTR, self._interrupt)
        x = [getattr(c, f"UC_ARM64_REG_X{k}") for k in range(31)]
        v = [getattr(c, f"UC_ARM64_REG_V{k}") for k in range(32)]
        extra = [c.UC_ARM64_REG_SP, c.UC_ARM64_REG_NZCV, c.UC_ARM64_REG_FPCR, c.UC_ARM64_REG_FPSR]
        self._registers = _UnicornRegisters(self.uc, [*x, *extra], v)
        self.interrupted = False

    def _interrupt(self, uc: Any, number: int, _user: Any) -> None:
        self.interrupted = True
        uc.emu_stop()

    def run(self, words: list[int], s: State) -> State:
        uc, c = self.uc, self.c
        uc.ctl_flush_tb()
        uc.mem_write(CODE, code_page(s, words))
        uc.mem_write(DATA, s.memory)
        self._registers.write([*s.x, s.sp, s.nzcv << 28, s.fpcr, s.fpsr], s.v)
        self.interrupted = False
        outcome = "ok"
        try:
            uc.emu_start(s.pc, CODE + 0x2000, count=len(words))
        except self.u.UcError as e:
            outcome = "ok" if e.errno == self.u.UC_ERR_FETCH_UNMAPPED else "fault"  # a branch has been taken by then
        if self.interrupted:
            outcome = "ok" if uc.reg_read(c.UC_ARM64_REG_PC) & 3 else "fault"  # and so has one to a misaligned address
        (*x, sp, nzcv, fpcr, fpsr), v = self._registers.read()
        pc = uc.reg_read(c.UC_ARM64_REG_PC) if outcome == "ok" else s.pc
        return State(
            x, sp, v, (nzcv >> 28) & 15, fpcr, fpsr, pc, bytes(uc.mem_read(DATA, DATA_SIZE)), outcome,
        )  # fmt: skip


__all__ = ["CODE", "DATA", "DATA_SIZE", "Flat", "Native", "Oracle", "Reference", "State", "CALLBACK_AT"]
