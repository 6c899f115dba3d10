"""Disk images: raw files, overlays, locks, and the threads that work on them."""

import os
import subprocess
import sys
import threading

import pytest

from xemu.block import raw
from xemu.block.base import SECTOR, cut, pieces
from xemu.block.overlay import CLUSTER, Overlay
from xemu.block.raw import open_raw
from xemu.block.workers import Workers
from xemu.errors import UserError

KIB = 1 << 10


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(range(256)) * 256)  # 64 KiB
    return path


@pytest.fixture
def image(path):
    image = open_raw("-drive x", str(path))
    yield image
    image.close()


def buffers(*sizes, fill=0):
    return [memoryview(bytearray([fill]) * size) for size in sizes]


def read(image, offset, length):
    into = buffers(length)
    image.read(offset, into)
    return bytes(into[0])


def error(path, **choices):
    with pytest.raises(UserError) as caught:
        open_raw("-drive x", str(path), **choices)
    text = str(caught.value)
    assert text.startswith("-drive x: ") and "\n" not in text
    return text


# Buffers


def test_cutting_scattered_buffers():
    scattered = [memoryview(b"abc"), memoryview(b""), memoryview(b"defg")]
    for start in range(8):
        for length in range(8):
            found = b"".join(cut(scattered, start, length))
            assert found == b"abcdefg"[start : start + length]
    assert [(at, b"".join(part)) for at, part in pieces(scattered, 4)] == [(0, b"abcd"), (4, b"efg")]
    assert list(pieces([], 4)) == []


# Raw files


def test_scattered_reads_and_writes(image, path):
    into = buffers(100, 0, 412, 512)
    image.read(512, into)
    assert b"".join(into) == path.read_bytes()[512 : 512 + 1024]
    image.write(1024, buffers(500, 12, fill=7))
    image.flush()
    assert path.read_bytes()[1000:1600] == (bytes(range(256)) * 4)[1000:] + b"\7" * 512 + bytes(range(64))


def test_reading_without_waiting(image, path):
    """Whether the host can is its business; what it gives is right."""
    image.read(0, buffers(8192))  # now it is in the host's memory
    into = buffers(100, 924)
    if image.read_now(512, into):
        assert b"".join(into) == path.read_bytes()[512:1536]
    assert not image.read_now(image.size - 512, buffers(1024))  # beyond the end


def test_more_buffers_than_the_host_takes(image, path):
    into = buffers(*[16] * 2048)
    image.read(0, into)
    assert b"".join(into) == path.read_bytes()[: 32 * KIB]
    image.write(32 * KIB, into)
    assert path.read_bytes()[32 * KIB :] == path.read_bytes()[: 32 * KIB]


def test_a_file_that_ends_inside_a_sector(tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(b"x" * 700)
    image = open_raw("-drive x", str(path))
    assert image.size == 1024
    assert read(image, 512, 512) == b"x" * 188 + bytes(324)
    image.write(512, buffers(512, fill=1))
    image.close()
    assert path.read_bytes() == b"x" * 512 + b"\1" * 512


def test_discard_gives_storage_back(image, path):
    image.flush()
    before = os.stat(path).st_blocks
    image.discard(0, 32 * KIB)
    assert path.read_bytes()[: 32 * KIB] == bytes(32 * KIB) and os.stat(path).st_blocks < before
    assert os.stat(path).st_size == 64 * KIB


def test_discard_may_be_ignored(path):
    image = open_raw("-drive x", str(path), unmap=False)
    before = path.read_bytes()
    image.discard(0, 32 * KIB)
    assert path.read_bytes() == before
    image.write_zeroes(0, 4 * KIB, True)
    assert path.read_bytes() == bytes(4 * KIB) + before[4 * KIB :]
    image.close()


@pytest.mark.parametrize("unmap", [False, True])
@pytest.mark.parametrize("able", [False, True])
def test_zeroing(image, path, unmap, able, monkeypatch):
    if not able:
        monkeypatch.setattr(raw, "_fallocate", refuse)
    before = path.read_bytes()
    image.write_zeroes(1536, 9 * KIB, unmap)
    assert path.read_bytes() == before[:1536] + bytes(9 * KIB) + before[1536 + 9 * KIB :]


def refuse(*_):
    raise OSError(95, "not supported")


def test_a_failed_flush_is_not_forgotten(image, monkeypatch):
    def fail(fd):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError):
            image.flush()
    with pytest.raises(OSError):
        image.flush()


@pytest.mark.parametrize(
    "head, name",
    [
        (b"QFI\xfb\0\0\0\3", "qcow2"),
        (b"KDMV", "vmdk"),
        (b"# Disk DescriptorFile\n", "vmdk"),
        (bytes(0x40) + b"\x7f\x10\xda\xbe", "vdi"),
        (b"vhdxfile", "vhdx"),
        (b"\x1f\x8b\x08", "gzip"),
    ],
)
def test_foreign_formats_are_refused_by_name(tmp_path, head, name):
    path = tmp_path / "foreign"
    path.write_bytes(head + bytes(8 * KIB))
    assert f"is a {name} image" in error(path)
    open_raw("-drive x", str(path), probe=False).close()  # the user says that it is raw


def test_what_is_no_image(tmp_path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    assert "No such file" in error(tmp_path / "missing")
    assert "is a directory" in error(tmp_path, readonly=True).replace("Is a", "is a")
    assert "irectory" in error(tmp_path)
    assert "is empty" in error(tmp_path / "empty")
    assert "neither a file" in error(tmp_path / "pipe")
    assert "neither a file" in error("/dev/null")
    assert "not a file name" in error("a\0b")


# Locks


def test_a_writer_excludes_everybody(image, path):
    assert 'Failed to get "write" lock' in error(path)
    assert 'Failed to get shared "write" lock' in error(path, readonly=True)
    open_raw("-drive x", str(path), locking=False).close()
    image.close()
    open_raw("-drive x", str(path)).close()


def test_readers_share(path):
    first = open_raw("-drive x", str(path), readonly=True)
    second = open_raw("-drive x", str(path), readonly=True)
    assert 'Failed to get "write" lock' in error(path)
    first.close()
    second.close()


def test_writers_may_agree_to_share(path):
    first = open_raw("-drive x", str(path), share_writes=True)
    second = open_raw("-drive x", str(path), share_writes=True)
    assert "lock" in error(path)
    first.close()
    second.close()


# Overlays


def test_an_overlay_is_like_the_image_and_leaves_it_alone(path, tmp_path):
    """A few hundred operations of all kinds and alignments beside a plain copy."""
    import random

    original = path.read_bytes()
    below = open_raw("-drive x", str(path), readonly=True)
    overlay = Overlay(below, str(tmp_path))
    model = bytearray(original)
    choose = random.Random(1)
    sectors = len(model) // SECTOR
    for step in range(400):
        first = choose.randrange(sectors)
        length = choose.randint(1, min(20, sectors - first)) * SECTOR
        offset = first * SECTOR
        kind = choose.randrange(4)
        if kind == 0:
            model[offset : offset + length] = bytes([step & 255]) * length
            overlay.write(offset, buffers(length // 2, length - length // 2, fill=step & 255))
        elif kind == 1 and step % 3 == 0:
            model[offset : offset + length] = bytes(length)
            overlay.write_zeroes(offset, length, choose.random() < 0.5)
        else:
            assert read(overlay, offset, length) == model[offset : offset + length]
            into = buffers(length)
            if overlay.read_now(offset, into):
                assert into[0] == model[offset : offset + length]
    overlay.flush()
    assert read(overlay, 0, len(model)) == model
    overlay.close()
    below.close()
    assert path.read_bytes() == original
    assert os.listdir(tmp_path) == ["disk.img"]


def test_an_overlay_of_an_image_that_ends_inside_a_cluster(tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(b"x" * (CLUSTER + 700))
    overlay = Overlay(open_raw("-drive x", str(path), readonly=True), str(tmp_path))
    overlay.write(CLUSTER, buffers(512, fill=1))
    assert read(overlay, CLUSTER, 1024) == b"\1" * 512 + b"x" * 188 + bytes(324)


def test_an_overlay_needs_room(image, tmp_path):
    with pytest.raises(UserError, match="TMPDIR"):
        Overlay(image, str(tmp_path / "missing"))


# Workers


def test_workers_run_jobs_at_the_same_time():
    workers = Workers("test", threads=3)
    together = threading.Barrier(3, timeout=30)
    done = threading.Semaphore(0)
    for _ in range(3):
        workers.submit(lambda: together.wait() and None, done.release)
    for _ in range(3):
        assert done.acquire(timeout=30)
    workers.close()


def test_cancelling_waits_for_what_runs_and_forgets_the_rest():
    workers = Workers("test", threads=1)
    started, go = threading.Event(), threading.Event()
    seen = []

    def job():
        started.set()
        assert go.wait(30)
        seen.append("first")

    workers.submit(job, lambda: None)
    workers.submit(lambda: seen.append("second"), lambda: None)
    assert started.wait(30)
    canceller = threading.Thread(target=workers.cancel)
    canceller.start()
    go.set()
    canceller.join(30)
    workers.close()
    assert seen[0] == "first" and not canceller.is_alive()
    workers.submit(lambda: seen.append("late"), lambda: None)
    assert "late" not in seen


def test_many_jobs_and_no_lost_wakeup():
    workers = Workers("test")
    done = threading.Semaphore(0)
    for _ in range(50):
        for _ in range(20):
            workers.submit(lambda: None, done.release)
        for _ in range(20):
            assert done.acquire(timeout=30)
    workers.close()


def test_flushed_data_survives_a_kill(path):
    """A process writes, flushes and is killed at once; what it flushed is in the file, and no lock stays."""
    program = (
        "import os, signal, sys\n"
        "from xemu.block.raw import open_raw\n"
        "image = open_raw('-drive x', sys.argv[1])\n"
        "image.write(4096, [memoryview(b'flushed!' * 64)])\n"
        "image.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], timeout=60).returncode == -9
    image = open_raw("-drive x", str(path))
    assert read(image, 4096, 512) == b"flushed!" * 64
    image.close()
