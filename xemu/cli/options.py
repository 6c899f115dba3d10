"""The command line as a table: every option once, with its argument, its help and how often it counts.

`parse` only sorts words into options; what the values mean is decided in settings.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from xemu.cli.suggest import did_you_mean
from xemu.errors import UserError


class Takes(Enum):
    """How an option treats its argument."""

    NOTHING = "a flag"
    LAST = "one argument; the last one given counts"
    MERGE = "key=value arguments; later ones add to earlier ones"
    EACH = "one argument; every one given counts"


@dataclass(frozen=True)
class Option:
    names: tuple[str, ...]  # the first is the name in error lines
    takes: Takes
    argument: str
    help: str
    group: str
    needs_kernel: bool = False

    @property
    def name(self) -> str:
        return self.names[0]


def _option(names: str, takes: Takes, argument: str, help: str, group: str, needs_kernel: bool = False) -> Option:
    return Option(tuple(names.split()), takes, argument, help, group, needs_kernel)


_MACHINE, _BOOT, _IO, _DEBUG, _INFO = "Machine", "Boot", "Devices and character devices", "Debugging", "Information"
_QUIET = "Accepted, with nothing to apply to"

OPTIONS: tuple[Option, ...] = (
    _option("M machine", Takes.MERGE, "NAME[,PROP=VALUE...]", "the board; 'help', 'NAME,help' tell more", _MACHINE),
    _option("cpu", Takes.LAST, "MODEL", "the CPU model; 'help' lists them", _MACHINE),
    _option("m", Takes.LAST, "[size=]SIZE", "RAM, in MiB or with suffix K, M, G (default 128M)", _MACHINE),
    _option("smp", Takes.LAST, "[cpus=]N", "number of CPUs (default 1)", _MACHINE),
    _option("accel", Takes.EACH, "NAME[:NAME...][,PROP=VALUE...]", "kvm or tcg, in the order to try; 'help'", _MACHINE),
    _option("enable-kvm", Takes.NOTHING, "", "the same as -accel kvm", _MACHINE),
    _option("icount", Takes.MERGE, "[shift=]N[,sleep=off]", "time is counted in instructions of 2^N ns each", _MACHINE),
    _option("global", Takes.EACH, "DEVICE.PROP=VALUE", "a property for every device of a kind", _MACHINE),
    _option("rtc", Takes.MERGE, "[base=utc|localtime|DATE]", "where the guest's clock starts", _MACHINE),
    _option("kernel", Takes.LAST, "FILE", "Linux Image, ELF or raw code; also without '-kernel'", _BOOT),
    _option("initrd", Takes.LAST, "FILE", "initial ramdisk", _BOOT, needs_kernel=True),
    _option("append", Takes.LAST, "TEXT", "kernel command line", _BOOT, needs_kernel=True),
    _option("dtb", Takes.LAST, "FILE", "device tree blob in place of the generated one", _BOOT, needs_kernel=True),
    _option("bios", Takes.LAST, "FILE", "firmware; it finds -kernel, if there is one, in fw_cfg", _BOOT),
    _option("fw_cfg", Takes.EACH, "[name=]NAME,file=FILE|string=TEXT", "a file in fw_cfg, for firmware to find", _BOOT),
    _option("device", Takes.EACH, "NAME[,PROP=VALUE...]", "add a device; 'help' lists them", _IO),
    _option("drive", Takes.EACH, "file=FILE[,PROP=VALUE...]", "a disk with its image; 'help' lists properties", _IO),
    _option("blockdev", Takes.EACH, "DRIVER,node-name=ID[,...]", "an image to refer to: file, raw", _IO),
    _option("snapshot", Takes.NOTHING, "", "images stay as they are: writes go to temporary overlays", _IO),
    _option("object", Takes.EACH, "KIND,id=ID[,...]", "a source of random numbers: rng-random, rng-builtin", _IO),
    _option("chardev", Takes.EACH, "KIND,id=ID[,...]", "a character device to refer to; 'help' lists kinds", _IO),
    _option("serial", Takes.EACH, "DEV", "the serial port: stdio, mon:stdio, pty, file:PATH, tcp:HOST:PORT...", _IO),
    _option("nographic", Takes.NOTHING, "", "serial port and Ctrl-A keys on this terminal", _IO),
    _option("echr", Takes.LAST, "CODE", "the escape key in place of Ctrl-A, as a character code", _IO),
    _option("no-reboot", Takes.NOTHING, "", "exit when the guest resets", _DEBUG),
    _option("d", Takes.LAST, "ITEM[,...]", "log these items; 'help' lists them", _DEBUG),
    _option("D", Takes.LAST, "FILE", "the log goes to FILE instead of standard error", _DEBUG),
    _option("name", Takes.LAST, "TEXT", "", _QUIET),
    _option("display", Takes.LAST, "none", "", _QUIET),
    _option("vga", Takes.LAST, "none", "", _QUIET),
    _option("monitor", Takes.LAST, "none|null", "", _QUIET),
    _option("parallel", Takes.LAST, "none|null", "", _QUIET),
    _option("net", Takes.LAST, "none", "", _QUIET),
    _option("nic", Takes.LAST, "none", "", _QUIET),
    _option("nodefaults", Takes.NOTHING, "", "no serial port unless -serial asks for it", _QUIET),
    _option("no-user-config", Takes.NOTHING, "", "", _QUIET),
    _option("version", Takes.NOTHING, "", "print the version", _INFO),
    _option("h help ?", Takes.NOTHING, "", "print this help", _INFO),
)  # fmt: skip

BY_NAME: dict[str, Option] = {name: option for option in OPTIONS for name in option.names}

# Options of QEMU's that a user may well type and that have no near relative here: "did you mean" would mislead.
_ONLY_QEMU = """
    sd mtdblock netdev gdb s S qmp mon virtfs fsdev loadvm incoming daemonize
    pidfile vnc spice usb usbdevice audiodev semihosting semihosting-config numa plugin trace sandbox boot
    no-shutdown watchdog tpmdev smbios readconfig writeconfig singlestep
""".split()  # noqa: SIM905

# ... and those for which something else does the same.
_INSTEAD = {
    **{name: "-drive file=FILE,format=raw,if=virtio" for name in ("hda", "hdb", "hdc", "hdd")},
    "cdrom": "-drive file=FILE,format=raw,if=virtio,readonly=on",
    "pflash": "-drive file=FILE,format=raw,if=pflash",
}


@dataclass
class CommandLine:
    """What was typed, in order, before anybody has judged the values."""

    values: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    positional: list[str] = field(default_factory=list[str])

    def has(self, name: str) -> bool:
        return name in self.values

    def last(self, name: str, default: str | None = None) -> str | None:
        return self.values[name][-1] if self.values.get(name) else default

    def each(self, name: str) -> list[str]:
        return self.values.get(name, [])


def parse(argv: Sequence[str]) -> CommandLine:
    """Sort the words of a command line; `-opt` and `--opt` are the same."""
    line = CommandLine()
    words = iter(argv)
    for word in words:
        if not word.startswith("-") or word == "-":
            line.positional.append(word)
            continue
        option = _find(word)
        found = line.values.setdefault(option.name, [])
        if option.takes is Takes.NOTHING:
            continue
        argument = next(words, None)
        if argument is None:
            raise UserError(f"{word}: needs an argument: {option.argument}")
        found.append(argument)
    return line


def _find(word: str) -> Option:
    name = word.removeprefix("-").removeprefix("-")
    if name in BY_NAME:
        return BY_NAME[name]
    if name in _ONLY_QEMU:
        raise UserError(f"{word}: xemu does not have this option of QEMU's; 'xemu -h' lists what there is")
    if name in _INSTEAD:
        raise UserError(f"{word}: xemu does not have this option of QEMU's; use {_INSTEAD[name]}")
    known = [f"-{known}" for known in BY_NAME]
    raise UserError(f"{word}: unknown option{did_you_mean(f'-{name}', known, 'xemu -h lists them')}")
