"""The `virt` board: a 64-bit Arm machine of generic and virtio devices, compatible with QEMU's board of that name."""

from collections.abc import Callable

from targets.arm.gic_state import affinity
from xemu.accel.base import Gic, InterruptController, Line, Vcpu
from xemu.boards import BoardConfig, arm_boot, virt_tree
from xemu.boards import virt_layout as layout
from xemu.boards.builder import Builder, check_ram
from xemu.devices import fw_cfg, gicv2_registers, gicv3_registers
from xemu.devices.cfi_flash import CfiFlash, FlashConfig
from xemu.devices.fw_cfg import FwCfg, FwCfgMmio
from xemu.devices.gic import UnsharedCore
from xemu.devices.gicv2 import Gicv2
from xemu.devices.gicv3 import Gicv3
from xemu.devices.pl011 import Pl011
from xemu.devices.pl031 import Pl031
from xemu.devices.psci import Psci
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel
from xemu.machine import Machine
from xemu.memory import Ram

_RESET_VECTOR = layout.FLASH[0].base  # where firmware starts


# How QEMU's tree calls the models that are no product.
_TREE_NAMES = {"max": "cortex-a57", "host": "armv8"}


def build(config: BoardConfig) -> Machine:
    """A machine that is ready to run; UserError where the user's choices do not fit together."""
    return _Builder(config).machine


class _Builder(Builder):
    def __init__(self, config: BoardConfig) -> None:
        super().__init__(config)
        _check(config)
        config.accelerator.attach(self.machine)
        self.gic_version = self._choose_gic()
        self.ram = self.memory.add_ram(layout.RAM_BASE, config.ram_size, "ram")
        self.gic = self._add_gic()
        self._add_uart()
        self._add_rtc()
        self._add_flash()
        self.fw_cfg = self._add_fw_cfg()
        self._add_virtio()
        self._add_vcpus()
        self._add_psci()
        self._add_boot()
        self.memory.freeze()

    def _choose_gic(self) -> int:
        """The version: the first of the user's that the accelerator's CPUs can work with."""
        wanted, accelerator = self.config.gic_versions, self.config.accelerator
        version = next((version for version in wanted if accelerator.supports(self._gic(version))), None)
        if version is None:
            names = " or ".join(str(version) for version in wanted)
            raise UserError(f"-M virt: the accelerator '{accelerator.name}' has no GIC of version {names} here")
        most = layout.MAX_CPUS[version]
        if not 1 <= self.config.cpus <= most:
            raise UserError(
                f"-smp {self.config.cpus}: 'virt' has 1 to {most} CPUs, as many as its GICv{version} serves"
            )
        return version

    def _gic(self, version: int) -> Gic:
        interface = layout.GIC_CPU_INTERFACE if version == 2 else layout.GIC_REDISTRIBUTORS
        return Gic(version, self.config.cpus, layout.GIC_LINES, layout.GIC_DISTRIBUTOR.base, interface.base)

    def _add_gic(self) -> InterruptController:
        wanted = self._gic(self.gic_version)
        gic = self.config.accelerator.part(wanted) or self._unused_gic(wanted)
        self.machine.devices.append(gic)
        return gic

    def _unused_gic(self, wanted: Gic) -> InterruptController:
        """For CPUs that do not execute: its lines can be connected, and its registers be looked at."""
        if wanted.version == 3:
            gic = Gicv3(wanted.lines)
            gicv3_registers.add_registers(gic, self.memory, wanted.cpus, wanted.distributor, wanted.interface)
        else:
            gic = Gicv2(wanted.lines, lambda: self.machine.current_cpu)
            gicv2_registers.add_registers(gic, self.memory, wanted.distributor, wanted.interface)
        for _ in range(wanted.cpus):
            gic.add_cpu(UnsharedCore())
        return gic

    def _add_uart(self) -> None:
        self.add_device(layout.UART, Pl011(self.gic.spi(layout.UART_SPI), self.config.serial), "uart")

    def _add_rtc(self) -> None:
        self.add_device(layout.RTC, Pl031(self.gic.spi(layout.RTC_SPI), *self.clock()), "rtc")

    def _add_flash(self) -> None:
        for index, where in enumerate(layout.FLASH):
            flash = CfiFlash(self.memory, *where, f"flash{index}", self.config.flash[index] or FlashConfig())
            self.machine.devices.append(flash)
            self.machine.on_stop.append(flash.close)

    def _add_fw_cfg(self) -> FwCfg:
        items = self.fw_cfg_items()
        self.add_device(layout.FW_CFG, FwCfgMmio(items), "fw_cfg")
        return items

    def _add_virtio(self) -> None:
        def line(index: int) -> Line:
            return self.gic.spi(layout.VIRTIO_SPI + index)

        self.add_virtio(layout.VIRTIO_COUNT, layout.virtio_range, line)

    def _add_vcpus(self) -> None:
        for index in range(self.config.cpus):
            vcpu = self.config.accelerator.create_vcpu(index, self.config.cpu)
            vcpu.timer_lines = {name: self.gic.ppi(index, number) for name, number in layout.TIMER_PPIS.items()}
            self.gic.connect(index, vcpu.line("irq"), vcpu.line("fiq"))
            self.machine.vcpus.append(vcpu)

    def _add_psci(self) -> None:
        def is_ram(address: int) -> bool:
            return isinstance(self.memory.find(address), Ram)

        psci = Psci(self.machine, is_ram, lambda cpu: affinity(cpu, self.gic_version))

        def hypercall(vcpu: Vcpu, regs: list[int]) -> int:
            with self.machine.lock:
                return psci.call(vcpu, regs)

        self.machine.hypercall = hypercall

    # Starting

    def _add_boot(self) -> None:
        if self.config.flash[0] is not None:
            self._add_firmware()
        elif self.config.kernel is not None:
            self._add_kernel(self.config.kernel)
        else:  # only good for looking at the device tree
            self.machine.device_tree = self._device_tree(None)

    def _add_firmware(self) -> None:
        """Code in flash, which looks for the device tree at the start of RAM, and for a kernel in fw_cfg."""
        config, items = self.config, self.fw_cfg
        if config.kernel_file is not None:
            items.add_number(fw_cfg.KERNEL_SIZE, len(config.kernel_file), 4)
            items.add(fw_cfg.KERNEL_DATA, config.kernel_file)
            if config.initrd is not None:
                items.add_number(fw_cfg.INITRD_SIZE, len(config.initrd), 4)
                items.add(fw_cfg.INITRD_DATA, config.initrd)
            if config.append:
                text = config.append.encode() + b"\0"
                items.add_number(fw_cfg.CMDLINE_SIZE, len(text), 4)
                items.add(fw_cfg.CMDLINE_DATA, text)
        self._start_with(lambda: None, _RESET_VECTOR, 0, None, layout.RAM_BASE, self.ram.end)

    def _add_kernel(self, kernel: LoadedKernel) -> None:
        plan = arm_boot.place(kernel, self.config.initrd, self.ram.base, self.ram.size)

        def load() -> None:
            for address, data in plan.blobs:
                self.memory.write_bytes(address, data)

        context = plan.tree if plan.passes_tree else 0
        self._start_with(load, plan.entry, context, plan.initrd, plan.tree, plan.tree_end)

    def _start_with(
        self,
        load: Callable[[], None],
        entry: int,
        context: int,
        initrd: tuple[int, int] | None,
        tree: int,
        tree_end: int,
    ) -> None:
        size = len(self._device_tree(initrd))
        fits = tree + size <= tree_end
        if not fits and context:
            raise UserError(
                f"the device tree's {size} bytes do not fit above kernel and initrd; give more memory with -m"
            )

        def start() -> None:
            load()
            # Made anew, so that each boot has its own seeds.
            self.machine.device_tree = self._device_tree(initrd)
            if fits:
                self.memory.write_bytes(tree, self.machine.device_tree)
            self.machine.vcpus[0].power({"pc": entry, "x0": context})

        self.machine.device_tree = self._device_tree(initrd)
        self.machine.on_reset.append(start)

    def _device_tree(self, initrd: tuple[int, int] | None) -> bytes:
        config = self.config
        tree = virt_tree.TreeConfig(
            config.cpus,
            "arm," + _TREE_NAMES.get(config.cpu, config.cpu),
            config.ram_size,
            config.append,
            initrd,
            config.random_bytes if config.randomness else None,
            self.gic_version,
        )
        return virt_tree.generate(tree) if config.dtb is None else virt_tree.adapt(config.dtb, tree)


def _check(config: BoardConfig) -> None:
    for flash, where in zip(config.flash, layout.FLASH, strict=True):
        if flash is not None and flash.image is not None and flash.image.size != where.size:
            raise UserError(f"{flash.image.label}: the flash has {where.size} bytes and the image {flash.image.size}")
        if flash is not None and len(flash.firmware) > where.size:
            raise UserError(f"-bios: {len(flash.firmware)} bytes do not fit the flash of {where.size} bytes")
    check_ram(config, "virt", layout.MAX_RAM)
