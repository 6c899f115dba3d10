"""The busybox ramdisk: a shell for people, and a self-check whose output tests compare.

The kernel's command line chooses: with the word `xemu.check` the check runs and the guest powers off.
"""

import gzip
import hashlib
from collections.abc import Sequence

from xemu.guests import cpio

_KNOWN_LINES = 20000
_APPLETS = """
    sh ash cat cp cut date dd df dmesg echo env expr false free grep gunzip gzip head hostname kill ln ls md5sum mkdir
    mknod more mount mv ping poweroff ps pwd reboot rm rmdir sed seq setsid sha256sum sleep sort stty sync tail tar
    test top touch tr true umount uname uptime vi wc which xz zcat cttyhack
""".split()  # noqa: SIM905

_INIT = """\
#!/bin/sh
# Process 1 of the busybox guest.
export PATH=/bin HOME=/root TERM=${TERM:-vt100}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1
hostname xemu
if grep -qw xemu.check /proc/cmdline; then
    sh /check
    poweroff -f
fi
echo
echo "This is busybox on $(uname -sr) ($(uname -m)), run by xemu."
echo "'poweroff -f' or leaving the shell ends the machine, Ctrl-A x ends the emulator."
echo
cd /root
setsid cttyhack sh -l
poweroff -f
"""

_CHECK = """\
echo "check: begin"
uname -srm
cat /proc/cpuinfo
echo "check: sha256 $(seq 1 {lines} | sha256sum | cut -d' ' -f1)"
echo "check: md5 $(seq 1 {lines} | md5sum | cut -d' ' -f1)"
echo "check: gzip $(seq 1 {lines} | gzip -c | gunzip -c | sha256sum | cut -d' ' -f1)"
echo "check: gunzip $(gunzip -c /known.gz | sha256sum | cut -d' ' -f1)"
echo "check: end"
"""


def applets() -> Sequence[str]:
    """What busybox is linked to."""
    return _APPLETS


def _known_data() -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, _KNOWN_LINES + 1))


def expected_check_lines() -> list[str]:
    """What the check prints when the guest computes right."""
    data = _known_data()
    sha256, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest()
    results = [f"sha256 {sha256}", f"md5 {md5}", f"gzip {sha256}", f"gunzip {sha256}"]
    return ["check: begin", *(f"check: {result}" for result in results), "check: end"]


def build(busybox: bytes) -> bytes:
    """The compressed ramdisk around a static busybox."""
    entries = [cpio.directory(name) for name in ("bin", "dev", "proc", "root", "sys", "tmp")]
    entries += [
        cpio.character_device("dev/console", 5, 1),
        cpio.character_device("dev/null", 1, 3),
        cpio.file("bin/busybox", busybox, executable=True),
        *(cpio.symlink(f"bin/{applet}", "busybox") for applet in _APPLETS),
        cpio.file("init", _INIT.encode(), executable=True),
        cpio.file("check", _CHECK.format(lines=_KNOWN_LINES).encode()),
        cpio.file("known.gz", gzip.compress(_known_data(), mtime=0)),
    ]
    return gzip.compress(cpio.archive(entries), compresslevel=6, mtime=0)
