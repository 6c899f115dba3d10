"""Where QEMU prints something that the architecture forbids: the line it prints, the right one, and why.

An entry needs the manual's section (Arm ARM, DDI 0487) and a second witness; an IMPLEMENTATION DEFINED or CONSTRAINED
UNPREDICTABLE choice is no bug, and xemu makes QEMU's choice there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OracleBug:
    program: str
    cpu: str | None  # None: every model
    printed: str  # the whole line as QEMU prints it
    correct: str
    why: str
    manual: str


ORACLE_BUGS: tuple[OracleBug, ...] = ()
