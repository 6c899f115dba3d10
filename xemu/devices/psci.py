"""Power State Coordination Interface 1.0 (Arm DEN 0022): what firmware would do for an HVC of the guest.

The version given is 1.1, as QEMU gives: it adds functions to 1.0, all of them optional and none of them here.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from xemu.accel.base import Vcpu
from xemu.cli import log

VERSION = 0x00010001
_SMC64 = 0x40000000
_MASK32 = 0xFFFFFFFF
_MASK64 = (1 << 64) - 1

SUCCESS = 0
NOT_SUPPORTED = -1
INVALID_PARAMETERS = -2
DENIED = -3
ALREADY_ON = -4
INVALID_ADDRESS = -9

AFFINITY_ON = 0
AFFINITY_OFF = 1
MIGRATION_NOT_REQUIRED = 2  # there is no trusted OS that would be tied to a CPU


class PsciMachine(Protocol):
    """What PSCI needs of a machine."""

    @property
    def vcpus(self) -> Sequence[Vcpu]: ...

    def request(self, kind: Literal["shutdown", "reset"]) -> None: ...


class Psci:
    """Answers calls; CPUs are named by the affinity fields of their MPIDR, here Aff0 alone."""

    # (function id, name, method, exists as a 64-bit call too)
    FUNCTIONS = (
        (0x84000000, "PSCI_VERSION", "version", False),
        (0x84000001, "CPU_SUSPEND", "cpu_suspend", True),
        (0x84000002, "CPU_OFF", "cpu_off", False),
        (0x84000003, "CPU_ON", "cpu_on", True),
        (0x84000004, "AFFINITY_INFO", "affinity_info", True),
        (0x84000006, "MIGRATE_INFO_TYPE", "migrate_info_type", False),
        (0x84000008, "SYSTEM_OFF", "system_off", False),
        (0x84000009, "SYSTEM_RESET", "system_reset", False),
        (0x8400000A, "PSCI_FEATURES", "features", False),
    )

    def __init__(
        self, machine: PsciMachine, is_ram: Callable[[int], bool], affinity: Callable[[int], int] = lambda cpu: cpu
    ) -> None:
        """is_ram: whether code can be at an address.  affinity: of a CPU by its index, as in its MPIDR_EL1."""
        self._machine = machine
        self._affinity = affinity
        self._is_ram = is_ram
        self._calls: dict[int, tuple[str, Callable[..., int]]] = {}
        for number, name, method, wide in self.FUNCTIONS:
            self._calls[number] = (name, getattr(self, method))
            if wide:
                self._calls[number | _SMC64] = (name, getattr(self, method))

    def call(self, vcpu: Vcpu, regs: Sequence[int]) -> int:
        """x0..x3 of the HVC to its x0; an unknown function is NOT_SUPPORTED, which is SMCCC's answer as well."""
        function = regs[0] & _MASK32
        found = self._calls.get(function)
        if found is None:
            if log.enabled("unimp"):
                log.write("unimp", f"psci: function {function:#x} of cpu {vcpu.index} is not supported")
            return NOT_SUPPORTED & _MASK64
        # A 32-bit call's arguments are the low halves of the registers.
        mask = _MASK64 if function & _SMC64 else _MASK32
        arguments = [value & mask for value in regs[1:4]]
        return found[1](vcpu, *arguments) & _MASK64

    def version(self, vcpu: Vcpu, *_: int) -> int:
        return VERSION

    def features(self, vcpu: Vcpu, function: int, *_: int) -> int:
        return SUCCESS if function in self._calls else NOT_SUPPORTED

    def cpu_suspend(self, vcpu: Vcpu, power_state: int, *_: int) -> int:
        """Every state is a standby state: the CPU waits for an interrupt and goes on after the call."""
        if power_state & 0xFFFE0000:  # reserved bits, and levels above the CPU, in the original format
            return INVALID_PARAMETERS
        vcpu.standby()
        return SUCCESS

    def cpu_off(self, vcpu: Vcpu, *_: int) -> int:
        vcpu.power_off()
        return SUCCESS

    def cpu_on(self, vcpu: Vcpu, target: int, entry: int, context: int) -> int:
        found = self._find(target)
        if found is None:
            return INVALID_PARAMETERS
        if found.powered:
            return ALREADY_ON
        if entry & 3 or not self._is_ram(entry):
            return INVALID_ADDRESS
        found.power({"pc": entry, "x0": context})
        return SUCCESS

    def affinity_info(self, vcpu: Vcpu, target: int, lowest_level: int, *_: int) -> int:
        if lowest_level > 0:
            return AFFINITY_ON  # whatever is above the CPUs runs while one of them, the caller, does
        found = self._find(target)
        if found is None:
            return INVALID_PARAMETERS
        return AFFINITY_ON if found.powered else AFFINITY_OFF

    def migrate_info_type(self, vcpu: Vcpu, *_: int) -> int:
        return MIGRATION_NOT_REQUIRED

    def system_off(self, vcpu: Vcpu, *_: int) -> int:
        return self._stop_system(vcpu, "shutdown")

    def system_reset(self, vcpu: Vcpu, *_: int) -> int:
        return self._stop_system(vcpu, "reset")

    def _stop_system(self, vcpu: Vcpu, kind: Literal["shutdown", "reset"]) -> int:
        """The call never returns to the guest: the caller is off, and the machine stops the others."""
        vcpu.power_off()
        self._machine.request(kind)
        return SUCCESS

    def _find(self, mpidr: int) -> Vcpu | None:
        return next((vcpu for vcpu in self._machine.vcpus if self._affinity(vcpu.index) == mpidr), None)
