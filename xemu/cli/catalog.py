"""What can be named on the command line (boards, CPU models, devices) and what each takes: names and help only.

Nothing here imports an accelerator, so that help and error lines come at once.
"""

from dataclasses import dataclass, field

from targets.x86.models import MODELS

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Property:
    help: str
    values: tuple[str, ...] = ()  # what is allowed, where it is a short list
    boolean: bool = False


@dataclass(frozen=True)
class MachineKind:
    help: str
    arch: str  # of its CPUs
    default_cpu: str
    properties: dict[str, Property]
    ram: tuple[int, int] = (64 * MIB, 8 * GIB)
    default_ram: int = 128 * MIB
    max_cpus: int = 8
    more_cpus: dict[str, int] = field(default_factory=dict[str, int])  # the same where gic-version has this value

    @property
    def cpus(self) -> tuple[str, ...]:
        return tuple(CPUS[self.arch])


@dataclass(frozen=True)
class DeviceKind:
    help: str
    properties: dict[str, Property] = field(default_factory=dict[str, Property])


# By architecture, which is named as hosts do in `uname -m`.
CPUS: dict[str, dict[str, str]] = {
    "aarch64": {
        "cortex-a53": "Arm Cortex-A53: Armv8.0-A",
        "cortex-a57": "Arm Cortex-A57: Armv8.0-A",
        "cortex-a72": "Arm Cortex-A72: Armv8.0-A",
        "max": "everything xemu implements: LSE atomics, PAN, RCpc, 16 KiB pages; with KVM the same as host",
        "host": "the host's own CPU, with -accel kvm only",
    },
    "x86_64": {
        "host": "the host's own CPU, with all that KVM can give",
        "max": "the same",
        **{model.name: model.brand for model in MODELS.values()},
    },
}

_OFF_ONLY = ("off", "no", "false", "n")
_SWITCH = ("on", "off", "auto")
_KERNEL_IRQCHIP = Property(
    "for KVM, on: all interrupt controllers in the kernel; split: the local APICs only, without PIC and PIT",
    ("on", "split"),
)

MACHINES: dict[str, MachineKind] = {
    "virt": MachineKind(
        "64-bit Arm board of virtio devices, compatible with QEMU's",
        "aarch64",
        "cortex-a57",
        {
            "gic-version": Property("interrupt controller: 2 (the default), 3, or max, which is 3"),
            "its": Property("interrupt translation service of a GICv3: not there yet, only off", _OFF_ONLY),
            "dumpdtb": Property("write the device tree to this file and exit"),
            "dtb-randomness": Property("put kaslr-seed and rng-seed into the device tree", boolean=True),
            "dtb-kaslr-seed": Property("older name of dtb-randomness", boolean=True),
            "accel": Property("the same as -accel"),
            "kernel": Property("the same as -kernel"),
            "initrd": Property("the same as -initrd"),
            "append": Property("the same as -append"),
            "dtb": Property("the same as -dtb"),
            "firmware": Property("the same as -bios"),
            "pflash0": Property("node-name of the image in the first flash, where firmware starts"),
            "pflash1": Property("node-name of the image in the second flash, where firmware keeps its variables"),
            "virtualization": Property("EL2: not there yet, only off", _OFF_ONLY),
            "secure": Property("EL3: not there yet, only off", _OFF_ONLY),
            "mte": Property("memory tagging: not there yet, only off", _OFF_ONLY),
            "acpi": Property("ACPI tables: there are none, so both values are accepted", ("on", "off", "auto")),
            "usb": Property("USB: not there, only off", _OFF_ONLY),
            "graphics": Property("graphics: there are none, so both values are accepted", boolean=True),
            "highmem": Property("RAM above 4 GiB is there when -m asks for it", boolean=True),
        },
        more_cpus={"3": 123, "max": 123},
    ),
    "microvm": MachineKind(
        "x86-64 board of virtio devices without PCI, like QEMU's; only with -accel kvm",
        "x86_64",
        "host",
        {
            "acpi": Property("ACPI tables beside the MP table (default on)", _SWITCH),
            "auto-kernel-cmdline": Property(
                "add virtio_mmio.device=... to the command line (default on)", boolean=True
            ),
            "isa-serial": Property("the serial port (default on)", boolean=True),
            "rtc": Property("the real-time clock (default on)", _SWITCH),
            "pic": Property("the old interrupt controllers (default: where the accelerator has them)", _SWITCH),
            "pit": Property("the old timer (default: where the accelerator has it)", _SWITCH),
            "kernel-irqchip": _KERNEL_IRQCHIP,
            "ioapic2": Property("a second I/O APIC: not there, only off", ("auto", *_OFF_ONLY)),
            "pcie": Property("PCI Express: not there, only off", ("auto", *_OFF_ONLY)),
            "accel": Property("the same as -accel"),
            "kernel": Property("the same as -kernel"),
            "initrd": Property("the same as -initrd"),
            "append": Property("the same as -append"),
            "usb": Property("USB: not there, only off", _OFF_ONLY),
            "graphics": Property("graphics: there are none, so both values are accepted", boolean=True),
        },
        ram=(64 * MIB, 64 * GIB),
        max_cpus=32,
    ),
}

_PORT = {
    "id": Property("name"),
    "chardev": Property("id of a -chardev"),
    "bus": Property("the virtio-serial-device's: ID.0, or virtio-serial-bus.N of one without an id"),
    "name": Property("what the guest knows it by: /dev/virtio-ports/NAME"),
    "nr": Property("port number; 0 is for a virtconsole"),
}

DEVICES: dict[str, DeviceKind] = {
    "virtio-blk-device": DeviceKind(
        "disk",
        {
            "id": Property("name"),
            "drive": Property("id of a -drive with if=none, or node-name of a -blockdev"),
            "bus": Property("virtio-mmio-bus.N"),
            "serial": Property("what the guest reads as the disk's serial number, up to 20 characters"),
            "write-cache": Property("off: each write is on stable storage before it is complete", boolean=True),
            "discard": Property("offer discarding to the guest", boolean=True),
            "write-zeroes": Property("offer zeroing without data to the guest", boolean=True),
            "share-rw": Property(
                "others may write the image, too: for guests that agree among themselves", boolean=True
            ),
            "bootindex": Property("no effect: the kernel is what is booted"),
            "num-queues": Property("one so far", ("1",)),
        },
    ),
    "virtio-rng-device": DeviceKind(
        "entropy source",
        {"id": Property("name"), "rng": Property("id of an -object"), "bus": Property("virtio-mmio-bus.N")},
    ),
    "virtio-serial-device": DeviceKind(
        "bus of virtio consoles",
        {
            "id": Property("name; its bus is then ID.0"),
            "max_ports": Property("how many ports can be plugged in, 1 to 31 (default 31)"),
            "emergency-write": Property("offer output without queues, for a kernel that dies", boolean=True),
            "bus": Property("virtio-mmio-bus.N"),
        },
    ),
    "virtconsole": DeviceKind("console (/dev/hvc0) on a virtio-serial-device", _PORT),
    "virtserialport": DeviceKind("byte stream (/dev/vport0p1) on a virtio-serial-device", _PORT),
}

_DISCARD = Property("whether discarding punches holes into the file (default unmap)", ("unmap", "on", "ignore", "off"))
_LOCKING = Property("keep other processes from writing the image", ("auto", "on", "off"))
_AIO = Property("no effect: threads do the work", ("threads", "native", "io_uring"))

DRIVE: dict[str, Property] = {
    "file": Property("the image"),
    "format": Property("raw; without it, files that look like another format are refused"),
    "if": Property("virtio: a disk of its own (the default); none: for a -device with drive=ID; pflash: in a flash"),
    "unit": Property("with if=pflash: 0 for the flash with the firmware, 1 for that with its variables"),
    "index": Property("the same as unit"),
    "id": Property("name"),
    "readonly": Property("the guest can't write it", boolean=True),
    "read-only": Property("the same as readonly", boolean=True),
    "snapshot": Property("writes go to a temporary overlay", boolean=True),
    "cache": Property(
        "writethrough, directsync: no flush needed; unsafe: flushes do nothing; none is as writeback, which is usual",
        ("writeback", "none", "writethrough", "directsync", "unsafe"),
    ),
    "discard": _DISCARD,
    "media": Property("a disk", ("disk",)),
    "aio": _AIO,
    "locking": _LOCKING,
    "file.locking": _LOCKING,
}

_NODE: dict[str, Property] = {
    "node-name": Property("name"),
    "read-only": Property("the guest can't write it", boolean=True),
    "discard": _DISCARD,
    "cache.direct": Property("no effect", boolean=True),
    "cache.no-flush": Property("flushes do nothing", boolean=True),
}
_FILE = {"filename": Property("the image"), "locking": _LOCKING, "aio": _AIO}
BLOCKDEVS: dict[str, dict[str, Property]] = {
    "file": _NODE | _FILE,
    "raw": _NODE
    | {"file": Property("node-name of the file below"), "file.driver": Property("what is below", ("file",))}
    | {f"file.{key}": declared for key, declared in (_NODE | _FILE).items()},
}

# Formats of QEMU's, to tell a format that is not here yet from a mistyped name.
FORMATS = ("raw", "qcow2", "qcow", "qed", "vmdk", "vdi", "vhdx", "vpc", "luks", "parallels", "bochs", "cloop", "dmg")

OBJECTS: dict[str, dict[str, Property]] = {
    "rng-random": {"id": Property("name"), "filename": Property("random source", ("/dev/urandom", "/dev/random"))},
    "rng-builtin": {"id": Property("name")},
}

CODE_CACHE, MOST_CODE_CACHE = 256, 1024  # MiB; more host code can't reach what it refers to on every host

ACCELS: dict[str, dict[str, Property]] = {
    "kvm": {
        "kernel-irqchip": _KERNEL_IRQCHIP,
    },
    "tcg": {
        "engine": Property("baseline is native code, reference the evaluator in Python", ("baseline", "reference")),
        "thread": Property("one thread per CPU, as always", ("multi",)),
        "tb-size": Property(f"code cache in MiB, up to {MOST_CODE_CACHE}; 0, the default, is {CODE_CACHE}"),
    },
}

# -global names these; each has one value that is true here already.
GLOBALS: dict[str, tuple[str, ...]] = {
    "virtio-mmio.force-legacy": ("false", "off"),
}
