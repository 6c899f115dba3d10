"""Virtio devices on a board: which transport each is behind, and how it is made from the user's choices."""

from collections.abc import Callable

from xemu.block.workers import Inline
from xemu.boards import BoardConfig, DeviceConfig
from xemu.cli.keyval import parse_bool
from xemu.devices.virtio.blk import ID_LENGTH, VirtioBlk
from xemu.devices.virtio.console import MAX_PORTS, VirtioConsole
from xemu.devices.virtio.device import VirtioDevice
from xemu.devices.virtio.rng import VirtioRng
from xemu.errors import UserError
from xemu.machine import Machine

_BUS_NAME = "virtio-mmio-bus."


def _make_rng(config: BoardConfig, device: DeviceConfig, machine: Machine) -> VirtioDevice:
    return VirtioRng(config.random_bytes)


def _make_console(config: BoardConfig, device: DeviceConfig, machine: Machine) -> VirtioDevice:
    properties = device.properties
    emergency = parse_bool(f"-device {device.kind}", "emergency-write", properties.get("emergency-write", "on"))
    return VirtioConsole(device.ports, int(properties.get("max_ports", str(MAX_PORTS)), 0), emergency)


def _make_disk(config: BoardConfig, device: DeviceConfig, machine: Machine) -> VirtioDevice:
    if device.image is None:
        raise UserError(f"-device {device.kind}: there is no disk behind it; name one with drive=ID")
    properties = device.properties
    if len(properties.get("serial", "").encode()) > ID_LENGTH:
        raise UserError(f"-device {device.kind}: serial={properties['serial']} is longer than {ID_LENGTH} characters")

    def switch(key: str) -> bool:
        return parse_bool(f"-device {device.kind}", key, properties.get(key, "on"))

    disk = VirtioBlk(
        device.image,
        machine.lock,
        Inline() if config.synchronous else None,
        serial=properties.get("serial", ""),
        write_cache=switch("write-cache"),
        discard=switch("discard"),
        write_zeroes=switch("write-zeroes"),
    )
    machine.on_stop.append(disk.close)
    return disk


VIRTIO_DEVICES: dict[str, Callable[[BoardConfig, DeviceConfig, Machine], VirtioDevice]] = {
    "virtio-blk-device": _make_disk,
    "virtio-rng-device": _make_rng,
    "virtio-serial-device": _make_console,
}


def assign(config: BoardConfig, machine: Machine, count: int) -> dict[int, VirtioDevice]:
    """The transport of each device: the one its `bus` names, else the highest free one, as on QEMU's boards."""
    slots: dict[int, VirtioDevice] = {}
    for device in config.devices:
        bus = device.properties.get("bus")
        if bus is not None:
            slot = _slot_of(device, bus, count)
        else:
            free = [index for index in range(count) if index not in slots]
            if not free:
                raise UserError(f"-device {device.kind}: all {count} virtio-mmio transports are taken")
            slot = free[-1]
        if slot in slots:
            raise UserError(f"-device {device.kind}: {bus} has a device already ({slots[slot].name})")
        slots[slot] = VIRTIO_DEVICES[device.kind](config, device, machine)
    return slots


def _slot_of(device: DeviceConfig, bus: str, count: int) -> int:
    number = bus.removeprefix(_BUS_NAME)
    if not bus.startswith(_BUS_NAME) or not number.isdecimal() or int(number) >= count:
        last = count - 1
        raise UserError(f"-device {device.kind}: no bus '{bus}'; they are {_BUS_NAME}0 to {_BUS_NAME}{last}")
    return int(number)
