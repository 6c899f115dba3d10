"""Code from templates that an earlier run has made: the same as code that is made now.

Each run is a process of its own, because templates are kept with their addresses.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

from jit.store import Store
from targets.arm.a64.table import all_rows
from tests.arm.cpu_rig import HVC, ISB, RAM_BASE, Board, branch, movz
from tests.arm.differential import FEATURES
from tests.arm.shapes import some_words

FINGERPRINT = bytes(32)
ROOMS = ("data_processing_", "fp", "crypto", "simd_")
FP_ON = [movz(2, 0x30, 1), 0xD518_1042, ISB]  # msr cpacr_el1, x2


def program() -> list[int]:
    """Three words of each row that reads and writes registers alone, and branches in between."""
    rng, words = random.Random(3), [*FP_ON]
    for row in all_rows():
        room = row.lift.__module__.rpartition(".")[2]
        if row.oracle == "unicorn" and not row.ends and room.startswith(ROOMS) and "loads" not in room:
            words += some_words(row, rng, 3)
            words.append(branch(0, 4 * rng.randrange(1, 2)))  # to the next one
    return [*words, HVC]


def run(folder: str) -> None:
    """Print what the program leaves in the registers, and how many words were known and made."""
    store = Store(folder, FINGERPRINT)
    board = Board(features=FEATURES, store=store)
    cpu, rng = board.cpu, random.Random(4)
    board.put(RAM_BASE, program())
    cpu.reset(RAM_BASE)
    for k in range(31):
        cpu.set("x", rng.getrandbits(64), k)
    for k in range(32):
        cpu.set("v", rng.getrandbits(128), k)
    board.go()
    state = [cpu.get("x", k) for k in range(31)] + [cpu.get("v", k) for k in range(32)] + [cpu.get("fpsr")]
    engine = board.system.engine
    result = hashlib.sha256(repr(state).encode()).hexdigest()
    print(json.dumps([result, engine.kept_words.loaded, engine.stats.words, len(engine.cache.constants())]))
    store.close()


def again(folder: Path) -> tuple[str, int, int, int]:
    code = f"from tests.arm.test_stored_words import run; run({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def test_stored_words_do_the_same(tmp_path: Path) -> None:
    cold, none, made, constants = again(tmp_path / "code")
    warm, loaded, made_again, same_constants = again(tmp_path / "code")
    assert warm == cold
    assert none == 0 and loaded > 1000 and made > 1000
    assert constants > 10 and same_constants == constants
    # words whose code has the addresses of constants in it, and no others, are made again
    assert made_again < made / 10
