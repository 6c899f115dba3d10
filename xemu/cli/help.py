"""Help texts, all made from the tables that parsing uses."""

import textwrap
from collections.abc import Callable, Iterable

from targets.x86.cpuid import FEATURES
from xemu.chardev.spec import KINDS
from xemu.cli import log
from xemu.cli.catalog import ACCELS, BLOCKDEVS, CPUS, DEVICES, DRIVE, MACHINES, Property
from xemu.cli.keyval import parse_keyval, split_commas
from xemu.cli.options import OPTIONS, CommandLine

USAGE = """\
usage: xemu -M BOARD [-cpu MODEL] [-m SIZE] [OPTION...] KERNEL
       xemu explain HEX...            what becomes of an instruction, stage by stage
       xemu cache info|clear          compiled code of earlier runs: how much it is, and away with it
       xemu guests debian             fetch a Debian kernel and make a busybox ramdisk

Boots a guest of another architecture. Options are QEMU's; -opt and --opt are the same.
On the terminal, Ctrl-A x ends xemu and Ctrl-A h lists the other keys."""

_COLUMN = 32
_WIDTH = 100


def _rows(pairs: Iterable[tuple[str, str]], indent: str = "  ", column: int = _COLUMN) -> str:
    """Two columns, the second one wrapped."""
    out: list[str] = []
    for left, right in pairs:
        start = f"{indent}{left}".ljust(column - 1) + " "
        if right:
            out += textwrap.wrap(right, _WIDTH, initial_indent=start, subsequent_indent=" " * column)
        else:
            out.append(start.rstrip())
    return "\n".join(out)


def usage() -> str:
    parts = [USAGE]
    groups = dict.fromkeys(option.group for option in OPTIONS)
    for group in groups:
        rows = [
            (f"{', '.join('-' + name for name in option.names)} {option.argument}".rstrip(), option.help)
            for option in OPTIONS
            if option.group == group
        ]
        parts.append(f"\n{group}:\n{_rows(rows)}")
    return "\n".join(parts)


def _machines(line: CommandLine) -> str:
    return "Supported machines are:\n" + _rows(((name, kind.help) for name, kind in MACHINES.items()), "", 21)


def _cpus(line: CommandLine) -> str:
    """Those of the board that is named; else all."""
    named = [parse_keyval("-M", text, implied="type").get("type") for text in line.each("M")]
    boards = [MACHINES[name] for name in named if name in MACHINES]
    archs = [boards[-1].arch] if boards else list(CPUS)
    out = [f"Available CPUs ({arch}):\n{_rows(CPUS[arch].items(), column=18)}" for arch in archs]
    if "x86_64" in archs:
        out.append("Features (x86_64), switched by ,+NAME ,-NAME or ,NAME=on|off:")
        out += textwrap.wrap(
            " ".join(FEATURES), _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
    return "\n".join(out)


def _devices(line: CommandLine) -> str:
    rows = ((f'name "{name}"', kind.help) for name, kind in DEVICES.items())
    return "Devices:\n" + _rows(rows, "")


def _log_items(line: CommandLine) -> str:
    return "Log items (comma separated):\n" + _rows([*log.ITEMS.items(), ("all", "all of them")], "", 16)


def _accels(line: CommandLine) -> str:
    out = ["Accelerators:"]
    for name, properties in ACCELS.items():
        out += [name, _properties(properties)]
    return "\n".join(out)


def _chardevs(line: CommandLine) -> str:
    out = ["Available chardev backend types:"]
    for name, kind in KINDS.items():
        out.append(_rows([(name, kind.help)], column=14))
        out.append(_rows(((f"{key}=", text) for key, text in kind.keys.items()), "      ", 20))
    return "\n".join(part for part in out if part)


def _drive(line: CommandLine) -> str:
    return f"Properties of a drive:\n{_properties(DRIVE)}"


def _blockdevs(line: CommandLine) -> str:
    out = ["Block drivers:"]
    for name, properties in BLOCKDEVS.items():
        out += [name, _properties(properties)]
    return "\n".join(out)


def _properties(properties: dict[str, Property]) -> str:
    def text(declared: Property) -> str:
        values = "on, off" if declared.boolean else ", ".join(declared.values)
        return f"{declared.help} ({values})" if values else declared.help

    return _rows(((f"{name}=", text(declared)) for name, declared in properties.items()), column=26)


_HELP: dict[str, Callable[[CommandLine], str]] = {
    "M": _machines,
    "cpu": _cpus,
    "device": _devices,
    "drive": _drive,
    "blockdev": _blockdevs,
    "d": _log_items,
    "accel": _accels,
    "chardev": _chardevs,
}
_PROPERTIES = {
    "M": {name: kind.properties for name, kind in MACHINES.items()},
    "device": {name: kind.properties for name, kind in DEVICES.items()},
}


def requested(line: CommandLine) -> str | None:
    """The help text that the command line asks for, if it does; help wins over everything else."""
    if line.has("h"):
        return usage()
    for option, make in _HELP.items():
        for text in line.each(option):
            words = split_commas(text)
            if words[0] in ("help", "?"):
                return make(line)
            known = _PROPERTIES.get(option, {})
            if words[-1] in ("help", "?") and words[0] in known:
                return f"{words[0]} options:\n{_properties(known[words[0]])}"
    return None
