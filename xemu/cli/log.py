"""The debug log: `-d ITEMS` says what is written, `-D FILE` where.

Hot code asks `enabled(item)`, which is a look-up in a module-level set, before it builds any text.
"""

import sys
from typing import TextIO

from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError

ITEMS = {
    "in_asm": "guest instructions of each block that is translated",
    "op": "IR of each new shape of instruction, as the semantics emit it",
    "op_opt": "the same after the passes",
    "out_asm": "host code of each block",
    "int": "exceptions and interrupts the guest takes",
    "mmu": "translations that enter a TLB, faults, TLB flushes",
    "exec": "each block that is executed (a lot, and slow)",
    "unimp": "things a guest uses that are not implemented",
    "guest_errors": "things a guest does that hardware would not allow",
    "stats": "figures about translation and execution, at the end",
}

items: set[str] = set()
_stream: TextIO | None = None


def enabled(item: str) -> bool:
    return item in items


def write(item: str, text: str) -> None:
    """Write text (one line or several) under an item; nothing happens when the item is off."""
    if item not in items:
        return
    # One write call, so that lines of several vCPUs do not mix.
    stream = _stream or sys.stderr
    stream.write(text if text.endswith("\n") else text + "\n")


def parse_items(text: str) -> set[str]:
    """The items named by `-d a,b`; "all" means every one."""
    chosen: set[str] = set()
    for name in text.split(","):
        if name == "all":
            chosen.update(ITEMS)
        elif name in ITEMS:
            chosen.add(name)
        else:
            hint = did_you_mean(name, ITEMS, f"the items are {listed(ITEMS)}")
            raise UserError(f"-d {text}: unknown item '{name}'{hint}")
    return chosen


def configure(chosen: set[str], filename: str | None) -> None:
    """Open the log file, if any, and turn items on."""
    global _stream
    close()
    if filename is not None:
        try:
            # Line-buffered: what was logged before a crash is in the file.
            _stream = open(filename, "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise UserError(f"-D {filename}: can't open the log file: {error.strerror}") from None
    items.clear()
    items.update(chosen)


def close() -> None:
    """Turn everything off and close the file."""
    global _stream
    items.clear()
    if _stream is not None:
        _stream.close()
        _stream = None
