"""Guests: where Debian's archive is found, what the ramdisk holds, and the demo guest's bytes and behaviour."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from xemu.errors import UserError
from xemu.guests import cpio, debian, demo_path, fetch_debian, initramfs
from xemu.guests.main import main
from xemu.guests.sources import Source, debian_archive, machine_sources
from xemu.loader import load_initrd, load_kernel

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Enabled: yes

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no
"""
ONE_LINE = """\
deb https://packages.example/apt thing-bookworm main
# deb http://commented.example/debian trixie main
deb [arch=amd64 signed-by=/dev/null] http://archive.example/debian trixie main contrib  # the archive
deb-src http://archive.example/debian trixie main
"""


def test_both_formats_of_sources(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text(ONE_LINE)
    found = machine_sources(tmp_path)
    assert found == [
        Source("https://packages.example/apt", "thing-bookworm", ("main",)),
        Source("http://archive.example/debian", "trixie", ("main", "contrib"), "/dev/null"),
        Source("http://archive.example/debian", "bookworm", ("main", "contrib")),
        Source("http://archive.example/debian", "bookworm-updates", ("main", "contrib")),
    ]
    assert debian_archive(tmp_path) == found[1]


def test_a_machine_without_a_debian_archive(tmp_path: Path, monkeypatch) -> None:
    assert debian_archive(tmp_path) is None
    monkeypatch.setattr(debian, "debian_archive", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="name one with --mirror URL"):
        fetch_debian()


def test_the_cache_follows_the_specification(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert debian.cache_folder() == Path("/somewhere/xemu")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert debian.cache_folder() == Path.home() / ".cache" / "xemu"


needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")


@needs_apt
def test_an_archive_that_is_not_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError) as caught:
        fetch_debian(mirror=f"file://{tmp_path}/nowhere")
    assert "can't read the archive" in str(caught.value) and "\n" not in str(caught.value)


@needs_apt
def test_fetching_leaves_the_machine_alone_and_happens_once(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    watched = ["/var/lib/dpkg/status", "/var/lib/apt/lists", "/var/cache/apt"]
    before = [os.stat(path).st_mtime_ns for path in watched if os.path.exists(path)]
    try:
        guest = fetch_debian()
    except UserError as error:
        pytest.skip(f"no archive: {error}")
    assert [os.stat(path).st_mtime_ns for path in watched if os.path.exists(path)] == before
    assert capsys.readouterr().err == ""  # progress is for terminals
    assert load_kernel(str(guest.kernel)).is_linux and load_initrd(str(guest.initrd))
    assert guest.package.startswith("linux-image-") and guest.package.endswith("-cloud-arm64")
    # The second time needs no archive at all.
    assert fetch_debian(mirror="file:///nowhere") == guest
    assert main(["debian"]) == 0
    assert capsys.readouterr().out == f"kernel {guest.kernel}\ninitrd {guest.initrd}\n"


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_cpio_reads_our_archives(tmp_path: Path) -> None:
    entries = [cpio.directory("d"), cpio.file("d/f", b"12345", executable=True), cpio.symlink("l", "d/f")]
    subprocess.run(["cpio", "-id", "--quiet"], input=cpio.archive(entries), cwd=tmp_path, check=True)
    assert (tmp_path / "d/f").read_bytes() == b"12345" and os.access(tmp_path / "d/f", os.X_OK)
    assert os.readlink(tmp_path / "l") == "d/f"


def test_the_ramdisk_is_reproducible_and_whole(tmp_path: Path) -> None:
    ramdisk = initramfs.build(b"busybox")
    assert ramdisk == initramfs.build(b"busybox")
    path = tmp_path / "rd"
    path.write_bytes(ramdisk)
    load_initrd(str(path))
    assert b"xemu.check" in gzip.decompress(ramdisk)
    assert len(initramfs.expected_check_lines()) == 6


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-as") is None, reason="needs binutils-aarch64-linux-gnu")
def test_the_demo_guest_is_what_its_source_says(tmp_path: Path) -> None:
    source = demo_path().with_suffix(".s")
    subprocess.run(["aarch64-linux-gnu-as", source, "-o", "demo.o"], cwd=tmp_path, check=True)
    subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", "demo.o", "demo.bin"], cwd=tmp_path, check=True)
    rebuilt = (tmp_path / "demo.bin").read_bytes()
    assert rebuilt == demo_path().read_bytes()
    assert len(rebuilt) < 64 << 10


@pytest.mark.skipif(shutil.which("qemu-system-aarch64") is None, reason="needs qemu-system-arm")
def test_the_demo_guest_on_qemu() -> None:
    arguments = ["-M", "virt", "-cpu", "cortex-a57", "-nic", "none", "-nographic", "-kernel", str(demo_path())]
    play_demo(pexpect.spawn("qemu-system-aarch64", arguments, timeout=20, encoding="utf-8", echo=False))


def test_the_demo_guest_on_xemu() -> None:
    arguments = ["-m", "xemu", "-M", "virt", "-cpu", "cortex-a57", "-nographic", str(demo_path())]
    play_demo(pexpect.spawn(sys.executable, arguments, timeout=120, encoding="utf-8", echo=False))


def play_demo(console: pexpect.spawn) -> None:
    """A visit to the demo guest; the same on every emulator."""
    console.expect_exact("MIDR_EL1 0x00000000411fd070")
    console.expect_exact("demo> ")
    console.send("xyz\r")
    console.expect(r"xyz\r+\ndemo> ")
    console.send("t")
    console.expect_exact(" at 62500000 Hz")
    console.send("q")
    console.expect_exact("Bye.")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0
