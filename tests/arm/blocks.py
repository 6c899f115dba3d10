"""Whole random blocks through the translator and through Unicorn: same memory, same start state, same end."""

from __future__ import annotations

import ctypes
import random
from functools import cache
from typing import Any

from targets.arm.a64.row import Row
from targets.arm.a64.table import Decoder, all_rows
from tests.arm.cpu_rig import HVC, Board
from tests.arm.differential import FEATURES, random_state, random_word
from tests.arm.harness import CODE, DATA, DATA_SIZE, MASK64, State
from tests.arm.oracle_bugs import ORACLE_BUGS

RAM_SIZE = 4 << 20
VECTORS = 0x3000  # every vector: HVC
CLREX = 0xD503_3F5F
FLAGS = ("nf", "zf", "cf", "vf")
assert CODE + 4096 < DATA and DATA + DATA_SIZE < RAM_SIZE

_BUGGY = {name for bug in ORACLE_BUGS if not bug.reason.startswith("Not wrong") for name in bug.rows}
_INDIRECT = ("BR", "BLR", "RET")
_ROWS = [r for r in all_rows() if r.oracle == "unicorn" and r.name not in _BUGGY and r.name not in _INDIRECT]
ACCESSES = [r for r in _ROWS if "loads_stores" in r.lift.__module__]
REST = [r for r in _ROWS if "loads_stores" not in r.lift.__module__]


# -- words ----------------------------------------------------------------------------------------------------------
def equal_holes(row: Row, word: int, rng: random.Random) -> int:
    """All registers the same one, all numbers 0, or both; the word as it is where the row does not allow that."""
    number, kinds = rng.choice((31, 0, rng.randrange(32))), rng.choice((1, 2, 3))
    changed = word
    for part in row.parts:
        ones = (1 << part.width) - 1
        if part.name[0] == "R" and part.width == 5 and kinds & 1:
            changed = changed & ~(ones << part.low) | number << part.low
        elif row.is_hole(part.name) and part.name[0] != "R" and kinds & 2:
            changed &= ~(ones << part.low)
    return changed if row.matches(changed) else word


def _forward(row: Row, word: int, left: int, rng: random.Random) -> int:
    """Branches go to an instruction further on in the block, or just behind it."""
    for part in row.parts:
        if part.name in ("imm26", "imm19", "imm14") and row.ends:
            ones = (1 << part.width) - 1
            return word & ~(ones << part.low) | rng.randrange(1, left + 1) << part.low
    return word


def _stack_base(row: Row, word: int, rng: random.Random) -> int:
    """Most loads and stores from the stack pointer, so that not every block ends in a fault."""
    changed = word | 31 << 5
    return changed if rng.randrange(4) and row.matches(changed) else word


def random_block(rng: random.Random) -> list[int]:
    length, words = rng.randrange(5, 31), [CLREX]
    while len(words) <= length:
        accesses = rng.randrange(5) == 0
        row = rng.choice(ACCESSES if accesses else REST)
        word = random_word(row, rng)
        if rng.randrange(3) == 0:
            word = equal_holes(row, word, rng)
        elif accesses:
            word = _stack_base(row, word, rng)
        if _decoder().row(word) is row:  # a hint may be WFI
            words.append(_forward(row, word, length + 1 - len(words), rng))
    return words


@cache
def _decoder() -> Decoder:
    return Decoder(FEATURES)


def random_start(rng: random.Random) -> State:
    s = random_state(rng)
    s.pc = CODE + rng.randrange(0, 900) * 4
    return s


# -- the translator -------------------------------------------------------------------------------------------------
class Translator:
    """Blocks run by ArmCpu with the MMU off.  outcome: "ok", or "fault" and pc the instruction's."""

    def __init__(self, engine: str = "baseline") -> None:
        self.board = Board(engine, ram_base=0, ram_size=RAM_SIZE, features=FEATURES)
        self.board.put(VECTORS, [HVC] * 512)

    def run(self, words: list[int], s: State) -> State:
        board, cpu = self.board, self.board.cpu
        board.put(s.pc, [*words, HVC])
        board.map[DATA : DATA + DATA_SIZE] = s.memory
        cpu.reset(s.pc)
        cpu.set("flat", 1)
        cpu.set("sctlr_el1", cpu.get("sctlr_el1") & ~0x18)  # SA, SA0: Unicorn does not check the stack pointer
        cpu.set("vbar_el1", VECTORS)
        cpu.set("cpacr_el1", 3 << 20)
        for k, value in enumerate((*s.x, s.sp)):
            cpu.set("x", value, k)
        for k, value in enumerate(s.v):
            cpu.set("v", value, k)
        for k, name in enumerate(FLAGS):
            cpu.set(name, s.nzcv >> (3 - k) & 1)
        cpu.set("fpcr", s.fpcr)
        cpu.set("fpsr", s.fpsr & 0x9F)
        cpu.set("qc", s.fpsr >> 27 & 1)
        cpu.call("mode_changed")
        board.go()
        return self._state(s)

    def _state(self, s: State) -> State:
        cpu = self.board.cpu
        faulted = cpu.get("pc") & -0x800 == VECTORS
        out = State(
            [cpu.get("x", k) for k in range(31)], cpu.get("x", 31),
            [cpu.get("v", k) for k in range(32)], sum(cpu.get(n) << (3 - k) for k, n in enumerate(FLAGS)),
            cpu.get("fpcr"), cpu.get("fpsr") & 0x9F | cpu.get("qc") << 27, cpu.get("pc") - 4,
            self.board.map[DATA : DATA + DATA_SIZE],
        )  # fmt: skip
        if faulted:
            out.pc, out.outcome = cpu.get("elr_el1"), "fault"
        return out


# -- the oracle -----------------------------------------------------------------------------------------------------
class UnicornBlocks:
    """The same in Unicorn."""

    def __init__(self) -> None:
        import unicorn as u
        from unicorn import arm64_const as c

        self.u, self.c = u, c
        self.memory = ctypes.create_string_buffer(RAM_SIZE + 4096)
        self.host = (ctypes.addressof(self.memory) + 4095) & -4096
        uc = self.uc = u.Uc(u.UC_ARCH_ARM64, u.UC_MODE_ARM)
        uc.ctl_set_cpu_model(c.UC_CPU_ARM64_MAX)
        uc.mem_map_ptr(0, RAM_SIZE, u.UC_PROT_ALL, self.host)
        uc.reg_write(c.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        uc.hook_add(u.UC_HOOK_INTR, self._interrupt)
        self.x = [getattr(c, f"UC_ARM64_REG_X{k}") for k in range(31)]
        self.v = [getattr(c, f"UC_ARM64_REG_V{k}") for k in range(32)]
        self.extra = [c.UC_ARM64_REG_SP, c.UC_ARM64_REG_NZCV, c.UC_ARM64_REG_FPCR, c.UC_ARM64_REG_FPSR]
        self.pc = c.UC_ARM64_REG_PC
        ctypes.memmove(self.host + VECTORS, HVC.to_bytes(4, "little") * 512, 2048)
        self.interrupted = False

    def _interrupt(self, uc: Any, number: int, _user: Any) -> None:
        self.interrupted = True
        uc.emu_stop()

    def run(self, words: list[int], s: State) -> State:
        uc = self.uc
        uc.ctl_remove_cache(CODE, CODE + 0x2000)
        end = s.pc + 4 * len(words)
        code = b"".join(w.to_bytes(4, "little") for w in (*words, HVC))
        ctypes.memmove(self.host + s.pc, code, len(code))
        ctypes.memmove(self.host + DATA, s.memory, DATA_SIZE)
        for register, value in zip((*self.x, *self.v), (*s.x, *s.v), strict=True):
            uc.reg_write(register, value)
        for register, value in zip(self.extra, (s.sp, s.nzcv << 28, s.fpcr, s.fpsr), strict=True):
            uc.reg_write(register, value)
        self.interrupted, outcome = False, "ok"
        try:
            uc.emu_start(s.pc, end)
        except self.u.UcError:
            outcome = "fault"
        if self.interrupted:
            outcome = "fault"
        sp, nzcv, fpcr, fpsr = (uc.reg_read(r) for r in self.extra)
        return State(
            [uc.reg_read(r) for r in self.x], sp, [uc.reg_read(r) for r in self.v], nzcv >> 28 & 15, fpcr, fpsr,
            uc.reg_read(self.pc) & MASK64, ctypes.string_at(self.host + DATA, DATA_SIZE), outcome,
        )  # fmt: skip


def elsewhere(host: int) -> bytes:
    """Memory but the data and the code, which are set anew for each block: to see stores that go astray."""
    return ctypes.string_at(host, CODE) + ctypes.string_at(host + DATA + DATA_SIZE, RAM_SIZE - DATA - DATA_SIZE)
