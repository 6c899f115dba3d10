"""Runs IR functions as native code: compiled, taken apart and placed as the engines do it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jit.codecache import CodeCache
from jit.host import host_module
from jit.ir import Function
from jit.piece import Piece, fill
from jit.stencil import compile_functions


class Native:
    """Functions placed in a code cache of their own.  machine: as for jit.stencil; named ones use the least CPU."""

    def __init__(
        self, functions: Iterable[Function], machine: str | None = None, holes: Mapping[str, int] | None = None
    ) -> None:
        self.cache = CodeCache(16 << 20)
        self.pieces = compile_functions(functions, {}, machine, ())  # no passes: LLVM shall see every op
        self.jump = host_module().jump
        room = len(self.jump(0))
        self.at = {name: self.cache.reserve(len(p.code) + room) for name, p in self.pieces.items()}
        self.constants: dict[bytes, int] = {}
        for name, piece in self.pieces.items():
            self._place(self.at[name], piece, holes or {})

    def _place(self, at: int, piece: Piece, holes: Mapping[str, int]) -> None:
        code, place = bytearray(piece.code), self.cache.base + at
        for fx in piece.fixups:
            if fx.data:
                value = self._constant(fx.data)
            elif fx.name in self.at:
                value = self.cache.base + self.at[fx.name]
            else:
                value = holes[fx.name]
            fill(code, fx, value, place)
        if piece.falls_through:  # nothing stands behind it here: jump to where NEXT is
            code += self.jump(self.at["NEXT"] - (at + len(code)))
        self.cache.write[at : at + len(code)] = bytes(code)

    def _constant(self, data: bytes) -> int:
        if data not in self.constants:
            at = self.cache.reserve(len(data), 64)
            self.cache.write[at : at + len(data)] = data
            self.constants[data] = self.cache.base + at
        return self.constants[data]

    def function(self, name: str, *types: Any, ret: Any = None) -> Callable[..., Any]:
        """The function as a C function of the CPU state's address and further arguments."""
        make = ctypes.CFUNCTYPE(ret, ctypes.c_void_p, *types)
        call = make(self.cache.base + self.at[name])
        call.owner = self  # the code lives as long as its caller
        return call


class Memory:
    """Some bytes of host memory with a known, aligned address."""

    def __init__(self, size: int = 4096) -> None:
        self._raw = (ctypes.c_uint8 * (size + 64))()
        self.address = (ctypes.addressof(self._raw) + 63) & -64

    def write(self, offset: int, data: bytes) -> None:
        ctypes.memmove(self.address + offset, data, len(data))

    def read(self, offset: int, size: int) -> bytes:
        return ctypes.string_at(self.address + offset, size)
