"""What serial ports have in common: a receive FIFO, an interrupt line, and a character back end on the host.

There is no bit rate: a written byte has left before the next access. Flow control is real: the back end is told how
many characters fit, so that none is lost.
"""

from typing import TYPE_CHECKING, Any

from xemu.accel.base import Line
from xemu.devices.registers import RegisterDevice, variable

if TYPE_CHECKING:
    from xemu.chardev.base import CharBackend

FIFO_DEPTH = 16


class Uart(RegisterDevice):
    """Base of UARTs; `line` is the interrupt."""

    break_character = 0  # how a break stands in `rx`: zeros, with error flags above the eight data bits

    rx: list[int] = variable([], "received characters, oldest first")

    def __init__(self, line: Line, backend: "CharBackend | None" = None) -> None:
        super().__init__()
        self._line = line
        self._level = False
        self._backend = backend
        if backend is not None:
            backend.connect(self.receive, self.can_receive, self.receive_break)

    def reset(self) -> None:
        super().reset()
        self._level = False
        self._line(False)
        self._accept_input()

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._update()

    # What a UART says of its state

    def _fifo_enabled(self) -> bool:
        raise NotImplementedError

    def _listens(self) -> bool:
        """Whether characters of the host come in at all."""
        raise NotImplementedError

    def _push(self, character: int) -> None:
        """A character comes in; where the FIFO is full, one is lost."""
        raise NotImplementedError

    def _interrupts(self) -> bool:
        raise NotImplementedError

    # The host's side

    def can_receive(self) -> int:
        """How many characters fit."""
        return max(self._depth() - len(self.rx), 0) if self._listens() else 0

    def receive(self, data: bytes) -> None:
        for byte in data:
            self._push(byte)
        self._update()

    def receive_break(self) -> None:
        """The line was held low for a whole character."""
        self._push(self.break_character)
        self._update()

    def _send(self, byte: int) -> None:
        if self._backend is not None:
            self._backend.write(bytes((byte,)))

    def _accept_input(self) -> None:
        """There may be room again."""
        if self._backend is not None:
            self._backend.accept_input()

    # FIFO and interrupt

    def _depth(self) -> int:
        return FIFO_DEPTH if self._fifo_enabled() else 1

    def _update(self) -> None:
        level = self._interrupts()
        if level != self._level:
            self._level = level
            self._line(level)
