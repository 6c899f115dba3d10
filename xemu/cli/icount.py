"""`-icount`: the guest's time is made of its instructions."""

from dataclasses import dataclass

from xemu.cli.keyval import parse_bool, parse_int, parse_keyval
from xemu.cli.options import CommandLine
from xemu.cli.suggest import did_you_mean
from xemu.errors import UserError

_MAX_SHIFT = 10  # QEMU's: about a million instructions a second
_KEYS = ("shift", "sleep", "align", "rr", "rrfile", "rrsnapshot")


@dataclass(frozen=True)
class IcountSpec:
    """An instruction takes 1 << shift ns. sleep: idle time passes at the host's pace, not at once."""

    shift: int
    sleep: bool = True


def parse_icount(line: CommandLine, cpus: int) -> IcountSpec | None:
    options: dict[str, str] = {}
    for text in line.each("icount"):
        options |= parse_keyval("-icount", text, implied="shift")
    if not line.has("icount"):
        return None
    for key in options:
        if key not in _KEYS:
            raise UserError(f"-icount: no property '{key}'{did_you_mean(key, _KEYS, 'write -icount shift=N')}")
        if key.startswith("rr"):
            raise UserError(f"-icount: {key}= is not there: runs are not recorded")
    if parse_bool("-icount", "align", options.get("align", "off")):
        raise UserError("-icount: align=on is not there: the guest's time is not held back to the host's")
    shift = options.get("shift")
    if shift is None:
        raise UserError("-icount: it needs shift=N: an instruction takes 2 to the power of N ns")
    if shift == "auto":
        raise UserError("-icount: shift=auto is not there, and would not be deterministic; choose one, 0 to 10")
    if cpus > 1:
        raise UserError(f"-icount: counting the instructions of {cpus} CPUs is not there; use -smp 1")
    number = parse_int("-icount", "shift", shift, 0, _MAX_SHIFT)
    return IcountSpec(number, parse_bool("-icount", "sleep", options.get("sleep", "on")))
