"""A CPU state, RAM and page tables for tests of the MMU's runtime functions, on both engines."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from jit.codecache import CodeCache
from jit.evaluate import Evaluator
from jit.ir import Function
from jit.piece import fill
from jit.stencil import compile_functions
from targets.arm import code_pages, gic, gicv2, mmu, timers
from targets.arm.access import WRITE
from targets.arm.env import CALLBACK_AT, ENV

RAM_BASE, RAM_SIZE = 0x4000_0000, 0x0040_0000
ROM, MMIO_DEVICE, NOTHING = 0x0000_1000, 0x0900_0000, 0x0A00_0000
PAGE = 4096
MASK64 = (1 << 64) - 1
ENGINES = ("reference", "native")

# Descriptor bits
VALID, TABLE, LEAF = 1, 3, 3
AF, NG, EL0, RO = 1 << 10, 1 << 11, 1 << 6, 1 << 7
PXN, UXN, CONT = 1 << 53, 1 << 54, 1 << 52
PXN_TABLE, UXN_TABLE, NO_EL0_TABLE, RO_TABLE = 1 << 59, 1 << 60, 1 << 61, 1 << 62
NORMAL, NON_CACHEABLE, DEVICE, GRE = 0 << 2, 1 << 2, 2 << 2, 3 << 2
MAIR = 0x0C00_44FF
TCR_48 = 16 | 16 << 16 | 2 << 30  # 4 KiB granule, 48 bits in both halves, 32-bit addresses


@lru_cache(maxsize=1)
def runtime() -> dict[str, Function]:
    rooms = (code_pages, mmu, gic, gicv2, timers)  # the last ones for a GICv2's registers, which are not there
    return {f.name: f for room in rooms for f in room.functions()}


class Native:
    """The runtime functions as host code."""

    def __init__(self) -> None:
        self.cache = CodeCache(1 << 20)
        self.at: dict[str, int] = {}
        self.functions: dict[str, Any] = {}
        self.add(runtime().values())

    def add(self, functions: Iterable[Function]) -> None:
        at = self.at
        pieces = compile_functions(functions, {})
        at.update((name, self.cache.base + self.cache.reserve(len(p.code))) for name, p in pieces.items())
        for name, piece in pieces.items():
            code = bytearray(piece.code)
            for fx in piece.fixups:
                fill(code, fx, self._constant(fx.data) if fx.data else at[fx.name], at[name])
            self._write(at[name], bytes(code))

    def _write(self, address: int, data: bytes) -> None:
        start = address - self.cache.base
        self.cache.write[start : start + len(data)] = data

    def _constant(self, data: bytes) -> int:
        address = self.cache.base + self.cache.reserve(len(data), 64)
        self._write(address, data)
        return address

    def call(self, env: int, name: str, args: tuple[int, ...]) -> int:
        fn = self.functions.get(name)
        if fn is None:
            types = [ctypes.c_uint64] * (len(args) + 1)
            fn = self.functions[name] = ctypes.CFUNCTYPE(ctypes.c_uint64, *types)(self.at[name])
        return fn(env, *args)


@lru_cache(maxsize=1)
def native() -> Native:
    return Native()


class Memory:
    """Zeroed host memory at a fixed address."""

    def __init__(self, size: int) -> None:
        self.map = mmap.mmap(-1, size)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.map))


_SIGNATURES = {
    "mmio_read": (ctypes.c_uint64, 3), "mmio_write": (None, 4),
    "resolve": (ctypes.c_uint64, 1), "code_write": (None, 2), "clock_gettime": (ctypes.c_uint64, 2),
}  # fmt: skip


class Rig:
    """One CPU's state with the MMU off, 4 MiB of RAM, a ROM page, a device page and a page where nothing answers.

    log: what the callbacks were asked for.  Names of state fields are attributes.
    """

    def __init__(self, engine: str, pa_bits: int = 44, granules: tuple[int, ...] = (12, 14, 16)) -> None:
        self.engine = engine
        self.log: list[tuple[Any, ...]] = []
        self.one = self.tenth = 1.0
        memory = self.memory = {
            name: Memory(size)
            for name, size in (
                ("env", ENV.size), ("ram", RAM_SIZE), ("flags", RAM_SIZE // PAGE), ("slots", mmu.SLOTS_BYTES),
                ("empty", PAGE), ("rom", PAGE), ("dir0", RAM_SIZE // PAGE * 8), ("dir1", RAM_SIZE // PAGE * 8),
            )
        }  # fmt: skip
        self.__dict__["env"] = memory["env"].at
        callbacks: dict[str, Callable[..., Any]] = {
            "mmio_read": self._mmio_read, "mmio_write": self._mmio_write, "resolve": self._resolve,
            "code_write": lambda pa, size: self.log.append(("code_write", pa, size)),
            "clock_gettime": lambda clock, where: 0,
        }  # fmt: skip
        self.evaluator = Evaluator(self.env, runtime(), callbacks)
        self._keep = []
        for name, (result, count) in _SIGNATURES.items():
            fn = ctypes.CFUNCTYPE(result, *[ctypes.c_uint64] * count)(callbacks[name])
            self._keep.append(fn)
            self._set(CALLBACK_AT[name], ctypes.cast(fn, ctypes.c_void_p).value or 0, 8)
        mmu.init_env(self.env, pa_bits, granules)
        self.ram_base, self.ram_size, self.ram_host = RAM_BASE, RAM_SIZE, memory["ram"].at
        self.ram_flags, self.slots, self.empty_table = memory["flags"].at, memory["slots"].at, memory["empty"].at
        for el in (0, 1):
            self._set(ENV["page_dir"].at(el), memory[f"dir{el}"].at, 8)
        self.el, self.spsel = 1, 1
        self.next_table = RAM_BASE + RAM_SIZE
        self.call("set_regime")

    # -- state --------------------------------------------------------------------------------
    def _set(self, offset: int, value: int, size: int) -> None:
        ctypes.memmove(self.env + offset, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"), size)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ENV.fields:
            self._set(ENV[name].offset, int(value), ENV[name].type.bytes)
        else:
            self.__dict__[name] = value

    def __getattr__(self, name: str) -> int:
        if name not in ENV.fields:
            raise AttributeError(name)
        return self.get(name)

    def get(self, name: str, index: int = 0) -> int:
        field = ENV[name]
        return int.from_bytes(ctypes.string_at(self.env + field.at(index), field.type.bytes), "little")

    def call(self, name: str, *args: int) -> int:
        args = tuple(a & MASK64 for a in args)
        if self.engine == "native":
            return native().call(self.env, name, args)
        return self.evaluator.call(name, *args)

    def add(self, function: Function) -> None:
        """One more function to call, which may call the runtime's."""
        if self.engine == "native":
            native().add([function])
        else:
            self.evaluator.functions = {**self.evaluator.functions, function.name: function}

    # -- callbacks --------------------------------------------------------------------------------
    def _mmio_read(self, env: int, pa: int, size: int) -> int:
        self.log.append(("read", pa, size))
        self.tenth = self.one / 10.0  # in the rounding mode of this moment; inexact
        self.evaluator.fp.flags |= 16
        if pa & -PAGE != MMIO_DEVICE:
            self.bus_fault = 1
        return int.from_bytes(bytes((pa + k) & 0xFF for k in range(size)), "little")

    def _mmio_write(self, env: int, pa: int, size: int, value: int) -> None:
        self.log.append(("write", pa, size, value))
        if pa & -PAGE not in (MMIO_DEVICE, ROM):
            self.bus_fault = 1

    def _resolve(self, pa: int) -> int:
        self.log.append(("resolve", pa))
        return self.memory["rom"].at if pa & -PAGE == ROM else 0

    # -- memory and tables --------------------------------------------------------------------------------
    def poke(self, pa: int, value: int, size: int = 8) -> None:
        offset = pa - RAM_BASE
        self.memory["ram"].map[offset : offset + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def peek(self, pa: int, size: int = 8) -> int:
        offset = pa - RAM_BASE
        return int.from_bytes(self.memory["ram"].map[offset : offset + size], "little")

    def new_table(self, size: int = PAGE) -> int:
        """A zeroed table, from the top of RAM downwards."""
        self.next_table = (self.next_table - size) & -size
        return self.next_table

    def mmu_on(self, tcr: int = TCR_48, granule: int = 12) -> None:
        """Empty tables in both halves."""
        self.granule, self.tcr_el1, self.mair_el1 = granule, tcr, MAIR
        self.ttbr0_el1, self.ttbr1_el1 = self.new_table(1 << granule), self.new_table(1 << granule)
        self.sctlr_el1 = self.sctlr_el1 | 1
        self.call("regime_changed")

    def entry(self, va: int, level: int, bits: int | None = None) -> int:
        """Address of the descriptor for va at a level; tables on the way are made."""
        va &= MASK64
        high = va >> 55 & 1
        stride = self.granule - 3
        bits = bits or 64 - (self.tcr_el1 >> (16 * high) & 63)
        shift = self.granule + stride * ((bits - self.granule - 1) // stride)
        table = (self.ttbr1_el1 if high else self.ttbr0_el1) & 0x0000_FFFF_FFFF_FFFE
        now = 3 - (shift - self.granule) // stride
        index = (va >> shift) & ((1 << bits - shift) - 1)
        while now < level:
            at = table + index * 8
            if not self.peek(at) & 1:
                self.poke(at, self.new_table(1 << self.granule) | TABLE)
            table = self.peek(at) & 0x0000_FFFF_FFFF_FFFF & -(1 << self.granule)
            shift, now = shift - stride, now + 1
            index = (va >> shift) & ((1 << stride) - 1)
        return table + index * 8

    def map(self, va: int, descriptor: int, level: int = 3) -> int:
        """Put a descriptor at a level; gives its address."""
        at = self.entry(va, level)
        self.poke(at, descriptor)
        return at

    # -- accesses --------------------------------------------------------------------------------
    def load(self, va: int, size: int = 8, flags: int = 0) -> int | str:
        """The value, or the fault as text."""
        if self.call("slow_load", va, size | flags):
            return self.fault()
        return self.scratch & ((1 << 8 * size) - 1)

    def store(self, va: int, value: int, size: int = 8, flags: int = 0) -> str | None:
        self.scratch = value
        return self.fault() if self.call("slow_store", va, size | flags | WRITE) else None

    def fetch(self, pc: int) -> str | None:
        return self.fault() if self.call("fetch_fill", pc) else None

    def fault(self) -> str:
        return f"{self.fault_esr:x} {self.fault_va:x}"

    # -- what is in the TLBs --------------------------------------------------------------------------------
    def cached(self, va: int, write: bool = False, table: str = "tlb") -> bool:
        """Whether the inline probe would hit."""
        entry = getattr(self, table) + ((va >> 12 & 1023) << 5)
        return self._word(entry + 8 * write) == va & MASK64 & -PAGE

    def fetched(self, va: int) -> bool:
        return self._word(self.xtlb + ((va >> 12 & 255) << 5)) == va & MASK64 & -PAGE

    def _word(self, address: int) -> int:
        return int.from_bytes(ctypes.string_at(address, 8), "little")
