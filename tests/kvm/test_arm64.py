"""KVM on arm64, for real: an emulated arm64 host, on which xemu runs Debian's kernel as a KVM guest."""

from __future__ import annotations

import gzip
import re

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
    return gzip.compress(cpio.archive(entries), compresslevel=1, mtime=0)


@pytest.fixture(scope="module")
def files() -> arm64_host.Files:
    try:
        return arm64_host.fetch()
    except UserError as error:
        pytest.skip(f"no host to boot: {error}")


def test_debian_as_a_kvm_guest(files: arm64_host.Files) -> None:
    """-accel is not given: the host's KVM is found, and its GIC."""
    script = """
        printf 'hello world' > disk; truncate -s 1M disk
        python3.11 -m xemu -M virt -m 192M -smp 2 -nographic -no-reboot -kernel /guest/Image -initrd /guest/initrd \\
            -append "console=ttyAMA0 quiet panic=-1" -drive file=/guest/disk,format=raw </dev/null
        echo "xemu: exit $?"
    """
    text = arm64_host.run(script, {"Image": files.kernel.read_bytes(), "initrd": guest_ramdisk(files)})
    assert "xemu: using KVM (-accel kvm)" in text
    assert re.search(r"^guest: Linux 6\.1\S+ aarch64$", text, re.M)
    assert "guest: disk says hello world" in text
    assert "guest: 2 CPUs" in text
    assert "xemu: exit 0" in text
