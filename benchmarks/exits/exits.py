#!/usr/bin/env python3
"""Exits handled per second under KVM, by xemu and by QEMU: the same guest, in turn.

    benchmarks/exits/exits.py [--runs N] [--xemu COMMAND] [--qemu COMMAND]

Both commands take QEMU's options. Needs binutils for x86, /dev/kvm, and qemu-system-x86_64.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
COUNT = 5000  # as in exits.S
OPTIONS = "-M microvm -accel kvm -m 64M -display none -nodefaults -serial stdio -no-reboot -kernel"


def build(folder: str) -> str:
    kernel = os.path.join(folder, "exits.elf")
    subprocess.run(["as", "--64", "-o", f"{kernel}.o", f"{HERE}/exits.S"], check=True)
    subprocess.run(["ld", "-z", "noexecstack", "-Ttext", "0x200000", "-e", "start", "-o", kernel, f"{kernel}.o"], check=True)
    return kernel


def tsc_per_second() -> float:
    """From the guest's view: measured against this machine's clock, by KVM itself."""
    import fcntl

    with open("/dev/kvm", "rb", buffering=0) as system:
        vm = fcntl.ioctl(system, 0xAE01, 0)
        vcpu = fcntl.ioctl(vm, 0xAE41, 0)
        khz = fcntl.ioctl(vcpu, 0xAEA3, 0)  # KVM_GET_TSC_KHZ
        os.close(vcpu)
        os.close(vm)
    return khz * 1e3


def run(command: str, kernel: str) -> dict[str, int]:
    words = [*shlex.split(command), *OPTIONS.split(), kernel]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    lines = [line.strip() for line in done.stdout.splitlines()]
    if "end" not in lines:
        sys.exit(f"{shlex.join(words)}: stopped early, exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return {name: int(cycles, 16) for name, cycles in (line.split() for line in lines if " " in line)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--xemu", default=f"{sys.executable} -m xemu")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kernel = build(folder)
        ours, theirs = [], []
        for _ in range(options.runs):
            ours.append(run(options.xemu, kernel))
            theirs.append(run(options.qemu, kernel))
    rate = tsc_per_second() * COUNT
    print(f"{'':18} {'median of ' + str(options.runs) + ' runs':^26}   {'best run':^26}")
    print(f"{'exit':18}" + f" {'xemu/s':>9} {'QEMU/s':>9} {'ratio':>6}  " * 2)
    for name in ours[0]:
        cells = []
        for pick in (statistics.median, min):
            a, b = (rate / pick(each[name] for each in runs) for runs in (ours, theirs))
            cells.append(f" {a:9.0f} {b:9.0f} {a / b:6.2f}  ")
        print(f"{name:18}{''.join(cells)}".rstrip())


if __name__ == "__main__":
    main()
