"""What a machine and its accelerator promise each other.

The board creates vCPUs through an `Accelerator`, connects their lines, and the machine runs each vCPU in a thread of
its own. Nothing above this interface knows how instructions are executed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from xemu.machine import Machine

# The level of one wire. Safe to call from any thread that holds machine.lock.
Line = Callable[[bool], None]


class Vcpu(Protocol):
    """One guest CPU. All but run() and kick() are called with machine.lock held, by any thread."""

    index: int
    powered: bool
    # "phys", "virt", "hyp", "sec": the timers' outputs, set by the board before running. The accelerator drives
    # those timers that the CPU model has, with machine.lock held.
    timer_lines: dict[str, Line]

    def run(self) -> None:
        """The body of the vCPU's thread: execute while `powered`, else wait; return once machine.stopping is set."""
        ...

    def kick(self) -> None:
        """Leave guest code (or a wait) soon and look at the machine's and this vCPU's state. Any thread, any time."""
        ...

    def set_irq(self, level: bool) -> None: ...

    def set_fiq(self, level: bool) -> None: ...

    def power(self, entry: int, context: int) -> None:
        """Reset the architectural state, start at `entry` with x0 = `context`; also used for the boot CPU."""
        ...

    def power_off(self) -> None:
        """Stop executing until power(); when a vCPU does this to itself, nothing executes after the current HVC."""
        ...

    def standby(self) -> None:
        """Called by this vCPU inside a hypercall (PSCI CPU_SUSPEND): wait as WFI does, after the call has returned."""
        ...

    def read_register(self, name: str) -> int: ...

    def write_register(self, name: str, value: int) -> None: ...


class Accelerator(Protocol):
    name: str

    def create_vcpu(self, machine: "Machine", index: int, model: str) -> Vcpu:
        """A vCPU that is powered off; UserError for a model that the accelerator does not have."""
        ...
