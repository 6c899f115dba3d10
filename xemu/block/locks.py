"""Locks on image files, in the scheme of QEMU's so that the two programs keep off each other's images as well.

A user of an image holds, by open-file-description locks on single bytes far from anything stored there (locks do not
touch contents): a read lock at byte 100 + n for each permission n that it uses, and at byte 200 + n for each one that
it does not allow others. Whether somebody else's choice stands against one's own is then a question of whether one
could get a write lock on the byte in question.
"""

import errno
import fcntl
import struct

_USED, _DENIED = 100, 200
_PERMISSIONS = {"consistent read": 0, "write": 1, "write unchanged": 2, "resize": 3}
_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, process
# File systems without such locks (some network ones) are used without, as QEMU does by default.
_WITHOUT_LOCKS = (errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class Locked(Exception):
    """Somebody else uses the image in a way that excludes ours; the text says what could not be had."""


def acquire(fd: int, write: bool, share_writes: bool = False) -> None:
    """Lock for as long as `fd` is open."""
    used = ["consistent read"] + (["write"] if write else [])
    denied = [] if share_writes else ["write"]
    try:
        # First state one's own, then look at others': of two that come at once, at least one sees the other.
        for name in used:
            _lock(fd, _USED + _PERMISSIONS[name])
        for name in denied:
            _lock(fd, _DENIED + _PERMISSIONS[name])
        for name in used:
            if _held_by_others(fd, _DENIED + _PERMISSIONS[name]):
                raise Locked(f'Failed to get "{name}" lock')
        for name in denied:
            if _held_by_others(fd, _USED + _PERMISSIONS[name]):
                raise Locked(f'Failed to get shared "{name}" lock')
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise Locked('Failed to get "write" lock') from None
        if error.errno not in _WITHOUT_LOCKS:
            raise


def _lock(fd: int, byte: int) -> None:
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, 0, byte, 1, 0))


def _held_by_others(fd: int, byte: int) -> bool:
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, byte, 1, 0))
    return _FLOCK.unpack(answer)[0] != fcntl.F_UNLCK
