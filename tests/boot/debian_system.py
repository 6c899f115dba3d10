"""A Debian system under xemu, from a copy of the disk that root_image.py makes, and a shell in it."""

import re
import sys
from pathlib import Path

import pexpect

from tests.boot import root_image

LIMIT = 1800  # seconds for one step, on a machine that does other things as well
XEMU = [sys.executable, "-m", "xemu"]
PROMPT = "@@ "
GUEST = Path(__file__).parent / "guest"


def spawn(options: list[str]) -> "pexpect.spawn[str]":
    return pexpect.spawn(XEMU[0], [*XEMU[1:], *options], timeout=LIMIT, encoding="utf-8", codec_errors="replace")


class DebianSystem:
    """Debian on its own disk; `run` is a command in root's shell."""

    def __init__(self, folder: Path, options: list[str], *files: Path) -> None:
        """Boots a copy of the disk, in `folder`, to the login prompt.  files: to be found in /root."""
        made = root_image.root_image()
        self.image = folder / "root.img"
        root_image.copy_sparse(made.image, self.image)
        for file in files:
            root_image.put(self.image, file, f"/root/{file.name}")
        boot = ["-kernel", str(made.kernel), "-initrd", str(made.initrd), "-append", "console=ttyAMA0 root=/dev/vda"]
        self.console = spawn([*root_image.MACHINE, *options, *boot, *root_image.disk(self.image)])
        self.console.delaybeforesend = None
        self.console.logfile_read = open(folder / "console.log", "w")  # noqa: SIM115  (read where a test fails)
        self.console.expect_exact("xemu login: ")

    def login(self) -> None:
        self.console.send("root\r")
        self.console.expect_exact("Password: ")
        self.console.send(f"{root_image.PASSWORD}\r")
        self.console.expect(r"root@xemu:~# ")
        # a shell without line editing and echo, so that what comes is what commands print; the prompt in two parts,
        # so that it is not found in this line's own echo
        self.console.send(f"stty -echo; PS1='{PROMPT[:1]}''{PROMPT[1:]}' exec sh\r")
        self.console.expect_exact(PROMPT)

    def run(self, command: str) -> str:
        """The output of a command that succeeds, without the kernel's messages."""
        self.console.send(f"{command}; echo =$?\r")
        self.console.expect(r"=(\d+)\r+\n" + re.escape(PROMPT))
        text = re.sub(r"(?m)^\[ *\d+\.\d+\] .*\n", "", self.console.before.replace("\r", ""))
        assert self.console.match[1] == "0", f"{command}: status {self.console.match[1]}: {text}"
        return text.strip()

    def power_off(self) -> None:
        self.console.send("systemctl poweroff\r")
        self.console.expect_exact("reboot: Power down")
        self.console.expect(pexpect.EOF)
        self.console.close()
        assert self.console.exitstatus == 0
        root_image.check(self.image)
