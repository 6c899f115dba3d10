"""KVM on an x86-64 host: the accelerator and its vCPUs."""

import fcntl
import struct
from collections.abc import Mapping
from contextlib import suppress

from targets.x86.registers import REGISTERS
from xemu.accel import x86_cpu
from xemu.accel.base import Line, Part, PartT, PcInterruptChips, PcTimer
from xemu.accel.kvm import x86_cpuid, x86_state
from xemu.accel.kvm.accelerator import Kvm
from xemu.accel.kvm.api import Cap, Exit, Ioctl
from xemu.accel.kvm.pc import KernelChips, KernelTimer, SplitChips
from xemu.accel.kvm.vcpu import EXIT_DATA, KvmVcpu
from xemu.cli import log
from xemu.errors import UserError

# Pages that KVM itself needs on Intel CPUs (4.35, 4.41): below the firmware's place at the end of 4 GiB.
_IDENTITY_MAP, _TSS = 0xFFFB_C000, 0xFFFB_D000

_IO = struct.Struct("<BBHIQ")  # direction, size, port, count, where in kvm_run the data is
_IO_OUT = 1
_VALUES = {1: struct.Struct("<B"), 2: struct.Struct("<H"), 4: struct.Struct("<I")}
_INTERNAL_ERRORS = {
    1: "an instruction that KVM can't emulate",
    2: "several exceptions at once",
    3: "an exception that can't be delivered",
    4: "an exit of the CPU that KVM does not expect",
}
_EMULATION, _HAS_BYTES = 1, 1
_MP_RUNNABLE, _MP_UNINITIALIZED = 0, 1
_APIC_BASE, _APIC_ENABLED, _APIC_BSP = 0xFEE0_0000, 1 << 11, 1 << 8


class X86Kvm(Kvm):
    capabilities = (
        *Kvm.capabilities, Cap.IRQCHIP, Cap.PIT2, Cap.PIT_STATE2, Cap.IRQ_ROUTING, Cap.SIGNAL_MSI, Cap.SET_TSS_ADDR,
        Cap.EXT_CPUID, Cap.MP_STATE, Cap.VCPU_EVENTS, Cap.DEBUGREGS, Cap.XSAVE, Cap.XCRS,
    )  # fmt: skip

    def __init__(self, irqchip: str = "on") -> None:
        super().__init__()
        self.irqchip = irqchip
        self.vm.call(Ioctl.SET_IDENTITY_MAP_ADDR, bytearray(struct.pack("<Q", _IDENTITY_MAP)))
        self.vm.call(Ioctl.SET_TSS_ADDR, _TSS)
        self.host_cpuid = x86_cpuid.supported(self.system)
        self.msrs = x86_state.msr_indices(self.system)
        self.cpus = 1
        self.lapic = False
        self._chips: KernelChips | SplitChips | None = None

    def supports(self, part: Part[PartT]) -> bool:
        return isinstance(part, PcInterruptChips | PcTimer)

    def part(self, part: Part[PartT]) -> PartT | None:
        if isinstance(part, PcInterruptChips):
            self.cpus, self.lapic = part.cpus, True
            split = self.irqchip == "split"
            self._chips = SplitChips(self.vm, self.machine.memory) if split else KernelChips(self.vm)
            self.handles.append(self._chips)
            return self._chips  # type: ignore[return-value]
        if isinstance(part, PcTimer) and isinstance(self._chips, KernelChips):
            return KernelTimer(self.vm)  # type: ignore[return-value]
        return None

    def end_of_interrupt(self, vector: int) -> None:
        """Of a level interrupt of an I/O APIC that is not the kernel's."""
        if isinstance(self._chips, SplitChips):
            with self.machine.lock:
                self._chips.end(vector)

    def check_cpu(self, model: str) -> None:
        """UserError for a model that this host can't give."""
        x86_cpuid.build(x86_cpu.parse(model), self.host_cpuid)

    def create_vcpu(self, index: int, model: str) -> "X86Vcpu":
        leaves = x86_cpuid.build(x86_cpu.parse(model), self.host_cpuid)
        return X86Vcpu(self, index, x86_cpuid.for_cpu(leaves, index, self.cpus))


class X86Vcpu(KvmVcpu):
    def __init__(self, kvm: X86Kvm, index: int, leaves: x86_cpuid.Leaves) -> None:
        super().__init__(kvm, index)
        self._lapic = kvm.lapic
        self._signature = leaves[1, 0].eax
        x86_cpuid.set_cpuid(self.handle, leaves)
        self.state = x86_state.State(self.handle)
        # As KVM makes it: what a reset puts back where the manual leaves it to the platform.
        self._new = {block: self.handle.read(block.get, block.size) for block in x86_state.BLOCKS}
        self._new_msrs = x86_state.read_msrs(self.handle, kvm.msrs)
        self._new_events = self.handle.read(Ioctl.GET_VCPU_EVENTS, 64)
        self._new_lapic = self.handle.read(Ioctl.GET_LAPIC, 1024) if self._lapic else None
        self._handlers[Exit.IOAPIC_EOI] = lambda: kvm.end_of_interrupt(self.area[EXIT_DATA])
        self._handlers |= {Exit.IO: self._io, Exit.HLT: self._halt, Exit.SHUTDOWN: self._triple_fault}

    def runs(self) -> bool:
        # KVM keeps those that wait for SIPI waiting, and starts them.
        return not self.ended and (self.powered or (self._lapic and self.index > 0))

    # Registers

    def read_register(self, name: str) -> int:
        return self.state.read(name)

    def write_register(self, name: str, value: int) -> None:
        self.state.write({name: value})

    def line(self, name: str) -> Line:
        if name != "nmi":
            raise KeyError(f"an x86 CPU of KVM's has no input {name}; its local APIC is in the kernel")

        def nmi(level: bool) -> None:
            if level:
                self.handle.call(Ioctl.NMI)

        return nmi

    def run(self) -> None:
        # 4.69: a guest that was paused should not take the gap for a hang; refused where it has no clock of KVM's
        with suppress(OSError):
            fcntl.ioctl(self.handle.fd, Ioctl.KVMCLOCK_CTRL)
        super().run()

    def reset(self, registers: Mapping[str, int]) -> None:
        self.ended = False
        x86_state.write_msrs(self.handle, self._new_msrs)
        for block, data in self._new.items():
            self.handle.call(block.set, bytearray(data))
        apic_base = _APIC_BASE | _APIC_ENABLED | (_APIC_BSP if self.index == 0 else 0)
        values = {name: register.reset for name, register in REGISTERS.items()}
        self.state.write({**values, "rdx": self._signature, **registers}, apic_base)
        self.handle.call(Ioctl.SET_VCPU_EVENTS, bytearray(self._new_events))
        if self._new_lapic is not None:
            self.handle.call(Ioctl.SET_LAPIC, bytearray(self._new_lapic))
            state = _MP_RUNNABLE if self.index == 0 else _MP_UNINITIALIZED
            self.handle.call(Ioctl.SET_MP_STATE, bytearray(struct.pack("<I", state)))

    # Exits

    def _io(self) -> None:
        direction, size, port, count, at = _IO.unpack_from(self.area, EXIT_DATA)
        value = _VALUES[size]
        if direction == _IO_OUT:
            for offset in range(at, at + size * count, size):  # count: of a string instruction, bounded by a page
                self.machine.port_write(self.index, port, size, value.unpack_from(self.area, offset)[0])
        else:
            for offset in range(at, at + size * count, size):
                value.pack_into(self.area, offset, self.machine.port_read(self.index, port, size))

    def _triple_fault(self) -> None:
        if log.enabled("guest_errors"):
            log.write("guest_errors", f"triple fault: the machine is reset\n{self.dump()}")
        self._end("reset")

    def _halt(self) -> None:
        """HLT comes here only where the local APIC is not in the kernel: nothing could wake the CPU."""
        with self._wake:
            self._wake.wait_for(lambda: self.area[1] or self.machine.stopping)

    def _internal_error(self) -> None:
        kind, count = struct.unpack_from("<II", self.area, EXIT_DATA)
        text = _INTERNAL_ERRORS.get(kind, f"internal error {kind}")
        code = b""
        if kind == _EMULATION and count >= 1 and struct.unpack_from("<Q", self.area, EXIT_DATA + 8)[0] & _HAS_BYTES:
            size = min(self.area[EXIT_DATA + 16], 15)
            code = self.area[EXIT_DATA + 17 : EXIT_DATA + 17 + size]
        if log.enabled("guest_errors"):
            log.write("guest_errors", self.dump())
        code = code or self._code()
        raise UserError(f"KVM can't go on with cpu {self.index}: {text}{self._where()}, bytes {code.hex(' ')}")

    def _where(self) -> str:
        rip, cs, base = (self.state.read(name) for name in ("rip", "cs", "cs_base"))
        return f" at rip {rip:#x} (cs {cs:#x}, base {base:#x})"

    def _code(self) -> bytes:
        """The bytes at rip, as far as memory has them: at most 15, the longest instruction."""
        linear = self.state.read("rip") + self.state.read("cs_base")
        found = b""
        for address in range(linear, linear + 15):
            data = bytearray(struct.pack("<QQ8x", address & (1 << 64) - 1, 0))
            self.handle.call(Ioctl.TRANSLATE, data)
            physical, valid = struct.unpack_from("<QB", data, 8)
            ram = self.machine.memory.find(physical) if valid else None
            if ram is None or isinstance(ram, tuple):
                break
            found += self.machine.memory.read_bytes(physical, 1)
        return found

    def dump(self) -> str:
        """The registers that say most, for the log."""
        names = ("rax rbx rcx rdx", "rsi rdi rbp rsp", "r8 r9 r10 r11", "r12 r13 r14 r15", "rip rflags cr0 cr2",
                 "cr3 cr4 efer cs", "cs_base cs_attr ss ss_attr")  # fmt: skip
        rows = (" ".join(f"{name} {self.state.read(name):016x}" for name in row.split()) for row in names)
        return "\n".join((f"cpu {self.index}:", *rows))
