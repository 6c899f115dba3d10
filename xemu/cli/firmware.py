"""What firmware finds: the images in the board's two flashes, and the files of -fw_cfg."""

from dataclasses import dataclass

from xemu.cli.drives import DiskSpec
from xemu.cli.keyval import parse_keyval
from xemu.cli.options import CommandLine
from xemu.cli.suggest import did_you_mean
from xemu.errors import UserError

FLASHES = 2
# The directory that guests read has 32 entries of 56 bytes for a name, a zero included.
_MAX_FILES, _MAX_NAME = 32, 55


@dataclass(frozen=True)
class FwCfgSpec:
    """One -fw_cfg: a text, or a file to read."""

    where: str
    name: str
    path: str | None = None
    text: str = ""


def flash_images(
    machine_options: dict[str, str], disks: dict[str, DiskSpec], users: dict[str, str]
) -> tuple[str | None, ...]:
    """Names of the images in the flashes; `users` is who has which disk."""
    found: list[str | None] = [None] * FLASHES
    for disk in disks.values():
        if disk.interface == "pflash":
            if found[disk.unit] is not None:
                raise UserError(f"{disk.where}: flash {disk.unit} has an image already")
            found[disk.unit] = disk.name
    for unit in range(FLASHES):
        key = f"pflash{unit}"
        name = machine_options.get(key)
        if name is None:
            continue
        where = f"-M {key}={name}"
        if name not in disks:
            hint = did_you_mean(name, disks, f"add -blockdev file,node-name={name},filename=FILE")
            raise UserError(f"{where}: there is no node '{name}'{hint}")
        if disks[name].interface != "none" or name in users:
            raise UserError(f"{where}: '{name}' is in use already")
        if found[unit] is not None:
            raise UserError(f"{where}: flash {unit} has an image already ({disks[found[unit] or ''].where})")
        found[unit] = name
        users[name] = where
    return tuple(found)


def parse_fw_cfg(line: CommandLine) -> tuple[FwCfgSpec, ...]:
    found: dict[str, FwCfgSpec] = {}
    for argument in line.each("fw_cfg"):
        where = f"-fw_cfg {argument}"
        options = parse_keyval("-fw_cfg", argument, implied="name")
        for key in options:
            if key not in ("name", "file", "string"):
                raise UserError(f"{where}: no property '{key}'{did_you_mean(key, ('name', 'file', 'string'))}")
        name = options.get("name", "")
        if not name or ("file" in options) == ("string" in options):
            raise UserError(f"{where}: write name=opt/NAME and either file=FILE or string=TEXT")
        if len(name.encode()) > _MAX_NAME or not name.isascii() or not name.isprintable():
            raise UserError(f"{where}: a name is up to {_MAX_NAME} printable ASCII characters")
        if name in found:
            raise UserError(f"{where}: there is a file '{name}' already")
        found[name] = FwCfgSpec(where, name, options.get("file"), options.get("string", ""))
    if len(found) > _MAX_FILES:
        raise UserError(f"-fw_cfg: {len(found)} files are too many; there may be {_MAX_FILES}")
    return tuple(found.values())
