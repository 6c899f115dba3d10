"""Every op of the op table: the evaluator and LLVM's code give the same for edge and random operands.

Cases are made from the table's signatures: each op with all types that fit, with operands from memory, and with
constants and holes where the back end treats them differently.
"""

from __future__ import annotations

import io
import platform
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import llvmlite.binding as llvm
import pytest
from elftools.elf.elffile import ELFFile

from jit import softfma
from jit.evaluate import Evaluator
from jit.host import host_module
from jit.ir import Builder, Function, Value
from jit.llvmgen import Module
from jit.ops import OPS
from jit.stencil import target_machine
from jit.types import F16, F32, F64, I1, I8, I16, I32, I64, I128, Type, parse_type, vec, with_lanes
from tests.jit.native import Memory, Native

SCALARS = (I1, I8, I16, I32, I64, I128)
VECTORS = tuple(
    vec(lanes, t) for t, counts in ((I8, (8, 16)), (I16, (4, 8)), (I32, (2, 4)), (I64, (1, 2))) for lanes in counts
)
FLOATS = (F32, F64, vec(2, F32), vec(4, F32), vec(2, F64))
SETS = 40  # operand sets a case
RESULT, FLAGS, STEP = 1024, 1152, 64

# Types that the table's sentence excludes
NARROW_OPS = ("umulh", "smulh", "udiv", "sdiv")
NOT_ON = {"bswap": lambda t: t.bits < 16, **dict.fromkeys(NARROW_OPS, lambda t: t.bits > 64)}


@dataclass
class Case:
    """A function of operands in memory that stores its result there; types of the operands that vary."""

    name: str
    function: Function
    types: tuple[Type, ...]
    result: Type
    holes: dict[str, int] = field(default_factory=dict)
    fp: bool = False


def stored(b: Builder, v: Value) -> Value:
    """The value in a type whose memory layout both engines share: vectors of i1 as bytes."""
    return v.sext(with_lanes(v.type, I8)) if v.type.lanes and v.type.bits == 1 else v


def case(name: str, types: tuple[Type, ...], make: Callable[..., Value], **options: Any) -> Case:
    b = Builder(name)
    out = stored(b, make(b, *(b.ldenv(STEP * k, t) for k, t in enumerate(types))))
    b.stenv(RESULT, out)
    b.ret()
    return Case(name, b.function, types, out.type, **options)


def classes(op: str) -> dict[str, tuple[Type, ...]]:
    skip = NOT_ON.get(op, lambda t: False)
    ints = tuple(t for t in SCALARS + VECTORS if not skip(t))
    return {"int": ints, "any": (*ints, *FLOATS), "num": ints + FLOATS, "float": FLOATS}


def operand_types(op: str) -> Iterator[tuple[Type, ...]]:
    """All operand types that the signature of a plain op allows."""
    tokens = OPS[op].signature.partition("->")[0].split()
    letter, _, kind = next((t for t in tokens if ":" in t), "").partition(":")
    for t in classes(op)[kind] if kind else (I64,):
        yield tuple(t if k.partition(":")[0] == letter else parse_type(k) for k in tokens)


PLAIN = """
    add sub mul umulh smulh udiv sdiv and or xor shl lshr ashr rotr clz ctz popcnt bitrev bswap umin umax smin smax
    uaddsat saddsat usubsat ssubsat uaddo saddo ssubo eq ne ult ule slt sle table align clmul
    aes_enc aes_dec aes_mix aes_inv_mix sha256_abcd sha256_efgh sha256_schedule0 sha256_schedule1
"""


def plain_cases() -> Iterator[Case]:
    for op in PLAIN.split():
        for types in operand_types(op):
            yield case(f"{op} {types[0]}", types, lambda b, *args, op=op: b.op(op, *args))
    for op in ("crc32", "crc32c"):
        for t in (I8, I16, I32, I64):
            yield case(f"{op} {t}", (I32, t), lambda b, *args, op=op: b.op(op, *args))
    for kind in ("choose", "parity", "majority"):
        v = vec(4, I32)
        yield case(f"sha1 {kind}", (v, I32, v), lambda b, *args, kind=kind: b.op("sha1_rounds", *args, kind=kind))


def constant_cases() -> Iterator[Case]:
    """Second operands that are known numbers or holes: shifts and divisions past the edge."""
    for op in ("shl", "lshr", "ashr", "rotr", "udiv", "sdiv", "mul", "add"):
        for t in (I8, I32, I64, vec(4, I32), vec(2, I64)):
            for n in (0, 1, t.bits - 1, t.bits, t.bits + 1, t.mask):
                yield case(f"{op} {t} const {n}", (t,), lambda b, x, op=op, n=n: b.op(op, x, b.const(n, x.type)))
    for op in ("shl", "lshr", "ashr", "rotr", "add", "and"):
        for t in (I32, I64):
            for n in (0, 1, t.bits - 1):

                def shifted(b: Builder, x: Value, op: str = op, n: int = n, t: Type = t) -> Value:
                    return b.op(op, x, b.hole(f"h{n}", 0, t.bits - 1, t))

                yield case(f"{op} {t} hole {n}", (t,), shifted, holes={f"h{n}": n})


def vector_hole_cases() -> Iterator[Case]:
    """One hole for all lanes: shifts, and the place of align."""
    for t in VECTORS:
        for op in ("shl", "lshr", "ashr", "add"):
            for n in (0, 1, t.bits - 1, t.bits, t.bits + 1, 255):

                def by_all(b: Builder, x: Value, op: str = op, n: int = n, t: Type = t) -> Value:
                    return b.op(op, x, b.splat(b.hole("n", 0, max(n, t.bits), t.scalar), t.lanes))

                yield case(f"{op} {t} hole {n}", (t,), by_all, holes={"n": n})
    v = vec(16, I8)
    for n in range(18):
        yield case(f"align const {n}", (v, v), lambda b, x, y, n=n: b.op("align", x, y, b.const(n)))

        def at(b: Builder, x: Value, y: Value, n: int = n) -> Value:
            return b.op("align", x, y, b.hole("n", 0, max(n, 15)))

        yield case(f"align hole {n}", (v, v), at, holes={"n": n})


def select_cases() -> Iterator[Case]:
    for t in (*SCALARS, *VECTORS, *FLOATS):
        yield case(f"select {t}", (I1, t, t), lambda b, c, x, y: b.select(c, x, y))
        if t.lanes:

            def by_lane(b: Builder, m: Value, x: Value, y: Value) -> Value:
                return b.select(m.ne(0), x, y)

            yield case(f"select lanes {t}", (vec(t.lanes, I8), t, t), by_lane)
    for t in VECTORS:
        yield case(f"any {t}", (t,), lambda b, x: b.op("any", x.ne(0), type=I1))


def conversion_cases() -> Iterator[Case]:
    for a in SCALARS:
        for t in SCALARS:
            yield from _conversions(a, t)
    for a in VECTORS:
        for elem in (I8, I16, I32, I64):
            yield from _conversions(a, vec(a.lanes, elem))
    every = (*SCALARS[1:], F32, F64, *VECTORS, *FLOATS[2:], F16, vec(4, F16))
    for a in every:
        for t in every:
            if a is not t and a.size == t.size:
                yield case(f"bitcast {a} {t}", (a,), lambda b, x, t=t: x.bitcast(t))


def _conversions(a: Type, t: Type) -> Iterator[Case]:
    if a.bits < t.bits:
        yield case(f"zext {a} {t}", (a,), lambda b, x: x.zext(t))
        yield case(f"sext {a} {t}", (a,), lambda b, x: x.sext(t))
    elif a.bits > t.bits:
        yield case(f"trunc {a} {t}", (a,), lambda b, x: x.trunc(t))


def lane_cases() -> Iterator[Case]:
    rng = random.Random(5)
    for t in (*VECTORS, *FLOATS[2:]):
        yield case(f"splat {t}", (t.scalar,), lambda b, x, t=t: b.splat(x, t.lanes))
        yield case(f"extract {t}", (t, I64), lambda b, x, n: x.lane(n))
        yield case(f"insert {t}", (t, t.scalar, I64), lambda b, x, y, n: x.with_lane(n, y))
        for n in (0, t.lanes - 1, t.lanes, (1 << 64) - 1):
            yield case(f"extract {t} const {n}", (t,), lambda b, x, n=n: x.lane(n))
            yield case(f"insert {t} const {n}", (t, t.scalar), lambda b, x, y, n=n: x.with_lane(n, y))
        for n in (0, t.lanes - 1, t.lanes + 1):

            def picked(b: Builder, x: Value, n: int = n, top: int = max(t.lanes - 1, n)) -> Value:
                return x.lane(b.hole("lane", 0, top))

            yield case(f"extract {t} hole {n}", (t,), picked, holes={"lane": n})
        for k in range(3):
            mask = tuple(rng.randrange(2 * t.lanes) for _ in range(t.lanes << k >> 1 or 1))
            yield case(f"shuffle {t} {mask}", (t, t), lambda b, x, y, mask=mask: b.shuffle(x, y, mask))
    yield case("const lanes", (I64,), lambda b, x: b.const(0x1234, vec(8, I16)))


# -- operands -----------------------------------------------------------------------------------------------------
def random_lane(rng: random.Random, t: Type) -> int:
    n = t.bits
    if t.is_float:
        return random_float(rng, n)
    edges = (0, 1, 2, n - 1, n, n + 1, t.mask, t.mask - 1, t.mask >> 1, (t.mask >> 1) + 1)
    kind = rng.randrange(4)
    if kind < 2:
        return rng.choice(edges) & t.mask
    return rng.randrange(2 * n) & t.mask if kind == 2 else rng.getrandbits(n)


def random_float(rng: random.Random, bits: int) -> int:
    fraction = {16: 10, 32: 23, 64: 52}[bits]
    top = (1 << (bits - 1 - fraction)) - 1  # exponent of infinities and NaNs
    exponent = rng.choice((0, 0, 1, top, top - 1, *(top // 2 + rng.randrange(-70, 70) for _ in range(5)))) % (top + 1)
    mantissa = rng.choice((0, 1, 1 << (fraction - 1), rng.getrandbits(fraction), rng.getrandbits(8) << (fraction - 8)))
    return rng.getrandbits(1) << (bits - 1) | exponent << fraction | mantissa


def random_operand(rng: random.Random, t: Type) -> bytes:
    n = (t.bits + 7) // 8
    return b"".join(random_lane(rng, t.scalar).to_bytes(n, "little") for _ in range(t.lanes or 1))


class Machine:
    """The same memory contents for both engines, in turn."""

    def __init__(self, cases: list[Case], machine: str | None) -> None:
        holes: dict[str, int] = {}
        for k, c in enumerate(cases):
            c.function.name = f"case{k}"
            for v in c.function.holes().values():  # one module: the holes of each function get its own names
                v.attrs["name"] = v.attrs["name"] + f"@{k}"
            c.holes = {f"{name}@{k}": value for name, value in c.holes.items()}
            holes.update(c.holes)
        called = softfma.functions() if any(c.name.startswith("fma ") for c in cases) else []
        self.native = Native([*called, *(c.function for c in cases)], machine, holes)
        self.memory = Memory()
        self.evaluator = Evaluator(self.memory.address)

    def run(self, c: Case, operands: list[bytes]) -> tuple[bytes, bytes]:
        """What the evaluator and the native code store."""
        out: list[bytes] = []
        native = self.native.function(c.function.name)
        for engine in (lambda: self.evaluator.run(c.function, c.holes), lambda: native(self.memory.address)):
            self.memory.write(0, bytes(4096))
            for k, data in enumerate(operands):
                self.memory.write(STEP * k, data)
            engine()
            out.append(self.memory.read(RESULT, STEP) + self.memory.read(FLAGS, 4))
        return out[0], out[1]


MACHINES = [None, "x86_64"] if platform.machine() == "x86_64" else [None]


def agree(cases: list[Case], machine: str | None, same: Callable[[Case, bytes, bytes], bool] | None = None) -> None:
    m, rng = Machine(cases, machine), random.Random(7)
    wrong: list[str] = []
    for c in cases:
        for _ in range(SETS):
            operands = [random_operand(rng, t) for t in c.types]
            want, got = m.run(c, operands)
            if want != got and not (same and same(c, want, got)):
                size = c.result.bytes
                wrong.append(
                    f"{c.name}: {[x[::-1].hex() for x in operands]}: evaluator {want[:size][::-1].hex()} "
                    f"{want[-4:].hex()}, native {got[:size][::-1].hex()} {got[-4:].hex()}"
                )
                break
    assert not wrong, f"{len(wrong)} of {len(cases)} cases:\n" + "\n".join(wrong)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "make", [plain_cases, constant_cases, vector_hole_cases, select_cases, conversion_cases, lane_cases]
)
def test_evaluator_and_llvm_agree(make: Callable[[], Iterator[Case]], machine: str | None) -> None:
    agree(list(make()), machine)


OTHERS = [
    ("aarch64", "generic", ""),
    ("aarch64", "generic", "+crc,+aes,+sha2"),
    ("x86_64", "x86-64-v3", "+aes,+pclmul,+sha"),
]


@pytest.mark.parametrize("machine, cpu, features", OTHERS)
def test_all_compile_for_other_hosts(machine: str, cpu: str, features: str) -> None:
    """LLVM knows every instruction that the rules for a host name, and calls no library."""
    target_machine(machine)  # so that all targets are there
    host = host_module(machine)
    have = frozenset(f[1:] for f in features.split(",") if f) | host.LEAST_FEATURES
    text = Module(host, {}, have)
    for k, c in enumerate(c for make in (plain_cases, conversion_cases, lane_cases) for c in make() if not c.holes):
        c.function.name = f"case{k}"
        text.add(c.function)
    target = llvm.Target.from_triple(host.TRIPLE)
    machine_ = target.create_target_machine(
        cpu=cpu, features=features, opt=2, reloc="static", codemodel=host.CODE_MODEL
    )
    elf = ELFFile(io.BytesIO(machine_.emit_object(llvm.parse_assembly(text.text()))))
    names = {s.name for s in elf.get_section_by_name(".symtab").iter_symbols() if s["st_shndx"] == "SHN_UNDEF"}
    assert names <= {""}, "calls to a library"
