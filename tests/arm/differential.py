"""Differential tests of table rows: random words of a row, random states, our engines against Unicorn.

python -m tests.arm.differential 'ADD*' --cases 500 --seed 1 --engine baseline
"""

from __future__ import annotations

import argparse
import fnmatch
import mmap
import os
import random
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from targets.arm.a64.row import Row
from targets.arm.a64.table import all_rows
from tests.arm.harness import CODE, DATA, DATA_SIZE, Flat, Native, Oracle, Reference, State

FEATURES = tuple(sorted({r.feature for r in all_rows()} - {""}))

_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
                0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF)  # fmt: skip
_FLOATS = {
    16: (0, 0x8000, 1, 0x3FF, 0x400, 0x401, 0x3C00, 0xBC00, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFE12, 0x3800),
    32: (
        0, 0x8000_0000, 1, 0x7F_FFFF, 0x80_0000, 0x80_0001, 0x3F80_0000, 0xBF80_0000, 0x7F7F_FFFF, 0x7F80_0000,
        0xFF80_0000, 0x7FC0_0000, 0x7F80_0001, 0xFFC1_2345, 0xFFA1_2345, 0x4F00_0000, 0xCF00_0000, 0x5F00_0000,
        0x3F00_0000, 0x4B00_0000,
    ),
    64: (
        0, 1 << 63, 1, (1 << 52) - 1, 1 << 52, (1 << 52) + 1, 0x3FF << 52, 0xBFF << 52, 0x7FEF_FFFF_FFFF_FFFF,
        0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48, 0x7FF0_0000_0000_0001, 0xFFF8_1234_5678_9ABC, 0xFFF4_1234_5678_9ABC,
        0x43E << 52, 0xC3E << 52, 0x41E << 52, 0x3FE << 52, 0x47E << 52, 0x380 << 52, 0x36A << 52,
    ),
}  # fmt: skip


def random_x(rng: random.Random) -> int:
    kind = rng.randrange(10)
    if kind < 4:
        return DATA + DATA_SIZE // 2 + rng.randrange(-0x1000, 0x1000) * rng.choice((1, 8, 16))
    if kind == 4:
        return (DATA + rng.choice((0, DATA_SIZE)) + rng.randrange(-32, 32)) & (1 << 64) - 1
    if kind == 5:
        return rng.choice(_INTERESTING)
    if kind == 6:
        return rng.randrange(64)
    if kind == 7:
        return rng.randrange(-0x800, 0x800) & (1 << 64) - 1
    return rng.getrandbits(64)


def random_float(rng: random.Random, bits: int) -> int:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(_FLOATS[bits])
    if kind == 1:
        return rng.getrandbits(bits)
    exponent_bits = {16: 5, 32: 8, 64: 11}[bits]
    bias, fraction = (1 << (exponent_bits - 1)) - 1, bits - 1 - exponent_bits
    exponent = max(0, min(2 * bias, bias + rng.randrange(-40, 66)))
    noise = rng.getrandbits(fraction) & (rng.choice((-1, -1 << (fraction // 2), -1 << (fraction - 3))))
    return rng.getrandbits(1) << (bits - 1) | exponent << fraction | noise & ((1 << fraction) - 1)


def random_v(rng: random.Random) -> int:
    bits = rng.choice((16, 32, 64, 8))
    if bits == 8:
        return rng.getrandbits(128)
    return sum(random_float(rng, bits) << k for k in range(0, 128, bits))


@cache
def _pool(make: Callable[[random.Random], int]) -> list[int]:
    rng = random.Random(make.__name__)
    return [make(rng) for _ in range(10_000)]


def _some(rng: random.Random, make: Callable[[random.Random], int], count: int) -> list[int]:
    """Random values, most of which are taken from a pool: making them takes longer than running the instruction."""
    values = rng.choices(_pool(make), k=count)
    for k in range(rng.randrange(4), count, 4):
        values[k] = make(rng)
    return values


def random_state(rng: random.Random) -> State:
    s = State()
    s.x = _some(rng, random_x, 31)
    s.sp = DATA + DATA_SIZE // 2 + rng.randrange(-64, 64) * 16
    s.v = _some(rng, random_v, 32)
    s.nzcv = rng.randrange(16)
    s.fpcr = rng.choice((0, 0, 0, rng.randrange(4) << 22, rng.randrange(32) << 22))
    s.fpsr = rng.choice((0, 0, 0x9F, 1 << 27, rng.getrandbits(5)))
    s.pc = CODE + rng.randrange(0, 1000) * 4  # not the last words: Unicorn fetches ahead
    s.memory = rng.randbytes(DATA_SIZE)
    return s


def random_word(row: Row, rng: random.Random) -> int:
    """A word of the row, biased to repeat registers and to use register 31 now and then."""
    for _ in range(10_000):
        word = row.value | rng.getrandbits(32) & ~row.mask
        if rng.randrange(3) == 0:
            regs = [p for p in row.parts if p.name[0] == "R" and p.width == 5]
            for p in regs:
                word = word & ~(31 << p.low) | rng.choice((31, 0, 1, 2, rng.randrange(32))) << p.low
        if rng.randrange(4) == 0:  # small displacements, positive and negative
            for p in row.parts:
                if p.name.startswith("imm") and p.width >= 7:
                    small = rng.randrange(-40, 40) & ((1 << p.width) - 1)
                    word = word & ~(((1 << p.width) - 1) << p.low) | small << p.low
        if row.matches(word):
            return word
    raise AssertionError(f"no word matches row {row.name}")


def differences(ours: State, theirs: State) -> list[str]:
    out: list[str] = []
    if ours.outcome != theirs.outcome:
        out.append(f"outcome: ours {ours.outcome}, oracle {theirs.outcome}")
    for k in range(31):
        if ours.x[k] != theirs.x[k]:
            out.append(f"x{k}: ours {ours.x[k]:#x}, oracle {theirs.x[k]:#x}")
    for k in range(32):
        if ours.v[k] != theirs.v[k]:
            out.append(f"v{k}: ours {ours.v[k]:#034x}, oracle {theirs.v[k]:#034x}")
    for name in ("sp", "nzcv", "fpcr", "fpsr", "pc"):
        if getattr(ours, name) != getattr(theirs, name) and (name != "pc" or ours.outcome == "ok"):
            out.append(f"{name}: ours {getattr(ours, name):#x}, oracle {getattr(theirs, name):#x}")
    if ours.memory != theirs.memory:
        at = next(k for k in range(DATA_SIZE) if ours.memory[k] != theirs.memory[k])
        mine, other = (s.memory[at : at + 16].hex() for s in (ours, theirs))
        out.append(f"memory at {DATA + at:#x}: ours {mine}, oracle {other}")
    return out


def describe(row: Row, word: int, before: State, seed: int, case: int) -> str:
    """All that is needed to repeat and understand a failure."""
    import capstone

    cs = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    text = next((f"{a[2]} {a[3]}" for a in cs.disasm_lite(word.to_bytes(4, "little"), before.pc)), "?")
    used = sorted({(word >> p.low) & 31 for p in row.parts if p.name[0] == "R" and p.width == 5})
    regs = " ".join(f"x{r}={before.x[r]:#x}" for r in used if r < 31)
    vecs = " ".join(f"v{r}={before.v[r]:#034x}" for r in used)
    return (
        f"{row.name}: {word:08x} {text}   (seed {seed}, case {case})\n"
        f"  before: {regs} sp={before.sp:#x} pc={before.pc:#x}"
        f" nzcv={before.nzcv:x} fpcr={before.fpcr:#x} fpsr={before.fpsr:#x}\n          {vecs}"
    )


class Campaign:
    """One oracle and our engines, reused over many cases."""

    def __init__(self) -> None:
        self.flat = Flat(FEATURES)
        self.engines: dict[str, Any] = {"reference": Reference(self.flat), "baseline": Native(self.flat)}
        self.oracle = Oracle()

        self.progress = mmap.mmap(-1, 8)  # (case, word) that runs now, for whoever watches from another process

    def run_row(self, row: Row, cases: int, seed: int, engines: tuple[str, ...], first: int = 0) -> Iterator[str]:
        """The failures, one text each."""
        from tests.arm.oracle_bugs import explained

        for case in range(first, cases):
            rng = random.Random(f"{seed}/{row.name}/{row.layout}/{case}")
            word, before = random_word(row, rng), random_state(rng)
            if self.flat.decode(word) is not row:
                continue
            self.progress[:] = struct.pack("<2I", case, word)
            theirs = self.oracle.run([word], before)
            for engine in engines:
                ours = self.engines[engine].run([word], before)
                diff = differences(ours, theirs)
                if diff and not explained(row, word, before, ours, theirs):
                    yield describe(row, word, before, seed, case) + f"\n  {engine}:\n    " + "\n    ".join(diff)


def run_isolated(campaign: Campaign, row: Row, cases: int, seed: int, engines: tuple[str, ...], stop: int) -> int:
    """A row in processes of its own; gives the number of failures shown.

    Unicorn aborts ("code should not be reached") when it translates some undefined words, such as data that a branch
    goes to.  Such a case is named and left out.
    """
    first = shown = 0
    while first < cases:
        child = os.fork()
        if child == 0:
            found = 0
            for text in campaign.run_row(row, cases, seed, engines, first):
                print(text, flush=True)
                found += 1
                if found >= stop:
                    break
            sys.stdout.flush()
            os._exit(min(found, 100))
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            return shown + os.WEXITSTATUS(status)
        case, word = struct.unpack("<2I", campaign.progress[:])
        how = signal.Signals(os.WTERMSIG(status)).name
        print(f"{row.name}: {word:08x} (seed {seed}, case {case}) ends the process: {how}", flush=True)
        first = case + 1
    return shown


def main(argv: list[str]) -> int:
    p = argparse.ArgumentParser()
    p.add_argument("rows", nargs="*", default=["*"])
    p.add_argument("--cases", type=int, default=500)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--engine", default="baseline,reference")
    p.add_argument("--stop", type=int, default=3, help="failures shown a row")
    p.add_argument("--part", default="0/1", help="k/n: every n-th row, from the k-th on")
    a = p.parse_args(argv)
    part, parts = (int(n) for n in a.part.split("/"))
    campaign, bad = Campaign(), 0
    rows = [
        row
        for row in all_rows()
        if row.oracle == "unicorn"
        and any(fnmatch.fnmatch(row.name, g) or row.lift.__module__.endswith(g) for g in a.rows)
    ][part::parts]
    for row in rows:
        bad += run_isolated(campaign, row, a.cases, a.seed, tuple(a.engine.split(",")), a.stop) > 0
    print(f"{len(rows)} rows, {bad} with differences")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
