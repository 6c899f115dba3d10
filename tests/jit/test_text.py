"""The IR's text form: what it looks like, that it survives parsing, and that the verifier finds what is wrong."""

from __future__ import annotations

import re

import pytest

from jit.ir import Builder
from jit.text import ParseError, parse, to_text
from jit.types import I8, I32, I64, PTR, vec
from jit.verify import VerifyError, verify

EXAMPLE = """\
cold function "example"(i64, ptr) -> i64 {
  %0 = arg i64 index=0
  %1 = arg ptr index=1
  %2 = hole i32 name="imm*4 [x]" lo=-4 hi=255
  %3 = zext i64 %2
  %4 = loop %0, i64 0 {
    %5 = carried i64 index=0
    %6 = carried i64 index=1
    %7 = add i64 %6, %5
    %8 = lshr i64 %5, i64 1
    %9 = ne i1 %8, i64 0
    yield %9, %8, %7
  }
  %10 = result i64 %4 index=1
  %11 = ult i1 %10, %3
  %12 = if %11 likely=true {
    %13 = ld i64 %1 order="plain"
    yield %13
  } else {
    stenv i64 16, %10
    leave name="data_fault"
  }
  %14 = result i64 %12 index=0
  %15 = splat v4i32 %2
  %16 = shuffle v2i32 %15, v4i32 0xffffffff mask=[0,7]
  %17 = bitcast i64 %16
  %18 = xor i64 %14, %17
  ret %18
}
"""


def test_prints_what_it_parsed() -> None:
    f = parse(EXAMPLE)[0]
    verify(f)
    assert to_text(f) == EXAMPLE
    assert f.cold and f.name == "example" and f.arg_types == (I64, PTR)


def test_comments_and_blank_lines_are_ignored() -> None:
    text = 'stencil "a" {  # one\n\n  # two\n  %0 = ldenv i64 i64 8\n  stenv i64 0, %0\n  next\n}\n'
    assert to_text(parse(text)[0]).count("\n") == 5


def test_slow_path_follows_its_function() -> None:
    text = 'stencil "a" {\n  next\n}\nslow stencil "a" {\n  goto name="x"\n}\n'
    (f,) = parse(text)
    assert f.slow is not None and f.slow.body[-1].op == "goto"
    assert to_text(f) == text


def test_built_and_parsed_are_the_same() -> None:
    b = Builder("twice", args=(I64, I8), ret=I64)
    x, y = b.args
    wide = b.splat(y, 16).with_lane(3, 7).bitcast(vec(4, I32)).lane(x & 3).sext(I64)
    b.when(wide.slt(0), lambda: b.stenv(8, x * -1), likely=False)
    b.ret(wide.umin(x))
    text = to_text(b.function)
    again = parse(text)[0]
    verify(again)
    assert to_text(again) == text


@pytest.mark.parametrize(
    "text, message",
    [
        ('stencil "a" {\n next', "ends inside"),
        ('stencil "a" {\n frob\n}', "line 2: no IR op is called 'frob'"),
        ('stencil "a" {\n stenv i64 0, %1\n}', "line 2: %1 is not defined"),
        ('stencil "a" {\n %0 = ldenv i65 i64 0\n}', "line 2: no IR type is called 'i65'"),
        ('stencil "a" {\n %0 = ldenv i64 i64 0\n %0 = ldenv i64 i64 0\n}', "line 3: %0 is defined twice"),
        ('stencil "a" {\n next\n next\n}', "line 3: next after next"),
        ('banana "a" {\n next\n}', "neither stencil nor function"),
        ('stencil "a" {\n next )\n}', "line 2"),
        ("stencil 'a' {\n next\n}", "line 1: cannot read"),
    ],
)
def test_bad_text_names_its_line(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=re.escape(message)):
        parse(text)


def _stencil(*lines: str) -> str:
    return 'stencil "s" {\n' + "\n".join(lines) + "\n}\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (_stencil("%0 = ldenv i64 i64 0"), "does not end in a terminal"),
        (_stencil("%0 = ldenv i64 i64 0", "%1 = add i32 %0, %0", "next"), "the result is i32"),
        (_stencil("%0 = ldenv i64 i64 0", "%1 = add i64 %0, i32 1", "next"), "operand 1 is i32"),
        (_stencil("%0 = ldenv f64 i64 0", "%1 = add f64 %0, %0", "next"), "operand 0 is f64"),
        (_stencil("%0 = ldenv i64 i32 0", "next"), "operand 0 is i32"),
        (_stencil("%0 = ldenv i64 i64 0", "%1 = zext i32 %0", "next"), "from i64 to i32"),
        (_stencil("%0 = ldenv i64 i64 0", "%1 = bitcast v4i32 %0", "next"), "from i64 to v4i32"),
        (_stencil("%0 = ldenv v4i32 i64 0", "%1 = eq i1 %0, %0", "next"), "the result is i1"),
        (_stencil("%0 = ldenv v4i32 i64 0", "%1 = extract i64 %0, i64 1", "next"), "the result is i64"),
        (_stencil("%0 = ldenv v4i32 i64 0", "%1 = shuffle v1i32 %0, %0 mask=[8]", "next"), "lanes"),
        (_stencil("%0 = select i64 i32 1, i64 0, i64 1", "next"), "operand 0 is i32"),
        (_stencil("stenv i64 0", "next"), "1 operands, not 2"),
        (_stencil("goto name=null other=1"), "attributes"),
        (_stencil("%0 = ld i64 i64 0 order=\"plain\"", "next"), "operand 0 is i64"),
        (_stencil("%0 = env ptr", "%1 = ld i64 %0 order=\"fast\"", "next"), "order 'fast'"),
        (_stencil("if i1 1 {", "next", "} else {", "}", "next"), "is not the last"),
        (_stencil("if i1 1 {", "%0 = ldenv i64 i64 0", "} else {", "}", "stenv i64 0, %0", "next"), "not defined"),
        (_stencil("%0 = if i1 1 {", "yield i64 1", "} else {", "yield i32 1", "}", "next"), "different"),
        (_stencil("%0 = if i1 1 {", "yield i64 1", "} else {", "yield i64 2", "}", "%1 = result i64 %0 index=1"),
         "number 1"),
        (_stencil("leave name=\"x\"", "next"), "leave"),
        (_stencil("%0 = carried i64 index=0", "next"), "not of the loop"),
        (_stencil("%0 = loop i64 5 {", "%1 = carried i64 index=0", "yield %1, %1", "}", "next"), "other types"),
        (_stencil("%0 = hole i64 name=\"x\" lo=3 hi=2", "next"), "without a range"),
        ('function "f"() -> i64 {\n  ret i32 1\n}\n', "returns other types"),
        ('function "f"() -> i64 {\n  next\n}\n', "terminal of a function"),
    ],
)  # fmt: skip
def test_verifier_finds(text: str, message: str) -> None:
    with pytest.raises((VerifyError, ParseError), match=re.escape(message)):
        verify(parse(text)[0])


def test_verifier_takes_a_value_of_another_body_for_undefined() -> None:
    b = Builder("s", kind="stencil")
    inner = []
    b.when(b.ldenv(0, I64).eq(0), lambda: inner.append(b.ldenv(8, I64)))
    b.stenv(16, inner[0])
    b.next()
    with pytest.raises(VerifyError, match="not defined there"):
        verify(b.function)
