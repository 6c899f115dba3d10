"""Stencils with a slow path of their own: what is rare starts the instruction over behind the block."""

from __future__ import annotations

import pytest

from jit.ir import IRError, walk
from jit.stencil import compile_functions
from jit.types import I64
from targets.arm.a64.lift import A64, Insn, Mode, lift
from targets.arm.a64.row import Row, row
from targets.arm.a64.table import Decoder
from targets.arm.env import SLOTS

LDR = 0xF9400041  # ldr x1, [x2]
ADD = 0x91000441


def _row(word: int) -> Row:
    found = Decoder().row(word)
    assert found is not None
    return found


def _lifted(word: int) -> A64:
    r = _row(word)
    return lift(r, r.shape(r.split(word)), Mode())


def test_a_load_has_a_slow_path_and_no_call_in_the_fast_one() -> None:
    f = _lifted(LDR).function
    assert f.slow is not None
    assert "call" not in {v.op for v in walk(f.body)}
    assert "call" in {v.op for v in walk(f.slow.body)}
    assert not {*f.slow.holes()} - {*_lifted(LDR).holes, "PC"}


def test_an_addition_has_none() -> None:
    assert _lifted(ADD).function.slow is None


def test_pieces() -> None:
    f = _lifted(LDR).function
    f.name = "ldr"
    (piece,) = compile_functions([f], SLOTS).values()
    assert piece.falls_through and piece.slow is not None and not piece.slow.falls_through
    assert "SLOW" in {x.name for x in piece.fixups}
    assert "NEXT" in {x.name for x in piece.slow.fixups}


def test_nothing_may_be_changed_before() -> None:
    def backwards(b: A64, i: Insn) -> None:
        b.set_X(i.Rt, b.const(1))
        b.set_X(i.Rt, b.load(b.XSP(i.Rn), I64))

    wrong = row("WRONG", "11 111 0 01 01 imm12 Rn Rt", backwards)
    with pytest.raises(IRError, match="before a slow path"):
        lift(wrong, (), Mode())
