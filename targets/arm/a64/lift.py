"""What A64 semantics are written with: registers, flags, memory, branches and exceptions on top of the IR builder.

A semantics function gets the builder `b` and the instruction `i`:

    def add_sub_immediate(b, i, *, sub, setflags):
        operand1 = b.XSP(i.Rn, i.datasize)
        imm = i.hole("imm", lambda f: f.imm12 << (12 * f.sh), 0, 0xFFF000)
        ...

`i.Rn` is a register operand, `i.sf` (a shape field) a Python int, `i.imm6` (a hole field) an IR value.  Names are those
of the manual's pseudo-code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Literal

from jit.ir import Builder, IRError, Value
from jit.types import I1, I8, I32, I64, I128, PTR, Type, int_type, vec
from targets.arm import access
from targets.arm.a64.row import Row
from targets.arm.env import ENV

HoleFn = Callable[[Any], int]
Paths = Literal["both", "fast", "slow"]

_EFFECTS = ("stenv", "st", "cmpxchg", "rmw", "fence", "call", "callback")

PAGE = 4096  # blocks never cross a page of this size, whatever the guest's granule


@dataclass(frozen=True, slots=True)
class Reg:
    """Register operand: the field that numbers it, plus a constant (register lists; modulo 32)."""

    field: str
    plus: int = 0

    def __add__(self, n: int) -> Reg:
        return Reg(self.field, self.plus + n)


@dataclass(frozen=True, slots=True)
class Mode:
    """What of the CPU's state blocks depend on besides their bytes.  A block is found by page, offset and mode.

    el: exception level (0 or 1).  fp: FP and SIMD are not trapped by CPACR_EL1.FPEN.  step: software step is active.
    fpx: FPCR has DN, FZ or AHP set, so that FP code takes the general path.
    The order of the fields is the order of bits in `key`; targets/arm/dispatch.py computes the same in IR.
    """

    el: int = 1
    fp: bool = True
    step: bool = False
    fpx: bool = False

    @property
    def key(self) -> int:
        return self.el | self.fp << 1 | self.step << 2 | self.fpx << 3

    @classmethod
    def from_key(cls, key: int) -> Mode:
        return cls(key & 1, bool(key & 2), bool(key & 4), bool(key & 8))


MODES = 16  # number of keys


def mode_for_fpcr(mode: Mode, fpcr: int) -> Mode:
    """`mode` with what FPCR adds: AHP, DN and FZ are bits 26..24."""
    return replace(mode, fpx=bool(fpcr & (7 << 24)))


class Insn:
    """The fields of the instruction being lifted.  Reading a hole field gives its IR value."""

    def __init__(self, b: A64, row: Row, shape: tuple[int, ...], mode: Mode, near: bool) -> None:
        self.row, self.near = row, near
        self._mode, self.mode_used = mode, 0  # the bits of the mode's key that the code depends on
        self._b = b
        self._shape = {p.name: v for p, v in zip(row.shape_parts, shape, strict=True)}
        self._width = {p.name: p.width for p in row.parts}

    @property
    def mode(self) -> Mode:
        """The block's mode.  Asking for it makes the stencil one of this mode only."""
        self.mode_used = MODES - 1
        return self._mode

    @property
    def fpx(self) -> bool:
        """Mode.fpx: the stencil depends on no other part of the mode."""
        self.mode_used |= Mode(0, False, False, True).key
        return self._mode.fpx

    def __getattr__(self, name: str) -> Any:
        if name in self._shape:
            return self._shape[name]
        if name not in self._width:
            raise AttributeError(f"{self.row.name} has no field {name}")
        if name[0] == "R":
            return Reg(name)
        return self.hole(name, lambda f: getattr(f, name), 0, (1 << self._width[name]) - 1)

    def has(self, name: str) -> bool:
        return name in self._width

    @property
    def datasize(self) -> Type:
        """i64 or i32 by sf."""
        return I64 if self._shape["sf"] else I32

    def hole(self, name: str, fn: HoleFn, lo: int, hi: int, type: Type = I64) -> Value:
        """The number fn(fields), which lies in lo..hi; `fn` reads the raw fields as attributes."""
        return self._b.declare(name, fn, lo, hi, type)

    def simm(self, name: str, scale: int = 1) -> Value:
        """Field `name` as a signed number, times `scale`."""
        width = self._width[name]
        half = 1 << (width - 1)
        return self.hole(
            f"{name}*{scale}", lambda f: ((getattr(f, name) ^ half) - half) * scale, -half * scale, half * scale
        )


class A64(Builder):
    """Builder of one A64 instruction's stencil.  `holes` tells how each hole's value follows from the word.

    paths: "fast" where what is rare leaves for SLOW, "slow" for the code that is there, "both" for one with both.
    """

    def __init__(self, row: Row, shape: tuple[int, ...], mode: Mode, near: bool = True, paths: Paths = "both") -> None:
        super().__init__(row.name, kind="stencil")
        self.holes: dict[str, HoleFn] = {}
        self.i = Insn(self, row, shape, mode, near)
        self.row = row
        self.paths: Paths = paths
        self.outlined = False

    def declare(self, name: str, fn: HoleFn, lo: int, hi: int, type: Type = I64) -> Value:
        self.holes[name] = fn
        return self.hole(name, lo, hi, type)

    # -- general registers ------------------------------------------------------------------------------------------
    def _slot(self, r: Reg, role: str, base: int, step: int, r31: int) -> Value:
        name = f"{r.field}{f'+{r.plus}' if r.plus else ''}.{role}"
        field, plus = r.field, r.plus

        def offset(f: Any) -> int:
            n = (getattr(f, field) + plus) % 32
            return base + step * (r31 if n == 31 else n)

        return self.declare(name, offset, base, base + step * max(r31, 31))

    def X(self, r: Reg, type: Type = I64) -> Value:
        """General register read; 31 is the zero register.  i32 reads W, i8 and i16 the low bits."""
        return self.ldenv(self._slot(r, "x", ENV.x, 8, 32), type)

    def XSP(self, r: Reg, type: Type = I64) -> Value:
        """General register read; 31 is the stack pointer."""
        return self.ldenv(self._slot(r, "sp", ENV.x, 8, 31), type)

    def set_X(self, r: Reg, value: Value) -> None:
        """General register write, zero-extended to 64 bits; 31 is discarded."""
        self.stenv(self._slot(r, "w", ENV.x, 8, 33), value.zext(I64))

    def set_XSP(self, r: Reg, value: Value) -> None:
        self.stenv(self._slot(r, "sp", ENV.x, 8, 31), value.zext(I64))

    # -- vector registers -------------------------------------------------------------------------------------------
    def V(self, r: Reg, type: Type = I128) -> Value:
        """Low bits of a vector register as `type` (a vector, float or integer type of up to 128 bits)."""
        return self.ldenv(self._slot(r, "v", ENV.v, 16, 31), type)

    def set_V(self, r: Reg, value: Value) -> None:
        """Vector register write; the bits above the value become zero."""
        size = value.type.size
        wide = value if size == 128 else self._widen(value)
        self.stenv(self._slot(r, "v", ENV.v, 16, 31), wide)

    def _widen(self, value: Value) -> Value:
        n = value.type.size
        if n > 64 or 64 % n:
            return value.bitcast(int_type(n)).zext(I128)
        lane = int_type(n)
        zero = self.const(0, vec(128 // n, lane))
        return zero.with_lane(0, value.bitcast(lane))

    def Velem(self, r: Reg, name: str, index: HoleFn, type: Type) -> Value:
        """Element index(fields) of a vector register: its offset is one hole, called `name`."""
        return self.ldenv(self._element(r, name, index, type), type)

    def set_Velem(self, r: Reg, name: str, index: HoleFn, value: Value) -> None:
        """Replace one element, leave the others."""
        self.stenv(self._element(r, name, index, value.type), value)

    def _element(self, r: Reg, name: str, index: HoleFn, type: Type) -> Value:
        field, plus, size = r.field, r.plus, type.bytes

        def offset(f: Any) -> int:
            return ENV.v + 16 * ((getattr(f, field) + plus) % 32) + size * index(f)

        return self.declare(name, offset, ENV.v, ENV.v + 16 * 32 - size)

    # -- flags --------------------------------------------------------------------------------------------------------
    def flag(self, name: str) -> Value:
        """Condition flag n, z, c or v as i1."""
        return self.ldenv(ENV[f"{name}f"].offset, I1)

    def set_nzcv(self, n: Value, z: Value, c: Value, v: Value) -> None:
        for name, value in zip("nzcv", (n, z, c, v), strict=True):
            self.stenv(ENV[f"{name}f"].offset, value.zext(I8))

    def set_nz(self, result: Value) -> None:
        """N and Z of a result, C and V cleared: what logical instructions do."""
        no = self.const(0, I1)
        self.set_nzcv(result.slt(0), result.eq(0), no, no)

    def condition_holds(self, cond: int) -> Value:
        """ConditionHolds(cond), manual J1.3.3 (shared/functions/system)."""
        base = cond >> 1
        if base == 7:
            return self.const(1, I1)
        if base == 4:
            c = self.flag("c") & ~self.flag("z")
        elif base == 5:
            c = self.flag("n").eq(self.flag("v"))
        elif base == 6:
            c = self.flag("n").eq(self.flag("v")) & ~self.flag("z")
        else:
            c = self.flag("zcnv"[base])
        return ~c if cond & 1 else c

    # -- program counter, branches, exceptions ------------------------------------------------------------------------
    def pc_offset(self, type: Type = I64) -> Value:
        """This instruction's offset in its page."""
        return self.hole("PC", 0, PAGE - 4, type)

    def pc(self) -> Value:
        """This instruction's virtual address."""
        return self.ldenv(ENV.pc_base, I64) + self.pc_offset()

    def jump(self, offset: Value) -> None:
        """Branch to pc + offset and end the block.  `offset` is a hole; in the page the code goes there directly."""
        if self.i.near:
            self.goto("TAKEN")
        else:
            self.jump_register(self.pc() + offset)

    def jump_if(self, cond: Value, offset: Value) -> None:
        """Branch where `cond` holds, else go on behind."""
        if self.i.near:
            self.branch(cond, "TAKEN")
            return

        def far() -> None:
            self.stenv(ENV.pc, self.pc() + offset)
            self.leave("lookup")

        self.when(cond, far)
        self.next()

    def jump_register(self, target: Value) -> None:
        """Branch to a virtual address and end the block."""
        self.stenv(ENV.pc, target)
        self.goto("lookup")

    def end(self, name: str) -> None:
        """Leave for a continuation: the terminal, or out of a conditional body."""
        if self.body is self.function.body:
            self.goto(name)
        else:
            self.leave(name)

    def sync(self) -> None:
        """End the block and go on behind it: what follows may be translated differently from now on."""
        self.stenv(ENV.pc, self.pc() + 4)
        self.goto("lookup")

    def raise_exception(self, syndrome: int | Value, return_offset: int = 0) -> None:
        """Take a synchronous exception with this ESR; the return address is this instruction's plus `return_offset`."""
        self.stenv(ENV.pc, self.pc() + return_offset)
        self.stenv(ENV.fault_esr, self.coerce(syndrome, I64))
        self.end("take_exception")

    def undefined(self) -> None:
        """UNDEFINED: exception class 0, with IL set."""
        self.raise_exception(1 << 25)

    def either(self, probe: Callable[[], tuple[Value, Callable[[], Any]]], slow: Callable[[], Any]) -> Any:
        """probe() gives (likely condition, what to do where it holds); where it doesn't hold, `slow`.

        In the fast path the instruction starts over in its slow one: nothing may have been changed so far.
        """
        if self.paths == "slow":
            return slow()
        likely, fast = probe()
        if self.paths == "both":
            return self.cond(likely, fast, slow, likely=True)
        done = [v.op for v in (*self.function.body, *self.body) if v.op in _EFFECTS]
        if done:
            raise IRError(f"{self.row.name}: {done} before a slow path that starts over")
        self.outlined = True
        return self.cond(likely, fast, lambda: self.leave("SLOW"), likely=True)

    # -- memory -------------------------------------------------------------------------------------------------------
    def load(self, va: Value, type: Type, *, unpriv: bool = False, order: str = "plain", align: int = 1) -> Value:
        """Mem[va] as `type`.  align: bytes that va must be a multiple of, else it faults whatever SCTLR says."""
        return access.load(self, va, type, unpriv=unpriv, order=order, align=align)

    def store(self, va: Value, value: Value, *, unpriv: bool = False, order: str = "plain", align: int = 1) -> None:
        """Mem[va] = value."""
        access.store(self, va, value, unpriv=unpriv, order=order, align=align)

    def host_pointer(self, va: Value, size: int) -> Value:
        """Host address of `size` bytes at va to read, modify and write; va must be aligned to size, else it faults."""
        return access.host_pointer(self, va, size, read_too=True)

    def wrote(self, host: Value, size: int) -> None:
        """Behind a write to what host_pointer gave: on its slow path there may be code that the write changed."""
        if self.paths != "fast":
            self.call("note_write", host, self.const(size))


def lift(row: Row, shape: tuple[int, ...], mode: Mode, near: bool = True) -> A64:
    """Build the stencil of one shape of a row, and its slow path where it has one."""
    b = _lift(row, shape, mode, near, "fast")
    if b.outlined:
        slow = _lift(row, shape, mode, near, "slow")
        b.function.slow = slow.function
        b.holes |= slow.holes
        b.i.mode_used |= slow.i.mode_used
    return b


def _lift(row: Row, shape: tuple[int, ...], mode: Mode, near: bool, paths: Paths) -> A64:
    b = A64(row, shape, mode, near, paths)
    row.lift(b, b.i, **row.bound)
    if not b.finished:
        b.next()
    return b


def hole_values(holes: Mapping[str, HoleFn], fields: Mapping[str, int]) -> dict[str, int]:
    """The values of a lifted shape's holes for one word."""
    f = SimpleNamespace(**fields)
    return {name: fn(f) for name, fn in holes.items()}


__all__ = ["A64", "Insn", "Mode", "Reg", "hole_values", "lift", "IRError", "PTR"]
