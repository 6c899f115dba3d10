"""The board's registers against QEMU's, by the same random accesses to both.

Left out of the random accesses, because QEMU 7.2 differs from the architecture there:
- SPENDSGIR written with zero: QEMU makes the SGI pending, without a sender.
- ISACTIVER of shared interrupts: QEMU activates them for all CPUs, and EOIR then ends them for one.
- interrupts of a group that is disabled while the other is enabled: QEMU lets them hide those of the other group.
- AIAR, AEOIR and AHPPIR: QEMU does not have them.
The receive interrupt of the UART is not compared either: QEMU has no trigger levels and no receive timeout.
"""

import random

import pytest
from fakes import FakeAccelerator
from qemu_registers import QEMU, QemuRegisters

from xemu import boards

pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-system-aarch64 is not installed")

DIST, CPU, UART, RTC, VIRTIO = 0x08000000, 0x08010000, 0x09000000, 0x09010000, 0x0A000000
IAR, EOIR = CPU + 0x0C, CPU + 0x10
INTERRUPTS = (5, 16, 27, 30, 33, 34, 48, 49, 50, 60, 287)
WATCHED = [CPU + offset for offset in (0, 0x08, 0x14, 0x18, 0x1C, 0xD0, 0xD4, 0xD8, 0xDC, 0xE0, 0xE8)]
WATCHED += [DIST + offset for offset in (0x80, 0x100, 0x104, 0x200, 0x204, 0x300, 0x304, 0xC08, 0xF20)]


class Both:
    """The same access to both machines; reads must agree. The history tells how a difference came about."""

    def __init__(self) -> None:
        self._qemu = QemuRegisters()
        config = boards.BoardConfig(FakeAccelerator(), "cortex-a57", 1, 64 << 20, epoch=0)
        self._memory = boards.build("virt", config).memory
        self.history: list[str] = []

    def write(self, address: int, value: int, size: int = 4) -> None:
        self.history.append(f"write {address:#x} {value:#x} ({size})")
        self._qemu.write(address, size, value)
        self._memory.write(address, size, value)

    def read(self, address: int, size: int = 4) -> int:
        theirs, ours = self._qemu.read(address, size), self._memory.read(address, size)
        self.history.append(f"read {address:#x} -> {theirs:#x}")
        assert ours == theirs, f"ours is {ours:#x}; " + "\n".join(self.history[-30:])
        return theirs

    def close(self) -> None:
        self._qemu.close()


@pytest.fixture
def both():
    machines = Both()
    yield machines
    machines.close()


def gic_step(dice: random.Random, grouped: bool):
    """A random write that concerns the GIC: address, value and perhaps size."""
    irq = dice.choice(INTERRUPTS)
    word, bit = irq // 32 * 4, 1 << irq % 32
    controls = (3, 7, 0xB, 0xF, 0x203, 0x1F, 0x207) if grouped else (1, 9, 0x201, 0x209)
    sgi = dice.randrange(16)
    return dice.choice(
        [
            (DIST + 0x100 + word, bit),
            (DIST + 0x180 + word, bit),
            (DIST + 0x200 + word, bit),
            (DIST + 0x200 + word, bit),
            (DIST + 0x280 + word, bit),
            (DIST + 0x300, 1 << dice.choice((5, 16, 27))),
            (DIST + 0x380 + word, bit),
            (DIST + 0x400 + irq, dice.choice((0, 0x20, 0x80, 0xA0, 0xA8, dice.randrange(256))), 1),
            (DIST + 0xC00 + irq // 16 * 4, dice.getrandbits(32)),
            (DIST + 0x80 + word, dice.getrandbits(32) if grouped else 0),
            (CPU + 0x04, dice.choice((0xFF, 0xFF, 0xFF, 0xF0, 0x80, 0))),
            (CPU + 0x08, dice.randrange(8)),
            (CPU + 0x1C, dice.randrange(8)),
            (CPU, dice.choice(controls)),
            (CPU + 0x1000, irq),
            (EOIR, irq),
            (DIST + 0xF00, dice.randrange(3) << 24 | 1 << 16 | sgi),
            (DIST + 0xF10 + sgi, dice.randrange(2), 1),
            (DIST + 0xF20 + sgi, 1, 1),
            (UART + 0x38, dice.choice((0, 0x20))),
            (UART + 0x44, 0x20),
            (UART, 0x41),
        ]
    )


@pytest.mark.parametrize("seed", range(6))
def test_interrupt_controller(both, seed):
    dice = random.Random(seed)
    grouped = bool(seed & 1)
    both.write(DIST, 3)
    both.write(CPU, 3 if grouped else 1)
    both.write(CPU + 4, 0xFF)
    for _ in range(300):
        both.write(*gic_step(dice, grouped))
        if dice.random() < 0.3:
            both.write(EOIR, both.read(IAR))
        elif dice.random() < 0.3:
            both.read(IAR)
        for address in dice.sample(WATCHED, 4):
            both.read(address)


@pytest.mark.parametrize(
    "base, offsets",
    [
        (
            DIST,
            [*range(0, 12, 4), *range(0x80, 0xA4, 4), *range(0x100, 0x124, 4), 0x400, 0x500, *range(0xC00, 0xC48, 4)],
        ),
        (DIST, range(0xFD0, 0x1000, 4)),
        (CPU, [*range(0, 0x20, 4), *range(0xD0, 0xF0, 4), 0xFC]),
        (
            UART,
            [0x00, 0x04, 0x18, 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x48, *range(0xFE0, 0x1000, 4)],
        ),
        (RTC, [0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, *range(0xFE0, 0x1000, 4)]),
        (VIRTIO, [0x00, 0x04, 0x08, 0x0C, 0x10, 0x34, 0x44, 0x60, 0x70, 0xFC, 0x100]),
        (VIRTIO + 31 * 0x200, [0x00, 0x04, 0x08, 0x0C]),
    ],
)
def test_reset_values(both, base, offsets):
    for offset in offsets:
        both.read(base + offset)


def test_uart_registers(both):
    dice = random.Random(11)
    for _ in range(200):
        offset = dice.choice((0x00, 0x04, 0x24, 0x28, 0x2C, 0x34, 0x38, 0x44))
        both.write(UART + offset, dice.getrandbits(16) & (0x38F if offset == 0x38 else 0x3F))
        for offset in (0x18, 0x24, 0x28, 0x2C, 0x34, 0x38, 0x3C, 0x40):
            both.read(UART + offset)


def test_rtc_registers(both):
    """All but the time itself, which the two machines do not share."""
    both.write(RTC + 0x04, 0x80000000)
    both.write(RTC + 0x10, 3)
    for offset in (0x04, 0x0C, 0x10, 0x14, 0x18):
        both.read(RTC + offset)
    both.write(RTC + 0x0C, 0)
    both.read(RTC + 0x0C)
