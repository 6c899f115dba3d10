"""Names that capstone 5 gives to words of another instruction: by row, with the reason."""

from __future__ import annotations

DIFFERENCES: dict[str, tuple[str, ...]] = {}
