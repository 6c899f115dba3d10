"""Folders of the user's that xemu keeps things in."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """xemu's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification tells to ignore relative paths.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "xemu"
