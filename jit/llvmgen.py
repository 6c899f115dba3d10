"""IR to LLVM assembly text.  One emitter a kind of op; an op without one fails loudly with its name and types.

A stencil is a preserve_nonecc function of the CPU state's address that ends in musttail calls, so that the state stays
in one host register.  Holes are extern_weak absolute symbols: LLVM then puts the number into a displacement or immediate
and may not assume that it differs from 0 or from another hole.  Continuations that the code cache does not place
behind a stencil are reached through pointers in the CPU state (`slots`), which keeps stencils position-independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

from jit import by_hole, expand_crypto, softfma
from jit.ir import Body, Function, IRError, Value
from jit.types import I1, I64, VOID, Type, with_lanes

CC = "preserve_nonecc"
_FLOATS = {16: "half", 32: "float", 64: "double"}
_PRED = {"eq": "eq", "ne": "ne", "ult": "ult", "ule": "ule", "slt": "slt", "sle": "sle"}
_SIMPLE = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_MINMAX = {
    "umin": "umin", "umax": "umax", "smin": "smin", "smax": "smax",
    "uaddsat": "uadd.sat", "saddsat": "sadd.sat", "usubsat": "usub.sat", "ssubsat": "ssub.sat",
}  # fmt: skip
_FP = {"fadd": "fadd", "fsub": "fsub", "fmul": "fmul", "fdiv": "fdiv", "fsqrt": "sqrt", "fma": "fma"}
_FP_PRED = {"eq": "oeq", "lt": "olt", "le": "ole", "uno": "uno", "ueq": "ueq"}
# LLVM's name, and whether it reads the rounding mode
_FP_ROUND = {
    "even": ("roundeven", False), "up": ("ceil", False), "down": ("floor", False), "zero": ("trunc", False),
    "current": ("nearbyint", True), "exact": ("rint", True),
}  # fmt: skip
_FENCE = {"full": "seq_cst", "acquire": "acquire", "release": "release"}
_STRICT = 'metadata !"fpexcept.strict"'
_ROUND = 'metadata !"round.dynamic"'


def llvm_type(t: Type) -> str:
    if t.lanes:
        return f"<{t.lanes} x {llvm_type(t.scalar)}>"
    return _FLOATS[t.bits] if t.kind == "float" else "ptr" if t.kind == "ptr" else "void" if t is VOID else f"i{t.bits}"


class Module:
    """LLVM text of any number of functions, with the declarations that they need."""

    def __init__(
        self, host: ModuleType, slots: Mapping[str, int], features: frozenset[str] = frozenset()
    ) -> None:
        self.host, self.slots, self.features = host, slots, features
        self.declarations: set[str] = set()
        self.defined: set[str] = set()
        self.functions: list[str] = []
        self.holes: dict[str, tuple[int, int]] = {}

    def add(self, function: Function) -> None:
        self.defined.add(function.name)
        self.functions.append(_FunctionText(self, function).text())

    def text(self) -> str:
        head = [f'target triple = "{self.host.TRIPLE}"', "!9 = !{i64 -1, i64 -1}", '!8 = !{!"branch_weights", i32 4000, i32 1}',
                '!7 = !{!"branch_weights", i32 1, i32 4000}', "!6 = !{}"]  # fmt: skip
        for k, (name, (lo, hi)) in enumerate(sorted(self.holes.items())):
            wide = lo < -(1 << 31) or hi >= 1 << 32
            head.append(f'@"{name}" = extern_weak dso_local global i8, !absolute_symbol !{9 if wide else 10 + k}')
            if not wide:
                head.append(f"!{10 + k} = !{{i64 {lo}, i64 {hi + 1}}}")
        used = (
            d for d in sorted(self.declarations) if d.partition("@")[2].partition("(")[0].strip('"') not in self.defined
        )
        return "\n".join([*head, *used, *self.functions]) + "\n"

    def need(self, declaration: str) -> None:
        self.declarations.update(line for line in declaration.splitlines() if line)


class _FunctionText:
    def __init__(self, module: Module, function: Function) -> None:
        self.m, self.f, self.number = module, function, len(module.functions)
        self.lines: list[str] = []
        self.names: dict[Value, str] = {}
        self.count = 0
        self.block = "entry"
        self.carried: list[dict[int, str]] = []
        self.strict = False
        self.head: list[str] = []
        self.last: list[str] = []

    # -- pieces -----------------------------------------------------------------------------------------------------
    def fresh(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def label(self) -> str:
        self.count += 1
        return f"L{self.count}"

    def put(self, line: str) -> None:
        self.lines.append("  " + line)

    def open(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    def let(self, text: str) -> str:
        name = self.fresh()
        self.put(f"{name} = {text}")
        return name

    def ref(self, v: Value) -> str:
        return self.names[v]

    def typed(self, v: Value) -> str:
        return f"{llvm_type(v.type)} {self.ref(v)}"

    def literal(self, value: int, t: Type) -> str:
        if t.lanes:
            return f"splat ({llvm_type(t.scalar)} {self.literal(value, t.scalar)})"
        if t.kind == "int":
            return str(value)
        if t.kind == "ptr":
            if value:
                raise IRError("only the null pointer is a constant")
            return "null"
        digits = {16: f"0xH{value:04X}", 64: f"0x{value:016X}"}
        return digits[t.bits] if t.bits in digits else f"bitcast (i32 {value} to float)"

    # -- whole function -----------------------------------------------------------------------------------------------
    def text(self) -> str:
        f = self.f
        self.open("entry")
        self.run(f.body)
        self.lines[1:1] = self.head
        self.lines += self.last
        cc, args = (CC + " ", "ptr %env") if f.kind == "stencil" else ("", "ptr %env")
        if f.kind == "function":
            args = ", ".join(["ptr %env", *(f"{llvm_type(t)} %a{k}" for k, t in enumerate(f.arg_types))])
        strict = " strictfp" if self.strict else ""
        strict += " cold noinline" if f.cold and f.kind == "function" else ""
        attrs = f'nounwind{strict} "no-jump-tables"="true" section ".text.{f.name}"'
        return f'define {cc}{llvm_type(f.ret)} @"{f.name}"({args}) {attrs} {{\n' + "\n".join(self.lines) + "\n}"

    def run(self, body: Body) -> None:
        for v in body:
            handler = _EMIT.get(v.op)
            if handler is None:
                raise IRError(f"the LLVM back end has no rule for {v.op} of {[str(a.type) for a in v.args]}")
            name = handler(self, v)
            if name is not None:
                self.names[v] = name

    def run_last(self, label: str, body: Body) -> None:
        """A body that leaves goes to the function's end: LLVM makes conditional jumps only of tail calls further on."""
        lines, self.lines = self.lines, []
        self.open(label)
        self.run(body)
        self.last += self.lines
        self.lines = lines

    def tail(self, name: str) -> None:
        """musttail to a continuation: directly, or through its slot in the CPU state."""
        slot = self.m.slots.get(name) if self.f.kind == "stencil" else None
        if slot is None or name in self.m.defined:
            self.m.need(f'declare dso_local {CC} void @"{name}"(ptr)')
            target = f'@"{name}"'
        else:
            target = self.let(f"load ptr, ptr {self.address(str(slot))}")
        self.put(f"musttail call {CC} void {target}(ptr %env)")
        self.put("ret void")

    def address(self, offset: str) -> str:
        return self.let(f"getelementptr i8, ptr %env, i64 {offset}")

    def sequence(self, values: list[Value]) -> str:
        return ", ".join(self.typed(v) for v in values)

    def intrinsic(self, name: str, t: Type, args: str, arg_types: str, ret: str | None = None) -> str:
        self.m.need(f"declare {ret or llvm_type(t)} @{name}({arg_types})")
        return self.let(f"call {ret or llvm_type(t)} @{name}({args})")


def _suffix(t: Type) -> str:
    s = ("f" if t.kind == "float" else "i") + str(t.bits)
    return f"v{t.lanes}{s}" if t.lanes else s


def _const(c: _FunctionText, v: Value) -> str:
    return c.literal(v.attrs["value"], v.type)


def _hole(c: _FunctionText, v: Value) -> str:
    # functions of one module have holes of the same name with other ranges: the symbol carries the function's number
    symbol = f"{c.number}:{v.attrs['name']}"
    lo, hi = c.m.holes.get(symbol, (v.attrs["lo"], v.attrs["hi"]))
    c.m.holes[symbol] = (min(lo, v.attrs["lo"]), max(hi, v.attrs["hi"]))
    text = f'ptrtoint (ptr @"{symbol}" to {llvm_type(v.type)})'
    if v.type.bits == 64 and (v.attrs["lo"] < -(1 << 31) or v.attrs["hi"] >= 1 << 31):
        return c.let(c.m.host.OPAQUE.format(text))
    return text


def _simple(c: _FunctionText, v: Value) -> str:
    return c.let(f"{_SIMPLE[v.op]} {c.typed(v.args[0])}, {c.ref(v.args[1])}")


def _compare(c: _FunctionText, v: Value) -> str:
    return c.let(f"icmp {_PRED[v.op]} {c.typed(v.args[0])}, {c.ref(v.args[1])}")


def _known_amount(amount: Value, width: int) -> bool:
    """True where a shift amount is certainly less than the width, so that LLVM's own shift is total."""
    if amount.op == "const":
        return amount.attrs["value"] < width
    if amount.op in ("zext", "splat", "trunc") and amount.args[0].op == "hole":
        amount = amount.args[0]
    if amount.op == "hole":
        return 0 <= amount.attrs["lo"] and amount.attrs["hi"] < width
    if amount.op == "and":
        return amount.args[1].op == "const" and amount.args[1].attrs["value"] < width
    return False


def _wide_hole(c: _FunctionText, hole: Value) -> str:
    """The hole as i64: an immediate of inline asm is an address."""
    text = c.ref(hole)
    return text[: text.rindex(" to ")] + " to i64)"


def _by_hole(c: _FunctionText, name: str, number: Value, *operands: str) -> str:
    """The host's instruction `name` on 16-byte vectors (typed operands), with a hole as its immediate."""
    return c.let(c.m.host.by_hole(name, _wide_hole(c, number), list(operands), c.m.features))


def _shift_lanes_by_hole(c: _FunctionText, v: Value) -> str | None:
    """Vector lanes shifted by one hole, where the host can; its instructions are total as the op is."""
    hole, shifts = by_hole.uniform(v.args[1]), c.m.host.VECTOR_SHIFTS
    if hole is None or not shifts or v.type.size > 128:
        return None
    if v.type.bits == 8:
        return _expanded(c, v, lambda: by_hole.shift_bytes(v, hole))
    name, lanes, part = shifts.get((v.op, v.type.bits)), 128 // v.type.bits, v.type.lanes
    if name is None:
        return None
    if part == lanes:
        return _by_hole(c, name, hole, c.typed(v.args[0]))
    whole = f"<{lanes} x {llvm_type(v.type.scalar)}>"
    t, order = llvm_type(v.type), ", ".join(f"i32 {min(k, part)}" for k in range(lanes))
    x = c.let(f"shufflevector {c.typed(v.args[0])}, {t} zeroinitializer, <{lanes} x i32> <{order}>")
    out, order = _by_hole(c, name, hole, f"{whole} {x}"), ", ".join(f"i32 {k}" for k in range(part))
    return c.let(f"shufflevector {whole} {out}, {whole} poison, <{part} x i32> <{order}>")


def _shift(c: _FunctionText, v: Value) -> str:
    found = _shift_lanes_by_hole(c, v)
    if found is not None:
        return found
    x, n = v.args
    t, width = llvm_type(v.type), v.type.bits
    if _known_amount(n, width):
        if n.op == "hole" and width in (32, 64) and not v.type.lanes and c.m.host.SHIFT_BY_HOLE:
            number = c.ref(n).replace(" to i32)", " to i64)")  # an immediate of inline asm is an address
            return c.let(c.m.host.SHIFT_BY_HOLE[v.op].format(x=c.ref(x), n=number, t=t, q="lq"[width // 64]))
        return c.let(f"{v.op} {t} {c.ref(x)}, {c.ref(n)}")
    last = c.literal(width - 1, v.type)
    if v.op == "ashr":
        capped = c.intrinsic(f"llvm.umin.{_suffix(v.type)}", v.type, f"{t} {c.ref(n)}, {t} {last}", f"{t}, {t}")
        return c.let(f"ashr {t} {c.ref(x)}, {capped}")
    out = c.let(f"{v.op} {t} {c.ref(x)}, {c.ref(n)}")  # poison for large amounts, which select then doesn't choose
    small = c.let(f"icmp ule {t} {c.ref(n)}, {last}")
    i1 = llvm_type(with_lanes(v.type, I1))
    return c.let(f"select {i1} {small}, {t} {out}, {t} {c.literal(0, v.type)}")


def _rotr(c: _FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    x, n = c.ref(v.args[0]), c.ref(v.args[1])
    return c.intrinsic(f"llvm.fshr.{_suffix(v.type)}", v.type, f"{t} {x}, {t} {x}, {t} {n}", f"{t}, {t}, {t}")


def _divide(c: _FunctionText, v: Value) -> str:
    t, x, d = llvm_type(v.type), c.ref(v.args[0]), c.ref(v.args[1])
    truth, none, one = llvm_type(with_lanes(v.type, I1)), c.literal(0, v.type), c.literal(1, v.type)
    zero = c.let(f"icmp eq {t} {d}, {none}")
    special = zero
    if v.op == "sdiv":
        minus = c.let(f"icmp eq {t} {d}, {c.literal(v.type.mask, v.type)}")
        special = c.let(f"or {truth} {zero}, {minus}")
    safe = c.let(f"select {truth} {special}, {t} {one}, {t} {d}")
    q = c.let(f"{v.op} {t} {x}, {safe}")
    if v.op == "sdiv":
        neg = c.let(f"sub {t} {none}, {x}")
        q = c.let(f"select {truth} {minus}, {t} {neg}, {t} {q}")
    return c.let(f"select {truth} {zero}, {t} {none}, {t} {q}")


def _mulh(c: _FunctionText, v: Value) -> str:
    t, n = llvm_type(v.type), v.type.bits
    wide = f"<{v.type.lanes} x i{2 * n}>" if v.type.lanes else f"i{2 * n}"
    ext = "zext" if v.op == "umulh" else "sext"
    a, b = (c.let(f"{ext} {c.typed(x)} to {wide}") for x in v.args)
    p = c.let(f"mul {wide} {a}, {b}")
    amount = f"splat (i{2 * n} {n})" if v.type.lanes else str(n)
    high = c.let(f"lshr {wide} {p}, {amount}")
    return c.let(f"trunc {wide} {high} to {t}")


def _count(c: _FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    name = {"clz": "ctlz", "ctz": "cttz", "popcnt": "ctpop", "bitrev": "bitreverse", "bswap": "bswap"}[v.op]
    flag = ("i1 false", ", i1") if name in ("ctlz", "cttz") else ("", "")
    args = f"{t} {c.ref(v.args[0])}" + (f", {flag[0]}" if flag[0] else "")
    return c.intrinsic(f"llvm.{name}.{_suffix(v.type)}", v.type, args, t + flag[1])


def _minmax(c: _FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    return c.intrinsic(f"llvm.{_MINMAX[v.op]}.{_suffix(v.type)}", v.type, c.sequence(list(v.args)), f"{t}, {t}")


def _overflow(c: _FunctionText, v: Value) -> str:
    t = v.args[0].type
    pair = f"{{ {llvm_type(t)}, {llvm_type(v.type)} }}"
    name = f"llvm.{v.op[:-1]}.with.overflow.{_suffix(t)}"
    p = c.intrinsic(name, t, c.sequence(list(v.args)), f"{llvm_type(t)}, {llvm_type(t)}", pair)
    return c.let(f"extractvalue {pair} {p}, 1")


def _select(c: _FunctionText, v: Value) -> str:
    keep = "" if v.args[0].type.lanes else ", !unpredictable !6"  # else LLVM likes branches where an arm is a load
    return c.let(f"select {c.sequence(list(v.args))}{keep}")


def _convert(c: _FunctionText, v: Value) -> str:
    return c.let(f"{v.op} {c.typed(v.args[0])} to {llvm_type(v.type)}")


def _splat(c: _FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    lane = c.typed(v.args[0])
    if v.args[0].op == "hole" and c.ref(v.args[0]).startswith("ptrtoint"):
        # LLVM would compute with a constant expression lane by lane
        n = c.let(c.m.host.OPAQUE.format(_wide_hole(c, v.args[0])))
        lane = f"i64 {n}" if v.type.bits == 64 else f"i{v.type.bits} " + c.let(f"trunc i64 {n} to i{v.type.bits}")
    first = c.let(f"insertelement {t} poison, {lane}, i64 0")
    return c.let(f"shufflevector {t} {first}, {t} poison, <{v.type.lanes} x i32> zeroinitializer")


def _lane(c: _FunctionText, index: Value, lanes: int) -> str:
    """A lane number in range: LLVM's own extract and insert are poison past the end."""
    if index.op == "const":
        return f"i64 {index.attrs['value'] % lanes}"
    if index.op == "hole" and 0 <= index.attrs["lo"] and index.attrs["hi"] < lanes:
        return c.typed(index)
    op = f"and i64 {c.ref(index)}, {lanes - 1}" if lanes & (lanes - 1) == 0 else f"urem i64 {c.ref(index)}, {lanes}"
    return f"i64 {c.let(op)}"


def _extract(c: _FunctionText, v: Value) -> str:
    return c.let(f"extractelement {c.typed(v.args[0])}, {_lane(c, v.args[1], v.args[0].type.lanes)}")


def _insert(c: _FunctionText, v: Value) -> str:
    lane = _lane(c, v.args[2], v.type.lanes)
    return c.let(f"insertelement {c.typed(v.args[0])}, {c.typed(v.args[1])}, {lane}")


def _shuffle(c: _FunctionText, v: Value) -> str:
    mask = ", ".join(f"i32 {k}" for k in v.attrs["mask"])
    return c.let(f"shufflevector {c.sequence(list(v.args))}, <{len(v.attrs['mask'])} x i32> <{mask}>")


def _table(c: _FunctionText, v: Value) -> str:
    name = c.fresh()
    lines, declare = c.m.host.table(name, c.ref(v.args[0]), c.ref(v.args[1]))
    c.m.need(declare)
    for line in lines:
        c.put(line)
    return name


def _align(c: _FunctionText, v: Value) -> str:
    low, high, n = v.args
    if n.op == "const":
        order = ", ".join(f"i32 {n.attrs['value'] % 16 + k}" for k in range(16))
        return c.let(f"shufflevector {c.typed(low)}, {c.typed(high)}, <16 x i32> <{order}>")
    if c.m.host.ALIGN and n.op == "hole" and n.attrs["lo"] >= 0 and n.attrs["hi"] < 16:
        return _by_hole(c, c.m.host.ALIGN, n, c.typed(high), c.typed(low))
    return _expanded(c, v, lambda: by_hole.align_by_table(v))


def _host_rule(c: _FunctionText, op: str, variant: str = "") -> str | None:
    """The host's own way to do a checksum or cipher op, where its CPU has one."""
    feature, text = c.m.host.CRYPTO_RULES.get(op + variant) or (None, None)
    return text if feature in c.m.features else None


def _crypto(c: _FunctionText, v: Value) -> str:
    variant = f".{v.attrs['kind']}" if v.attrs else f".{v.args[1].type}" if v.op.startswith("crc") else ""
    text = _host_rule(c, v.op, variant)
    if text is None:
        return _expanded(c, v, lambda: expand_crypto.expand(v, lambda op: _host_rule(c, op) is not None))
    name = c.fresh()
    c.m.need(c.m.host.CRYPTO_DECLARATIONS)
    for line in text.format(*map(c.ref, v.args), r=name).split("\n"):
        if line:
            c.put(line)
    return name


def _expanded(c: _FunctionText, v: Value, make: Callable[[], Value]) -> str:
    """v as the simpler ops that `make` emits."""
    b, body = v.builder, Body()
    saved, b.body = b.body, body
    try:
        out = make()
    finally:
        b.body = saved
    c.run(body)
    return c.ref(out)


def _constrained(c: _FunctionText, name: str, v: Value, extra: str, ret: Type | None = None) -> str:
    c.strict = True
    args = c.sequence(list(v.args)) + ", " + extra
    kinds = ", ".join([llvm_type(a.type) for a in v.args] + ["metadata"] * extra.count("metadata"))
    out = llvm_type(ret or v.type)
    c.m.need(f"declare {out} @llvm.experimental.constrained.{name}({kinds})")
    return c.let(f"call {out} @llvm.experimental.constrained.{name}({args}) strictfp")


def _fp(c: _FunctionText, v: Value) -> str:
    if v.op == "fma" and c.m.host.FMA not in (None, *c.m.features):
        return _expanded(c, v, lambda: softfma.expand(v))
    return _constrained(c, f"{_FP[v.op]}.{_suffix(v.type)}", v, f"{_ROUND}, {_STRICT}")


def _fp_convert(c: _FunctionText, v: Value) -> str:
    src = v.args[0].type
    if v.op == "utof" and src.lanes and src.bits == 32 and c.m.host.VECTOR_UTOF not in (None, *c.m.features):
        # LLVM's replacement gives -0 for 0 when rounding down; as signed numbers of 64 bits they convert alike
        return _expanded(c, v, lambda: v.builder.op("itof", v.args[0].zext(I64), type=v.type))
    name = {"fext": "fpext", "ftrunc": "fptrunc", "itof": "sitofp", "utof": "uitofp"}[v.op]
    extra = _STRICT if v.op == "fext" else f"{_ROUND}, {_STRICT}"
    return _constrained(c, f"{name}.{_suffix(v.type)}.{_suffix(src)}", v, extra)


def _fp_compare(c: _FunctionText, v: Value) -> str:
    name = "fcmps" if v.attrs["signals"] else "fcmp"
    pred = _FP_PRED[v.attrs["pred"]]
    return _constrained(c, f"{name}.{_suffix(v.args[0].type)}", v, f'metadata !"{pred}", {_STRICT}')


def _fp_round(c: _FunctionText, v: Value) -> str:
    name, dynamic = _FP_ROUND[v.attrs["mode"]]
    return _constrained(c, f"{name}.{_suffix(v.type)}", v, f"{_ROUND}, {_STRICT}" if dynamic else _STRICT)


def _fp_to_int(c: _FunctionText, v: Value) -> str:
    # LLVM's own result is poison out of range; hosts say what theirs is.  Nothing is known of the operand here, so
    # that nothing is folded, and freeze stops what could be concluded from the result.
    found = _constrained(c, f"fptosi.{_suffix(v.type)}.{_suffix(v.args[0].type)}", v, _STRICT)
    frozen = c.let(f"freeze {llvm_type(v.type)} {found}")
    name = c.fresh()
    lines, result = c.m.host.ftoi(name, frozen, llvm_type(v.type), v.type.bits, c.typed(v.args[0]))
    for line in lines:
        c.put(line)
    return result


def _any(c: _FunctionText, v: Value) -> str:
    lanes = v.args[0].type.lanes
    whole = c.let(f"bitcast {c.typed(v.args[0])} to i{lanes}")
    return c.let(f"icmp ne i{lanes} {whole}, 0")


def _fp_state(c: _FunctionText, v: Value) -> str | None:
    c.strict = True
    c.m.need(c.m.host.FP_DECLARATIONS)
    if c.m.host.FP_SLOT and not c.head:
        c.head = ["  " + c.m.host.FP_SLOT]
    name = c.fresh()
    make: Callable[..., list[str]] = getattr(c.m.host, v.op)
    for line in make(name, *(c.ref(a) for a in v.args)):
        c.put(line)
    return name if v.args == () else None


def _ldenv(c: _FunctionText, v: Value) -> str:
    return c.let(f"load {llvm_type(v.type)}, ptr {c.address(c.ref(v.args[0]))}")


def _stenv(c: _FunctionText, v: Value) -> None:
    c.put(f"store {c.typed(v.args[1])}, ptr {c.address(c.ref(v.args[0]))}")


def _ptradd(c: _FunctionText, v: Value) -> str:
    return c.let(f"getelementptr i8, {c.typed(v.args[0])}, i64 {c.ref(v.args[1])}")


def _ordered(t: Type) -> bool:
    """Whether hosts have an atomic access of this type: a wider atomic load would be a compare and exchange."""
    return t.is_int and not t.lanes and t.bits in (8, 16, 32, 64)


def _ld(c: _FunctionText, v: Value) -> str:
    t, p = v.type, c.typed(v.args[0])
    if v.attrs["order"] == "plain":
        return c.let(f"load {llvm_type(t)}, {p}, align 1")
    if _ordered(t):
        return c.let(f"load atomic {llvm_type(t)}, {p} seq_cst, align {t.bytes}")
    out = c.let(f"load {llvm_type(t)}, {p}, align 1")
    c.put("fence acquire")
    return out


def _st(c: _FunctionText, v: Value) -> None:
    t, p = v.args[1].type, f"{c.typed(v.args[1])}, {c.typed(v.args[0])}"
    if v.attrs["order"] == "plain":
        c.put(f"store {p}, align 1")
    elif _ordered(t):
        c.put(f"store atomic {p} seq_cst, align {t.bytes}")
    else:
        raise IRError(f"no ordered store of {t}")


def _cmpxchg(c: _FunctionText, v: Value) -> str:
    p = c.let(f"cmpxchg {c.sequence(list(v.args))} seq_cst seq_cst")
    t = llvm_type(v.type)
    return c.let(f"extractvalue {{ {t}, i1 }} {p}, 0")


def _rmw(c: _FunctionText, v: Value) -> str:
    kind = {"smax": "max", "smin": "min"}.get(v.attrs["kind"], v.attrs["kind"])
    return c.let(f"atomicrmw {kind} {c.sequence(list(v.args))} seq_cst")


def _branch_weights(likely: bool | None) -> str:
    return "" if likely is None else ", !prof !8" if likely else ", !prof !7"


def _if(c: _FunctionText, v: Value) -> None:
    yes, no, end = c.label(), c.label(), c.label()
    c.put(f"br i1 {c.ref(v.args[0])}, label %{yes}, label %{no}{_branch_weights(v.attrs['likely'])}")
    ends: list[tuple[str, tuple[Value, ...]]] = []
    for label, body in zip((yes, no), v.bodies, strict=True):
        if body.yields is None:
            c.run_last(label, body)
            continue
        c.open(label)
        c.run(body)
        ends.append((c.block, body.yields))
        c.put(f"br label %{end}")
    c.open(end)
    for k, first in enumerate(ends[0][1]):
        ways = ", ".join(f"[ {c.ref(y[k])}, %{label} ]" for label, y in ends)
        c.names[_Result(v, k)] = c.let(f"phi {llvm_type(first.type)} {ways}")  # type: ignore[index]


def _loop(c: _FunctionText, v: Value) -> None:
    before, head, end = c.block, c.label(), c.label()
    body = v.bodies[0]
    c.put(f"br label %{head}")
    c.open(head)
    phis = [c.fresh() for _ in v.args]
    at = len(c.lines)
    c.carried.append(dict(enumerate(phis)))
    c.run(body)
    c.carried.pop()
    again, *nxt = body.yields or ()
    last = c.block
    c.put(f"br i1 {c.ref(again)}, label %{head}, label %{end}")
    c.lines[at:at] = [
        f"  {p} = phi {llvm_type(a.type)} [ {c.ref(a)}, %{before} ], [ {c.ref(n)}, %{last} ]"
        for p, a, n in zip(phis, v.args, nxt, strict=True)
    ]
    c.open(end)
    for k, n in enumerate(nxt):
        c.names[_Result(v, k)] = c.ref(n)  # type: ignore[index]


class _Result(tuple[Value, int]):
    """Key of a node's k-th result in the name table."""

    def __new__(cls, node: Value, k: int) -> _Result:
        return super().__new__(cls, (node, k))


def _result(c: _FunctionText, v: Value) -> str:
    return c.names[_Result(v.args[0], v.attrs["index"])]  # type: ignore[index]


def _call(c: _FunctionText, v: Value) -> str | None:
    name, t = v.attrs["name"], llvm_type(v.type)
    slot = c.m.slots.get(name)
    if slot is None or name in c.m.defined:
        c.m.need(f'declare dso_local {t} @"{name}"({", ".join(["ptr", *(llvm_type(a.type) for a in v.args)])})')
        target = f'@"{name}"'
    else:
        target = c.let(f"load ptr, ptr {c.address(str(slot))}")
    return _called(c, v, f"call {t} {target}({', '.join(['ptr %env', *(c.typed(a) for a in v.args)])})")


def _callback(c: _FunctionText, v: Value) -> str | None:
    target = c.let(f"load ptr, ptr {c.address(str(v.attrs['offset']))}")
    return _called(c, v, f"call {llvm_type(v.type)} {target}({c.sequence(list(v.args))})")


def _called(c: _FunctionText, v: Value, text: str) -> str | None:
    if v.type is VOID:
        c.put(text)
        return None
    return c.let(text)


def _goto(c: _FunctionText, v: Value) -> None:
    c.tail(v.attrs["name"])


def _branch(c: _FunctionText, v: Value) -> None:
    yes, no = c.label(), c.label()
    c.put(f"br i1 {c.ref(v.args[0])}, label %{yes}, label %{no}")
    c.open(yes)
    c.tail(v.attrs["name"])
    c.open(no)
    c.tail("NEXT")


def _goto_ptr(c: _FunctionText, v: Value) -> None:
    c.put(f"musttail call {CC} void {c.ref(v.args[0])}(ptr %env)")
    c.put("ret void")


def _ret(c: _FunctionText, v: Value) -> None:
    c.put(f"ret {c.typed(v.args[0])}" if v.args else "ret void")


_EMIT: dict[str, Callable[[_FunctionText, Value], str | None]] = {
    "const": _const,
    "hole": _hole,
    "arg": lambda c, v: f"%a{v.attrs['index']}",
    "env": lambda c, v: "%env",
    **dict.fromkeys(_SIMPLE, _simple),
    **dict.fromkeys(_PRED, _compare),
    **dict.fromkeys(("shl", "lshr", "ashr"), _shift),
    "rotr": _rotr,
    **dict.fromkeys(("udiv", "sdiv"), _divide),
    **dict.fromkeys(("umulh", "smulh"), _mulh),
    **dict.fromkeys(("clz", "ctz", "popcnt", "bitrev", "bswap"), _count),
    **dict.fromkeys(_MINMAX, _minmax),
    **dict.fromkeys(("uaddo", "saddo", "ssubo"), _overflow),
    "select": _select,
    "any": _any,
    **dict.fromkeys(("zext", "sext", "trunc", "bitcast", "ptrtoint"), _convert),
    "splat": _splat,
    "extract": _extract,
    "insert": _insert,
    "shuffle": _shuffle,
    "table": _table,
    "align": _align,
    **dict.fromkeys(expand_crypto.OPS, _crypto),
    **dict.fromkeys(_FP, _fp),
    **dict.fromkeys(("fext", "ftrunc", "itof", "utof"), _fp_convert),
    "fcmp": _fp_compare,
    "fround": _fp_round,
    "ftoi": _fp_to_int,
    **dict.fromkeys(("fp_flags", "fp_set_flags", "fp_round", "fp_set_round"), _fp_state),
    "ldenv": _ldenv,
    "stenv": _stenv,
    "ptradd": _ptradd,
    "ld": _ld,
    "st": _st,
    "cmpxchg": _cmpxchg,
    "rmw": _rmw,
    "fence": lambda c, v: c.put(f"fence {_FENCE[v.attrs['order']]}"),
    "if": _if,
    "loop": _loop,
    "result": _result,
    "carried": lambda c, v: c.carried[-1][v.attrs["index"]],
    "call": _call,
    "callback": _callback,
    "run_code": lambda c, v: c.put(f"call {CC} void {c.ref(v.args[0])}(ptr %env)"),
    "leave": _goto,
    "next": lambda c, v: c.tail("NEXT"),
    "goto": _goto,
    "branch": _branch,
    "goto_ptr": _goto_ptr,
    "ret": _ret,
}
