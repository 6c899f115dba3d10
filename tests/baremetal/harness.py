"""Builds a bare-metal AArch64 program, runs it under QEMU (the oracle) and under xemu, and compares what they print."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import id_registers
import oracle_bugs
from programs import Program

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CROSS = os.environ.get("XEMU_TEST_CROSS", "aarch64-linux-gnu-")
QEMU = os.environ.get("XEMU_TEST_QEMU", "qemu-system-aarch64")
ENGINE_VARIABLE = "XEMU_TEST_ENGINE"  # reference or baseline; unset means xemu's own choice
LAST_LINE = "end"  # printed by the runtime just before it powers off
MOST_LINES = 600  # of one program's output in a report


@dataclass(frozen=True)
class Run:
    """What one emulator did with one program."""

    command: list[str]
    output: str
    errors: str
    status: int | None  # None: stopped by the time limit

    def describe(self) -> str:
        status = "stopped by the time limit" if self.status is None else f"exit {self.status}"
        lines = self.output.splitlines(keepends=True)
        if len(lines) > MOST_LINES:  # a program that got into a loop
            lines = [*lines[:MOST_LINES], f"... {len(lines) - MOST_LINES} lines more\n"]
        text = f"$ {shlex.join(self.command)}\n{''.join(lines)}[{status}]\n"
        return text + (f"standard error:\n{self.errors}\n" if self.errors else "")


def _tool(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(arguments)}:\n{done.stderr}")


def build(program: Program, folder: Path) -> Path:
    """Assembles and links a program into `folder`; the result is what `-kernel` gets."""
    source = HERE / "programs" / program.source
    stem = folder / program.name
    obj, elf = f"{stem}.o", f"{stem}.elf"
    defines = [word for define in program.defines for word in ("--defsym", define)]
    if program.format == "image":
        defines += ["--defsym", "IMAGE=1"]
    _tool(CROSS + "as", "-march=armv8.5-a+memtag+crypto", "-I", str(HERE), *defines, "-o", obj, str(source))
    _tool(CROSS + "ld", "--no-warn-rwx-segments", "-T", str(HERE / "program.ld"), "-o", elf, obj)
    if program.format == "elf":
        return Path(elf)
    flat = folder / f"{program.name}.{program.format}"
    _tool(CROSS + "objcopy", "-O", "binary", elf, str(flat))
    return flat


def _run(command: list[str], limit: float) -> Run:
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, env=environment, check=False
        )
        output, errors, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as stopped:
        output, errors, status = stopped.stdout or b"", stopped.stderr or b"", None
    text = output.decode("latin-1").replace("\r\n", "\n")
    return Run(command, text, errors.decode("latin-1"), status)


def _arguments(program: Program, cpu: str, kernel: Path) -> list[str]:
    return ["-M", "virt", "-cpu", cpu, "-nographic", *program.options, "-kernel", str(kernel)]


def run_qemu(program: Program, cpu: str, kernel: Path) -> Run:
    return _run([QEMU, *_arguments(program, cpu, kernel)], limit=120)


def run_xemu(program: Program, cpu: str, kernel: Path, engine: str | None = None) -> Run:
    engine = engine or os.environ.get(ENGINE_VARIABLE)
    accel = ["-accel", f"tcg,engine={engine or 'baseline'}"]
    # The reference engine interprets IR in Python: some thousand guest instructions a second.
    limit = 900 if engine == "reference" else 120
    return _run([sys.executable, "-m", "xemu", *_arguments(program, cpu, kernel), *accel], limit)


def complete(run: Run) -> bool:
    """True where the program ran to its end and switched the machine off."""
    return run.status == 0 and run.output.splitlines()[-1:] == [LAST_LINE]


def difference(program: Program, cpu: str, oracle: Run, xemu: Run) -> str | None:
    """None where xemu printed what it should; else a report that stands on its own."""
    wanted, _ = oracle_bugs.correct(program.name, cpu, oracle.output)
    if complete(xemu) and xemu.output == wanted:
        return None
    if program.identification and complete(xemu):
        lines = id_registers.differences(cpu, wanted, xemu.output)
        if not lines:
            return None
    else:
        ours = xemu.output.splitlines()[:MOST_LINES]
        lines = difflib.unified_diff(wanted.splitlines(), ours, "expected (QEMU, corrected)", "xemu", lineterm="")
    source = HERE / "programs" / program.source
    parts = [
        f"{program.name} on {cpu} ({source.relative_to(REPOSITORY)}): {program.about}",
        oracle.describe(),
        xemu.describe(),
        "\n".join(lines) or "the same text, but the program did not end as it should",
    ]
    return "\n\n".join(parts)
