"""A tiny Linux on the microvm board under KVM: to its init, its disk, its console, and through a reset.

Slow (pytest -m slow tests/kvm): each boot takes 25 seconds of CPU time where KVM emulates the kernel's instructions,
and the kernel is built where the cache has none, which takes ten minutes. Nothing else should run there meanwhile: a
guest that gets a quarter of a CPU does little but serve its timer.
"""

import os
import random
import shutil
import struct
import sys
from pathlib import Path

import pexpect
import pytest

from tests.kvm.tiny_linux.build import COMMAND_LINE, TinyLinux, build, find, initramfs

LIMIT = 600  # seconds for one step of a guest, on a machine that does other things as well
UNPACKING = 2400  # more for a bzImage, which unpacks itself by emulated instructions
TOOLS = ("make", "gcc", "as", "ld", "flex", "bison", "bc", "patch", "xz")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the guest is x86-64, this host is not"),
    pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="/dev/kvm is not there or not for us"),
]


@pytest.fixture(scope="module")
def kernel() -> TinyLinux:
    found = find()
    if found is None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"building the kernel needs {', '.join(missing)}")
        found = build()
    return found


@pytest.fixture
def disk(tmp_path: Path) -> tuple[Path, str]:
    """An image, and what init prints about it."""
    data = random.Random(5).randbytes(1 << 20)
    path = tmp_path / "disk.img"
    path.write_bytes(data)
    total = sum(word for (word,) in struct.iter_unpack("<Q", data)) & (1 << 64) - 1
    return path, f"disk: {len(data):016x} {total:016x}"


def machine(kernel: Path, folder: Path, disk: Path, *more: str) -> pexpect.spawn:
    ramdisk = folder / "initrd.gz"
    ramdisk.write_bytes(initramfs(folder))
    options = ["-M", "microvm", "-accel", "kvm", "-m", "128M", "-nographic", "-kernel", str(kernel)]
    options += ["-initrd", str(ramdisk), "-append", f"{COMMAND_LINE} quiet", *more]
    options += ["-drive", f"file={disk},format=raw,readonly=on"]
    return pexpect.spawn(sys.executable, ["-m", "xemu", *options], timeout=LIMIT, encoding="utf-8", echo=False)


def one_boot(console: pexpect.spawn, disk_line: str, limit: int = LIMIT) -> None:
    console.expect(r"init: started\r+\n", timeout=limit)
    console.expect_exact(disk_line)
    console.expect_exact("init: type a line")
    console.send("to be echoed\r")
    console.expect_exact("heard: to be echoed")
    console.expect_exact("reboot: Restarting system")


@pytest.mark.parametrize("number", range(10))
def test_it_boots_and_resets(kernel: TinyLinux, tmp_path: Path, disk: tuple[Path, str], number: int) -> None:
    console = machine(kernel.vmlinux, tmp_path, disk[0], "-no-reboot")
    one_boot(console, disk[1])
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


def test_two_cpus(kernel: TinyLinux, tmp_path: Path, disk: tuple[Path, str]) -> None:
    """Found through the MP table; the first waited for the second for ever where hypercalls do not come back."""
    console = machine(kernel.vmlinux, tmp_path, disk[0], "-no-reboot", "-smp", "2", "-append", COMMAND_LINE)
    console.expect_exact("smp: Brought up 1 node, 2 CPUs")
    one_boot(console, disk[1])
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


def test_it_boots_without_pic_and_pit(kernel: TinyLinux, tmp_path: Path, disk: tuple[Path, str]) -> None:
    """The kernel has the local APICs only; the I/O APIC is ours."""
    console = machine(kernel.vmlinux, tmp_path, disk[0], "-no-reboot", "-M", "kernel-irqchip=split")
    one_boot(console, disk[1])
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


def test_it_boots_again_after_a_reset(kernel: TinyLinux, tmp_path: Path, disk: tuple[Path, str]) -> None:
    console = machine(kernel.vmlinux, tmp_path, disk[0])
    for _ in range(3):
        one_boot(console, disk[1])
    console.send("\x01x")  # Ctrl-A x
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


def test_a_bzimage_boots(kernel: TinyLinux, tmp_path: Path, disk: tuple[Path, str]) -> None:
    console = machine(kernel.bzimage, tmp_path, disk[0], "-no-reboot")
    one_boot(console, disk[1], UNPACKING)
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0
