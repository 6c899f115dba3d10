"""What `-d stats` prints: work done by the translator, and each way into Python with its count and latency."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from targets.arm.exits import Exit

if TYPE_CHECKING:
    from targets.arm.cpu import ArmCpu
    from targets.arm.system import System


class CallTimes:
    """Counts and durations of one callback, in powers of two of nanoseconds: cheap to keep, good for percentiles."""

    def __init__(self) -> None:
        self.buckets = [0] * 64
        self.total = 0
        self.waits: CallTimes | None = None  # for Python's lock, before each call

    def add(self, ns: int) -> None:
        self.buckets[ns.bit_length()] += 1
        self.total += ns

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def percentile(self, share: float) -> int:
        """Upper bound in ns of the bucket that holds this share of the calls."""
        left = share * self.count
        for k, n in enumerate(self.buckets):
            left -= n
            if left <= 0:
                return 1 << k
        return 0


def timed(fn: Callable[..., Any], times: CallTimes, called_at: int) -> Callable[..., Any]:
    """`fn`, measured, and how long it waited for Python's lock: since the time at host address `called_at`."""
    called = (ctypes.c_int64 * 2).from_address(called_at)
    waits = times.waits = CallTimes()

    def call(*args: Any) -> Any:
        start = perf_counter_ns()  # the same clock
        waits.add(max(0, start - called[0] * 1_000_000_000 - called[1]))
        try:
            return fn(*args)
        finally:
            times.add(perf_counter_ns() - start)

    return call


def report(system: System) -> str:
    """The statistics of a machine's translator and its CPUs, one figure a line."""
    s = system.engine.stats
    shapes = max(1, len(s.shapes))
    stored = system.engine.kept_words.loaded if system.engine.kept_words else 0
    lines = [
        f"blocks translated      {s.blocks}",
        f"instructions           {s.insns}",
        f"new words              {s.words}, beside {stored} from the store",
        f"shapes                 {len(s.shapes)}",
        f"stencils               {s.stencils} ({s.stencils / shapes:.2f} a shape), {s.stored_stencils} from the store",
        f"host code bytes        {system.engine.cache.used}",
        f"code pages             {len(system.engine.pages)}",
        f"pages invalidated      {s.invalidated}",
        f"cache flushes          {s.flushes}",
        f"time in LLVM           {s.compile_ns / 1e9:.3f} s",
        f"time translating       {s.translate_ns / 1e9:.3f} s, LLVM included",
    ]
    for cpu in system.cpus:
        lines += _cpu_lines(cpu)
    return "\n".join(lines)


def _cpu_lines(cpu: ArmCpu) -> list[str]:
    lines = [f"CPU {cpu.index}:"]
    for label, field in (
        ("data TLB misses", "n_tlb_miss"), ("fetch misses", "n_fetch_miss"), ("exceptions", "n_exception"),
    ):  # fmt: skip
        lines.append(f"  {label:<20} {cpu.get(field)}")
    if requests := cpu.get("n_request"):
        waits, ns = cpu.get("n_dsb_wait"), cpu.get("dsb_wait_ns")
        lines.append(f"  asked other CPUs     {requests}; {waits} DSBs waited, mean {ns / max(1, waits) / 1000:.1f} us")
    if cpu.guard_times.count:
        lines.append(
            f"  new code pages       {cpu.guard_times.count}, waited for other CPUs: {_times(cpu.guard_times)}"
        )
    for reason in Exit:
        if cpu.exits[reason]:
            lines.append(f"  exit {reason.name.lower():<15} {cpu.exits[reason]}")
    for name, times in cpu.call_times.items():
        if times.count:
            lines.append(f"  callback {name:<11} {times.count}, {_times(times)}")
            if times.waits is not None:
                lines.append(f"    waited for Python's lock: {_times(times.waits)}")
    return lines


def _times(times: CallTimes) -> str:
    mean, most = times.total / times.count / 1000, times.percentile(0.99) / 1000
    return f"mean {mean:.1f} us, 99 % within {most:.1f} us"
