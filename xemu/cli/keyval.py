"""QEMU's `value,key=value,flag` argument syntax, where `,,` stands for one comma inside a value."""

import re

from xemu.errors import UserError

_BOOLEANS = {"on": True, "yes": True, "true": True, "y": True, "off": False, "no": False, "false": False, "n": False}
_SIZE_UNITS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_SIZE = re.compile(r"(\d+(?:\.\d+)?|0x[0-9a-f]+)([bkmgtpe]?)", re.ASCII)


def split_commas(text: str) -> list[str]:
    """Split at single commas; a doubled comma is a comma of the value."""
    parts = [""]
    position = 0
    while position < len(text):
        if text.startswith(",,", position):
            parts[-1] += ","
            position += 2
        elif text[position] == ",":
            parts.append("")
            position += 1
        else:
            parts[-1] += text[position]
            position += 1
    return parts


def parse_keyval(option: str, text: str, implied: str | None = None) -> dict[str, str]:
    """`virt,gic-version=2` with implied="type" gives {"type": "virt", "gic-version": "2"}; a bare word means `on`.

    A key given twice is an error, since one of the two would silently lose.
    """
    result: dict[str, str] = {}
    for index, part in enumerate(split_commas(text)):
        key, equals, value = part.partition("=")
        if index == 0 and implied is not None and not equals:
            key, value = implied, part
        elif not equals:
            value = "on"
        if not key or (key == implied and not value):
            raise UserError(f"{option} {text}: an empty name in part {index + 1}; write NAME=VALUE; ',,' is a comma")
        if key in result:
            raise UserError(f"{option} {text}: '{key}' is given twice; keep one of them")
        result[key] = value
    return result


def parse_bool(option: str, key: str, value: str) -> bool:
    if value not in _BOOLEANS:
        raise UserError(f"{option}: {key}={value} is neither on nor off")
    return _BOOLEANS[value]


def parse_int(option: str, key: str, value: str, low: int, high: int) -> int:
    what = f"{key}={value}" if key else f"'{value}'"
    try:
        number = int(value, 0) if value.isascii() else None
    except ValueError:
        number = None
    if number is None:
        raise UserError(f"{option}: {what} is not a number; it must be {low} to {high}")
    if not low <= number <= high:
        raise UserError(f"{option}: {what} is out of range; it must be {low} to {high}")
    return number


def parse_size(option: str, value: str, default_unit: str) -> int:
    """A size in bytes: a number with an optional suffix B, K, M, G, T, P or E (powers of 1024)."""
    match = _SIZE.fullmatch(value.strip().lower())
    # 'b' and 'e' are hexadecimal digits, so a hex number takes no suffix: 0x10e would have two meanings.
    if match is None or (match[1].startswith("0x") and match[2]):
        raise UserError(f"{option}: '{value}' is not a size; write a number and K, M, G or T, such as 512M or 2G")
    shift = _SIZE_UNITS[match[2] or default_unit.lower()]
    if "." in match[1]:
        return int(float(match[1]) * (1 << shift))
    return int(match[1], 0 if match[1].startswith("0x") else 10) << shift
