"""The serial port of PCs, as its data sheet says and as drivers rely on."""

import pytest
from fakes import FakeBackend, Wire

from xemu.devices.uart16550 import Uart16550

RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
RX, TX, LINE, MODEM = 1, 2, 4, 8  # IER
DLAB = 0x80


class Bench:
    def __init__(self) -> None:
        self.line = Wire()
        self.host = FakeBackend()
        self.uart = Uart16550(self.line, self.host)

    def get(self, offset):
        return self.uart.read(offset, 1)

    def set(self, offset, value):
        self.uart.write(offset, 1, value)


@pytest.fixture
def bench():
    return Bench()


def test_power_on(bench):
    assert [bench.get(offset) for offset in range(8)] == [0, 0, 1, 0, 0, 0x60, 0xB0, 0]


def test_output_and_the_interrupt_of_an_empty_transmitter(bench):
    bench.set(RBR, ord("a"))
    assert bench.host.output == b"a" and not bench.line.level
    bench.set(IER, TX)
    assert bench.line.level
    assert bench.get(IIR) == 2  # and that is all it takes to see to it
    assert not bench.line.level and bench.get(IIR) == 1
    bench.set(RBR, ord("b"))
    assert bench.line.level and bench.host.output == b"ab"


def test_each_byte_sent_gives_an_edge(bench):
    """Controllers of the ISA bus see rises only: a driver that sends without reading IIR must not hang."""
    bench.set(IER, TX)
    bench.line.changes.clear()
    bench.set(RBR, ord("x"))
    assert bench.line.changes == [False, True]


def test_enabling_the_empty_transmitter_again_interrupts_again(bench):
    bench.set(IER, TX)
    bench.get(IIR)
    bench.set(IER, TX)  # was on already
    assert not bench.line.level
    bench.set(IER, 0)
    bench.set(IER, TX)
    assert bench.line.level


def test_one_character_without_fifos(bench):
    bench.set(IER, RX)
    bench.host.type(b"hi")
    assert bench.get(IIR) == 4 and bench.host.waiting == b"i"
    assert bench.get(LSR) & 1 and bench.get(RBR) == ord("h")
    assert bench.get(IIR) == 1 and not bench.get(LSR) & 1
    bench.host.deliver()
    assert bench.get(RBR) == ord("i")


def test_fifo_trigger_and_timeout(bench):
    bench.set(IIR, 0x81)  # FIFOs, interrupt from 8 characters on
    bench.set(IER, RX)
    bench.host.type(b"1234567")
    assert bench.get(IIR) == 0xCC  # fewer: they time out
    bench.host.type(b"89abcdefgh")
    assert bench.get(IIR) == 0xC4 and bench.host.waiting == b"h"  # 16 fit
    assert bytes(bench.get(RBR) for _ in range(16)) == b"123456789abcdefg"
    assert bench.get(IIR) == 0xC1 and not bench.line.level


def test_clearing_the_fifo(bench):
    bench.set(IIR, 1)
    bench.host.type(b"abc")
    bench.set(IIR, 3)
    assert not bench.get(LSR) & 1 and bench.get(IIR) == 0xC1
    bench.host.type(b"abc")
    bench.set(IIR, 0)  # so does turning it off
    assert not bench.get(LSR) & 1 and bench.get(IIR) == 1
    bench.set(IIR, 0xC8)  # without bit 0 nothing is taken
    assert bench.uart.FCR == 0


def test_the_last_character_stays_without_fifos(bench):
    bench.host.type(b"a")
    assert bench.get(RBR) == bench.get(RBR) == ord("a")
    bench.set(IIR, 1)
    assert bench.get(RBR) == 0


def test_emptying_the_transmitters_fifo_is_a_reason(bench):
    """Drivers may rely on it, and on QEMU's UART can."""
    bench.set(IIR, 1)
    bench.set(IER, TX)
    bench.get(IIR)
    bench.set(IIR, 5)
    assert bench.get(IIR) == 0xC2


def test_overrun(bench):
    bench.uart.receive(b"ab")
    assert bench.get(LSR) & 0x1F == 3  # without FIFOs the newest stays
    assert bench.get(RBR) == ord("b") and bench.get(LSR) & 2 == 0
    bench.set(IIR, 1)
    bench.uart.receive(bytes(range(17)))
    assert bench.get(LSR) & 2
    assert [bench.get(RBR) for _ in range(16)] == list(range(16))


def test_break(bench):
    bench.set(IIR, 1)
    bench.set(IER, LINE | RX)
    bench.uart.receive(b"a")
    bench.uart.receive_break()
    assert bench.get(LSR) & 0x9F == 0x81  # it is in the FIFO, but not at its head
    bench.get(RBR)
    assert bench.get(IIR) == 0xC6
    assert bench.get(LSR) & 0x1F == 0x19 and bench.get(IIR) == 0xC4
    assert bench.get(LSR) & 0x9F == 1
    assert bench.get(RBR) == 0


def test_divisor(bench):
    bench.set(LCR, DLAB | 3)
    bench.set(RBR, 0x34)
    bench.set(IER, 0x12)
    assert (bench.get(RBR), bench.get(IER), bench.uart.divisor) == (0x34, 0x12, 0x1234)
    bench.set(LCR, 3)
    assert bench.get(IER) == 0 and bench.host.output == b""


def test_loop(bench):
    bench.set(IER, RX | MODEM)
    bench.set(MCR, 0x10)
    assert bench.get(MSR) == 0x0B  # all inputs fell
    bench.set(MCR, 0x1F)
    assert bench.get(MSR) == 0xFB & ~4  # a ring counts when it ends
    bench.set(MCR, 0x1B)
    assert bench.get(IIR) == 0 and bench.get(MSR) == 0xB4 and bench.get(MSR) == 0xB0
    bench.set(RBR, 0x55)
    bench.host.type(b"!")
    assert bench.get(RBR) == 0x55 and bench.host.output == b"" and bench.host.waiting == b"!"


def test_urgency(bench):
    bench.set(IER, 0xF)
    bench.set(MCR, 0x10)
    bench.set(MCR, 0)
    bench.uart.receive(b"a")
    bench.uart.receive(b"b")  # overrun
    seen = []
    for action in (LSR, RBR, IIR, MSR):  # what each reason is seen to with
        seen.append(bench.get(IIR) if action != IIR else 2)
        bench.get(action)
    assert seen == [6, 4, 2, 0] and bench.get(IIR) == 1


def test_wide_accesses_are_byte_accesses_in_a_row(bench):
    bench.uart.write(SCR - 1, 2, 0xAB00)
    assert bench.uart.read(SCR - 1, 2) == 0xABB0
    assert bench.uart.read(3, 4) == 0 and bench.uart.bad_accesses == 2  # misaligned, and MSR can't be written


def test_reset_and_state(bench):
    bench.set(IIR, 1)
    bench.set(IER, RX)
    bench.host.type(b"abc")
    other = Bench()
    other.uart.restore(bench.uart.state())
    assert other.line.level and other.get(RBR) == ord("a")
    bench.uart.reset()
    assert not bench.line.level and bench.get(LSR) == 0x60 and bench.get(IER) == 0
