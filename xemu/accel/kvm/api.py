"""The ioctls of /dev/kvm that are used here, and calling them.

Section numbers (4.x) are those of Linux' Documentation/virt/kvm/api.rst.
"""

import ctypes
import fcntl
import os
from enum import IntEnum

from xemu.errors import UserError

API_VERSION = 12


def _request(direction: int, number: int, size: int) -> int:
    """asm-generic/ioctl.h: direction (1 written, 2 read by user space), size, type 0xae, number."""
    return direction << 30 | size << 16 | 0xAE << 8 | number


def _io(number: int) -> int:
    return _request(0, number, 0)


def _iow(number: int, size: int) -> int:
    return _request(1, number, size)


def _ior(number: int, size: int) -> int:
    return _request(2, number, size)


def _iowr(number: int, size: int) -> int:
    return _request(3, number, size)


class Ioctl(IntEnum):
    # of /dev/kvm
    GET_API_VERSION = _io(0x00)
    CREATE_VM = _io(0x01)
    GET_MSR_INDEX_LIST = _iowr(0x02, 4)
    CHECK_EXTENSION = _io(0x03)
    GET_VCPU_MMAP_SIZE = _io(0x04)
    GET_SUPPORTED_CPUID = _iowr(0x05, 8)
    # of a VM
    CREATE_VCPU = _io(0x41)
    GET_DIRTY_LOG = _iow(0x42, 16)
    SET_USER_MEMORY_REGION = _iow(0x46, 32)
    SET_TSS_ADDR = _io(0x47)
    SET_IDENTITY_MAP_ADDR = _iow(0x48, 8)
    CREATE_IRQCHIP = _io(0x60)
    IRQ_LINE = _iow(0x61, 8)
    GET_IRQCHIP = _iowr(0x62, 520)
    SET_IRQCHIP = _ior(0x63, 520)
    SET_GSI_ROUTING = _iow(0x6A, 8)
    IRQFD = _iow(0x76, 32)
    CREATE_PIT2 = _iow(0x77, 64)
    IOEVENTFD = _iow(0x79, 64)
    SET_CLOCK = _iow(0x7B, 48)
    GET_CLOCK = _ior(0x7C, 48)
    GET_PIT2 = _ior(0x9F, 112)
    SET_PIT2 = _iow(0xA0, 112)
    ENABLE_CAP = _iow(0xA3, 104)
    SIGNAL_MSI = _iow(0xA5, 32)
    CREATE_DEVICE = _iowr(0xE0, 12)
    ARM_PREFERRED_TARGET = _ior(0xAF, 32)
    # of a device of the VM
    SET_DEVICE_ATTR = _iow(0xE1, 24)
    GET_DEVICE_ATTR = _iow(0xE2, 24)
    HAS_DEVICE_ATTR = _iow(0xE3, 24)
    # of a vCPU
    RUN = _io(0x80)
    GET_REGS = _ior(0x81, 144)
    SET_REGS = _iow(0x82, 144)
    GET_SREGS = _ior(0x83, 312)
    SET_SREGS = _iow(0x84, 312)
    TRANSLATE = _iowr(0x85, 24)
    INTERRUPT = _iow(0x86, 4)
    GET_MSRS = _iowr(0x88, 8)
    SET_MSRS = _iow(0x89, 8)
    SET_SIGNAL_MASK = _iow(0x8B, 4)
    GET_LAPIC = _ior(0x8E, 1024)
    SET_LAPIC = _iow(0x8F, 1024)
    SET_CPUID2 = _iow(0x90, 8)
    GET_MP_STATE = _ior(0x98, 4)
    SET_MP_STATE = _iow(0x99, 4)
    NMI = _io(0x9A)
    GET_VCPU_EVENTS = _ior(0x9F, 64)
    SET_VCPU_EVENTS = _iow(0xA0, 64)
    GET_DEBUGREGS = _ior(0xA1, 128)
    SET_DEBUGREGS = _iow(0xA2, 128)
    GET_XSAVE = _ior(0xA4, 4096)
    SET_XSAVE = _iow(0xA5, 4096)
    GET_XCRS = _ior(0xA6, 392)
    SET_XCRS = _iow(0xA7, 392)
    GET_ONE_REG = _iow(0xAB, 16)
    SET_ONE_REG = _iow(0xAC, 16)
    KVMCLOCK_CTRL = _io(0xAD)
    ARM_VCPU_INIT = _iow(0xAE, 32)
    GET_REG_LIST = _iowr(0xB0, 8)
    ARM_VCPU_FINALIZE = _iow(0xC2, 4)


class Cap(IntEnum):
    """What CHECK_EXTENSION knows (4.4)."""

    IRQCHIP = 0
    USER_MEMORY = 3
    SET_TSS_ADDR = 4
    EXT_CPUID = 7
    MP_STATE = 14
    IRQ_ROUTING = 25
    IRQFD = 32
    PIT2 = 33
    SET_BOOT_CPU_ID = 34
    PIT_STATE2 = 35
    IOEVENTFD = 36
    ADJUST_CLOCK = 39
    VCPU_EVENTS = 41
    DEBUGREGS = 50
    XSAVE = 55
    XCRS = 56
    ONE_REG = 70
    MAX_VCPUS = 66
    SIGNAL_MSI = 77
    READONLY_MEM = 81
    DEVICE_CTRL = 89
    ARM_PSCI_0_2 = 102
    SPLIT_IRQCHIP = 121
    IMMEDIATE_EXIT = 136
    ARM_VM_IPA_SIZE = 165
    ARM_SVE = 170
    ARM_PTRAUTH_ADDRESS = 171
    ARM_PTRAUTH_GENERIC = 172
    ARM_NISV_TO_USER = 177
    ARM_INJECT_EXT_DABT = 178


class Exit(IntEnum):
    """Why KVM_RUN came back (5, kvm_run.exit_reason)."""

    UNKNOWN = 0
    EXCEPTION = 1
    IO = 2
    HYPERCALL = 3
    DEBUG = 4
    HLT = 5
    MMIO = 6
    IRQ_WINDOW_OPEN = 7
    SHUTDOWN = 8
    FAIL_ENTRY = 9
    INTR = 10
    INTERNAL_ERROR = 17
    SYSTEM_EVENT = 24
    IOAPIC_EOI = 26
    ARM_NISV = 28


_FCNTL_MAX = (1 << 31) - 1  # larger plain arguments than this fcntl.ioctl does not take


def _ioctl(fd: int, request: int, argument: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.ioctl(fd, ctypes.c_ulong(request), ctypes.c_ulong(argument))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Handle:
    """An open file of KVM's: the system, a VM, a vCPU, a device."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def call(self, request: Ioctl, argument: "int | bytearray" = 0) -> int:
        """An ioctl that has to succeed; a bytearray is changed in place.

        What fails here is no mistake of the guest's, so it ends the run with a line that says what KVM refused.
        """
        try:
            if isinstance(argument, int) and argument > _FCNTL_MAX:
                return _ioctl(self.fd, request, argument)
            return fcntl.ioctl(self.fd, request, argument)
        except OSError as error:
            raise UserError(f"KVM refuses KVM_{request.name}: {error.strerror}") from error

    def read(self, request: Ioctl, size: int) -> bytearray:
        """What a KVM_GET_... of a plain structure gives."""
        data = bytearray(size)
        self.call(request, data)
        return data

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def address_of(buffer: "bytearray | memoryview") -> int:
    """Where a buffer is, for structures that point to another; it has to stay alive and as long as it is."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
