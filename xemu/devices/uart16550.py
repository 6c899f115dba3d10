"""UART 16550A (PC16550D data sheet): the serial port of PCs.

As there is no bit rate, the transmitter is always empty, and the receiver's line is idle as soon as the host has no
more, so characters below the trigger level time out at once.
"""

# Registers are spelt as in the manual.
# pyright: reportConstantRedefinition=false

from xemu.devices.registers import Access, register, variable
from xemu.devices.uart import Uart

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


_LOOPED = (
    (ModemControl.RTS, ModemStatus.CTS),
    (ModemControl.DTR, ModemStatus.DSR),
    (ModemControl.OUT1, ModemStatus.RI),
    (ModemControl.OUT2, ModemStatus.DCD),
)


class Uart16550(Uart):
    """One UART; `line` is its interrupt."""

    name = "uart16550"
    break_character = (LineStatus.BI | LineStatus.FE) << 8  # LSR's bits

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
    errors: int = variable(0, "LSR's error bits, cleared when it is read")
    transmitted: bool = variable(False, "the interrupt of an empty transmitter is due")

    def _fifo_enabled(self) -> bool:
        return self.FCR & FifoControl.ENABLE != 0

    def _listens(self) -> bool:
        return not self.MCR & ModemControl.LOOP

    def _push(self, character: int) -> None:
        if len(self.rx) >= self._depth():
            self.errors |= LineStatus.OE
            if self._fifo_enabled():
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
            full = len(self.rx) >= _TRIGGERS[self.FCR >> 6] or not self._fifo_enabled()
            return InterruptId.DATA if full else InterruptId.TIMEOUT
        if self.IER & InterruptEnable.ETBEI and self.transmitted:
            return InterruptId.EMPTY
        if self.IER & InterruptEnable.EDSSI and self.MSR & ModemStatus.CHANGES:
            return InterruptId.MODEM
        return InterruptId.NONE

    def _interrupts(self) -> bool:
        return self._pending() != InterruptId.NONE

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
        elif self._fifo_enabled():
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
        else:
            self._send(value)
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
        return reason | (InterruptId.FIFOS if self._fifo_enabled() else 0)

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
        if self._fifo_enabled() and any(character >> 8 for character in self.rx):
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
