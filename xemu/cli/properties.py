"""Checking key=value against the catalogue."""

from xemu.cli.catalog import Property
from xemu.cli.keyval import parse_bool
from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError


def check_property(where: str, key: str, value: str, properties: dict[str, Property]) -> None:
    """One key=value against the catalogue's declaration."""
    if key not in properties:
        hint = did_you_mean(key, properties, f"it has {listed(properties)}" if properties else "it has none")
        raise UserError(f"{where}: no property '{key}'{hint}")
    declared = properties[key]
    if declared.boolean:
        parse_bool(where, key, value)
    elif declared.values and value not in declared.values:
        raise UserError(f"{where}: {key}={value} is not supported ({declared.help}); use {key}={declared.values[0]}")
    elif not value:
        raise UserError(f"{where}: {key}= is empty; {key} is: {declared.help}")
