"""Which accelerator runs a machine, and what is said where one can't."""

from __future__ import annotations

import os

import pytest

from xemu.accel import choice
from xemu.accel.choice import Wanted
from xemu.accel.kvm import accelerator as kvm
from xemu.accel.kvm.api import Cap, Handle, Ioctl
from xemu.cli import options
from xemu.cli.accels import AccelSpec, parse_accels
from xemu.errors import UserError

VIRT = Wanted("virt", "aarch64", None, "cortex-a57")
MICROVM = Wanted("microvm", "x86_64", None, "qemu64")
KVM, TCG = AccelSpec("kvm"), AccelSpec("tcg")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch):
    """An x86-64 host whose /dev/kvm is not there."""
    monkeypatch.setattr(choice, "host_architecture", lambda: "x86_64")
    monkeypatch.setattr(kvm, "DEVICE", "/nowhere/kvm")
    return monkeypatch


def complaint(*specs: AccelSpec, wanted: Wanted) -> str:
    with pytest.raises(UserError) as caught:
        choice.choose(specs, wanted)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_guest_of_another_architecture(host) -> None:
    found = choice.choose((), VIRT)
    assert (found.accelerator.name, found.cpu) == ("tcg", "cortex-a57")
    assert found.reason is not None and "aarch64" in found.reason and "x86_64" in found.reason
    assert choice.choose((TCG,), VIRT).reason is None
    text = complaint(KVM, wanted=VIRT)
    assert text.startswith("-accel kvm: 'virt' has aarch64 CPUs and this host is x86_64")
    assert text.endswith("or use -accel tcg")


def test_the_next_of_several(host) -> None:
    found = choice.choose((KVM, TCG), VIRT)
    assert found.accelerator.name == "tcg" and found.reason is not None and "kvm: 'virt'" in found.reason


@pytest.mark.parametrize(
    ("words", "machine", "expected"),
    [
        (["-accel", "kvm,kernel-irqchip=split"], {}, [("kvm", "split")]),
        (["-enable-kvm"], {"kernel-irqchip": "split"}, [("kvm", "split")]),
        ([], {"kernel-irqchip": "split", "accel": "kvm"}, [("kvm", "split")]),
        ([], {"kernel-irqchip": "split"}, [("kvm", "split"), ("tcg", "split")]),  # which one is left open
        (["-accel", "kvm,kernel-irqchip=on"], {"kernel-irqchip": "split"}, [("kvm", "on")]),
        (["-accel", "kvm"], {}, [("kvm", "on")]),
    ],
)
def test_kernel_irqchip_stands_in_two_places(words: list[str], machine: dict[str, str], expected: list) -> None:
    specs = parse_accels(options.parse(words), machine)
    assert [(spec.name, spec.kernel_irqchip) for spec in specs] == expected


def test_no_translator_for_the_guest(host) -> None:
    assert complaint(TCG, wanted=MICROVM) == "-accel tcg: the translator has no x86_64 guests yet"
    text = complaint(wanted=MICROVM)
    assert text.startswith("no accelerator runs 'microvm': kvm: there is no /nowhere/kvm") and "; tcg: the" in text


def test_a_model_of_kvms_only(host) -> None:
    with_host = Wanted("virt", "aarch64", "host", "cortex-a57")
    assert "-cpu host: the translator has cortex-a53" in complaint(TCG, wanted=with_host)


# Each way in which KVM can fail


def test_no_device(host) -> None:
    text = complaint(KVM, wanted=MICROVM)
    assert text.startswith("-accel kvm: there is no /nowhere/kvm; load the module (modprobe kvm_intel or kvm_amd)")


@pytest.mark.parametrize(
    ("error", "text"),
    [(PermissionError(13, "Permission denied"), "usermod -aG kvm"), (OSError(19, "No such device"), "modprobe kvm")],
)
def test_a_device_that_does_not_open(host, error: OSError, text: str) -> None:
    def refuse(*_: object) -> int:
        raise error

    host.setattr(os, "open", refuse)
    assert text in complaint(KVM, wanted=MICROVM)


class FakeSystem(Handle):
    """/dev/kvm of another kernel."""

    def __init__(self, version: int = 12, lacks: int | None = None, vm: OSError | None = None) -> None:
        super().__init__(os.open(os.devnull, os.O_RDONLY))
        self.version, self.lacks, self.vm = version, lacks, vm

    def call(self, request: Ioctl, argument: int | bytearray = 0) -> int:
        if request == Ioctl.GET_API_VERSION:
            return self.version
        if request == Ioctl.CHECK_EXTENSION:
            return argument != self.lacks
        assert request == Ioctl.CREATE_VM and self.vm is not None
        raise UserError("refused") from self.vm


@pytest.mark.parametrize(
    ("system", "text"),
    [
        (FakeSystem(version=11), "speaks version 11 of its interface, not 12"),
        (FakeSystem(lacks=Cap.IRQFD), "the host's KVM lacks KVM_CAP_IRQFD; use a newer kernel"),
        (FakeSystem(vm=OSError(16, "Device or resource busy")), "busy; is another hypervisor active"),
    ],
)
def test_a_device_that_is_not_enough(host, system: FakeSystem, text: str) -> None:
    host.setattr(kvm, "DEVICE", os.devnull)
    host.setattr(kvm, "Handle", lambda fd: os.close(fd) or system)
    assert text in complaint(KVM, wanted=MICROVM)
    assert system.fd == -1  # closed
