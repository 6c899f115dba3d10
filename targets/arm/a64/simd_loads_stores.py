"""Loads and stores of SIMD&FP registers (C4.1.94): as the general ones, and structures of one to four registers."""

from __future__ import annotations

from typing import Any

from targets.arm.a64.loads_stores import MODES, PAIR_MODES, load_literal, pair_row, single_row
from targets.arm.a64.row import Row, row

SIMD: dict[str, Any] = {"vector": True, "needs": "fp"}


def _one_q(f: Any) -> bool:
    """opc<1> (o1) makes a whole register of size 00 and nothing of others."""
    return not f["o1"] or f["size"] == 0


ROWS: list[Row] = [
    row(
        "LDR (literal, SIMD&FP)", "opc 011 1 00 imm19 Rt", load_literal, where=lambda f: f["opc"] < 3, **SIMD,
    ),
    *(
        single_row(f"{op}R", "size", f"o1 {int(op == 'LD')}", mode, load=op == "LD", where=_one_q, **SIMD)
        for op in ("ST", "LD")
        for mode in MODES
        if mode != "unprivileged"
    ),
    *(
        pair_row(f"{op}P", "opc", mode, load=op == "LD", where=lambda f: f["opc"] < 3, **SIMD)
        for op in ("ST", "LD")
        for mode in PAIR_MODES
    ),
]  # fmt: skip
