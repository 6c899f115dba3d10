"""A code cache that fills up, over and over: right results, with one CPU and with several in it."""

from __future__ import annotations

import ctypes
import threading
from functools import cache

import pytest

from jit import baseline, templates
from targets.arm.code_pages import CODE_FLAG
from targets.arm.slow_access import IDLE_STORES
from targets.arm.system import PAGE
from tests.arm.cpu_rig import HVC, ISB, RAM_BASE, RET, Board, add, branch, movz

CODE = RAM_BASE + PAGE
FUNCTIONS = 120


@pytest.fixture(autouse=True)
def small_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few instructions fill what is left."""
    monkeypatch.setattr(baseline, "CODE_RESERVE", 4 << 10)


@cache
def _kept(engine: str = "baseline") -> int:
    return Board(engine).system.engine.cache.kept


def _cache_size(engine: str = "baseline") -> int:
    return (_kept(engine) + (12 << 10) + PAGE - 1) & -PAGE


FP_ON = [movz(2, 0x30, 1), 0xD518_1042, ISB]  # msr cpacr_el1, x2
# x9 += its lowest byte, in a way that needs constants: fmov d0, x9; rev64 v0.8b, v0.8b; umov w10, v0.b[7]; add
LOWEST = [0x9E67_0120, 0x0E20_0800, 0x0E0F_3C0A, 0x8B0A_0129]


def _function(k: int) -> int:
    return CODE + (1 + k) * PAGE + 64 * (k % 60)


def _program(board: Board) -> int:
    """Calls of functions in pages of their own, x1 rounds of them; x0 in and out.  Gives the entry."""
    words = [add(9, 0, 0), *FP_ON]
    loop = CODE + 4 * len(words)
    for k in range(FUNCTIONS):
        words.append(branch(CODE + 4 * len(words), _function(k), link=True))
    words += [0xF100_0421]  # subs x1, x1, #1
    words.append(0x5400_0001 | ((loop - (CODE + 4 * len(words))) >> 2 & 0x7FFFF) << 5)  # b.ne
    words += [add(0, 9, 0), HVC]
    board.put(CODE, words)
    for k in range(FUNCTIONS):
        f, body = _function(k), [add(9, 9, k + 1)] * (1 + k % 7)
        # a branch inside the page and over an instruction: a link
        board.put(f, [*body, *LOWEST, branch(f + 4 * len(body) + 16, f + 4 * len(body) + 24), HVC, RET])
    return CODE


def _expected(x: int, rounds: int, last: int = 0) -> int:
    """x0 after that many rounds; `last`: what the last function adds, if it was changed."""
    for _ in range(rounds):
        for k in range(FUNCTIONS):
            changed = last and k == FUNCTIONS - 1
            x += last if changed else (k + 1) * (1 + k % 7)
            x += 0 if changed else x & 0xFF
    return x


@pytest.mark.parametrize("engine", ["baseline", "aarch64"])
def test_one_cpu(engine: str) -> None:
    board = Board(engine, cache_size=_cache_size(engine))
    entry = _program(board)
    assert board.run(entry, 5, 40) == _expected(5, 40)
    assert board.system.engine.stats.flushes > 20


def test_written_code_after_a_flush() -> None:
    board = Board(cache_size=_cache_size())
    entry = _program(board)
    for k in range(5):
        board.put(_function(FUNCTIONS - 1), [add(9, 9, 1000 + k), RET])
        assert board.run(entry, 0, 2) == _expected(0, 2, last=1000 + k)
    assert board.system.engine.stats.flushes > 5


def test_several_cpus() -> None:
    cpus = 4
    board = Board(cpus=cpus, cache_size=_cache_size())
    entry = _program(board)
    results: dict[int, int] = {}

    def run(k: int) -> None:
        results[k] = board.run(entry, k, 10, cpu=k)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(cpus)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert results == {k: _expected(k, 10) for k in range(cpus)}
    assert board.system.engine.stats.flushes > 10


def test_no_room_at_all() -> None:
    with pytest.raises(ValueError, match="no room"):
        Board(cache_size=(_kept() + PAGE) & -PAGE)


def test_stores_beside_code_stay_native_and_a_page_without_code_is_free_again() -> None:
    board = Board()
    # x0 = address; store there, count down x1
    loop = [0xF900_0001, 0xF100_0421, 0x5400_0001 | (-2 & 0x7FFFF) << 5, HVC]
    board.put(CODE, loop)
    told, stats = board.cpu.call_times["code_write"], board.system.engine.stats
    assert board.run(CODE, CODE + 0x200, 1000) == CODE + 0x200  # same page, another line
    assert stats.invalidated == told.count == 0
    other = CODE + 4 * PAGE
    board.put(other, [add(0, 0, 1), HVC])
    assert board.run(other, 1) == 2
    flag = board.system.flag((other - RAM_BASE) // PAGE)
    assert board.run(CODE, other, IDLE_STORES) == other  # over code, and more than once
    assert (stats.invalidated, told.count, flag.value) == (1, 0, CODE_FLAG)  # it may soon have code again
    assert board.run(CODE, other, IDLE_STORES) == other
    assert (told.count, flag.value) == (1, 0)
    board.run(CODE, other, 10 * IDLE_STORES)
    assert (stats.invalidated, told.count) == (1, 1)
    board.put(other, [add(0, 0, 2), HVC])
    assert board.run(other, 1) == 3 and flag.value == CODE_FLAG


def test_links_become_direct_jumps_by_one_store_into_an_aligned_word() -> None:
    """Other CPUs may be running what is changed."""
    board = Board()
    cache = board.system.engine.cache
    # jumps forwards, to what is translated after them, at every place in a word; and ways on into code that is there
    words = [w for k in range(200) for w in (*[add(0, 0, 1)] * (k % 4), branch(0, 8), HVC)]
    board.put(CODE, [*words, HVC])
    assert board.run(CODE + 4 * (len(words) - 30), 7) > 7
    states: list[bytes] = []
    for _ in range(4):
        assert board.run(CODE, 7) == 7 + 300
        states.append(bytes(cache.write[: cache.used]))
    changes = [[k for k in range(len(states[1])) if a[k] != b[k]] for a, b in zip(states[:-1], states[1:], strict=True)]
    assert len(states[1]) == len(states[0]) and len(changes[0]) > 150  # the first run translates, the second links
    assert changes[1] == changes[2] == []
    changed = set(changes[0])
    assert not any(k + 1 in changed and (k + 1) % 8 == 0 for k in changed)  # displacements never touch each other


def test_entry_tables_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "LEAST_TABLES", FUNCTIONS // 3)
    monkeypatch.setattr(baseline, "CODE_PER_TABLE", 1 << 30)
    board = Board()
    entry = _program(board)
    assert board.run(entry, 5, 10) == _expected(5, 10)
    assert board.system.engine.stats.flushes > 10


def _resident(board: Board) -> int:
    """Bytes of the code cache and of the entry tables that the host has memory for (mincore(2))."""
    engine, total = board.system.engine, 0
    for base, size in ((engine.cache.base, engine.cache.size), (engine.tables.base, engine.tables.count * PAGE)):
        pages = (ctypes.c_ubyte * (size // PAGE))()
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(base), ctypes.c_size_t(size), pages) == 0
        total += PAGE * sum(page & 1 for page in pages)
    return total


def test_what_is_dropped_goes_back_to_the_host() -> None:
    board = Board()
    engine = board.system.engine
    entry = _program(board)
    assert board.run(entry, 5, 10) == _expected(5, 10)
    assert _resident(board) > 100 * PAGE  # a table for each of the functions' pages
    board.system.drop_all(board.cpu)
    cache = engine.cache
    assert _resident(board) <= cache.kept + cache.size - cache.room + 3 * PAGE  # runtime, constants, what they end in
    assert board.run(entry, 5, 10) == _expected(5, 10)


def test_words_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that makes up ever new instructions must not fill the host's memory with what is known of them."""
    monkeypatch.setattr(templates, "MOST_WORDS", 40)
    board = Board()
    engine = board.system.engine
    entry = _program(board)
    assert board.run(entry, 5, 10) == _expected(5, 10)
    assert engine.stats.words > 100
    assert 0 < engine.templates.count <= 40
