"""`-accel`, `-enable-kvm` and `-M accel=`: the accelerators to try, in order."""

from dataclasses import dataclass

from xemu.cli.catalog import ACCELS, CODE_CACHE, MIB, MOST_CODE_CACHE
from xemu.cli.keyval import parse_int, parse_keyval
from xemu.cli.options import CommandLine
from xemu.cli.properties import check_property
from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError


@dataclass(frozen=True)
class AccelSpec:
    """One accelerator with its properties; those of the others keep their defaults."""

    name: str
    engine: str = "baseline"
    code_cache: int = CODE_CACHE * MIB  # bytes
    kernel_irqchip: str = "on"


def parse_accels(line: CommandLine, machine_options: dict[str, str]) -> tuple[AccelSpec, ...]:
    """Those that are named, `-accel` before the older spellings; none where the choice is ours."""
    irqchip = machine_options.get("kernel-irqchip")  # an older place for this property of KVM's
    found = [spec for text in line.each("accel") for spec in _parse("-accel", text, irqchip)]
    if not found and "accel" in machine_options:
        found = _parse("-M accel", machine_options["accel"], irqchip)
    if not found and line.has("enable-kvm"):
        found = _parse("-enable-kvm", "kvm", irqchip)
    if not found and irqchip is not None:
        found = _parse("-M kernel-irqchip", "kvm:tcg", irqchip)
    return tuple(found)


def _parse(where: str, text: str, irqchip: str | None) -> list[AccelSpec]:
    """`NAME[:NAME...][,PROP=VALUE...]`: the properties belong to the accelerators that have them."""
    options = parse_keyval(where, text, implied="accel")
    names = options.pop("accel", "").split(":")
    for name in names:
        if name not in ACCELS:
            hint = did_you_mean(name, ACCELS, f"use {listed(ACCELS)}")
            raise UserError(f"{where} {name}: no such accelerator{hint}")
    for key, value in options.items():
        owner = next((name for name in names if key in ACCELS[name]), names[0])
        check_property(f"{where} {owner}", key, value, ACCELS[owner])
    # QEMU takes more than it can use as what it can use, and so do we
    cache = min(parse_int(f"{where} {text}", "tb-size", options.get("tb-size", "0"), 0, 1 << 20), MOST_CODE_CACHE)
    engine, irqchip = options.get("engine", "baseline"), options.get("kernel-irqchip", irqchip or "on")
    return [AccelSpec(name, engine, (cache or CODE_CACHE) * MIB, irqchip) for name in names]
