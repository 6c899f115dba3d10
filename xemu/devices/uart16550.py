"""UART 16550A (PC16550D data sheet): the serial port of PCs.

There is no bit rate: a written byte has left before the next access, so the transmitter is always empty, and the
receiver's line is idle as soon as the host has no more, so characters below the trigger level time out at once. The
back end is told how many characters fit, so that none is lost.
"""

from typing import TYPE_CHECKING, Any

from xemu.accel.base import Line
from xemu.devices.registers import Access, RegisterDevice, register, variable

if TYPE_CHECKING:
    from xemu.chardev.base import CharBackend

FIFO_DEPTH = 16
_TRIGGERS = (1, 4, 8, 14)  # FIFO fill at which the receive interrupt comes, by FCR bits 7:6
_RESET_DIVISOR = 12  # 9600 baud; the data sheet leaves it open


class InterruptEnable:
    """Bits of IER."""

    ERBFI = 1 << 0  # received data
    ETBEI = 1 << 1  # transmitter empty
    ELSI = 1 << 2  # line status
    EDSSI = 1 << 3  # modem status


class InterruptId:
    """Values of IIR's low four bits, the most urgent first; and the bits that tell that there are FIFOs."""

    LINE_STATUS, DATA, TIMEOUT, EMPTY, MODEM, NONE = 6, 4, 12, 2, 0, 1
    FIFOS = 0xC0


class FifoControl:
    """Bits of FCR."""

    ENABLE = 1 << 0
    RESET_RX = 1 << 1
    RESET_TX = 1 << 2
    DMA = 1 << 3
    TRIGGER = 3 << 6


class LineControl:
    """Bits of LCR."""

    WLS = 3 << 0
    STB = 1 << 2
    PEN = 1 << 3
    EPS = 1 << 4
    STICK = 1 << 5
    BREAK = 1 << 6
    DLAB = 1 << 7


class ModemControl:
    """Bits of MCR."""

    DTR = 1 << 0
    RTS = 1 << 1
    OUT1 = 1 << 2
    OUT2 = 1 << 3
    LOOP = 1 << 4


class LineStatus:
    """Bits of LSR."""

    DR = 1 << 0
    OE = 1 << 1
    PE = 1 << 2
    FE = 1 << 3
    BI = 1 << 4
    THRE = 1 << 5
    TEMT = 1 << 6
    FIFO_ERROR = 1 << 7
    ERRORS = OE | PE | FE | BI


class ModemStatus:
    """Bits of MSR: changes in the low half, levels in the high one."""

    DCTS, DDSR, TERI, DDCD = 1 << 0, 1 << 1, 1 << 2, 1 << 3
    CTS, DSR, RI, DCD = 1 << 4, 1 << 5, 1 << 6, 1 << 7
    CHANGES = DCTS | DDSR | TERI | DDCD
    CONNECTED = CTS | DSR | DCD


# A break arrives as a character of zeros with a framing error; flags of a character are above its eight data bits.
_BREAK = (LineStatus.BI | LineStatus.FE) << 8
_LOOPED = (
    (ModemControl.RTS, ModemStatus.CTS),
    (ModemControl.DTR, ModemStatus.DSR),
    (ModemControl.OUT1, ModemStatus.RI),
    (ModemControl.OUT2, ModemStatus.DCD),
)


class Uart16550(RegisterDevice):
    """One UART; `line` is its interrupt."""

    name = "uart16550"

    RBR: int = register(0, "receiver buffer; written: transmitter holding (THR); with DLAB: divisor (DLL)", width=1)
    IER: int = register(1, "interrupt enable; with DLAB: divisor, high half (DLM)", width=1, fields=InterruptEnable)
    IIR: int = register(2, "interrupt identification; written: FIFO control (FCR)", width=1)
    LCR: int = register(3, "line control", width=1, fields=LineControl)
    MCR: int = register(4, "modem control", width=1, fields=ModemControl)
    LSR: int = register(5, "line status", width=1, access=Access.RO)
    MSR: int = register(6, "modem status", width=1, access=Access.RO, reset=ModemStatus.CONNECTED)
    SCR: int = register(7, "scratch", width=1)

    FCR: int = variable(0, "FIFO control")
    divisor: int = variable(_RESET_DIVISOR, "of the baud rate")
    rx: list[int] = variable([], "received characters, oldest first")
    errors: int = variable(0, "LSR's error bits, cleared when it is read")
    transmitted: bool = variable(False, "the interrupt of an empty transmitter is due")

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

    # The host's side

    def can_receive(self) -> int:
        return 0 if self.MCR & ModemControl.LOOP else max(self._depth() - len(self.rx), 0)

    def receive(self, data: bytes) -> None:
        for byte in data:
            self._push(byte)
        self._update()

    def receive_break(self) -> None:
        """The line was held low for a whole character."""
        self._push(_BREAK)
        self._update()

    def _accept_input(self) -> None:
        if self._backend is not None:
            self._backend.accept_input()

    # FIFO and interrupts

    def _depth(self) -> int:
        return FIFO_DEPTH if self.FCR & FifoControl.ENABLE else 1

    def _push(self, character: int) -> None:
        if len(self.rx) >= self._depth():
            self.errors |= LineStatus.OE
            if self.FCR & FifoControl.ENABLE:
                return  # the newest is lost
            self.rx.clear()
        self.rx.append(character)
        if len(self.rx) == 1:
            self.errors |= character >> 8

    def _pending(self) -> int:
        """What IIR says: the most urgent of the enabled reasons."""
        if self.IER & InterruptEnable.ELSI and self.errors:
            return InterruptId.LINE_STATUS
        if self.IER & InterruptEnable.ERBFI and self.rx:
            full = len(self.rx) >= _TRIGGERS[self.FCR >> 6] or not self.FCR & FifoControl.ENABLE
            return InterruptId.DATA if full else InterruptId.TIMEOUT
        if self.IER & InterruptEnable.ETBEI and self.transmitted:
            return InterruptId.EMPTY
        if self.IER & InterruptEnable.EDSSI and self.MSR & ModemStatus.CHANGES:
            return InterruptId.MODEM
        return InterruptId.NONE

    def _update(self) -> None:
        level = self._pending() != InterruptId.NONE
        if level != self._level:
            self._level = level
            self._line(level)

    # Registers

    def read_RBR(self) -> int:
        if self.LCR & LineControl.DLAB:
            return self.divisor & 0xFF
        if self.rx:
            self.RBR = self.rx.pop(0) & 0xFF
            if self.rx:
                self.errors |= self.rx[0] >> 8
            self._update()
            self._accept_input()
        elif self.FCR & FifoControl.ENABLE:
            return 0
        return self.RBR  # without FIFOs the register keeps the last one

    def write_RBR(self, value: int) -> None:
        if self.LCR & LineControl.DLAB:
            self.divisor = self.divisor & 0xFF00 | value
            return
        # The line falls while the byte is on its way and rises when it has left: some controllers wait for an edge.
        self.transmitted = False
        self._update()
        if self.MCR & ModemControl.LOOP:
            self._push(value)
        elif self._backend is not None:
            self._backend.write(bytes((value,)))
        self.transmitted = True
        self._update()

    def read_IER(self) -> int:
        return self.divisor >> 8 if self.LCR & LineControl.DLAB else self.IER

    def write_IER(self, value: int) -> None:
        if self.LCR & LineControl.DLAB:
            self.divisor = value << 8 | self.divisor & 0xFF
            return
        if value & ~self.IER & InterruptEnable.ETBEI:
            self.transmitted = True  # enabling it while the transmitter is empty is a reason
        self.IER = value & 0xF
        self._update()

    def read_IIR(self) -> int:
        reason = self._pending()
        if reason == InterruptId.EMPTY:
            self.transmitted = False  # reading it is seeing to it
            self._update()
        return reason | (InterruptId.FIFOS if self.FCR & FifoControl.ENABLE else 0)

    def write_IIR(self, value: int) -> None:
        if (self.FCR ^ value) & FifoControl.ENABLE:
            value |= FifoControl.RESET_RX | FifoControl.RESET_TX
        if value & FifoControl.RESET_RX:
            self.rx = []
        if value & FifoControl.RESET_TX:
            self.transmitted = True  # emptied, which is a reason though it was empty
        # The other bits are taken only together with ENABLE, and the resets do not stay.
        self.FCR = value & (FifoControl.ENABLE | FifoControl.DMA | FifoControl.TRIGGER) if value & 1 else 0
        self._update()
        self._accept_input()

    def write_MCR(self, value: int) -> None:
        self.MCR = value & 0x1F
        self._set_modem(self._looped() if value & ModemControl.LOOP else ModemStatus.CONNECTED)
        self._update()
        self._accept_input()

    def _looped(self) -> int:
        """In the loop, the modem outputs come back as the inputs."""
        levels = 0
        for output, back in _LOOPED:
            if self.MCR & output:
                levels |= back
        return levels

    def _set_modem(self, levels: int) -> None:
        changed = (self.MSR ^ levels) >> 4
        if levels & ModemStatus.RI:
            changed &= ~ModemStatus.TERI  # only the end of a ring counts
        self.MSR = levels | self.MSR & ModemStatus.CHANGES | changed

    def read_LSR(self) -> int:
        status = LineStatus.THRE | LineStatus.TEMT | self.errors
        if self.rx:
            status |= LineStatus.DR
        if self.FCR & FifoControl.ENABLE and any(character >> 8 for character in self.rx):
            status |= LineStatus.FIFO_ERROR
        self.errors = 0
        if self.rx:
            self.rx[0] &= 0xFF  # its flags were told
        self._update()
        return status

    def read_MSR(self) -> int:
        status = self.MSR
        self.MSR &= ~ModemStatus.CHANGES
        self._update()
        return status
