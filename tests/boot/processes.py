"""What an emulator costs its host: memory and CPU time of a process and its descendants, from /proc."""

import os
from pathlib import Path

_GUEST_RAM = "/memfd:xemu-ram"


def family(pid: int) -> list[int]:
    """A process and all its descendants that are alive."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def memory_beside_guest(pid: int) -> int:
    """Bytes: the proportional set size of all processes, less what of it is the guest's RAM."""
    return 1024 * sum(_pss(one) for one in family(pid))


def _pss(pid: int) -> int:
    """In KiB, of one process, without the guest's RAM."""
    total, counts = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            counts = _GUEST_RAM not in line
        elif words[0] == "Pss:" and counts:
            total += int(words[1])
    return total


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
