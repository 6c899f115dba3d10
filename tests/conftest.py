"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked slow run only where -m names the mark."""
    if "slow" in config.getoption("markexpr"):
        return
    skip = pytest.mark.skip(reason="slow: ask with -m slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)
