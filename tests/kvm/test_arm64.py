"""KVM on arm64, for real: an emulated arm64 host, on which xemu runs Debian's kernel as a KVM guest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.kvm import arm64_host
from xemu.errors import UserError
from xemu.guests import cpio

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(arm64_host.why_not() is not None, reason=str(arm64_host.why_not())),
]

GUEST_INIT = """\
#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
echo "guest: $(busybox uname -srm)"
for module in virtio virtio_ring virtio_mmio virtio_blk; do busybox insmod /$module.ko; done
echo "guest: disk says $(busybox head -c 11 /dev/vda)"
echo "guest: $(busybox grep -c ^processor /proc/cpuinfo) CPUs"
busybox poweroff -f
"""


def guest_ramdisk(files: arm64_host.Files) -> bytes:
    entries = [cpio.directory(name) for name in ("bin", "dev", "proc")]
    entries += [cpio.character_device("dev/console", 5, 1), cpio.file("bin/busybox", files.busybox, executable=True)]
    entries += [cpio.file(f"{name}.ko", data) for name, data in files.modules.items()]
    entries += [cpio.file("init", GUEST_INIT.encode(), executable=True)]
    return cpio.archive(entries)


def bare_guest(folder: Path) -> bytes:
    """tests/kvm/guests/arm64.S."""
    source, stem = Path(__file__).parent / "guests/arm64.S", folder / "guest"
    subprocess.run(["aarch64-linux-gnu-as", "-o", f"{stem}.o", source], check=True)
    subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", f"{stem}.o", f"{stem}.bin"], check=True)
    return Path(f"{stem}.bin").read_bytes()


@pytest.fixture(scope="module")
def files() -> arm64_host.Files:
    try:
        return arm64_host.fetch()
    except UserError as error:
        pytest.skip(f"no host to boot: {error}")


XEMU = "python3.11 -m xemu -M virt -nographic"


@pytest.mark.parametrize("gic", [3, 2])
def test_a_hand_made_guest(files: arm64_host.Files, gic: int, tmp_path: Path) -> None:
    """CPUs, timer, reset with each GIC; and what is said of CPU models and GICs that KVM does not have."""
    other = 5 - gic
    script = f"""
        {XEMU} -accel kvm -m 64M -smp 2 -d guest_errors /guest/bare </dev/null
        echo "xemu: exit $?"
        {XEMU} -accel kvm -cpu cortex-a57 /guest/bare </dev/null
        {XEMU} -accel kvm -M virt,gic-version={other} /guest/bare </dev/null
    """
    text = arm64_host.run(script, {"bare": bare_guest(tmp_path)}, gic=gic)
    for line in ("second CPU ran", "timer fired", "clean after the reset"):
        assert text.count(f"guest: {line}\n") == 1
    assert "read of 4 bytes at 0x50000000: nothing answers" in text
    assert "xemu: exit 0" in text and "FAILED" not in text
    assert "xemu: -accel kvm: -cpu cortex-a57: KVM runs the host's own CPU only; use -cpu host" in text
    assert f"has no GIC of version {other} here" in text


def test_debian_as_a_kvm_guest(files: arm64_host.Files) -> None:
    """-accel is not given: the host's KVM is found, and its GIC."""
    script = f"""
        printf 'hello world' > disk; truncate -s 1M disk
        {XEMU} -m 192M -smp 2 -no-reboot -kernel /guest/Image -initrd /guest/initrd \\
            -append "console=ttyAMA0 quiet panic=-1" -drive file=/guest/disk,format=raw </dev/null
        echo "xemu: exit $?"
    """
    text = arm64_host.run(script, {"Image": files.kernel.read_bytes(), "initrd": guest_ramdisk(files)})
    assert "xemu: using KVM (-accel kvm)" in text
    assert re.search(r"^guest: Linux 6\.1\S+ aarch64$", text, re.M)
    assert "guest: disk says hello world" in text
    assert "guest: 2 CPUs" in text
    assert "xemu: exit 0" in text
