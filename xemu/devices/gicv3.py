"""Arm Generic Interrupt Controller, version 3 (Arm IHI 0069), with one Security state, affinity routing, and no LPIs.

Its CPU interface is system registers of the CPU (targets/arm/icc.py); the register blocks are in gicv3_registers.py.
"""

from typing import Any

from targets.arm.gic_state import CLUSTER, LEVEL_SHIFT, MAX_CPUS, PRIVATE, Core, affinity
from xemu.devices.gic import Gic

ROUTE_MASK = 0xFF_00FF_FFFF  # IROUTER: Aff3 and Aff2.Aff1.Aff0; "to whichever CPU is free" is not implemented


class Gicv3(Gic):
    """The distributor with its routes, and the redistributors."""

    version = 3
    level_shift = LEVEL_SHIFT
    most_cpus = MAX_CPUS

    def __init__(self, lines: int) -> None:
        super().__init__(lines)
        self.routes = [0] * lines
        self.asleep: list[bool] = []  # GICR_WAKER.ProcessorSleep

    def add_cpu(self, core: Core) -> None:
        super().add_cpu(core)
        self.asleep = [True] * len(self.cores)

    def reset(self) -> None:
        super().reset()
        self.asleep = [True] * len(self.cores)
        for irq in range(PRIVATE, self.lines):
            self._route(irq, 0)

    def state(self) -> dict[str, Any]:
        return super().state() | {"routes": list(self.routes), "asleep": list(self.asleep)}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.asleep = list(state["asleep"])
        for irq in range(PRIVATE, self.lines):
            self._route(irq, state["routes"][irq])
        self.changed()

    def target(self, irq: int) -> int | None:
        """Which CPU a shared interrupt goes to."""
        route = self.routes[irq]
        cpu = (route >> 8 & 0xFF) * CLUSTER[self.version] + (route & 0xFF)
        return cpu if cpu < len(self.cores) and affinity(cpu, self.version) == route else None

    def set_route(self, irq: int, route: int) -> None:
        self._route(irq, route)
        self.changed()

    def _route(self, irq: int, route: int) -> None:
        self.routes[irq] = route & ROUTE_MASK
        target = self.target(irq)
        self._send_to(irq, 0 if target is None else 1 << target)
