"""The UART: flow control, FIFO levels, interrupts, loopback."""

import pytest
from fakes import FakeBackend, Wire

from xemu.devices.pl011 import Control, Flag, Interrupt, LineControl, Pl011

DR, RSR, FR, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR = 0, 4, 0x18, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44


class Bench:
    def __init__(self) -> None:
        self.line = Wire()
        self.host = FakeBackend()
        self.uart = Pl011(self.line, self.host)

    def get(self, offset):
        return self.uart.read(offset, 4)

    def set(self, offset, value):
        self.uart.write(offset, 4, value)


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def fifo(bench):
    bench.set(LCR_H, LineControl.FEN)
    bench.set(CR, Control.UARTEN | Control.TXE | Control.RXE)
    return bench


def test_output_goes_to_the_host(bench):
    for byte in b"hi":
        bench.uart.write(DR, 1, byte)
    bench.uart.write(DR, 2, ord("!"))
    assert bench.host.output == b"hi!"
    assert bench.get(FR) == Flag.TXFE | Flag.RXFE
    assert bench.get(RIS) == Interrupt.TX


def test_transmit_interrupt(bench):
    bench.set(IMSC, Interrupt.TX)
    assert not bench.line.level
    bench.set(DR, 0x41)
    assert bench.line.level and bench.get(MIS) == Interrupt.TX
    bench.set(ICR, Interrupt.TX)
    assert not bench.line.level
    assert bench.line.changes == [True, False]


def test_single_register_takes_one_character_at_a_time(bench):
    bench.host.type(b"ab")
    assert bench.host.waiting == b"b"
    assert bench.get(FR) & (Flag.RXFF | Flag.RXFE) == Flag.RXFF
    assert bench.get(RIS) & (Interrupt.RX | Interrupt.RT) == Interrupt.RX | Interrupt.RT
    assert bench.get(DR) == ord("a")
    assert bench.get(FR) & Flag.RXFE and bench.get(RIS) == 0
    bench.host.deliver()
    assert bench.get(DR) == ord("b")
    assert bench.get(DR) == 0  # empty


def test_fifo_takes_sixteen(fifo):
    fifo.host.type(bytes(range(20)))
    assert len(fifo.host.waiting) == 4
    assert [fifo.get(DR) for _ in range(16)] == list(range(16))
    fifo.host.deliver()
    assert [fifo.get(DR) for _ in range(4)] == list(range(16, 20))


@pytest.mark.parametrize("select, level", [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14), (7, 14)])
def test_receive_interrupt_at_its_trigger_level(fifo, select, level):
    fifo.set(IFLS, select << 3)
    fifo.set(IMSC, Interrupt.RX)
    for count in range(1, 17):
        fifo.host.type(b"x")
        assert fifo.line.level == (count >= level)
    while fifo.get(FR) & Flag.RXFE == 0:
        fifo.get(DR)
        assert fifo.line.level == (len(fifo.uart.rx) >= level)


def test_timeout_interrupt_while_anything_waits(fifo):
    fifo.set(IMSC, Interrupt.RT | Interrupt.RX)
    fifo.host.type(b"xy")
    assert fifo.get(MIS) == Interrupt.RT
    fifo.get(DR)
    assert fifo.line.level
    fifo.get(DR)
    assert not fifo.line.level


def test_cleared_receive_interrupt_comes_back_with_the_next_character(fifo):
    fifo.set(IMSC, Interrupt.RT)
    fifo.host.type(b"x")
    fifo.set(ICR, Interrupt.RT)
    assert not fifo.line.level
    fifo.host.type(b"y")
    assert fifo.line.level


def test_nothing_is_received_while_the_receiver_is_off(fifo):
    fifo.set(CR, Control.UARTEN | Control.TXE)
    fifo.host.type(b"x")
    assert fifo.host.waiting == b"x" and fifo.get(FR) & Flag.RXFE
    fifo.set(CR, Control.UARTEN | Control.TXE | Control.RXE)
    fifo.host.deliver()
    assert fifo.get(DR) == ord("x")


def test_overrun_is_flagged_and_bounded(fifo):
    fifo.uart.receive(bytes(100))  # a back end that ignores can_receive()
    assert len(fifo.uart.rx) == 16
    assert fifo.get(RIS) & Interrupt.OE
    assert [fifo.get(DR) >> 8 for _ in range(16)] == [0] * 15 + [8]
    assert fifo.get(RSR) == 8
    fifo.set(RSR, 0)
    assert fifo.get(RSR) == 0


def test_break(fifo):
    fifo.set(IMSC, Interrupt.BE)
    fifo.host.break_line()
    assert fifo.line.level
    assert fifo.get(DR) == 1 << 10 and fifo.get(RSR) == 4


def test_loopback(fifo):
    fifo.set(CR, Control.UARTEN | Control.TXE | Control.RXE | Control.LBE | Control.RTS | Control.OUT2)
    fifo.set(DR, 0x55)
    assert fifo.host.output == b""
    assert fifo.get(FR) & (Flag.CTS | Flag.DSR | Flag.RI) == Flag.CTS | Flag.RI
    fifo.host.type(b"x")  # the outside is cut off
    assert fifo.get(DR) == 0x55 and fifo.get(FR) & Flag.RXFE


def test_switching_the_fifo_empties_it(fifo):
    fifo.host.type(b"abc")
    fifo.set(LCR_H, 0)
    assert fifo.get(FR) & Flag.RXFE and fifo.get(RIS) & (Interrupt.RX | Interrupt.RT) == 0


def test_reset_and_restore(fifo):
    fifo.set(IMSC, Interrupt.RT)
    fifo.host.type(b"q")
    saved = fifo.uart.state()
    fifo.uart.reset()
    assert not fifo.line.level and fifo.get(CR) == 0x300 and fifo.uart.rx == []
    fifo.uart.restore(saved)
    assert fifo.line.level and fifo.get(DR) == ord("q")
