"""PrimeCell UART PL011 (Arm DDI 0183).

As there is no bit rate, the transmit interrupt follows each write, and the receive timeout each arrival at once: the
line is idle as soon as the host has no more. The receive interrupt keeps to its trigger level.
"""

# Registers are spelt as in the manual.
# pyright: reportConstantRedefinition=false

from xemu.cli import log
from xemu.devices.registers import Access, register
from xemu.devices.uart import Uart

# FIFO fill at which the receive interrupt comes, by IFLS.RXIFLSEL; the reserved values act as the highest.
_RX_TRIGGERS = (2, 4, 8, 12, 14, 14, 14, 14)


class Flag:
    """Bits of UARTFR."""

    CTS = 1 << 0
    DSR = 1 << 1
    DCD = 1 << 2
    BUSY = 1 << 3
    RXFE = 1 << 4
    TXFF = 1 << 5
    RXFF = 1 << 6
    TXFE = 1 << 7
    RI = 1 << 8


class LineControl:
    """Bits of UARTLCR_H."""

    BRK = 1 << 0
    PEN = 1 << 1
    EPS = 1 << 2
    STP2 = 1 << 3
    FEN = 1 << 4
    WLEN = 3 << 5
    SPS = 1 << 7


class Control:
    """Bits of UARTCR."""

    UARTEN = 1 << 0
    SIREN = 1 << 1
    SIRLP = 1 << 2
    LBE = 1 << 7
    TXE = 1 << 8
    RXE = 1 << 9
    DTR = 1 << 10
    RTS = 1 << 11
    OUT1 = 1 << 12
    OUT2 = 1 << 13
    RTSEN = 1 << 14
    CTSEN = 1 << 15


class Interrupt:
    """Bits of UARTIMSC, UARTRIS, UARTMIS and UARTICR."""

    RI = 1 << 0
    CTS = 1 << 1
    DCD = 1 << 2
    DSR = 1 << 3
    RX = 1 << 4
    TX = 1 << 5
    RT = 1 << 6
    FE = 1 << 7
    PE = 1 << 8
    BE = 1 << 9
    OE = 1 << 10


# Error flags of a received character, above its eight data bits.
_BREAK = 1 << 10
_OVERRUN = 1 << 11
_ALL_INTERRUPTS = 0x7FF


class Pl011(Uart):
    """One UART; `line` is the combined interrupt."""

    name = "pl011"
    break_character = _BREAK

    DR: int = register(0x000, "data")
    RSR: int = register(0x004, "receive status; any write clears it")
    FR: int = register(0x018, "flags", access=Access.RO, fields=Flag)
    ILPR: int = register(0x020, "IrDA low-power divisor", mask=0xFF)
    IBRD: int = register(0x024, "baud rate, integer part", mask=0xFFFF)
    FBRD: int = register(0x028, "baud rate, fraction", mask=0x3F)
    LCR_H: int = register(0x02C, "line control", fields=LineControl)
    CR: int = register(0x030, "control", reset=Control.RXE | Control.TXE, fields=Control)
    IFLS: int = register(0x034, "FIFO trigger levels", reset=0x12, mask=0x3F)
    IMSC: int = register(0x038, "interrupt mask", fields=Interrupt)
    RIS: int = register(0x03C, "raw interrupt status", access=Access.RO, fields=Interrupt)
    MIS: int = register(0x040, "masked interrupt status", access=Access.RO, fields=Interrupt)
    ICR: int = register(0x044, "interrupt clear", access=Access.WO, fields=Interrupt)
    DMACR: int = register(0x048, "DMA control", mask=0x7)
    ID: list[int] = register(0xFE0, "peripheral and cell identification", access=Access.RO, count=8)

    _IDS = (0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1)

    def _fifo_enabled(self) -> bool:
        return self.LCR_H & LineControl.FEN != 0

    def _listens(self) -> bool:
        """Not while the guest has the UART on and its receiver off."""
        return self.CR & (Control.UARTEN | Control.RXE) != Control.UARTEN and not self.CR & Control.LBE

    def _trigger(self) -> int:
        return _RX_TRIGGERS[self.IFLS >> 3] if self._fifo_enabled() else 1

    def _push(self, character: int) -> None:
        if character & _BREAK:
            self.RIS |= Interrupt.BE
        if len(self.rx) >= self._depth():
            # The newest is lost, and what is read after the characters now in the FIFO says so.
            self.rx[-1] |= _OVERRUN
            self.RIS |= Interrupt.OE
            return
        self.rx.append(character)
        self.RIS |= Interrupt.RT
        if len(self.rx) >= self._trigger():
            self.RIS |= Interrupt.RX

    def _interrupts(self) -> bool:
        return self.RIS & self.IMSC != 0

    # Registers with behaviour

    def read_DR(self) -> int:
        if not self.rx:
            return 0
        character = self.rx.pop(0)
        self.RSR = character >> 8
        if len(self.rx) < self._trigger():
            self.RIS &= ~Interrupt.RX
        if not self.rx:
            self.RIS &= ~Interrupt.RT
        self._update()
        self._accept_input()
        return character

    def write_DR(self, value: int) -> None:
        """Sent even while the transmitter is off, as other emulators do: small programs never turn it on."""
        byte = value & 0xFF
        if self.CR & Control.LBE:
            self._push(byte)
        else:
            self._send(byte)
        self.RIS |= Interrupt.TX
        self._update()

    def write_RSR(self, value: int) -> None:
        self.RSR = 0

    def read_FR(self) -> int:
        flags = Flag.TXFE
        if not self.rx:
            flags |= Flag.RXFE
        elif len(self.rx) >= self._depth():
            flags |= Flag.RXFF
        if self.CR & Control.LBE:  # the modem outputs come back as the inputs
            for output, back in _LOOPED:
                if self.CR & output:
                    flags |= back
        return flags

    def write_LCR_H(self, value: int) -> None:
        changed = self.LCR_H ^ value
        self.LCR_H = value & 0xFF
        if changed & LineControl.FEN:  # switching between FIFO and single register empties both
            self.rx = []
            self.RIS &= ~(Interrupt.RX | Interrupt.RT)
            self._update()
            self._accept_input()

    def write_CR(self, value: int) -> None:
        self.CR = value & 0xFF87
        self._accept_input()

    def write_IMSC(self, value: int) -> None:
        self.IMSC = value & _ALL_INTERRUPTS
        self._update()

    def read_MIS(self) -> int:
        return self.RIS & self.IMSC

    def write_ICR(self, value: int) -> None:
        self.RIS &= ~value
        self._update()

    def write_DMACR(self, value: int) -> None:
        self.DMACR = value & 0x7
        if value & 0x3 and log.enabled("unimp"):
            log.write("unimp", "pl011: DMA is asked for; there is no DMA controller on this UART")

    def read_ID(self, index: int) -> int:
        return self._IDS[index]


_LOOPED = (
    (Control.RTS, Flag.CTS),
    (Control.DTR, Flag.DSR),
    (Control.OUT1, Flag.DCD),
    (Control.OUT2, Flag.RI),
)
