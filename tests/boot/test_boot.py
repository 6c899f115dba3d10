"""Debian's kernels boot to a busybox ramdisk, compute right and power off; QEMU boots the same and agrees.

pytest -m boot             what may not break: Linux 6.1 and 6.12, one CPU to four, both GICs, pages of 4 and 16 KiB
pytest -m "boot and slow"  the others
"""

import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from xemu.errors import UserError
from xemu.guests import fetch_debian, zboot
from xemu.guests.initramfs import expected_check_lines

pytestmark = pytest.mark.boot

LIMIT = 400  # seconds for one boot, on a machine that does other things as well
XEMU = [sys.executable, "-m", "xemu", "-accel", "tcg"]
QEMU = ["qemu-system-aarch64", "-net", "none"]
BAD_SIGNS = r"WARNING:|BUG:|Oops|Call trace|rcu.*stall|soft lockup|Kernel panic"
PARTS = {"cortex-a53": ("0x41", "0xd03"), "cortex-a57": ("0x41", "0xd07"), "cortex-a72": ("0x41", "0xd08")}
FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
MAX_PART, MAX_FEATURES = ("0x00", "0x051"), "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics cpuid lrcpc"
CLOUD = "linux-image-cloud-arm64"


@dataclass(frozen=True)
class Boot:
    """One kernel on one machine."""

    package: str = CLOUD
    suite: str = "bookworm"
    cpu: str = "cortex-a57"
    cpus: int = 1
    gic: int = 2
    zboot: str = ""  # how it is packed as an EFI zboot image; "" for as it comes

    def __str__(self) -> str:
        name = f"{self.suite}-{self.package.removeprefix('linux-image-')}-{self.cpu}"
        name += f"-{self.cpus}cpus" if self.cpus > 1 else ""
        name += f"-gicv{self.gic}" if self.gic != 2 else ""
        return name + (f"-zboot-{self.zboot}" if self.zboot else "")


def machine(boot: Boot, folder: Path, append: str) -> list[str]:
    """The options that boot it, for xemu and QEMU alike; the test is skipped where nothing can be fetched."""
    try:
        guest = fetch_debian(boot.package, boot.suite)
    except UserError as error:
        pytest.skip(f"no kernel to boot: {error}")
    kernel = guest.kernel
    if boot.zboot:
        kernel = folder / "vmlinuz.efi"
        kernel.write_bytes(zboot.wrap(guest.kernel.read_bytes(), boot.zboot))
    board = [
        "-M",
        f"virt,gic-version={boot.gic}",
        "-cpu",
        boot.cpu,
        "-m",
        "512M",
        "-smp",
        str(boot.cpus),
        "-nographic",
        "-no-reboot",
    ]
    return [*board, "-kernel", str(kernel), "-initrd", str(guest.initrd), "-append", append]


def run(emulator: list[str], boot: Boot, folder: Path) -> str:
    """Everything that a boot with the self-check prints."""
    options = machine(boot, folder, "console=ttyAMA0 earlycon=pl011,0x9000000 panic=-1 xemu.check")
    done = subprocess.run(
        [*emulator, *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False
    )
    text = done.stdout.decode("utf-8", "replace").replace("\r", "")
    assert (done.returncode, done.stderr) == (0, b""), text[-4000:]
    return text


def check_output(text: str) -> list[str]:
    """What init prints between the check's first and last line."""
    lines = [line for line in text.splitlines() if not re.match(r"\[ *\d+\.\d+\]", line)]
    return lines[lines.index("check: begin") : lines.index("check: end") + 1]


def booted(boot: Boot, folder: Path, emulator: list[str] = XEMU) -> str:
    """Boot under xemu and check all that can be known beforehand."""
    text = run(emulator, boot, folder)
    assert not re.search(BAD_SIGNS, text), text
    output = check_output(text)
    assert [line for line in output if line.startswith("check:")] == expected_check_lines()
    flavour = boot.package.removeprefix("linux-image-")
    assert re.fullmatch(rf"Linux \d+\.\d+\.\S*-{flavour} aarch64", output[1])
    (implementer, part), features = PARTS.get(boot.cpu, MAX_PART), MAX_FEATURES if boot.cpu == "max" else FEATURES
    wanted = {"CPU implementer": implementer, "CPU part": part, "Features": features}
    for name, value in wanted.items():
        assert output.count(f"{name}\t: {value}") == boot.cpus, f"{name} is not {value}: {output}"
    assert [line for line in output if line.startswith("processor")] == [f"processor\t: {k}" for k in range(boot.cpus)]
    assert text.rstrip().endswith("reboot: Power down")
    return text


def test_a_kernel_boots_and_computes_what_it_does_on_qemu(tmp_path: Path) -> None:
    ours = booted(Boot(), tmp_path)
    if shutil.which(QEMU[0]) is None:
        pytest.skip("booted; but qemu-system-aarch64, to compare with, is not installed")
    theirs = run(QEMU, Boot(), tmp_path)
    # the revision is that of the part, which differs between QEMU's versions
    assert without_revision(check_output(ours)) == without_revision(check_output(theirs))
    assert kernel_messages(ours) == kernel_messages(theirs)


def test_the_shell_and_the_keys(tmp_path: Path) -> None:
    options = machine(Boot(), tmp_path, "console=ttyAMA0 quiet")
    console = pexpect.spawn(XEMU[0], [*XEMU[1:], *options], timeout=LIMIT, encoding="utf-8", echo=False)
    console.expect_exact("This is busybox on Linux")
    console.expect_exact("# ")
    console.send("echo $((6 * 7)) $(cat /proc/1/comm); stty -echo\r")
    console.expect(r"\n42 init\r+\n")
    console.send("sleep 1000\r")
    console.send("\x03")  # Ctrl-C is the guest's
    console.send("uname -m\r")
    console.expect(r"aarch64\r+\n")
    console.send("poweroff -f\r")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


@pytest.mark.slow
def test_cpus_go_off_and_on_again(tmp_path: Path) -> None:
    """Three of four, again and again, while processes run: the kernel moves these and asks AFFINITY_INFO."""
    options = machine(Boot(cpus=4), tmp_path, "console=ttyAMA0 quiet")
    console = pexpect.spawn(XEMU[0], [*XEMU[1:], *options], timeout=LIMIT, encoding="utf-8", echo=False)
    console.expect_exact("# ")
    console.send("stty -echo; for k in 1 2 3 4; do while :; do seq 1 999 | md5sum >/dev/null; done & done\r")
    console.expect_exact("# ")
    for _ in range(3):
        for cpu in (1, 2, 3):
            for online in (0, 1):
                console.send(f"echo {online} > /sys/devices/system/cpu/cpu{cpu}/online && echo did=$?=\r")
                console.expect_exact("did=0=")
    console.send("echo on=$(cat /sys/devices/system/cpu/online)=; dmesg; echo ended=$((6 * 7))=\r")
    console.expect_exact("on=0-3=")
    console.expect_exact("ended=42=")
    assert not re.search(BAD_SIGNS + "|failed to|may not have shut down", console.before), console.before
    console.send("poweroff -f\r")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


MORE = (
    Boot(CLOUD, "bookworm-backports", cpus=2),
    Boot(cpus=4, gic=3),
    Boot("linux-image-arm64-16k", "trixie", cpu="max"),
)
SLOW = (
    Boot(cpu="cortex-a53"),
    Boot(cpu="cortex-a72"),
    Boot(cpu="max"),
    Boot(cpus=2),
    Boot(cpus=4, cpu="max"),
    Boot(gic=3),
    Boot(cpus=12, gic=3, cpu="max"),
    Boot(CLOUD, "trixie", cpus=2, gic=3),
    Boot(zboot="gzip"),
    Boot(zboot="xz", cpu="max"),
    Boot("linux-image-arm64"),
    Boot("linux-image-rt-arm64"),
    Boot("linux-image-rt-arm64", cpus=2),
    Boot(CLOUD, "bookworm-backports"),
    Boot(CLOUD, "bookworm-backports", cpu="max"),
    Boot(CLOUD, "trixie", cpus=2),
    Boot("linux-image-rt-arm64", "trixie", cpu="cortex-a72"),
    Boot("linux-image-arm64-16k", "trixie", cpu="max", cpus=2),
)


@pytest.mark.parametrize("boot", [*MORE, *(pytest.param(boot, marks=pytest.mark.slow) for boot in SLOW)], ids=str)
def test_other_kernels_and_machines(tmp_path: Path, boot: Boot) -> None:
    booted(boot, tmp_path)


# -- code of earlier runs ---------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_warm_boots_and_boots_behind_killed_ones(tmp_path: Path) -> None:
    """Boots that take code from a store which killed runs have left behind do as the first one did."""
    keeping = ["env", "XEMU_CACHE=on", f"XDG_CACHE_HOME={tmp_path}", *XEMU]
    moment = random.Random(7)
    options = machine(Boot(), tmp_path, "console=ttyAMA0 xemu.check")
    texts: list[str] = []
    for boot in (Boot(), Boot(), Boot(cpus=2, gic=3)):
        for _ in range(3):
            with subprocess.Popen([*keeping, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as killed:
                time.sleep(moment.uniform(0.2, 20))
                killed.kill()
        texts.append(booted(boot, tmp_path, keeping))
    assert kernel_messages(texts[0]) == kernel_messages(texts[1])
    assert list(tmp_path.glob("xemu/code/*/*.segment"))


# -- the kernel's messages ---------------------------------------------------------------------------------------------
# What QEMU's board and CPU have beyond ours, and the emulator's speed
_OTHER = r"""
    32-bit\ EL[01]\ Support | setend | perfevents | GICv2m | pci | PCI | pl061 | gpio | PMU | virtio
    | NODE_DATA | Memory: | audit: | rtc-pl031 | deferred\ pages | clocksource: | random: | raid6: | xor:
    | Calibrating | initcall | usec | [Ff]reeing | jitter | Linux\ version | ACPI | Zone\ ranges | input: | ms$ | MB/sec
"""


def kernel_messages(text: str) -> list[str]:
    """The kernel's log without what depends on time, addresses, or devices that QEMU's board has and ours lacks."""
    lines = re.findall(r"^\[ *\d+\.\d+\] (.*)$", text, re.M)
    return sorted({line for line in lines if not re.search(_OTHER, line, re.X)})


def without_revision(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(("CPU revision", "CPU variant"))]
