"""Which pages guest and devices write: every page once, code and data, and again after they were asked for."""

from __future__ import annotations

import pytest

from targets.arm.dirty import PAGE, DirtyPages
from tests.arm.cpu_rig import Board, add, branch

CODE, DATA = 2, 16  # pages of the RAM
HVC = 0xD4000002
STR_X1_X0 = 0xF9000001  # str x1, [x0]


@pytest.fixture(params=["baseline", "reference"])
def board(request: pytest.FixtureRequest) -> Board:
    return Board(request.param)


def address(board: Board, page: int) -> int:
    return board.ram_base + page * PAGE


def store_loop(board: Board, count: int) -> int:
    """Code that stores to x0 and the start of every second page behind it."""
    at = address(board, CODE)
    words = [word for _ in range(count) for word in (STR_X1_X0, add(0, 0, 0) | 2 << 10 | 1 << 22)]  # add x0, x0, #8192
    board.put(at, [*words, HVC])
    return at


def test_pages_that_the_guest_stores_to(board: Board) -> None:
    code = store_loop(board, 3)
    board.run(code, address(board, DATA), 7)  # TLBs are warm, and nobody asked
    dirty = board.system.dirty = DirtyPages(board.system)
    board.run(code, address(board, DATA), 7)
    assert dirty.take() == [DATA, DATA + 2, DATA + 4]
    assert dirty.take() == []
    board.run(code, address(board, DATA + 2), 7)
    board.run(code, address(board, DATA + 2), 7)
    assert dirty.take() == [DATA + 2, DATA + 4, DATA + 6]


def test_a_page_with_code_and_devices(board: Board) -> None:
    code = store_loop(board, 1)
    board.run(code, address(board, CODE) + 2048, 7)
    dirty = board.system.dirty = DirtyPages(board.system)
    board.run(code, address(board, CODE) + 2048, 7)  # beside the code
    assert dirty.take() == [CODE]
    board.put(address(board, DATA + 1) - 4, [branch(0, 0)] * 2)  # as a device would, over a page's end
    assert dirty.take() == [DATA, DATA + 1]


def test_an_emptied_code_cache_forgets_no_page(board: Board) -> None:
    code = store_loop(board, 2)
    dirty = board.system.dirty = DirtyPages(board.system)
    board.run(code, address(board, DATA), 7)
    board.system.drop_all(board.cpu)
    board.run(code, address(board, DATA + 2), 7)
    assert dirty.take() == [DATA, DATA + 2, DATA + 4]


def test_afterwards_stores_are_not_noted_and_code_is_still_guarded(board: Board) -> None:
    code = store_loop(board, 1)
    dirty = board.system.dirty = DirtyPages(board.system)
    board.run(code, address(board, DATA), 7)
    dirty.stop()
    board.system.dirty = None
    board.run(code, address(board, DATA + 1), 7)
    # the guest changes its own code: mov x0, #9 in place of the store
    board.run(code, code, 0xD2800120 | HVC << 32)
    assert board.run(code) == 9
