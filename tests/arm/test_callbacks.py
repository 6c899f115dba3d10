"""The vCPU's Python functions take what native code gives them: ctypes would not notice a missing argument."""

from __future__ import annotations

import inspect

import pytest

from jit import stitch
from jit.ir import walk
from targets.arm.cpu import SIGNATURES, ArmCpu
from targets.arm.env import HOST_FUNCTIONS, STITCHER_FUNCTIONS
from targets.arm.system import runtime_functions

CALLS = [(f.name, v) for f in runtime_functions() for v in walk(f.body) if v.op == "callback"]


@pytest.mark.parametrize(("function", "call"), CALLS, ids=[f"{name}-{k}" for k, (name, _) in enumerate(CALLS)])
def test_arguments(function: str, call: object) -> None:
    name = call.attrs["name"]  # type: ignore[attr-defined]
    if name in HOST_FUNCTIONS:
        return
    count = len(call.args)  # type: ignore[attr-defined]
    if name in STITCHER_FUNCTIONS:
        (callee,) = (f for f in stitch.functions(False) if f.name == STITCHER_FUNCTIONS[name])
        assert len(callee.arg_types) + 1 == count  # its state comes first
        return
    assert len(SIGNATURES[name]) - 1 == count, f"{function} calls {name} with {count} arguments"
    assert len(inspect.signature(getattr(ArmCpu, f"_on_{name}")).parameters) - 1 == count


def test_there_are_some() -> None:
    assert {call.attrs["name"] for _, call in CALLS} >= set(SIGNATURES)
