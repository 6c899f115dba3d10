"""How a machine is built, step by step: what the boards do alike."""

import time
from collections.abc import Callable
from typing import Protocol

from xemu.accel.base import Line
from xemu.boards import BoardConfig, virtio_slots
from xemu.devices import fw_cfg
from xemu.devices.clock import Clock, HostClock
from xemu.devices.fw_cfg import FwCfg
from xemu.devices.virtio.mmio import VirtioMmio
from xemu.errors import UserError
from xemu.machine import Machine
from xemu.memory import AddressSpace, Device, Range


class BoardDevice(Device, Protocol):
    """A device that the machine resets."""

    def reset(self) -> None: ...


class Builder:
    """Base of a board's builder; what the machine needs later, it holds through its hooks."""

    def __init__(self, config: BoardConfig) -> None:
        self.config = config
        self.machine = Machine()
        self.memory, self.ports = self.machine.memory, self.machine.ports

    def add_device(self, where: Range, device: BoardDevice, name: str, space: AddressSpace | None = None) -> None:
        """Into memory, or another space."""
        (space or self.memory).add_device(*where, device, name)
        self.machine.devices.append(device)

    def clock(self) -> tuple[Clock, int]:
        """For a real-time clock: what makes it go, and the time it starts from, in seconds since 1970."""
        clock = self.config.clock
        if clock is None:
            clock = HostClock(self.machine.lock)
            self.machine.on_stop.append(clock.close)
        epoch = int(time.time()) if self.config.epoch is None else self.config.epoch
        return clock, epoch + self.config.rtc_offset

    def fw_cfg_items(self) -> FwCfg:
        items = FwCfg(self.memory)
        items.add_number(fw_cfg.NOGRAPHIC, 1, 2)
        items.add_number(fw_cfg.CPUS, self.config.cpus, 2)
        for name, data in self.config.fw_cfg:
            items.add_file(name, data)
        return items

    def add_virtio(self, count: int, where: Callable[[int], Range], line: Callable[[int], Line]) -> list[int]:
        """`count` transports, each at its place with its interrupt; the result is those with a device, rising."""
        plugged = virtio_slots.assign(self.config, self.machine, count)
        for index in range(count):
            transport = VirtioMmio(self.memory, line(index), plugged.get(index))
            self.add_device(where(index), transport, f"virtio-mmio {index}")
            transport.add_doorbells(self.config.accelerator, where(index).base)
        return sorted(plugged)


def check_ram(config: BoardConfig, board: str, most: int) -> None:
    if not 0 < config.ram_size <= most:
        raise UserError(f"-m: {config.ram_size} bytes of memory; '{board}' takes up to {most >> 30}G")
