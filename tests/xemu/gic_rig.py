"""CPUs that do nothing but what the interrupt controller's native functions do."""

import ctypes
from collections.abc import Callable
from functools import lru_cache

from targets.arm import gic, gicv2, timers
from targets.arm.exits import Event
from targets.arm.gic_state import SPURIOUS
from tests.jit.native import Native
from xemu.devices.gic import UnsharedCore

IRQ, FIQ = 1, 2
_U64 = ctypes.c_uint64
_EVENT = ctypes.CFUNCTYPE(None, _U64, _U64, _U64)
_CLOCK = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32, _U64)


@lru_cache(maxsize=1)
def native() -> Native:
    return Native((*gic.functions(), *gicv2.functions(), *timers.functions()))


@lru_cache(maxsize=100)
def function(name: str, arguments: int) -> Callable[..., int]:
    return native().function(name, *[_U64] * arguments, ret=_U64)


class Core(UnsharedCore):
    """One CPU's interrupt state, and what it would do at its next look."""

    def __init__(self, index: int = 0) -> None:
        super().__init__()
        self.now = 0  # ticks
        self.events: list[tuple[int, int]] = []
        self.irq: Callable[[bool], None] = lambda level: None
        self.fiq: Callable[[bool], None] = lambda level: None
        self._callbacks = {"event": _EVENT(self._event), "clock_gettime": _CLOCK(self._clock)}
        for name, callback in self._callbacks.items():
            self.set(f"cb_{name}", ctypes.cast(callback, ctypes.c_void_p).value or 0)
        self.set("gic_index", index)

    def connect(self, block: int) -> None:
        self.set("gic", block)
        self.set("timer_next", timers.NEVER)
        self.set("timer_alarm", timers.NEVER)

    def call(self, name: str, *args: int) -> int:
        out = function(name, len(args))(self.env, *args)
        self._drive()
        return out

    def alert(self) -> None:
        self.set("attn", 1)
        if self.get("gic"):
            self.call("gic_update")

    def _drive(self) -> None:
        lines = self.get("irq_lines")
        self.irq(bool(lines & IRQ))
        self.fiq(bool(lines & FIQ))

    def _event(self, env: int, kind: int, value: int) -> None:
        self.events.append((Event(kind), value))

    def _clock(self, clock: int, where: int) -> int:
        ctypes.memmove(where, (0).to_bytes(8, "little") + (self.now << timers.NS_SHIFT).to_bytes(8, "little"), 16)
        return 0

    # as the registers of the CPU interface do
    def lines(self) -> int:
        return self.call("gic_update")

    def acknowledge(self, group: int = 1) -> int:
        return self.call("gic_acknowledge", group)

    def end(self, intid: int, group: int = 1) -> None:
        self.call("gic_end", intid, group)

    def send(self, value: int, group: int = 1) -> None:
        self.call("gic_send_sgi", value, group)

    def serve(self) -> int:
        """Acknowledge and end."""
        intid = self.acknowledge()
        if intid != SPURIOUS:
            self.end(intid)
        return intid
