"""A vCPU's thread: enter the guest, serve the exit, again; kicks and waiting.  What all architectures have."""

import fcntl
import mmap
import signal
import struct
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from xemu.accel.base import Line
from xemu.accel.kvm.api import Cap, Exit, Handle, Ioctl
from xemu.cli import log
from xemu.errors import UserError
from xemu.memory import ACCESS_SIZES, BusError

if TYPE_CHECKING:
    from xemu.accel.kvm.accelerator import Kvm
    from xemu.machine import Request

_KICK = signal.SIGUSR1
"""Blocked in vCPU threads except inside KVM_RUN, so it ends that and never runs a handler."""

# struct kvm_run (5)
_IMMEDIATE_EXIT = 1
_EXIT_REASON = struct.Struct("<I")
_EXIT_REASON_AT = 8
EXIT_DATA = 32  # the union with what each exit reason tells
_MMIO = struct.Struct("<QQIB")  # address, value, size, whether it is a write
_MMIO_VALUE = struct.Struct("<Q")
_MMIO_VALUE_AT = EXIT_DATA + 8
_SYSTEM_EVENTS: "dict[int, Request]" = {1: "shutdown", 2: "reset", 3: "panic"}


class KvmVcpu:
    """One vCPU; subclasses know its registers and the exits of their architecture."""

    def __init__(self, kvm: "Kvm", index: int) -> None:
        most = kvm.has(Cap.MAX_VCPUS)
        if index >= most:
            raise UserError(f"-smp: {index + 1} CPUs are too many for the host's KVM, which runs up to {most}")
        self.kvm, self.machine, self.index = kvm, kvm.machine, index
        self.powered = False
        self.ended = False  # it asked for the end of the run: nothing executes until a reset
        self.timer_lines: dict[str, Line] = {}
        self.handle = Handle(kvm.vm.call(Ioctl.CREATE_VCPU, index))
        kvm.handles.append(self)
        self.area = mmap.mmap(self.handle.fd, kvm.system.call(Ioctl.GET_VCPU_MMAP_SIZE))
        self._kick_lock = threading.Lock()
        self._thread: int | None = None  # while it may be in KVM_RUN
        self._wake = threading.Condition()
        self._handlers: dict[int, Callable[[], None]] = {
            Exit.MMIO: self._mmio,
            Exit.SYSTEM_EVENT: self._system_event,
            Exit.FAIL_ENTRY: self._fail_entry,
            Exit.INTERNAL_ERROR: self._internal_error,
            Exit.INTR: lambda: None,
        }

    def close(self) -> None:
        self.area.close()  # has the file open, too
        self.handle.close()

    # The machine's side

    def kick(self) -> None:
        with self._kick_lock:
            # Seen by a KVM_RUN that begins after this; one that goes on already ends by the signal.
            self.area[_IMMEDIATE_EXIT] = 1
            if self._thread is not None:
                signal.pthread_kill(self._thread, _KICK)
        with self._wake:
            self._wake.notify_all()

    def run(self) -> None:
        self._prepare_thread()
        try:
            while not self.machine.stopping:
                if self.runs():
                    self._execute()
                else:
                    with self._wake:
                        self._wake.wait_for(lambda: self.runs() or self.machine.stopping)
        finally:
            with self._kick_lock:
                self._thread = None

    def runs(self) -> bool:
        """Whether KVM_RUN is the place to be."""
        return self.powered and not self.ended

    def is_running(self) -> bool:
        return self._thread is not None

    def standby(self) -> None:
        """Nobody asks for it: the calls that would are answered in the kernel."""

    def power(self, registers: Mapping[str, int]) -> None:
        self.reset(registers)
        self.powered = True
        with self._wake:
            self._wake.notify_all()

    def power_off(self) -> None:
        self.powered = False
        if self.is_running():  # a device does this, which this CPU or another has just accessed
            self.ended = True
            self.kick()
        else:
            self.reset({})

    def reset(self, registers: Mapping[str, int]) -> None:
        """The architectural state at power-on, with these registers."""
        raise NotImplementedError

    # The guest's side

    def _prepare_thread(self) -> None:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {_KICK}) - {_KICK}
        bits = sum(1 << number - 1 for number in mask)
        # 4.19; the kernel's signal set has 8 bytes
        self.handle.call(Ioctl.SET_SIGNAL_MASK, bytearray(struct.pack("<IQ", 8, bits)))
        with self._kick_lock:
            self._thread = threading.get_ident()

    def _execute(self) -> None:
        """Run the guest until a kick."""
        fd, area, handlers, ioctl = self.handle.fd, self.area, self._handlers, fcntl.ioctl
        reason_at, run = _EXIT_REASON.unpack_from, int(Ioctl.RUN)
        while True:
            try:
                ioctl(fd, run)  # a third argument, even 0, would cost a microsecond
            except InterruptedError:
                break
            except BlockingIOError:
                continue  # a CPU that waits to be started looked up
            except OSError as error:
                raise UserError(f"KVM can't run cpu {self.index}: {error.strerror}{self._where()}") from error
            handler = handlers.get(reason_at(area, _EXIT_REASON_AT)[0])
            if handler is None:
                self._unknown_exit()
            else:
                handler()
        signal.sigtimedwait({_KICK}, 0)
        area[_IMMEDIATE_EXIT] = 0  # before anybody looks at what the kick was for

    def _mmio(self) -> None:
        address, value, size, writes = _MMIO.unpack_from(self.area, EXIT_DATA)
        if size not in ACCESS_SIZES:
            self._odd_mmio(address, value, size, writes)
            return
        try:
            if writes:
                self.machine.mmio_write(self.index, address, size, value)
                return
            value = self.machine.mmio_read(self.index, address, size)
        except BusError as error:
            value = self._bus_error(error)
        _MMIO_VALUE.pack_into(self.area, _MMIO_VALUE_AT, value)

    def _odd_mmio(self, address: int, value: int, size: int, writes: int) -> None:
        """A piece of 3, 5, 6 or 7 bytes, of an access over a page's end: byte for byte."""
        result = 0
        for n in range(min(size, 8)):
            try:
                if writes:
                    self.machine.mmio_write(self.index, address + n, 1, value >> 8 * n)
                else:
                    result |= self.machine.mmio_read(self.index, address + n, 1) << 8 * n
            except BusError as error:
                result |= self._bus_error(error) << 8 * n
        if not writes:
            _MMIO_VALUE.pack_into(self.area, _MMIO_VALUE_AT, result)

    def _bus_error(self, error: BusError) -> int:
        """Nothing answers: what a read gives then."""
        log.write("guest_errors", str(error))
        return (1 << 8 * error.size) - 1

    def _system_event(self) -> None:
        kind = struct.unpack_from("<I", self.area, EXIT_DATA)[0]
        found = _SYSTEM_EVENTS.get(kind)
        if found is None:
            raise UserError(f"KVM reports a system event of a kind that is not known here: {kind}")
        self._end(found)

    def _end(self, kind: "Request") -> None:
        self.end()
        self.machine.request(kind)

    def end(self) -> None:
        """Execute nothing after the current exit, until a reset."""
        self.ended = True
        self.area[_IMMEDIATE_EXIT] = 1

    def _fail_entry(self) -> None:
        reason = struct.unpack_from("<Q", self.area, EXIT_DATA)[0]
        raise UserError(f"KVM can't enter the guest on cpu {self.index}: hardware reason {reason:#x}{self._where()}")

    def _internal_error(self) -> None:
        kind = struct.unpack_from("<I", self.area, EXIT_DATA)[0]
        raise UserError(f"KVM can't go on with cpu {self.index}: internal error {kind}{self._where()}")

    def _unknown_exit(self) -> None:
        reason = _EXIT_REASON.unpack_from(self.area, _EXIT_REASON_AT)[0]
        name = Exit(reason).name if reason in list(Exit) else "unknown"
        raise UserError(f"KVM leaves the guest on cpu {self.index} for reason {reason} ({name}){self._where()}")

    def _where(self) -> str:
        """For error lines: where the guest is."""
        return ""
