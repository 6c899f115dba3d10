"""Passes keep what a function means: every rule by itself, random functions, and the verifier behind each pass."""

from __future__ import annotations

import random
from typing import Any

import pytest

from jit import passes
from jit.evaluate import Evaluator
from jit.ir import Builder, Function, Value, walk
from jit.ops import OPS
from jit.passes import dce, fold, simplify
from jit.passes.simplify import RULES, Rule
from jit.text import parse, to_text
from jit.types import I1, I8, I16, I32, I64, PTR, Type, vec, with_lanes
from jit.verify import verify
from tests.jit.native import Memory
from tests.jit.test_ops import RESULT, STEP, random_operand, stored

INTS = (I1, I8, I16, I32, I64)
VECTORS = (vec(16, I8), vec(4, I16), vec(4, I32), vec(2, I64))
COMPARISONS = ("eq", "ne", "ult", "ule", "slt", "sle", "uaddo", "saddo", "ssubo")
LINES = [line for line in RULES.split("\n") if line]


# -- one rule -----------------------------------------------------------------------------------------------------
class Unfit(Exception):
    """These types do not fit the pattern: try others."""


class Instance:
    """A function that computes a rule's pattern, of random types and constants."""

    def __init__(self, rule: Rule, rng: random.Random) -> None:
        self.rng, self.names = rng, dict[str, Value]()
        self.b = Builder("f")
        self.types: list[Type] = []
        root = self.tree(rule.pattern, self.root_type(rule.pattern[0]))
        self.b.stenv(RESULT, stored(self.b, root))
        self.b.ret()

    def root_type(self, op: str) -> Type:
        if op in COMPARISONS:
            return self.rng.choice((I1, I1, vec(4, I1), vec(2, I1), vec(16, I1)))
        return PTR if op == "ptradd" else self.rng.choice(INTS + (VECTORS if op != "extract" else ()))

    def tree(self, tree: Any, t: Type) -> Value:
        if isinstance(tree, tuple):
            types = self.operands(tree[0], t)
            args = tuple(self.tree(x, a) for x, a in zip(tree[1:], types, strict=True))
            return self.b.emit(tree[0], t, args)
        if isinstance(tree, int):
            return self.b.const(tree, t)
        if tree not in self.names:
            self.names[tree] = self.leaf(tree, t)
        if self.names[tree].type is not t:
            raise Unfit
        return self.names[tree]

    def leaf(self, name: str, t: Type) -> Value:
        if name.isupper():
            n = self.rng.choice((0, 1, 2, t.bits - 1, t.bits, t.mask, t.mask >> 1, 3, self.rng.getrandbits(64)))
            return self.b.const(n, t)
        self.types.append(t)
        v = self.b.ldenv(STEP * (len(self.types) - 1), t)
        if t.is_int and self.rng.random() < 0.3:  # some values of which less is possible
            v = v & self.b.const(self.rng.choice((1, 0xF, 0xF0, t.mask >> 1)), t)
        return v

    def operands(self, op: str, t: Type) -> list[Type]:
        pick = self.rng.choice
        scalar = t.scalar
        if op in ("zext", "sext", "trunc"):
            fits = [with_lanes(t, e) for e in INTS if e is not I1 or not t.lanes]
            return [_pick(pick, [e for e in fits if (e.bits > t.bits if op == "trunc" else e.bits < t.bits)])]
        if op == "bitcast":
            return [_pick(pick, [e for e in (*INTS[1:], *VECTORS) if e.size == t.size])]
        if op in COMPARISONS:
            if scalar is not I1:
                raise Unfit
            return [_pick(pick, [e for e in (*INTS, *VECTORS) if e.lanes == t.lanes])] * 2
        if op == "select":
            return [pick((I1, with_lanes(t, I1))), t, t]
        if op == "splat":
            return [scalar] if t.lanes else _pick(pick, [])
        if op == "extract":
            return [_pick(pick, [v for v in VECTORS if v.scalar is t]), I64]
        if op == "insert":
            return [t, scalar, I64]
        if op == "ptradd":
            return [PTR, I64]
        return [t] * len([x for x in OPS[op].signature.partition("->")[0].split()])


def _pick(pick: Any, choices: list[Any]) -> Any:
    if not choices:
        raise Unfit
    return pick(choices)


class Runner:
    """Evaluates functions of operands in memory."""

    def __init__(self) -> None:
        self.memory = Memory()

    def run(self, f: Function, operands: list[bytes]) -> bytes:
        self.memory.write(0, bytes(2048))
        for k, data in enumerate(operands):
            self.memory.write(STEP * k, data)
        Evaluator(self.memory.address).run(f)
        return self.memory.read(0, 2048)


def operand(rng: random.Random, t: Type) -> bytes:
    return rng.randbytes(8) if t is PTR else random_operand(rng, t)


@pytest.mark.parametrize("line", LINES)
def test_rule(line: str) -> None:
    """The pattern and its replacement are equal, and the rule is used at all."""
    rule, rng, runner, used = Rule(line), random.Random(line), Runner(), 0
    for _ in range(150):
        try:
            made = Instance(rule, rng)
        except Unfit:
            continue
        before = made.b.function
        after = parse(to_text(before))[0]
        simplify.run(after)
        verify(after)
        used += len(walk(after.body)) < len(walk(before.body)) or to_text(after) != to_text(before)
        for _ in range(2):
            operands = [operand(rng, t) for t in made.types]
            assert runner.run(before, operands) == runner.run(after, operands), to_text(before) + to_text(after)
    assert used


# -- whole functions ------------------------------------------------------------------------------------------------
def random_function(rng: random.Random) -> tuple[Function, list[Type]]:
    b = Builder("f")
    types = [rng.choice((*INTS, *VECTORS)) for _ in range(4)]
    pool: list[Value] = [b.ldenv(STEP * k, t) for k, t in enumerate(types)]
    grow(b, rng, pool, 12, 2)
    for k, v in enumerate(rng.sample(pool, 4)):
        if v.type is not PTR:
            b.stenv(RESULT + STEP * k, stored(b, v))
    b.ret()
    return b.function, types


SIMPLE = ("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr", "rotr", "umin", "smax", "uaddsat", "ssubsat")


def grow(b: Builder, rng: random.Random, pool: list[Value], count: int, depth: int) -> None:
    """Append random ops on values of the pool, which grows by them."""
    for _ in range(count):
        x = rng.choice(pool)
        same = [v for v in pool if v.type is x.type]
        y = rng.choice((*same, b.const(rng.choice((0, 1, x.type.bits, x.type.mask, rng.getrandbits(64))), x.type)))
        kind = rng.randrange(9)
        if kind < 3:
            pool.append(b.op(rng.choice(SIMPLE), *rng.sample((x, y), 2)))
        elif kind == 3:
            pool.append(b.op(rng.choice(COMPARISONS), x, y))
        elif kind == 4:
            flags = [v for v in pool if v.type in (I1, with_lanes(x.type, I1))] or [b.const(rng.randrange(2), I1)]
            pool.append(b.select(rng.choice(flags), x, y))
        elif kind == 5:
            elem = rng.choice(INTS[1:])
            t = with_lanes(x.type, elem)
            pool.append(x.trunc(t) if elem.bits < x.type.bits else rng.choice((x.zext, x.sext))(t))
        elif kind == 6 and x.type.lanes:
            pool.append(x.with_lane(rng.randrange(20), x.lane(rng.randrange(20))))
        elif kind == 7 and depth:
            grow_conditional(b, rng, pool, x, y, depth)
        elif kind == 8 and depth:
            grow_loop(b, rng, pool, x, depth)


def grow_conditional(b: Builder, rng: random.Random, pool: list[Value], x: Value, y: Value, depth: int) -> None:
    flag = rng.choice([v for v in pool if v.type is I1] + [b.const(rng.randrange(2), I1)])

    def way(v: Value) -> list[Value]:
        inner = list(pool)
        grow(b, rng, inner, 4, depth - 1)
        if rng.random() < 0.5:
            b.stenv(RESULT + STEP * 5, b.const(rng.getrandbits(32)))
        return [v, rng.choice([u for u in inner if u.type is v.type])]

    pool.extend(b.cond(flag, lambda: way(x), lambda: way(y)))


def grow_loop(b: Builder, rng: random.Random, pool: list[Value], x: Value, depth: int) -> None:
    def step(n: Value, v: Value) -> tuple[Value, list[Value]]:
        inner = [*pool, n, v]
        grow(b, rng, inner, 3, depth - 1)
        return n.ne(0), [n - 1, rng.choice([u for u in inner if u.type is v.type])]

    pool.extend(b.loop([b.const(rng.randrange(3)), x], step))


@pytest.mark.parametrize("seed", range(20))
def test_random_functions_keep_their_meaning(seed: int) -> None:
    rng, runner = random.Random(seed), Runner()
    for _ in range(15):
        before, types = random_function(rng)
        verify(before)
        after = parse(to_text(before))[0]
        steps: list[tuple[str, Function]] = []

        def check(name: str, f: Function, steps: list[tuple[str, Function]] = steps) -> None:
            verify(f)
            steps.append((name, parse(to_text(f))[0]))

        passes.run(after, after=check)
        for _ in range(3):
            operands = [random_operand(rng, t) for t in types]
            want = runner.run(before, operands)
            for name, f in steps:
                assert runner.run(f, operands) == want, f"{name}:\n{to_text(before)}{to_text(f)}"


# -- single passes ----------------------------------------------------------------------------------------------------
def changed(run: Any, *lines: str) -> str:
    f = parse('stencil "s" {\n' + "\n".join(lines) + "\n  next\n}\n")[0]
    run(f)
    verify(f)
    return "\n".join(line.strip() for line in to_text(f).splitlines()[1:-2])


def test_dce() -> None:
    assert changed(dce.run, "%0 = ldenv i64 i64 0", "%1 = add i64 %0, %0") == ""
    assert changed(dce.run, "%0 = env ptr", '%1 = ld i64 %0 order="plain"') == ""
    keep = ['%0 = env ptr', '%1 = ld i64 %0 order="acquire"']  # fmt: skip
    assert changed(dce.run, *keep) == "\n".join(keep)
    atomic = ["%0 = env ptr", '%1 = rmw i64 %0, i64 1 kind="add"']
    assert changed(dce.run, *atomic) == "\n".join(atomic)
    assert changed(dce.run, "%0 = ldenv i1 i64 0", "if %0 {", "%1 = ldenv i64 i64 8", "} else {", "}") == ""
    leaves = ["%0 = ldenv i1 i64 0", "if %0 {", 'leave name="a"', "} else {", "}"]
    assert changed(dce.run, *leaves) == "\n".join(leaves)
    assert changed(dce.run, 'fence order="full"') == 'fence order="full"'


def test_fold() -> None:
    assert changed(fold.run, "%0 = mul i64 i64 6, i64 7", "stenv i64 0, %0") == "stenv i64 0, i64 42"
    assert changed(fold.run, "%0 = shl i8 i8 1, i8 8", "stenv i64 0, %0") == "stenv i64 0, i8 0"
    assert changed(fold.run, "%0 = splat v4i32 i32 9", "stenv i64 0, %0") == "stenv i64 0, v4i32 9"
    unlike = ["%0 = insert v4i32 v4i32 0, i32 1, i64 2", "stenv i64 0, %0"]  # no constant has unlike lanes
    assert changed(fold.run, *unlike) == "\n".join(unlike)


def test_fold_takes_the_body_that_runs() -> None:
    text = ["%0 = ldenv i64 i64 0", "%1 = if i1 0 {", "yield i64 1", "} else {", "%2 = add i64 %0, i64 5", "yield %2"]
    text += ["}", "%3 = result i64 %1 index=0", "stenv i64 8, %3"]
    assert changed(fold.run, *text) == "%0 = ldenv i64 i64 0\n%1 = add i64 %0, i64 5\nstenv i64 8, %1"
    leaving = ["if i1 1 {", 'leave name="a"', "} else {", "}"]
    assert changed(fold.run, *leaving) == "\n".join(leaving)


def test_simplify_moves_constants_right_and_together() -> None:
    text = ["%0 = ldenv i64 i64 0", "%1 = add i64 i64 5, %0", "%2 = add i64 %1, i64 -6", "stenv i64 8, %2"]
    got = changed(simplify.run, *text)
    assert "add i64 %0, i64 0xffffffffffffffff" in got and "stenv i64 8, %2" in got


def test_passes_run_on_slow_paths_too() -> None:
    f = parse('stencil "a" {\n next\n}\nslow stencil "a" {\n %0 = add i64 i64 1, i64 2\n stenv i64 0, %0\n next\n}\n')[
        0
    ]
    passes.run(f)
    assert f.slow and "stenv i64 0, i64 3" in to_text(f)
