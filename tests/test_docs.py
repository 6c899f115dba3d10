"""The documentation is true: what is generated in it is up to date, and what it refers to is there."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("docs_generator", ROOT / "tools" / "docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_numbers(text: str) -> str:
    """Line numbers and places in the CPU state move with each change elsewhere; nobody reads them here."""
    return re.sub(r"0x[0-9a-f]+|\d+|^ *[0-9a-f]+  ", "#", text, flags=re.M)


def test_the_reference_of_ops_is_the_table(generator) -> None:
    assert (ROOT / "docs" / "ir-ops.md").read_text() == generator.ops_page(), "run tools/docs.py"


def test_what_explain_prints(generator) -> None:
    pages = [page for page, text in generator.pages().items() if "<!-- xemu explain" in text]
    assert pages
    for page in pages:
        expected = generator.with_explanations(page.read_text())
        assert without_numbers(page.read_text()) == without_numbers(expected), f"{page.name}: run tools/docs.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for name in re.findall(r"`((?:jit|targets|xemu|tests|tools|docs)/[\w./*-]+)`", text):
        assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}"
