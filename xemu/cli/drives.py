"""`-drive` and `-blockdev`: from their text to the disks that devices refer to."""

import json
from dataclasses import dataclass
from typing import cast

from xemu.cli.catalog import BLOCKDEVS, DRIVE, FORMATS
from xemu.cli.keyval import parse_bool, parse_int, parse_keyval
from xemu.cli.options import CommandLine
from xemu.cli.properties import check_property
from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError

_INTERFACES = ("virtio", "none", "pflash")
_OTHER_INTERFACES = ("ide", "scsi", "sd", "mtd", "floppy", "xen")
_UNITS = {"pflash": 2}  # of the interfaces whose disks have numbers


@dataclass(frozen=True)
class DiskSpec:
    """One image that a device can be given."""

    where: str  # the option as typed, for error lines
    name: str
    path: str
    interface: str = "none"  # virtio: the board adds a device for it; pflash: it is in one of the board's flashes
    unit: int = 0  # which flash
    raw: bool = False  # the user said that the file is the disk's own bytes
    readonly: bool = False
    snapshot: bool = False
    write_cache: bool = True
    sync: bool = True
    unmap: bool = True
    locking: bool = True
    share_writes: bool = False


def parse_disks(line: CommandLine) -> dict[str, DiskSpec]:
    """All disks by name; -drive and -blockdev share the names."""
    found: dict[str, DiskSpec] = {}
    snapshot = line.has("snapshot")
    # Unlike a drive, a block device can't ask to be left out of -snapshot.
    for spec in [*_blockdevs(line, snapshot), *_drives(line, snapshot)]:
        if spec.name in found:
            raise UserError(f"{spec.where}: the id '{spec.name}' is taken already; choose another")
        found[spec.name] = spec
    return found


# -drive


def _drives(line: CommandLine, snapshot: bool) -> list[DiskSpec]:
    counts: dict[str, int] = dict.fromkeys(_INTERFACES, 0)
    found: list[DiskSpec] = []
    for text in line.each("drive"):
        options = parse_keyval("-drive", text)
        where = f"-drive {text}"
        for key, value in options.items():
            check_property(where, key, value, DRIVE)
        interface = options.get("if", "virtio")
        _check_interface(where, interface)
        _check_format(where, options.get("format", "raw"))
        if "file" not in options:
            raise UserError(f"{where}: it needs file=")
        taken = {spec.unit for spec in found if spec.interface == interface}
        unit = _unit(where, interface, options, taken) if interface in _UNITS else counts[interface]
        name = options.get("id", f"{interface}{unit}")
        counts[interface] += 1
        found.append(_drive(where, name, interface, unit, options, snapshot))
    return found


def _unit(where: str, interface: str, options: dict[str, str], taken: set[int]) -> int:
    """The number asked for, else the first that is free."""
    count = _UNITS[interface]
    text = options.get("unit", options.get("index"))
    if text is not None:
        return parse_int(where, "unit", text, 0, count - 1)
    free = [unit for unit in range(count) if unit not in taken]
    if not free:
        raise UserError(f"{where}: the board has {count} of if={interface}, and both are taken")
    return free[0]


def _drive(where: str, name: str, interface: str, unit: int, options: dict[str, str], snapshot: bool) -> DiskSpec:
    def flag(key: str, default: bool = False) -> bool:
        return parse_bool(where, key, options[key]) if key in options else default

    if "readonly" in options and "read-only" in options:
        raise UserError(f"{where}: readonly and read-only are the same; keep one of them")
    cache = options.get("cache", "writeback")
    return DiskSpec(
        where=where,
        name=name,
        path=_path(options["file"]),
        interface=interface,
        unit=unit,
        raw="format" in options,
        readonly=flag("readonly") or flag("read-only"),
        snapshot=flag("snapshot", snapshot),
        write_cache=cache not in ("writethrough", "directsync"),
        sync=cache != "unsafe",
        unmap=options.get("discard", "unmap") in ("unmap", "on"),
        locking="off" not in (options.get("locking"), options.get("file.locking")),
    )


def _check_interface(where: str, interface: str) -> None:
    if interface in _OTHER_INTERFACES:
        raise UserError(f"{where}: if={interface}: the board has no such interface here; use if={listed(_INTERFACES)}")
    if interface not in _INTERFACES:
        hint = did_you_mean(interface, _INTERFACES, f"use {listed(_INTERFACES)}")
        raise UserError(f"{where}: no interface '{interface}'{hint}")


def _check_format(where: str, name: str) -> None:
    if name == "raw":
        return
    if name in FORMATS:
        raise UserError(
            f"{where}: format '{name}' can't be read yet; convert it: qemu-img convert -O raw IMAGE IMAGE.raw"
        )
    raise UserError(f"{where}: unknown format '{name}'{did_you_mean(name, FORMATS, 'use format=raw')}")


def _path(text: str) -> str:
    """`file:PATH` is QEMU's way to name a file whose own name has a colon."""
    return text.removeprefix("file:")


# -blockdev


def _blockdevs(line: CommandLine, snapshot: bool) -> list[DiskSpec]:
    nodes: dict[str, tuple[str, dict[str, str]]] = {}  # where and options, of every node
    below: set[str] = set()
    for text in line.each("blockdev"):
        where = f"-blockdev {text}"
        options = _from_json(where, text) if text.startswith("{") else parse_keyval("-blockdev", text, implied="driver")
        driver = options.get("driver", "")
        if driver not in BLOCKDEVS:
            _refuse_driver(where, driver)
        for key, value in options.items():
            if key != "driver":
                check_property(where, key, value, BLOCKDEVS[driver])
        name = options.get("node-name")
        if name is None:
            raise UserError(f"{where}: it needs a node-name= for others to name it by")
        if name in nodes:
            raise UserError(f"{where}: the id '{name}' is taken already; choose another")
        if driver == "raw":
            options = _with_file(where, options, nodes, below)
        elif "filename" not in options:
            raise UserError(f"{where}: 'file' needs filename=")
        nodes[name] = (where, options)
    return [_node(where, name, options, snapshot) for name, (where, options) in nodes.items() if name not in below]


def _refuse_driver(where: str, driver: str) -> None:
    if not driver:
        raise UserError(f"{where}: it needs a driver; use {listed(BLOCKDEVS)}")
    _check_format(where, driver if driver in FORMATS else "raw")
    raise UserError(f"{where}: no block driver '{driver}'{did_you_mean(driver, BLOCKDEVS, f'use {listed(BLOCKDEVS)}')}")


def _from_json(where: str, text: str) -> dict[str, str]:
    """`{"driver": "raw", "file": {"driver": "file"}}` as driver=raw,file.driver=file."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON: {error}") from None
    found: dict[str, str] = {}

    def flatten(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in cast(dict[str, object], value).items():
                flatten(f"{prefix}.{key}" if prefix else key, inner)
        elif isinstance(value, bool):
            found[prefix] = "on" if value else "off"
        elif isinstance(value, str):
            found[prefix] = value
        else:
            raise UserError(f"{where}: '{prefix}' is neither text, true, false nor an object")

    flatten("", tree)
    return found


def _with_file(
    where: str, options: dict[str, str], nodes: dict[str, tuple[str, dict[str, str]]], below: set[str]
) -> dict[str, str]:
    """A raw node with the options of the file below it, which only it uses."""
    inline = {key.removeprefix("file."): value for key, value in options.items() if key.startswith("file.")}
    name = options.get("file")
    if name is not None and inline:
        raise UserError(f"{where}: file= names a node and file.* describes one; give one of the two")
    if name is not None:
        if name not in nodes:
            hint = did_you_mean(name, nodes, f"put -blockdev file,node-name={name},filename=... before it")
            raise UserError(f"{where}: there is no node '{name}'{hint}")
        if name in below:
            raise UserError(f"{where}: another node uses '{name}' already")
        below.add(name)
        inline = nodes[name][1]
    elif "filename" not in inline:
        raise UserError(f"{where}: 'raw' needs file=NODE, or file.filename= with file.driver=file")
    readonly = [value for value in (options.get("read-only"), inline.get("read-only")) if value is not None]
    merged = inline | options
    if readonly:
        merged["read-only"] = "on" if any(parse_bool(where, "read-only", value) for value in readonly) else "off"
    return merged


def _node(where: str, name: str, options: dict[str, str], snapshot: bool) -> DiskSpec:
    def flag(key: str) -> bool:
        return key in options and parse_bool(where, key, options[key])

    return DiskSpec(
        where=where,
        name=name,
        path=options["filename"],
        raw=True,  # there is no probing: the driver says what it is
        readonly=flag("read-only"),
        snapshot=snapshot,
        sync=not flag("cache.no-flush"),
        unmap=options.get("discard", "unmap") in ("unmap", "on"),
        locking=options.get("locking") != "off",
    )


# The devices that use them

DISK_DEVICE = "virtio-blk-device"


def check_disk_user(where: str, name: str | None, disks: dict[str, DiskSpec], users: dict[str, str]) -> None:
    """A disk device's drive= names a disk that is free; `users` is who has which."""
    if name is None:
        raise UserError(f"{where}: it needs drive=ID, the id of a -drive or the node-name of a -blockdev")
    if name not in disks:
        hint = did_you_mean(name, disks, f"add -drive if=none,id={name},file=FILE")
        raise UserError(f"{where}: there is no drive with id '{name}'{hint}")
    if disks[name].interface != "none":
        what = "a disk of its own" if disks[name].interface == "virtio" else "in a flash"
        raise UserError(f"{where}: '{name}' is {what} already (if={disks[name].interface}); add if=none to its -drive")
    if name in users:
        raise UserError(f"{where}: the drive '{name}' is in use already by {users[name]}")
    users[name] = where
