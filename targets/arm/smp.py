"""TLB maintenance that reaches the other CPUs of a machine (D8.13: the Inner Shareable forms of TLBI).

A CPU in native code finds the request at its next block head, drops its whole TLB, and counts that in env.flush_done;
one outside does so before it comes in again.  The instruction that asked completes when all in native code have.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from targets.arm.cpu import ArmCpu

POLL = 20e-6  # s between looks at a CPU that has not come by yet
MASK32 = (1 << 32) - 1


def broadcast_tlbi(by: ArmCpu) -> None:
    """Do a TLBI on all other CPUs.  Whatever its form, they drop all: it is rare, and a refill is cheap."""
    waiting: list[tuple[ArmCpu, int]] = []
    for cpu in by.system.cpus:
        if cpu is by:
            continue
        wanted = (cpu.get("flush_asked") + 1) & MASK32
        cpu.set("flush_asked", wanted)
        if cpu.inside:
            cpu.attend()
            waiting.append((cpu, wanted))
        # one that comes in from now on sees the request before it runs anything
    by.at_barrier = True  # two that wait for each other count as outside
    try:
        for cpu, wanted in waiting:
            while cpu.inside and not cpu.at_barrier and cpu.get("flush_done") != wanted:
                time.sleep(POLL)
    finally:
        by.at_barrier = False
    catch_up(by)


def catch_up(cpu: ArmCpu) -> None:
    """What others asked of this CPU while it was not in native code."""
    asked = cpu.get("flush_asked")
    if asked != cpu.get("flush_done"):
        cpu.call("tlbi_all")
        cpu.set("flush_done", asked)


def map_changed(cpus: list[ArmCpu], by: int) -> None:
    """Other memory answers at some physical addresses, because of what CPU `by` does, or while no CPU runs.

    That CPU sees it from its next access on, the others from their next block head on.
    """
    for cpu in cpus:
        if len(cpus) > 1 and not (cpu.index == by and cpu.inside):
            cpu.set("flush_asked", (cpu.get("flush_asked") + 1) & MASK32)
            cpu.attend()
        else:
            cpu.call("tlbi_all")
