"""Arm Generic Interrupt Controller, version 2 (Arm IHI 0048B), without the Security and Virtualization Extensions.

The register blocks are in gicv2_registers.py. Without the Security Extensions there is one view of the registers, the
one that a secure access has elsewhere, and both groups may be used. What a CPU does often (acknowledge, end, SGIs) is
done by targets/arm/gicv2.py, without coming here.
"""

from collections.abc import Callable
from typing import Any

from targets.arm.gic_state import PRIVATE
from xemu.devices.gic import SGI_BITS, SGIS, Gic

MAX_CPUS = 8  # the width of a target field
# What belongs to the GIC in a CPU's state beside its private interrupts, and how many values each has
_INTERFACE = {
    "gic_sources": SGIS,
    "icc_groups": 1,
    "icc_ctlr": 1,
    "icc_pmr": 1,
    "icc_bpr0": 1,
    "icc_bpr1": 1,
    "icc_apr": 2,
}


class Gicv2(Gic):
    """The distributor, and a CPU interface for each CPU."""

    version = 2
    level_shift = 1
    most_cpus = MAX_CPUS

    def __init__(self, lines: int, current_cpu: Callable[[], int]) -> None:
        super().__init__(lines)
        self.current_cpu = current_cpu
        self.targets = [0] * lines

    @property
    def uniprocessor(self) -> bool:
        """There are no target registers: everything goes to the one CPU."""
        return len(self.cores) == 1

    def reset(self) -> None:
        super().reset()
        for bank, core in zip(self.private, self.cores, strict=True):
            bank.write("enabled", 0, SGI_BITS)  # always
            for name, count in _INTERFACE.items():
                for index in range(count):
                    core.set(name, 0, index)
            core.set("icc_bpr1", 1)
        for irq in range(PRIVATE, self.lines):
            self._target(irq, 1 if self.uniprocessor else 0)
        self.changed()

    def state(self) -> dict[str, Any]:
        interfaces = [
            {name: [core.get(name, index) for index in range(count)] for name, count in _INTERFACE.items()}
            for core in self.cores
        ]
        return super().state() | {"targets": list(self.targets), "interfaces": interfaces}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        for core, fields in zip(self.cores, state["interfaces"], strict=True):
            for name, values in fields.items():
                for index, value in enumerate(values):
                    core.set(name, value, index)
        for irq in range(PRIVATE, self.lines):
            self._target(irq, state["targets"][irq])
        self.changed()

    def set_targets(self, irq: int, cpus: int) -> None:
        self._target(irq, cpus)
        self.changed()

    def _target(self, irq: int, cpus: int) -> None:
        self.targets[irq] = cpus & (1 << len(self.cores)) - 1
        self._send_to(irq, cpus)
