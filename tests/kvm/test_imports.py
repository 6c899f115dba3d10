"""KVM needs nothing of the translator's: its libraries may be missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kvm.rig import link, needs_kvm

TRANSLATOR = ("capstone", "llvmlite", "elftools", "jit", "targets.arm")


def loaded_after(code: str) -> list[str]:
    """What running this prints, and then which of the translator's modules are there."""
    program = f"import sys\n{code}\nprint([m for m in {TRANSLATOR} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("module", ["xemu.accel.choice", "xemu.accel.kvm.x86", "xemu.boards.microvm"])
def test_modules(module: str) -> None:
    assert loaded_after(f"import {module}") == ["[]"]


@needs_kvm
def test_a_whole_run(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    link("board", kernel, 0x200000)
    arguments = ["-M", "microvm", "-accel", "kvm", "-m", "64M", "-serial", "stdio", "-no-reboot", str(kernel)]
    output = loaded_after(f"from xemu.cli.main import main\nassert main({arguments}) == 0")
    assert output == ["hello from KVM", "[]"]
