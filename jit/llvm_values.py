"""LLVM text for ops on values: integers, lanes, ciphers, floating point."""

from __future__ import annotations

from collections.abc import Callable

from jit import by_hole, expand_crypto, softfma
from jit.ir import Body, Value
from jit.llvm_function import FunctionText, Rule, llvm_type, suffix
from jit.types import I1, I64, Type, with_lanes

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
_STRICT = 'metadata !"fpexcept.strict"'
_ROUND = 'metadata !"round.dynamic"'


def _const(c: FunctionText, v: Value) -> str:
    return c.literal(v.attrs["value"], v.type)


def _hole(c: FunctionText, v: Value) -> str:
    # functions of one module have holes of the same name with other ranges: the symbol carries the function's number
    symbol = f"{c.number}:{v.attrs['name']}"
    lo, hi = c.m.holes.get(symbol, (v.attrs["lo"], v.attrs["hi"]))
    c.m.holes[symbol] = (min(lo, v.attrs["lo"]), max(hi, v.attrs["hi"]))
    text = f'ptrtoint (ptr @"{symbol}" to {llvm_type(v.type)})'
    if v.type.bits == 64 and (v.attrs["lo"] < -(1 << 31) or v.attrs["hi"] >= 1 << 31):
        return c.let(c.m.host.OPAQUE.format(text))
    return text


def _simple(c: FunctionText, v: Value) -> str:
    return c.let(f"{_SIMPLE[v.op]} {c.typed(v.args[0])}, {c.ref(v.args[1])}")


def _compare(c: FunctionText, v: Value) -> str:
    return c.let(f"icmp {_PRED[v.op]} {c.typed(v.args[0])}, {c.ref(v.args[1])}")


def _known_amount(amount: Value, width: int) -> bool:
    """True where a shift amount is certainly less than the width, so that LLVM's own shift is total."""
    if amount.op == "const":
        return amount.attrs["value"] < width
    if amount.op in ("zext", "splat", "trunc") and amount.args[0].op == "hole":
        amount = amount.args[0]
    if amount.op == "hole":
        return amount.attrs["lo"] >= 0 and amount.attrs["hi"] < width
    if amount.op == "and":
        return amount.args[1].op == "const" and amount.args[1].attrs["value"] < width
    return False


def _wide_hole(c: FunctionText, hole: Value) -> str:
    """The hole as i64: an immediate of inline asm is an address."""
    text = c.ref(hole)
    return text[: text.rindex(" to ")] + " to i64)"


def _by_hole(c: FunctionText, name: str, number: Value, *operands: str) -> str:
    """The host's instruction `name` on 16-byte vectors (typed operands), with a hole as its immediate."""
    return c.let(c.m.host.by_hole(name, _wide_hole(c, number), list(operands), c.m.features))


def _shift_lanes_by_hole(c: FunctionText, v: Value) -> str | None:
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


def _shift(c: FunctionText, v: Value) -> str:
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
        capped = c.intrinsic(f"llvm.umin.{suffix(v.type)}", v.type, f"{t} {c.ref(n)}, {t} {last}", f"{t}, {t}")
        return c.let(f"ashr {t} {c.ref(x)}, {capped}")
    out = c.let(f"{v.op} {t} {c.ref(x)}, {c.ref(n)}")  # poison for large amounts, which select then doesn't choose
    small = c.let(f"icmp ule {t} {c.ref(n)}, {last}")
    i1 = llvm_type(with_lanes(v.type, I1))
    return c.let(f"select {i1} {small}, {t} {out}, {t} {c.literal(0, v.type)}")


def _rotr(c: FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    x, n = c.ref(v.args[0]), c.ref(v.args[1])
    return c.intrinsic(f"llvm.fshr.{suffix(v.type)}", v.type, f"{t} {x}, {t} {x}, {t} {n}", f"{t}, {t}, {t}")


def _divide(c: FunctionText, v: Value) -> str:
    t, x, d = llvm_type(v.type), c.ref(v.args[0]), c.ref(v.args[1])
    truth, none, one = llvm_type(with_lanes(v.type, I1)), c.literal(0, v.type), c.literal(1, v.type)
    zero = c.let(f"icmp eq {t} {d}, {none}")
    special, minus = zero, ""
    if v.op == "sdiv":
        minus = c.let(f"icmp eq {t} {d}, {c.literal(v.type.mask, v.type)}")
        special = c.let(f"or {truth} {zero}, {minus}")
    safe = c.let(f"select {truth} {special}, {t} {one}, {t} {d}")
    q = c.let(f"{v.op} {t} {x}, {safe}")
    if v.op == "sdiv":
        neg = c.let(f"sub {t} {none}, {x}")
        q = c.let(f"select {truth} {minus}, {t} {neg}, {t} {q}")
    return c.let(f"select {truth} {zero}, {t} {none}, {t} {q}")


def _mulh(c: FunctionText, v: Value) -> str:
    t, n = llvm_type(v.type), v.type.bits
    wide = f"<{v.type.lanes} x i{2 * n}>" if v.type.lanes else f"i{2 * n}"
    ext = "zext" if v.op == "umulh" else "sext"
    a, b = (c.let(f"{ext} {c.typed(x)} to {wide}") for x in v.args)
    p = c.let(f"mul {wide} {a}, {b}")
    amount = f"splat (i{2 * n} {n})" if v.type.lanes else str(n)
    high = c.let(f"lshr {wide} {p}, {amount}")
    return c.let(f"trunc {wide} {high} to {t}")


def _count(c: FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    name = {"clz": "ctlz", "ctz": "cttz", "popcnt": "ctpop", "bitrev": "bitreverse", "bswap": "bswap"}[v.op]
    flag = ("i1 false", ", i1") if name in ("ctlz", "cttz") else ("", "")
    args = f"{t} {c.ref(v.args[0])}" + (f", {flag[0]}" if flag[0] else "")
    return c.intrinsic(f"llvm.{name}.{suffix(v.type)}", v.type, args, t + flag[1])


def _minmax(c: FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    return c.intrinsic(f"llvm.{_MINMAX[v.op]}.{suffix(v.type)}", v.type, c.sequence(list(v.args)), f"{t}, {t}")


def _overflow(c: FunctionText, v: Value) -> str:
    t = v.args[0].type
    pair = f"{{ {llvm_type(t)}, {llvm_type(v.type)} }}"
    name = f"llvm.{v.op[:-1]}.with.overflow.{suffix(t)}"
    p = c.intrinsic(name, t, c.sequence(list(v.args)), f"{llvm_type(t)}, {llvm_type(t)}", pair)
    return c.let(f"extractvalue {pair} {p}, 1")


def _select(c: FunctionText, v: Value) -> str:
    keep = "" if v.args[0].type.lanes else ", !unpredictable !6"  # else LLVM likes branches where an arm is a load
    return c.let(f"select {c.sequence(list(v.args))}{keep}")


def _convert(c: FunctionText, v: Value) -> str:
    return c.let(f"{v.op} {c.typed(v.args[0])} to {llvm_type(v.type)}")


def _splat(c: FunctionText, v: Value) -> str:
    t = llvm_type(v.type)
    lane = c.typed(v.args[0])
    if v.args[0].op == "hole" and c.ref(v.args[0]).startswith("ptrtoint"):
        # LLVM would compute with a constant expression lane by lane
        n = c.let(c.m.host.OPAQUE.format(_wide_hole(c, v.args[0])))
        lane = f"i64 {n}" if v.type.bits == 64 else f"i{v.type.bits} " + c.let(f"trunc i64 {n} to i{v.type.bits}")
    first = c.let(f"insertelement {t} poison, {lane}, i64 0")
    return c.let(f"shufflevector {t} {first}, {t} poison, <{v.type.lanes} x i32> zeroinitializer")


def _lane(c: FunctionText, index: Value, lanes: int) -> str:
    """A lane number in range: LLVM's own extract and insert are poison past the end."""
    if index.op == "const":
        return f"i64 {index.attrs['value'] % lanes}"
    if index.op == "hole" and index.attrs["lo"] >= 0 and index.attrs["hi"] < lanes:
        return c.typed(index)
    op = f"and i64 {c.ref(index)}, {lanes - 1}" if lanes & (lanes - 1) == 0 else f"urem i64 {c.ref(index)}, {lanes}"
    return f"i64 {c.let(op)}"


def _extract(c: FunctionText, v: Value) -> str:
    return c.let(f"extractelement {c.typed(v.args[0])}, {_lane(c, v.args[1], v.args[0].type.lanes)}")


def _insert(c: FunctionText, v: Value) -> str:
    lane = _lane(c, v.args[2], v.type.lanes)
    return c.let(f"insertelement {c.typed(v.args[0])}, {c.typed(v.args[1])}, {lane}")


def _shuffle(c: FunctionText, v: Value) -> str:
    mask = ", ".join(f"i32 {k}" for k in v.attrs["mask"])
    return c.let(f"shufflevector {c.sequence(list(v.args))}, <{len(v.attrs['mask'])} x i32> <{mask}>")


def _table(c: FunctionText, v: Value) -> str:
    name = c.fresh()
    lines, declare = c.m.host.table(name, c.ref(v.args[0]), c.ref(v.args[1]))
    c.m.need(declare)
    for line in lines:
        c.put(line)
    return name


def _align(c: FunctionText, v: Value) -> str:
    low, high, n = v.args
    if n.op == "const":
        order = ", ".join(f"i32 {n.attrs['value'] % 16 + k}" for k in range(16))
        return c.let(f"shufflevector {c.typed(low)}, {c.typed(high)}, <16 x i32> <{order}>")
    if c.m.host.ALIGN and n.op == "hole" and n.attrs["lo"] >= 0 and n.attrs["hi"] < 16:
        return _by_hole(c, c.m.host.ALIGN, n, c.typed(high), c.typed(low))
    return _expanded(c, v, lambda: by_hole.align_by_table(v))


def _host_rule(c: FunctionText, op: str, variant: str = "") -> str | None:
    """The host's own way to do a checksum or cipher op, where its CPU has one."""
    feature, text = c.m.host.CRYPTO_RULES.get(op + variant) or (None, None)
    return text if feature in c.m.features else None


def _crypto(c: FunctionText, v: Value) -> str:
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


def _expanded(c: FunctionText, v: Value, make: Callable[[], Value]) -> str:
    """v as the simpler ops that `make` emits."""
    b, body = v.builder, Body()
    saved, b.body = b.body, body
    try:
        out = make()
    finally:
        b.body = saved
    c.run(body)
    return c.ref(out)


def _constrained(c: FunctionText, name: str, v: Value, extra: str, ret: Type | None = None) -> str:
    c.strict = True
    args = c.sequence(list(v.args)) + ", " + extra
    kinds = ", ".join([llvm_type(a.type) for a in v.args] + ["metadata"] * extra.count("metadata"))
    out = llvm_type(ret or v.type)
    c.m.need(f"declare {out} @llvm.experimental.constrained.{name}({kinds})")
    return c.let(f"call {out} @llvm.experimental.constrained.{name}({args}) strictfp")


def _fp(c: FunctionText, v: Value) -> str:
    if v.op == "fma" and c.m.host.FMA not in (None, *c.m.features):
        return _expanded(c, v, lambda: softfma.expand(v))
    return _constrained(c, f"{_FP[v.op]}.{suffix(v.type)}", v, f"{_ROUND}, {_STRICT}")


def _fp_convert(c: FunctionText, v: Value) -> str:
    src = v.args[0].type
    if v.op == "utof" and src.lanes and src.bits == 32 and c.m.host.VECTOR_UTOF not in (None, *c.m.features):
        # LLVM's replacement gives -0 for 0 when rounding down; as signed numbers of 64 bits they convert alike
        return _expanded(c, v, lambda: v.builder.op("itof", v.args[0].zext(I64), type=v.type))
    name = {"fext": "fpext", "ftrunc": "fptrunc", "itof": "sitofp", "utof": "uitofp"}[v.op]
    extra = _STRICT if v.op == "fext" else f"{_ROUND}, {_STRICT}"
    return _constrained(c, f"{name}.{suffix(v.type)}.{suffix(src)}", v, extra)


def _fp_compare(c: FunctionText, v: Value) -> str:
    name = "fcmps" if v.attrs["signals"] else "fcmp"
    pred = _FP_PRED[v.attrs["pred"]]
    return _constrained(c, f"{name}.{suffix(v.args[0].type)}", v, f'metadata !"{pred}", {_STRICT}')


def _fp_round(c: FunctionText, v: Value) -> str:
    name, dynamic = _FP_ROUND[v.attrs["mode"]]
    return _constrained(c, f"{name}.{suffix(v.type)}", v, f"{_ROUND}, {_STRICT}" if dynamic else _STRICT)


def _fp_to_int(c: FunctionText, v: Value) -> str:
    # LLVM's own result is poison out of range; hosts say what theirs is.  Nothing is known of the operand here, so
    # that nothing is folded, and freeze stops what could be concluded from the result.
    found = _constrained(c, f"fptosi.{suffix(v.type)}.{suffix(v.args[0].type)}", v, _STRICT)
    frozen = c.let(f"freeze {llvm_type(v.type)} {found}")
    name = c.fresh()
    lines, result = c.m.host.ftoi(name, frozen, llvm_type(v.type), v.type.bits, c.typed(v.args[0]))
    for line in lines:
        c.put(line)
    return result


def _any(c: FunctionText, v: Value) -> str:
    lanes = v.args[0].type.lanes
    whole = c.let(f"bitcast {c.typed(v.args[0])} to i{lanes}")
    return c.let(f"icmp ne i{lanes} {whole}, 0")


def _fp_state(c: FunctionText, v: Value) -> str | None:
    c.strict = True
    c.m.need(c.m.host.FP_DECLARATIONS)
    if c.m.host.FP_SLOT and not c.head:
        c.head = ["  " + c.m.host.FP_SLOT]
    name = c.fresh()
    make: Callable[..., list[str]] = getattr(c.m.host, v.op)
    for line in make(name, *(c.ref(a) for a in v.args)):
        c.put(line)
    return name if v.args == () else None


RULES: dict[str, Rule] = {
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
}
