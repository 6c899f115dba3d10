"""The `microvm` board: an x86-64 machine of virtio devices without PCI, like QEMU's board of that name.

Unlike on QEMU's, virtio devices are announced everywhere (in the MP table's and ACPI's world, and on the command line),
on interrupts that all of these can name; and there is a keyboard controller, with which most kernels know to reset.
"""

from xemu.accel.base import Line, PcInterruptChips, PcInterrupts, PcTimer
from xemu.boards import BoardConfig, microvm_acpi, microvm_mp_table, x86_boot
from xemu.boards import microvm_layout as layout
from xemu.boards.builder import Builder, check_ram
from xemu.cli.keyval import parse_bool
from xemu.devices.acpi_sleep import AcpiSleep
from xemu.devices.fw_cfg import FwCfgPorts
from xemu.devices.i8042 import COMMAND, DATA, I8042, Port
from xemu.devices.mc146818 import Mc146818
from xemu.devices.uart16550 import Uart16550
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel
from xemu.machine import Machine, Request


def build(config: BoardConfig) -> Machine:
    """A machine that is ready to run; UserError where the user's choices do not fit together."""
    return _Builder(config).machine


class _Builder(Builder):
    def __init__(self, config: BoardConfig) -> None:
        super().__init__(config)
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
        self.add_device(layout.FW_CFG, FwCfgPorts(self.fw_cfg_items()), "fw_cfg", self.ports)
        self.plugged = self._add_virtio()
        self._add_vcpus()
        if config.kernel is not None:
            self._add_kernel(config.kernel)
        self.memory.freeze()
        self.ports.freeze()

    def _option(self, name: str, auto: bool = True) -> bool:
        """A property of the machine; auto: what it is where the user leaves it open."""
        text = self.config.options.get(name, "auto")
        return auto if text == "auto" else parse_bool("-M microvm", name, text)

    def _add_chips(self) -> PcInterrupts:
        chips = self.config.accelerator.part(PcInterruptChips(self.config.cpus))
        if chips is None:
            raise UserError(_missing(self.config, "", "PC interrupt controllers", "-accel kvm"))
        self.has_pics = self._option("pic", chips.pics)
        if self.has_pics and not chips.pics:
            raise UserError(_missing(self.config, ",pic=on", "PICs", "kernel-irqchip=on"))
        self.machine.devices.append(chips)
        return chips

    def _add_timer(self) -> None:
        """A PIT, where there is one to be had: kernels that know the TSC's speed do without."""
        if not self._option("pit"):
            return
        timer = self.config.accelerator.part(PcTimer())
        if timer is not None:
            self.machine.devices.append(timer)
        elif self._option("pit", False):
            raise UserError(_missing(self.config, ",pit=on", "PIT", "kernel-irqchip=on"))

    def _add_serial(self) -> None:
        uart = Uart16550(self.chips.gsi(layout.SERIAL_GSI, edge=True), self.config.serial)
        self.add_device(layout.SERIAL, uart, "serial", self.ports)

    def _add_rtc(self) -> None:
        line = self.chips.gsi(layout.RTC_GSI, edge=True)
        rtc = Mc146818(line, *self.clock(), _memory_sizes(self.config.ram_size))
        self.add_device(layout.RTC, rtc, "rtc", self.ports)

    def _add_power(self) -> None:
        """What a guest ends or resets the machine with."""
        keyboard = I8042(lambda: self._end("reset"))
        self.ports.add_device(*layout.I8042_DATA, Port(keyboard, DATA), "i8042 data")
        self.ports.add_device(*layout.I8042_COMMAND, Port(keyboard, COMMAND), "i8042 command")
        self.machine.devices.append(keyboard)
        sleep = AcpiSleep(lambda: self._end("shutdown"), lambda: self._end("reset"))
        self.add_device(layout.ACPI_SLEEP, sleep, "acpi sleep")

    def _end(self, kind: Request) -> None:
        """The CPU that asked goes no further; the machine stops the others."""
        self.machine.vcpus[self.machine.current_cpu].power_off()
        self.machine.request(kind)

    def _add_virtio(self) -> list[int]:
        """All transports; the result is those with a device, in the order in which guests should find them."""

        def line(index: int) -> Line:
            return self.chips.gsi(layout.VIRTIO_GSIS[index], edge=True)

        # The first -device or -drive is behind the highest transport, and is to be the first disk of its guest.
        return self.add_virtio(layout.VIRTIO_COUNT, layout.virtio_range, line)[::-1]

    def _add_vcpus(self) -> None:
        for index in range(self.config.cpus):
            self.machine.vcpus.append(self.config.accelerator.create_vcpu(index, self.config.cpu))

    # Starting

    def _add_kernel(self, kernel: LoadedKernel) -> None:
        blobs = [(layout.MP_TABLE.base, microvm_mp_table.generate(self.config.cpus, self.has_pics))]
        acpi_tables = None
        if self._option("acpi"):
            tables = microvm_acpi.AcpiConfig(
                self.config.cpus, self.has_pics, self.has_serial, self.has_rtc, self.plugged
            )
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
    check_ram(config, "microvm", layout.MAX_RAM)
    if config.dtb is not None:
        raise UserError("-dtb: 'microvm' has no device tree; kernels learn from ACPI and the MP table what there is")
    if any(config.flash):
        raise UserError("'microvm' runs no firmware here, and has no flash; use -kernel FILE")


def _missing(config: BoardConfig, option: str, part: str, use: str) -> str:
    return f"-M microvm{option}: the accelerator '{config.accelerator.name}' has no {part} as it is set up; use {use}"


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
