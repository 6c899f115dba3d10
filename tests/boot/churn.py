"""Does an emulator that never rests keep its memory?  Runs guest/churn.c in a Debian guest and watches the host.

    python -m tests.boot.churn --seconds 3600 --tb-size 64 --smp 2

prints memory beside the guest's RAM by thirds of the time, and how often the code cache was filled.  Exit status 1
where a result was wrong or the last third has more than 5 % more memory than the first.
"""

import argparse
import re
import statistics
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.boot.debian_system import GUEST, LIMIT, DebianSystem
from tests.boot.processes import memory_beside_guest

SAMPLE = 1.0  # s
GROWTH = 1.05  # the last third of the time against the first
_LINE = r"churn: (round|done|WRONG) ?(.*?)\r*\n"


@dataclass
class Result:
    """memory: bytes beside the guest's RAM, a sample each second.  fills: of the code cache."""

    last_line: str
    right: bool
    memory: list[int]
    fills: int

    def thirds(self) -> list[float]:
        """Mean memory of each third of the time."""
        n = len(self.memory) // 3
        return [statistics.mean(self.memory[k * n : (k + 1) * n]) for k in range(3)]

    @property
    def steady(self) -> bool:
        first, _, last = self.thirds()
        return last <= first * GROWTH


def churn(folder: Path, seconds: int, options: list[str], verbose: bool = False) -> Result:
    """Boot, compile the program in the guest, run it, power off."""
    statistics_file = folder / "statistics"
    options = [*options, "-d", "stats", "-D", str(statistics_file)]
    system = DebianSystem(folder, options, GUEST / "churn.c")
    system.login()
    system.run("gcc -O2 -Wall -Werror -o churn churn.c")
    memory: list[int] = []
    over = threading.Event()
    sampler = threading.Thread(target=_sample, args=(system.console.pid, memory, over))
    system.console.send(f"./churn {seconds}\r")
    sampler.start()
    try:
        kind = "round"
        while kind == "round":
            system.console.expect(_LINE, timeout=LIMIT)
            kind, line = system.console.match[1], system.console.match[2].strip()
            if verbose and memory:
                print(f"{len(memory):5} s  {memory[-1] >> 20:5} MiB  {line}", flush=True)
    finally:
        over.set()
        sampler.join()
    system.power_off()
    fills = re.search(r"cache flushes +(\d+)", statistics_file.read_text())
    return Result(f"{kind} {line}", kind == "done", memory, int(fills[1]) if fills else 0)


def _sample(pid: int, memory: list[int], over: threading.Event) -> None:
    while not over.wait(SAMPLE):
        memory.append(memory_beside_guest(pid))


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the churn in a Debian guest and watch the emulator's memory.")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--tb-size", type=int, default=0, metavar="MIB", help="code cache (default: as xemu has it)")
    parser.add_argument("--smp", type=int, default=1)
    arguments = parser.parse_args()
    options = ["-accel", f"tcg,tb-size={arguments.tb_size}", "-smp", str(arguments.smp)]
    with tempfile.TemporaryDirectory(prefix="churn-", dir="/var/tmp") as name:
        result = churn(Path(name), arguments.seconds, options, verbose=True)
    thirds = ", ".join(f"{third / 2**20:.1f}" for third in result.thirds())
    print(f"{result.last_line}\nmemory by thirds: {thirds} MiB\nthe code cache was filled {result.fills} times")
    return 0 if result.right and result.steady else 1


if __name__ == "__main__":
    sys.exit(main())
