"""Life of a machine: start, reset, end, failure."""

import threading

import pytest
from fakes import FakeVcpu

from xemu.machine import Machine


class Device:
    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def machine():
    machine = Machine()
    machine.vcpus = [FakeVcpu(machine, index) for index in range(2)]
    machine.devices = [Device()]
    machine.on_reset.append(lambda: machine.vcpus[0].power({"pc": 0x1000, "x0": 7}))
    return machine


def asks(kind):
    return lambda vcpu: vcpu.machine.request(kind)


@pytest.mark.parametrize("kind", ["shutdown", "quit", "panic"])
def test_a_request_ends_the_run(machine, kind):
    machine.vcpus[0].program = asks(kind)
    assert machine.run() == kind
    assert machine.stopping and machine.devices[0].resets == 0
    assert machine.vcpus[0].started_at == (0x1000, 7)


def test_a_request_before_the_run_counts(machine):
    machine.request("quit")
    assert machine.run() == "quit"


def test_reset_starts_again(machine):
    kinds = iter(["reset", "reset", "shutdown"])
    machine.vcpus[0].program = lambda vcpu: machine.request(next(kinds))
    assert machine.run() == "shutdown"
    assert machine.devices[0].resets == 2  # new devices need none


def test_no_reboot_makes_a_reset_the_end(machine):
    machine.vcpus[0].program = asks("reset")
    assert machine.run(no_reboot=True) == "reset"
    assert machine.devices[0].resets == 0


def test_quit_during_a_reset_is_not_lost(machine):
    def reset_and_quit(vcpu):
        machine.request("reset")
        machine.request("reset")
        machine.request("quit")

    machine.vcpus[0].program = reset_and_quit
    assert machine.run() == "quit"


def test_a_failing_vcpu_ends_the_run_with_its_exception(machine):
    def fail(vcpu):
        raise RuntimeError("no such instruction")

    machine.vcpus[0].program = fail
    with pytest.raises(RuntimeError, match="no such instruction"):
        machine.run()
    assert machine.stopping


def test_a_vcpu_that_waits_for_the_host_is_let_go(machine):
    """Quitting while a back end blocks: only the hook can end the wait."""
    host_reads = threading.Event()
    machine.on_ending.append(host_reads.set)

    def write_to_a_full_pipe(vcpu):
        machine.request("quit")
        host_reads.wait()

    machine.vcpus[0].program = write_to_a_full_pipe
    assert machine.run() == "quit"


def test_stop_hooks_run_once_at_the_end(machine):
    calls = []
    machine.on_ending.append(lambda: calls.append("ending"))
    machine.on_stop.append(lambda: calls.append("stopped"))
    kinds = iter(["reset", "shutdown"])
    machine.vcpus[0].program = lambda vcpu: machine.request(next(kinds))
    machine.run()
    assert calls == ["ending", "stopped"]


def test_device_accesses_name_their_cpu(machine):
    seen = []

    class Banked:
        def read(self, offset, size):
            seen.append(machine.current_cpu)
            return 5

        def write(self, offset, size, value):
            seen.append(machine.current_cpu)

    machine.memory.add_device(0x1000, 0x100, Banked(), "banked")
    assert machine.mmio_read(1, 0x1000, 4) == 5
    machine.mmio_write(0, 0x1000, 4, 1)
    assert seen == [1, 0]


def test_without_firmware_every_hypercall_is_unknown(machine):
    assert machine.hypercall(machine.vcpus[0], [0, 0, 0, 0]) == (1 << 64) - 1


def test_ports_float_where_nothing_answers(machine):
    machine.ports.add_device(0x60, 1, PortDevice(), "keyboard")
    machine.port_write(0, 0x60, 1, 0xFE)
    assert machine.port_read(0, 0x60, 1) == 0xFE
    machine.port_write(0, 0x80, 4, 1)
    assert machine.port_read(0, 0x80, 4) == 0xFFFFFFFF
    assert machine.port_read(0, 0x60, 2) == 0xFFFF  # half of it would be beyond the device


class PortDevice:
    def read(self, offset: int, size: int) -> int:
        return self.value

    def write(self, offset: int, size: int, value: int) -> None:
        self.value = value
