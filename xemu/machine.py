"""A machine's life: build, run, reset, stop.

A board fills a `Machine` with memory, devices and vCPUs. Each vCPU then runs in a thread of its own; the thread that
called run() only waits for requests: the guest powering off or resetting, the user quitting, a vCPU failing.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from xemu.accel.base import Vcpu
from xemu.memory import AddressSpace, BusError

Request = Literal["shutdown", "reset", "quit", "panic"]
_PORT_BITS = 16
_KICK_INTERVAL = 0.5  # s between kicks of a vCPU that has not stopped yet: covers one that was just entering guest code


class Resettable(Protocol):
    def reset(self) -> None: ...


class Machine:
    """Memory, devices, vCPUs and their life cycle."""

    def __init__(self, lock: AbstractContextManager[object] | None = None) -> None:
        # One lock for all device models. Re-entrant: a device that writes to its back end may be called by it.
        self.lock = lock if lock is not None else threading.RLock()
        self.memory = AddressSpace()
        self.ports = AddressSpace(_PORT_BITS)  # x86's I/O ports; other boards leave it empty
        self.vcpus: list[Vcpu] = []
        self.devices: list[Resettable] = []
        # Run at power-on and at every reset, after the devices: reload images, start the boot CPU.
        self.on_reset: list[Callable[[], None]] = []
        # Run once the end is decided, before vCPUs are waited for: whatever could keep one of them waiting for the host
        # (a terminal that is held, a pipe that nobody reads) has to let go.
        self.on_ending: list[Callable[[], None]] = []
        self.on_stop: list[Callable[[], None]] = []  # run when no vCPU runs any more: timers
        self.hypercall: Callable[[Vcpu, list[int]], int] = _no_hypercall
        self.device_tree = b""
        # Read by vCPUs: true from the moment they have to leave run() until the next start.
        self.stopping = True
        # Which vCPU is inside a device access; meaningful to banked devices while the lock is held.
        self.current_cpu = 0
        # The exception that ended one of the machine's threads: run() raises it again.
        self.failure: BaseException | None = None
        # Takes requests from signal handlers too: SimpleQueue.put is re-entrant, a Condition is not.
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._threads: list[tuple[Vcpu, threading.Thread]] = []
        self._fresh = True  # devices are as they were made: what the user has typed already stays in them

    # What vCPUs call

    def mmio_read(self, cpu: int, address: int, size: int) -> int:
        """One device read by a guest instruction; BusError where nothing answers."""
        with self.lock:
            self.current_cpu = cpu
            return self.memory.read(address, size)

    def mmio_write(self, cpu: int, address: int, size: int, value: int) -> None:
        with self.lock:
            self.current_cpu = cpu
            self.memory.write(address, size, value)

    def port_read(self, cpu: int, port: int, size: int) -> int:
        """IN by a guest; all ones where nothing answers, as on a bus that nobody drives."""
        with self.lock:
            self.current_cpu = cpu
            try:
                return self.ports.read(port, size)
            except BusError:
                return (1 << 8 * size) - 1

    def port_write(self, cpu: int, port: int, size: int, value: int) -> None:
        """OUT by a guest; lost where nothing answers."""
        with self.lock:
            self.current_cpu = cpu
            try:  # noqa: SIM105  # suppress() takes longer than the rest
                self.ports.write(port, size, value)
            except BusError:
                pass

    # What anybody calls

    def request(self, kind: Request) -> None:
        """Ask for the end of this run; from any thread, with or without the lock, or from a signal handler."""
        self._requests.put(kind)

    def fail(self, error: BaseException) -> None:
        """A thread of the machine's cannot go on: the run ends with this exception."""
        self.failure = error
        self.request("panic")

    # What the thread that owns the machine calls

    def reset(self) -> None:
        """Put every device and vCPU into its state at power-on, and load the images."""
        with self.lock:
            for vcpu in self.vcpus:
                vcpu.power_off()
            for device in () if self._fresh else self.devices:
                device.reset()
            self._fresh = False
            for hook in self.on_reset:
                hook()

    def run(self, no_reboot: bool = False) -> Request:
        """Power on and run until the guest or the user ends it; the request that did so."""
        try:
            while True:
                self.reset()
                self._start()
                kind = self._requests.get()
                if kind != "reset" or no_reboot:
                    return kind
                self._stop()
                self._forget_resets()
        finally:
            for hook in self.on_ending:
                hook()
            self._stop()
            for hook in self.on_stop:
                hook()
            if self.failure is not None:
                raise self.failure

    def _start(self) -> None:
        self.stopping = False
        for vcpu in self.vcpus:
            thread = threading.Thread(target=self._vcpu_thread, args=(vcpu,), name=f"vcpu{vcpu.index}", daemon=True)
            self._threads.append((vcpu, thread))
            thread.start()

    def _stop(self) -> None:
        self.stopping = True
        for vcpu, _ in self._threads:
            vcpu.kick()
        for vcpu, thread in self._threads:
            while thread.is_alive():
                thread.join(_KICK_INTERVAL)
                vcpu.kick()
        self._threads = []

    def _forget_resets(self) -> None:
        """Several CPUs may have asked for the reset that was just carried out; what else was asked for stays."""
        waiting: list[Request] = []
        while not self._requests.empty():
            waiting.append(self._requests.get())
        for kind in waiting:
            if kind != "reset":
                self._requests.put(kind)

    def _vcpu_thread(self, vcpu: Vcpu) -> None:
        try:
            vcpu.run()
        except BaseException as error:
            self.fail(error)


def _no_hypercall(vcpu: Vcpu, regs: list[int]) -> int:
    """SMCCC's "unknown function", for a board without firmware services."""
    return (1 << 64) - 1
