"""A code cache that fills up, over and over: right results, with one CPU and with several in it."""

from __future__ import annotations

import threading
from functools import cache

import pytest

from jit import baseline
from targets.arm.system import PAGE
from tests.arm.cpu_rig import HVC, RAM_BASE, RET, Board, add, branch

CODE = RAM_BASE + PAGE
FUNCTIONS = 120


@pytest.fixture(autouse=True)
def small_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few instructions fill what is left."""
    monkeypatch.setattr(baseline, "CODE_RESERVE", 4 << 10)


@cache
def _kept() -> int:
    return Board().system.engine.cache.kept


def _cache_size() -> int:
    return (_kept() + (12 << 10) + PAGE - 1) & -PAGE


def _program(board: Board) -> tuple[int, int]:
    """Calls of functions in pages of their own, in a loop of x1 rounds; (entry, what a round adds)."""
    at = CODE
    words: list[int] = [add(9, 0, 0)]  # x9 = x0; the loop starts behind
    functions = [CODE + (1 + k) * PAGE + 64 * (k % 60) for k in range(FUNCTIONS)]
    for f in functions:
        words.append(branch(at + 4 * len(words), f, link=True))
    words += [0xF100_0421]  # subs x1, x1, #1
    words.append(0x5400_0001 | ((CODE + 4 - (at + 4 * len(words))) >> 2 & 0x7FFFF) << 5)  # b.ne
    words += [add(0, 9, 0), HVC]
    board.put(at, words)
    total = 0
    for k, f in enumerate(functions):
        body = [add(9, 9, k + 1)] * (1 + k % 7)
        total += sum(k + 1 for _ in body)
        # a branch inside the page, and a load of a literal: links and constants of the block
        board.put(f, [*body, branch(f + 4 * len(body), f + 4 * len(body) + 8), HVC, RET])
    return CODE, total


def test_one_cpu() -> None:
    board = Board(cache_size=_cache_size())
    entry, total = _program(board)
    assert board.run(entry, 5, 40) == 5 + 40 * total
    assert board.system.engine.stats.flushes > 20


def test_written_code_after_a_flush() -> None:
    board = Board(cache_size=_cache_size())
    entry, total = _program(board)
    for k in range(5):
        last = CODE + FUNCTIONS * PAGE + 64 * ((FUNCTIONS - 1) % 60)
        board.put(last, [add(9, 9, 1000 + k)])
        assert board.run(entry, 0, 2) == 2 * (total + 1000 + k - FUNCTIONS)
    assert board.system.engine.stats.flushes > 5


def test_several_cpus() -> None:
    cpus = 4
    board = Board(cpus=cpus, cache_size=_cache_size())
    entry, total = _program(board)
    results: dict[int, int] = {}

    def run(k: int) -> None:
        results[k] = board.run(entry, k, 10, cpu=k)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(cpus)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert results == {k: k + 10 * total for k in range(cpus)}
    assert board.system.engine.stats.flushes > 10


def test_no_room_at_all() -> None:
    with pytest.raises(ValueError, match="no room"):
        Board(cache_size=(_kept() + PAGE) & -PAGE)


def test_stores_beside_code_stay_native_and_a_page_without_code_is_free_again() -> None:
    board = Board()
    # x0 = address; store there, count down x1
    loop = [0xF900_0001, 0xF100_0421, 0x5400_0001 | (-2 & 0x7FFFF) << 5, HVC]
    board.put(CODE, loop)
    times = board.cpu.call_times["code_write"]
    assert board.run(CODE, CODE + 0x200, 1000) == CODE + 0x200  # same page, another line
    assert times.count == 0
    board.put(CODE + 0x100, [add(0, 0, 1), HVC])
    assert board.run(CODE + 0x100, 1) == 2
    assert board.run(CODE, CODE + 0x100, 5) == CODE + 0x100  # over code, five times
    assert times.count == 1  # that dropped the whole page, the loop came back and left its own line only
    board.run(CODE, RAM_BASE + 0x10_0000, 3)
    assert times.count == 1
