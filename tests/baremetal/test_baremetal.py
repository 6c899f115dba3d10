"""Every bare-metal program prints the same under xemu as under QEMU with the same CPU model."""

from __future__ import annotations

import shutil
from pathlib import Path

import harness
import pytest
from oracle_bugs import ORACLE_BUGS, correct
from programs import BY_NAME, PROGRAMS, Program

CASES = [pytest.param(program, cpu, id=f"{program.name}-{cpu}") for program in PROGRAMS for cpu in program.cpus]

needs_tools = pytest.mark.skipif(
    not (shutil.which(harness.QEMU) and shutil.which(harness.CROSS + "as")),
    reason="needs qemu-system-aarch64 and binutils for aarch64-linux-gnu",
)
needs_xemu = pytest.mark.skipif(
    not (harness.REPOSITORY / "xemu" / "__main__.py").exists(), reason="xemu has no entry point yet"
)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory):
    """Builds a program and runs it under QEMU, once for all tests that ask."""
    folder = tmp_path_factory.mktemp("baremetal")
    kernels: dict[str, Path] = {}
    runs: dict[tuple[str, str], harness.Run] = {}

    def run(program: Program, cpu: str) -> tuple[Path, harness.Run]:
        if program.name not in kernels:
            kernels[program.name] = harness.build(program, folder)
        kernel = kernels[program.name]
        if (program.name, cpu) not in runs:
            runs[program.name, cpu] = harness.run_qemu(program, cpu, kernel)
        return kernel, runs[program.name, cpu]

    return run


@needs_tools
@pytest.mark.parametrize(("program", "cpu"), CASES)
def test_oracle_runs_to_the_end(oracle, program: Program, cpu: str) -> None:
    _, run = oracle(program, cpu)
    assert harness.complete(run), run.describe()
    assert "NESTED" not in run.output, run.describe()


@needs_tools
@needs_xemu
@pytest.mark.parametrize(("program", "cpu"), CASES)
def test_xemu_prints_the_same(oracle, program: Program, cpu: str) -> None:
    kernel, run = oracle(program, cpu)
    report = harness.difference(program, cpu, run, harness.run_xemu(program, cpu, kernel))
    if report:
        pytest.fail(report, pytrace=False)


@needs_tools
@pytest.mark.parametrize("name", sorted({bug.program for bug in ORACLE_BUGS}))
def test_oracle_bugs_are_still_there(oracle, name: str) -> None:
    """An entry that no longer matches is either fixed in QEMU or went stale when its program changed."""
    program = BY_NAME[name]
    for cpu in program.cpus:
        _, run = oracle(program, cpu)
        _, found = correct(name, cpu, run.output)
        missing = {bug for bug in ORACLE_BUGS if bug.applies(name, cpu) and not bug.sometimes} - found
        assert not missing, run.describe()
