"""The real-time clock, and the host clock behind it."""

import threading

import pytest
from fakes import FakeClock, Wire

from xemu.devices.clock import HostClock
from xemu.devices.pl031 import Pl031

DR, MR, LR, CR, IMSC, RIS, MIS, ICR = 0, 4, 8, 0xC, 0x10, 0x14, 0x18, 0x1C
SECOND = 10**9


class Bench:
    def __init__(self, epoch=1_700_000_000) -> None:
        self.clock = FakeClock(now=5 * SECOND + 123)
        self.line = Wire()
        self.rtc = Pl031(self.line, self.clock, epoch)

    def get(self, offset):
        return self.rtc.read(offset, 4)

    def set(self, offset, value):
        self.rtc.write(offset, 4, value)


@pytest.fixture
def bench():
    return Bench()


def test_counts_seconds(bench):
    assert bench.get(DR) == 1_700_000_000
    bench.clock.advance(90 * SECOND)
    assert bench.get(DR) == 1_700_000_090


def test_load_sets_the_clock(bench):
    bench.set(LR, 1000)
    bench.clock.advance(3 * SECOND)
    assert bench.get(DR) == 1003 and bench.get(LR) == 1000


def test_alarm(bench):
    bench.set(IMSC, 1)
    bench.set(MR, 1_700_000_010)
    bench.clock.advance(9 * SECOND)
    assert not bench.line.level and bench.get(RIS) == 0
    bench.clock.advance(SECOND)
    assert bench.line.level and bench.get(MIS) == 1
    bench.set(ICR, 1)
    assert not bench.line.level


def test_masked_alarm_is_only_visible(bench):
    bench.set(MR, 1_700_000_001)
    bench.clock.advance(SECOND)
    assert not bench.line.level and bench.get(RIS) == 1 and bench.get(MIS) == 0
    bench.set(IMSC, 1)
    assert bench.line.level


def test_alarm_now_and_moved_alarm(bench):
    bench.set(MR, 1_700_000_100)
    bench.set(LR, 1_700_000_099)
    bench.clock.advance(SECOND)
    assert bench.get(RIS) == 1
    bench.set(ICR, 1)
    bench.set(MR, 1_700_000_100)
    assert bench.get(RIS) == 1  # it is that second now


def test_match_in_the_past_waits_for_the_wrap_around(bench):
    bench.set(MR, 0)
    bench.clock.advance(1000 * SECOND)
    assert bench.get(RIS) == 0


def test_time_survives_reset_and_the_alarm_does_not(bench):
    bench.set(IMSC, 1)
    bench.set(MR, 1_700_000_010)
    bench.set(LR, 1_700_000_005)
    bench.rtc.reset()
    bench.clock.advance(20 * SECOND)
    assert bench.get(DR) == 1_700_000_025 and bench.get(RIS) == 0 and bench.get(CR) == 1


def test_restore_sets_the_alarm_again(bench):
    bench.set(IMSC, 1)
    bench.set(MR, 1_700_000_010)
    other = Bench()
    other.rtc.restore(bench.rtc.state())
    other.clock.advance(10 * SECOND)
    assert other.line.level


def test_host_clock_fires_in_order_and_skips_cancelled():
    lock = threading.RLock()
    clock = HostClock(lock)
    fired, done = [], threading.Event()
    now = clock.now()
    with lock:
        clock.call_at(now + 2, lambda: fired.append("second"))
        clock.call_at(now + 1, lambda: fired.append("first"))
        clock.call_at(now + 1, lambda: fired.append("cancelled")).cancel()
        clock.call_at(now + 3, done.set)
    assert done.wait(30)
    clock.close()
    # The later one may be taken before the earlier one is set. None is lost, and the cancelled one never comes.
    assert sorted(fired) == ["first", "second"]
