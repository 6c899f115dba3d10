"""The thread that watches the clock for a vCPU's timers: it rings when one is due, and is told of earlier ones only."""

import threading
import time

import pytest

from targets.arm.timers import NEVER, NS_SHIFT
from xemu.accel.tcg_timers import TimerThread

PATIENCE = 60  # s: longer than any host is busy
HOUR = 3600 * 10**9 >> NS_SHIFT


class Cpu:
    """The fields of the state that matter, and what the guest's handler would do."""

    def __init__(self) -> None:
        self.fields = {"cnt_base": time.monotonic_ns(), "timer_next": NEVER, "timer_alarm": NEVER, "timer_due": 0}
        self.rung = threading.Semaphore(0)
        self.handle = lambda: None

    def get(self, name: str) -> int:
        return self.fields[name]

    def set(self, name: str, value: int) -> None:
        self.fields[name] = value

    def attend(self) -> None:
        assert self.get("timer_due") == 1
        assert self.now() >= self.get("timer_next")
        self.handle()
        self.rung.release()

    def now(self) -> int:
        return time.monotonic_ns() - self.fields["cnt_base"] >> NS_SHIFT


@pytest.fixture
def cpu():
    return Cpu()


@pytest.fixture
def timer(cpu):
    timer = TimerThread(cpu, lambda: None)
    timer.start("timer")
    yield timer
    timer.stop()


def program(cpu: Cpu, timer: TimerThread, when: int) -> None:
    """As timer_update of targets/arm/timers.py does."""
    cpu.set("timer_next", when)
    if when < cpu.get("timer_alarm"):
        timer.programmed()


def test_it_rings_when_a_timer_is_due(cpu, timer):
    cpu.handle = lambda: cpu.set("timer_next", NEVER)
    program(cpu, timer, cpu.now() + 1000)
    assert cpu.rung.acquire(timeout=PATIENCE)


def test_an_earlier_timer_comes_first(cpu, timer):
    program(cpu, timer, cpu.now() + HOUR)
    cpu.handle = lambda: cpu.set("timer_next", NEVER)
    program(cpu, timer, cpu.now() + 1000)
    assert cpu.rung.acquire(timeout=PATIENCE)


def test_a_handler_that_programs_the_timer_anew_need_not_tell(cpu, timer):
    """The thread is awake anyway for a little longer."""
    cpu.handle = lambda: cpu.set("timer_next", cpu.now() + 10)
    program(cpu, timer, cpu.now() + 10)
    for _ in range(20):
        assert cpu.rung.acquire(timeout=PATIENCE)


def test_a_cpu_that_does_not_answer_is_rung_again(cpu, timer):
    program(cpu, timer, cpu.now())
    for _ in range(3):
        assert cpu.rung.acquire(timeout=PATIENCE)


def test_it_can_be_stopped_and_started_again(cpu):
    timer = TimerThread(cpu, lambda: None)
    for _ in range(2):
        timer.start("timer")
        program(cpu, timer, cpu.now() + HOUR)
        timer.stop()
    cpu.handle = lambda: cpu.set("timer_next", NEVER)
    timer.start("timer")
    program(cpu, timer, cpu.now())
    assert cpu.rung.acquire(timeout=PATIENCE)
    timer.stop()
