"""Makes a disk with Debian 12 for arm64: debootstrap's first stage here, its second stage on the emulator.

    python -m tests.boot.root_image [--emulator 'qemu-system-aarch64 -net none']

prints where the image, its kernel and its initrd are, in the user's cache; what is there already is not made again.
The second stage is dpkg configuring some 230 packages: minutes.  Needs debootstrap, fakeroot and e2fsprogs.
"""

import argparse
import fcntl
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xemu.errors import UserError
from xemu.guests import cpio, deb
from xemu.guests.debian import cache_folder, find_archive

SUITE = "bookworm"
PACKAGES = """
    linux-image-arm64 systemd systemd-sysv udev dbus python3 openssl gcc libc6-dev xz-utils zstd busybox-static
    initramfs-tools
""".split()  # noqa: SIM905
PASSWORD = "xemu"  # of root
SIZE = 4 << 30  # bytes; most of it is never written
XEMU = [sys.executable, "-m", "xemu"]
MACHINE = ["-M", "virt", "-cpu", "cortex-a57", "-m", "1G", "-nographic", "-no-reboot"]
LIMIT = 4 * 3600  # s, on a slow machine that does other things as well
DONE = "second stage: done"
UUID = "78656d75-0000-4000-8000-000000000001"

# What the file system needs before there is an initrd, in the order of loading.
_MODULES = "virtio_mmio virtio_blk crc16 mbcache jbd2 crc32c_generic ext4".split()  # noqa: SIM905

_INIT = f"""\
#!/bin/busybox sh
# Process 1 of the second stage.
export PATH=/bin:/usr/bin:/sbin:/usr/sbin HOME=/root TERM=linux LC_ALL=C DEBIAN_FRONTEND=noninteractive
export INITRD=No  # it takes minutes: once at the end, not for the kernel and then for the tools again
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
for module in $($bb cat /modules/order); do $bb insmod /modules/$module || $bb poweroff -f; done
$bb mount -t ext4 /dev/vda /target || $bb poweroff -f
if $bb chroot /target /debootstrap/debootstrap --second-stage && $bb chroot /target /bin/sh -e /finish; then
    $bb rm /target/finish
    $bb umount /target && echo "{DONE}"
else
    $bb tail -n 40 /target/debootstrap/debootstrap.log
    $bb umount /target
fi
$bb poweroff -f
"""

# On a busy host systemd would give up the console after 90 s.
_FINISH = f"""\
echo xemu >/etc/hostname
echo 127.0.1.1 xemu >>/etc/hosts
echo '/dev/vda / ext4 errors=remount-ro 0 1' >/etc/fstab
echo root:{PASSWORD} | chpasswd
mkdir -p /etc/systemd/system.conf.d
cat >/etc/systemd/system.conf.d/patience.conf <<END
[Manager]
DefaultTimeoutStartSec=1h
DefaultTimeoutStopSec=1h
DefaultDeviceTimeoutSec=1h
END
apt-get clean
rm -f /var/lib/apt/lists/*_*
unset INITRD
version=$(ls /lib/modules)
test -e /boot/initrd.img-$version || update-initramfs -c -k $version
ln -sf boot/vmlinuz-$version /vmlinuz
ln -sf boot/initrd.img-$version /initrd.img  # the kernel's package makes no link to what is not there yet
"""

# $1: the target folder, $2: mirror, $3: the image, $4: its size, $5: the script to run at the end.
# The second stage reads all package lists a dozen times: only what it installs is left in them.
_FIRST_STAGE = """\
set -e
debootstrap --foreign --arch=arm64 --include={packages} {keyring} {suite} "$1" "$2"
ls "$1/var/cache/apt/archives" | sed 's/_.*//' >"$1.names"
for list in "$1"/var/lib/apt/lists/*_Packages; do
    awk 'NR == FNR {{ wanted[$1]; next }} $2 in wanted {{ print $0 "\\n" }}' "$1.names" RS= "$list" >"$1.thin"
    cp "$1.thin" "$list"
done
cp "$5" "$1/finish"
mke2fs -q -t ext4 -U {uuid} -E hash_seed={uuid},root_owner=0:0 -d "$1" "$3" "$4"
"""


@dataclass(frozen=True)
class Root:
    """A disk, and the kernel and initrd that boot it."""

    image: Path
    kernel: Path
    initrd: Path


def root_image(emulator: list[str] = XEMU, mirror: str | None = None) -> Root:
    """The disk with its own kernel and initrd; each stage is made where the cache has none."""
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, SIZE, _INIT, _FINISH, _FIRST_STAGE)).encode()).hexdigest()[:12]
    folder = cache_folder() / "guests" / f"root-{recipe}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process at a time: others wait, and then find the work done
        first = _made(folder / "first-stage", lambda work: _first_stage(work, mirror))
        return _made(folder / "second-stage", lambda work: _second_stage(work, first, emulator))


def _made(folder: Path, make: Callable[[Path], None]) -> Root:
    """A stage's files: whole, or not there at all."""
    if not folder.exists():
        for tool in ("debootstrap", "fakeroot", "mke2fs", "debugfs", "e2fsck"):
            if _tool(tool) is None:
                raise UserError(f"guests: making a root file system needs {tool}; this machine lacks it")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as name:
            work = Path(name)
            make(work)
            (work / "done").mkdir()
            for path in list(work.glob("*.*")):
                os.replace(path, work / "done" / path.name)
            os.replace(work / "done", folder)
    return Root(folder / "root.img", folder / "vmlinuz.bin", folder / "initrd.gz")


def _first_stage(work: Path, mirror: str | None) -> None:
    """Unpack what is required, keep the other packages' archives, and make what boots that."""
    target = work / "target"
    archive = find_archive(mirror, SUITE)
    keyring = f"--keyring={archive.signed_by}" if archive.signed_by else ""
    script = _FIRST_STAGE.format(packages=",".join(PACKAGES), suite=SUITE, keyring=keyring, uuid=UUID)
    (work / "finish").write_text(_FINISH)
    arguments = [str(target), archive.uri, str(work / "root.img"), f"{SIZE >> 10}k", str(work / "finish")]
    _step(["fakeroot", "sh", "-c", script, "first-stage", *arguments], "the first stage")
    kernel, ramdisk = _second_stage_boot(target)
    (work / "vmlinuz.bin").write_bytes(kernel)
    (work / "initrd.gz").write_bytes(ramdisk)


def _second_stage(work: Path, first: Root, emulator: list[str]) -> None:
    """Configure everything, on the emulator."""
    image, log = work / "root.img", work / "console.log"
    copy_sparse(first.image, image)
    boot = ["-kernel", str(first.kernel), "-initrd", str(first.initrd), "-append", "console=ttyAMA0"]
    _step([*emulator, *MACHINE, "-serial", f"file:{log}", *boot, *disk(image, "cache=unsafe")], "the second stage")
    text = log.read_text(errors="replace")
    if DONE not in text:
        raise UserError("guests: the second stage failed:\n" + "\n".join(text.splitlines()[-50:]))
    check(image)
    for link, name in (("/vmlinuz", "vmlinuz.bin"), ("/initrd.img", "initrd.gz")):
        _step(["debugfs", "-R", f"dump {_file_on(image, link)} {work / name}", str(image)], f"taking {link}")


def disk(image: Path, *properties: str) -> list[str]:
    """The options that make an image the machine's disk; xemu and QEMU then have the same device."""
    drive = ",".join(["if=none", "id=root", f"file={image}", "format=raw", *properties])
    return ["-drive", drive, "-device", "virtio-blk-device,drive=root"]


def copy_sparse(source: Path, target: Path) -> None:
    _step(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], f"copying {source.name}")


def put(image: Path, source: Path, name: str) -> None:
    """Put a file into the file system of an image."""
    _step(["debugfs", "-w", "-R", f"write {source} {name}", str(image)], f"putting {name} on {image.name}")


def check(image: Path) -> None:
    """UserError where the file system of an image is not clean."""
    _step(["e2fsck", "-fn", str(image)], "checking the file system")


def _second_stage_boot(target: Path) -> tuple[bytes, bytes]:
    """A kernel and a ramdisk with busybox and the modules for the disk, from the packages that debootstrap fetched."""
    archives = target / "var/cache/apt/archives"
    (kernel_package,) = archives.glob("linux-image-[0-9]*.deb")
    (busybox_package,) = archives.glob("busybox-static_*.deb")
    wanted = "|".join([r"boot/vmlinuz-.*", *(rf"lib/modules/.*/{name}\.ko" for name in _MODULES)])
    found = deb.read_members(kernel_package, lambda name: re.fullmatch(wanted, name) is not None)
    modules = {name.rpartition("/")[2]: data for name, data in found.items() if name.endswith(".ko")}
    (busybox,) = deb.read_members(busybox_package, lambda name: name.endswith("bin/busybox")).values()
    (kernel,) = (data for name, data in found.items() if name.startswith("boot/"))
    entries = [cpio.directory(name) for name in ("bin", "dev", "modules", "proc", "sys", "target")]
    entries += [
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", busybox, executable=True),
        cpio.file("init", _INIT.encode(), executable=True),
        cpio.file("modules/order", "".join(f"{name}.ko\n" for name in _MODULES).encode()),
        *(cpio.file(f"modules/{name}", data) for name, data in modules.items()),
    ]
    return kernel, gzip.compress(cpio.archive(entries), compresslevel=6, mtime=0)


def _file_on(image: Path, link: str) -> str:
    """Where a symbolic link in the root directory of an image leads."""
    done = subprocess.run([_tool("debugfs"), "-R", f"stat {link}", str(image)], capture_output=True, text=True)
    found = re.search(r'link dest: "(.*?)"', done.stdout)
    if found is None:
        raise UserError(f"guests: {image} has no {link}")
    return "/" + found[1].lstrip("/")


def _tool(name: str) -> str | None:
    """Administrators' tools are not on everybody's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _step(command: list[str], what: str) -> None:
    environment = os.environ | {"LC_ALL": "C", "SOURCE_DATE_EPOCH": "1700000000", "E2FSPROGS_FAKE_TIME": "1700000000"}
    environment["PATH"] = f"{environment['PATH']}:/usr/sbin:/sbin"
    print(f"{what} ...", file=sys.stderr, flush=True)
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, env=environment, timeout=LIMIT, text=True, errors="replace", **streams)
    if done.returncode != 0:
        raise UserError(f"guests: {what} failed with status {done.returncode}:\n{done.stdout[-2000:]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a disk with Debian for arm64.")
    parser.add_argument("--emulator", default="", help="command that runs the second stage (default: xemu)")
    parser.add_argument("--mirror", metavar="URL", help="a Debian archive (default: this machine's own)")
    chosen = parser.parse_args()
    made = root_image(chosen.emulator.split() or XEMU, chosen.mirror)
    print(f"image {made.image}\nkernel {made.kernel}\ninitrd {made.initrd}")
