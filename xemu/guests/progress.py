"""Progress of long work: a line per step on a terminal, nothing in a pipe."""

import sys


class Progress:
    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def step(self, text: str) -> None:
        if self._shown:
            print(f"xemu: {text} ...", file=sys.stderr, flush=True)
