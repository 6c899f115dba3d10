"""KVM on an arm64 host: the accelerator and its vCPUs."""

import struct
from collections.abc import Mapping

from xemu.accel.base import Gic, Line, Part, PartT
from xemu.accel.kvm import arm_state, gic
from xemu.accel.kvm.accelerator import Kvm
from xemu.accel.kvm.api import Cap, Exit, Ioctl
from xemu.accel.kvm.vcpu import EXIT_DATA, KvmVcpu
from xemu.cli import log
from xemu.errors import UserError
from xemu.memory import BusError

HOST_MODELS = ("host", "max")
_DEFAULT_ADDRESS_BITS = 40  # of a VM whose kind is 0
# Features of a vCPU (4.82), with the capability that says whether KVM has them
_PSCI_0_2, _SVE, _POINTER_AUTH_ADDRESS, _POINTER_AUTH_GENERIC = 2, 4, 5, 6
_FEATURES = {
    _PSCI_0_2: Cap.ARM_PSCI_0_2,
    _SVE: Cap.ARM_SVE,
    _POINTER_AUTH_ADDRESS: Cap.ARM_PTRAUTH_ADDRESS,
    _POINTER_AUTH_GENERIC: Cap.ARM_PTRAUTH_GENERIC,
}
_RUNNABLE, _STOPPED = 0, 5  # KVM_MP_STATE_...


class ArmKvm(Kvm):
    capabilities = (*Kvm.capabilities, Cap.ONE_REG, Cap.DEVICE_CTRL, Cap.ARM_PSCI_0_2, Cap.MP_STATE)

    def __init__(self) -> None:
        super().__init__()
        self._gic: gic.KernelGic | None = None
        if self.has(Cap.ARM_NISV_TO_USER):
            self.vm.call(Ioctl.ENABLE_CAP, bytearray(struct.pack("<I100x", Cap.ARM_NISV_TO_USER)))

    def _vm_kind(self) -> int:
        """The width of guest physical addresses, where the host can't have the usual one."""
        bits = self.system.call(Ioctl.CHECK_EXTENSION, Cap.ARM_VM_IPA_SIZE)
        return bits if 0 < bits < _DEFAULT_ADDRESS_BITS else 0

    def supports(self, part: Part[PartT]) -> bool:
        return isinstance(part, Gic) and gic.is_offered(self.vm, part.version)

    def part(self, part: Part[PartT]) -> PartT | None:
        if not isinstance(part, Gic):
            return None
        if not self.supports(part):
            raise UserError(f"the host's KVM has no GICv{part.version}; choose another gic-version")
        self._gic = gic.KernelGic(self.vm, part)
        self.handles.append(self._gic.handle)
        self.machine.on_reset.append(self._gic.finish)  # before the board starts a CPU
        return self._gic  # type: ignore[return-value]

    def check_cpu(self, model: str) -> None:
        if model not in HOST_MODELS:
            raise UserError(f"-cpu {model}: KVM runs the host's own CPU only; use -cpu host")

    def create_vcpu(self, index: int, model: str) -> "ArmVcpu":
        self.check_cpu(model)
        return ArmVcpu(self, index)


class ArmVcpu(KvmVcpu):
    """PSCI, timers and waiting are the kernel's."""

    def __init__(self, kvm: ArmKvm, index: int) -> None:
        super().__init__(kvm, index)
        self._init = _features(kvm)
        self.handle.call(Ioctl.ARM_VCPU_INIT, bytearray(self._init))
        if _has(self._init, _SVE):
            self.handle.call(Ioctl.ARM_VCPU_FINALIZE, bytearray(struct.pack("<i", _SVE)))
        self._handlers[Exit.ARM_NISV] = self._undecoded

    def runs(self) -> bool:
        return not self.ended  # KVM keeps those that are off

    def line(self, name: str) -> Line:
        """The interrupt controller is the kernel's, so nothing comes here."""
        if name not in ("irq", "fiq"):
            raise KeyError(f"an Arm CPU has no input {name}")
        return lambda level: None

    def power_off(self) -> None:
        super().power_off()
        if not self.is_running():
            self._set_state(_STOPPED)

    def reset(self, registers: Mapping[str, int]) -> None:
        self.ended = False
        self.handle.call(Ioctl.ARM_VCPU_INIT, bytearray(self._init))
        self._set_state(_RUNNABLE)
        for name, value in registers.items():
            self.write_register(name, value)

    def _set_state(self, state: int) -> None:
        self.handle.call(Ioctl.SET_MP_STATE, bytearray(struct.pack("<I", state)))

    def read_register(self, name: str) -> int:
        return arm_state.read(self.handle, name)

    def write_register(self, name: str, value: int) -> None:
        arm_state.write(self.handle, name, value)

    def _bus_error(self, error: BusError) -> int:
        """Zero: an abort can't be put in the place of an access that KVM has decoded already."""
        log.write("guest_errors", str(error))
        return 0

    def _undecoded(self) -> None:
        """An access to a device by an instruction whose syndrome does not describe it: an external abort, as for QEMU's
        guests."""
        syndrome, address = struct.unpack_from("<QQ", self.area, EXIT_DATA)
        log.write("guest_errors", f"cpu {self.index}: access to {address:#x} that KVM can't decode ({syndrome:#x})")
        if not self.kvm.has(Cap.ARM_INJECT_EXT_DABT):
            raise UserError(f"KVM can't decode an access to {address:#x}{self._where()} nor raise an abort for it")
        self.handle.call(Ioctl.SET_VCPU_EVENTS, bytearray(struct.pack("<BBB61x", 0, 0, 1)))

    def _where(self) -> str:
        return f" at pc {self.read_register('pc'):#x}"


def _features(kvm: ArmKvm) -> bytes:
    """struct kvm_vcpu_init: the host's kind of CPU, with all that KVM can give it."""
    data = kvm.vm.read(Ioctl.ARM_PREFERRED_TARGET, 32)
    bits = sum(1 << feature for feature, capability in _FEATURES.items() if kvm.has(capability))
    struct.pack_into("<I", data, 4, bits)
    return bytes(data)


def _has(init: bytes, feature: int) -> bool:
    return bool(struct.unpack_from("<I", init, 4)[0] >> feature & 1)
