"""Options of the whole test suite."""

from __future__ import annotations

import os
import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """A background job has these signals ignored, and what it starts would ignore them as well."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    # tests see code being made, and leave the user's cache alone; those of the store say otherwise
    os.environ["XEMU_CACHE"] = "off"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked slow run only where -m names the mark."""
    if "slow" in config.getoption("markexpr"):
        return
    skip = pytest.mark.skip(reason="slow: ask with -m slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)
