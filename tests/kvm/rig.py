"""Runs hand-made x86 guests (tests/kvm/guests/) on a machine of test devices under `-accel kvm`."""

from __future__ import annotations

import os
import struct
import subprocess
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from targets.x86.registers import Attr
from xemu.accel.base import Line, PcInterruptChips, PcTimer
from xemu.accel.kvm.x86 import X86Kvm
from xemu.errors import UserError
from xemu.machine import Machine

GUESTS = Path(__file__).resolve().parent / "guests"
RAM_SIZE = 4 << 20
ENTRY = 0x8000
HIGH_RAM = 0x1_0000_0000
PML4, GDT, TSS, IDT = 0x10000, 0x800, 0x20000, 0xA00
TSS_LIMIT = 0x68 + 0x2000  # with its map of ports, all of them open: user mode has them whatever becomes of IOPL
TOY_BASE, TOY_SIZE, TOY_PORT = 0xD000_0000, 0x100, 0x200
LIMIT = float(os.environ.get("XEMU_TEST_LIMIT", "60"))  # s for what takes milliseconds: machines may be busy


@cache
def why_not() -> str | None:
    """Why KVM can't be used here."""
    try:
        X86Kvm().close()
    except (UserError, OSError) as error:
        return str(error)
    return None


needs_kvm = pytest.mark.skipif(why_not() is not None, reason=f"no KVM: {why_not()}")


def link(name: str, elf: Path, address: int = ENTRY) -> None:
    """Makes an ELF file of a guest."""
    object_file = elf.with_suffix(".o")
    subprocess.run(["as", "--64", "-I", GUESTS, "-o", object_file, GUESTS / f"{name}.S"], check=True)
    subprocess.run(["ld", "-Ttext", hex(address), "-e", "start", "-o", elf, object_file], check=True)


@cache
def assemble(name: str) -> tuple[bytes, dict[str, int]]:
    """A guest's code, and its symbols."""
    with TemporaryDirectory() as folder:
        elf, code = Path(folder, "guest.elf"), Path(folder, "guest.bin")
        link(name, elf)
        subprocess.run(["objcopy", "-O", "binary", elf, code], check=True)
        symbols = subprocess.run(["nm", elf], check=True, capture_output=True, text=True).stdout
        lines = (line.split() for line in symbols.splitlines())
        return code.read_bytes(), {name: int(value, 16) for value, _, name in lines}


class Toy:
    """A device on both buses. Accesses are noted; reads give bytes that count up from the offset.

    Offset 0x40 drives an interrupt line, where there is one: a write of 1 raises it, of 0 lowers it.
    """

    def __init__(self) -> None:
        self.accesses: list[tuple[str, int, int, int]] = []
        self.line: Line | None = None

    def read(self, offset: int, size: int) -> int:
        value = int.from_bytes(bytes((offset + n) & 0xFF for n in range(size)), "little")
        self.accesses.append(("read", offset, size, value))
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self.accesses.append(("write", offset, size, value))
        if offset == 0x40 and self.line is not None:
            self.line(bool(value & 1))


class _Port:
    """A port as a pair of functions."""

    def __init__(self, write: Callable[[int], None] = lambda value: None, read: Callable[[], int] = lambda: 0) -> None:
        self._write, self._read = write, read

    def read(self, offset: int, size: int) -> int:
        return self._read()

    def write(self, offset: int, size: int, value: int) -> None:
        self._write(value)


class Rig:
    """A machine with one guest in it.

    mode: what the board leaves the CPU in, 16, 32 or 64 bits.  timer: whether there is a PIT.
    """

    def __init__(
        self, guest: str, mode: int = 64, cpus: int = 1, cpu: str = "host", timer: bool = False, irqchip: str = "on"
    ) -> None:
        self.code, self.symbols = assemble(guest)
        self.mode = mode
        self.output = ""
        self.result: int | None = None
        self.resets = -1
        self.again = 0  # so many times, the guest's end is a reset
        self.machine = Machine()
        self.kvm = X86Kvm(irqchip)
        self.kvm.attach(self.machine)
        self.ram = self.machine.memory.add_ram(0, RAM_SIZE, "ram")
        chips = self.kvm.part(PcInterruptChips(cpus))
        assert chips is not None
        self.chips = chips
        self.machine.devices.append(chips)
        if timer:
            pit = self.kvm.part(PcTimer())
            assert pit is not None
            self.machine.devices.append(pit)
        self.toy, self.toy_port = Toy(), Toy()
        self.machine.memory.add_device(TOY_BASE, TOY_SIZE, self.toy, "toy")
        ports = self.machine.ports
        ports.add_device(TOY_PORT, TOY_SIZE, self.toy_port, "toy")
        ports.add_device(0xE9, 1, _Port(self._print), "console")
        ports.add_device(0xF4, 1, _Port(self._exit), "exit")
        ports.add_device(0xF5, 1, _Port(lambda value: self._request("reset")), "reset")
        ports.add_device(0xF6, 1, _Port(read=lambda: self.resets), "boots")
        for index in range(cpus):
            self.machine.vcpus.append(self.kvm.create_vcpu(index, cpu))
        self.cpu = self.machine.vcpus[0]
        self.machine.on_reset.append(self._start)

    def _print(self, value: int) -> None:
        self.output += chr(value)

    def _exit(self, value: int) -> None:
        self.result = value
        self._request("reset" if self.resets < self.again else "shutdown")

    def _request(self, kind: str) -> None:
        self.machine.vcpus[self.machine.current_cpu].power_off()
        self.machine.request(kind)  # type: ignore[arg-type]

    def _start(self) -> None:
        self.resets += 1
        memory = self.machine.memory
        for address, data in tables(self.symbols):
            memory.write_bytes(address, data)
        memory.write_bytes(ENTRY, self.code)
        self.cpu.power(start_registers(self.mode))

    def patch(self, symbol: str, data: bytes) -> None:
        """Change the guest before it starts."""
        at = self.symbols[symbol] - ENTRY
        self.code = self.code[:at] + data + self.code[at + len(data) :]

    def run(self) -> str:
        """How the run ended."""
        timer = threading.Timer(LIMIT, lambda: self.machine.request("quit"))
        timer.daemon = True
        timer.start()
        try:
            return self.machine.run()
        finally:
            timer.cancel()

    def close(self) -> None:
        self.kvm.close()


def start_registers(mode: int) -> dict[str, int]:
    """As a board starts a CPU."""
    if mode == 16:
        return {"cs": 0, "cs_base": 0, "rip": ENTRY, "rsp": 0x7000}
    code, attr = (0x08, Attr.CODE32) if mode == 32 else (0x18, Attr.CODE64)
    registers = {"rip": ENTRY, "rsp": 0x7000, "cr0": 0x11, "cs": code, "cs_base": 0, "cs_attr": attr}
    registers |= {"cs_limit": 0xFFFF_FFFF, "gdtr_base": GDT, "gdtr_limit": 0x3F}
    for name in ("ds", "es", "ss", "fs", "gs"):
        registers |= {name: 0x10, f"{name}_limit": 0xFFFF_FFFF, f"{name}_attr": Attr.DATA32}
    if mode == 64:
        registers |= {"cr0": 0x8000_0011, "cr3": PML4, "cr4": 0x620, "efer": 0x500}
        registers |= {"idtr_base": IDT, "idtr_limit": 0xFFF, "tr": 0x30, "tr_base": TSS, "tr_limit": TSS_LIMIT}
    return registers


def tables(symbols: dict[str, int]) -> list[tuple[int, bytes]]:
    """Page tables (the first 4 GiB one to one, open to everyone, in pages of 2 MiB), GDT, TSS and IDT."""
    big, table = 0x87, 0x07  # present, writable, user; and a page of 2 MiB
    directories = b"".join(struct.pack("<Q", n << 21 | big) for n in range(2048))
    pointers = struct.pack("<4Q", *(PML4 + 0x2000 + n * 0x1000 | table for n in range(4)))
    flat = lambda attr: struct.pack("<HHBHB", 0xFFFF, 0, 0, attr & 0xFF | 0xF00 | (attr & 0xF00) << 4, 0)  # noqa: E731
    tss_entry = struct.pack("<HHBBBBQ", TSS_LIMIT, TSS & 0xFFFF, TSS >> 16, 0x89, 0, 0, 0)
    user = Attr.DPL3
    gdt = [bytes(8), flat(Attr.CODE32), flat(Attr.DATA32), flat(Attr.CODE64), flat(Attr.DATA32 | user)]
    gdt += [flat(Attr.CODE64 | user), tss_entry]
    found = [
        (PML4, struct.pack("<Q", PML4 + 0x1000 | table)),
        (PML4 + 0x1000, pointers),
        (PML4 + 0x2000, directories),
        (GDT, b"".join(gdt)),
        (TSS, struct.pack("<4xQ90xH", 0x7000, 0x68) + bytes(0x2000) + b"\xff"),
    ]
    if "vectors" in symbols:
        gates = ((symbols["vectors"] + 16 * n, 0xEE00 if n == 0x80 else 0x8E00) for n in range(256))
        idt = (struct.pack("<HHHHQ", at & 0xFFFF, 0x18, attr, at >> 16, 0) for at, attr in gates)
        found.append((IDT, b"".join(idt)))
    return found
