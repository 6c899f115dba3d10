"""Debian kernels by package name, and the busybox ramdisk to boot them with."""

import hashlib
import os
import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xemu.errors import UserError
from xemu.folders import cache_folder
from xemu.guests import deb, initramfs
from xemu.guests.apt import AptRoot
from xemu.guests.progress import Progress
from xemu.guests.sources import Source, debian_archive

DEFAULT_SUITE = "bookworm"
DEFAULT_KERNEL = "linux-image-cloud-arm64"
_BUSYBOX = "busybox-static"
# Since Debian 14 the kernel lives with its modules.
_KERNEL_FILE = r"boot/vmlinu[xz]-.*|(usr/)?lib/modules/[^/]*/vmlinuz"


@dataclass(frozen=True)
class Guest:
    """Files to boot, and what they are."""

    package: str
    kernel: Path
    initrd: Path


def find_archive(mirror: str | None, suite: str) -> Source:
    """The archive to fetch from: the one named, or the machine's own."""
    own = debian_archive()
    if mirror is None and own is None:
        raise UserError("guests: this machine's apt sources name no Debian archive; name one with --mirror URL")
    uri = mirror if mirror is not None else own.uri  # type: ignore[union-attr]
    return Source(uri, suite, ("main",), own.signed_by if own is not None and mirror is None else None)


def fetch_debian(
    package: str = DEFAULT_KERNEL, suite: str = DEFAULT_SUITE, mirror: str | None = None, update: bool = False
) -> Guest:
    """Fetch a kernel package (or metapackage) and busybox; what the cache holds already is used as it is.

    With `update`, the package lists are read again and a newer kernel replaces the older one.
    """
    actual, kernel = _fetch_kernel(package, suite, mirror, update)
    return Guest(actual, kernel, _fetch_ramdisk(mirror, update))


def _fetch_kernel(package: str, suite: str, mirror: str | None, update: bool) -> tuple[str, Path]:
    folder = cache_folder() / "guests" / suite
    chosen = folder / f"{package}.chosen"  # which package a metapackage led to

    def known() -> tuple[str, Path] | None:
        actual = chosen.read_text().strip() if chosen.exists() else None
        kernel = folder / (actual or "") / "vmlinuz"
        return (actual, kernel) if actual is not None and kernel.exists() else None

    if (found := known()) is not None and not update:
        return found
    with _lists(suite, mirror) as root:
        if (found := known()) is not None and not update:  # another process was faster
            return found
        root.update()
        actual = root.resolve(package)
        kernel = folder / actual / "vmlinuz"
        if not kernel.exists():
            _write(kernel, _extract(root, actual, _KERNEL_FILE))
        _write(chosen, f"{actual}\n".encode())
    return actual, kernel


def _fetch_ramdisk(mirror: str | None, update: bool) -> Path:
    """One busybox serves all kernels; it comes from the default suite, since backports suites have none."""
    # The scripts are part of the name, so that a newer xemu does not boot an older ramdisk.
    scripts = hashlib.sha256(initramfs.build(b"")).hexdigest()[:12]
    ramdisk = cache_folder() / "guests" / f"busybox-{scripts}.cpio.gz"
    if update or not ramdisk.exists():
        with _lists(DEFAULT_SUITE, mirror) as root:
            if update or not ramdisk.exists():
                root.update()
                _write(ramdisk, initramfs.build(_extract(root, _BUSYBOX, r"(usr/)?bin/busybox")))
    return ramdisk


@contextmanager
def _lists(suite: str, mirror: str | None) -> Generator[AptRoot, None, None]:
    """The package lists of a suite, locked against other processes."""
    source = find_archive(mirror, suite)
    root = AptRoot(cache_folder() / "guests" / "apt" / _root_name(source), source, Progress())
    with root.lock():
        yield root


def _root_name(source: Source) -> str:
    return f"{source.suite}-{hashlib.sha256(source.uri.encode()).hexdigest()[:8]}"


def _extract(root: AptRoot, package: str, pattern: str) -> bytes:
    """The one file of a package whose name matches; the package itself is not kept."""
    archive = root.download(package)
    found = deb.read_members(archive, lambda name: re.fullmatch(pattern, name) is not None)
    if len(found) != 1:
        raise UserError(f"guests: {package} holds {len(found)} files like {pattern}, expected one")
    archive.unlink()
    return found.popitem()[1]


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a run that is interrupted leaves no half file behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)
