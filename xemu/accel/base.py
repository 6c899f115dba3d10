"""What a machine and its accelerator promise each other; docs/add-an-accelerator.md tells it in order.

The board attaches an `Accelerator` to its machine, asks it for the parts that it does itself, creates vCPUs, connects
their lines, and the machine runs each vCPU in a thread of its own. Nothing above this interface knows how instructions
are executed, and it knows no guest architecture: registers and lines go by the names in the target's tables.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from xemu.machine import Machine
    from xemu.memory import Ram

# The level of one wire. Safe to call from any thread that holds machine.lock.
Line = Callable[[bool], None]

PartT = TypeVar("PartT")


class Part(Generic[PartT]):
    """A part of the machine that an accelerator may do itself: what the board wants, as a value; it gets a PartT."""


class InterruptController(Protocol):
    """A GIC."""

    def spi(self, number: int) -> Line:
        """The input of shared interrupt `number`, counted from 0 as device trees do."""
        ...

    def ppi(self, cpu: int, number: int) -> Line:
        """The input of a CPU's private interrupt, by its interrupt number (16 to 31)."""
        ...

    def connect(self, cpu: int, irq: Line, fiq: Line) -> None:
        """Lead the outputs for a CPU to its inputs."""
        ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class Gic(Part[InterruptController]):
    """Arm's interrupt controller with its memory-mapped interfaces at these addresses.

    lines: how many interrupts there are, the 32 private ones included.  interface: the CPU interface of version 2, the
    first redistributor of version 3.
    """

    version: int
    cpus: int
    lines: int
    distributor: int
    interface: int


class PcInterrupts(Protocol):
    """The interrupt controllers of a PC, wired as its BIOSes leave them: GSI 0 to 15 lead to the PICs and to the I/O
    APIC (0 to its pin 2), 16 to 23 to the I/O APIC; the PICs' output to LINT0 of the first CPU."""

    pics: bool  # whether there are PICs: an accelerator may leave them out

    def gsi(self, number: int, edge: bool = False) -> Line:
        """The input of a global system interrupt.  edge: only the rise of the line counts, which may be cheaper."""
        ...

    def message(self, address: int, data: int) -> None:
        """A message-signalled interrupt."""
        ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class PcInterruptChips(Part[PcInterrupts]):
    """Two 8259 PICs, an I/O APIC of 24 pins at 0xfec00000 and a local APIC for each CPU at 0xfee00000.

    An accelerator that has none of the PICs, or no PcTimer, may still have the rest."""

    cpus: int


class Resettable(Protocol):
    def reset(self) -> None: ...


@dataclass(frozen=True)
class PcTimer(Part[Resettable]):
    """An 8254 PIT at ports 0x40 to 0x43, the speaker's port 0x61 included; channel 0 drives GSI 0.  Comes after the
    interrupt chips."""


class Vcpu(Protocol):
    """One guest CPU. All but run() and kick() are called with machine.lock held, by any thread."""

    index: int
    powered: bool
    # Its outputs, set by the board before running. On Arm the timers': "phys", "virt", "hyp", "sec"; the accelerator
    # drives those that the CPU model has, with machine.lock held, or knows another way to the interrupt controller.
    timer_lines: dict[str, Line]

    def run(self) -> None:
        """The body of the vCPU's thread: execute while `powered`, else wait; return once machine.stopping is set.

        A call after that, from any thread, goes on where the last one stopped: so a machine is paused.
        """
        ...

    def kick(self) -> None:
        """Leave guest code (or a wait) soon and look at the machine's and this vCPU's state. Any thread, any time."""
        ...

    def line(self, name: str) -> Line:
        """An input: "irq" and "fiq" on Arm."""
        ...

    def power(self, registers: Mapping[str, int]) -> None:
        """Reset the architectural state, set these registers and start; also used for the boot CPU."""
        ...

    def power_off(self) -> None:
        """Stop executing until power(); when a vCPU does this to itself, nothing executes after the current HVC.

        Where the architecture itself starts CPUs (x86's INIT and SIPI), this is the state after power-on of all but the
        first, and the accelerator obeys those messages.
        """
        ...

    def standby(self) -> None:
        """Called by this vCPU inside a hypercall (PSCI CPU_SUSPEND): wait as WFI does, after the call has returned."""
        ...

    # Registers by the names of the target's own table. Only while the vCPU is in no guest code: from its own thread,
    # before it runs, or after run() has returned. KeyError where there is no such register.

    def read_register(self, name: str) -> int: ...

    def write_register(self, name: str, value: int) -> None: ...


class Accelerator(Protocol):
    """Serves one machine. In this order: attach(), part() for each part, create_vcpu() for each CPU."""

    name: str
    default_cpu: str | None  # the model where the user names none; None: the board's

    def attach(self, machine: "Machine") -> None:
        """This is the machine. Its memory may still change: whoever needs to know puts itself into
        machine.memory.on_map_change."""
        ...

    def supports(self, part: Part[PartT]) -> bool:
        """Whether vCPUs can work with this part at all: provided by the accelerator or as a device of the board's."""
        ...

    def part(self, part: Part[PartT]) -> PartT | None:
        """The part, which is then in the machine at its usual place; None where the board has to add a device.

        The board adds a part with state to machine.devices, as it does with a device of its own.
        """
        ...

    def check_cpu(self, model: str) -> None:
        """UserError for a model that the accelerator does not have or this host can't give."""
        ...

    def create_vcpu(self, index: int, model: str) -> Vcpu:
        """A vCPU that is powered off."""
        ...

    def doorbell(self, address: int, size: int, value: int) -> None:
        """A hint: a guest's write of this value to this address only announces work (virtio's QueueNotify).

        The accelerator may let the vCPU go on and carry the write out a little later from a thread of its own.
        """
        ...

    # Dirty pages: which pages of RAM guest and devices write, for snapshots and displays. No vCPU runs meanwhile.

    def track_writes(self, ram: "Ram", on: bool) -> None:
        """Begin to note (none is dirty yet), or end."""
        ...

    def dirty_pages(self, ram: "Ram") -> list[int]:
        """Offsets of the pages that were written since the last call, or since the beginning, in order."""
        ...

    def close(self) -> None:
        """Nothing of it is used any more, whether it came to run anything or not. May be called twice."""
        ...
