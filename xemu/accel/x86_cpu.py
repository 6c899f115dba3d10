"""What `-cpu` says of an x86 CPU."""

from dataclasses import dataclass, field

from targets.x86.cpuid import FEATURES, canonical
from targets.x86.models import MODELS
from xemu.cli.keyval import parse_bool, parse_keyval, split_commas
from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError

HOST_MODELS = ("host", "max")  # all that the accelerator can give


@dataclass(frozen=True)
class Choice:
    """A model, and features switched on and off."""

    model: str
    switches: dict[str, bool] = field(default_factory=dict[str, bool])
    kvm: bool = True  # whether the guest may see that it is on KVM


def parse(text: str) -> Choice:
    """`NAME[,+FEATURE][,-FEATURE][,FEATURE=on|off]`."""
    name, *words = split_commas(text)
    known = (*HOST_MODELS, *MODELS)
    if name not in known:
        raise UserError(f"-cpu {name}: no such CPU{did_you_mean(name, known, f'use {listed(known)}')}")
    switches: dict[str, bool] = {}
    kvm = True
    for word in words:
        if word[:1] in ("+", "-"):
            feature, on = canonical(word[1:]), word[0] == "+"
        else:
            key, value = next(iter(parse_keyval(f"-cpu {name}", word).items()))
            feature, on = canonical(key), parse_bool(f"-cpu {name}", key, value)
        if feature == "kvm":
            kvm = on
        elif feature in FEATURES:
            switches[feature] = on
        else:
            hint = did_you_mean(feature, FEATURES, "'xemu -cpu help' lists them")
            raise UserError(f"-cpu {name}: no feature '{feature}'{hint}")
    return Choice(name, switches, kvm)
