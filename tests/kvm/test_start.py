"""The microvm board under KVM, with a program of a hundred instructions: how it starts, and how it ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("start.S")
LIMIT = 120  # seconds, on a machine that does other things as well

pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the guest is x86-64, this host is not"),
    pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="/dev/kvm is not there or not for us"),
    pytest.mark.skipif(shutil.which("as") is None or shutil.which("ld") is None, reason="binutils are not installed"),
]


@pytest.fixture(scope="module", params=["64-bit mode", "PVH"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """How it starts, and the ELF file."""
    folder = tmp_path_factory.mktemp("start")
    note = ["--defsym", "WITH_NOTE=1"] if request.param == "PVH" else []
    subprocess.run(["as", "--64", *note, "-o", folder / "start.o", SOURCE], check=True)
    link = ["ld", "-m", "elf_x86_64", "-n", "--no-warn-rwx-segments", "-Ttext=0x100000"]
    subprocess.run([*link, "-o", folder / "start.elf", folder / "start.o"], check=True)
    return request.param, folder / "start.elf"


def run(kernel: Path, *options: str) -> list[str]:
    """The lines it prints; xemu has to end well."""
    command = [sys.executable, "-m", "xemu", "-M", "microvm", "-accel", "kvm", "-nodefaults", "-serial", "stdio"]
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run([*command, "-kernel", str(kernel), *options], timeout=LIMIT, **streams)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_power_off(program: tuple[str, Path], tmp_path: Path) -> None:
    ramdisk = tmp_path / "ramdisk"
    ramdisk.write_bytes(b"this is \xff the ramdisk\n".replace(b"\xff", b"\x01"))
    lines = run(program[1], "-append", "off", "-initrd", str(ramdisk), "-device", "virtio-rng-device")
    assert lines == [program[0], "off virtio_mmio.device=512@0xfeb00e00:14", "this is \x01 the ramdisk"]


@pytest.mark.parametrize("how", ["reset", "triple fault"])
def test_reset(program: tuple[str, Path], how: str) -> None:
    assert run(program[1], "-append", how, "-no-reboot") == [program[0], how]


def test_without_a_command_line(program: tuple[str, Path]) -> None:
    assert run(program[1], "-no-reboot", "-m", "4G") == [program[0], ""]
