"""AArch64 hosts: stencils of the whole table compile, load, and give the same results as on this host.

Unicorn is the AArch64 host here, so this needs no other machine.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from jit.host import aarch64
from jit.piece import Fixup, LoadError, Piece, fill
from jit.stencil import compile_functions, take_apart, target_machine
from jit.stitch import functions as stitch_functions
from jit.stitch import patch_link
from targets.arm.a64.lift import Mode, hole_values, lift
from targets.arm.a64.row import Row
from targets.arm.a64.table import all_rows
from targets.arm.env import CALLBACK_AT, CONTINUATIONS, FUNCTIONS, SLOTS
from targets.arm.system import runtime_functions
from tests.arm.differential import FEATURES, differences, random_state, random_word
from tests.arm.harness import Flat, Native
from tests.arm.shapes import words_by_shape

CHUNKS = 8
KNOWN = {"NEXT", "TAKEN", "SLOW", "PC", *CONTINUATIONS, *FUNCTIONS}


def _chunk(k: int) -> list[Row]:
    return list(all_rows()[k::CHUNKS])


# -- the loader's encodings -----------------------------------------------------------------------------------------
def _filled(fmt: str, word: int, value: int, relative: bool = False, place: int = 0) -> int:
    code = bytearray(struct.pack("<I", word))
    fill(code, Fixup(0, fmt, "X", 0, relative), value, place)
    return struct.unpack("<I", code)[0]


@pytest.mark.parametrize("half", range(4))
def test_wide_moves(half: int) -> None:
    value = 0x1234_5678_9ABC_DEF0
    word = _filled(f"G{half}", 0xF280_0000 | half << 21 | 7, value)  # movk x7, #0, lsl #16 * half
    assert word == 0xF280_0000 | half << 21 | (value >> 16 * half & 0xFFFF) << 5 | 7
    assert _filled(f"G{half}", 0xD280_0000, -1) == 0xD280_0000 | 0xFFFF << 5


def test_branches() -> None:
    assert _filled("B26", 0x1400_0000, 0x1000, True, 0x2000) == 0x1400_0000 | -0x400 & 0x03FF_FFFF
    assert _filled("B26", 0x9400_0000, 0x2010, True, 0x2000) == 0x9400_0004
    for distance in (1 << 27, -(1 << 27) - 4, 2):
        with pytest.raises(OverflowError):
            _filled("B26", 0x1400_0000, 0x1000_0000 + distance, True, 0x1000_0000)
    assert aarch64.jump(-4) == struct.pack("<I", 0x17FF_FFFF)


def test_relocations_that_are_not_known_are_refused() -> None:
    import llvmlite.binding as llvm

    text = (
        f'target triple = "{aarch64.TRIPLE}"\n@x = external dso_local global i64\n'
        'define i64 @f() section ".text.f" {\n  %v = load i64, ptr @x\n  ret i64 %v\n}\n'
    )
    obj = target_machine("aarch64").emit_object(llvm.parse_assembly(text))
    host = SimpleNamespace(RELATIVE=aarch64.RELATIVE, ABSOLUTE={257: "Q"})
    with pytest.raises(LoadError, match="relocation type"):
        take_apart(obj, host)  # type: ignore[arg-type]


# -- the whole table ------------------------------------------------------------------------------------------------
def _load(piece: Piece, values: dict[str, int]) -> None:
    """Fill all that is open, and see that host instructions come out."""
    code, place = bytearray(piece.code), 0x7000_0000
    for fx in piece.fixups:
        fill(code, fx, 0x7100_0000 if fx.data or fx.name not in values else values[fx.name], place)
        assert fx.data or fx.name in values or fx.name in KNOWN, f"{piece.name} refers to {fx.name}"
    text = aarch64.disassemble(bytes(code), place)
    assert text.count("\n") + 1 == len(code) // 4 or not code, f"{piece.name} is not all code:\n{text}"
    if piece.slow:
        _load(piece.slow, values)


def _stencils(rows: list[Row], every: bool) -> Iterator[None]:
    rng = random.Random(1)
    functions, values = [], {}
    for row in rows:
        words = words_by_shape(row, rng)
        shapes = words if every else [rng.choice(list(words))]
        for shape in shapes:
            for mode in (Mode(), Mode(el=0, fpx=True)):
                near = rng.random() < 0.5
                lifted = lift(row, shape, mode, near)
                f = lifted.function
                f.name = f"s{len(functions)}"
                functions.append(f)
                values[f.name] = hole_values(lifted.holes, row.split(words[shape]))
    for name, piece in compile_functions(functions, SLOTS, "aarch64").items():
        _load(piece, values[name] | {"PC": 0x40})
        yield


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_shape_of_each_row_loads(chunk: int) -> None:
    assert len(list(_stencils(_chunk(chunk), every=False))) >= 2 * len(_chunk(chunk))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_all_shapes_load(chunk: int) -> None:
    assert len(list(_stencils(_chunk(chunk), every=True))) >= 2 * len(_chunk(chunk))


def test_the_runtime_loads() -> None:
    runtime = [*runtime_functions(), patch_link(aarch64, CALLBACK_AT["publish"]), *stitch_functions(publishes=True)]
    pieces = compile_functions(runtime, SLOTS, "aarch64")
    values = dict.fromkeys(pieces, 0x7200_0000)
    for piece in pieces.values():
        _load(piece, values)


# -- results --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_same_results_as_on_this_host(chunk: int) -> None:
    pytest.importorskip("unicorn")
    from tests.arm.aarch64_host import Aarch64Host, Unsupported

    flat = Flat(FEATURES)
    host, native = Aarch64Host(flat), Native(flat)
    compared = 0
    for row in _chunk(chunk):
        if row.oracle != "unicorn":
            continue
        for case in range(2):
            rng = random.Random(f"host/{row.name}/{row.layout}/{case}")
            word, before = random_word(row, rng), random_state(rng)
            if flat.decode(word) is not row:
                continue
            try:
                ours = host.run([word], before)
            except Unsupported:
                continue
            diff = differences(ours, native.run([word], before))
            assert not diff, f"{row.name} {word:08x}: " + "; ".join(diff)
            compared += 1
    assert compared > 50
