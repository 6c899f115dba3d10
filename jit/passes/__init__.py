"""IR to IR: what engines do to a function before LLVM gets it.

A pass is one function that changes an IR function in place.  PIPELINE is the order for engines, printers and tests.
Passes are cheap (microseconds an op), since a cold boot lifts hundreds of shapes: LLVM does the heavy work behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jit.ir import Function
from jit.passes import dce, fold, simplify

Pass = tuple[str, Callable[[Function], None]]

PIPELINE: tuple[Pass, ...] = (
    ("fold", fold.run),  # ops on constants
    ("simplify", simplify.run),  # algebra
    ("dce", dce.run),  # what nobody uses
)


After = Callable[[str, Function], None]


def run(f: Function, pipeline: Sequence[Pass] = PIPELINE, after: After | None = None) -> None:
    """Run the passes on `f` and on its slow path.  after: called behind each pass with its name."""
    for name, change in pipeline:
        change(f)
        if after:
            after(name, f)
    if f.slow:
        run(f.slow, pipeline, after)
