"""LLVM text for ops on state, memory and control."""

from __future__ import annotations

from jit.ir import IRError, Value
from jit.llvm_function import CC, SLOW_SUFFIX, FunctionText, Rule, llvm_type
from jit.types import VOID, Type

_FENCE = {"full": "seq_cst", "acquire": "acquire", "release": "release"}


def _ldenv(c: FunctionText, v: Value) -> str:
    found = c.let(f"load {llvm_type(v.type)}, ptr {c.address(c.ref(v.args[0]))}")
    register = v.args[0].op == "hole" and v.type.is_int and not v.type.lanes and v.type.bits in (32, 64)
    if register and c.m.host.LOAD_ALONE and not c.f.name.endswith(SLOW_SUFFIX):
        return c.let(c.m.host.LOAD_ALONE.format(t=llvm_type(v.type), x=found))
    return found


def _stenv(c: FunctionText, v: Value) -> None:
    c.put(f"store {c.typed(v.args[1])}, ptr {c.address(c.ref(v.args[0]))}")


def _ptradd(c: FunctionText, v: Value) -> str:
    return c.let(f"getelementptr i8, {c.typed(v.args[0])}, i64 {c.ref(v.args[1])}")


def _ordered(t: Type) -> bool:
    """Whether hosts have an atomic access of this type: a wider atomic load would be a compare and exchange."""
    return t.is_int and not t.lanes and t.bits in (8, 16, 32, 64)


def _ld(c: FunctionText, v: Value) -> str:
    t, p = v.type, c.typed(v.args[0])
    if v.attrs["order"] == "plain":
        return c.let(f"load {llvm_type(t)}, {p}, align 1")
    if _ordered(t):
        return c.let(f"load atomic {llvm_type(t)}, {p} seq_cst, align {t.bytes}")
    out = c.let(f"load {llvm_type(t)}, {p}, align 1")
    c.put("fence acquire")
    return out


def _st(c: FunctionText, v: Value) -> None:
    t, p = v.args[1].type, f"{c.typed(v.args[1])}, {c.typed(v.args[0])}"
    if v.attrs["order"] == "plain":
        c.put(f"store {p}, align 1")
    elif _ordered(t):
        c.put(f"store atomic {p} seq_cst, align {t.bytes}")
    else:
        raise IRError(f"no ordered store of {t}")


def _cmpxchg(c: FunctionText, v: Value) -> str:
    p = c.let(f"cmpxchg {c.sequence(list(v.args))} seq_cst seq_cst")
    t = llvm_type(v.type)
    return c.let(f"extractvalue {{ {t}, i1 }} {p}, 0")


def _rmw(c: FunctionText, v: Value) -> str:
    kind = {"smax": "max", "smin": "min"}.get(v.attrs["kind"], v.attrs["kind"])
    return c.let(f"atomicrmw {kind} {c.sequence(list(v.args))} seq_cst")


def _relax(c: FunctionText, v: Value) -> None:
    declaration, call = c.m.host.RELAX
    c.m.need(declaration)
    c.put(call)


def _branch_weights(likely: bool | None) -> str:
    return "" if likely is None else ", !prof !8" if likely else ", !prof !7"


def _if(c: FunctionText, v: Value) -> None:
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


def _loop(c: FunctionText, v: Value) -> None:
    before, head, end = c.block, c.label(), c.label()
    body = v.bodies[0]
    c.put(f"br label %{head}")
    c.open(head)
    phis = [c.fresh() for _ in v.args]
    at = len(c.lines)
    c.carried.append(dict(enumerate(phis)))
    c.run(body)
    c.carried.pop()
    again, *nxt = list(body.yields or ())
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


def _result(c: FunctionText, v: Value) -> str:
    return c.names[_Result(v.args[0], v.attrs["index"])]  # type: ignore[index]


def _call(c: FunctionText, v: Value) -> str | None:
    name, t = v.attrs["name"], llvm_type(v.type)
    slot = c.m.slots.get(name)
    if slot is None or name in c.m.defined:
        c.m.need(f'declare dso_local {t} @"{name}"({", ".join(["ptr", *(llvm_type(a.type) for a in v.args)])})')
        target = f'@"{name}"'
    else:
        target = c.let(f"load ptr, ptr {c.address(str(slot))}")
    return _called(c, v, f"call {t} {target}({', '.join(['ptr %env', *(c.typed(a) for a in v.args)])})")


def _callback(c: FunctionText, v: Value) -> str | None:
    target = c.let(f"load ptr, ptr {c.address(str(v.attrs['offset']))}")
    return _called(c, v, f"call {llvm_type(v.type)} {target}({c.sequence(list(v.args))})")


def _called(c: FunctionText, v: Value, text: str) -> str | None:
    if v.type is VOID:
        c.put(text)
        return None
    return c.let(text)


def _goto(c: FunctionText, v: Value) -> None:
    c.tail(v.attrs["name"])


def _branch(c: FunctionText, v: Value) -> None:
    yes, no = c.label(), c.label()
    c.put(f"br i1 {c.ref(v.args[0])}, label %{yes}, label %{no}")
    c.open(yes)
    c.tail(v.attrs["name"])
    c.open(no)
    c.tail("NEXT")


def _goto_ptr(c: FunctionText, v: Value) -> None:
    c.put(f"musttail call {CC} void {c.ref(v.args[0])}(ptr %env)")
    c.put("ret void")


def _ret(c: FunctionText, v: Value) -> None:
    c.put(f"ret {c.typed(v.args[0])}" if v.args else "ret void")


RULES: dict[str, Rule] = {
    "ldenv": _ldenv,
    "stenv": _stenv,
    "ptradd": _ptradd,
    "ld": _ld,
    "st": _st,
    "cmpxchg": _cmpxchg,
    "rmw": _rmw,
    "relax": _relax,
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
