"""Reading the user's files and unpacking them, within limits."""

import bz2
import importlib
import lzma
import os
import stat
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from xemu.errors import UserError

# The board's largest RAM is 8 GiB: nothing longer can be put there.
MAX_FILE_SIZE = 8 << 30
# A distribution's Image unpacks to 30-70 MiB and an allyesconfig one stays below this; more is a decompression bomb.
MAX_UNPACKED_SIZE = 512 << 20
_CHUNK = 1 << 20


def read_file(what: str, path: str) -> bytes:
    """The whole file; `what` ("kernel", "initrd", ...) starts the error line."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{what} '{path}': is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{what} '{path}': is not a regular file; copy its contents to one")
        if status.st_size > MAX_FILE_SIZE:
            raise UserError(f"{what} '{path}': {status.st_size >> 20} MiB is more than the largest machine's RAM")
        with open(path, "rb") as file:
            data = file.read()  # with a limit, Python would set that much memory aside
    except OSError as error:
        raise UserError(f"{what} '{path}': can't read it: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{what} {path!r}: not a file name") from None
    if not data:
        raise UserError(f"{what} '{path}': the file is empty")
    return data


class _Unpacker(Protocol):
    """What bz2 and lzma offer."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """zlib's decompressor with the interface bz2 and lzma have."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail or data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail


def _zstd() -> Any:
    try:
        zstandard: Any = importlib.import_module("zstandard")  # optional: its types may not be there to check
    except ImportError:
        raise UserError("zstd needs the Python package 'zstandard': pip install zstandard") from None
    return zstandard.ZstdDecompressor().decompressobj()


def _unpack_zstd(data: bytes, limit: int) -> bytes | None:
    """zstandard has no output limit per call, so feed it slices small enough that one can't exceed it by much."""
    unpacker = _zstd()
    out = bytearray()
    for start in range(0, len(data), 1 << 16):
        out += unpacker.decompress(data[start : start + (1 << 16)])
        if len(out) > limit:
            return None
        if unpacker.eof:
            return bytes(out)
    raise EOFError


def _unpack_stream(make: Callable[[], _Unpacker], data: bytes, limit: int) -> bytes | None:
    unpacker = make()
    out = bytearray()
    chunk = data
    while not unpacker.eof:
        piece = unpacker.decompress(chunk, _CHUNK)
        chunk = b""
        if not piece and unpacker.needs_input and not unpacker.eof:
            raise EOFError
        out += piece
        if len(out) > limit:
            return None
    return bytes(out)


_UNPACKERS: dict[str, Callable[[bytes, int], bytes | None]] = {
    "gzip": lambda data, limit: _unpack_stream(_Zlib, data, limit),
    "bzip2": lambda data, limit: _unpack_stream(bz2.BZ2Decompressor, data, limit),
    "xz": lambda data, limit: _unpack_stream(lzma.LZMADecompressor, data, limit),
    "lzma": lambda data, limit: _unpack_stream(lzma.LZMADecompressor, data, limit),
    "zstd": _unpack_zstd,
}
METHODS = tuple(_UNPACKERS)


def unpack(where: str, method: str, data: bytes, limit: int = MAX_UNPACKED_SIZE) -> bytes:
    """Decompress one stream; what follows it is ignored, as boot loaders do."""
    try:
        result = _UNPACKERS[method](data, limit)
    except EOFError:
        raise UserError(f"{where}: truncated: its {method} data ends too early") from None
    except (zlib.error, lzma.LZMAError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{where}: damaged {method} data ({error})") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except Exception as error:  # zstandard's own error class, known only where it is installed
        if type(error).__module__.split(".")[0] != "zstandard":
            raise
        raise UserError(f"{where}: damaged zstd data ({error})") from None
    if result is None:
        raise UserError(f"{where}: unpacks to more than {limit >> 20} MiB, which no kernel does")
    return result
