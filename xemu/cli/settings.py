"""From the words of a command line to a `Settings` that is known to make sense; every complaint is one line."""

import dataclasses
import datetime
import time
from dataclasses import dataclass, field

from xemu.accel import x86_cpu
from xemu.chardev.spec import ChardevSpec, parse_chardev, parse_serial
from xemu.cli import log
from xemu.cli.accels import AccelSpec, parse_accels
from xemu.cli.catalog import (
    DEVICES,
    GLOBALS,
    MACHINES,
    MIB,
    OBJECTS,
    MachineKind,
    Property,
)
from xemu.cli.drives import DISK_DEVICE, DiskSpec, check_disk_user, parse_disks
from xemu.cli.firmware import FwCfgSpec, flash_images, parse_fw_cfg
from xemu.cli.icount import IcountSpec, parse_icount
from xemu.cli.keyval import parse_bool, parse_int, parse_keyval, parse_size
from xemu.cli.options import BY_NAME, CommandLine
from xemu.cli.properties import check_property
from xemu.cli.serial_ports import PORT_DEVICES, SERIAL_BUS, PortSpec, SerialBuses
from xemu.cli.suggest import did_you_mean, listed, nearest
from xemu.errors import UserError

_RAM_ALIGNMENT = 8192  # as QEMU rounds
_DISABLED = ("none", "null")


@dataclass(frozen=True)
class DeviceSpec:
    """One -device: its kind and its properties, all known to the catalogue."""

    where: str
    kind: str
    properties: dict[str, str]
    ports: tuple[PortSpec, ...] = ()


@dataclass(frozen=True)
class Settings:
    machine: str
    cpu: str | None  # None: it depends on the accelerator
    ram_size: int
    cpus: int
    accels: tuple[AccelSpec, ...]  # those that are named; the first that works runs the machine
    machine_options: dict[str, str] = field(default_factory=dict[str, str])  # of -M, for the board
    kernel: str | None = None
    initrd: str | None = None
    append: str = ""
    dtb: str | None = None
    bios: str | None = None
    dumpdtb: str | None = None
    gic_versions: tuple[int, ...] = (2, 3)  # the first that the accelerator supports
    randomness: bool = True
    serial: ChardevSpec | str | None = None  # a string is the id of a -chardev
    chardevs: dict[str, ChardevSpec] = field(default_factory=dict[str, ChardevSpec])
    devices: tuple[DeviceSpec, ...] = ()
    disks: tuple[DiskSpec, ...] = ()
    flash: tuple[str | None, ...] = (None, None)  # names of the disks in the two flashes
    fw_cfg: tuple[FwCfgSpec, ...] = ()
    no_reboot: bool = False
    log_items: frozenset[str] = frozenset()
    log_file: str | None = None
    rtc_offset: int = 0  # seconds the guest's clock is ahead of the host's UTC
    rtc_start: int | None = None  # a date that it starts at, in seconds of UTC
    icount: IcountSpec | None = None
    escape_key: int | None = 1


def build(line: CommandLine) -> Settings:
    machine_options = _machine_options(line)
    name = machine_options.pop("type", "virt")
    kind = MACHINES[name]
    chardevs = _chardevs(line)
    disks = parse_disks(line)
    disk_users: dict[str, str] = {}
    cpus = _cpus(line, name, kind, machine_options.get("gic-version", ""))
    rtc_offset, rtc_start = _rtc(line)
    devices = _devices(line, chardevs, disks, disk_users)
    flash = flash_images(machine_options, disks, disk_users)
    boot = _boot_files(line, machine_options, flash[0])
    _check_quiet(line)
    _check_globals(line)
    accels = parse_accels(line, machine_options)
    return Settings(
        machine=name,
        cpu=_cpu(line, name, kind),
        ram_size=_ram_size(line, name, kind),
        cpus=cpus,
        gic_versions=_gic_versions(machine_options, accels),
        accels=accels,
        machine_options=machine_options,
        dumpdtb=machine_options.get("dumpdtb"),
        randomness=_randomness(machine_options),
        serial=_serial(line, chardevs),
        chardevs=chardevs,
        devices=devices,
        disks=_shared_disks(disks, devices),
        flash=flash,
        fw_cfg=parse_fw_cfg(line),
        no_reboot=line.has("no-reboot"),
        log_items=frozenset(log.parse_items(line.last("d") or "") if line.has("d") else ()),
        log_file=line.last("D"),
        rtc_offset=rtc_offset,
        rtc_start=rtc_start,
        icount=parse_icount(line, cpus),
        escape_key=_escape_key(line),
        kernel=boot["kernel"],
        initrd=boot["initrd"],
        append=boot["append"] or "",
        dtb=boot["dtb"],
        bios=boot["bios"],
    )


def _machine_options(line: CommandLine) -> dict[str, str]:
    merged: dict[str, str] = {}
    for text in line.each("M"):
        merged |= parse_keyval("-M", text, implied="type")
    name = merged.get("type", "virt")
    if name not in MACHINES:
        raise UserError(f"-M {name}: no such machine{did_you_mean(name, MACHINES, f'there is {listed(MACHINES)}')}")
    properties = MACHINES[name].properties
    for key, value in merged.items():
        if key != "type":
            check_property(f"-M {name}", key, value, properties)
    return merged


def _boot_files(line: CommandLine, machine_options: dict[str, str], flash: str | None) -> dict[str, str | None]:
    kernels = [*line.positional, *line.each("kernel")[-1:]]
    if len(kernels) > 1:
        raise UserError(f"'{kernels[1]}': '{kernels[0]}' is the kernel already; one machine boots one kernel")
    found: dict[str, str | None] = {"kernel": kernels[0] if kernels else machine_options.get("kernel")}
    for name in ("initrd", "append", "dtb"):
        found[name] = line.last(name, machine_options.get(name))
    found["bios"] = line.last("bios", machine_options.get("firmware"))
    dumping = "dumpdtb" in machine_options
    if found["bios"] is not None and flash is not None:
        raise UserError(f"-bios {found['bios']}: the first flash has an image already, '{flash}'; give one of the two")
    if found["kernel"] is None and not dumping:
        for name in ("initrd", "append", "dtb"):
            if found[name] is not None and BY_NAME[name].needs_kernel:
                raise UserError(f"-{name}: there is no kernel for it; name one with -kernel FILE")
        if found["bios"] is None and flash is None:
            raise UserError("no kernel to start; name one, as in: xemu -M virt -cpu cortex-a57 -nographic Image")
    return found


def _cpu(line: CommandLine, name: str, kind: MachineKind) -> str | None:
    text = line.last("cpu")
    if text is None:
        return None
    if kind.arch == "x86_64":
        x86_cpu.parse(text)
        return text
    options = parse_keyval("-cpu", text, implied="model")
    model = options.pop("model", "")
    if model not in kind.cpus:
        hint = did_you_mean(model, kind.cpus, f"use {listed(kind.cpus)}")
        raise UserError(f"-cpu {model}: '{name}' has no such CPU{hint}")
    # The two properties scripts set; each has the one value that holds here.
    for key, value in options.items():
        check_property(f"-cpu {model}", key, value, _CPU_PROPERTIES)
    return model


_CPU_PROPERTIES = {
    "aarch64": Property("64-bit execution", ("on", "yes", "true", "y")),
    "pmu": Property("performance counters: not there yet, only off", ("off", "no", "false", "n")),
}


def _ram_size(line: CommandLine, name: str, kind: MachineKind) -> int:
    text = line.last("m")
    if text is None:
        return kind.default_ram
    options = parse_keyval("-m", text, implied="size")
    for key in options:
        if key != "size":
            raise UserError(f"-m {text}: '{key}' is not supported: memory can't be plugged in later; write -m SIZE")
    size = parse_size(f"-m {text}", options.get("size", ""), "M")
    low, high = kind.ram
    if not low <= size <= high:
        amount = "too little" if size < low else "too much"
        limits = f"{low // MIB}M to {high // MIB // 1024}G"
        raise UserError(f"-m {text}: {_size_text(size)} is {amount} memory for '{name}'; it takes {limits}")
    return -(-size // _RAM_ALIGNMENT) * _RAM_ALIGNMENT


def _size_text(size: int) -> str:
    for unit, shift in (("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >> shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} bytes"


def _gic_versions(machine_options: dict[str, str], accels: tuple[AccelSpec, ...]) -> tuple[int, ...]:
    """Which GIC, the best first; what cannot be had is told in QEMU's words."""
    value = machine_options.get("gic-version")
    if value is None:
        return 2, 3
    if value == "host" and not any(spec.name == "kvm" for spec in accels):
        raise UserError("-M: gic-version=host requires KVM")
    if value == "4":
        raise UserError("-M: gic-version=4 requires virtualization enabled, which is not there yet; use gic-version=3")
    if value not in ("2", "3", "max", "host"):
        raise UserError(f"-M gic-version={value}: Invalid gic-version value. Valid values are 3, 2, host, max.")
    return (int(value),) if value in ("2", "3") else (3, 2)


def _cpus(line: CommandLine, name: str, kind: MachineKind, gic_version: str) -> int:
    text = line.last("smp")
    if text is None:
        return 1
    where = f"-smp {text}"
    topology = ("sockets", "clusters", "cores", "threads")
    options = parse_keyval("-smp", text, implied="cpus")
    for key in options:
        if key not in ("cpus", "maxcpus", *topology):
            raise UserError(f"{where}: no property '{key}'{did_you_mean(key, ('cpus', *topology), 'write -smp N')}")
    numbers = {key: parse_int(where, key, value, 1, 1 << 16) for key, value in options.items()}
    product = 1
    for key in topology:
        product *= numbers.get(key, 1)
    shaped = any(key in numbers for key in topology)
    cpus = numbers.get("cpus", product)
    if shaped and "cpus" in numbers and cpus % product:
        raise UserError(f"{where}: {' * '.join(topology)} make {product} CPUs, not {cpus}")
    most = kind.more_cpus.get(gic_version, kind.max_cpus)
    if cpus > most:
        better = [f"gic-version={version}: {count}" for version, count in kind.more_cpus.items() if count >= cpus]
        limit = f"it has up to {most}" + (f" ({better[0]})" if better else "")
        raise UserError(f"{where}: {cpus} CPUs are too many for '{name}'; {limit}")
    if numbers.get("maxcpus", cpus) != cpus:
        raise UserError(f"{where}: maxcpus= must be {cpus}: CPUs can't be plugged in later")
    return cpus


def _randomness(machine_options: dict[str, str]) -> bool:
    for key in ("dtb-randomness", "dtb-kaslr-seed"):
        if key in machine_options:
            return parse_bool("-M", key, machine_options[key])
    return True


def _chardevs(line: CommandLine) -> dict[str, ChardevSpec]:
    found: dict[str, ChardevSpec] = {}
    for text in line.each("chardev"):
        spec = parse_chardev(text)
        assert spec.id is not None
        if spec.id in found:
            raise UserError(f"-chardev {text}: the id '{spec.id}' is taken already; choose another")
        found[spec.id] = spec
    return found


def _serial(line: CommandLine, chardevs: dict[str, ChardevSpec]) -> ChardevSpec | str | None:
    texts = line.each("serial")
    if not texts:
        return None if line.has("nodefaults") and not line.has("nographic") else parse_serial("mon:stdio")
    for extra in texts[1:]:
        if extra not in _DISABLED:
            raise UserError(f"-serial {extra}: the board has one serial port and '{texts[0]}' has it")
    text = texts[0]
    if text == "none":
        return None
    if text.startswith("chardev:"):
        return _known_chardev(f"-serial {text}", text.removeprefix("chardev:"), chardevs)
    return parse_serial(text)


def _known_chardev(where: str, name: str, chardevs: dict[str, ChardevSpec]) -> str:
    if name not in chardevs:
        hint = did_you_mean(name, chardevs, f"add -chardev KIND,id={name}")
        raise UserError(f"{where}: there is no character device with id '{name}'{hint}")
    return name


def _devices(
    line: CommandLine, chardevs: dict[str, ChardevSpec], disks: dict[str, DiskSpec], disk_users: dict[str, str]
) -> tuple[DeviceSpec, ...]:
    objects = _objects(line)
    kinds = {name: device.properties for name, device in DEVICES.items()}
    found: list[DeviceSpec] = []
    ids: set[str] = set()
    buses = SerialBuses()
    for text in line.each("device"):
        kind, options = _of_kind("device", text, "driver", kinds)
        if "rng" in options and options["rng"] not in objects:
            hint = did_you_mean(options["rng"], objects, f"add -object rng-random,id={options['rng']}")
            raise UserError(f"-device {text}: there is no object with id '{options['rng']}'{hint}")
        if "chardev" in options:
            _known_chardev(f"-device {text}", options["chardev"], chardevs)
        if kind == SERIAL_BUS:
            buses.add(f"-device {text}", options, len(found))
        elif kind in PORT_DEVICES:
            buses.plug(f"-device {text}", kind, options)
        if kind == DISK_DEVICE:
            check_disk_user(f"-device {text}", options.get("drive"), disks, disk_users)
        if options.get("id") in ids:
            raise UserError(f"-device {text}: the id '{options['id']}' is taken already; choose another")
        if "id" in options:
            ids.add(options["id"])
        if kind not in PORT_DEVICES:
            found.append(DeviceSpec(f"-device {text}", kind, options))
    for place, ports in buses.ports():
        found[place] = dataclasses.replace(found[place], ports=ports)
    own = [
        DeviceSpec(disk.where, DISK_DEVICE, {"drive": disk.name})
        for disk in disks.values()
        if disk.interface == "virtio"
    ]
    return tuple(found + own)


def _shared_disks(disks: dict[str, DiskSpec], devices: tuple[DeviceSpec, ...]) -> tuple[DiskSpec, ...]:
    """The disks, with the one thing that their devices say about the image."""
    shared = {
        spec.properties["drive"]
        for spec in devices
        if spec.kind == DISK_DEVICE and parse_bool(spec.where, "share-rw", spec.properties.get("share-rw", "off"))
    }
    return tuple(dataclasses.replace(disk, share_writes=disk.name in shared) for disk in disks.values())


def _of_kind(option: str, text: str, implied: str, kinds: dict[str, dict[str, Property]]) -> tuple[str, dict[str, str]]:
    """`KIND,key=value,...` of one of `kinds`, with properties that it has."""
    options = parse_keyval(f"-{option}", text, implied=implied)
    kind = options.pop(implied, "")
    if kind not in kinds:
        hint = did_you_mean(kind, kinds, f"there are {listed(kinds)}")
        raise UserError(f"-{option} {kind}: no such {option}{hint}")
    for key, value in options.items():
        check_property(f"-{option} {kind}", key, value, kinds[kind])
    return kind, options


def _objects(line: CommandLine) -> set[str]:
    found: set[str] = set()
    for text in line.each("object"):
        _, options = _of_kind("object", text, "kind", OBJECTS)
        if not options.get("id"):
            raise UserError(f"-object {text}: it needs an id=")
        found.add(options["id"])
    return found


def _check_quiet(line: CommandLine) -> None:
    """Options that are fine as long as they ask for nothing."""
    for name in ("display", "vga", "net", "nic", "monitor", "parallel"):
        for value in line.each(name):
            allowed = _DISABLED if name in ("monitor", "parallel") else ("none",)
            if value not in allowed:
                raise UserError(f"-{name} {value}: there is no such thing here yet; use -{name} none")


def _check_globals(line: CommandLine) -> None:
    for text in line.each("global"):
        key, equals, value = text.partition("=")
        if not equals or "." not in key:
            raise UserError(f"-global {text}: write DEVICE.PROPERTY=VALUE")
        if key not in GLOBALS:
            device, _, property_name = key.partition(".")
            known = DEVICES.get(device)
            if known is not None:
                check_property(f"-global {device}", property_name, value, known.properties)
                raise UserError(f"-global {text}: set it at the device: -device {device},{property_name}={value}")
            near = nearest(key, GLOBALS)
            hint = f"did you mean '{near}'?" if near else f"known are {listed(GLOBALS)}"
            raise UserError(f"-global {text}: no such property; {hint}")
        if value not in GLOBALS[key]:
            raise UserError(f"-global {text}: not supported; it is always {GLOBALS[key][0]} here")


def _rtc(line: CommandLine) -> tuple[int, int | None]:
    """How far the guest's clock is ahead of UTC, or where it starts."""
    options: dict[str, str] = {}
    for text in line.each("rtc"):
        options |= parse_keyval("-rtc", text)
    for key, value in options.items():
        if key not in ("base", "clock", "driftfix"):
            raise UserError(f"-rtc: no property '{key}'{did_you_mean(key, ('base', 'clock', 'driftfix'))}")
        wanted = "vm" if line.has("icount") else "host"
        if key == "clock" and value != wanted:
            whose = "its instructions under -icount" if wanted == "vm" else "the host's"
            raise UserError(f"-rtc: clock={value} is not supported; the guest's clock follows {whose}: clock={wanted}")
        if key == "driftfix" and value != "none":
            raise UserError(f"-rtc: driftfix={value} is not supported; use driftfix=none")
    base = options.get("base", "utc")
    if base == "utc":
        return 0, None
    if base == "localtime":
        return time.localtime().tm_gmtoff, None
    try:
        start = datetime.datetime.fromisoformat(base).replace(tzinfo=datetime.UTC)
    except ValueError:
        raise UserError(f"-rtc: base={base} is neither utc, localtime nor a date such as 2026-01-31T12:00:00") from None
    return 0, int(start.timestamp())


def _escape_key(line: CommandLine) -> int | None:
    text = line.last("echr")
    return 1 if text is None else parse_int(f"-echr {text}", "", text, 0, 255) or None
