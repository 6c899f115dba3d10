"""The store: what is written comes back, what is damaged does not, and it keeps to its bounds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jit import store, store_key
from jit.piece import Fixup, Piece
from jit.store import Store, Unsafe, key_of
from jit.store_pieces import PieceStore, decode, encode, key_text

OWN, OTHER = bytes(range(32)), bytes(32)
ENTRIES = {key_of(b"%d" % k): bytes([k]) * (40 + k) for k in range(8)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "code"


def fill(folder: Path, entries: dict[bytes, bytes] = ENTRIES, fingerprint: bytes = OWN) -> None:
    kept = Store(str(folder), fingerprint)
    for key, payload in entries.items():
        kept.put(key, payload)
    kept.close()


def read(folder: Path, fingerprint: bytes = OWN) -> dict[bytes, bytes | None]:
    kept = Store(str(folder), fingerprint)
    found = {key: kept.get(key) for key in ENTRIES}
    kept.close()
    return found


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.segment"))


def test_entries_come_back(folder: Path) -> None:
    assert set(read(folder).values()) == {None}
    fill(folder)
    assert read(folder) == ENTRIES
    assert folder.stat().st_mode & 0o777 == 0o700
    assert segments(folder)[0].stat().st_mode & 0o777 == 0o600


def test_nothing_new_is_no_new_file(folder: Path) -> None:
    fill(folder)
    read(folder)
    assert len(segments(folder)) == 1


def test_another_fingerprint_sees_nothing(folder: Path) -> None:
    fill(folder)
    assert set(read(folder, OTHER).values()) == {None}
    # nor does it when the file is put into its place
    (file,) = segments(folder)
    own = folder / OTHER.hex()[:32]
    file.rename(own / file.name)
    assert set(read(folder, OTHER).values()) == {None}
    assert segments(folder) == []


def test_another_format_is_absent(folder: Path) -> None:
    fill(folder)
    (file,) = segments(folder)
    file.write_bytes(file.read_bytes().replace(store.MAGIC, b"xemu store v0\n\0\0"))
    assert set(read(folder).values()) == {None}


def test_any_damaged_byte_is_seen(folder: Path) -> None:
    """Every third byte of a file, changed: all that comes back is what was written, and a run makes the rest anew."""
    fill(folder)
    (file,) = segments(folder)
    good = file.read_bytes()
    for at in range(0, len(good), 3):
        file.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        found = read(folder)
        lost = [key for key, payload in found.items() if payload is None]
        assert lost or at in range(52, 56), f"byte {at} is under no checksum"  # of the header, four are padding
        assert all(payload in (None, ENTRIES[key]) for key, payload in found.items())
        file.write_bytes(good)


def test_damage_is_rebuilt(folder: Path) -> None:
    fill(folder)
    (file,) = segments(folder)
    good = file.read_bytes()
    file.write_bytes(good[:-10] + bytes(10))
    kept = Store(str(folder), OWN)
    lost = [key for key in ENTRIES if kept.get(key) is None]
    assert len(lost) == 1
    kept.put(lost[0], ENTRIES[lost[0]])
    kept.close()
    assert read(folder) == ENTRIES


@pytest.mark.parametrize("length", [0, 1, 31, 56, 57, 200, 500, 600])
def test_files_that_are_cut_off(folder: Path, length: int) -> None:
    fill(folder)
    (file,) = segments(folder)
    file.write_bytes(file.read_bytes()[:length])
    assert all(payload in (None, ENTRIES[key]) for key, payload in read(folder).items())
    fill(folder)
    assert read(folder) == ENTRIES


def test_lengths_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is right by its digest may still claim anything."""
    fill(folder)
    monkeypatch.setattr(store, "LARGEST_ENTRY", 43)
    found = read(folder)
    assert [payload is not None for payload in found.values()] == [len(p) <= 43 for p in ENTRIES.values()]
    monkeypatch.setattr(store, "MOST_ENTRIES", 7)
    assert set(read(folder).values()) == {None}


# -- folders ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o755])
def test_a_folder_that_others_can_enter_is_refused(folder: Path, mode: int) -> None:
    fill(folder)
    folder.chmod(mode)
    with pytest.raises(Unsafe, match="not private"):
        Store(str(folder), OWN)


def test_a_generation_that_others_can_enter_is_refused(folder: Path) -> None:
    fill(folder)
    next(p for p in folder.iterdir() if p.is_dir()).chmod(0o777)
    with pytest.raises(Unsafe, match="not private"):
        Store(str(folder), OWN)


def test_a_link_is_no_folder(folder: Path) -> None:
    fill(folder)
    link = folder.with_name("link")
    link.symlink_to(folder)
    with pytest.raises(OSError):
        Store(str(link), OWN)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    fill(folder)
    os.chown(folder, 12345, 12345)
    with pytest.raises(Unsafe, match="owner 12345"):
        Store(str(folder), OWN)


def test_a_file_that_others_can_write_is_absent(folder: Path) -> None:
    fill(folder)
    segments(folder)[0].chmod(0o666)
    assert set(read(folder).values()) == {None}


def test_a_link_or_pipe_is_no_segment(folder: Path, tmp_path: Path) -> None:
    fill(folder)
    (file,) = segments(folder)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(file.with_name("pipe.segment"))  # must not be waited for
    assert set(read(folder).values()) == {None}


# -- bounds -----------------------------------------------------------------------------------------------------------
def test_segments_are_merged(folder: Path) -> None:
    for key, payload in ENTRIES.items():
        fill(folder, {key: payload})
    assert len(segments(folder)) == store.MOST_SEGMENTS
    fill(folder, {key_of(b"more"): b"x"})
    assert len(segments(folder)) == 1
    assert read(folder) == ENTRIES


def test_a_newer_entry_replaces_an_older_one(folder: Path) -> None:
    key = next(iter(ENTRIES))
    for k in range(store.MOST_SEGMENTS + 3):
        fill(folder, {key: b"%d" % k})
        assert read(folder)[key] == b"%d" % k


def test_what_was_used_stays_when_there_is_too_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "GENERATION_BYTES", 400)
    fill(folder)
    kept = Store(str(folder), OWN)
    used = list(ENTRIES)[2:5]
    assert all(kept.get(key) for key in used)
    kept.close()
    found = read(folder)
    assert all(found[key] for key in used)
    assert sum(len(p) for p in found.values() if p) <= 300


def test_old_generations_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(4):
        fill(folder, fingerprint=bytes([k]) * 32)
        os.utime(folder / (bytes([k]) * 32).hex()[:32], (k, k))
    size = sum(p.stat().st_size for p in segments(folder))
    monkeypatch.setattr(store, "ALL_BYTES", size * 3 // 4)
    fill(folder, {}, bytes([9]) * 32)
    left = [k for k in range(4) if (folder / (bytes([k]) * 32).hex()[:32]).exists()]
    assert left == [1, 2, 3]


def test_there_are_not_many_generations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_GENERATIONS", 3)
    for k in range(5):
        fill(folder, fingerprint=bytes([k]) * 32)
        os.utime(folder / (bytes([k]) * 32).hex()[:32], (k, k))
    assert sorted(p.name[:2] for p in folder.iterdir() if p.is_dir()) == ["02", "03", "04"]


def test_a_generation_that_goes_while_it_is_used(folder: Path) -> None:
    fill(folder)
    kept = Store(str(folder), OWN)
    root = store.open_private(str(folder))
    store.remove_generation(root, kept.fingerprint.hex()[:32])
    os.close(root)
    key = next(iter(ENTRIES))
    assert kept.get(key) == ENTRIES[key]
    kept.put(key, b"x")
    kept.close()
    assert set(read(folder).values()) == {None}


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write anywhere")
def test_what_could_not_be_written_is_told(folder: Path) -> None:
    kept = Store(str(folder), OWN)
    kept.put(next(iter(ENTRIES)), b"x")
    next(p for p in folder.iterdir() if p.is_dir()).chmod(0o500)
    with pytest.raises(PermissionError):
        kept.close()


def test_leftovers_of_the_dead_go(folder: Path) -> None:
    fill(folder)
    own = segments(folder)[0].parent
    old, fresh = own / "old.part", own / "fresh.part"
    for file in (old, fresh):
        file.write_bytes(b"x")
    os.utime(old, (0, 0))
    read(folder)
    assert not old.exists() and fresh.exists()


# -- several processes ------------------------------------------------------------------------------------------------
def _write_for_ever(folder: str, seed: int) -> None:
    for k in range(1 << 30):
        fill(Path(folder), {key_of(b"%d %d" % (seed, k)): bytes(1000), key_of(b"shared"): bytes(2000)})


@pytest.fixture
def writers(folder: Path) -> Iterator[list[multiprocessing.Process]]:
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=_write_for_ever, args=(str(folder), k)) for k in range(3)]
    for process in running:
        process.start()
    yield running  # type: ignore[misc]
    for process in running:
        process.kill()
        process.join()


def test_several_processes_and_kill(folder: Path, writers: list[multiprocessing.Process]) -> None:
    """Three write, merge and tidy at once and are killed one by one: what is there is right at any time."""
    limit = time.monotonic() + 120
    while len(segments(folder)) < 4 and time.monotonic() < limit:
        time.sleep(0.05)
    for victim in writers:
        for _ in range(5):
            kept = Store(str(folder), OWN)
            assert kept.get(key_of(b"shared")) in (None, bytes(2000))
            kept.close()
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
    fill(folder)
    assert read(folder) == ENTRIES
    kept = Store(str(folder), OWN)
    assert kept.get(key_of(b"shared")) == bytes(2000)
    kept.close()
    assert len(segments(folder)) <= store.MOST_SEGMENTS + 1


def test_what_is_new_is_saved_while_it_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may be killed: when nothing new came for a while it is on disk, and sooner or later when it never stops."""
    monkeypatch.setattr(store, "QUIET", 0.01)
    monkeypatch.setattr(store, "LEAST_PAUSE", 0.01)
    kept = Store(str(folder), OWN)
    kept.save_in_background()
    key, other = list(ENTRIES)[:2]
    kept.put(key, ENTRIES[key])
    limit = time.monotonic() + 60
    while read(folder)[key] is None and time.monotonic() < limit:
        time.sleep(0.01)
    while read(folder)[other] is None and time.monotonic() < limit:
        kept.put(other, ENTRIES[other])
    assert read(folder)[key] == ENTRIES[key] and read(folder)[other] == ENTRIES[other]
    kept.close()
    assert len(segments(folder)) == 1


def test_what_is_large_is_not_written_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "OPEN_BYTES", 100)
    kept = Store(str(folder), OWN)
    for key, payload in ENTRIES.items():
        kept.put(key, payload)
        kept.save()
    kept.close()
    assert len(segments(folder)) == 3
    assert read(folder) == ENTRIES


# -- fingerprints -----------------------------------------------------------------------------------------------------
def test_fingerprint_follows_the_sources(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    seen = set[bytes | None]()
    for text in ("x = 1\n", "x = 2\n"):
        file.write_text(text)
        os.utime(file, (0, 0))
        seen.add(store_key.fingerprint([str(tmp_path)]))
    file.rename(tmp_path / "b.py")
    seen.add(store_key.fingerprint([str(tmp_path)]))
    assert len(seen) == 3 and None not in seen


def test_sources_changed_since_the_start_are_not_what_runs(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert store_key.fingerprint([str(tmp_path)]) is None


def test_no_sources_no_fingerprint(tmp_path: Path) -> None:
    assert store_key.fingerprint([str(tmp_path)]) is None


# -- pieces -----------------------------------------------------------------------------------------------------------
SLOW = Piece("f.slow", b"\x90" * 20, (Fixup(3, "i", "NEXT", -4, True),), False)
PIECE = Piece("f", bytes(range(30)), (Fixup(1, "Q", "Rn.x", 0, False), Fixup(9, "i", "", 4, True, b"abc")), True, SLOW)


def test_pieces_come_back(folder: Path) -> None:
    pieces = {"f": PIECE, "g": Piece("g", b"", (), False)}
    kept = Store(str(folder), OWN)
    PieceStore(kept).put("both", pieces)
    kept.close()
    kept = Store(str(folder), OWN)
    assert PieceStore(kept).get("both") == pieces
    assert PieceStore(kept).get("neither") is None
    kept.close()


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}x", b"[[1]]", b'[["f","00",[[1,"i","NEXT",0,true,""]],true,null]]', b'[["f","00",[],true,[1]]]', b"7",
     b'[["f","zz",[],true,null]]', b'[["f","00",[[0,"?!","A",0,true,""]],true,null]]', b"[" * 10**5],
)  # fmt: skip
def test_what_are_no_pieces(payload: bytes) -> None:
    assert decode(payload) is None
    assert decode(encode({"f": PIECE})) == {"f": PIECE}


def test_key_text() -> None:
    class Row:
        identity = "ADD"

    assert key_text(((Row(), (1, 0)), True, -1, "x", None)) == "(('ADD',(1,0)),True,-1,'x',None)"
    with pytest.raises(TypeError):
        key_text((object(),))
