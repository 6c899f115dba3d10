"""The I/O APIC of a PC (Intel 82093AA): 24 pins whose interrupts become messages to local APICs.

Data sheet: Intel 290566.  Version 0x20 has, beyond it, a register for ends of interrupts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xemu.accel.base import Line
from xemu.cli import log

PINS = 24
SIZE = 0x1000
_VERSION = 0x20
# What answers at which offset of the 4 KiB
_SELECT, _WINDOW, _EOI = 0x00, 0x10, 0x40
# Registers behind the window
_ID, _VERSION_REGISTER, _ARBITRATION, _REDIRECTION = 0, 1, 2, 0x10


class Entry:
    """Bits of a redirection entry."""

    VECTOR = 0xFF
    LOGICAL = 1 << 11
    PENDING = 1 << 12  # read only: sent and not accepted yet; a message is accepted at once
    REMOTE_IRR = 1 << 14  # read only: a level interrupt was accepted, its end is awaited
    LEVEL = 1 << 15
    MASKED = 1 << 16
    READ_ONLY = PENDING | REMOTE_IRR
    DEFINED = 0xFF00_0000_0001_FFFF


@dataclass
class _State:
    select: int = 0
    id: int = 0
    entries: list[int] = field(default_factory=lambda: [Entry.MASKED] * PINS)
    levels: int = 0  # of the pins


class IoApic:
    """send: takes a message as (address, data), as a device's MSI does.

    changed: called with all messages, None for a masked pin, when a redirection entry was written.
    """

    name = "ioapic"

    def __init__(
        self,
        send: Callable[[int, int], None],
        changed: Callable[[list[tuple[int, int] | None]], None] = lambda messages: None,
    ) -> None:
        self._send, self._changed = send, changed
        self._state = _State()

    def reset(self) -> None:
        levels = self._state.levels  # the lines are not ours
        self._state = _State(levels=levels)
        self._changed(self.messages())

    def pin(self, number: int) -> Line:
        if not 0 <= number < PINS:
            raise ValueError(f"pin {number} does not exist: the I/O APIC has {PINS}")

        def line(level: bool) -> None:
            bit = 1 << number
            rises = level and not self._state.levels & bit
            self._state.levels = self._state.levels | bit if level else self._state.levels & ~bit
            if rises:
                self._raise(number)

        return line

    def _raise(self, number: int) -> None:
        """A pin has risen, or is still high where that matters."""
        entry = self._state.entries[number]
        if entry & Entry.MASKED or entry & Entry.LEVEL and entry & Entry.REMOTE_IRR:
            return
        if entry & Entry.LEVEL:
            self._state.entries[number] |= Entry.REMOTE_IRR
        self._send(*_message(entry))

    def end(self, vector: int) -> None:
        """A local APIC's end of a level interrupt: it comes again where the line is still high."""
        for number, entry in enumerate(self._state.entries):
            if entry & Entry.VECTOR == vector and entry & Entry.REMOTE_IRR:
                self._state.entries[number] &= ~Entry.REMOTE_IRR
                if self._state.levels >> number & 1:
                    self._raise(number)

    def messages(self) -> list[tuple[int, int] | None]:
        return [None if entry & Entry.MASKED else _message(entry) for entry in self._state.entries]

    # The bus side

    def read(self, offset: int, size: int) -> int:
        if offset == _SELECT:
            return self._state.select
        if offset == _WINDOW and size == 4:
            return self._register(self._state.select)
        return self._bad("read", offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == _SELECT:
            self._state.select = value & 0xFF
        elif offset == _WINDOW and size == 4:
            self._set_register(self._state.select, value)
        elif offset == _EOI and size == 4:
            self.end(value & Entry.VECTOR)
        else:
            self._bad("write", offset, size)

    def _register(self, index: int) -> int:
        if index in (_ID, _ARBITRATION):
            return self._state.id
        if index == _VERSION_REGISTER:
            return PINS - 1 << 16 | _VERSION
        number, half = divmod(index - _REDIRECTION, 2)
        if 0 <= number < PINS:
            return self._state.entries[number] >> 32 * half & 0xFFFF_FFFF
        return 0

    def _set_register(self, index: int, value: int) -> None:
        number, half = divmod(index - _REDIRECTION, 2)
        if index == _ID:
            self._state.id = value & 0x0F00_0000
        elif 0 <= number < PINS:
            self._set_half(number, half, value)

    def _set_half(self, number: int, half: int, value: int) -> None:
        old = self._state.entries[number]
        keep = 0xFFFF_FFFF << (0 if half else 32)
        new = (old & keep | value << 32 * half) & Entry.DEFINED & ~Entry.READ_ONLY
        # An edge interrupt awaits no end.
        self._state.entries[number] = new | (old & Entry.REMOTE_IRR if new & Entry.LEVEL else 0)
        self._changed(self.messages())
        if new & Entry.LEVEL and self._state.levels >> number & 1:
            self._raise(number)

    def _bad(self, access: str, offset: int, size: int) -> int:
        if log.enabled("guest_errors"):
            log.write("guest_errors", f"{self.name}: {access} of {size} bytes at offset {offset:#x}: no register")
        return 0

    # Saving

    def state(self) -> dict[str, Any]:
        return {**vars(self._state), "entries": list(self._state.entries)}

    def restore(self, state: dict[str, Any]) -> None:
        self._state = _State(**state)
        self._state.entries = list(state["entries"])
        self._changed(self.messages())


def _message(entry: int) -> tuple[int, int]:
    """A redirection entry as the message that it stands for (SDM volume 3, 11.11)."""
    destination, logical = entry >> 56, bool(entry & Entry.LOGICAL)
    address = 0xFEE0_0000 | destination << 12 | logical << 2
    level = entry & Entry.LEVEL
    delivery = entry & 0x7FF  # vector and delivery mode have the same bits in both
    return address, delivery | level | (1 << 14 if level else 0)
