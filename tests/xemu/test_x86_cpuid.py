"""x86 CPU models: what -cpu says, what CPUID shows, and that QEMU's models of these names are the same."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from targets.x86.cpuid import FEATURES, WORDS
from targets.x86.models import MODELS
from xemu.accel.kvm import x86_cpuid
from xemu.accel.kvm.x86_cpuid import Leaf, Leaves
from xemu.accel.x86_cpu import parse
from xemu.errors import UserError

SIGNIFICANT_INDEX = 1


@pytest.fixture
def host() -> Leaves:
    """A host that has everything, of no known vendor."""
    leaves: Leaves = {(0, 0): Leaf(0, 0x1F, *(0x58585858,) * 3), (1, 0): Leaf(0, 0x12345, 0x0001_0800)}
    leaves |= {(4, 0): Leaf(SIGNIFICANT_INDEX, 0x0400_0121), (4, 1): Leaf(SIGNIFICANT_INDEX, 0x0400_0163)}
    leaves |= {(0xB, 0): Leaf(SIGNIFICANT_INDEX), (0xD, 0): Leaf(SIGNIFICANT_INDEX, 7, 832, 832)}
    leaves |= {(0x4000_0000, 0): Leaf(0, 0x4000_0001), (0x8000_0000, 0): Leaf(0, 0x8000_0008)}
    leaves |= {(0x8000_0008, 0): Leaf(0, 0x3030), (0xA, 0): Leaf(0, 0x0730_0402)}
    for word in WORDS:
        leaf = leaves.setdefault(word[:2], Leaf(SIGNIFICANT_INDEX if word.leaf in (7, 0xD) else 0))
        setattr(leaf, word.register, 0xFFFF_FFFF)
    return leaves


def build(text: str, host: Leaves) -> Leaves:
    return x86_cpuid.build(parse(text), host)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_shows_itself(name: str, host: Leaves) -> None:
    model, leaves = MODELS[name], build(name, host)
    assert x86_cpuid.features(leaves) - {n for n in FEATURES if n.startswith("kvm")} == model.features
    assert x86_cpuid.vendor(leaves) == model.vendor
    assert leaves[0, 0].eax == model.level and leaves[0x8000_0000, 0].eax == model.xlevel
    assert leaves[1, 0].eax == model.signature
    assert leaves[0x8000_0008, 0].eax == 0x3030  # addresses are as wide as the host's
    assert ((0xD, 0) in host and "xsave" in model.features) == (leaves.get((0xD, 0), Leaf(0)).eax == 7)


def test_features_are_switched(host: Leaves) -> None:
    found = x86_cpuid.features(build("qemu64,+aes,-cx16,sse4_2=on,kvmclock=off", host))
    assert {"aes", "sse4.2"} <= found and not {"cx16", "kvmclock"} & found
    assert "avx" in x86_cpuid.features(build("host", host))
    assert "avx" not in x86_cpuid.features(build("max,-avx", host))


def test_what_models_have_of_kvms_own(host: Leaves) -> None:
    found = {name for name in x86_cpuid.features(build("qemu64", host)) if name.startswith("kvm")}
    assert found == {
        *("kvmclock", "kvmclock2", "kvm-nopiodelay", "kvm-asyncpf", "kvm-steal-time", "kvm-pv-eoi"),
        "kvmclock-stable-bit",
    }
    assert "kvm-pv-ipi" in x86_cpuid.features(build("qemu64,+kvm-pv-ipi", host))
    assert "kvm-pv-ipi" in x86_cpuid.features(build("host", host))


def test_what_the_host_lacks_is_an_error_that_names_host(host: Leaves) -> None:
    host[7, 0].ebx = 0
    build("Nehalem", host)
    build("Haswell,-avx2,-bmi1,-bmi2,-erms,-fsgsbase,-invpcid,-smep", host)
    with pytest.raises(UserError) as caught:
        build("Haswell,-avx2", host)
    text = "-cpu Haswell: the host's KVM can't give it bmi1, bmi2, erms, fsgsbase, invpcid, smep; use -cpu host"
    assert str(caught.value) == text
    with pytest.raises(UserError, match="can't give it avx2; use -cpu host"):
        build("host,+avx2", host)


def test_kvm_may_be_hidden(host: Leaves) -> None:
    assert (0x4000_0000, 0) in build("host", host)
    assert not any(0x4000_0000 <= function < 0x5000_0000 for function, _ in build("host,kvm=off", host))


def test_there_are_no_performance_counters(host: Leaves) -> None:
    assert build("host", host)[0xA, 0] == Leaf(0)


def test_each_cpu_has_its_place(host: Leaves) -> None:
    leaves = x86_cpuid.for_cpu(build("host", host), 2, 6)
    assert leaves[1, 0].ebx == 2 << 24 | 6 << 16 | 0x0800
    assert leaves[0xB, 0] == Leaf(SIGNIFICANT_INDEX, 0, 1, 0x100, 2)
    assert leaves[0xB, 1] == Leaf(SIGNIFICANT_INDEX, 3, 6, 0x201, 2)
    assert leaves[4, 0].eax >> 26 == 7 and leaves[4, 0].eax >> 14 & 0xFFF == 0  # eight ids; a cache of one core
    assert leaves[4, 1].eax >> 14 & 0xFFF == 7  # the last level, of all
    assert "ht" in x86_cpuid.features(leaves)
    assert "ht" not in x86_cpuid.features(x86_cpuid.for_cpu(build("host", host), 0, 1))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hots", "-cpu hots: no such CPU; did you mean 'host'"),
        ("host,+sse9", "-cpu host: no feature 'sse9'"),
        ("host,avx=maybe", "avx=maybe"),
        ("", "no such CPU"),
    ],
)
def test_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert complaint in str(caught.value)


# In KVM guests of QEMU's these are off or set by KVM, whatever the model says.
NOT_FOR_GUESTS = {"svm", "npt", "nrip-save", "monitor"}
VERSIONS = {"Haswell": "Haswell-v4", "Skylake-Client": "Skylake-Client-v4", "EPYC": "EPYC-v1", "Nehalem": "Nehalem-v1"}


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="qemu-system-x86_64 is not installed")
def test_models_are_those_of_qemu() -> None:
    commands = [{"execute": "qmp_capabilities"}]
    for name in MODELS:
        model = {"name": VERSIONS.get(name, name)}
        commands.append({"execute": "query-cpu-model-expansion", "arguments": {"type": "static", "model": model}})
    commands.append({"execute": "quit"})
    command = ["qemu-system-x86_64", "-M", "none", "-S", "-nographic", "-qmp", "stdio", "-monitor", "none"]
    text = "\n".join(json.dumps(each) for each in commands)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
    answers = [json.loads(line).get("return", {}) for line in done.stdout.splitlines()]
    theirs = [answer["model"]["props"] for answer in answers if "model" in answer]
    assert len(theirs) == len(MODELS)
    for model, properties in zip(MODELS.values(), theirs, strict=True):
        on = {name for name, value in properties.items() if value is True and name in FEATURES} - NOT_FOR_GUESTS
        assert on == model.features, model.name
        for key, value in (("vendor", model.vendor), ("family", model.family), ("model", model.model),
                           ("stepping", model.stepping), ("model-id", model.brand)):  # fmt: skip
            assert properties[key] == value, (model.name, key)
        assert (properties["min-level"], properties["min-xlevel"]) == (model.level, model.xlevel)
