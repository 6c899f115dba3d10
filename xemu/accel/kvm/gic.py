"""Arm's interrupt controllers as KVM does them (Documentation/virt/kvm/devices/arm-vgic.rst and arm-vgic-v3.rst)."""

import struct
from collections.abc import Iterator, Sequence

from xemu.accel.base import Gic, Line
from xemu.accel.kvm.api import Handle, Ioctl, address_of
from xemu.errors import UserError

_DEVICE_TYPES = {2: 5, 3: 7}  # KVM_DEV_TYPE_ARM_VGIC_V2 and _V3
_TEST_ONLY = 1
# Groups of attributes
_ADDRESS, _DISTRIBUTOR, _CPU_INTERFACE, _LINES, _CONTROL, _REDISTRIBUTOR, _SYSTEM_REGISTERS = range(7)
_INIT = 0  # of _CONTROL
_ADDRESSES = {2: (0, 1), 3: (2, 3)}  # attributes of _ADDRESS: distributor, CPU interface or redistributors
_SPI_LINE, _PPI_LINE = 1, 2  # KVM_IRQ_LINE (4.25)
PRIVATE = 32
_ALL = 0xFFFF_FFFF


def is_offered(vm: Handle, version: int) -> bool:
    kind = _DEVICE_TYPES.get(version)
    try:
        return kind is not None and vm.call(Ioctl.CREATE_DEVICE, _create(kind, _TEST_ONLY)) == 0
    except UserError:
        return False


def _create(kind: int, flags: int) -> bytearray:
    return bytearray(struct.pack("<III", kind, 0, flags))


class KernelGic:
    """A GICv2 or GICv3; it is complete once all vCPUs exist and finish() was called."""

    def __init__(self, vm: Handle, spec: Gic) -> None:
        self._vm, self._spec = vm, spec
        request = _create(_DEVICE_TYPES[spec.version], 0)
        vm.call(Ioctl.CREATE_DEVICE, request)
        self.handle = Handle(struct.unpack_from("<I", request, 4)[0])
        for attribute, address in zip(_ADDRESSES[spec.version], (spec.distributor, spec.interface), strict=True):
            self._set(_ADDRESS, attribute, address, 8)
        self._set(_LINES, 0, spec.lines, 4)
        self._finished = False

    def finish(self) -> None:
        if not self._finished:
            self._finished = True
            self.handle.call(Ioctl.SET_DEVICE_ATTR, bytearray(struct.pack("<IIQQ", 0, _CONTROL, _INIT, 0)))

    def _set(self, group: int, attribute: int, value: int, size: int) -> None:
        data = bytearray(value.to_bytes(size, "little"))
        request = struct.pack("<IIQQ", 0, group, attribute, address_of(data))
        self.handle.call(Ioctl.SET_DEVICE_ATTR, bytearray(request))

    # Lines

    def spi(self, number: int) -> Line:
        if not 0 <= number < self._spec.lines - PRIVATE:
            raise ValueError(f"SPI {number} does not exist: the GIC has {self._spec.lines - PRIVATE}")
        return self._line(_SPI_LINE, 0, PRIVATE + number)

    def ppi(self, cpu: int, number: int) -> Line:
        return self._line(_PPI_LINE, cpu, number)

    def _line(self, kind: int, cpu: int, number: int) -> Line:
        high, low = (bytearray(struct.pack("<II", kind << 24 | cpu << 16 | number, level)) for level in (1, 0))

        def line(level: bool) -> None:
            self._vm.call(Ioctl.IRQ_LINE, high if level else low)

        return line

    def connect(self, cpu: int, irq: Line, fiq: Line) -> None:
        """The kernel has its own way to its vCPUs."""

    # Reset: KVM has no call for it, so all registers get the values that they have at first

    def reset(self) -> None:
        if self._finished:
            for group, attribute, value in _v2_reset(self._spec) if self._spec.version == 2 else _v3_reset(self._spec):
                self._set(group, attribute, value, 8 if group == _SYSTEM_REGISTERS else 4)


Setting = tuple[int, int, int]  # group, attribute, value


def _interrupts(first: int, lines: int, groups: int) -> Iterator[tuple[int, int]]:
    """(offset, value) of the registers of interrupts `first` to `lines`, at the distributor's offsets.

    groups: what IGROUPR holds.  Pending and active interrupts are cleared by both kinds of register, as either may have
    no effect from user space.
    """
    for word in range(first // 32, lines // 32):
        yield 0x180 + 4 * word, _ALL  # ICENABLER
        yield 0x080 + 4 * word, groups  # IGROUPR
        yield 0x280 + 4 * word, _ALL  # ICPENDR
        yield 0x200 + 4 * word, 0  # ISPENDR
        yield 0x380 + 4 * word, _ALL  # ICACTIVER
    for word in range(first // 4, lines // 4):
        yield 0x400 + 4 * word, 0  # IPRIORITYR
    for word in range(max(first // 16, 1), lines // 16):  # SGIs are always edge-triggered
        yield 0xC00 + 4 * word, 0  # ICFGR


def _v2_reset(spec: Gic) -> Iterator[Setting]:
    for cpu in range(spec.cpus):
        yield _DISTRIBUTOR, cpu << 32, 0  # CTLR
        for offset, value in _interrupts(0, spec.lines if cpu == 0 else PRIVATE, groups=0):
            yield _DISTRIBUTOR, cpu << 32 | offset, value
        for offset in (0x00, 0x04, 0xD0):  # CTLR, PMR, APR0
            yield _CPU_INTERFACE, cpu << 32 | offset, 0
    for word in range(PRIVATE // 4, spec.lines // 4):
        yield _DISTRIBUTOR, 0x800 + 4 * word, 0  # ITARGETSR


def _v3_reset(spec: Gic) -> Iterator[Setting]:
    yield _DISTRIBUTOR, 0, 0  # CTLR
    for offset, value in _interrupts(PRIVATE, spec.lines, groups=_ALL):
        yield _DISTRIBUTOR, offset, value
    for cpu in range(spec.cpus):
        affinity = (cpu & 15 | cpu >> 4 << 8) << 32
        yield _REDISTRIBUTOR, affinity, 0  # CTLR
        for offset, value in _interrupts(0, PRIVATE, groups=_ALL):
            yield _REDISTRIBUTOR, affinity | 0x10000 + offset, value
        for encoding in _ICC_ZERO:
            yield _SYSTEM_REGISTERS, affinity | _instruction(encoding), 0


# ICC_PMR_EL1, ICC_AP0R0_EL1, ICC_AP1R0_EL1, ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1
_ICC_ZERO = ((3, 0, 4, 6, 0), (3, 0, 12, 8, 4), (3, 0, 12, 9, 0), (3, 0, 12, 12, 6), (3, 0, 12, 12, 7))


def _instruction(encoding: Sequence[int]) -> int:
    op0, op1, crn, crm, op2 = encoding
    return op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
