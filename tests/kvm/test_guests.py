"""Hand-made x86 guests under KVM: modes, ports, memory, interrupts, timers, reset, several CPUs, dirty pages."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from targets.x86.registers import Attr
from tests.kvm.rig import HIGH_RAM, LIMIT, RAM_SIZE, TOY_BASE, Rig, needs_kvm
from xemu.accel.kvm import x86_cpuid
from xemu.accel.kvm.api import Cap
from xemu.accel.kvm.x86 import X86Kvm
from xemu.errors import UserError

pytestmark = needs_kvm

Make = Callable[..., Rig]


@pytest.fixture
def rig() -> Iterator[Make]:
    made: list[Rig] = []

    def make(*arguments: object, **choices: object) -> Rig:
        made.append(Rig(*arguments, **choices))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


def passes(rig: Rig, output: str = "") -> None:
    """Runs to its end, by its own wish and with this on its console."""
    assert (rig.run(), rig.result, rig.output) == ("shutdown", 0, output)


# Modes


def test_all_modes_from_real_mode_up(rig: Make) -> None:
    passes(rig("modes", mode=16), "136u")


def test_real_mode(rig: Make) -> None:
    passes(rig("real", mode=16), "real!")


def test_protected_mode_as_a_board_starts_it(rig: Make) -> None:
    passes(rig("protected", mode=32), "p")


def test_user_mode(rig: Make) -> None:
    passes(rig("user"))


# Ports and memory


def test_ports(rig: Make) -> None:
    machine = rig("ports")
    passes(machine)
    writes = [(size, value) for kind, _, size, value in machine.toy_port.accesses if kind == "write"]
    assert writes == [(1, 0xD4), (2, 0xC3D4), (4, 0xA1B2C3D4), (2, 0x1111), (2, 0x2222), (2, 0x3333)]
    assert [size for kind, _, size, _ in machine.toy_port.accesses if kind == "read"] == [1, 2, 4, 4, 4, 4, 4]
    assert {offset for _, offset, _, _ in machine.toy_port.accesses} == {4}


def test_memory(rig: Make) -> None:
    machine = rig("memory")
    passes(machine)
    assert [access[:3] for access in machine.toy.accesses] == [
        *(("write", 0x10, 1), ("write", 0x12, 2), ("write", 0x14, 4), ("write", 0x18, 8)),
        *(("read", 0x20, 1), ("read", 0x22, 2), ("read", 0x24, 4), ("read", 0x28, 8)),
    ]
    values = [value for kind, _, _, value in machine.toy.accesses if kind == "write"]
    assert values == [0x88, 0x7788, 0x55667788, 0x1122334455667788]


def test_ram_may_come_while_the_guest_runs(rig: Make) -> None:
    machine = rig("grow")
    machine.machine.memory.add_ram(HIGH_RAM, RAM_SIZE, "high")  # is just there

    def add() -> None:
        while machine.output != "w":
            time.sleep(0.001)
        with machine.machine.lock:
            ram = machine.machine.memory.add_ram(0x8000_0000, 0x1000, "late")
            ram.view[:4] = struct.pack("<I", 0x600D_F00D)

    thread = threading.Thread(target=add)
    thread.start()
    passes(machine, "w")
    thread.join()
    assert machine.machine.memory.read(0x8000_0004, 4) == 7


def test_a_doorbell_is_written_by_another_thread(rig: Make) -> None:
    machine = rig("bell")
    machine.kvm.doorbell(TOY_BASE + 0x50, 4, 3)
    threads: dict[int, set[str]] = {3: set(), 4: set()}
    seen = machine.symbols["TOY_SEEN"]

    def write(offset: int, size: int, value: int) -> None:
        threads[value].add(threading.current_thread().name)
        if value == 3:
            machine.machine.memory.write(seen, 4, 1)

    machine.toy.write = write  # type: ignore[method-assign]
    passes(machine)
    assert threads == {3: {"doorbells"}, 4: {"vcpu0"}}


# Interrupts and timers


@pytest.mark.parametrize("gsi", [5, 11])
@pytest.mark.parametrize("edge", [False, True])
def test_the_pics(rig: Make, gsi: int, edge: bool) -> None:
    machine = rig("pic")
    machine.toy.line = machine.chips.gsi(gsi, edge)
    passes(machine, "iii")


@pytest.mark.parametrize("irqchip", ["on", "split"])
@pytest.mark.parametrize("edge", [False, True])
def test_the_io_apic_and_the_local_timer(rig: Make, edge: bool, irqchip: str) -> None:
    machine = rig("apic", irqchip=irqchip)
    machine.toy.line = machine.chips.gsi(20, edge)
    passes(machine, "gggt")


@pytest.mark.parametrize("irqchip", ["on", "split"])
def test_a_level_interrupt_comes_until_its_line_is_low(rig: Make, irqchip: str) -> None:
    machine = rig("level", irqchip=irqchip)
    line = machine.chips.gsi(20)
    lowered = 0

    def lazy(level: bool) -> None:
        nonlocal lowered
        lowered += not level
        if level or lowered > 2:  # the handler's first two attempts do nothing
            line(level)

    machine.toy.line = lazy
    assert (machine.run(), machine.result) == ("shutdown", 0)
    # kvm_pvm's local APIC ends an interrupt as soon as it is taken: then one more is under way when the line falls
    assert machine.output in ("lll", "llll")


@pytest.mark.parametrize("irqchip", ["on", "split"])
def test_messages(rig: Make, irqchip: str) -> None:
    machine = rig("apic", irqchip=irqchip)
    machine.toy.line = lambda level: machine.chips.message(0xFEE0_0000, 0x41) if level else None
    passes(machine, "mmmt")


def test_nmi(rig: Make) -> None:
    machine = rig("nmi")
    machine.toy.line = machine.cpu.line("nmi")
    passes(machine, "nnn")


def test_a_gsi_that_is_not_there(rig: Make) -> None:
    with pytest.raises(ValueError, match="GSI 24 does not exist"):
        rig("pic").chips.gsi(24)


def test_the_pit(rig: Make) -> None:
    machine = rig("pit", timer=True)
    started = time.monotonic()
    assert (machine.run(), machine.result) == ("shutdown", 0)
    assert machine.output.strip("t") == "" and len(machine.output) >= 10  # two may come while the CPU is awake
    assert time.monotonic() - started >= 9e-3  # ten ticks of a millisecond, the first of which may be under way


# CPUs


@pytest.mark.parametrize("irqchip", ["on", "split"])
def test_cpus_start_each_other(rig: Make, irqchip: str) -> None:
    machine = rig("smp", cpus=2, irqchip=irqchip)
    passes(machine, "2d")


def test_cpus_start_again_after_a_reset(rig: Make) -> None:
    machine = rig("smp", cpus=2)
    machine.again = 1
    machine.machine.on_reset.append(lambda: machine.machine.memory.write(0x4000, 4, 0))
    passes(machine, "2d2d")


def test_hypercalls_that_are_offered_come_back(rig: Make) -> None:
    """On kvm_pvm they never do, and Linux waited for its second CPU for ever."""
    machine = rig("hypercall")
    offered = "kvm-pv-ipi" in x86_cpuid.features(machine.kvm.host_cpuid)
    passes(machine, "h" if offered else "-")


def test_registers_of_a_board_arrive_and_come_back(rig: Make) -> None:
    machine = rig("spin")
    values = {"rax": 0x1122334455667788, "r15": 7, "rflags": 0x246, "cr2": 0x1000, "dr7": 0x400, "star": 0x123 << 32}
    values |= {"fs_base": 0x7F00_0000_1000, "gs_attr": Attr.DATA32, "idtr_limit": 0x123, "xmm15": 3 << 100, "st7": 5}
    values |= {"mxcsr": 0x1F81, "fcw": 0x37F, "kernel_gs_base": 0x55, "cr4": 0x620, "pat": 0x0007040600070406}
    machine.cpu.power(values)
    assert {name: machine.cpu.read_register(name) for name in values} == values
    machine.cpu.write_register("rcx", 1 << 63)
    assert machine.cpu.read_register("rcx") == 1 << 63
    for access in (lambda: machine.cpu.read_register("eip"), lambda: machine.cpu.write_register("eip", 0)):
        with pytest.raises(KeyError):
            access()


def test_a_kick_ends_a_loop_that_never_leaves(rig: Make) -> None:
    machine = rig("spin")
    thread = threading.Thread(target=machine.run)
    thread.start()
    while machine.output != "s":
        time.sleep(0.001)
    machine.machine.request("quit")
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_a_machine_is_paused_and_goes_on(rig: Make) -> None:
    machine = rig("spin")
    machine.machine.reset()
    counts = []
    for _ in range(20):
        machine.machine._start()
        while machine.output != "s":
            time.sleep(0.001)
        time.sleep(0.002)
        machine.machine._stop()
        assert machine.cpu.read_register("rip") in range(0x8000, 0x8000 + len(machine.code))
        counts.append(machine.cpu.read_register("rbx"))
    assert counts == sorted(counts) and counts[-1] > counts[0]


def test_more_cpus_than_kvm_runs(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(X86Kvm, "has", lambda kvm, capability: 1 if capability == Cap.MAX_VCPUS else 0)
    with pytest.raises(UserError, match="-smp: 2 CPUs are too many for the host's KVM, which runs up to 1"):
        rig("spin").kvm.create_vcpu(1, "host")


def test_nothing_stays_open(rig: Make) -> None:
    def kvm_files() -> int:
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        names = [os.readlink(link) for link in links if os.path.islink(link)]
        return sum("kvm" in name or "event" in name for name in names)

    before = kvm_files()
    machine = rig("apic", cpus=2)
    machine.toy.line = machine.chips.gsi(20, edge=True)
    machine.kvm.doorbell(TOY_BASE + 0x50, 4, 0)
    passes(machine, "gggt")
    assert kvm_files() >= before + 8  # system, VM, two vCPUs, an irqfd, a doorbell and its thread's two
    machine.close()
    machine.close()
    assert kvm_files() == before


# Reset


@pytest.mark.parametrize("fault", [False, True])
def test_a_reset_leaves_nothing_behind(rig: Make, fault: bool) -> None:
    machine = rig("reset")
    machine.patch("how", bytes([fault]))
    passes(machine)
    assert machine.resets == 1
    assert machine.cpu.read_register("xmm3") == 0


# Power-off


WAYS_OFF = {"out": 0, "in": 1, "store": 2, "load": 3, "string": 4, "user mode": 5}


@pytest.mark.parametrize("how", WAYS_OFF.values(), ids=WAYS_OFF)
def test_nothing_runs_after_an_access_that_powers_the_cpu_off(rig: Make, how: int) -> None:
    machine = rig("off")
    machine.patch("how", bytes([how]))
    off = threading.Event()

    def power_off(*access: int) -> int:
        machine.cpu.power_off()
        off.set()
        return 0

    for toy in (machine.toy, machine.toy_port):
        toy.read = toy.write = power_off  # type: ignore[method-assign, assignment]
    machine.machine.reset()
    machine.machine._start()
    assert off.wait(LIMIT)
    time.sleep(0.01)  # in which it would count
    machine.machine._stop()
    assert machine.cpu.read_register("rip") <= machine.symbols["on"]
    assert machine.machine.memory.read(machine.symbols["COUNT"], 4) == 0


def test_another_cpu_powers_one_off(rig: Make) -> None:
    """It was told, but went on to its next exit, which this guest does not have."""
    machine = rig("off")
    machine.patch("how", bytes([6]))
    machine.machine.reset()
    machine.machine._start()

    def count() -> int:
        time.sleep(0.02)
        return machine.machine.memory.read(machine.symbols["COUNT"], 4)

    while not count():
        pass
    with machine.machine.lock:
        machine.cpu.power_off()
    until = time.monotonic() + LIMIT
    while (before := count()) != count():
        assert time.monotonic() < until
    machine.machine._stop()
    assert before == count()


# Clock and identity


def test_the_clock_of_kvm_and_the_vendor(rig: Make) -> None:
    machine = rig("clock")
    vendor = Path("/proc/cpuinfo").read_text().split("vendor_id\t: ")[1].split()[0]
    passes(machine, vendor)


# Dirty pages


def test_dirty_pages(rig: Make) -> None:
    machine = rig("user")
    kvm, ram, memory = machine.kvm, machine.ram, machine.machine.memory
    kvm.track_writes(ram, True)
    passes(machine)
    dirty = kvm.dirty_pages(ram)
    written = [0x200000 + n * 0x2000 for n in range(8)]
    assert [page for page in dirty if page >= 0x200000] == written
    assert 0x8000 in dirty  # the board loaded the guest there
    assert kvm.dirty_pages(ram) == []
    memory.write_bytes(0x301FFF, b"ab")
    assert kvm.dirty_pages(ram) == [0x301000, 0x302000]
    kvm.track_writes(ram, False)
    kvm.track_writes(ram, True)
    assert kvm.dirty_pages(ram) == []


# Where KVM can't go on


def test_an_instruction_that_kvm_can_not_execute(rig: Make) -> None:
    machine = rig("nowhere")
    with pytest.raises(UserError) as caught:
        machine.run()
    text = str(caught.value)
    assert f"rip {TOY_BASE:#x}" in text and "bytes" in text and "\n" not in text
