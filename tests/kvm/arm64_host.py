"""An arm64 host with KVM, for machines that are none: Debian's arm64 kernel under QEMU's `virt,virtualization=on`.

Its ramdisk has Python, xemu as it is here, and what a test adds; a script of the test's runs, and the machine is off.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from xemu.folders import cache_folder
from xemu.guests import cpio, deb, fetch_debian
from xemu.guests.apt import AptRoot
from xemu.guests.debian import DEFAULT_SUITE, find_archive
from xemu.guests.initramfs import applets
from xemu.guests.progress import Progress

REPOSITORY = Path(__file__).resolve().parent.parent.parent
QEMU = "qemu-system-aarch64"
PACKAGES = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libexpat1", "zlib1g"),
    *("libffi8", "libgcc-s1", "libbz2-1.0", "liblzma5", "busybox-static"),
)
MODULES = ("virtio", "virtio_ring", "virtio_mmio", "virtio_blk")  # in the order of loading
_LEFT_OUT = ("usr/share", "usr/lib/aarch64-linux-gnu/gconv", "var", "etc", *(
    f"usr/lib/python3.11/{name}" for name in ("test", "unittest", "distutils", "pydoc_data", "lib2to3", "idlelib")
))  # fmt: skip
LIMIT = 600  # s; the whole takes some 30 on a machine that does nothing else


@dataclass
class Files:
    """What is fetched: Debian's kernel, its modules for virtio disks, busybox, and a tree with Python in it."""

    kernel: Path
    modules: dict[str, bytes]
    busybox: bytes
    python: list[cpio.Entry] = field(repr=False)


@cache
def fetch() -> Files:
    """From the cache or from Debian's archive; UserError where that is not possible."""
    kernel = fetch_debian()
    folder = cache_folder() / "guests" / f"arm64-host-{kernel.package}"
    mark = folder / "complete"
    if not mark.exists():
        source = find_archive(None, DEFAULT_SUITE)
        name = f"{source.suite}-{hashlib.sha256(source.uri.encode()).hexdigest()[:8]}"
        root = AptRoot(cache_folder() / "guests" / "apt" / name, source, Progress())
        with root.lock():
            if not mark.exists():
                root.update()
                _unpack(root, folder, kernel.package)
                mark.touch()
    modules = {name: (folder / f"{name}.ko").read_bytes() for name in MODULES}
    busybox = next(path for path in (folder / "root/bin/busybox", folder / "root/usr/bin/busybox") if path.exists())
    return Files(kernel.kernel, modules, busybox.read_bytes(), list(_tree(folder / "root")))


def _unpack(root: AptRoot, folder: Path, kernel: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "root").mkdir(parents=True)
    for package in PACKAGES:
        archive = root.download(package)
        subprocess.run(["dpkg-deb", "-x", archive, folder / "root"], check=True)
        archive.unlink()
    for name in _LEFT_OUT:
        shutil.rmtree(folder / "root" / name, ignore_errors=True)
    archive = root.download(kernel)
    wanted = {f"{name}.ko": name for name in MODULES}
    for name, data in deb.read_members(archive, lambda name: os.path.basename(name) in wanted).items():
        (folder / os.path.basename(name)).write_bytes(data)
    archive.unlink()


def _tree(folder: Path, prefix: str = "") -> Iterator[cpio.Entry]:
    for path in sorted(folder.rglob("*")):
        name = prefix + str(path.relative_to(folder))
        if path.is_symlink():
            yield cpio.symlink(name, os.readlink(path))
        elif path.is_dir():
            yield cpio.directory(name)
        elif path.suffix == ".py":
            yield _module(name, path)
        else:
            yield cpio.file(name, path.read_bytes(), executable=bool(path.stat().st_mode & stat.S_IXUSR))


def _xemu() -> Iterator[cpio.Entry]:
    """The packages of this repository."""
    yield cpio.directory("xemu")
    for package in ("xemu", "targets", "jit"):
        yield cpio.directory(f"xemu/{package}")
        yield from (
            entry for entry in _tree(REPOSITORY / package, f"xemu/{package}/") if "__pycache__" not in entry.name
        )


def _module(name: str, path: Path) -> cpio.Entry:
    """A module's code, or its source where this Python is of another version: to compile it takes long there."""
    if sys.version_info[:2] != (3, 11):
        return cpio.file(name, path.read_bytes())
    code = compile(path.read_bytes(), f"/{name}", "exec", dont_inherit=True)
    return cpio.file(f"{name}c", importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code))


INIT = """\
#!/bin/sh
export PATH=/bin:/usr/bin PYTHONPATH=/xemu HOME=/tmp TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1
cd /guest
sh -c '. /guest/script'
echo "host: done"
poweroff -f
"""


def ramdisk(script: str, files: dict[str, bytes], tree: list[cpio.Entry]) -> bytes:
    """The host's ramdisk: `script` runs in /guest, where `files` are.

    Not compressed: to compress it here, and to unpack it there, would take a tenth of the whole.
    """
    entries = [cpio.directory(name) for name in ("bin", "dev", "proc", "sys", "tmp", "guest")]
    entries += [cpio.character_device("dev/console", 5, 1), cpio.character_device("dev/null", 1, 3)]
    entries += tree
    entries += [cpio.file("init", INIT.encode(), executable=True), cpio.file("guest/script", script.encode())]
    entries += [cpio.file(f"guest/{name}", data) for name, data in files.items()]
    return cpio.archive(entries)


def run(script: str, files: dict[str, bytes], *, gic: int = 3, memory: int = 1024) -> str:
    """What the host's console shows while it runs the script."""
    found = fetch()
    links = [cpio.symlink(f"bin/{applet}", "busybox") for applet in applets()]
    disk = ramdisk(script, files, [*found.python, *links, *_xemu()])
    with tempfile.TemporaryDirectory() as folder:
        initrd = Path(folder, "initrd")
        initrd.write_bytes(disk)
        command = [
            *(QEMU, "-M", f"virt,virtualization=on,gic-version={gic}", "-cpu", "cortex-a72", "-m", f"{memory}M"),
            *("-nographic", "-no-reboot", "-net", "none", "-accel", "tcg", "-kernel", str(found.kernel)),
            *("-initrd", str(initrd), "-append", "console=ttyAMA0 quiet panic=-1"),
        ]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    text = done.stdout.decode("utf-8", "replace").replace("\r", "")
    if "host: done" not in text:
        raise RuntimeError(f"the host did not come to its end:\n{text[-4000:]}{done.stderr.decode()[-1000:]}")
    return text


def why_not() -> str | None:
    """What is missing here to have such a host."""
    missing = [program for program in (QEMU, "dpkg-deb", "aarch64-linux-gnu-as") if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else None
