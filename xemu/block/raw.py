"""Raw images: the file's bytes are the disk's."""

import ctypes
import errno
import os
import stat
import sys

from xemu.block import locks
from xemu.block.base import SECTOR, Buffers, cut, total
from xemu.block.foreign import foreign_format
from xemu.errors import UserError

_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 0x01, 0x02, 0x10  # flags of fallocate(2)
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.ENOTTY)
_IOV_MAX = 1024  # buffers in one system call
_ZEROS = memoryview(bytes(1 << 20))
_libc = ctypes.CDLL(None, use_errno=True)


def _fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    if _libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class RawImage:
    """An open file or block device; it takes `fd` over."""

    def __init__(self, fd: int, size: int, readonly: bool, label: str, unmap: bool = True, sync: bool = True) -> None:
        self._fd = fd
        self.size = -(-size // SECTOR) * SECTOR  # what a file lacks to its last sector reads as zeros
        self.readonly = readonly
        self.label = label
        self._unmap = unmap  # guests may punch holes into the file
        self._sync = sync  # off: the user gives the data's safety up for speed
        self._lost: OSError | None = None

    def read(self, offset: int, buffers: Buffers) -> None:
        left = list(buffers)
        while left:
            count = os.preadv(self._fd, left[:_IOV_MAX], offset)
            if count == 0:  # the end of the file
                for buffer in left:
                    buffer[:] = bytes(len(buffer))
                return
            offset += count
            left = cut(left, count, total(left) - count)

    def read_now(self, offset: int, buffers: Buffers) -> bool:
        if len(buffers) > _IOV_MAX:
            return False
        try:
            return os.preadv(self._fd, buffers, offset, os.RWF_NOWAIT) == total(buffers)
        except OSError:  # not in memory, or the host can't tell; read() reports what is wrong
            return False

    def write(self, offset: int, buffers: Buffers) -> None:
        left = list(buffers)
        while left:
            count = os.pwritev(self._fd, left[:_IOV_MAX], offset)
            offset += count
            left = cut(left, count, total(left) - count)

    def flush(self) -> None:
        # The host reports a failed write-back once and then forgets it; what was lost stays lost all the same.
        if self._lost is not None:
            raise self._lost
        if not self._sync:
            return
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._lost = error
            raise

    def discard(self, offset: int, length: int) -> None:
        if self._unmap:
            self._try(_PUNCH_HOLE | _KEEP_SIZE, offset, length)

    def write_zeroes(self, offset: int, length: int, unmap: bool) -> None:
        if unmap and self._unmap and self._try(_PUNCH_HOLE | _KEEP_SIZE, offset, length):
            return
        if self._try(_ZERO_RANGE | _KEEP_SIZE, offset, length):
            return
        while length > 0:
            count = min(length, len(_ZEROS))
            self.write(offset, [_ZEROS[:count]])
            offset += count
            length -= count

    def _try(self, mode: int, offset: int, length: int) -> bool:
        """Whether the host's file system knows how to do this."""
        if length == 0:
            return True
        try:
            _fallocate(self._fd, mode, offset, length)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            return False
        return True

    def close(self) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if not self.readonly and self._sync:
                os.fdatasync(fd)
        except OSError as error:
            print(f"xemu: {self.label}: can't write it back: {error.strerror}", file=sys.stderr)
        finally:
            os.close(fd)


def open_raw(
    where: str,
    path: str,
    *,
    readonly: bool = False,
    probe: bool = True,
    unmap: bool = True,
    locking: bool = True,
    share_writes: bool = False,
    sync: bool = True,
) -> RawImage:
    """Open and lock an image; UserError with one line when that can't be. `where` is the option as typed.

    With `probe`, a file that begins like another format is refused: the user has not said that it is raw.
    """
    fd = _open(where, path, readonly)
    try:
        size = _size(where, path, fd)
        found = foreign_format(os.pread(fd, 4096, 0)) if probe else None
        if found is not None:
            raise UserError(
                f"{where}: '{path}' is a {found} image, which xemu can't read yet; convert it with"
                " 'qemu-img convert -O raw', or add format=raw if these bytes are the disk's own"
            )
        if locking:
            locks.acquire(fd, not readonly, share_writes)
    except locks.Locked as error:
        os.close(fd)
        raise UserError(f"{where}: {error}: is another process using the image '{path}'?") from None
    except OSError as error:
        os.close(fd)
        raise UserError(f"{where}: can't use '{path}': {error.strerror}") from None
    except UserError:
        os.close(fd)
        raise
    return RawImage(fd, size, readonly, where, unmap, sync)


def _open(where: str, path: str, readonly: bool) -> int:
    # Opening a pipe or terminal must not wait; for files and block devices the flag has no meaning.
    flags = (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        return os.open(path, flags)
    except OSError as error:
        hint = ""
        if not readonly and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            hint = "; to leave it unchanged use readonly=on or -snapshot"
        raise UserError(f"{where}: can't open '{path}': {error.strerror}{hint}") from None
    except ValueError:
        raise UserError(f"{where}: {path!r} is not a file name") from None


def _size(where: str, path: str, fd: int) -> int:
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        raise UserError(f"{where}: '{path}' is a directory, not a disk image")
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise UserError(f"{where}: '{path}' is neither a file nor a block device")
    size = os.lseek(fd, 0, os.SEEK_END)
    if size == 0:
        raise UserError(f"{where}: '{path}' is empty; give it the disk's size, as with: truncate -s 2G '{path}'")
    return size
