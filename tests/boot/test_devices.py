"""Devices that Debian's kernel drives: a disk whose guest is killed, several console ports, fw_cfg, firmware in flash.

pytest -m boot; the kernel's modules and the firmware come from Debian's packages.
"""

import gzip
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from xemu.errors import UserError
from xemu.guests import Guest, cpio, deb, debian, fetch_debian

pytestmark = pytest.mark.boot

LIMIT = 600  # seconds for one boot, on a machine that does other things as well
XEMU = [sys.executable, "-m", "xemu", "-M", "virt", "-cpu", "cortex-a57", "-m", "512M", "-nographic", "-no-reboot"]
XEMU += ["-accel", "tcg"]
MODULES = ("virtio", "virtio_ring", "virtio_mmio", "virtio_blk", "virtio_console", "qemu_fw_cfg")
BLOCK = 4096

_START = """\
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
for module in {modules}; do busybox insmod /modules/$module.ko; done
{script}
poweroff -f
"""

# Numbered blocks, each flushed before its number is printed
_WRITER = """\
number=1
while true; do
    printf '%08d' $number | dd of=/dev/vda bs=4096 seek=$number conv=sync,fsync 2>/dev/null
    echo "flushed $number"
    number=$((number + 1))
done
"""

_PORTS = """\
cat /sys/firmware/qemu_fw_cfg/by_name/opt/test/raw
echo "names: $(cat /sys/class/virtio-ports/*/name)"
echo "to the console" > /dev/hvc0
exec 3<> /dev/vport0p1  # open throughout: Linux throws away what is there when a port is closed
echo "to the agent" >&3
read line <&3
echo "heard: $line"
"""


def fetch(package: str, wanted: str) -> dict[str, bytes]:
    """Files of a Debian package by the last part of their names; the test is skipped where there are none."""
    try:
        with debian._lists("bookworm", None) as root:
            root.update()
            archive = root.download(root.resolve(package))
            found = deb.read_members(archive, lambda name: re.fullmatch(wanted, name) is not None)
            archive.unlink()
    except UserError as error:
        pytest.skip(f"{package} can't be fetched: {error}")
    return {name.rpartition("/")[2]: data for name, data in found.items()}


@pytest.fixture(scope="module")
def guest() -> Guest:
    try:
        return fetch_debian()
    except UserError as error:
        pytest.skip(f"no kernel to boot: {error}")


@pytest.fixture(scope="module")
def modules(guest: Guest) -> dict[str, bytes]:
    return fetch(guest.package, rf".*/({'|'.join(MODULES)})\.ko")


def boot_options(guest: Guest, modules: dict[str, bytes], script: str, folder: Path) -> list[str]:
    entries = [cpio.directory("modules"), *(cpio.file(f"modules/{name}", data) for name, data in modules.items())]
    start = _START.format(modules=" ".join(MODULES), script=script)
    entries.append(cpio.file("start", start.encode(), executable=True))
    initrd = folder / "initrd"
    initrd.write_bytes(guest.initrd.read_bytes() + gzip.compress(cpio.archive(entries), 1))
    append = "console=ttyAMA0 quiet rdinit=/start"
    return ["-kernel", str(guest.kernel), "-initrd", str(initrd), "-append", append]


@pytest.mark.parametrize("cache", ["writeback", "writethrough"])
def test_what_a_guest_has_flushed_survives_a_kill(
    guest: Guest, modules: dict[str, bytes], tmp_path: Path, cache: str
) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(16 << 20))
    command = [*XEMU, *boot_options(guest, modules, _WRITER, tmp_path)]
    command += ["-drive", f"file={disk},format=raw,cache={cache}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        flushed = 0
        for line in child.stdout:
            if found := re.search(rb"flushed (\d+)\b", line):
                flushed = int(found[1])
            if flushed == 25:
                child.kill()
                break
        assert flushed == 25
    data = disk.read_bytes()
    for number in range(1, flushed + 1):
        assert data[number * BLOCK :][:8] == b"%08d" % number
    # and the lock went with the process
    again = subprocess.run([*command, "-M", f"virt,dumpdtb={tmp_path}/tree"], capture_output=True, timeout=LIMIT)
    assert again.returncode == 0


def test_console_ports_and_fw_cfg(guest: Guest, modules: dict[str, bytes], tmp_path: Path) -> None:
    hvc, agent = tmp_path / "hvc", str(tmp_path / "agent")
    command = [*XEMU, *boot_options(guest, modules, _PORTS, tmp_path), "-fw_cfg", "opt/test,string=from the host"]
    command += ["-device", "virtio-serial-device", "-chardev", f"file,id=h,path={hvc}"]
    command += ["-chardev", f"socket,id=a,path={agent},server=on,wait=off"]
    command += ["-device", "virtconsole,chardev=h", "-device", "virtserialport,chardev=a,name=org.test.agent"]
    child = pexpect.spawn(command[0], command[1:], timeout=LIMIT, encoding="utf-8", echo=False)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        while client.connect_ex(agent):  # there is a moment between the socket's name and its listening
            assert child.isalive()
            time.sleep(0.01)
        child.expect_exact("from the host")
        child.expect_exact("names: org.test.agent")
        seen = b""
        while b"to the agent\n" not in seen:
            seen += client.recv(100)
        client.sendall(b"hello, guest\n")
        child.expect_exact("heard: hello, guest")
        child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and hvc.read_bytes() == b"to the console\r\n"


@pytest.fixture(scope="module")
def firmware() -> dict[str, bytes]:
    return fetch("qemu-efi-aarch64", r".*/(QEMU_EFI|AAVMF_CODE|AAVMF_VARS)\.fd")


def test_firmware_starts_linux(guest: Guest, firmware: dict[str, bytes], tmp_path: Path) -> None:
    bios = tmp_path / "QEMU_EFI.fd"
    bios.write_bytes(firmware["QEMU_EFI.fd"])
    options = ["-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", "console=ttyAMA0 xemu.check"]
    done = subprocess.run(
        [*XEMU, "-bios", str(bios), *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("EFI stub: Exiting boot services", "efi: EFI v2.70 by EDK II", "check: end"):
        assert text in done.stdout


def test_firmware_keeps_its_variables(firmware: dict[str, bytes], tmp_path: Path) -> None:
    code, variables = tmp_path / "code.fd", tmp_path / "vars.fd"
    code.write_bytes(firmware["AAVMF_CODE.fd"])
    variables.write_bytes(firmware["AAVMF_VARS.fd"])
    flash = ["-drive", f"if=pflash,format=raw,file={code},readonly=on"]
    flash += ["-drive", f"if=pflash,format=raw,file={variables}"]
    child = pexpect.spawn(XEMU[0], [*XEMU[1:], *flash], timeout=LIMIT, encoding="utf-8", echo=False)
    child.expect_exact("Press ")  # the shell has started
    child.kill(signal.SIGKILL)
    child.close()
    name = "Boot0001".encode("utf-16-le")
    assert name not in firmware["AAVMF_VARS.fd"] and name in variables.read_bytes()
