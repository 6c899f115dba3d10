"""Words and templates that are kept for another run."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jit import templates
from jit.codecache import CodeCache
from jit.store import SHARE_LAST, Store
from jit.store_words import WordStore
from jit.templates import Code, Fix, Templates

FIXES = (Fix(4, 0, 7, 0xFFFF_FFFF), Fix(8, 2, -4, 0xFFFF_FFFF, 0, 0))


@pytest.fixture(autouse=True)
def free_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Engines of other tests may be where templates belong; here they belong elsewhere."""
    monkeypatch.setattr(templates, "ARENA_ADDRESS", 144 << 30)
    yield
    gc.collect()


def filled(count: int = 100) -> Templates:
    made = Templates()
    for k in range(count):
        code = Code(bytes([k]) * (k + 1), FIXES, Code(b"slow", FIXES[:1]) if k % 2 else None)
        made.enter(k * 0x1001, k % 3, "branch", k % 2, 4 * k if k % 2 else None, made.add(code), None)
    return made


def words(of: Templates, count: int = 100) -> list[object]:
    return [of.find(k * 0x1001, k % 3) for k in range(count)]


def test_words_come_back() -> None:
    made = filled()
    dump, before = made.dump(), words(made)
    arena = bytes(made._arena.map[: made._arena.used])
    del made
    gc.collect()
    loaded = Templates()
    assert loaded.load(memoryview(dump))
    assert words(loaded) == before and loaded.count == 100
    assert bytes(loaded._arena.map[: loaded._arena.used]) == arena
    # and others may be added behind them, which come back as well
    loaded.enter(1, 0, "", 0, None, None, loaded.add(Code(b"new", FIXES)))
    assert words(loaded) == before and loaded.find(1, 0) is not None
    dump = loaded.dump()
    del loaded
    gc.collect()
    third = Templates()
    assert third.load(memoryview(dump)) and words(third) == before and third.find(1, 0) is not None


def test_memory_elsewhere_loads_nothing() -> None:
    first = filled()
    second = Templates()  # the address is taken
    assert not second.load(memoryview(first.dump()))
    assert second.count == 0 and second.find(0, 0) is None


def test_what_is_no_dump() -> None:
    made = filled()
    dump = made.dump()
    del made
    gc.collect()
    empty = Templates()
    for length in (0, 1, templates._DUMP.size - 1, templates._DUMP.size, len(dump) - 1):
        assert not empty.load(memoryview(dump[:length]))
    for field, value in ((1, 1 << 31), (2, 1 << 30)):  # more templates or words than there can be
        head = list(templates._DUMP.unpack_from(dump))
        head[field] = value
        assert not empty.load(memoryview(templates._DUMP.pack(*head) + dump[templates._DUMP.size :]))
    assert empty.count == 0 and words(empty) == [None] * 100
    assert empty.load(memoryview(dump))


def test_templates_with_addresses_of_this_run_are_left_out() -> None:
    made = Templates()
    plain, fixed, slow = (
        made.add(c) for c in (Code(b"a"), Code(b"b", fixed=True), Code(b"c", (), Code(b"d", (), None, True)))
    )
    made.enter(1, 0, "", 0, None, plain, fixed)
    made.enter(2, 0, "", 0, None, slow, None)
    dump = made.dump()
    assert made.find(1, 0).far == fixed  # type: ignore[union-attr]
    del made
    gc.collect()
    loaded = Templates()
    assert loaded.load(memoryview(dump))
    one, two = loaded.find(1, 0), loaded.find(2, 0)
    assert one and two and (one.near, one.far, two.near, two.far) == (plain, 0, 0, 0)


def test_a_dump_of_what_was_forgotten_is_empty() -> None:
    made = filled()
    made.forget()
    dump = made.dump()
    del made
    gc.collect()
    loaded = Templates()
    assert loaded.load(memoryview(dump)) and loaded.count == 0


# -- in the store -----------------------------------------------------------------------------------------------------
class Run:
    """What one run has of the words."""

    def __init__(
        self, folder: Path, identity: str = "v8.0", constants: tuple[bytes, ...] = (), size: int = 1 << 20
    ) -> None:
        self.store, self.templates, self.cache = Store(str(folder), bytes(32)), Templates(), CodeCache(size)
        for data in constants:
            self.cache.constant(data)
        self.words = WordStore(self.store, identity, self.templates, self.cache, threading.RLock())
        self.store.before_save.append(self.words.save)
        self.words.load()

    def add(self, count: int, first: int = 0) -> None:
        for k in range(first, first + count):
            self.templates.enter(k, 0, "", 0, None, self.templates.add(Code(b"x")), None)

    def end(self) -> int:
        """How many words this run began with."""
        loaded = self.words.loaded
        self.store.close()
        del self.words, self.templates, self.store.before_save[:]
        gc.collect()
        return loaded


def one(folder: Path, *args: object, add: int = 0, first: int = 0) -> int:
    run = Run(folder, *args)  # type: ignore[arg-type]
    run.add(add, first)
    return run.end()


def test_a_run_begins_with_the_words_of_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    assert one(folder, add=50) == 0
    assert one(folder, add=50, first=50) == 50
    assert one(folder) == 100
    assert len(list(folder.glob("*/*.segment"))) == 1  # the older one is of no use


def test_other_cpus_and_caches_have_words_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    one(folder, add=5)
    assert one(folder, "v8.1") == 0
    assert one(folder, "v8.0", (), 2 << 20) == 0  # constants are at other offsets
    assert one(folder) == 5


def test_a_few_new_words_are_not_worth_it(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    one(folder, add=1000)
    assert one(folder, add=int(1000 * SHARE_LAST) - 1, first=5000) == 1000
    assert one(folder, add=int(1000 * SHARE_LAST) + 2, first=5000) == 1000
    assert one(folder) > 1000


def test_constants_come_first_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    run = Run(folder, "v8.0", (b"early",))
    late = run.cache.constant(b"late") - run.cache.base
    run.add(5)
    run.end()
    assert one(folder, "v8.0", (b"another",)) == 0
    run = Run(folder, "v8.0", (b"early",))
    assert run.cache.constant(b"late") - run.cache.base == late
    assert run.end() == 5


def test_a_run_that_forgot_its_words(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    one(folder, add=50)
    run = Run(folder)
    run.templates.forget()
    run.add(20, 1000)
    run.end()
    run = Run(folder)
    assert run.templates.find(1, 0) and not run.templates.find(1000, 0)  # what was there is as good
    run.end()
