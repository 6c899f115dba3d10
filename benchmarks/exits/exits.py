#!/usr/bin/env python3
"""Exits handled per second under KVM, by xemu and by QEMU: the same guest, in turn.

Then the time of a loop of 10^10 instructions in user mode, in the guest and as a program of this machine's.

    benchmarks/exits/exits.py [--runs N] [--xemu COMMAND] [--qemu COMMAND]

Both commands take QEMU's options. Needs binutils for x86, /dev/kvm, and qemu-system-x86_64.
"""

import argparse
import fcntl
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
COUNT = 10000  # of each kind of exit
OPTIONS = "-M microvm -accel kvm -m 64M -display none -nodefaults -serial stdio -no-reboot -kernel"
Cycles = dict[str, int]


def link(source: str, program: str, *options: str, define: tuple[str, ...] = ()) -> str:
    words = [word for each in define for word in ("--defsym", each)]
    subprocess.run(["as", "--64", "-I", HERE, *words, "-o", f"{program}.o", f"{HERE}/{source}"], check=True)
    subprocess.run(["ld", "-z", "noexecstack", *options, "-o", program, f"{program}.o"], check=True)
    return program


def kernel(folder: str, name: str, *define: str) -> str:
    return link("exits.S", os.path.join(folder, name), "-Ttext", "0x200000", "-e", "start", define=define)


def tsc_per_second() -> float:
    """As KVM knows it (KVM_GET_TSC_KHZ)."""
    with open("/dev/kvm", "rb", buffering=0) as system:
        vm = fcntl.ioctl(system, 0xAE01, 0)
        vcpu = fcntl.ioctl(vm, 0xAE41, 0)
        khz = fcntl.ioctl(vcpu, 0xAEA3, 0)
        os.close(vcpu)
        os.close(vm)
    return khz * 1e3


def cpu_of(command: list[str]) -> tuple[str, float]:
    """Its output, and the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(command: str, image: str) -> tuple[Cycles, float]:
    """Cycles by name, and CPU seconds."""
    words = [*shlex.split(command), *OPTIONS.split(), image]
    output, cpu = cpu_of(words)
    lines = [line.strip() for line in output.splitlines()]
    if "end" not in lines:
        sys.exit(f"{shlex.join(words)}: stopped early\n{output}")
    return {name: int(cycles, 16) for name, cycles in (line.split() for line in lines if " " in line)}, cpu


def rates(commands: list[str], folder: str, runs: int, hertz: float) -> None:
    """Exits per second by the guest's clock, and per CPU second."""
    many, few = kernel(folder, "many", f"COUNT={COUNT}"), kernel(folder, "few", "COUNT=1")
    results = [[(run(command, many), run(command, few)[1]) for command in commands] for _ in range(runs)]
    print(f"medians of {runs} runs in turn")
    print(f"{'exit':18} {'xemu/s':>9} {'QEMU/s':>9} {'ratio':>6}")
    for name in results[0][0][0][0]:
        row(name, *(hertz * COUNT / statistics.median(pair[k][0][0][name] for pair in results) for k in (0, 1)))
    kinds = len(results[0][0][0][0])
    row("all, per CPU second", *(
        kinds * COUNT / statistics.median(pair[k][0][1] - pair[k][1] for pair in results) for k in (0, 1)
    ))  # fmt: skip


def row(name: str, ours: float, theirs: float) -> None:
    print(f"{name:18} {ours:9.0f} {theirs:9.0f} {ours / theirs:6.2f}")


def loop(command: str, folder: str, runs: int) -> None:
    """CPU seconds: on a busy machine, time passes for other reasons too."""
    image, empty = kernel(folder, "with-loop", "COUNT=1", "LOOP=1"), kernel(folder, "without-loop", "COUNT=1")
    program = link("loop.S", os.path.join(folder, "loop"))
    inside, outside = [], []
    for _ in range(runs):
        inside.append(run(command, image)[1] - run(command, empty)[1])
        outside.append(cpu_of([program])[1])
    a, b = statistics.median(inside), statistics.median(outside)
    print(f"\nloop of 10^10 instructions, CPU seconds: {a:.3f} in the guest, {b:.3f} outside, ratio {b / a:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--xemu", default=f"{sys.executable} -m xemu")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    options = parser.parse_args()
    hertz = tsc_per_second()
    with tempfile.TemporaryDirectory() as folder:
        rates([options.xemu, options.qemu], folder, options.runs, hertz)
        loop(options.xemu, folder, options.runs)


if __name__ == "__main__":
    main()
