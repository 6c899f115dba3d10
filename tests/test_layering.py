"""Who may know whom: xemu uses targets and jit, targets use jit, jit uses neither, and no target knows another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TARGETS = tuple(p.name for p in sorted((ROOT / "targets").iterdir()) if (p / "__init__.py").exists())

# folder: what its files may not import
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "jit": ("targets", "xemu", "tests"),
    "targets": ("xemu", "tests"),
    "xemu": ("tests",),
    **{f"targets/{name}": tuple(f"targets.{other}" for other in TARGETS if other != name) for name in TARGETS},
}


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """(line, full module name) of every import in a file of `package`, in functions too, and by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, module
            for alias in node.names:  # `from targets import arm`
                yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args and _imports_by_name(node.func):
            yield node.lineno, _text(node.args[0])


def _imports_by_name(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


def _text(node: ast.expr) -> str:
    """The constant start of a string."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return _text(node.values[0])
    return str(node.value) if isinstance(node, ast.Constant) else ""


def violations(folder: str) -> list[str]:
    found: list[str] = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        for line, module in imported(path.read_text(encoding="utf-8"), package):
            for name in FORBIDDEN[folder]:
                if module == name or module.startswith(name + "."):
                    found.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_layers(folder: str) -> None:
    assert list((ROOT / folder).rglob("*.py")), f"{folder} has no code: is it still where it was?"
    assert violations(folder) == []


@pytest.mark.parametrize(
    ("source", "package", "module"),
    [
        ("import xemu.memory", "jit", "xemu.memory"),
        ("from targets import arm", "jit", "targets.arm"),
        ("def f():\n    from xemu import cli", "targets.arm", "xemu.cli"),
        ("from ..x86 import env", "targets.arm", "targets.x86"),
        ("import importlib\nimportlib.import_module(f'targets.{x}')", "jit", "targets."),
        ("__import__('xemu')", "targets.arm", "xemu"),
    ],
)
def test_what_counts_as_an_import(source: str, package: str, module: str) -> None:
    assert module in {found for _, found in imported(source, package)}
