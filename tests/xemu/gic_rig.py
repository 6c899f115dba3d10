"""CPUs that do nothing but what the interrupt controller's native functions do, evaluated."""

import ctypes

from jit.evaluate import Evaluator
from targets.arm import gic, timers
from targets.arm.env import ENV
from targets.arm.exits import Event
from targets.arm.gic_state import SPURIOUS
from xemu.devices.gicv3 import UnsharedCore

FUNCTIONS = {f.name: f for f in (*gic.functions(), *timers.functions())}
IRQ, FIQ = 1, 2


class Core(UnsharedCore):
    """One CPU's interrupt state, and what it would do at its next look."""

    def __init__(self, index: int = 0) -> None:
        super().__init__()
        self.now = 0  # ticks
        self.events: list[tuple[int, int]] = []
        self.alerts = 0
        callbacks = {"event": self._event, "clock_gettime": self._clock}
        self._evaluator = Evaluator(self.env, FUNCTIONS, callbacks)
        self.set("gic_index", index)

    def connect(self, block: int) -> None:
        self.set("gic", block)
        self.set("timer_next", timers.NEVER)
        self.set("timer_alarm", timers.NEVER)

    def get(self, name: str, index: int = 0) -> int:
        field = ENV[name]
        return int.from_bytes(ctypes.string_at(self.env + field.at(index), field.type.bytes), "little")

    def set(self, name: str, value: int, index: int = 0) -> None:
        field = ENV[name]
        data = (value & (1 << 8 * field.type.bytes) - 1).to_bytes(field.type.bytes, "little")
        ctypes.memmove(self.env + field.at(index), data, field.type.bytes)

    def call(self, name: str, *args: int) -> int:
        return self._evaluator.call(name, *args) or 0

    def alert(self) -> None:
        self.alerts += 1
        self.set("attn", 1)

    def _event(self, env: int, kind: int, value: int) -> None:
        assert env == self.env
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
