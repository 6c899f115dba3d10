"""The compiler is asked again and again, for as long as a guest runs."""

from pathlib import Path

from jit.ir import Builder
from jit.stencil import optimise, to_llvm
from jit.types import I64

ROUNDS = 300


def _resident() -> int:
    """KiB."""
    return 4 * int(Path("/proc/self/statm").read_text().split()[1])


def test_optimising_keeps_no_memory() -> None:
    """llvmlite 0.50 leaks pass managers and builders: one of each for every module was 4 KiB."""
    b = Builder("f", kind="stencil")
    b.stenv(8, b.ldenv(16, I64) + 1)
    b.next()
    text = to_llvm([b.function], {})
    for _ in range(ROUNDS):
        optimise(text)
    before = _resident()
    for _ in range(ROUNDS):
        optimise(text)
    assert _resident() - before < 2 * ROUNDS
