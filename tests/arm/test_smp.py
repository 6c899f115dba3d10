"""What CPUs ask of each other: the log of requests and waiting for it, WFE and SEV."""

from __future__ import annotations

import ctypes
import threading
import time

import pytest

from targets.arm import smp
from targets.arm.access import TAG_READ, TAG_WRITE
from targets.arm.cpu import ArmCpu
from targets.arm.exits import Exit
from targets.arm.tlb import SLOW
from tests.arm.cpu_rig import HVC, NOP, RAM_BASE, Board, branch

VA, OTHER = 0x12_3000, 0x45_6000
EMPTY = (1 << 64) - 1
TLBI_ALL, TLBI_ASID, TLBI_VA, TLBI_VA_ALL = range(4)
RING = 1 << smp.LOG_BITS
WFE, SEV, DSB = 0xD503_205F, 0xD503_209F, 0xD503_3B9F


@pytest.fixture(scope="module")
def made() -> Board:
    return Board(cpus=3)


@pytest.fixture
def board(made: Board) -> Board:
    """Nobody has asked for anything yet."""
    shared = made.system.shared.base
    word(shared + smp.HEAD).value = 0
    ctypes.memset(shared + smp.LOG_AT, 0, smp.SIZE - smp.LOG_AT)
    for cpu in made.cpus:
        cpu.reset(RAM_BASE)
        for name in ("running", "log_done", "log_issued", "event_register", "attn", "wfe_pauses"):
            cpu.set(name, 0)
    return made


def word(address: int) -> ctypes.c_uint64:
    return ctypes.c_uint64.from_address(address)


def entry(cpu: ArmCpu, va: int) -> int:
    return cpu.get("tlb") + ((va >> 12 & 1023) << 5)


def fill(cpu: ArmCpu, va: int, pa: int) -> None:
    """An entry as data_fill makes it."""
    at = entry(cpu, va)
    for offset, value in ((TAG_READ, va), (TAG_WRITE, va), (24, pa)):
        word(at + offset).value = value


def tag(cpu: ArmCpu, va: int, kind: int = TAG_READ) -> int:
    return word(entry(cpu, va) + kind).value


def head(board: Board) -> int:
    return word(board.system.shared.base + smp.HEAD).value


@pytest.mark.parametrize(
    ("kind", "operand", "left"),
    [
        (TLBI_ALL, 0, False),
        (TLBI_ASID, 0, True),  # the MMU is off: what there is has no ASID
        (TLBI_VA_ALL, OTHER >> 12, True),
        (TLBI_VA_ALL, VA >> 12, False),
        (TLBI_VA_ALL, VA >> 12 | 7 << 48, False),
    ],
)
def test_a_request_reaches_the_others(board: Board, kind: int, operand: int, left: bool) -> None:
    fill(board.cpus[1], VA, RAM_BASE)
    upto = board.cpu.call("request", kind, operand)
    assert board.cpu.get("log_issued") == upto == head(board)
    assert tag(board.cpus[1], VA) == VA, "nothing happens before it catches up"
    board.cpus[1].call("catch_up")
    assert tag(board.cpus[1], VA) == (VA if left else EMPTY)
    assert board.cpus[1].get("log_done") == upto and board.cpus[2].get("log_done") == 0


def test_protection_of_a_page(board: Board) -> None:
    fill(board.cpus[1], VA, RAM_BASE + 0x5000)
    fill(board.cpus[1], OTHER, RAM_BASE + 0x6000)
    board.cpu.call("request", smp.PROTECT, RAM_BASE + 0x5000)
    board.cpus[1].call("catch_up")
    assert tag(board.cpus[1], VA, TAG_WRITE) == VA | SLOW and tag(board.cpus[1], VA) == VA
    assert tag(board.cpus[1], OTHER, TAG_WRITE) == OTHER


@pytest.mark.parametrize("count", [1, smp.MOST, smp.MOST + 1, RING - 1, RING, RING + 1, 3 * RING + 5])
def test_who_is_far_behind_drops_everything(board: Board, count: int) -> None:
    cpu = board.cpus[1]
    fill(cpu, VA, RAM_BASE)
    fill(cpu, OTHER, RAM_BASE)
    board.cpu.call("request", TLBI_VA_ALL, VA >> 12)
    for _ in range(count - 1):
        board.cpu.call("request", TLBI_VA_ALL, 0)
    cpu.call("catch_up")
    assert cpu.get("log_done") == count
    assert tag(cpu, VA) == EMPTY
    assert tag(cpu, OTHER) == (OTHER if count <= smp.MOST else EMPTY)


def test_a_request_that_is_still_being_written(board: Board) -> None:
    board.cpu.call("request", TLBI_VA_ALL, 0)
    word(board.system.shared.base + smp.HEAD).value += 1  # somebody has its number, and has not written it
    board.cpu.call("request", TLBI_VA_ALL, 0)
    board.cpus[1].call("catch_up")
    assert board.cpus[1].get("log_done") == 1
    word(board.system.shared.base + smp.LOG_AT + (1 << smp.ENTRY_BITS)).value = 2
    board.cpus[1].call("catch_up")
    assert board.cpus[1].get("log_done") == 3


def background(cpu: ArmCpu, name: str, *args: int) -> threading.Thread:
    thread = threading.Thread(target=lambda: cpu.call(name, *args), daemon=True)
    thread.start()
    return thread


def test_waiting_for_one_that_runs(board: Board) -> None:
    runner = board.cpus[2]
    runner.set("running", 1)
    upto = board.cpu.call("request", TLBI_ALL, 0)
    thread = background(board.cpu, "await_peers", upto)
    thread.join(0.2)
    assert thread.is_alive() and runner.get("attn"), "it waits, and has said so"
    runner.call("catch_up")
    thread.join(30)
    assert not thread.is_alive()


def test_one_that_stops_running_is_waited_for_no_more(board: Board) -> None:
    board.cpus[1].call("come_in")
    thread = background(board.cpu, "await_peers", board.cpu.call("request", TLBI_ALL, 0))
    thread.join(0.1)
    assert thread.is_alive()
    board.cpus[1].call("go_out")
    thread.join(30)
    assert not thread.is_alive()
    board.cpus[1].call("come_in")
    assert board.cpus[1].get("log_done") == head(board), "it catches up before it runs again"


def test_those_who_wait_for_each_other(board: Board) -> None:
    for cpu in board.cpus:
        cpu.set("running", 1)
    wanted = [cpu.call("request", TLBI_ALL, 0) for cpu in board.cpus]

    def wait(cpu: ArmCpu, upto: int) -> None:
        cpu.call("await_peers", upto)
        cpu.call("go_out")

    threads = [threading.Thread(target=wait, args=pair, daemon=True) for pair in zip(board.cpus, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_dsb_waits_only_behind_tlbi(board: Board) -> None:
    """While another CPU is inside native code and does not come to a block head."""
    with_tlbi, without = RAM_BASE + 0x1000, RAM_BASE
    board.put(without, [DSB, HVC])
    board.put(with_tlbi, [0xD508_831F, DSB, HVC])  # tlbi vmalle1is
    for entry_point in (without, with_tlbi):
        board.run(entry_point)  # translated from now on, which would wait as well
    board.cpus[1].call("come_in")

    def started(entry_point: int) -> threading.Thread:
        thread = threading.Thread(target=board.run, args=(entry_point,), daemon=True)
        thread.start()
        return thread

    thread = started(without)
    thread.join(30)
    assert not thread.is_alive()
    thread = started(with_tlbi)
    thread.join(0.2)
    assert thread.is_alive()
    board.cpus[1].call("catch_up")
    thread.join(30)
    assert not thread.is_alive()


def test_wfe_and_sev(board: Board) -> None:
    cpu = board.cpus[1]
    board.put(RAM_BASE, [WFE, HVC, SEV, HVC, branch(16, 16)])
    assert board.run(RAM_BASE, cpu=1) == 0, "it comes back without an event"
    assert cpu.get("wfe_pauses") == 1
    board.run(RAM_BASE + 8)
    assert all(c.get("event_register") for c in board.cpus)
    cpu.set("pc", RAM_BASE)
    board.go(1)
    assert cpu.get("event_register") == 0 and cpu.get("wfe_pauses") == 1


def test_wfe_asks_the_machine_to_sleep_at_last(board: Board) -> None:
    board.put(RAM_BASE, [WFE, branch(4, 0)])
    cpu, started = board.cpu, time.process_time()
    assert cpu.run() == Exit.WFE
    assert cpu.get("wfe_pauses") == smp.MOST_PAUSES + 1 and time.process_time() - started < 5


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_store_to_what_is_monitored_ends_wfe(board: Board, size: int) -> None:
    """As behind a load-exclusive that has set the monitor."""
    cpu, place = board.cpus[1], RAM_BASE + 0x8000
    board.map[0x8000:0x8010] = bytes(16)
    fill(cpu, place, place)
    word(entry(cpu, place) + 16).value = board.host + (place - RAM_BASE) - place & EMPTY
    cpu.set("excl_addr", place)
    cpu.set("excl_size", size)
    cpu.set("excl_value", 0)
    assert cpu.call("event_seen") == 0
    board.map[0x8000 + size] = 1  # beside it
    assert cpu.call("event_seen") == 0
    board.map[0x8000 + size - 1] = 0x80
    assert cpu.call("event_seen") == 1
    cpu.set("excl_addr", EMPTY)
    assert cpu.call("event_seen") == 0


def test_all_run_and_translate_at_once(board: Board) -> None:
    """Each CPU runs its own code at once, with code pages made meanwhile: all come to their end."""
    for k in range(40):
        board.put(RAM_BASE + 0x1_0000 + k * 0x1000, [NOP] * 1020 + [0x9100_0400, branch(0, (4 << 10) - 1021 * 4)])
    board.put(RAM_BASE + 0x1_0000 + 40 * 0x1000, [HVC])
    out: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda k=k: out.update({k: board.run(RAM_BASE + 0x1_0000, k, cpu=k)}), daemon=True)
        for k in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert out == {k: k + 40 for k in range(3)}
