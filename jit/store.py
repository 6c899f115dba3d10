"""The store: what the engines made, kept in a folder of the user's for the next run.

It is code that will be run, so nothing in it is trusted: the folder must belong to the user alone, and every entry has
a checksum.  What is damaged, cut off or foreign is as good as absent.

A *generation* is the folder of one fingerprint (jit/store_key.py): of all that entries depend on besides their key.
In it are *segments*, files that are written under another name, renamed, and never changed.  So processes need not
wait for each other, and one that dies leaves at most a file that nobody reads.  Several segments become one by and by.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b

MAGIC = b"xemu store v1\n\0\0"
_HEADER = struct.Struct("<16s32sI4x")  # magic, fingerprint, entries; then the index, its digest, the entries
_ROW = struct.Struct("<16s16sQI4x")  # key, digest, offset in the file, length
_DIGEST = 16
_SUFFIX, _TEMPORARY = ".segment", ".part"

MOST_ENTRIES = 1 << 20  # of a segment: bounds what a damaged count makes us read
LARGEST_ENTRY = 64 << 20
MOST_SEGMENTS = 8  # more are merged
GENERATION_BYTES = 256 << 20  # of which the entries beyond go, the oldest first
ALL_BYTES = 768 << 20  # of all generations, of which the ones that were not used for longest go
MOST_GENERATIONS = 32
QUIET = 1.0  # s without anything new after which what is new is saved
MOST_LOOKS = 5  # ... and saved all the same after so many times that
LEAST_PAUSE, PAUSE = 5.0, 50  # s from one save to the next, and times what the last one took: at most 2 % of a CPU
# How much of what is written as a whole must be new for it to be written again: while more keeps coming, when nothing
# came for a while, and at the end.
SHARE_BUSY, SHARE_QUIET, SHARE_LAST = 1 / 2, 1 / 8, 1 / 128
OPEN_BYTES = 1 << 20  # what a run saves is written again with what it saves next, up to this
ABANDONED = 3600  # s after which a temporary file is taken for one whose writer died


class Unsafe(Exception):
    """The folder is not the user's alone."""


def key_of(*parts: bytes) -> bytes:
    """The key of an entry: a hash of what it is."""
    h = blake2b(digest_size=16)
    for part in parts:
        h.update(len(part).to_bytes(4, "little"))
        h.update(part)
    return h.digest()


def _digest(key: bytes, payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_DIGEST, key=key).digest()


# -- folders and files ------------------------------------------------------------------------------------------------
def open_private(path: str, dir_fd: int | None = None) -> int:
    """A descriptor of a folder, made where it is not there, that nobody but the user can read or write."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700, dir_fd=dir_fd)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        owner = "" if found.st_uid == os.geteuid() else f", owner {found.st_uid}"
        raise Unsafe(f"{path} is not private to this user (mode {stat.S_IMODE(found.st_mode):04o}{owner})")
    return fd


def _remove(name: str, dir_fd: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=dir_fd)


def _files(dir_fd: int) -> list[tuple[str, float, int]]:
    """(name, time of change, size) of what is in a folder."""
    found: list[tuple[str, float, int]] = []
    for name in os.listdir(dir_fd):
        with contextlib.suppress(OSError):  # another process may have removed it
            s = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            found.append((name, s.st_mtime, s.st_size))
    return found


class Segment:
    """One file, open to read.  OSError or ValueError: it can't be used."""

    def __init__(self, name: str, dir_fd: int, fingerprint: bytes) -> None:
        self.name = name
        self.rows: dict[bytes, tuple[bytes, int, int]] = {}
        self._fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=dir_fd)
        try:
            self._read_index(fingerprint)
        except BaseException:
            self.close()
            raise

    def _read_index(self, fingerprint: bytes) -> None:
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise ValueError("not a file of this user's")
        head = os.pread(self._fd, _HEADER.size, 0)
        if len(head) != _HEADER.size:
            raise ValueError("cut off")
        magic, of, count = _HEADER.unpack(head)
        if magic != MAGIC or of != fingerprint or count > MOST_ENTRIES:
            raise ValueError("foreign")
        size = count * _ROW.size
        index = os.pread(self._fd, size + _DIGEST, _HEADER.size)
        if len(index) != size + _DIGEST or blake2b(head + index[:size], digest_size=_DIGEST).digest() != index[size:]:
            raise ValueError("damaged")
        self.rows = {key: (digest, offset, length) for key, digest, offset, length in _ROW.iter_unpack(index[:size])}

    def get(self, key: bytes) -> bytes | None:
        """An entry; None where it is not there, or not what was written."""
        row = self.rows.get(key)
        if row is None:
            return None
        digest, offset, length = row
        if length > LARGEST_ENTRY:
            return None
        try:
            payload = os.pread(self._fd, length, offset)
        except OSError:
            return None
        return payload if len(payload) == length and _digest(key, payload) == digest else None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


# -- the store --------------------------------------------------------------------------------------------------------
class Store:
    """The entries of one generation.  put() and save() may be called from several threads."""

    def __init__(self, folder: str, fingerprint: bytes) -> None:
        """folder: of all generations; the one above it must be there.  Unsafe, OSError: it can't be used."""
        self.fingerprint = fingerprint
        self._name = fingerprint.hex()[:32]
        self._root = open_private(folder)
        self._folder = open_private(self._name, self._root)
        os.utime(self._folder)  # used now
        self._segments = self._open_all()
        self._lock = threading.Lock()
        self._new: dict[bytes, bytes] = {}
        self._contents = {segment.name: frozenset(segment.rows) for segment in self._segments}
        self._open: dict[bytes, bytes] = {}  # what this run's last segment has, as long as it is small
        # to put what is new: asked with the share that it must be to be worth it
        self.before_save: list[Callable[[float], None]] = []
        self._came = threading.Event()  # something is new
        self._saver: threading.Thread | None = None
        self._ending = threading.Event()
        self._used: set[bytes] = set()
        self._count = 0

    def _open_all(self) -> list[Segment]:
        """The segments that can be used, the newest first; others are removed."""
        found: list[Segment] = []
        for name, changed, _ in sorted(_files(self._folder), reverse=True):
            if name.endswith(_SUFFIX):
                try:
                    found.append(Segment(name, self._folder, self.fingerprint))
                except FileNotFoundError:
                    pass  # merged by another process just now
                except (OSError, ValueError):
                    _remove(name, self._folder)
            elif name.endswith(_TEMPORARY) and time.time() - changed > ABANDONED:
                _remove(name, self._folder)
        return found

    def get(self, key: bytes) -> bytes | None:
        """An entry that an earlier run has saved."""
        for segment in self._segments:
            found = segment.get(key)
            if found is not None:
                self._used.add(key)
                return found
        return None

    def put(self, key: bytes, payload: bytes) -> None:
        """Remember an entry for save().  What is larger than an entry may be is left out."""
        if len(payload) <= LARGEST_ENTRY:
            with self._lock:
                self._new[key] = payload
            self.touch()

    def touch(self) -> None:
        """Something is new, or will be when those in `before_save` are asked."""
        if not self._came.is_set():
            self._came.set()

    def save_in_background(self) -> None:
        """From now on a thread saves what is new when nothing came for a while, so that a run may be killed."""
        self._saver = threading.Thread(target=self._save_now_and_then, name="store", daemon=True)
        self._saver.start()

    def _save_now_and_then(self) -> None:
        while self._came.wait():
            share = SHARE_BUSY
            for _ in range(MOST_LOOKS):
                self._came.clear()
                if self._ending.is_set():
                    return
                if not self._came.wait(QUIET):
                    share = SHARE_QUIET
                    break
            if self._ending.is_set():
                return
            started = time.thread_time()
            with contextlib.suppress(OSError):  # close() will say it
                self.save(share)
                if len(self._contents) > MOST_SEGMENTS:
                    self._tidy()
            self._ending.wait(max(LEAST_PAUSE, (time.thread_time() - started) * PAUSE))

    def save(self, share: float = SHARE_LAST) -> None:
        """Write what is new.  OSError: it could not be written, and is still new."""
        for ask in self.before_save:
            ask(share)
        with self._lock:
            new, self._new = self._new, {}
        try:
            for key in [key for key, payload in new.items() if len(payload) > OPEN_BYTES]:
                self._replace({key: new[key]})
                del new[key]
            if new:
                self._open = (self._open if sum(map(len, self._open.values())) < OPEN_BYTES else {}) | new
                self._replace(self._open)
        except FileNotFoundError:
            pass  # the generation was removed meanwhile, as `xemu cache clear` does
        except OSError:
            with self._lock:
                self._new = new | self._new
            raise

    def _replace(self, entries: dict[bytes, bytes]) -> None:
        """Write a segment, and remove those that have nothing else."""
        name = self._write(entries)
        for old, keys in list(self._contents.items()):
            if keys <= entries.keys():
                _remove(old, self._folder)
                del self._contents[old]
        self._contents[name] = frozenset(entries)

    def close(self) -> None:
        """The last save() of a run.  Keeps the store within its bounds."""
        self._ending.set()
        self._came.set()
        if self._saver:
            self._saver.join()
        try:
            self.save()
            self._tidy()
        finally:
            for segment in self._segments:
                segment.close()
            self._segments = []
            for fd in (self._folder, self._root):
                os.close(fd)

    def _write(self, entries: dict[bytes, bytes]) -> str:
        """A new segment, and its name."""
        index, offset = bytearray(), _HEADER.size + len(entries) * _ROW.size + _DIGEST
        for key, payload in entries.items():
            index += _ROW.pack(key, _digest(key, payload), offset, len(payload))
            offset += len(payload)
        head = _HEADER.pack(MAGIC, self.fingerprint, len(entries))
        digest = blake2b(head + index, digest_size=_DIGEST).digest()
        self._count += 1
        # never used again, and in the order of time
        base = f"{time.time_ns():x}-{os.getpid():x}-{self._count:x}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(base + _TEMPORARY, flags, 0o600, dir_fd=self._folder)
        try:
            with open(fd, "wb", buffering=1 << 20) as file:
                file.write(head + index + digest)
                file.writelines(entries.values())
            # not synced: what a crash of the host leaves half written has wrong checksums
            os.rename(base + _TEMPORARY, base + _SUFFIX, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            _remove(base + _TEMPORARY, self._folder)
            raise
        return base + _SUFFIX

    # -- bounds -------------------------------------------------------------------------------------------------------
    def _tidy(self) -> None:
        """Merge segments where they are many or large; drop generations that were not used for longest."""
        with self._alone() as alone:
            if not alone:
                return
            sizes = [size for name, _, size in _files(self._folder) if name.endswith(_SUFFIX)]
            if len(sizes) > MOST_SEGMENTS or sum(sizes) > GENERATION_BYTES:
                self._merge()
            _bound(self._root, self._name)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process is tidying; the next to end will see to it."""
        fd = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._root)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)

    def _merge(self) -> None:
        """One segment of all: what this run used, then the rest, the newest first, to three quarters of the bound."""
        segments = self._open_all()
        entries: dict[bytes, bytes] = {}
        left = GENERATION_BYTES * 3 // 4
        try:
            for used in (True, False):
                for segment in segments:
                    for key in segment.rows:
                        payload = segment.get(key) if key not in entries and (key in self._used) == used else None
                        if payload is not None and len(payload) <= left and len(entries) < MOST_ENTRIES:
                            entries[key] = payload
                            left -= len(payload)
            if entries:
                self._write(entries)
            for segment in segments:
                _remove(segment.name, self._folder)
        finally:
            for segment in segments:
                segment.close()


def generations(root: int) -> list[tuple[float, str, int, int]]:
    """(last use, name, segments, bytes) of each generation, the oldest first."""
    found: list[tuple[float, str, int, int]] = []
    for name, used, _ in _files(root):
        with contextlib.suppress(OSError):
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
            try:
                files = _files(fd)
            finally:
                os.close(fd)
            segments = sum(file.endswith(_SUFFIX) for file, _, _ in files)
            found.append((used, name, segments, sum(size for _, _, size in files)))
    return sorted(found)


def remove_generation(root: int, name: str) -> None:
    """Remove one generation.  Processes that have its segments open go on with them."""
    with contextlib.suppress(OSError):
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        try:
            for file, _, _ in _files(fd):
                _remove(file, fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=root)


def _bound(root: int, own: str) -> None:
    """Drop old generations until all together keep the bound."""
    found = generations(root)
    total = sum(size for *_, size in found)
    count = len(found)
    for _, name, _, size in found:
        if (total > ALL_BYTES or count > MOST_GENERATIONS) and name != own:
            remove_generation(root, name)
            total, count = total - size, count - 1
