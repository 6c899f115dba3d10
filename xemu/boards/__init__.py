"""Boards: which devices a machine has, at which addresses, and how it starts."""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xemu.accel.base import Accelerator
from xemu.loader.kernel import LoadedKernel

if TYPE_CHECKING:
    from xemu.block.base import Image
    from xemu.chardev.base import CharBackend
    from xemu.devices.cfi_flash import FlashConfig
    from xemu.devices.clock import Clock
    from xemu.devices.virtio.console import PortConfig
    from xemu.machine import Machine


@dataclass(frozen=True)
class DeviceConfig:
    """One device that the user plugs in: -device with its host side resolved."""

    kind: str
    properties: dict[str, str] = field(default_factory=dict[str, str])
    ports: "Sequence[PortConfig]" = ()  # of a virtio-serial-device
    image: "Image | None" = None  # of a disk


@dataclass(frozen=True)
class BoardConfig:
    """What a board is built from: everything the user chose, already loaded and opened."""

    accelerator: Accelerator
    cpu: str
    cpus: int
    ram_size: int
    options: Mapping[str, str] = field(default_factory=dict[str, str])  # properties of the machine itself: -M's
    kernel: LoadedKernel | None = None
    initrd: bytes | None = None
    append: str = ""
    dtb: bytes | None = None  # the user's own device tree
    # The flashes' contents. With anything in the first, the machine starts there, and firmware finds the kernel in
    # fw_cfg, as the file `kernel_file`.
    flash: "tuple[FlashConfig | None, FlashConfig | None]" = (None, None)
    kernel_file: bytes | None = None
    fw_cfg: Sequence[tuple[str, bytes]] = ()  # files that the user adds
    gic_versions: tuple[int, ...] = (2, 3)  # of Arm boards: the first that the accelerator supports
    randomness: bool = True  # kaslr-seed and rng-seed in the device tree
    serial: "CharBackend | None" = None
    devices: Sequence[DeviceConfig] = ()
    rtc_offset: int = 0  # seconds that the guest's clock is ahead of UTC
    # Disks complete a request before the guest goes on: then the guest can't tell how fast the host is.
    synchronous: bool = False
    # Of -icount and -rtc, and injected by tests; the host's own where None.
    clock: "Clock | None" = None
    epoch: int | None = None
    random_bytes: Callable[[int], bytes] = os.urandom


def build(name: str, config: BoardConfig) -> "Machine":
    """A machine of the board `name`, ready to run."""
    # Devices are imported only where a machine with them is built.
    module = importlib.import_module({"virt": "xemu.boards.virt", "microvm": "xemu.boards.microvm"}[name])
    return module.build(config)
