"""Real-time clock and CMOS memory MC146818 (Motorola's data sheet, with the PC's century byte), behind an index and a
data port.

Its time is the host's clock plus an offset. Nothing ticks: what has happened since the guest looked last is worked out
when it looks, or when an interrupt that it has enabled is due.
"""

# Registers are spelt as in the manual.
# pyright: reportConstantRedefinition=false

import calendar
import time
from collections.abc import Mapping
from typing import Any

from xemu.accel.base import Line
from xemu.devices.clock import Alarm, Clock
from xemu.devices.registers import RegisterDevice, register, variable

MEMORY_SIZE = 128
CENTURY = 0x32

_SECONDS, _SECONDS_ALARM, _MINUTES, _MINUTES_ALARM, _HOURS, _HOURS_ALARM = range(6)
_WEEKDAY, _DAY, _MONTH, _YEAR, _A, _B, _C, _D = range(6, 14)
_TIME = (_SECONDS, _MINUTES, _HOURS, _WEEKDAY, _DAY, _MONTH, _YEAR, CENTURY)
_ALARM = (_SECONDS_ALARM, _MINUTES_ALARM, _HOURS_ALARM)

_NS = 1_000_000_000
_DAY_SECONDS = 86400
_UPDATE_NS = 244_000  # this long before an update, UIP warns of it
_ANY = 0xC0  # an alarm byte from here up fits every time
_PM = 0x80  # of hours, in 12-hour mode
_CRYSTAL_HZ = 32768
_YEARS = (1, 9999)  # what Python's calendar has


class RegisterA:
    RATE = 0xF
    DIVIDER = 0x70
    UIP = 1 << 7


class RegisterB:
    HOURS_24 = 1 << 1
    BINARY = 1 << 2
    SQWE = 1 << 3
    UIE = 1 << 4
    AIE = 1 << 5
    PIE = 1 << 6
    SET = 1 << 7
    INTERRUPTS = UIE | AIE | PIE  # at the same places as their flags in C


class RegisterC:
    UF = 1 << 4
    AF = 1 << 5
    PF = 1 << 6
    IRQF = 1 << 7


_VALID = 1 << 7  # of register D: the battery is good


class Mc146818(RegisterDevice):
    """The clock shows `epoch` when it is made, and goes on over resets as a battery-backed one does.

    memory: bytes that firmware would have left in it.
    """

    name = "mc146818"

    INDEX: int = register(0, "which byte DATA is; bit 7 masks NMIs and is not kept", width=1, mask=0x7F)
    DATA: int = register(1, "the byte at INDEX", width=1)

    memory: bytearray = variable(bytearray(MEMORY_SIZE), "registers and memory; time is in it only while SET stops it")
    offset: int = variable(0, "what to add to the host clock's nanoseconds")
    seen: int = variable(0, "up to when the flags in register C are worked out")

    def __init__(self, line: Line, clock: Clock, epoch: int, memory: Mapping[int, int] | None = None) -> None:
        self._clock = clock
        self._line = line
        self._level = False
        self._alarm: Alarm | None = None
        super().__init__()
        self.offset = epoch * _NS - clock.now()
        self.seen = self._now()
        self.memory[_A], self.memory[_B], self.memory[_D] = 0x26, RegisterB.HOURS_24, _VALID
        for index, value in (memory or {}).items():
            self.memory[index] = value

    def reset(self) -> None:
        """The reset pin only disables interrupts."""
        self.INDEX = 0
        self.memory[_B] &= ~(RegisterB.INTERRUPTS | RegisterB.SQWE)
        self.memory[_C] = 0
        self.seen = self._now()
        self._cancel()
        self._level = False
        self._line(False)

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._update()

    # Ports

    def read_INDEX(self) -> int:
        return 0xFF  # it can only be written

    def read_DATA(self) -> int:
        index = self.INDEX
        if index == _C:
            return self._read_flags()
        if index == _A:
            updating = not self._stopped() and self._now() % _NS >= _NS - _UPDATE_NS
            return self.memory[_A] & ~RegisterA.UIP | (RegisterA.UIP if updating else 0)
        if index in _TIME and not self._stopped():
            return self._time_bytes()[index]
        return self.memory[index]

    def write_DATA(self, value: int) -> None:
        index = self.INDEX
        self._work_out_flags()
        if index == _B:
            self._write_b(value)
        elif index in _TIME:
            if self._stopped():
                self.memory[index] = value
            else:
                self._set_time(self._time_bytes() | {index: value})
        elif index not in (_C, _D):
            self.memory[index] = value
        self._update()

    def _read_flags(self) -> int:
        """Reading C is seeing to the interrupt."""
        self._work_out_flags()
        self._update()
        flags, self.memory[_C] = self.memory[_C], 0
        self._update()
        return flags

    def _write_b(self, value: int) -> None:
        if value & RegisterB.SET and not self._stopped():
            for index, byte in self._time_bytes().items():
                self.memory[index] = byte
        started = self._stopped() and not value & RegisterB.SET
        self.memory[_B] = value & ~RegisterB.UIE if value & RegisterB.SET else value
        if started:  # what the time is, is read with the data mode that the same write chose
            self._set_time({index: self.memory[index] for index in _TIME})

    # Time

    def _now(self) -> int:
        """Nanoseconds since 1970, as the guest sees it."""
        return self.offset + self._clock.now()

    def _stopped(self) -> bool:
        return self.memory[_B] & RegisterB.SET != 0

    def _time_bytes(self) -> dict[int, int]:
        now = time.gmtime(self._now() // _NS)
        hours = self._encode(now.tm_hour)
        if not self.memory[_B] & RegisterB.HOURS_24:
            hours = self._encode(now.tm_hour % 12 or 12) | (_PM if now.tm_hour >= 12 else 0)
        return {
            _SECONDS: self._encode(min(now.tm_sec, 59)),
            _MINUTES: self._encode(now.tm_min),
            _HOURS: hours,
            _WEEKDAY: self._encode((now.tm_wday + 1) % 7 + 1),  # Sunday is 1
            _DAY: self._encode(now.tm_mday),
            _MONTH: self._encode(now.tm_mon),
            _YEAR: self._encode(now.tm_year % 100),
            CENTURY: self._encode(now.tm_year // 100),
        }

    def _set_time(self, values: Mapping[int, int]) -> None:
        """Any bytes make a time: a month that there is not is the nearest, days and hours carry over."""
        year = self._decode(values[CENTURY]) * 100 + self._decode(values[_YEAR])
        year = min(max(year, _YEARS[0]), _YEARS[1])
        month = min(max(self._decode(values[_MONTH]), 1), 12)
        day, minute, second = (self._decode(values[index]) for index in (_DAY, _MINUTES, _SECONDS))
        wanted = calendar.timegm((year, month, day, self._decode_hours(values[_HOURS]), minute, second))
        # The fraction of the second goes on, so that updates keep their rhythm.
        self.offset += wanted * _NS - self._now() // _NS * _NS
        self.seen = self._now()

    def _encode(self, number: int) -> int:
        return number if self.memory[_B] & RegisterB.BINARY else number // 10 << 4 | number % 10

    def _decode(self, byte: int) -> int:
        return byte if self.memory[_B] & RegisterB.BINARY else (byte >> 4) * 10 + (byte & 0xF)

    def _decode_hours(self, byte: int) -> int:
        if self.memory[_B] & RegisterB.HOURS_24:
            return self._decode(byte)
        return self._decode(byte & ~_PM) % 12 + (12 if byte & _PM else 0)

    # Flags and interrupts

    def _period(self) -> int:
        """Nanoseconds between periodic interrupts; 0 for none."""
        rate = self.memory[_A] & RegisterA.RATE
        if rate == 0:
            return 0
        steps = 1 << (rate - 1 if rate > 2 else rate + 6)  # the two fastest rates repeat slower ones
        return _NS * steps // _CRYSTAL_HZ

    def _next_alarm(self, after: int) -> int | None:
        """The first second later than `after` that fits the alarm's bytes, within a day."""
        wanted: list[int | None] = []
        for index in reversed(_ALARM):
            byte = self.memory[index]
            decoded = self._decode_hours(byte) if index == _HOURS_ALARM else self._decode(byte)
            wanted.append(None if byte >= _ANY else decoded)
        hour, minute, second = wanted
        start = after + 1
        midnight = start - start % _DAY_SECONDS
        for minutes in range(start % _DAY_SECONDS // 60, 2 * _DAY_SECONDS // 60):  # two days of minutes at most
            if hour not in (None, minutes // 60 % 24) or minute not in (None, minutes % 60):
                continue
            first = midnight + minutes * 60
            found = max(start, first) if second is None else first + second
            if start <= found < first + 60:
                return found
        return None

    def _work_out_flags(self) -> None:
        """What has happened between the last look and now."""
        before, now = self.seen, self._now()
        self.seen = now
        if now <= before:
            return
        period = self._period()
        if period and now // period != before // period:
            self.memory[_C] |= RegisterC.PF
        if not self._stopped() and now // _NS != before // _NS:
            self.memory[_C] |= RegisterC.UF
            alarm = self._next_alarm(before // _NS)
            if alarm is not None and alarm <= now // _NS:
                self.memory[_C] |= RegisterC.AF

    def _update(self) -> None:
        """Drive the line; while it is low, wait for what could raise it."""
        self._cancel()
        enabled = self.memory[_B] & RegisterB.INTERRUPTS
        level = self.memory[_C] & enabled != 0
        self.memory[_C] = self.memory[_C] & ~RegisterC.IRQF | (RegisterC.IRQF if level else 0)
        if not level and enabled and (due := self._next_due(enabled)) is not None:
            self._alarm = self._clock.call_at(due - self.offset, self._on_due)
        if level != self._level:
            self._level = level
            self._line(level)

    def _next_due(self, enabled: int) -> int | None:
        times: list[int] = []
        if enabled & RegisterB.PIE and (period := self._period()):
            times.append((self.seen // period + 1) * period)
        if enabled & RegisterB.UIE and not self._stopped():
            times.append((self.seen // _NS + 1) * _NS)
        if enabled & RegisterB.AIE and not self._stopped():
            alarm = self._next_alarm(self.seen // _NS)
            times += [] if alarm is None else [alarm * _NS]
        return min(times, default=None)

    def _on_due(self) -> None:
        self._alarm = None
        self._work_out_flags()
        self._update()

    def _cancel(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
