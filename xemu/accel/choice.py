"""Which accelerator runs a machine, and why, in one line for the user."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xemu.cli.accels import AccelSpec
from xemu.errors import UserError

if TYPE_CHECKING:
    from xemu.accel.base import Accelerator
    from xemu.accel.virtual_clock import VirtualClock

TRANSLATED = ("aarch64",)  # architectures of the guests that the translator has
_UNNAMED = (AccelSpec("kvm"), AccelSpec("tcg"))


@dataclass(frozen=True)
class Wanted:
    """The machine to be run."""

    board: str
    arch: str
    cpu: str | None  # None: the user names no model
    default_cpu: str
    clock: "VirtualClock | None" = None  # time is to be made of instructions


@dataclass(frozen=True)
class Choice:
    accelerator: "Accelerator"
    cpu: str
    reason: str | None = None  # why this one, where the user left it open
    clock: "VirtualClock | None" = None  # the time that the guest sees, if not the host's


class _Unfit(Exception):
    """Why an accelerator can't run this machine, and what helps."""


def host_architecture() -> str:
    name = os.uname().machine
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)


def choose(specs: Sequence[AccelSpec], wanted: Wanted) -> Choice:
    """The first of these that can run the machine; with none named, KVM before the translator."""
    reasons: list[tuple[str, str]] = []
    for spec in specs or _UNNAMED:
        try:
            accelerator = _open(spec, wanted)
        except _Unfit as unfit:
            reasons.append((spec.name, str(unfit)))
            continue
        cpu = wanted.cpu or accelerator.default_cpu or wanted.default_cpu
        try:
            accelerator.check_cpu(cpu)
        except UserError as error:
            accelerator.close()
            reasons.append((spec.name, str(error)))
            continue
        reason = None if len(specs) == 1 else _reason(accelerator, reasons)
        return Choice(accelerator, cpu, reason, wanted.clock)
    raise UserError(_complaint(specs, wanted, reasons))


def _open(spec: AccelSpec, wanted: Wanted) -> "Accelerator":
    if spec.name == "kvm":
        return _open_kvm(spec, wanted)
    if wanted.arch not in TRANSLATED:
        raise _Unfit(f"the translator has no {wanted.arch} guests yet")
    # Only here does the translator load: help, errors and KVM do without it.
    from xemu.accel.tcg import TcgAccelerator

    return TcgAccelerator(spec.engine, spec.code_cache, wanted.clock)


def _open_kvm(spec: AccelSpec, wanted: Wanted) -> "Accelerator":
    host = host_architecture()
    if wanted.clock is not None:
        raise _Unfit("-icount counts instructions, which KVM does not")
    if wanted.arch != host:
        raise _Unfit(
            f"'{wanted.board}' has {wanted.arch} CPUs and this host is {host}: KVM runs only the host's own kind"
        )
    if sys.platform != "linux":
        raise _Unfit("KVM is Linux's")
    try:
        if host == "x86_64":
            from xemu.accel.kvm.x86 import X86Kvm

            return X86Kvm(spec.kernel_irqchip)
        if host == "aarch64":
            if spec.kernel_irqchip != "on":
                raise _Unfit(f"KVM on {host} has no kernel-irqchip={spec.kernel_irqchip}; leave it out")
            from xemu.accel.kvm.arm import ArmKvm

            return ArmKvm()
    except UserError as error:
        raise _Unfit(str(error)) from None
    raise _Unfit(f"KVM on {host} is not supported here")


def _reason(accelerator: "Accelerator", reasons: list[tuple[str, str]]) -> str:
    what = {"kvm": "KVM (-accel kvm)", "tcg": "the translator (-accel tcg)"}[accelerator.name]
    if reasons:
        return f"using {what}: {reasons[0][0]}: {reasons[0][1]}"
    return f"using {what}: guest and host are of the same architecture, and KVM works"


def _complaint(specs: Sequence[AccelSpec], wanted: Wanted, reasons: list[tuple[str, str]]) -> str:
    if len(specs) == 1:
        name, reason = reasons[0]
        hint = "; or use -accel tcg" if name == "kvm" and wanted.arch in TRANSLATED else ""
        return f"-accel {name}: {reason}{hint}"
    return f"no accelerator runs '{wanted.board}': " + "; ".join(f"{name}: {reason}" for name, reason in reasons)
