"""From settings to a running machine and back: files, log, character devices, board, signals."""

import dataclasses
import sys
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING

from xemu import loader
from xemu.accel.choice import Choice, Wanted, choose
from xemu.accel.virtual_clock import VirtualClock
from xemu.block.base import Image
from xemu.block.overlay import Overlay
from xemu.block.raw import open_raw
from xemu.boards import virt_layout
from xemu.chardev import CharBackend, IoLoop, Mux, create
from xemu.chardev.pty import PtyChardev
from xemu.chardev.spec import ChardevSpec
from xemu.cli import log
from xemu.cli.catalog import MACHINES
from xemu.cli.drives import DISK_DEVICE
from xemu.cli.settings import DeviceSpec, Settings
from xemu.cli.signals import ending_on_signals, prompt_handlers
from xemu.cli.suggest import listed
from xemu.errors import UserError
from xemu.loader import LoadedKernel
from xemu.loader.files import read_file

if TYPE_CHECKING:
    from xemu.accel.base import Part, PartT, Vcpu
    from xemu.boards import DeviceConfig
    from xemu.devices.cfi_flash import FlashConfig
    from xemu.machine import Machine
    from xemu.memory import Ram


def run(settings: Settings) -> int:
    """Boot what the settings say; the result is the exit status."""
    images = _load_images(settings)
    with ExitStack() as cleanup:
        log.configure(set(settings.log_items), settings.log_file)
        cleanup.callback(log.close)
        loop = IoLoop()
        devices = _CharDevices(loop, settings)
        cleanup.callback(devices.close)
        cleanup.callback(loop.stop)
        if settings.dumpdtb is not None:
            bare = _without_host_sides(settings)
            nothing = Choice(_NoCpus(), settings.cpu or MACHINES[settings.machine].default_cpu)
            _dump_device_tree(_build(bare, images, nothing, devices, {}), settings.dumpdtb)
            return 0
        disks = _open_disks(settings, cleanup)
        choice = _choose(settings)
        cleanup.callback(choice.accelerator.close)
        _check_page_size(settings, images, choice.cpu)
        machine = _build(settings, images, choice, devices, disks)
        machine.on_ending.append(devices.release)
        if choice.reason is not None:
            print(f"xemu: {choice.reason}", file=sys.stderr, flush=True)
        loop.start(machine.lock, lambda: machine.request("quit"))
        with prompt_handlers(loop), ending_on_signals(lambda: machine.request("quit")):
            kind = machine.run(no_reboot=settings.no_reboot)
    return 1 if kind == "panic" else 0


class _Images:
    """The boot files, read and checked."""

    def __init__(self) -> None:
        self.kernel: LoadedKernel | None = None
        self.initrd: bytes | None = None
        self.dtb: bytes | None = None
        self.firmware: bytes | None = None
        self.kernel_file: bytes | None = None  # what firmware starts
        self.fw_cfg: list[tuple[str, bytes]] = []


def _load_images(settings: Settings) -> _Images:
    images = _Images()
    if settings.kernel is not None and (settings.bios is not None or settings.flash[0] is not None):
        images.kernel_file = loader.load_kernel_file(settings.kernel)
    elif settings.kernel is not None:
        images.kernel = loader.KERNEL_LOADERS[MACHINES[settings.machine].arch](settings.kernel)
    if settings.initrd is not None:
        images.initrd = loader.load_initrd(settings.initrd)
    if settings.dtb is not None:
        images.dtb = loader.load_dtb(settings.dtb)
    if settings.bios is not None:
        images.firmware = loader.load_firmware(settings.bios, virt_layout.FLASH[0].size)
    for spec in settings.fw_cfg:
        if not spec.name.startswith("opt/"):
            print(f"xemu: warning: {spec.where}: a name of one's own should begin with 'opt/'", file=sys.stderr)
        data = spec.text.encode() if spec.path is None else read_file(f"{spec.where}:", spec.path)
        images.fw_cfg.append((spec.name, data))
    return images


def _check_page_size(settings: Settings, images: _Images, cpu: str) -> None:
    """A kernel whose page size the CPU lacks stops before its first message, so say it here."""
    page_size = images.kernel.page_size if images.kernel is not None else None
    if page_size is None:
        return
    from targets.arm.models import MODELS  # data only: the translator is not loaded yet

    if cpu not in MODELS or page_size.bit_length() - 1 in MODELS[cpu].granules:
        return
    able = [name for name, model in MODELS.items() if page_size.bit_length() - 1 in model.granules]
    size = f"{page_size >> 10} KiB pages"
    hint = f"use -cpu {listed(able)}"
    raise UserError(f"kernel '{settings.kernel}': is built for {size}, which {cpu} lacks; {hint}")


@dataclasses.dataclass(frozen=True)
class _Disk:
    """An open image, and what its -drive says about the device."""

    image: Image
    write_cache: bool


class _CharDevices:
    """Opens each character device once, when its first user comes."""

    def __init__(self, loop: IoLoop, settings: Settings) -> None:
        self._loop = loop
        self._settings = settings
        self._muxes: dict[str, Mux] = {}
        self._taken: set[str] = set()
        self._open: list[CharBackend | Mux] = []

    def open_serial(self) -> CharBackend | None:
        serial = self._settings.serial
        if serial is None or isinstance(serial, str):
            return self.named("-serial", serial, "serial0") if serial is not None else None
        return self._frontend(serial, "serial0")

    def named(self, where: str, name: str, label: str) -> CharBackend:
        """The character device with this id, for the front end called `label`."""
        if name in self._muxes:
            return self._muxes[name].port(label)
        if name in self._taken:
            raise UserError(f"{where}: the character device '{name}' is in use already; share it with mux=on")
        self._taken.add(name)
        return self._frontend(self._settings.chardevs[name], label)

    def release(self) -> None:
        """The machine is about to end: no vCPU may wait for the host any more."""
        for device in self._open:
            device.release()

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    def _frontend(self, spec: ChardevSpec, label: str) -> CharBackend:
        backend = create(self._loop, spec)
        self._open.append(backend)
        if isinstance(backend, PtyChardev):
            print(f"char device redirected to {backend.name} (label {label})", flush=True)
        if not spec.mux:
            return backend
        mux = Mux(self._loop, backend, self._settings.escape_key)
        if spec.id is not None:
            self._muxes[spec.id] = mux
        return mux.port(label)


def _choose(settings: Settings) -> Choice:
    kind = MACHINES[settings.machine]
    icount = settings.icount
    clock = VirtualClock(icount.shift, icount.sleep) if icount is not None else None
    return choose(settings.accels, Wanted(settings.machine, kind.arch, settings.cpu, kind.default_cpu, clock))


class _NoCpus:
    """Stands in for an accelerator where a machine is built to be looked at only."""

    name = "none"
    default_cpu: str | None = None

    def attach(self, machine: "Machine") -> None: ...

    def supports(self, part: "Part[PartT]") -> bool:
        return True

    def part(self, part: "Part[PartT]") -> "PartT | None":
        return None

    def check_cpu(self, model: str) -> None: ...

    def doorbell(self, address: int, size: int, value: int) -> None: ...

    def close(self) -> None: ...

    def track_writes(self, ram: "Ram", on: bool) -> None: ...

    def dirty_pages(self, ram: "Ram") -> list[int]:
        return []

    def create_vcpu(self, index: int, model: str) -> "Vcpu":
        return SimpleNamespace(index=index, line=lambda name: None)  # type: ignore[return-value]


def _open_disks(settings: Settings, cleanup: ExitStack) -> dict[str, _Disk]:
    """Every image that is named, used or not: what is wrong with one is said at once."""
    found: dict[str, _Disk] = {}
    for spec in settings.disks:
        image: Image = open_raw(
            spec.where,
            spec.path,
            readonly=spec.readonly or spec.snapshot,
            probe=not spec.raw,
            unmap=spec.unmap,
            locking=spec.locking,
            share_writes=spec.share_writes,
            sync=spec.sync,
        )
        cleanup.callback(image.close)
        if spec.snapshot and not spec.readonly:
            image = Overlay(image)
            cleanup.callback(image.close)
        found[spec.name] = _Disk(image, spec.write_cache)
    return found


def _build(
    settings: Settings,
    images: _Images,
    choice: Choice,
    devices: _CharDevices,
    disks: dict[str, _Disk],
) -> "Machine":
    from xemu import boards

    config = boards.BoardConfig(
        accelerator=choice.accelerator,
        cpu=choice.cpu,
        cpus=settings.cpus,
        ram_size=settings.ram_size,
        options=settings.machine_options,
        kernel=images.kernel,
        initrd=images.initrd,
        append=settings.append,
        dtb=images.dtb,
        flash=_flash_configs(settings, images.firmware, disks),
        kernel_file=images.kernel_file,
        fw_cfg=images.fw_cfg,
        gic_versions=settings.gic_versions,
        randomness=settings.randomness,
        serial=devices.open_serial(),
        devices=_device_configs(settings.devices, devices, disks),
        rtc_offset=settings.rtc_offset,
        synchronous=choice.clock is not None,
        clock=choice.clock,
        epoch=settings.rtc_start,
    )
    return boards.build(settings.machine, config)


def _flash_configs(
    settings: Settings, firmware: bytes | None, disks: dict[str, _Disk]
) -> "tuple[FlashConfig | None, FlashConfig | None]":
    from xemu.devices.cfi_flash import FlashConfig

    def config(name: str | None) -> FlashConfig | None:
        disk = disks.get(name or "")
        return FlashConfig(disk.image, disk.write_cache) if disk is not None else None

    first, second = (config(name) for name in settings.flash)
    return FlashConfig(firmware=firmware) if firmware is not None else first, second


def _device_configs(
    specs: tuple[DeviceSpec, ...], devices: _CharDevices, disks: dict[str, _Disk]
) -> "list[DeviceConfig]":
    from xemu.boards import DeviceConfig
    from xemu.devices.virtio.console import PortConfig

    found: list[DeviceConfig] = []
    for spec in specs:
        if spec.kind == DISK_DEVICE:
            disk = disks[spec.properties["drive"]]
            cache = {} if disk.write_cache else {"write-cache": "off"}
            found.append(DeviceConfig(spec.kind, cache | spec.properties, image=disk.image))
            continue
        ports = [
            PortConfig(
                port.number,
                port.console,
                port.name,
                devices.named(port.where, port.chardev, port.label) if port.chardev is not None else None,
            )
            for port in spec.ports
        ]
        found.append(DeviceConfig(spec.kind, spec.properties, ports))
    return found


def _without_host_sides(settings: Settings) -> Settings:
    """The same board without anything on the host's side, for looking at its device tree."""
    devices = tuple(dataclasses.replace(spec, ports=()) for spec in settings.devices if spec.kind != DISK_DEVICE)
    return dataclasses.replace(settings, serial=None, devices=devices)


def _dump_device_tree(machine: "Machine", path: str) -> None:
    try:
        with open(path, "wb") as file:
            file.write(machine.device_tree)
    except OSError as error:
        raise UserError(f"-M dumpdtb={path}: can't write it: {error.strerror}") from None
