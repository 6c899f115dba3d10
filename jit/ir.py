"""IR values, functions and the builder that lifters write with.

A value is an op in an ordered body.  Operators on values emit ops at the builder's current place:

    b = Builder("example", ret=I64, args=(I64,))
    x = b.args[0]
    b.ret((x + 1).lshr(3) ^ x)

`+ - * & | ^ ~ <<` work between values of one type, and with Python ints, which become constants of that type.  Mixed
widths raise.  `==` is Python identity (values are dict keys); comparisons are methods: `a.eq(b)`, `a.ult(b)`.
`if value:` raises, because the value is not known while code is being built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jit.ops import OPS, TERMINALS
from jit.types import I1, I64, PTR, VOID, Type, parse_type, vec, with_lanes

Operand = "Value | int"


class IRError(Exception):
    """A lifter or pass built something that the op table does not allow."""


class Value:
    """The result of one op.  `args` are values, `attrs` Python data, `bodies` nested op lists (if, loop)."""

    __slots__ = ("builder", "op", "type", "args", "attrs", "bodies")

    def __init__(
        self,
        builder: Builder,
        op: str,
        type: Type,
        args: tuple[Value, ...] = (),
        attrs: dict[str, Any] | None = None,
        bodies: tuple[Body, ...] = (),
    ) -> None:
        self.builder, self.op, self.type, self.args = builder, op, type, args
        self.attrs: dict[str, Any] = attrs or {}
        self.bodies = bodies

    def _bin(self, op: str, other: Value | int, reverse: bool = False) -> Value:
        o = self.builder.coerce(other, self.type)
        return self.builder.emit(op, self.type, (o, self) if reverse else (self, o))

    def _cmp(self, op: str, other: Value | int, swap: bool = False) -> Value:
        o = self.builder.coerce(other, self.type)
        return self.builder.emit(op, with_lanes(self.type, I1), (o, self) if swap else (self, o))

    def __add__(self, o: Value | int) -> Value:
        return self._bin("add", o)

    def __radd__(self, o: int) -> Value:
        return self._bin("add", o)

    def __sub__(self, o: Value | int) -> Value:
        return self._bin("sub", o)

    def __rsub__(self, o: int) -> Value:
        return self._bin("sub", o, reverse=True)

    def __mul__(self, o: Value | int) -> Value:
        return self._bin("mul", o)

    def __and__(self, o: Value | int) -> Value:
        return self._bin("and", o)

    def __or__(self, o: Value | int) -> Value:
        return self._bin("or", o)

    def __xor__(self, o: Value | int) -> Value:
        return self._bin("xor", o)

    def __lshift__(self, o: Value | int) -> Value:
        return self._bin("shl", o)

    def __invert__(self) -> Value:
        return self._bin("xor", -1)

    def __neg__(self) -> Value:
        return self._bin("sub", 0, reverse=True)

    def __rshift__(self, o: object) -> Value:
        raise TypeError("say .lshr(n) or .ashr(n): a value has no signedness")

    def __bool__(self) -> bool:
        raise TypeError("an IR value is not known while code is built; use b.select, b.cond or b.when")

    def lshr(self, o: Value | int) -> Value:
        return self._bin("lshr", o)

    def ashr(self, o: Value | int) -> Value:
        return self._bin("ashr", o)

    def rotr(self, o: Value | int) -> Value:
        return self._bin("rotr", o)

    def umin(self, o: Value | int) -> Value:
        return self._bin("umin", o)

    def umax(self, o: Value | int) -> Value:
        return self._bin("umax", o)

    def smin(self, o: Value | int) -> Value:
        return self._bin("smin", o)

    def smax(self, o: Value | int) -> Value:
        return self._bin("smax", o)

    def eq(self, o: Value | int) -> Value:
        return self._cmp("eq", o)

    def ne(self, o: Value | int) -> Value:
        return self._cmp("ne", o)

    def ult(self, o: Value | int) -> Value:
        return self._cmp("ult", o)

    def ule(self, o: Value | int) -> Value:
        return self._cmp("ule", o)

    def ugt(self, o: Value | int) -> Value:
        return self._cmp("ult", o, swap=True)

    def uge(self, o: Value | int) -> Value:
        return self._cmp("ule", o, swap=True)

    def slt(self, o: Value | int) -> Value:
        return self._cmp("slt", o)

    def sle(self, o: Value | int) -> Value:
        return self._cmp("sle", o)

    def sgt(self, o: Value | int) -> Value:
        return self._cmp("slt", o, swap=True)

    def sge(self, o: Value | int) -> Value:
        return self._cmp("sle", o, swap=True)

    def _convert(self, op: str, elem: Type, wider: bool) -> Value:
        t = elem if elem.is_vec else with_lanes(self.type, elem)
        if t is self.type:
            return self
        if t.lanes != self.type.lanes or (t.bits > self.type.bits) != wider:
            raise IRError(f"{op} of {self.type} to {t}")
        if op == "trunc" and self.op == "hole" and self.attrs["lo"] >= 0 and self.attrs["hi"] <= t.mask:
            return self.builder.emit("hole", t, **self.attrs)  # the same number, as a narrower immediate
        return self.builder.emit(op, t, (self,))

    def zext(self, t: Type) -> Value:
        return self._convert("zext", t, True)

    def sext(self, t: Type) -> Value:
        return self._convert("sext", t, True)

    def trunc(self, t: Type) -> Value:
        return self._convert("trunc", t, False)

    def resize(self, t: Type) -> Value:
        """Zero-extend or truncate, whichever gives `t`."""
        return self.zext(t) if t.bits >= self.type.bits else self.trunc(t)

    def bitcast(self, t: Type) -> Value:
        if t is self.type:
            return self
        if t.size != self.type.size:
            raise IRError(f"bitcast of {self.type} to {t}")
        return self.builder.emit("bitcast", t, (self,))

    def bits(self, low: int, width: int) -> Value:
        """Bit field [low + width - 1 : low], right-aligned, in the value's own type."""
        return self.lshr(low) & ((1 << width) - 1)

    def bit(self, n: int) -> Value:
        """Bit n as i1."""
        return self.lshr(n).trunc(I1) if self.type is not I1 else self

    def clz(self) -> Value:
        return self.builder.emit("clz", self.type, (self,))

    def ctz(self) -> Value:
        return self.builder.emit("ctz", self.type, (self,))

    def popcnt(self) -> Value:
        return self.builder.emit("popcnt", self.type, (self,))

    def bitrev(self) -> Value:
        return self.builder.emit("bitrev", self.type, (self,))

    def bswap(self) -> Value:
        return self.builder.emit("bswap", self.type, (self,))

    def lane(self, index: Value | int) -> Value:
        """Lane `index` of a vector."""
        return self.builder.emit("extract", self.type.scalar, (self, self.builder.coerce(index, I64)))

    def with_lane(self, index: Value | int, value: Value | int) -> Value:
        """The vector with one lane replaced."""
        b = self.builder
        return b.emit("insert", self.type, (self, b.coerce(value, self.type.scalar), b.coerce(index, I64)))

    def __repr__(self) -> str:
        return f"<{self.op} {self.type}>"


def _result_type(op: str, args: tuple[Value, ...]) -> Type:
    """The result type by the op table; the first operand's where the builder must say it."""
    result = OPS[op].signature.partition("->")[2].strip()
    if not result:
        return VOID
    if result.startswith("?"):
        return with_lanes(args[0].type, I1)
    return args[0].type if len(result) == 1 else parse_type(result)


class Body(list[Value]):
    """An ordered list of ops.  `yields` are its results; None where it leaves the function instead."""

    __slots__ = ("yields",)

    def __init__(self) -> None:
        super().__init__()
        self.yields: tuple[Value, ...] | None = ()


class Function:
    """A lifted instruction or a runtime function: one body, ending in one terminal.

    kind: "stencil" (env in, leaves through next/goto/branch/goto_ptr) or "function" (arguments, ret).  slow: for a
    stencil that leaves for SLOW, the whole instruction again without the short cuts; its code is placed out of the way.
    """

    __slots__ = ("name", "kind", "ret", "arg_types", "body", "cold", "slow")

    def __init__(self, name: str, kind: str, ret: Type, arg_types: tuple[Type, ...]) -> None:
        self.name, self.kind, self.ret, self.arg_types = name, kind, ret, arg_types
        self.body = Body()
        self.cold = False
        self.slow: Function | None = None

    def holes(self) -> dict[str, Value]:
        """The holes by name, in order of first use."""
        return {v.attrs["name"]: v for v in walk(self.body) if v.op == "hole"}


def walk(body: Body) -> list[Value]:
    """All ops of a body and the bodies inside it, in order."""
    out: list[Value] = []
    for v in body:
        out.append(v)
        for inner in v.bodies:
            out.extend(walk(inner))
    return out


class Builder:
    """Appends ops to a function.  One builder builds one function."""

    def __init__(self, name: str, *, kind: str = "function", ret: Type = VOID, args: Sequence[Type] = ()) -> None:
        self.function = Function(name, kind, ret, tuple(args))
        self.body = self.function.body
        self.args = [self.emit("arg", t, (), index=k) for k, t in enumerate(args)]

    # -- raw emission -------------------------------------------------------------------------------------------
    def emit(
        self, op: str, type: Type, args: tuple[Value, ...] = (), bodies: tuple[Body, ...] = (), **attrs: Any
    ) -> Value:
        if op not in OPS:
            raise IRError(f"no IR op is called {op!r}")
        for a in args:
            if a.builder is not self:
                raise IRError(f"{op}: operand {a!r} belongs to another function")
        if self.body and (self.body[-1].op in TERMINALS or self.body[-1].op == "leave"):
            raise IRError(f"{op} after {self.body[-1].op}, which ends its body")
        v = Value(self, op, type, args, attrs, bodies)
        self.body.append(v)
        return v

    def const(self, value: int, type: Type = I64) -> Value:
        return self.emit("const", type, value=value & type.mask)

    def coerce(self, value: Value | int, type: Type) -> Value:
        if isinstance(value, Value):
            if value.type is not type:
                raise IRError(f"operand is {value.type}, wanted {type}: convert with zext, sext or trunc")
            return value
        return self.const(value, type)

    def hole(self, name: str, lo: int, hi: int, type: Type = I64) -> Value:
        """The number `name`, known to lie in lo..hi, filled in when the code is placed."""
        return self.emit("hole", type, name=name, lo=lo, hi=hi)

    # -- CPU state and host memory --------------------------------------------------------------------------------
    def ldenv(self, offset: Value | int, type: Type) -> Value:
        return self.emit("ldenv", type, (self.coerce(offset, I64),))

    def stenv(self, offset: Value | int, value: Value) -> None:
        self.emit("stenv", VOID, (self.coerce(offset, I64), value))

    def env(self) -> Value:
        return self.emit("env", PTR)

    def ptradd(self, p: Value, offset: Value | int) -> Value:
        return self.emit("ptradd", PTR, (p, self.coerce(offset, I64)))

    def ld(self, p: Value, type: Type, order: str = "plain") -> Value:
        return self.emit("ld", type, (p,), order=order)

    def st(self, p: Value, value: Value, order: str = "plain") -> None:
        self.emit("st", VOID, (p, value), order=order)

    def cmpxchg(self, p: Value, expected: Value, new: Value) -> Value:
        return self.emit("cmpxchg", new.type, (p, expected, new))

    def rmw(self, kind: str, p: Value, value: Value) -> Value:
        return self.emit("rmw", value.type, (p, value), kind=kind)

    def fence(self, order: str = "full") -> None:
        self.emit("fence", VOID, order=order)

    # -- values -----------------------------------------------------------------------------------------------------
    def select(self, cond: Value, a: Value | int, b: Value | int) -> Value:
        t = a.type if isinstance(a, Value) else b.type if isinstance(b, Value) else I64
        return self.emit("select", t, (cond, self.coerce(a, t), self.coerce(b, t)))

    def splat(self, value: Value, lanes: int) -> Value:
        return self.emit("splat", vec(lanes, value.type), (value,))

    def shuffle(self, a: Value, b: Value, mask: Sequence[int]) -> Value:
        return self.emit("shuffle", vec(len(mask), a.type.scalar), (a, self.coerce(b, a.type)), mask=tuple(mask))

    def op(self, name: str, *args: Value, type: Type | None = None, **attrs: Any) -> Value:
        """Any op by name, for those without a method; the result has the op table's type unless said."""
        return self.emit(name, type if type is not None else _result_type(name, args), args, **attrs)

    # -- control ------------------------------------------------------------------------------------------------------
    def _body(self, build: Callable[[], Value | Sequence[Value] | None] | None) -> Body:
        saved, self.body = self.body, Body()
        try:
            out = build() if build else None
            body = self.body
            if body and body[-1].op == "leave":
                body.yields = None
            else:
                body.yields = () if out is None else (out,) if isinstance(out, Value) else tuple(out)
            return body
        finally:
            self.body = saved

    def cond(
        self,
        c: Value,
        then: Callable[[], Value | Sequence[Value] | None],
        otherwise: Callable[[], Value | Sequence[Value] | None] | None = None,
        likely: bool | None = None,
    ) -> Any:
        """Run one of two bodies; gives what they return: None, one value, or a list of values."""
        a, b = self._body(then), self._body(otherwise)
        shape = a.yields if a.yields is not None else b.yields
        if a.yields is None and b.yields is None:
            raise IRError("both bodies of an if leave: say leave behind a plain condition")
        if a.yields is not None and b.yields is not None and [v.type for v in a.yields] != [v.type for v in b.yields]:
            raise IRError("the bodies of an if give different types")
        node = self.emit("if", VOID, (c,), (a, b), likely=likely)
        return self._results(node, [v.type for v in shape or ()])

    def when(self, c: Value, then: Callable[[], object], likely: bool | None = None) -> None:
        """Run `then` where c holds; what it returns is not used."""

        def body() -> None:
            then()

        self.cond(c, body, None, likely)

    def loop(self, start: Sequence[Value], step: Callable[..., tuple[Value, Sequence[Value]]]) -> Any:
        """do { carried = step(*carried) } while (condition): step returns (condition, next carried values).

        Gives the last carried values, one alone or a list.
        """
        saved, self.body = self.body, Body()
        try:
            carried = [self.emit("carried", v.type, index=k) for k, v in enumerate(start)]
            again, nxt = step(*carried)
            body = self.body
            body.yields = (again, *nxt)
        finally:
            self.body = saved
        node = self.emit("loop", VOID, tuple(start), (body,))
        return self._results(node, [v.type for v in start])

    def _results(self, node: Value, types: list[Type]) -> Any:
        out = [self.emit("result", t, (node,), index=k) for k, t in enumerate(types)]
        return out[0] if len(out) == 1 else (out or None)

    def call(self, name: str, *args: Value, type: Type = VOID) -> Value:
        """Call runtime function `name`."""
        return self.emit("call", type, args, name=name)

    def callback(self, name: str, offset: int, *args: Value, type: Type = VOID) -> Value:
        """Call the host C function whose address is at `offset` of the CPU state."""
        return self.emit("callback", type, args, name=name, offset=offset)

    def leave(self, name: str) -> None:
        """Leave for continuation `name` from inside a body."""
        self.emit("leave", VOID, name=name)

    def leave_if(self, c: Value, name: str) -> None:
        """Leave for continuation `name` where c holds (the unlikely way)."""
        self.when(c, lambda: self.leave(name), likely=False)

    # -- terminals ----------------------------------------------------------------------------------------------------
    def next(self) -> None:
        self.emit("next", VOID)

    def goto(self, name: str) -> None:
        self.emit("goto", VOID, name=name)

    def branch(self, c: Value, name: str) -> None:
        self.emit("branch", VOID, (c,), name=name)

    def goto_ptr(self, p: Value) -> None:
        self.emit("goto_ptr", VOID, (p,))

    def ret(self, value: Value | None = None) -> None:
        self.emit("ret", VOID, () if value is None else (value,))

    @property
    def finished(self) -> bool:
        return bool(self.body) and self.body[-1].op in TERMINALS
