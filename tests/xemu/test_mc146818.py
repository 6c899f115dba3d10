"""The PC's real-time clock: time in its formats, alarms, interrupts, memory."""

import calendar

import pytest
from fakes import FakeClock, Wire

from xemu.devices.mc146818 import Mc146818

SECOND = 10**9
# Friday
START = calendar.timegm((2026, 2, 27, 23, 59, 58))
SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D = range(14)
CENTURY = 0x32
SET, PIE, AIE, UIE, BINARY, H24 = 0x80, 0x40, 0x20, 0x10, 4, 2


class Bench:
    def __init__(self, epoch=START, memory=None) -> None:
        self.clock = FakeClock(now=7 * SECOND + SECOND // 4)
        self.line = Wire()
        self.rtc = Mc146818(self.line, self.clock, epoch, memory)

    def get(self, index):
        self.rtc.write(0, 1, index)
        return self.rtc.read(1, 1)

    def set(self, index, value):
        self.rtc.write(0, 1, index)
        self.rtc.write(1, 1, value)

    def time(self):
        return [self.get(index) for index in (CENTURY, YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS)]


@pytest.fixture
def bench():
    return Bench()


def test_counts_in_bcd(bench):
    assert bench.time() == [0x20, 0x26, 0x02, 0x27, 6, 0x23, 0x59, 0x58]
    bench.clock.advance(2 * SECOND)
    assert bench.time() == [0x20, 0x26, 0x02, 0x28, 7, 0, 0, 0]


def test_other_formats(bench):
    bench.set(B, BINARY | H24)
    assert bench.time() == [20, 26, 2, 27, 6, 23, 59, 58]
    bench.set(B, BINARY)
    assert bench.get(HOURS) == 0x80 | 11
    bench.set(B, 0)
    assert bench.get(HOURS) == 0x91
    bench.clock.advance(2 * SECOND)
    assert bench.get(HOURS) == 0x12  # midnight


def test_update_in_progress_warns(bench):
    bench.clock.advance(SECOND - 244_001)
    assert not bench.get(A) & 0x80
    bench.clock.advance(1)
    assert bench.get(A) & 0x80
    bench.clock.advance(244_000)
    assert not bench.get(A) & 0x80


def test_setting(bench):
    bench.set(B, SET | H24)
    for index, value in ((CENTURY, 0x19), (YEAR, 0x99), (MONTH, 0x12), (DAY, 0x31), (HOURS, 0x23), (MINUTES, 0x59)):
        bench.set(index, value)
    bench.set(SECONDS, 0x58)
    bench.clock.advance(100 * SECOND)
    assert bench.get(SECONDS) == 0x58  # stopped
    bench.set(B, H24)
    bench.clock.advance(3 * SECOND)
    assert bench.time() == [0x20, 0, 1, 1, 7, 0, 0, 1]


def test_years_before_1970(bench):
    bench.set(B, SET | H24)
    bench.set(CENTURY, 0x19)
    bench.set(YEAR, 0x21)
    bench.set(B, H24)
    bench.clock.advance(2 * SECOND)
    assert bench.time() == [0x19, 0x21, 2, 0x28, 2, 0, 0, 0]


def test_the_index_can_only_be_written(bench):
    assert bench.rtc.read(0, 1) == 0xFF


def test_setting_a_running_clock(bench):
    bench.set(HOURS, 0x05)
    bench.clock.advance(2 * SECOND)
    assert bench.time()[-3:] == [6, 0, 0]


def test_any_bytes_make_a_time(bench):
    for byte in (0xFF, 0x00, 0x9A):
        bench.set(B, SET)
        for index in (CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS):
            bench.set(index, byte)
        bench.set(B, 0)
        assert all(0 <= value <= 0xFF for value in bench.time())


def test_alarm(bench):
    for index, value in ((HOURS_ALARM, 0x00), (MINUTES_ALARM, 0x01), (SECONDS_ALARM, 0x05)):
        bench.set(index, value)
    bench.set(B, AIE | H24)
    bench.clock.advance(66 * SECOND)
    assert not bench.line.level
    bench.clock.advance(SECOND)
    assert bench.line.level
    assert bench.get(C) == 0xF0 and not bench.line.level and bench.get(C) == 0  # the others without being enabled
    bench.clock.advance(86400 * SECOND)
    assert bench.line.level


@pytest.mark.parametrize("hour, minute, second, wait", [
    (0xFF, 0xFF, 0xFF, 1),
    (0xFF, 0xFF, 0x00, 2),
    (0xFF, 0x03, 0x00, 182),
    (0x00, 0xFF, 0xC0, 2),
    (0x23, 0x59, 0x57, 86399),
    (0x23, 0x59, 0x58, 86400),
])  # fmt: skip
def test_alarms_with_wildcards(bench, hour, minute, second, wait):
    for index, value in ((HOURS_ALARM, hour), (MINUTES_ALARM, minute), (SECONDS_ALARM, second)):
        bench.set(index, value)
    bench.set(B, AIE | H24)
    bench.clock.advance(wait * SECOND - SECOND)
    assert not bench.line.level
    bench.clock.advance(SECOND)
    assert bench.line.level


def test_an_alarm_that_never_comes(bench):
    bench.set(HOURS_ALARM, 0x77)
    bench.set(B, AIE | H24)
    bench.clock.advance(3 * 86400 * SECOND)
    assert not bench.line.level


def test_update_interrupt_each_second(bench):
    bench.set(B, UIE | H24)
    for _ in range(3):
        bench.clock.advance(SECOND)
        assert bench.line.level and bench.get(C) & 0x90 == 0x90
        assert not bench.line.level
    bench.set(B, UIE | SET)  # setting takes it away
    bench.set(B, H24)
    bench.get(C)
    bench.clock.advance(SECOND)
    assert not bench.line.level


def test_periodic_interrupt(bench):
    bench.set(A, 0x26)  # 1024 Hz
    bench.set(B, PIE | H24)
    count = 0
    for _ in range(1024):
        bench.clock.advance(SECOND // 1024 + 1)
        if bench.line.level:
            assert bench.get(C) & 0xC0 == 0xC0
            count += 1
    assert count == 1024


def test_an_interrupt_that_is_not_seen_to_costs_nothing_more(bench):
    bench.set(B, PIE | H24)
    bench.clock.advance(SECOND)
    assert bench.line.changes == [True] and not [alarm for alarm in bench.clock._alarms if alarm.callback]


def test_flags_without_interrupts(bench):
    assert bench.get(C) == 0
    bench.clock.advance(SECOND)
    assert bench.get(C) & 0x70 == 0x50  # UF and PF; the alarm bytes are 00:00:00
    assert bench.line.changes == []


def test_memory_and_reset():
    bench = Bench(memory={0x34: 0x12, 0x35: 0x34})
    assert bench.get(0x34) == 0x12 and bench.get(0x35) == 0x34 and bench.get(D) == 0x80
    bench.set(0x7F, 0xA5)
    bench.set(0x80 | 0x7E, 0x5A)  # bit 7 is no part of the index
    bench.set(B, UIE | H24)
    bench.clock.advance(SECOND)
    bench.rtc.reset()
    assert not bench.line.level and bench.get(B) == H24 and bench.get(C) == 0
    assert bench.get(0x7F) == 0xA5 and bench.get(0x7E) == 0x5A and bench.get(SECONDS) == 0x59


def test_restore():
    bench = Bench()
    bench.set(B, UIE | H24)
    other = Bench(epoch=0)
    other.rtc.restore(bench.rtc.state())
    assert other.time() == bench.time()
    other.clock.advance(SECOND)
    assert other.line.level
