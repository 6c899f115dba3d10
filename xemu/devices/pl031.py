"""PrimeCell real-time clock PL031 (Arm DDI 0224): seconds since 1970, and an alarm."""

# Registers are spelt as in the manual.
# pyright: reportConstantRedefinition=false

from typing import Any

from xemu.accel.base import Line
from xemu.devices.clock import Alarm, Clock
from xemu.devices.registers import Access, RegisterDevice, register, variable

_SECOND = 1_000_000_000
_MASK = 0xFFFFFFFF


class Pl031(RegisterDevice):
    """The clock shows `epoch` when it is made, and goes on over resets as a battery-backed one does."""

    name = "pl031"

    DR: int = register(0x00, "seconds now", access=Access.RO)
    MR: int = register(0x04, "match: the time of the alarm")
    LR: int = register(0x08, "load: sets the clock")
    CR: int = register(0x0C, "control: always on", reset=1)
    IMSC: int = register(0x10, "interrupt mask", mask=1)
    RIS: int = register(0x14, "raw interrupt status", access=Access.RO, mask=1)
    MIS: int = register(0x18, "masked interrupt status", access=Access.RO, mask=1)
    ICR: int = register(0x1C, "interrupt clear", access=Access.WO, mask=1)
    ID: list[int] = register(0xFE0, "peripheral and cell identification", access=Access.RO, count=8)

    offset: int = variable(0, "what to add to the host clock's seconds")

    _IDS = (0x31, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1)

    def __init__(self, line: Line, clock: Clock, epoch: int) -> None:
        self._clock = clock
        self._line = line
        self._level = False
        self._alarm: Alarm | None = None
        super().__init__()
        self.offset = epoch - clock.now() // _SECOND

    def reset(self) -> None:
        offset = self.offset
        super().reset()
        self.offset = offset
        self._cancel()
        self._level = False
        self._line(False)

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._set_alarm()
        self._update()

    def _now(self) -> int:
        return self.offset + self._clock.now() // _SECOND & _MASK

    def read_DR(self) -> int:
        return self._now()

    def write_MR(self, value: int) -> None:
        self.MR = value
        self._set_alarm()

    def write_LR(self, value: int) -> None:
        self.LR = value
        self.offset += value - self._now()
        self._set_alarm()

    def write_CR(self, value: int) -> None:
        """Once started, the clock can't be stopped."""

    def write_IMSC(self, value: int) -> None:
        self.IMSC = value & 1
        self._update()

    def read_MIS(self) -> int:
        return self.RIS & self.IMSC

    def write_ICR(self, value: int) -> None:
        self.RIS &= ~value & 1
        self._update()

    def read_ID(self, index: int) -> int:
        return self._IDS[index]

    def _set_alarm(self) -> None:
        """The alarm comes when the counter equals MR: at once, or after up to 2^32 s."""
        self._cancel()
        seconds = self.MR - self._now() & _MASK
        if seconds == 0:
            self._match()
        else:
            due = (self._clock.now() // _SECOND + seconds) * _SECOND
            self._alarm = self._clock.call_at(due, self._match)

    def _cancel(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _match(self) -> None:
        self.RIS = 1
        self._update()

    def _update(self) -> None:
        level = self.RIS & self.IMSC != 0
        if level != self._level:
            self._level = level
            self._line(level)
