"""What depends on the host architecture: one file each, with the same names in all of them."""

from __future__ import annotations

import platform
from types import ModuleType


def host_module(machine: str | None = None) -> ModuleType:
    """The module for `machine` (as `platform.machine()` says it); this host's when not named."""
    name = machine or platform.machine()
    if name in ("x86_64", "AMD64"):
        from jit.host import x86_64

        return x86_64
    if name in ("aarch64", "arm64"):
        from jit.host import aarch64

        return aarch64
    raise NotImplementedError(f"no code generation for {name} hosts: use -accel tcg,engine=reference")
