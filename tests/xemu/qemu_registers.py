"""QEMU's `virt` board as an oracle for device registers: a machine that never runs, reached through its debug stub."""

import shutil
import subprocess

QEMU = shutil.which("qemu-system-aarch64")


class QemuRegisters:
    """Reads and writes physical addresses, devices included, of a stopped QEMU with one CPU."""

    def __init__(self, *options: str) -> None:
        command = [QEMU, "-M", "virt", "-cpu", "cortex-a57", "-m", "64M", "-S", "-gdb", "stdio", "-display", "none"]
        command += ["-serial", "null", "-monitor", "none", "-global", "virtio-mmio.force-legacy=false", *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._command("?")
        assert self._command("Qqemu.PhyMemMode:1") == "OK"

    def read(self, address: int, size: int) -> int:
        return int.from_bytes(bytes.fromhex(self._command(f"m{address:x},{size:x}")), "little")

    def write(self, address: int, size: int, value: int) -> None:
        assert self._command(f"M{address:x},{size:x}:{value.to_bytes(size, 'little').hex()}") == "OK"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _command(self, text: str) -> str:
        self._process.stdin.write(f"${text}#{sum(text.encode()) & 0xFF:02x}".encode())
        self._process.stdin.flush()
        reply = b""
        while (byte := self._process.stdout.read(1)) != b"#":
            assert byte, "QEMU has ended"
            reply = b"" if byte == b"$" else reply + byte
        self._process.stdout.read(2)  # checksum
        self._process.stdin.write(b"+")
        return reply.decode()
