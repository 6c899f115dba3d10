"""The interrupt controller's state that native code and the device model share (Arm IHI 0069, IHI 0048).

Interrupts 0 to 31 of a CPU, and its CPU interface, are in that CPU's own state (`gic_*` and `icc_*` in env.py); all
others are in the one block laid out here.  Bit n % 32 of word n // 32 is interrupt n, so word 0 is not used.

Who may change what, without a lock:

    latched, active, level      anybody, with atomic operations only
    irq_lines, icc_*            the CPU's own thread
    all else                    the device model, under the machine's lock

Whoever makes an interrupt pending or deliverable then sets the target's `attn`: that CPU decides for itself, in
`attention` (exceptions.py), what its inputs show.  So nobody's decision about a CPU can overtake another's.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Protocol

from jit.layout import Layout
from jit.types import I8, I32, PTR

MAX_CPUS = 128
MAX_LINES = 1024
WORDS = MAX_LINES // 32
PRIVATE = 32  # interrupts 0 to 31 exist once for each CPU
SPURIOUS = 1023  # nothing to acknowledge
IDLE_PRIORITY = 0x100  # lower than every priority
LEVEL_SHIFT = 3  # of a GICv3: five bits of priority, as on the Cortex parts, make 32 levels of preemption
BITMAPS = ("enabled", "latched", "level", "active", "group", "edge")  # of the block, and with gic_ before it of a CPU
# Bits of icc_ctlr: those of ICC_CTLR_EL1, and two more that GICC_CTLR has
CBPR, EOI_MODE, ACK_CTL, FIQ_EN = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# How many CPUs differ in the lowest field of their affinity alone, by version: as many as can be named at once, in a
# target list of version 3 or a target field of version 2
CLUSTER = {2: 8, 3: 16}

GIC = Layout(
    [
        ("lines", I32, 1),  # how many interrupts there are, a multiple of 32, more than 32
        ("cpus", I32, 1),
        ("version", I32, 1),
        ("level_shift", I32, 1),  # preemption levels are priorities shifted right by this
        ("groups", I32, 1),  # GICD_CTLR
        *((name, I32, WORDS) for name in BITMAPS),
        ("priority", I8, MAX_LINES),
        ("env", PTR, MAX_CPUS),  # the CPUs' states
    ]
)


def affinity(cpu: int, version: int) -> int:
    """Aff2.Aff1.Aff0 of a CPU."""
    cluster = CLUSTER[version]
    return cpu // cluster << 8 | cpu % cluster


class Core(Protocol):
    """What the device model needs of a CPU."""

    @property
    def env(self) -> int:
        """Address of its state."""
        ...

    def get(self, name: str, index: int = 0) -> int:
        """A field of its state (env.py)."""
        ...

    def set(self, name: str, value: int, index: int = 0) -> None: ...

    def call(self, name: str, *args: int) -> int:
        """Call a runtime function; from the CPU's own thread, if it changes more than others may."""
        ...

    def set_bits(self, address: int, bits: int) -> None:
        """Atomically, in a word of 32 bits."""
        ...

    def clear_bits(self, address: int, bits: int) -> None: ...

    def alert(self) -> None:
        """Have it decide soon what its inputs show, and wake it up if it waits."""
        ...


class Block:
    """The shared block: zeroed memory at a fixed address."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, GIC.size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))


def read32(address: int) -> int:
    return ctypes.c_uint32.from_address(address).value


def write32(address: int, value: int) -> None:
    ctypes.c_uint32.from_address(address).value = value
