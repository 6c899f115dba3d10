"""An apt root of its own in the user's cache: arm64 packages without root, and without the machine's apt noticing."""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from xemu.errors import UserError
from xemu.guests.progress import Progress
from xemu.guests.sources import KEYRING, Source

# Read after the machine's own configuration, whose proxies and transports stay in force; its hooks, pins and
# architectures do not. (A clean-up hook of a container image would otherwise empty the machine's package cache.)
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear APT::Default-Release;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Log "{root}/log";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"""

# linux-image-arm64 -> linux-image-7.2.13-arm64 -> linux-binary-7.2.13-arm64 (the last step since Debian 14).
_KERNEL_PACKAGE = re.compile(r"linux-(image|binary)-\d")
_METAPACKAGE_DEPTH = 3
_updated: set[Path] = set()


class AptRoot:
    """Package lists of one suite of one archive."""

    def __init__(self, folder: Path, source: Source, progress: Progress, architecture: str = "arm64") -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise UserError("guests: fetching Debian packages needs apt-get and dpkg-deb; this machine lacks them")
        self._folder = folder
        self._source = source
        self._progress = progress
        for name in ("state/lists/partial", "cache/archives/partial", "log", "debs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "state/status").touch()
        (folder / "apt.conf").write_text(_CONFIG.format(root=folder, architecture=architecture))
        key = source.signed_by or str(KEYRING)
        if not Path(key).exists():
            raise UserError(f"guests: the keyring {key} is missing; install the package debian-archive-keyring")
        line = f"deb [signed-by={key}] {source.uri} {source.suite} {' '.join(source.components)}\n"
        (folder / "sources.list").write_text(line)

    @contextmanager
    def lock(self) -> Generator[None, None, None]:
        """One process at a time: others wait, and then find the work done."""
        with open(self._folder / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def update(self) -> None:
        """Read the package lists, once in this process."""
        if self._folder in _updated:
            return
        self._progress.step(f"reading the package lists of {self._source.suite}")
        self._run("apt-get", "-q", "update", what=f"can't read the archive {self._source.uri} {self._source.suite}")
        _updated.add(self._folder)

    def resolve(self, package: str) -> str:
        """A kernel metapackage (linux-image-arm64) leads, in a step or two, to the package with the kernel in it."""
        for _ in range(_METAPACKAGE_DEPTH):
            depends = re.split(r"[,|]", self.show(package).get("Depends", ""))
            names = [name.split("(")[0].strip() for name in depends]
            below = [name for name in names if _KERNEL_PACKAGE.match(name)]
            if not package.startswith("linux-image-") or not below:
                return package
            package = below[0]
        return package

    def show(self, package: str) -> dict[str, str]:
        """The control fields of a package's newest version."""
        hint = f"{self._source.suite} has no arm64 package '{package}'"
        text = self._run("apt-cache", "show", "--no-all-versions", package, what=hint)
        fields = (line.partition(": ") for line in text.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        found = {name: value for name, _, value in fields}
        if "Filename" not in found:  # a name that others merely depend on
            raise UserError(f"guests: {hint}")
        return found

    def download(self, package: str) -> Path:
        """The package file, verified by apt against the signed lists."""
        folder = self._folder / "debs"
        self._progress.step(f"fetching {package}")
        name = os.path.basename(self.show(package)["Filename"])
        self._run("apt-get", "-q", "download", package, what=f"can't fetch the package {package}", cwd=folder)
        # apt writes epochs as %3a, the archive leaves them out.
        candidates = sorted(folder.glob(f"{name.split('_')[0]}_*.deb"), key=lambda path: path.stat().st_mtime)
        if not candidates:
            raise UserError(f"guests: apt-get download {package} left no file in {folder}")
        return candidates[-1]

    def _run(self, tool: str, *arguments: str, what: str, cwd: Path | None = None) -> str:
        command = [tool, "-c", str(self._folder / "apt.conf"), *arguments]
        environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        environment.pop("APT_CONFIG", None)
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            raise UserError(f"guests: {what}: {_without_prefix(reasons) or f'{tool} failed'}")
        return done.stdout


def _without_prefix(lines: list[str]) -> str:
    return lines[0].removeprefix("E:").strip() if lines else ""
