"""Exact IEEE 754 arithmetic on bit patterns, for the reference evaluator: every result rounded once from integers."""

from __future__ import annotations


class FloatState:
    """Rounding mode (0 nearest even, 1 up, 2 down, 3 zero) and sticky flags (see jit.ops, fp_flags)."""

    def __init__(self) -> None:
        self.rounding = 0
        self.flags = 0
