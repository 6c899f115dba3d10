"""Stencils compiled for an AArch64 host, run in Unicorn as that host."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

from jit.host import aarch64
from jit.piece import Fixup, Piece, fill
from jit.stencil import compile_functions
from targets.arm.env import CONTINUATIONS, ENV, SLOTS
from tests.arm import harness
from tests.arm.harness import CODE, DATA, DATA_SIZE, MASK64, Flat, State, mode_of

MACHINE = "aarch64"
CODE_AT, CODE_SIZE = 0x10_0000_0000, 64 << 20
ENV_AT, TLB_AT, STACK_AT, PAGES_AT = 0x20_0000_0000, 0x21_0000_0000, 0x22_0000_0000, 0x23_0000_0000
STACK_SIZE, TLB_SIZE = 1 << 20, 32 << 10
RETURN, SLOW = STACK_AT + STACK_SIZE, STACK_AT + STACK_SIZE + 16  # addresses that end a run


class Unsupported(Exception):
    """The case needs Python code on the slow path, which this host can't call."""


class Aarch64Host:
    """The counterpart of harness.Native.  Accesses that would miss the soft TLB raise Unsupported."""

    def __init__(self, flat: Flat) -> None:
        import unicorn as u
        from unicorn import arm64_const as c

        self.flat, self.c, self.u = flat, c, u
        self.uc = uc = u.Uc(u.UC_ARCH_ARM64, u.UC_MODE_ARM)
        uc.ctl_set_cpu_model(c.UC_CPU_ARM64_A53)  # the least one: none of the later features
        uc.reg_write(c.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        uc.mem_map(CODE_AT, CODE_SIZE)
        for at, size in ((ENV_AT, (ENV.size + 4095) & -4096), (TLB_AT, TLB_SIZE), (STACK_AT, STACK_SIZE + 4096)):
            uc.mem_map(at, size)
        uc.mem_map(PAGES_AT, DATA_SIZE + 4096)
        uc.mem_write(TLB_AT, self._tlb())
        self.used = 0
        self.pieces: dict[str, Piece] = {}
        self.at: dict[str, int] = {}
        self._constants: dict[bytes, int] = {}
        self._place_runtime()
        self._runtime_used = self.used

    def _tlb(self) -> bytes:
        """Every page that may be accessed is in the TLB."""
        table = bytearray(b"\xff" * TLB_SIZE)
        for k in range(DATA_SIZE // 4096):
            page = DATA + k * 4096
            struct.pack_into("<3Q", table, (page >> 12 & 1023) * 32, page, page, (PAGES_AT - DATA) & MASK64)
        code = PAGES_AT + DATA_SIZE - CODE & MASK64
        struct.pack_into("<3Q", table, (CODE >> 12 & 1023) * 32, CODE, MASK64, code)
        return bytes(table)

    # -- placing ----------------------------------------------------------------------------------------------------
    def _reserve(self, size: int) -> int:
        at = (self.used + 63) & -64
        self.used = at + size
        assert self.used < CODE_SIZE
        return CODE_AT + at

    def _place_runtime(self) -> None:
        exits = [harness._exit_stencil(name, k) for k, name in enumerate(("done", *CONTINUATIONS))]
        runtime = [harness._enter_function(), *harness.runtime_functions().values()]
        pieces = compile_functions([*exits, *runtime], SLOTS, MACHINE)
        self.at = {name: self._reserve(len(piece.code) + 4) for name, piece in pieces.items()}
        for name, piece in pieces.items():
            self._write(self.at[name], piece, {})
        self.slots = {SLOTS[n]: self.at.get(n, SLOW) for n in SLOTS}

    def _write(self, at: int, piece: Piece, values: dict[str, int]) -> None:
        code = bytearray(piece.code)
        for fx in piece.fixups:
            fill(code, fx, self._value(fx, values, at + len(code)), at)
        self.uc.mem_write(at, bytes(code))

    def _value(self, fx: Fixup, values: dict[str, int], end: int) -> int:
        if fx.data:
            if fx.data not in self._constants:
                self._constants[fx.data] = at = self._reserve(len(fx.data))
                self.uc.mem_write(at, fx.data)
            return self._constants[fx.data]
        if fx.name == "NEXT" and "NEXT" not in values:
            return end
        return values[fx.name] if fx.name in values else self.at[fx.name]

    # -- running ----------------------------------------------------------------------------------------------------
    def run(self, words: list[int], s: State) -> State:
        f = self.flat
        f.load_state(s, words)
        f.poke(ENV.tlb, TLB_AT)
        f.poke(ENV.tlb_unpriv, TLB_AT)
        for slot, address in self.slots.items():
            f.poke(slot, address)
        pc = s.pc
        placed: list[tuple[Piece, dict[str, int]]] = []
        for word in words:
            row = f.decode(word)
            assert row is not None
            lifted, holes = f.lift(row, word, mode_of(s))
            name = lifted.function.name
            if name not in self.pieces:
                self.pieces.update(compile_functions([lifted.function], SLOTS, MACHINE))
            placed.append((self.pieces[name], {**holes, "PC": pc & 4095}))
            pc += 4
        start = self._stitch(placed)
        self._copy_in()
        self._enter(start)
        self._copy_out()
        reason = ("done", *CONTINUATIONS)[f.peek(ENV.exit_reason, 4)]
        if reason == "done":
            f.poke(ENV.pc, pc)
        return f.save_state("ok" if reason in ("done", "lookup") else "fault")

    def _stitch(self, placed: list[tuple[Piece, dict[str, int]]]) -> int:
        self.used = self._runtime_used  # words are placed over those of the last run
        self._constants.clear()
        start = at = self._reserve(sum(len(p.code) for p, _ in placed) + 4)
        for piece, values in placed:
            end, slow = at + len(piece.code), 0
            if piece.slow:
                slow = self._reserve(len(piece.slow.code))
                self._write(slow, piece.slow, {**values, "NEXT": end})
            self._write(at, piece, {**values, "SLOW": slow})
            at = end
        self.uc.mem_write(at, aarch64.jump(self.at["done"] - at))
        self.uc.ctl_remove_cache(CODE_AT, CODE_AT + CODE_SIZE)
        return start

    def _copy_in(self) -> None:
        f, uc = self.flat, self.uc
        uc.mem_write(ENV_AT, ctypes.string_at(f.env, ENV.size))
        uc.mem_write(PAGES_AT, ctypes.string_at(f.host, DATA_SIZE))
        uc.mem_write(PAGES_AT + DATA_SIZE, ctypes.string_at(f.code_host, 4096))

    def _copy_out(self) -> None:
        f, uc = self.flat, self.uc
        ctypes.memmove(f.env, bytes(uc.mem_read(ENV_AT, ENV.size)), ENV.size)
        ctypes.memmove(f.host, bytes(uc.mem_read(PAGES_AT, DATA_SIZE)), DATA_SIZE)

    def _enter(self, code: int) -> None:
        uc, c = self.uc, self.c
        registers: dict[Any, int] = {
            c.UC_ARM64_REG_X0: ENV_AT, c.UC_ARM64_REG_X1: code, c.UC_ARM64_REG_LR: RETURN,
            c.UC_ARM64_REG_SP: STACK_AT + STACK_SIZE - 64, c.UC_ARM64_REG_FPCR: 0, c.UC_ARM64_REG_FPSR: 0,
        }  # fmt: skip
        for register, value in registers.items():
            uc.reg_write(register, value)
        uc.ctl_exits_enabled(True)
        uc.ctl_set_exits([RETURN, SLOW])
        uc.emu_start(self.at["enter"], 0, count=0)
        if uc.reg_read(c.UC_ARM64_REG_PC) != RETURN:
            raise Unsupported
        assert uc.reg_read(c.UC_ARM64_REG_FPCR) == 0, "the host's rounding mode is not put back"
