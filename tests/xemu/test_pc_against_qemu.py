"""The PC's serial port and clock against QEMU's, by the same random port accesses to both.

QEMU's machine is stopped, so its clock stands still as ours does. Left out of the random accesses:
- the UART's receive timeout, which needs time: the FIFO's trigger level is always 1;
- changes in MSR: QEMU's loop does not have them;
- the receiver buffer while nothing is in it;
- the clock's bytes that are no number of the format in use: what they mean is nobody's promise;
- its seconds, which QEMU may count on by one when the clock is set, even stopped;
- its day of the week, which QEMU keeps as written and ours works out.
"""

import calendar
import random
import shutil
import subprocess

import pytest
from fakes import FakeBackend, FakeClock, Wire

from xemu.devices.mc146818 import Mc146818
from xemu.devices.uart16550 import Uart16550

QEMU = shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")

RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
START = (2026, 2, 27, 23, 59, 58)
BASE = "2026-02-27T23:59:58"
STEPS = 1000


class QemuPorts:
    """Ports of a QEMU that never runs, through its test protocol."""

    def __init__(self) -> None:
        command = [QEMU, "-M", "microvm,acpi=off,rtc=on", "-accel", "tcg", "-S", "-m", "64M", "-display", "none"]
        command += [
            "-monitor",
            "none",
            "-nodefaults",
            "-serial",
            "null",
            "-qtest",
            "stdio",
            "-rtc",
            f"base={BASE},clock=vm",
        ]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, **streams)

    def read(self, port: int) -> int:
        return int(self._command(f"inb {port:#x}")[1], 16)

    def write(self, port: int, value: int) -> None:
        self._command(f"outb {port:#x} {value:#x}")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _command(self, text: str) -> list[str]:
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        assert answer and answer[0] == "OK", f"QEMU answers {answer} to {text}"
        return answer


class Both:
    """One device at both; reads must agree. The history tells how a difference came about."""

    def __init__(self, qemu: QemuPorts, device, base: int) -> None:
        self._qemu, self.device, self._base = qemu, device, base
        self.history: list[str] = []

    def write(self, offset: int, value: int) -> None:
        self.history.append(f"write {offset} {value:#x}")
        self._qemu.write(self._base + offset, value)
        self.device.write(offset, 1, value)

    def read(self, offset: int, mask: int = 0xFF) -> None:
        theirs, ours = self._qemu.read(self._base + offset), self.device.read(offset, 1)
        self.history.append(f"read {offset} -> {theirs:#x}")
        assert ours & mask == theirs & mask, f"ours is {ours:#x}; " + "\n".join(self.history[-30:])


@pytest.fixture
def qemu():
    ports = QemuPorts()
    yield ports
    ports.close()


def uart_write(dice: random.Random) -> tuple[int, int]:
    values = {
        RBR: range(256),
        IER: range(8),
        IIR: (0, 1, 3, 5, 7),
        LCR: (3, 3, 3, 0x83),
        MCR: (0, 0x0B, 0x10, 0x12, 0x1B, 0x1F),
        SCR: range(256),
    }
    register = dice.choice((RBR, RBR, *values))
    return register, dice.choice(values[register])


@pytest.mark.parametrize("seed", range(3))
def test_uart(qemu, seed):
    dice = random.Random(seed)
    both = Both(qemu, Uart16550(Wire(), FakeBackend()), 0x3F8)
    both.write(MCR, 0)  # QEMU's comes up with OUT2
    for _ in range(STEPS):
        if dice.random() < 0.5:
            both.write(*uart_write(dice))
            continue
        register = dice.randrange(8)
        if register != RBR or both.device.rx or both.device.LCR & 0x80:
            both.read(register, 0xF0 if register == MSR else 0xFF)


TIME = {
    0: range(50),
    2: range(60),
    4: range(1, 12),
    6: range(1, 8),
    7: range(1, 29),
    8: range(1, 13),
    9: range(100),
    0x32: (19, 20, 21),
}


@pytest.mark.parametrize("seed", range(3))
def test_clock(qemu, seed):
    dice = random.Random(seed)
    both = Both(qemu, Mc146818(Wire(), FakeClock(), calendar.timegm(START)), 0x70)
    for _ in range(STEPS // 10):
        binary, wide = dice.choice((0, 4)), dice.choice((0, 2))
        both.write(0, 11)
        both.write(1, binary | wide)
        both.write(1, 0x80 | binary | wide)
        for index, values in TIME.items():
            if index == 0 or dice.random() < 0.5:
                number = dice.choice(values)
                both.write(0, index)
                both.write(1, number if binary else number // 10 << 4 | number % 10)
        both.write(0, 11)
        both.write(1, binary | wide)
        for index in (*TIME.keys() - {0, 6}, 10, 11, 13):
            both.write(0, index)
            both.read(1, 0x7F if index == 10 else 0xFF)


def test_clock_memory(qemu):
    dice = random.Random(1)
    both = Both(qemu, Mc146818(Wire(), FakeClock(), calendar.timegm(START)), 0x70)
    for index in (1, 3, 5, *range(0x40, 0x80)):
        both.write(0, index | dice.choice((0, 0x80)))
        both.write(1, dice.randrange(256))
        both.read(1)
        both.read(0)
