"""The `microvm` board: an x86-64 machine of virtio devices without PCI, like QEMU's board of that name.

Unlike on QEMU's, virtio devices are announced everywhere (in the MP table's and ACPI's world, and on the command line),
on interrupts that all of these can name; and there is a keyboard controller, with which most kernels know to reset.
"""

import time

from xemu.accel.base import PcInterruptChips, PcInterrupts, PcTimer
from xemu.boards import BoardConfig, microvm_acpi, microvm_mp_table, virtio_slots, x86_boot
from xemu.boards import microvm_layout as layout
from xemu.cli.keyval import parse_bool
from xemu.devices import fw_cfg
from xemu.devices.acpi_sleep import AcpiSleep
from xemu.devices.clock import HostClock
from xemu.devices.fw_cfg import FwCfg, FwCfgPorts
from xemu.devices.i8042 import COMMAND, DATA, I8042, Port
from xemu.devices.mc146818 import Mc146818
from xemu.devices.uart16550 import Uart16550
from xemu.devices.virtio.mmio import VirtioMmio
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel
from xemu.machine import Machine


def build(config: BoardConfig) -> Machine:
    """A machine that is ready to run; UserError where the user's choices do not fit together."""
    return _Builder(config).machine


class _Builder:
    """Builds the machine step by step; what the machine needs later, it holds through its hooks."""

    def __init__(self, config: BoardConfig) -> None:
        self.config = config
        self.machine = Machine()
        self.memory, self.ports = self.machine.memory, self.machine.ports
        _check(config)
        self.has_serial = self._option("isa-serial")
        self.has_rtc = self._option("rtc")
        config.accelerator.attach(self.machine)
        for index, where in enumerate(layout.ram_ranges(config.ram_size)):
            self.memory.add_ram(*where, "high ram" if index else "ram")
        self.chips = self._add_chips()
        self._add_timer()
        if self.has_serial:
            self._add_serial()
        if self.has_rtc:
            self._add_rtc()
        self._add_power()
        self._add_fw_cfg()
        self.plugged = self._add_virtio()
        self._add_vcpus()
        if config.kernel is not None:
            self._add_kernel(config.kernel)
        self.memory.freeze()
        self.ports.freeze()

    def _option(self, name: str) -> bool:
        """A property of the machine; all of these are on unless turned off."""
        text = self.config.options.get(name, "auto")
        return text == "auto" or parse_bool("-M microvm", name, text)

    def _add_chips(self) -> PcInterrupts:
        chips = self.config.accelerator.part(PcInterruptChips(self.config.cpus))
        if chips is None:
            raise UserError(_missing(self.config, "interrupt controllers"))
        self.machine.devices.append(chips)
        return chips

    def _add_timer(self) -> None:
        timer = self.config.accelerator.part(PcTimer())
        if timer is None:
            raise UserError(_missing(self.config, "timer"))
        self.machine.devices.append(timer)

    def _add_serial(self) -> None:
        uart = Uart16550(self.chips.gsi(layout.SERIAL_GSI, edge=True), self.config.serial)
        self.ports.add_device(*layout.SERIAL, uart, "serial")
        self.machine.devices.append(uart)

    def _add_rtc(self) -> None:
        clock = self.config.clock
        if clock is None:
            clock = HostClock(self.machine.lock)
            self.machine.on_stop.append(clock.close)
        epoch = int(time.time()) if self.config.epoch is None else self.config.epoch
        line = self.chips.gsi(layout.RTC_GSI, edge=True)
        rtc = Mc146818(line, clock, epoch + self.config.rtc_offset, _memory_sizes(self.config.ram_size))
        self.ports.add_device(*layout.RTC, rtc, "rtc")
        self.machine.devices.append(rtc)

    def _add_power(self) -> None:
        """What a guest ends or resets the machine with."""
        request = self.machine.request
        keyboard = I8042(lambda: request("reset"))
        self.ports.add_device(*layout.I8042_DATA, Port(keyboard, DATA), "i8042 data")
        self.ports.add_device(*layout.I8042_COMMAND, Port(keyboard, COMMAND), "i8042 command")
        sleep = AcpiSleep(lambda: request("shutdown"), lambda: request("reset"))
        self.memory.add_device(*layout.ACPI_SLEEP, sleep, "acpi sleep")
        self.machine.devices += [keyboard, sleep]

    def _add_fw_cfg(self) -> None:
        items = FwCfg(self.memory)
        items.add_number(fw_cfg.NOGRAPHIC, 1, 2)
        items.add_number(fw_cfg.CPUS, self.config.cpus, 2)
        for name, data in self.config.fw_cfg:
            items.add_file(name, data)
        registers = FwCfgPorts(items)
        self.ports.add_device(*layout.FW_CFG, registers, "fw_cfg")
        self.machine.devices.append(registers)

    def _add_virtio(self) -> list[int]:
        """All transports; the result is those with a device, in the order in which guests should find them."""
        plugged = virtio_slots.assign(self.config, self.machine, layout.VIRTIO_COUNT)
        for index in range(layout.VIRTIO_COUNT):
            line = self.chips.gsi(layout.VIRTIO_GSIS[index], edge=True)
            transport = VirtioMmio(self.memory, line, plugged.get(index))
            where = layout.virtio_range(index)
            self.memory.add_device(*where, transport, f"virtio-mmio {index}")
            transport.add_doorbells(self.config.accelerator, where.base)
            self.machine.devices.append(transport)
        # The first -device or -drive is behind the highest transport, and is to be the first disk of its guest.
        return sorted(plugged, reverse=True)

    def _add_vcpus(self) -> None:
        for index in range(self.config.cpus):
            self.machine.vcpus.append(self.config.accelerator.create_vcpu(index, self.config.cpu))

    # Starting

    def _add_kernel(self, kernel: LoadedKernel) -> None:
        blobs = [(layout.MP_TABLE.base, microvm_mp_table.generate(self.config.cpus))]
        acpi_tables = None
        if self._option("acpi"):
            tables = microvm_acpi.AcpiConfig(self.config.cpus, self.has_serial, self.has_rtc, self.plugged)
            acpi_tables = layout.ACPI_TABLES.base
            blobs.append((acpi_tables, microvm_acpi.generate(tables)))
        plan = x86_boot.place(kernel, self.config.initrd, self._command_line(), self.config.ram_size, acpi_tables)
        blobs += plan.blobs

        def start() -> None:
            for address, data in blobs:
                self.memory.write_bytes(address, data)
            self.machine.vcpus[0].power(plan.registers)

        self.machine.on_reset.append(start)

    def _command_line(self) -> str:
        words = [self.config.append] if self.config.append else []
        if self._option("auto-kernel-cmdline"):
            for index in self.plugged:
                base, size = layout.virtio_range(index)
                words.append(f"virtio_mmio.device={size}@{base:#x}:{layout.VIRTIO_GSIS[index]}")
        return " ".join(words)


def _check(config: BoardConfig) -> None:
    if not 1 <= config.cpus <= layout.MAX_CPUS:
        raise UserError(f"-smp {config.cpus}: 'microvm' has 1 to {layout.MAX_CPUS} CPUs")
    if not 0 < config.ram_size <= layout.MAX_RAM:
        raise UserError(f"-m: {config.ram_size} bytes of memory; 'microvm' takes up to {layout.MAX_RAM >> 30}G")
    if config.dtb is not None:
        raise UserError("-dtb: 'microvm' has no device tree; kernels learn from ACPI and the MP table what there is")
    if any(config.flash):
        raise UserError("'microvm' runs no firmware here, and has no flash; use -kernel FILE")


def _missing(config: BoardConfig, part: str) -> str:
    return f"-M microvm: the accelerator '{config.accelerator.name}' has no PC {part} as it is set up; use -accel kvm"


def _memory_sizes(ram_size: int) -> dict[int, int]:
    """What a PC's firmware leaves in CMOS memory: KiB below 640 KiB and up to 64 MiB, then units of 64 KiB."""
    low, *high = layout.ram_ranges(ram_size)
    units = 64 * layout.KIB
    extended = min(max(low.size - layout.MIB, 0) // layout.KIB, 0xFFFF)
    above_16m = min(max(low.size - 16 * layout.MIB, 0) // units, 0xFFFF)
    above_4g = sum(where.size for where in high) // units
    fields = ((0x15, 2, 640), (0x17, 2, extended), (0x30, 2, extended), (0x34, 2, above_16m), (0x5B, 3, above_4g))
    return {
        first + index: value >> 8 * index & 0xFF for first, size, value in fields for index in range(size)
    }  # fmt: skip
