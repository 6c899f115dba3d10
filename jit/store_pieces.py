"""Compiled pieces in the store: as JSON, and checked when they are read."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any, Protocol, runtime_checkable

from jit.piece import Fixup, Piece, writer
from jit.store import Store, key_of


@runtime_checkable
class Named(Protocol):
    """Part of a shape's key that is the same in every run by its identity."""

    @property
    def identity(self) -> str: ...


def key_text(key: Hashable) -> str:
    """A shape's key as text that is equal in every run; TypeError where it has parts that only this run knows."""
    if isinstance(key, tuple):
        return f"({','.join(map(key_text, key))})"
    if key is None or isinstance(key, int | str):
        return repr(key)
    if isinstance(key, Named):
        return repr(key.identity)
    raise TypeError(f"{key!r} has no name that lasts")


class PieceStore:
    """Pieces by names that last."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str) -> dict[str, Piece] | None:
        payload = self._store.get(_key(name))
        return decode(payload) if payload is not None else None

    def put(self, name: str, pieces: Mapping[str, Piece]) -> None:
        self._store.put(_key(name), encode(pieces))


def _key(name: str) -> bytes:
    return key_of(b"pieces", name.encode())


def encode(pieces: Mapping[str, Piece]) -> bytes:
    return json.dumps([_row(piece) for piece in pieces.values()], separators=(",", ":")).encode()


def decode(payload: bytes) -> dict[str, Piece] | None:
    """The pieces, in the same order; None where it is anything else."""
    try:
        return {piece.name: piece for piece in map(_piece, json.loads(payload))}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _row(piece: Piece) -> list[Any]:
    fixups = [[f.offset, f.fmt, f.name, f.addend, f.relative, f.data.hex()] for f in piece.fixups]
    return [piece.name, piece.code.hex(), fixups, piece.falls_through, _row(piece.slow) if piece.slow else None]


def _piece(row: Any) -> Piece:
    name, text, rows, falls_through, slow = row
    code = bytes.fromhex(text)
    fixups = tuple(Fixup(o, fmt, n, a, bool(r), bytes.fromhex(data)) for o, fmt, n, a, r, data in rows)
    for f in fixups:
        if not 0 <= f.offset < len(code) or not isinstance(f.addend, int):
            raise ValueError("a fix-up outside the code")
        writer(f.fmt)
    return Piece(str(name), code, fixups, bool(falls_through), _piece(slow) if slow else None)
