"""The fingerprint of a generation of the store: all that compiled code depends on besides what it is made of.

That is the source of the code generator and of the guest's semantics, LLVM, and the host's CPU.  None of it is imported
or asked here: a start that finds all it needs in the store never loads LLVM.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from importlib.machinery import PathFinder

FORMAT = b"1"  # of the entries: another one makes all that is stored foreign

# what of /proc/cpuinfo tells CPUs apart for LLVM, on x86 and on Arm
_CPU_LINES = frozenset(
    ("vendor_id", "cpu family", "model", "model name", "stepping", "flags",
     "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features")
)  # fmt: skip
_CPUINFO_BYTES = 16 << 10  # the first CPU's part is a few KB


def fingerprint(folders: Iterable[str]) -> bytes | None:
    """folders: the sources.  None where it can't be told: then nothing is stored."""
    h = blake2b(FORMAT, digest_size=32)
    try:
        parts = [*_host(), *_llvm()]
        for folder in folders:
            parts += _sources(folder)
    except (OSError, LookupError):
        return None
    for part in parts:
        h.update(len(part).to_bytes(4, "little"))
        h.update(part)
    return h.digest()


def _host() -> Iterator[bytes]:
    yield f"{platform.machine()} {sys.implementation.cache_tag}".encode()
    fd = os.open("/proc/cpuinfo", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, _CPUINFO_BYTES)
    finally:
        os.close(fd)
    lines = [line for line in text.split(b"\n\n")[0].splitlines() if line.split(b"\t")[0].decode() in _CPU_LINES]
    if not lines:
        raise LookupError("/proc/cpuinfo does not tell what the CPU is")
    yield from lines


def _llvm() -> Iterator[bytes]:
    """llvmlite's version, and which file its LLVM is."""
    spec = PathFinder.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        raise LookupError("there is no llvmlite")
    folder = os.path.dirname(spec.origin)
    with open(os.path.join(folder, "_version.py"), "rb") as file:
        yield file.read()
    library = os.stat(os.path.join(folder, "binding", "libllvmlite.so"))
    yield f"{library.st_size} {library.st_mtime_ns}".encode()


def _sources(folder: str) -> Iterator[bytes]:
    """Names and contents of all Python files below a folder."""
    names: list[str] = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        names += [os.path.join(path, name) for name in files if name.endswith(".py")]
    if not names:
        raise LookupError(f"{folder} has no sources")
    started = _process_start()
    for name in sorted(names):
        with open(name, "rb") as file:
            if os.fstat(file.fileno()).st_mtime > started:
                raise LookupError(f"{name} has changed: what is imported may be older")
            yield os.path.relpath(name, folder).encode()
            yield file.read()


def _process_start() -> float:
    """When this process started, on the clock of files."""
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])  # starttime, proc(5)
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age
