"""IR as text, and back: what `-d op`, `explain` and tests show.

    stencil "ADD (immediate)" {
      %0 = hole i64 name="Rn.sp" lo=0 hi=248
      %1 = ldenv i64 %0
      %2 = add i64 %1, i64 4
      stenv %0, %2
      next
    }

A line is an op: `%N = op type operands attributes`.  Ops without a value have neither name nor type; an `if` or `loop`
with results has a name, which `result` refers to.  Constants stand where they are used (`i64 4`; vectors: every lane),
so parsing puts them right before their use.  A function's slow path follows it, behind `slow`.  `#` starts a comment.
Parsed and printed again, text stays the same.
"""

from __future__ import annotations

import json
import re
from typing import Any

from jit.ir import Body, Builder, Function, IRError, Value
from jit.ops import OPS
from jit.types import VOID, Type, parse_type

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\[[^\]]*\]|->|%\d+|-?0x[0-9a-f]+|-?\d+|[A-Za-z_][\w.]*|[=,(){}])')


class ParseError(IRError):
    """The text is not IR."""


# -- printing -----------------------------------------------------------------------------------------------------
class _Printer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[Value, str] = {}

    def operand(self, v: Value) -> str:
        if v.op == "const":
            value = v.attrs["value"]
            return f"{v.type} {value if value < 4096 else hex(value)}"
        return self.names.get(v, "%?")

    def operands(self, values: tuple[Value, ...]) -> str:
        return ", ".join(map(self.operand, values))

    def body(self, body: Body, indent: str) -> None:
        for v in body:
            if v.op == "const":
                continue
            self.lines.append(indent + self.op(v))
            for k, inner in enumerate(v.bodies):
                if k:
                    self.lines.append(indent + "} else {")
                self.body(inner, indent + "  ")
            if v.bodies:
                self.lines.append(indent + "}")
        if body.yields:
            self.lines.append(f"{indent}yield {self.operands(body.yields)}")

    def op(self, v: Value) -> str:
        words = [v.op]
        if v.type is not VOID:
            words.append(v.type.name)
        if v.args:
            words.append(self.operands(v.args))
        words += [f"{k}={json.dumps(x, separators=(',', ':'))}" for k, x in v.attrs.items() if x is not None]
        if v.type is not VOID or any(body.yields for body in v.bodies):
            name = self.names[v] = f"%{len(self.names)}"
            words[:0] = [name, "="]
        return " ".join(words) + (" {" if v.bodies else "")


def to_text(f: Function) -> str:
    """The text of a function."""
    p = _Printer()
    head = ("cold " if f.cold else "") + f"{f.kind} {json.dumps(f.name)}"
    if f.kind == "function":
        head += f"({', '.join(t.name for t in f.arg_types)}) -> {f.ret}"
    p.lines.append(head + " {")
    p.body(f.body, "  ")
    text = "\n".join([*p.lines, "}"]) + "\n"
    return text + "slow " + to_text(f.slow) if f.slow else text


# -- parsing ------------------------------------------------------------------------------------------------------
class _Line:
    """The tokens of one line, taken from the front."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.tokens = number, []
        at, end = 0, len(text.rstrip())
        while at < end:
            m = _TOKEN.match(text, at)
            if m is None and text[at:].lstrip().startswith("#"):
                break
            if m is None:
                raise self.error(f"cannot read {text[at:].strip()!r}")
            self.tokens.append(m.group(1))
            at = m.end()
        self.tokens.reverse()

    def error(self, message: str) -> ParseError:
        return ParseError(f"line {self.number}: {message}")

    @property
    def next(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def take(self, wanted: str = "") -> str:
        if not self.tokens or (wanted and self.tokens[-1] != wanted):
            raise self.error(f"{wanted or 'more'} expected, not {self.next or 'the end of the line'!r}")
        return self.tokens.pop()

    def maybe(self, token: str) -> bool:
        found = self.next == token
        if found:
            self.tokens.pop()
        return found

    def type(self) -> Type:
        name = self.take()
        try:
            return parse_type(name)
        except ValueError as e:
            raise self.error(str(e)) from None

    def json(self) -> Any:
        token = self.take()
        try:
            value = json.loads(token)
        except ValueError:
            raise self.error(f"{token!r} is no attribute value") from None
        return tuple(value) if isinstance(value, list) else value

    def done(self) -> None:
        if self.tokens:
            raise self.error(f"{self.next!r} is too much")


class _Parser:
    def __init__(self, text: str) -> None:
        lines = (_Line(k, line) for k, line in enumerate(text.splitlines(), 1))
        self.lines = [line for line in lines if line.tokens]
        self.at = 0
        self.names: dict[str, Value] = {}

    def line(self) -> _Line:
        if self.at == len(self.lines):
            raise ParseError("the text ends inside a function")
        self.at += 1
        return self.lines[self.at - 1]

    def function(self) -> Function:
        head = self.line()
        head.maybe("slow")
        cold = head.maybe("cold")
        kind = head.take()
        if kind not in ("stencil", "function"):
            raise head.error(f"{kind!r} is neither stencil nor function")
        name, ret, args = head.json(), VOID, list[Type]()
        if kind == "function":
            head.take("(")
            while not head.maybe(")"):
                args.append(head.type())
                head.maybe(",")
            head.take("->")
            ret = head.type()
        head.take("{")
        head.done()
        self.b = Builder(name, kind=kind, ret=ret, args=args)
        self.b.body.clear()  # args stand in the text
        self.b.args.clear()
        self.body()
        self.b.function.cold = cold
        return self.b.function

    def body(self) -> _Line:
        """Ops up to the closing brace, into the builder's body; gives the brace's line."""
        while True:
            line = self.line()
            if line.maybe("}"):
                body = self.b.body
                if body and body[-1].op == "leave":
                    body.yields = None
                return line
            if line.maybe("yield"):
                self.b.body.yields = self.operands(line)
                line.done()
            else:
                self.op(line)

    def op(self, line: _Line) -> None:
        name = line.take() if line.next.startswith("%") else ""
        if name:
            line.take("=")
        op = line.take()
        if op not in OPS:
            raise line.error(f"no IR op is called {op!r}")
        nested = op in ("if", "loop")
        result = line.type() if name and not nested else VOID
        args = self.operands(line)
        attrs: dict[str, Any] = {}
        while line.tokens and line.next != "{":
            key = line.take()
            line.take("=")
            attrs[key] = line.json()
        for key in OPS[op].attrs:
            attrs.setdefault(key, None)
        bodies = self.bodies(line) if nested else ()
        line.done()
        try:
            value = self.b.emit(op, result, args, bodies, **attrs)
        except IRError as e:
            raise line.error(str(e)) from None
        if name in self.names:
            raise line.error(f"{name} is defined twice")
        if name:
            self.names[name] = value
            if op == "arg":
                self.b.args.append(value)

    def bodies(self, line: _Line) -> tuple[Body, ...]:
        line.take("{")
        saved, out = self.b.body, list[Body]()
        while True:
            self.b.body = Body()
            out.append(self.b.body)
            end = self.body()
            if not end.maybe("else"):
                break
            end.take("{")
        end.done()
        self.b.body = saved
        return tuple(out)

    def operands(self, line: _Line) -> tuple[Value, ...]:
        out: list[Value] = []
        while line.next.startswith("%") or len(line.tokens) > 1 and line.tokens[-2][0] in "-0123456789":
            token = line.next
            if token.startswith("%"):
                if token not in self.names:
                    raise line.error(f"{token} is not defined before")
                out.append(self.names[line.take()])
            else:
                t = line.type()
                out.append(self.b.const(int(line.take(), 0), t))
            if not line.maybe(","):
                break
        return tuple(out)


def parse(text: str) -> list[Function]:
    """All functions of a text; ParseError with the line where it is not IR."""
    p = _Parser(text)
    out: list[Function] = []
    while p.at < len(p.lines):
        p.names = {}
        line = p.lines[p.at]
        if line.next == "slow" and out:
            out[-1].slow = p.function()
        else:
            out.append(p.function())
    return out
