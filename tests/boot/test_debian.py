"""Whole Debian systems: the installer to its first menu, and an installed system from power-on to power-off.

pytest -m "boot and slow" tests/boot/test_debian.py

What is fetched and made (see root_image.py) stays in the user's cache.
"""

import hashlib
import re
import time
from pathlib import Path

import pexpect
import pytest

from tests.boot.churn import churn
from tests.boot.debian_system import GUEST, DebianSystem, spawn
from tests.boot.processes import cpu_seconds, memory_beside_guest
from xemu.errors import UserError
from xemu.guests import deb
from xemu.guests.apt import AptRoot
from xemu.guests.debian import cache_folder, find_archive
from xemu.guests.progress import Progress

pytestmark = [pytest.mark.boot, pytest.mark.slow]

UP, DOWN, ENTER = "\x1b[A", "\x1b[B", "\r"


# -- the installer -----------------------------------------------------------------------------------------------------
INSTALLER = "debian-installer-12-netboot-arm64"


def installer() -> tuple[Path, Path]:
    """Kernel and initrd of Debian's installer, from the package that has them."""
    folder = cache_folder() / "guests" / INSTALLER
    files = folder / "linux", folder / "initrd.gz"
    if not all(path.exists() for path in files):
        root = AptRoot(folder / "apt", find_archive(None, "bookworm"), Progress())
        with root.lock():
            root.update()
            package = root.download(INSTALLER)
            found = deb.read_members(package, lambda name: re.search(r"/text/.*/(linux|initrd\.gz)$", name) is not None)
            for name, data in found.items():
                (folder / name.rpartition("/")[2]).write_bytes(data)
            package.unlink()
    return files


def test_the_installer_reaches_its_menu_and_takes_keys() -> None:
    try:
        kernel, initrd = installer()
    except UserError as error:
        pytest.skip(f"no installer to boot: {error}")
    board = ["-M", "virt", "-cpu", "cortex-a57", "-m", "1G", "-nographic"]
    console = spawn([*board, "-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyAMA0"])
    console.expect_exact("Select a language")
    console.expect_exact("English")
    console.expect_exact("<Go Back>")
    for key in (UP, DOWN):  # to C and back: each time both lines are drawn again
        console.send(key)
        console.expect_exact("English")
    console.send(ENTER)
    console.expect_exact("Select your location")
    console.expect_exact("United States")
    console.send("\x01x")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


# -- an installed system -----------------------------------------------------------------------------------------------
MOST_MEMORY = 400 << 20  # bytes beside the guest's RAM
IDLE, MOST_IDLE = 60, 0.03  # s, and the share of a core that an idle guest may take


def idle_share(pid: int) -> float:
    """The share of a core that the emulator takes over a while in which the guest has nothing to do."""
    before, started = cpu_seconds(pid), time.monotonic()
    time.sleep(IDLE)
    return (cpu_seconds(pid) - before) / (time.monotonic() - started)


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_an_installed_system(tmp_path: Path, cpus: int) -> None:
    try:
        system = DebianSystem(tmp_path, ["-smp", str(cpus)], GUEST / "hello.c")
    except UserError as error:
        pytest.skip(f"no root file system to boot: {error}")
    memory = memory_beside_guest(system.console.pid)
    print(f"{cpus} CPUs, at the login prompt: {memory >> 20} MiB beside the guest's RAM")
    assert memory <= MOST_MEMORY
    system.login()
    assert system.run("systemctl is-system-running --wait") == "running", system.run("systemctl --failed")
    share = idle_share(system.console.pid)
    print(f"{cpus} CPUs, idle: {100 * share:.2f} % of a core")
    assert share < MOST_IDLE
    assert system.run("nproc") == str(cpus)
    assert system.run("python3 -c 'print(sum(k * k for k in range(10**5)))'") == str(sum(k * k for k in range(10**5)))
    for what in ("-evp sha256", "-evp aes-128-gcm", "rsa2048", "ecdsap256"):
        system.run(f"openssl speed -seconds 1 {what}")
    assert system.run("gcc -O2 -Wall -o hello hello.c && ./hello") == "hello, 42"
    numbers = "".join(f"{k}\n" for k in range(1, 200001)).encode()
    assert system.run("seq 1 200000 | xz -q -T0 | xz -d | sha256sum") == f"{hashlib.sha256(numbers).hexdigest()}  -"
    assert "rror" not in system.run("apt-get check")
    assert system.run("dpkg --audit") == ""
    system.power_off()


def test_churn_is_right_and_keeps_its_memory(tmp_path: Path) -> None:
    """A few minutes with a small code cache; `python -m tests.boot.churn` does it for as long as one likes."""
    try:
        result = churn(tmp_path, 300, ["-accel", "tcg,tb-size=32", "-smp", "2"])
    except UserError as error:
        pytest.skip(f"no root file system to boot: {error}")
    assert result.right, result.last_line
    assert result.fills >= 2
    first, _, last = result.thirds()
    assert last < 1.15 * first  # what is bounded (words, say) is still filling up: the 5 % are for an hour
