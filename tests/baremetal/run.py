"""Runs bare-metal programs by hand: `python tests/baremetal/run.py hello -cpu max --engine reference`.

Without --compare or --engine only QEMU runs, which is what one wants while writing a program.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import harness
from programs import BY_NAME, PROGRAMS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", help="names; none lists them all")
    parser.add_argument("-cpu", help="only this model (default: all of the program's)")
    parser.add_argument("--compare", action="store_true", help="run xemu too and print the difference")
    parser.add_argument("--engine", choices=["reference", "baseline"], help="xemu's engine; implies --compare")
    parser.add_argument("--keep", type=Path, help="build into this folder and keep the result")
    arguments = parser.parse_args()
    if not arguments.programs:
        for program in PROGRAMS:
            print(f"{program.name:20} {','.join(program.cpus):40} {program.about}")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        names = [program.name for program in PROGRAMS] if arguments.programs == ["all"] else arguments.programs
        for name in names:
            program = BY_NAME[name]
            kernel = harness.build(program, folder)
            for cpu in [arguments.cpu] if arguments.cpu else program.cpus:
                oracle = harness.run_qemu(program, cpu, kernel)
                if not (arguments.compare or arguments.engine):
                    print(oracle.describe())
                    failed += not harness.complete(oracle)
                    continue
                report = harness.difference(
                    program, cpu, oracle, harness.run_xemu(program, cpu, kernel, arguments.engine)
                )
                print(report or f"{name} on {cpu}: the same")
                failed += report is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
