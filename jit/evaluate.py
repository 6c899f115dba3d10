"""The reference evaluator: walks IR in Python.  The definition of what every op does.

Values are plain Python data: scalars are unsigned ints (floats as their bit patterns), vectors tuples of such.
Memory ops work on real host addresses, so the same CPU state and guest RAM serve this engine and native code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jit import evaluate_crypto
from jit.ir import Body, Function, Value
from jit.softfloat import FloatState
from jit.types import Type

Data = Any  # int, or a tuple of ints


class _Leave(Exception):
    """A leave op was reached: unwinds to the function."""

    def __init__(self, name: str) -> None:
        self.name = name


class Outcome:
    """How a stencil ended: kind is "next", "goto" (name) or "goto_ptr" (value); for functions "ret" (value)."""

    __slots__ = ("kind", "name", "value")

    def __init__(self, kind: str, name: str = "", value: Data = 0) -> None:
        self.kind, self.name, self.value = kind, name, value


def signed(value: int, bits: int) -> int:
    """The two's complement reading of an unsigned number of `bits` bits."""
    return value - (1 << bits) if value >> (bits - 1) else value


def pack(value: Data, t: Type) -> int:
    """A value as one number, lane 0 lowest."""
    if not t.lanes:
        return value
    out = 0
    for k, lane in enumerate(value):
        out |= lane << (k * t.bits)
    return out


def unpack(number: int, t: Type) -> Data:
    if not t.lanes:
        return number & t.mask
    return tuple((number >> (k * t.bits)) & t.mask for k in range(t.lanes))


def read_host(address: int, size: int) -> int:
    return int.from_bytes(ctypes.string_at(address, size), "little")


def write_host(address: int, value: int, size: int) -> None:
    ctypes.memmove(address, value.to_bytes(size, "little"), size)


def _sdiv(a: int, b: int, n: int) -> int:
    x, y = signed(a, n), signed(b, n)
    if y == 0:
        return 0
    q = abs(x) // abs(y)
    return q if (x < 0) == (y < 0) else -q


def _saturate(value: int, lo: int, hi: int) -> int:
    return lo if value < lo else hi if value > hi else value


def _bswap(a: int, n: int) -> int:
    return int.from_bytes(a.to_bytes(n // 8, "little"), "big")


# (a, b, bits) -> number, reduced to the lane width afterwards
_INT2: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, n: a + b,
    "sub": lambda a, b, n: a - b,
    "mul": lambda a, b, n: a * b,
    "umulh": lambda a, b, n: (a * b) >> n,
    "smulh": lambda a, b, n: (signed(a, n) * signed(b, n)) >> n,
    "udiv": lambda a, b, n: a // b if b else 0,
    "sdiv": _sdiv,
    "and": lambda a, b, n: a & b,
    "or": lambda a, b, n: a | b,
    "xor": lambda a, b, n: a ^ b,
    "shl": lambda a, b, n: a << b if b < n else 0,
    "lshr": lambda a, b, n: a >> b if b < n else 0,
    "ashr": lambda a, b, n: signed(a, n) >> min(b, n - 1),
    "rotr": lambda a, b, n: (a >> (b % n)) | (a << (n - b % n)),
    "umin": lambda a, b, n: min(a, b),
    "umax": lambda a, b, n: max(a, b),
    "smin": lambda a, b, n: min(signed(a, n), signed(b, n)),
    "smax": lambda a, b, n: max(signed(a, n), signed(b, n)),
    "uaddsat": lambda a, b, n: min(a + b, (1 << n) - 1),
    "usubsat": lambda a, b, n: max(a - b, 0),
    "saddsat": lambda a, b, n: _saturate(signed(a, n) + signed(b, n), -(1 << (n - 1)), (1 << (n - 1)) - 1),
    "ssubsat": lambda a, b, n: _saturate(signed(a, n) - signed(b, n), -(1 << (n - 1)), (1 << (n - 1)) - 1),
}
_COMPARE: dict[str, Callable[[int, int, int], bool]] = {
    "uaddo": lambda a, b, n: a + b >= 1 << n,
    "saddo": lambda a, b, n: not -(1 << (n - 1)) <= signed(a, n) + signed(b, n) < 1 << (n - 1),
    "ssubo": lambda a, b, n: not -(1 << (n - 1)) <= signed(a, n) - signed(b, n) < 1 << (n - 1),
    "eq": lambda a, b, n: a == b,
    "ne": lambda a, b, n: a != b,
    "ult": lambda a, b, n: a < b,
    "ule": lambda a, b, n: a <= b,
    "slt": lambda a, b, n: signed(a, n) < signed(b, n),
    "sle": lambda a, b, n: signed(a, n) <= signed(b, n),
}
_INT1: dict[str, Callable[[int, int], int]] = {
    "clz": lambda a, n: n - a.bit_length(),
    "ctz": lambda a, n: (a & -a).bit_length() - 1 if a else n,
    "popcnt": lambda a, n: a.bit_count(),
    "bitrev": lambda a, n: int(f"{a:0{n}b}"[::-1], 2),
    "bswap": _bswap,
}
_CONVERT: dict[str, Callable[[int, int], int]] = {
    "zext": lambda a, n: a,
    "sext": signed,
    "trunc": lambda a, n: a,
}
_RMW: dict[str, Callable[[int, int, int], int]] = {
    "xchg": lambda a, b, n: b,
    **{k: _INT2[k] for k in ("add", "and", "or", "xor", "smax", "smin", "umax", "umin")},
}


class Evaluator:
    """Runs IR functions on a CPU state.

    env: host address of the state.  holes: values of the holes by name.  functions: runtime functions by name.
    callbacks: Python functions behind `callback` ops by name.  fp: rounding mode and sticky flags.
    """

    def __init__(
        self,
        env: int,
        functions: Mapping[str, Function] | None = None,
        callbacks: Mapping[str, Callable[..., int | None]] | None = None,
        fp: FloatState | None = None,
    ) -> None:
        self.env = env
        self.functions = functions or {}
        self.callbacks = callbacks or {}
        self.fp = fp or FloatState()

    def run(self, f: Function, holes: Mapping[str, int] | None = None, args: Sequence[Data] = ()) -> Outcome:
        frame = _Frame(self, holes or {}, args)
        try:
            return frame.body(f.body) or Outcome("ret")
        except _Leave as e:
            if e.name == "SLOW" and f.slow:
                return self.run(f.slow, holes)
            return Outcome("goto", e.name)

    def call(self, name: str, *args: Data) -> Data:
        """Call runtime function `name`; gives what it returns."""
        return self.run(self.functions[name], args=args).value


class _Frame:
    """One activation: the values of its ops so far."""

    def __init__(self, machine: Evaluator, holes: Mapping[str, int], args: Sequence[Data]) -> None:
        self.m, self.holes, self.args = machine, holes, args
        self.values: dict[Value, Data] = {}
        self.results: dict[Value, list[Data]] = {}
        self.carried: list[list[Data]] = []

    def body(self, body: Body) -> Outcome | None:
        values = self.values
        for v in body:
            out = _STEP[v.op](self, v, *(values[a] if a.op not in ("if", "loop") else 0 for a in v.args))
            if isinstance(out, Outcome):
                return out
            values[v] = out
        return None


def _lanes(v: Value, args: Sequence[Data], fn: Callable[..., int]) -> Data:
    """Apply `fn` to scalars, or lane by lane."""
    mask = v.type.mask
    if not v.type.lanes:
        return fn(*args) & mask
    return tuple(fn(*lane) & mask for lane in zip(*args, strict=True))


def _int2(f: _Frame, v: Value, a: Data, b: Data) -> Data:
    op, n = _INT2[v.op], v.type.bits
    return _lanes(v, (a, b), lambda x, y: op(x, y, n))


def _compare(f: _Frame, v: Value, a: Data, b: Data) -> Data:
    op, n = _COMPARE[v.op], v.args[0].type.bits
    return _lanes(v, (a, b), lambda x, y: op(x, y, n))


def _int1(f: _Frame, v: Value, a: Data) -> Data:
    op, n = _INT1[v.op], v.type.bits
    return _lanes(v, (a,), lambda x: op(x, n))


def _convert(f: _Frame, v: Value, a: Data) -> Data:
    op, n = _CONVERT[v.op], v.args[0].type.bits
    return _lanes(v, (a,), lambda x: op(x, n))


def _hole(f: _Frame, v: Value) -> Data:
    value = f.holes[v.attrs["name"]]
    if not v.attrs["lo"] <= value <= v.attrs["hi"]:
        raise ValueError(f"hole {v.attrs['name']} is {value}, outside {v.attrs['lo']}..{v.attrs['hi']}")
    return value & v.type.mask


def _select(f: _Frame, v: Value, c: Data, a: Data, b: Data) -> Data:
    if isinstance(c, tuple):
        return tuple(x if k else y for k, x, y in zip(c, a, b, strict=True))  # type: ignore[arg-type]
    return a if c else b


def _insert(f: _Frame, v: Value, vector: Data, value: int, index: int) -> Data:
    out = list(vector)
    out[index % len(out)] = value
    return tuple(out)


def _table(f: _Frame, v: Value, values: Data, index: Data) -> Data:
    return tuple(values[i] if i < 16 else 0 for i in index)


def _fp_op(f: _Frame, v: Value, *args: Data) -> Data:
    t = v.args[0].type
    fn = getattr(f.m.fp, v.op)
    if v.op in ("fext", "ftrunc", "itof", "utof", "ftoi"):
        return _lanes(v, args, lambda x: fn(x, t.bits, v.type.bits))
    if v.attrs:  # fcmp, fround
        return _lanes(v, args, lambda *xs: fn(*xs, t.bits, **v.attrs))
    return _lanes(v, args, lambda *xs: fn(*xs, t.bits))


def _fp_flags(f: _Frame, v: Value) -> int:
    return f.m.fp.flags


def _fp_set_flags(f: _Frame, v: Value, value: int) -> None:
    f.m.fp.flags = value & 31


def _fp_round(f: _Frame, v: Value) -> int:
    return f.m.fp.rounding


def _fp_set_round(f: _Frame, v: Value, value: int) -> None:
    f.m.fp.rounding = value & 3


def _ldenv(f: _Frame, v: Value, offset: int) -> Data:
    return unpack(read_host(f.m.env + offset, v.type.bytes), v.type)


def _stenv(f: _Frame, v: Value, offset: int, value: Data) -> None:
    t = v.args[1].type
    write_host(f.m.env + offset, pack(value, t), t.bytes)


def _ld(f: _Frame, v: Value, p: int) -> Data:
    return unpack(read_host(p, v.type.bytes), v.type)


def _st(f: _Frame, v: Value, p: int, value: Data) -> None:
    t = v.args[1].type
    write_host(p, pack(value, t), t.bytes)


def _cmpxchg(f: _Frame, v: Value, p: int, expected: int, new: int) -> int:
    old = read_host(p, v.type.bytes)
    if old == expected:
        write_host(p, new, v.type.bytes)
    return old


def _rmw(f: _Frame, v: Value, p: int, value: int) -> int:
    old = read_host(p, v.type.bytes)
    write_host(p, _RMW[v.attrs["kind"]](old, value, v.type.bits) & v.type.mask, v.type.bytes)
    return old


def _if(f: _Frame, v: Value, c: int) -> Outcome | None:
    body = v.bodies[0 if c else 1]
    out = f.body(body)
    f.results[v] = [f.values[y] for y in body.yields or ()]
    return out


def _loop(f: _Frame, v: Value, *start: Data) -> Outcome | None:
    body, now = v.bodies[0], list(start)
    while True:
        f.carried.append(now)
        out = f.body(body)
        f.carried.pop()
        if out is not None:
            return out
        again, *now = (f.values[y] for y in body.yields or ())
        if not again:
            f.results[v] = now
            return None


def _call(f: _Frame, v: Value, *args: Data) -> Data:
    return f.m.call(v.attrs["name"], *args)


def _callback(f: _Frame, v: Value, *args: Data) -> Data:
    return (f.m.callbacks[v.attrs["name"]](*args) or 0) & (v.type.mask or 0)


def _leave(f: _Frame, v: Value) -> None:
    raise _Leave(v.attrs["name"])


def _branch(f: _Frame, v: Value, c: int) -> Outcome:
    return Outcome("goto", v.attrs["name"]) if c else Outcome("next")


_STEP: dict[str, Callable[..., Any]] = {
    "const": lambda f, v: unpack_splat(v.attrs["value"], v.type),
    "hole": _hole,
    "arg": lambda f, v: f.args[v.attrs["index"]],
    "env": lambda f, v: f.m.env,
    **dict.fromkeys(_INT2, _int2),
    **dict.fromkeys(_COMPARE, _compare),
    **dict.fromkeys(_INT1, _int1),
    **dict.fromkeys(_CONVERT, _convert),
    "select": _select,
    "any": lambda f, v, a: int(any(a)),
    "bitcast": lambda f, v, a: unpack(pack(a, v.args[0].type), v.type),
    "ptrtoint": lambda f, v, a: a,
    "splat": lambda f, v, a: (a,) * v.type.lanes,
    "extract": lambda f, v, a, i: a[i % len(a)],
    "insert": _insert,
    "shuffle": lambda f, v, a, b: tuple((a + b)[k] for k in v.attrs["mask"]),
    "table": _table,
    "align": lambda f, v, a, b, n: (a + b)[n % 16 : n % 16 + 16],
    **dict.fromkeys(
        ("fadd", "fsub", "fmul", "fdiv", "fsqrt", "fma", "fext", "ftrunc", "fcmp", "fround", "ftoi", "itof", "utof"),
        _fp_op,
    ),
    **evaluate_crypto.STEPS,
    "fp_flags": _fp_flags,
    "fp_set_flags": _fp_set_flags,
    "fp_round": _fp_round,
    "fp_set_round": _fp_set_round,
    "ldenv": _ldenv,
    "stenv": _stenv,
    "ptradd": lambda f, v, p, n: (p + n) & 0xFFFF_FFFF_FFFF_FFFF,
    "ld": _ld,
    "st": _st,
    "cmpxchg": _cmpxchg,
    "rmw": _rmw,
    "fence": lambda f, v: None,
    "relax": lambda f, v: None,
    "if": _if,
    "loop": _loop,
    "result": lambda f, v, a: f.results[v.args[0]][v.attrs["index"]],
    "carried": lambda f, v: f.carried[-1][v.attrs["index"]],
    "call": _call,
    "callback": _callback,
    "leave": _leave,
    "next": lambda f, v: Outcome("next"),
    "goto": lambda f, v: Outcome("goto", v.attrs["name"]),
    "branch": _branch,
    "goto_ptr": lambda f, v, p: Outcome("goto_ptr", value=p),
    "ret": lambda f, v, *a: Outcome("ret", value=a[0] if a else 0),
}


def apply(v: Value, operands: Sequence[Data]) -> Data:
    """What the pure op v gives for these operands."""
    return _STEP[v.op](None, v, *operands)


def unpack_splat(value: int, t: Type) -> Data:
    return (value & t.mask,) * t.lanes if t.lanes else value & t.mask
