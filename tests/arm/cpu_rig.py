"""vCPUs with RAM and nothing else, in this process: runs words of code with the MMU off."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable

from jit.store import Store
from targets.arm.cpu import ArmCpu
from targets.arm.exits import Exit
from targets.arm.models import MODELS
from targets.arm.reference import ReferenceCpu
from targets.arm.system import MainRam, System
from tests.arm.aarch64_machine import Aarch64Cpu

RAM_BASE, RAM_SIZE = 0x4000_0000, 4 << 20
HVC = 0xD400_0002  # ends a run
RET, NOP, ISB = 0xD65F_03C0, 0xD503_201F, 0xD503_3FDF


class NoBus:
    """A machine without devices."""

    class BusError(Exception):
        pass

    def mmio_read(self, cpu: int, address: int, size: int) -> int:
        raise self.BusError(f"read at {address:#x}")

    def mmio_write(self, cpu: int, address: int, size: int, value: int) -> None:
        raise self.BusError(f"write at {address:#x}")

    def find_ram(self, address: int) -> int:
        return 0

    def writable(self, address: int) -> bool:
        return False


class Board:
    """RAM, a translator and its CPUs."""

    def __init__(
        self,
        engine: str = "baseline",
        cpus: int = 1,
        cache_size: int = 32 << 20,
        ram_base: int = RAM_BASE,
        ram_size: int = RAM_SIZE,
        features: tuple[str, ...] = (),
        store: Store | None = None,
    ) -> None:
        self.ram_base = ram_base
        self.map = mmap.mmap(-1, ram_size)
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        model = MODELS["cortex-a57"]
        ram = MainRam(ram_base, ram_size, self.host)
        host = "aarch64" if engine == "aarch64" else None  # the baseline engine on a host that Unicorn plays
        self.system = System(features or model.features, ram, cache_size=cache_size, machine=host, store=store)
        make = {"reference": ReferenceCpu, "baseline": ArmCpu, "aarch64": Aarch64Cpu}[engine]
        self.cpus = [make(self.system, NoBus(), k, model) for k in range(cpus)]
        for cpu in self.cpus:
            cpu.set("peers", cpus - 1)

    @property
    def cpu(self) -> ArmCpu:
        return self.cpus[0]

    def put(self, address: int, words: Iterable[int], tell: bool = True) -> int:
        """Write code as a device would; gives the address behind it."""
        data = b"".join(w.to_bytes(4, "little") for w in words)
        at = address - self.ram_base
        self.map[at : at + len(data)] = data
        if tell:
            self.system.written(address, len(data))
        return address + len(data)

    def run(self, entry: int, *args: int, cpu: int = 0) -> int:
        """From a reset, with x0.. as given, up to the first HVC; gives x0."""
        c = self.cpus[cpu]
        c.reset(entry)
        for k, value in enumerate(args):
            c.set("x", value, k)
        self.go(cpu)
        return c.get("x", 0)

    def go(self, cpu: int = 0) -> None:
        """Run on to the next HVC."""
        c = self.cpus[cpu]
        while (reason := c.run()) != Exit.HYPERCALL:
            if reason not in (Exit.STOP, Exit.WFI, Exit.WFE):
                raise AssertionError(f"left with {reason.name} at {c.get('pc'):#x}")


def branch(source: int, target: int, link: bool = False) -> int:
    """B or BL."""
    return 0x1400_0000 | link << 31 | (target - source) >> 2 & 0x03FF_FFFF


def add(rd: int, rn: int, imm: int) -> int:
    return 0x9100_0000 | imm << 10 | rn << 5 | rd


def movz(rd: int, imm: int, half: int = 0) -> int:
    return 0xD280_0000 | half << 21 | imm << 5 | rd


def movk(rd: int, imm: int, half: int) -> int:
    return 0xF280_0000 | half << 21 | imm << 5 | rd


def load_address(rd: int, address: int) -> list[int]:
    return [movz(rd, address & 0xFFFF), movk(rd, address >> 16 & 0xFFFF, 1)]
