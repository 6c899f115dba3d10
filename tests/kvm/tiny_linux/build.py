"""A tiny Linux for x86-64, built from Debian's linux-source package: python -m tests.kvm.tiny_linux.build

Takes about eight minutes of CPU time and 2 GB while it works; the kernel, 1.2 MB, stays in the user's cache. Needs from
apt: make gcc flex bison bc libelf-dev libssl-dev patch xz-utils.
"""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from xemu.guests import cpio
from xemu.guests.apt import AptRoot
from xemu.guests.debian import cache_folder, find_archive
from xemu.guests.progress import Progress

SUITE, PACKAGE = "bookworm", "linux-source-6.1"
HERE = Path(__file__).parent
CONFIG, PATCH, INIT = HERE / "config", HERE / "syscall.patch", HERE / "init.S"
# No names or times of this machine get into the kernel.
_STAMPS = ("KBUILD_BUILD_USER=xemu", "KBUILD_BUILD_HOST=xemu", "KBUILD_BUILD_TIMESTAMP=1970-01-01")
# The emulator of kernel code in kvm_pvm lacks what these features bring: without them Linux takes other ways.
COMMAND_LINE = (
    "console=ttyS0 reboot=k panic=-1 noxsave nosmap clearcpuid=smap,smep,popcnt,cx16,erms,fsrm "
    "rodata=off random.trust_cpu=1 lpj=20000000"
)


@dataclass(frozen=True)
class TinyLinux:
    bzimage: Path
    vmlinux: Path  # the same kernel as ELF, with a PVH note


def find() -> TinyLinux | None:
    """The kernel of this configuration, if it was built before."""
    found = _files()
    return found if found.bzimage.exists() and found.vmlinux.exists() else None


def _files() -> TinyLinux:
    key = hashlib.sha256(CONFIG.read_bytes() + PATCH.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / "guests" / f"tiny-linux-{key}"
    return TinyLinux(folder / "bzImage", folder / "vmlinux")


def build() -> TinyLinux:
    files = _files()
    files.bzimage.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.bzimage.parent) as scratch:
        tree = _unpack(Path(scratch))
        _run(tree, "patch", "-s", "-p1", "-i", str(PATCH))
        _configure(tree)
        _run(tree, "make", "-s", f"-j{os.cpu_count()}", *_STAMPS, "bzImage")
        for built, place in ((tree / "vmlinux", files.vmlinux), (tree / "arch/x86/boot/bzImage", files.bzimage)):
            os.replace(built, place)
    return files


def _unpack(scratch: Path) -> Path:
    source = find_archive(None, SUITE)
    root = AptRoot(cache_folder() / "guests" / "apt" / f"{SUITE}-amd64", source, Progress(), "amd64")
    with root.lock():
        root.update()
        package = root.download(PACKAGE)
    subprocess.run(["dpkg-deb", "-x", str(package), str(scratch)], check=True)
    package.unlink()
    tarball = next(scratch.glob("usr/src/linux-source-*.tar.xz"))
    subprocess.run(["tar", "-xf", str(tarball), "-C", str(scratch)], check=True)
    shutil.rmtree(scratch / "usr")
    return next(scratch.glob("linux-source-*"))


def _configure(tree: Path) -> None:
    _run(tree, "make", "-s", "tinyconfig")
    _run(tree, "scripts/kconfig/merge_config.sh", "-m", ".config", str(CONFIG))
    _run(tree, "make", "-s", "olddefconfig")
    made = set((tree / ".config").read_text().splitlines())
    asked = re.findall(r"^(?:CONFIG_\w+=.*|# CONFIG_\w+ is not set)$", CONFIG.read_text(), re.M)
    # What another option rules out altogether is not in the file, which is as good as "not set".
    lost = [line for line in asked if line not in made and not line.startswith("#")]
    if lost:
        sys.exit(f"tiny_linux: this kernel does not take {', '.join(lost)}")


def _run(tree: Path, *command: str) -> None:
    subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)


def initramfs(folder: Path) -> bytes:
    """The ramdisk: init.S, assembled in `folder`."""
    program, linked = folder / "init.o", folder / "init"
    subprocess.run(["as", "--64", "-o", str(program), str(INIT)], check=True)
    subprocess.run(["ld", "-m", "elf_x86_64", "-N", "-s", "-o", str(linked), str(program)], check=True)
    entries = [
        cpio.directory("dev"),
        cpio.character_device("dev/console", 5, 1),
        cpio.file("init", linked.read_bytes(), executable=True),
    ]
    return gzip.compress(cpio.archive(entries), mtime=0)


if __name__ == "__main__":
    print(build().bzimage)
