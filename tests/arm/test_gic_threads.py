"""CPUs that race for the interrupt controller's state, in native code: nothing is lost, nothing comes twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from targets.arm.cpu import ArmCpu
from targets.arm.gic_state import SPURIOUS
from tests.arm.cpu_rig import Board
from xemu.devices.gic import Gic
from xemu.devices.gicv2 import Gicv2
from xemu.devices.gicv3 import Gicv3

GicT = TypeVar("GicT", bound=Gic)
CPUS, ROUNDS = 3, 1000


@pytest.fixture(scope="module")
def board() -> Board:
    return Board(cpus=CPUS)


@pytest.fixture
def gic(board: Board) -> Gicv3:
    return connected(Gicv3(288), board)


@pytest.fixture
def gicv2(board: Board) -> Gicv2:
    return connected(Gicv2(288, lambda: 0), board)


def connected(gic: GicT, board: Board) -> GicT:
    for cpu in board.cpus:
        gic.add_cpu(cpu)
        cpu.connect_gic(gic.block.address)
    for cpu in board.cpus:
        for name, value in (("icc_pmr", 0xF8), ("icc_groups", 3), ("icc_bpr0", 2), ("icc_bpr1", 3)):
            cpu.set(name, value)
    gic.groups = 3
    for bank in gic.private:
        bank.write("enabled", 0, 0xFFFF)
        bank.write("group", 0, 0xFFFFFFFF)
    return gic


def together(*bodies: Callable[[], None]) -> None:
    """Run them at the same time; the first failure is raised."""
    failures: list[BaseException] = []

    def guarded(body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 300
    while any(thread.is_alive() for thread in threads) and not failures:
        assert time.monotonic() < until, "a CPU waits for an interrupt that was lost"
        time.sleep(0.01)
    if failures:
        raise failures[0]


def serve(cpu: ArmCpu) -> int:
    intid = cpu.call("gic_acknowledge", 1)
    if intid != SPURIOUS:
        cpu.call("gic_end", intid, 1)
    return intid


def test_each_change_of_a_shared_word_counts(board: Board, gic: Gicv3) -> None:
    """Bits of one word, each set and cleared by one thread alone."""
    address = board.cpu.env + 8  # any word
    board.cpu.set_bits(address, 0xFFFFFFFF)
    board.cpu.clear_bits(address, 0xFFFFFFFF)

    def toggle(cpu: ArmCpu, bit: int) -> None:
        for _ in range(ROUNDS):
            cpu.set_bits(address, bit)
            cpu.clear_bits(address, bit)
        cpu.set_bits(address, bit)

    together(*(lambda cpu=cpu, k=k: toggle(cpu, 1 << k) for k, cpu in enumerate(board.cpus)))
    assert board.cpu.get("x", 1) == 7


def test_a_message_is_never_lost(board: Board, gic: Gicv3) -> None:
    """Two CPUs send each other one SGI after the other: each goes out only after the last one's answer came in."""
    first, second = board.cpus[:2]

    def play(me: ArmCpu, target: int, begins: bool) -> None:
        for n in range(ROUNDS):
            if begins:
                me.call("gic_send_sgi", n % 16 << 24 | 1 << target, 1)
            while (got := serve(me)) == SPURIOUS:
                pass
            assert got == n % 16
            assert me.get("attn") == 1
            if not begins:
                me.call("gic_send_sgi", n % 16 << 24 | 1 << target, 1)

    together(lambda: play(first, 1, True), lambda: play(second, 0, False))
    assert [serve(cpu) for cpu in board.cpus] == [SPURIOUS] * CPUS


def test_messages_of_two_senders_all_come_in(board: Board, gic: Gicv3) -> None:
    """The same SGI from two CPUs is one or two interrupts, and never none after the last."""
    target, sender, other = board.cpus
    done = threading.Event()
    seen: list[int] = []

    def send(cpu: ArmCpu, intid: int) -> None:
        for _ in range(ROUNDS):
            cpu.call("gic_send_sgi", intid << 24 | 1, 1)

    def receive() -> None:
        while not done.is_set():
            seen.append(serve(target))
        while (got := serve(target)) != SPURIOUS:
            seen.append(got)

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    together(lambda: send(sender, 3), lambda: send(other, 3))
    sender.call("gic_send_sgi", 9 << 24 | 1, 1)
    done.set()
    receiver.join(300)
    assert 1 <= seen.count(3) <= 2 * ROUNDS and seen.count(9) == 1
    assert (target.get("gic_latched"), target.get("gic_active"), target.get("icc_apr", 1)) == (0, 0, 0)


def test_edges_while_their_interrupt_is_served(board: Board, gic: Gicv3) -> None:
    """Each edge comes in unless the one before it has not been acknowledged yet."""
    irq = 40
    gic.shared.write("enabled", 1, 1 << 8)
    gic.shared.write("group", 1, 1 << 8)
    gic.shared.write("edge", 1, 1 << 8)
    line, cpu = gic.spi(8), board.cpu
    acknowledged = threading.Semaphore(0)

    def drive() -> None:
        for _ in range(ROUNDS):
            line(True)
            line(False)
            assert acknowledged.acquire(timeout=300)

    def take() -> None:
        for _ in range(ROUNDS):
            while (got := cpu.call("gic_acknowledge", 1)) == SPURIOUS:
                pass
            assert got == irq
            acknowledged.release()  # the next edge may come before this one's end, and must not be lost by it
            cpu.call("gic_end", irq, 1)

    together(drive, take)
    assert serve(cpu) == SPURIOUS


def serve_v2(cpu: ArmCpu) -> int:
    value = cpu.call("gicv2_acknowledge", 0)
    if value != SPURIOUS:
        cpu.call("gicv2_end", value, 0)
    return value


def test_each_sender_of_an_sgi_is_heard(board: Board, gicv2: Gicv2) -> None:
    """Version 2 keeps the senders of an SGI apart.  Each sends again when it has been heard."""
    for bank in gicv2.private:
        bank.write("group", 0, 0)
    target, *senders = board.cpus
    heard = {cpu.index: threading.Semaphore(0) for cpu in senders}

    def send(cpu: ArmCpu) -> None:
        for _ in range(ROUNDS):
            cpu.call("gicv2_send_sgi", 1 << 16 | 3)
            assert heard[cpu.index].acquire(timeout=300)

    def receive() -> None:
        left = {cpu.index: ROUNDS for cpu in senders}
        while any(left.values()):
            value = serve_v2(target)
            if value != SPURIOUS:
                assert value & 0x3FF == 3
                left[value >> 10] -= 1
                assert left[value >> 10] >= 0
                heard[value >> 10].release()

    together(receive, *(lambda cpu=cpu: send(cpu) for cpu in senders))
    assert serve_v2(target) == SPURIOUS
    assert (target.get("gic_latched"), target.get("gic_sources", 3)) == (0, 0)


def test_one_of_several_targets_takes_each_edge(board: Board, gicv2: Gicv2) -> None:
    irq = 40
    gicv2.shared.write("enabled", 1, 1 << 8)
    gicv2.shared.write("edge", 1, 1 << 8)
    gicv2.set_targets(irq, 0b110)
    line = gicv2.spi(8)
    taken, done = threading.Semaphore(0), threading.Event()
    count = [0] * CPUS

    def drive() -> None:
        for _ in range(ROUNDS):
            line(True)
            line(False)
            assert taken.acquire(timeout=300)
        done.set()

    def take(cpu: ArmCpu) -> None:
        while not done.is_set():
            value = serve_v2(cpu)
            if value != SPURIOUS:
                assert value == irq
                count[cpu.index] += 1
                taken.release()

    together(drive, *(lambda cpu=cpu: take(cpu) for cpu in board.cpus))
    assert count[0] == 0 and sum(count) == ROUNDS
    assert gicv2.shared.read("latched", 1) == gicv2.shared.read("active", 1) == 0
