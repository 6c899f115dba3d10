"""-icount: the guest's time is its instructions, so what it sees of time is the same in every run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from qemu_registers import QEMU

from xemu.accel.virtual_clock import VirtualClock
from xemu.cli import settings
from xemu.cli.icount import IcountSpec
from xemu.cli.options import parse
from xemu.errors import UserError

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """icount.s, assembled."""
    if shutil.which("aarch64-linux-gnu-as") is None:
        pytest.skip("needs binutils-aarch64-linux-gnu")
    stem = tmp_path_factory.mktemp("icount") / "program"
    subprocess.run(["aarch64-linux-gnu-as", HERE / "icount.s", "-o", f"{stem}.o"], check=True)
    subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", f"{stem}.o", f"{stem}.bin"], check=True)
    return Path(f"{stem}.bin")


def run(program: Path, icount: str, *more: str) -> list[int]:
    """The numbers that the program prints."""
    command = [sys.executable, "-m", "xemu", "-M", "virt", "-nographic", "-icount", icount, "-accel"]
    command += [*(more or ["tcg"]), "-kernel", str(program)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return [int(line, 16) for line in done.stdout.split()]


@pytest.mark.parametrize("engine", ["baseline", "reference"])
def test_an_instruction_is_a_tick(program, engine):
    """With shift=4 an instruction takes 16 ns, which is one tick of the counter."""
    loop, late, taken, turns, waited = run(program, "shift=4,sleep=off", f"tcg,engine={engine}")
    assert loop == 2002
    # the timer is due when the counter has its value: MRS itself is the instruction behind that
    assert late == 1 and taken == 1
    # 9 instructions from reading the counter to the loop; then 2 a turn, of which the first counts the turn
    assert turns == (5000 - 9 + 1) // 2
    assert 0 <= waited < 3200


@pytest.mark.skipif(QEMU is None, reason="qemu-system-aarch64 is not installed")
@pytest.mark.parametrize("shift", [6])  # whole ticks: QEMU starts with a few instructions of its own
def test_it_counts_as_qemu_does(program, shift):
    """All but how long WFE takes, which QEMU takes for a yield."""
    command = [QEMU, "-M", "virt", "-cpu", "cortex-a57", "-nographic", "-net", "none", "-kernel", str(program)]
    command += ["-icount", f"shift={shift},sleep=off"]
    theirs = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    ours = run(program, f"{shift},sleep=off")
    assert ours[:4] == [int(line, 16) for line in theirs.stdout.split()][:4]


@pytest.mark.parametrize("icount", ["0", "shift=10,sleep=off"])
def test_two_runs_are_the_same(program, icount):
    first = run(program, icount)
    assert len(first) == 5 and first == run(program, icount)


def test_the_log_of_two_runs_is_the_same(program, tmp_path):
    logs = []
    for name in ("a", "b"):
        run(program, "3", "tcg", "-d", "exec,int", "-D", str(tmp_path / name))
        logs.append((tmp_path / name).read_text())
    assert logs[0] == logs[1] and logs[0].count("\n") > 3000 and "IRQ" in logs[0]


def test_code_that_was_kept(program, tmp_path, monkeypatch):
    """Code of runs that count and of runs that don't are kept apart."""
    expected = run(program, "0")
    monkeypatch.setenv("XEMU_CACHE", "on")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain = [sys.executable, "-m", "xemu", "-M", "virt", "-nographic", "-accel", "tcg", "-d", "stats"]
    plain += ["-kernel", str(program)]
    for _ in range(2):
        done = subprocess.run(plain, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and run(program, "0") == expected
    assert re.search("^new words +0, beside [1-9]", done.stderr, re.M), done.stderr


# The command line

ERRORS = [
    ("sleep=off", "it needs shift=N"),
    ("11", "shift=11 is out of range; it must be 0 to 10"),
    ("x", "shift=x is not a number"),
    ("auto", "shift=auto is not there"),
    ("1,align=on", "align=on is not there"),
    ("1,sleep=maybe", "neither on nor off"),
    ("1,rr=record", "runs are not recorded"),
    ("1,slep=on", "did you mean 'sleep'?"),
]


def build(*argv: str) -> settings.Settings:
    return settings.build(parse(["kernel", *argv]))


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        build("-icount", text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_understood() -> None:
    assert build().icount is None
    assert build("-icount", "shift=3,sleep=off,align=off").icount == IcountSpec(3, False)
    found = build("-icount", "5", "-rtc", "base=2026-01-01,clock=vm")
    assert found.icount == IcountSpec(5) and found.rtc_start == 1767225600
    with pytest.raises(UserError, match="use -smp 1"):
        build("-icount", "5", "-smp", "2")
    with pytest.raises(UserError, match="clock=vm"):
        build("-icount", "5", "-rtc", "clock=host")
    with pytest.raises(UserError, match="clock=host"):
        build("-rtc", "clock=vm")


def test_kvm_is_refused(program) -> None:
    command = [sys.executable, "-m", "xemu", "-M", "virt", "-icount", "1", "-accel", "kvm", "-kernel", str(program)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "-icount counts instructions, which KVM does not" in done.stderr


# The clock


def test_alarms_of_the_virtual_clock() -> None:
    clock, calls, time = VirtualClock(3, True), [], [0]
    changes: list[None] = []
    clock.executed, clock.changed = lambda: time[0], lambda: changes.append(None)
    first = clock.call_at(80, lambda: calls.append("a"))
    clock.call_at(40, lambda: calls.append("b"))
    clock.call_at(80, lambda: calls.append("c"))
    assert clock.next() == 40 and len(changes) == 3
    time[0] = 4
    clock.fire()
    assert not calls
    time[0] = 10
    assert clock.now() == 80
    first.cancel()
    clock.fire()
    assert calls == ["b", "c"] and clock.next() is None
