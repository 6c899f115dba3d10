"""Nearest-name suggestions, the same everywhere a name can be mistyped."""

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The known name that the user most likely meant, or None when nothing is close."""
    folded = {name.lower(): name for name in names}
    word = word.lower()
    close = difflib.get_close_matches(word, folded, n=1, cutoff=0.6)
    if close:
        return folded[close[0]]
    # A shortened name ("a57" for "cortex-a57") scores low with difflib, but says clearly enough what was meant.
    inside = [name for name in folded if len(word) >= 3 and word in name]
    return folded[min(inside, key=len)] if inside else None


def did_you_mean(word: str, names: Iterable[str], otherwise: str = "") -> str:
    """The end of an error line: "; did you mean 'x'?", or the fallback text when nothing is near."""
    name = nearest(word, names)
    if name is not None:
        return f"; did you mean '{name}'?"
    return f"; {otherwise}" if otherwise else ""


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: "a, b or c"."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
