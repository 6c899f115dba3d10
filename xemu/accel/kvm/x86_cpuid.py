"""What CPUID shows a guest: a model, or the host, within what KVM can give (4.46, 4.72)."""

import struct
from dataclasses import dataclass
from pathlib import Path

from targets.x86.cpuid import FEATURES, WORDS, names_of
from targets.x86.models import AMD, MODELS, Model
from xemu.accel.kvm.api import Handle, Ioctl
from xemu.accel.x86_cpu import HOST_MODELS, Choice
from xemu.errors import UserError

_ENTRY = struct.Struct("<7I12x")  # struct kvm_cpuid_entry2: function, index, flags, the four registers
_SIGNIFICANT_INDEX = 1
_ROOM = 256  # entries: more than any host has
_KVM_LEAF, _KVM_FEATURES, _KVM_END = 0x4000_0000, 0x4000_0001, 0x4000_0100
# Set by the vCPU as its control registers change, or by the topology: no matter of the model
_DYNAMIC = {"osxsave", "ospke", "ht", "cmp-legacy", "apic", "hypervisor"}
# KVM does these in its local APIC, and does not list them before there is one (4.46).
_IN_LAPIC = ("x2apic", "tsc-deadline")
# What a guest uses by hypercalls. Where this module of the kernel's is, KVM emulates the guest's kernel, and there a
# hypercall never comes back: KVM's emulator puts the CPU's own instruction into its place and starts that over, without
# end. (QEMU's guests with +kvm-pv-ipi hang there, too.)
_BY_HYPERCALL = ("kvm-pv-unhalt", "kvm-pv-ipi", "kvm-pv-sched-yield")
_WITHOUT_HYPERCALLS = Path("/sys/module/kvm_pvm")
# What named models have of KVM's own, as with QEMU; `-cpu host` has all.
_OF_MODELS = (
    *("kvmclock", "kvmclock2", "kvm-nopiodelay", "kvm-asyncpf", "kvm-steal-time", "kvm-pv-eoi"),
    "kvmclock-stable-bit",
)


@dataclass
class Leaf:
    flags: int
    eax: int = 0
    ebx: int = 0
    ecx: int = 0
    edx: int = 0


Leaves = dict[tuple[int, int], Leaf]


def supported(system: Handle) -> Leaves:
    """All that KVM can give on this host."""
    data = bytearray(8 + _ENTRY.size * _ROOM)
    struct.pack_into("<I", data, 0, _ROOM)
    system.call(Ioctl.GET_SUPPORTED_CPUID, data)
    found: Leaves = {}
    for n in range(struct.unpack_from("<I", data)[0]):
        function, index, flags, *registers = _ENTRY.unpack_from(data, 8 + _ENTRY.size * n)
        found[function, index if flags & _SIGNIFICANT_INDEX else 0] = Leaf(flags, *registers)
    for name in _IN_LAPIC:
        _set(found, name, True)
    if _WITHOUT_HYPERCALLS.exists():
        for name in _BY_HYPERCALL:
            _set(found, name, False)
    return found


def set_cpuid(vcpu: Handle, leaves: Leaves) -> None:
    entries = [
        _ENTRY.pack(function, index, leaf.flags, leaf.eax, leaf.ebx, leaf.ecx, leaf.edx)
        for (function, index), leaf in sorted(leaves.items())
    ]
    vcpu.call(Ioctl.SET_CPUID2, bytearray(struct.pack("<II", len(entries), 0) + b"".join(entries)))


def build(choice: Choice, host: Leaves) -> Leaves:
    """The leaves of every CPU of the model; UserError where this host's KVM can't give it."""
    wanted = [name for name, on in choice.switches.items() if on]
    if choice.model in HOST_MODELS:
        leaves = {key: Leaf(**vars(leaf)) for key, leaf in host.items()}
    else:
        model = MODELS[choice.model]
        wanted += [name for name in model.features if choice.switches.get(name, True)]
        leaves = _of_model(model, host)
    missing = sorted(name for name in wanted if name not in _DYNAMIC and not _get(host, name))
    if missing:
        raise UserError(f"-cpu {choice.model}: the host's KVM can't give it {', '.join(missing)}; use -cpu host")
    for name, on in choice.switches.items():
        _set(leaves, name, on)
    _set(leaves, "hypervisor", choice.switches.get("hypervisor", True))
    leaves[0xA, 0] = Leaf(0)  # no performance counters
    if not choice.kvm:
        leaves = {key: leaf for key, leaf in leaves.items() if not _KVM_LEAF <= key[0] < _KVM_END}
    return leaves


def _of_model(model: Model, host: Leaves) -> Leaves:
    leaves: Leaves = {(leaf, 0): Leaf(0) for leaf in (*range(model.level + 1), *range(0x8000_0000, model.xlevel + 1))}
    leaves |= {key: Leaf(**vars(leaf)) for key, leaf in host.items() if _KVM_LEAF <= key[0] < _KVM_END}
    for name, (word, _) in FEATURES.items():
        if word.leaf == _KVM_FEATURES and name not in _OF_MODELS:
            _set(leaves, name, False)
    vendor = struct.unpack("<III", model.vendor.encode())
    leaves[0, 0] = Leaf(0, model.level, vendor[0], vendor[2], vendor[1])
    leaves[0x8000_0000, 0] = Leaf(0, model.xlevel, vendor[0], vendor[2], vendor[1])
    leaves[1, 0].eax = leaves[0x8000_0001, 0].eax = model.signature
    leaves[1, 0].ebx = 64 // 8 << 8  # bytes that CLFLUSH writes back, in units of 8
    leaves[7, 0].flags = _SIGNIFICANT_INDEX
    brand = struct.unpack("<12I", model.brand.encode().ljust(48, b"\0"))
    for n in range(3):
        leaves[0x8000_0002 + n, 0] = Leaf(0, *brand[4 * n : 4 * n + 4])
    if (0x8000_0008, 0) in leaves and (0x8000_0008, 0) in host:
        leaves[0x8000_0008, 0].eax = host[0x8000_0008, 0].eax  # widths of addresses
    if "xsave" in model.features:
        leaves |= {key: Leaf(**vars(leaf)) for key, leaf in host.items() if key[0] == 0xD}
        leaves.setdefault((0xD, 1), Leaf(_SIGNIFICANT_INDEX)).eax = 0
    for name in model.features:
        _set(leaves, name, True)
    return leaves


def for_cpu(leaves: Leaves, index: int, cpus: int) -> Leaves:
    """The leaves of one CPU of several, which are the cores of one socket."""
    mine = {key: Leaf(**vars(leaf)) for key, leaf in leaves.items()}
    bits = max(cpus - 1, 0).bit_length()  # of the core's number in an APIC id
    first = mine[1, 0]
    first.ebx = first.ebx & 0xFFFF | min(cpus, 255) << 16 | index << 24
    _set(mine, "ht", cpus > 1)
    _set(mine, "cmp-legacy", False)
    for (function, _), leaf in mine.items():
        if function == 4 and leaf.eax & 31:  # a cache: of one core, or (the last levels) of all
            shared = cpus if leaf.eax >> 5 & 7 >= 3 else 1
            leaf.eax = leaf.eax & 0x3FFF | (1 << (shared - 1).bit_length()) - 1 << 14 | (1 << bits) - 1 << 26
    mine = {key: leaf for key, leaf in mine.items() if key[0] not in (0xB, 0x1F)}
    if max(function for function, _ in mine if function < _KVM_LEAF) >= 0xB:
        level = _SIGNIFICANT_INDEX
        mine[0xB, 0] = Leaf(level, 0, 1, 0x100, index)  # threads: one a core
        mine[0xB, 1] = Leaf(level, bits, cpus, 0x201, index)  # cores
        mine[0xB, 2] = Leaf(level, 0, 0, 2, index)
    if (0x8000_0008, 0) in mine:
        mine[0x8000_0008, 0].ecx = bits << 12 | cpus - 1 if vendor(mine) == AMD else 0
    if (0x8000_001E, 0) in mine:
        mine[0x8000_001E, 0] = Leaf(0, index, index)
    return mine


def vendor(leaves: Leaves) -> str:
    leaf = leaves[0, 0]
    return struct.pack("<III", leaf.ebx, leaf.edx, leaf.ecx).decode("ascii", "replace")


def features(leaves: Leaves) -> set[str]:
    """The names of all that is on."""
    found: set[str] = set()
    for word in WORDS:
        leaf = leaves.get(word[:2])
        if leaf is not None:
            found.update(names_of(word, getattr(leaf, word.register)))
    return found


def _get(leaves: Leaves, name: str) -> bool:
    word, bit = FEATURES[name]
    leaf = leaves.get((word.leaf, word.subleaf))
    return leaf is not None and bool(getattr(leaf, word.register) >> bit & 1)


def _set(leaves: Leaves, name: str, on: bool) -> None:
    word, bit = FEATURES[name]
    leaf = leaves.get((word.leaf, word.subleaf))
    if leaf is None:
        if not on:
            return
        leaf = leaves[word.leaf, word.subleaf] = Leaf(_SIGNIFICANT_INDEX if word.leaf in (7, 0xD) else 0)
    value = getattr(leaf, word.register) & ~(1 << bit)
    setattr(leaf, word.register, value | on << bit)
