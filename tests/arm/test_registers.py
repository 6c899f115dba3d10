"""Registers by name, as debuggers and those who embed a CPU ask for them."""

from __future__ import annotations

import pytest

from tests.arm.cpu_rig import HVC, RAM_BASE, Board


def test_registers_by_name() -> None:
    board = Board()
    board.put(RAM_BASE, [0x9100_0421, 0xD538_D080, HVC])  # add x1, x1, #1; mrs x0, tpidr_el1
    cpu = board.cpu
    cpu.reset(RAM_BASE)
    for name, value in (("x1", 41), ("TPIDR_EL1", 0x1234_5678_9ABC), ("sp", RAM_BASE + 64), ("v31", 1 << 127)):
        cpu.write_register(name, value)
    board.go()
    assert [cpu.read_register(n) for n in ("X1", "x0", "pc")] == [42, 0x1234_5678_9ABC, RAM_BASE + 12]
    assert (cpu.read_register("sp"), cpu.read_register("V31")) == (RAM_BASE + 64, 1 << 127)


@pytest.mark.parametrize("name", ["x31", "v32", "xyz", "CurrentEL", ""])
def test_no_such_register(name: str) -> None:
    with pytest.raises(KeyError):
        Board().cpu.read_register(name)
