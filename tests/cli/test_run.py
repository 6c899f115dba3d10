"""From the command line to a running guest and back, with the demo guest."""

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import fdt
import pexpect
import pytest

from targets.arm.models import MODELS
from xemu.boards import virt_layout, virtio_slots
from xemu.cli import catalog
from xemu.cli.serial_ports import PORT_DEVICES
from xemu.guests import demo_path

DEMO = str(demo_path())


def xemu(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xemu", *argv]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def console(*argv: str) -> pexpect.spawn:
    return pexpect.spawn(sys.executable, ["-m", "xemu", *argv], timeout=120, encoding="utf-8", echo=False)


def finished(child: pexpect.spawn) -> int | None:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_the_catalogue_names_what_is_built() -> None:
    kind = catalog.MACHINES["virt"]
    assert set(kind.cpus) == {*MODELS, "host"}
    assert set(catalog.DEVICES) == {*virtio_slots.VIRTIO_DEVICES, *PORT_DEVICES}
    most = {2: kind.max_cpus, 3: kind.more_cpus["3"]}
    assert (kind.ram[1], most) == (virt_layout.MAX_RAM, virt_layout.MAX_CPUS)


def test_the_escape_keys_end_the_emulator() -> None:
    child = console("-M", "virt", DEMO)
    child.expect_exact("demo> ")
    child.send("\x01h")
    child.expect_exact("exit the emulator")
    child.send("\x01x")
    child.expect_exact("xemu: terminated")
    assert finished(child) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_emulator_cleanly(number: int) -> None:
    child = console("-M", "virt", DEMO)
    child.expect_exact("demo> ")
    child.kill(number)
    child.expect_exact(f"xemu: terminating on {signal.Signals(number).name}")
    assert finished(child) == 0


def test_the_serial_port_on_a_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "serial")
    command = [sys.executable, "-m", "xemu", "-M", "virt", "-serial", f"unix:{path},server", DEMO]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == f"xemu: waiting for a connection on unix:{path}\n"
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(120)
            client.connect(path)
            seen = b""
            while b"demo> " not in seen:
                seen += client.recv(1000)
            client.sendall(b"q")
            assert child.wait(timeout=120) == 0
    assert not os.path.exists(path)


def test_the_device_tree_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "tree"
    done = xemu(
        "-M", f"virt,dumpdtb={path}", "-m", "256M", "-smp", "2", "-append", "hello", "-device", "virtio-rng-device"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    tree = fdt.parse_dtb(path.read_bytes())
    assert tree.get_property("bootargs", "/chosen").value == "hello"
    assert tree.get_node("/cpus/cpu@1")


ERRORS = [
    (("-serial", "tcp:127.0.0.1:{port},server,nowait"), "can't listen on tcp:127.0.0.1:{port}"),
    (("-D", "{folder}"), "-D {folder}: can't open the log file: Is a directory"),
    (("-serial", "file:{folder}/no/such"), "can't open '{folder}/no/such' for writing"),
    (("-initrd", DEMO), f"initrd '{DEMO}': is an arm64 Linux Image"),
    (("-dtb", DEMO), f"dtb '{DEMO}': is an arm64 Linux Image"),
    (("-device", "virtio-rng-device,bus=virtio-mmio-bus.32"), "virtio-mmio-bus.0 to virtio-mmio-bus.31"),
]


@pytest.mark.parametrize(("argv", "text"), ERRORS, ids=[" ".join(argv) for argv, _ in ERRORS])
def test_nothing_starts_when_something_is_wrong(argv: tuple[str, ...], text: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        names = {"port": taken.getsockname()[1], "folder": tmp_path}
        done = xemu("-M", "virt", DEMO, *(word.format(**names) for word in argv))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("xemu: ") and done.stderr.count("\n") == 1
    assert text.format(**names) in done.stderr


def test_a_kernel_whose_pages_the_cpu_lacks(tmp_path: Path) -> None:
    path = tmp_path / "Image"
    path.write_bytes(struct.pack("<8xQQQ24x4sI", 0, 4096, 0xC, b"ARM\x64", 0).ljust(4096, b"\0"))
    done = xemu("-M", "virt", "-cpu", "cortex-a57", str(path))
    assert done.returncode == 1
    assert "is built for 16 KiB pages, which cortex-a57 lacks; use -cpu max" in done.stderr


def test_which_accelerator_and_why_is_one_line_unless_named(tmp_path: Path) -> None:
    path = tmp_path / "Image"
    path.write_bytes(struct.pack("<4I", 0xD2800100, 0xF2B08000, 0xD4000002, 0x14000000))  # PSCI SYSTEM_OFF
    for accel in ((), ("-accel", "tcg")):
        done = xemu("-M", "virt", "-cpu", "cortex-a57", "-serial", "none", *accel, str(path))
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.count("\n") == (not accel)
        assert done.stderr.startswith("xemu: using the translator (-accel tcg): " if not accel else "")
