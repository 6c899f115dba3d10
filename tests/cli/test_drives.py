"""-drive, -blockdev, -snapshot and virtio-blk-device: what is understood, and the one line that says what is wrong."""

import fcntl
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from xemu.accel.choice import Choice
from xemu.block.overlay import Overlay
from xemu.cli import help, run, settings
from xemu.cli.options import parse
from xemu.errors import UserError


def build(*argv: str) -> settings.Settings:
    return settings.build(parse(["kernel", *argv]))


def disks(*argv: str) -> dict[str, settings.DiskSpec]:
    return {spec.name: spec for spec in build(*argv).disks}


def test_a_drive_is_a_disk_of_its_own() -> None:
    found = build("-drive", "file=a,,b.img,format=raw", "-drive", "if=virtio,file=file:c:d,id=data,readonly=on")
    assert [(disk.name, disk.path, disk.readonly, disk.raw) for disk in found.disks] == [
        ("virtio0", "a,b.img", False, True),
        ("data", "c:d", True, False),
    ]
    assert [(spec.kind, spec.properties) for spec in found.devices] == [
        ("virtio-blk-device", {"drive": "virtio0"}),
        ("virtio-blk-device", {"drive": "data"}),
    ]


def test_a_drive_for_a_device() -> None:
    found = build(
        *("-drive", "if=none,id=d,file=x,format=raw,cache=writethrough,discard=off"),
        *("-device", "virtio-rng-device"),
        *("-device", "virtio-blk-device,drive=d,serial=S,id=disk,bus=virtio-mmio-bus.3,share-rw=on,bootindex=1"),
        *("-drive", "file=y"),
    )
    assert [spec.properties.get("drive") for spec in found.devices] == [None, "d", "virtio0"]
    disk = found.disks[0]
    assert not disk.write_cache and not disk.unmap and disk.share_writes and disk.sync and disk.locking


BLOCKDEVS = [
    ("driver=file,node-name=f,filename=x,read-only=on", "driver=raw,node-name=n,file=f"),
    ("file,node-name=f,filename=x", "raw,node-name=n,file=f,read-only=on"),
    ("driver=raw,node-name=n,file.driver=file,file.filename=x,file.locking=auto,read-only=on",),
    ('{"driver": "raw", "node-name": "n", "read-only": true, "file": {"driver": "file", "filename": "x"}}',),
    ("driver=file,node-name=n,filename=x,read-only=on",),
]


@pytest.mark.parametrize("texts", BLOCKDEVS)
def test_block_devices(texts: tuple[str, ...]) -> None:
    argv = [word for text in texts for word in ("-blockdev", text)]
    (spec,) = build(*argv, "-device", "virtio-blk-device,drive=n").disks
    assert (spec.name, spec.path, spec.readonly, spec.raw, spec.snapshot) == ("n", "x", True, True, False)


def test_snapshot() -> None:
    found = disks(
        *("-snapshot", "-drive", "file=a", "-drive", "file=b,snapshot=off", "-blockdev", "file,node-name=n,filename=c"),
    )
    assert {name: spec.snapshot for name, spec in found.items()} == {"virtio0": True, "virtio1": False, "n": True}
    assert disks("-drive", "file=a,snapshot=on")["virtio0"].snapshot


_TWO_NODES = "-blockdev file,node-name=f,filename=x -blockdev raw,node-name=a,file=f"

ERRORS = [
    ("-drive x", "no property 'x'"),
    ("-drive format=raw", "it needs file="),
    ("-drive file=", "file= is empty"),
    ("-drive file=a,file=b", "'file' is given twice"),
    ("-drive file=a,formatt=raw", "no property 'formatt'; did you mean 'format'?"),
    ("-drive file=a,format=qcow2", "format 'qcow2' can't be read yet; convert it"),
    ("-drive file=a,format=vdmk", "unknown format 'vdmk'; did you mean 'vmdk'?"),
    ("-drive file=a,format=zzzzz", "unknown format 'zzzzz'; use format=raw"),
    ("-drive file=a,if=ide", "if=ide: the board has no such interface here; use if=virtio, none or pflash"),
    ("-drive file=a,if=virtoi", "no interface 'virtoi'; did you mean 'virtio'?"),
    ("-drive file=a,readonly=maybe", "readonly=maybe is neither on nor off"),
    ("-drive file=a,readonly=on,read-only=off", "readonly and read-only are the same"),
    ("-drive file=a,cache=fast", "cache=fast is not supported"),
    ("-drive file=a,id=d -drive file=b,id=d", "the id 'd' is taken already"),
    ("-drive file=a,id=d -blockdev file,node-name=d,filename=b", "the id 'd' is taken already"),
    ("-blockdev file,node-name=d,filename=b -blockdev file,node-name=d,filename=b", "the id 'd' is taken already"),
    ("-blockdev node-name=d", "it needs a driver; use file or raw"),
    ("-blockdev qcow2,node-name=d,file=f", "format 'qcow2' can't be read yet"),
    ("-blockdev fil,node-name=d", "no block driver 'fil'; did you mean 'file'?"),
    ("-blockdev file,filename=x", "it needs a node-name="),
    ("-blockdev file,node-name=d", "'file' needs filename="),
    ("-blockdev file,node-name=d,filenam=x", "no property 'filenam'; did you mean 'filename'?"),
    ("-blockdev raw,node-name=d", "'raw' needs file=NODE"),
    ("-blockdev raw,node-name=d,file=e", "there is no node 'e'"),
    ("-blockdev raw,node-name=d,file=e,file.filename=x", "give one of the two"),
    (f"{_TWO_NODES} -blockdev raw,node-name=b,file=f", "another node uses 'f' already"),
    (f"{_TWO_NODES} -device virtio-blk-device,drive=f", "there is no drive with id 'f'"),
    ("-blockdev {", "not JSON"),
    ('-blockdev {"driver":3}', "'driver' is neither text"),
    ("-device virtio-blk-device", "it needs drive=ID"),
    ("-device virtio-blk-device,drive=d", "there is no drive with id 'd'; add -drive if=none,id=d,file=FILE"),
    ("-drive file=a,if=none,id=disk0 -device virtio-blk-device,drive=dsk0", "did you mean 'disk0'?"),
    ("-drive file=a,id=d -device virtio-blk-device,drive=d", "'d' is a disk of its own already (if=virtio)"),
    (
        "-drive file=a,id=d,if=none -device virtio-blk-device,drive=d -device virtio-blk-device,drive=d",
        "the drive 'd' is in use already by -device virtio-blk-device,drive=d",
    ),
    ("-drive file=a,id=d,if=none -device virtio-blk-device,drive=d,seral=x", "did you mean 'serial'?"),
    ("-drive file=a,id=d,if=none -device virtio-blk,drive=d", "no such device; did you mean 'virtio-blk-device'?"),
    ("-device virtio-rng-device,id=a -device virtio-rng-device,id=a", "the id 'a' is taken already"),
    ("-blokdev x", "did you mean '-blockdev'?"),
    ("-hda x", "does not have this option of QEMU's"),
]  # fmt: skip


@pytest.mark.parametrize("line, text", ERRORS)
def test_errors(line: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        build(*line.split(" "))
    message = str(caught.value)
    assert text in message and "\n" not in message


def test_help_names_every_property() -> None:
    for option, words in (("-drive", ("snapshot=", "readonly=")), ("-blockdev", ("node-name=", "filename="))):
        text = help.requested(parse([option, "help"]))
        assert text is not None and all(word in text for word in words)


# Opening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"raw " * 1024)
    return path


def opened(stack: ExitStack, *argv: str):
    return run._open_disks(build(*argv), stack)


def open_error(*argv: str) -> str:
    with ExitStack() as stack, pytest.raises(UserError) as caught:
        opened(stack, *argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_opening(path: Path) -> None:
    with ExitStack() as stack:
        disk = opened(stack, "-drive", f"file={path},format=raw")["virtio0"].image
        assert disk.size == 4096 and not disk.readonly
        assert "lock" in open_error("-drive", f"file={path},format=raw")
    with ExitStack() as stack:
        overlays = opened(stack, "-snapshot", "-drive", f"file={path}", "-drive", f"file={path}")
        assert all(isinstance(disk.image, Overlay) for disk in overlays.values())
    with ExitStack() as stack:
        disk = opened(stack, "-snapshot", "-drive", f"file={path},readonly=on")["virtio0"].image
        assert disk.readonly


def test_one_image_twice(path: Path) -> None:
    text = open_error("-drive", f"file={path}", "-drive", f"file={path}")
    assert 'Failed to get "write" lock' in text


def test_an_image_that_another_emulator_uses(path: Path) -> None:
    """The byte that says "nobody else may write" in the scheme that QEMU uses."""
    with path.open("r+b") as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("@hhqqi4x", fcntl.F_RDLCK, 0, 201, 1, 0))
        assert 'Failed to get "write" lock' in open_error("-drive", f"file={path}")
    with path.open("r+b") as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("@hhqqi4x", fcntl.F_RDLCK, 0, 101, 1, 0))
        assert 'Failed to get "write" lock' not in open_error("-snapshot", "-drive", f"file={path}")


def test_foreign_and_missing_images(tmp_path: Path) -> None:
    foreign = tmp_path / "a.qcow2"
    foreign.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(4096))
    assert "is a qcow2 image" in open_error("-drive", f"file={foreign}")
    with ExitStack() as stack:
        opened(stack, "-drive", f"file={foreign},format=raw")
    assert "No such file" in open_error("-drive", f"file={tmp_path}/missing,format=raw")
    assert "No such file" in open_error("-blockdev", f"file,node-name=n,filename={tmp_path}/missing")


def test_a_machine_with_a_disk_that_never_starts(path: Path, tmp_path: Path) -> None:
    """From the command line to the board: the guest would find the disk in the last slot."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"\x1f\x20\x03\xd5" * 64)
    chosen = settings.build(parse([str(kernel), "-drive", f"file={path},cache=writethrough", "-serial", "none"]))
    with ExitStack() as stack:
        disks = run._open_disks(chosen, stack)
        chardevs = run._CharDevices(None, chosen)  # type: ignore[arg-type]
        machine = run._build(chosen, run._load_images(chosen), Choice(run._NoCpus(), "cortex-a57"), chardevs, disks)
        device_id = machine.memory.read(0x0A003E00 + 8, 4)
        capacity = machine.memory.read(0x0A003E00 + 0x100, 8)
        write_cache = machine.memory.read(0x0A003E00 + 0x100 + 32, 1)
        for hook in machine.on_stop:
            hook()
    assert (device_id, capacity, write_cache) == (2, 8, 0)


def test_a_serial_number_that_is_too_long(path: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"\x1f\x20\x03\xd5" * 64)
    drive = ("-drive", f"file={path},if=none,id=d", "-device", f"virtio-blk-device,drive=d,serial={'x' * 21}")
    chosen = settings.build(parse([str(kernel), *drive, "-serial", "none"]))
    with ExitStack() as stack, pytest.raises(UserError, match="longer than 20"):
        disks = run._open_disks(chosen, stack)
        chardevs = run._CharDevices(None, chosen)  # type: ignore[arg-type]
        run._build(chosen, run._load_images(chosen), Choice(run._NoCpus(), "cortex-a57"), chardevs, disks)
