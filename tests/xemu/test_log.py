"""The debug log: every item of `-d` says what it promises, and the statistics come however a run ends."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xemu.cli.log import ITEMS

HERE = Path(__file__).parent
LOOP = (0x14000000).to_bytes(4, "little")  # b .


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """log_items.s, assembled."""
    if shutil.which("aarch64-linux-gnu-as") is None:
        pytest.skip("needs binutils-aarch64-linux-gnu")
    stem = tmp_path_factory.mktemp("log") / "program"
    subprocess.run(["aarch64-linux-gnu-as", HERE / "log_items.s", "-o", f"{stem}.o"], check=True)
    subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", f"{stem}.o", f"{stem}.bin"], check=True)
    return Path(f"{stem}.bin")


def command(kernel: Path, log: Path, items: str, *more: str) -> list[str]:
    xemu = [sys.executable, "-m", "xemu", "-M", "virt", "-nographic", "-d", items, "-D", str(log)]
    accel = () if "-accel" in more else ("-accel", "tcg")
    return [*xemu, *accel, *more, "-kernel", str(kernel)]


def logged(program: Path, items: str, *more: str) -> str:
    log = program.parent / f"{items.replace(',', '-')}{len(more)}.log"
    done = subprocess.run(
        command(program, log, items, *more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return log.read_text()


@pytest.fixture(scope="module")
def everything(program: Path) -> str:
    return logged(program, "all")


EXPECTED = {
    "in_asm": [
        r"^IN: 0x40080000, physical 0x40080000, EL1$",
        r"^  0x40080000: [0-9a-f]{8}  adr x0, #0x40080800$",
        r"^  0x40080028: 54ffffc1  b\.ne #0x40080020$",
    ],
    "op": [r'^OP: stencil "MSR \(register\) #\d+" \{$'],
    "op_opt": [r'^OP after the passes: stencil "MSR \(register\) #\d+" \{$'],
    "out_asm": [r"^OUT: \d+ bytes$", r"^  0x[0-9a-f]+: mov \w+, qword ptr \[r12"],
    "int": [
        r"^CPU 0: synchronous exception to EL1, return to 0x4008000c, SPSR 0x3c5, ESR 0x2000000 \(EC 0x0\), FAR 0x0$",
        r"^CPU 0: synchronous exception to EL1, .*, ESR 0x96000045 \(EC 0x25\), FAR 0x9000000$",
    ],
    "mmu": [
        r"^CPU 0: exec TLB entry: 0x40080000 -> 0x40080000, MMU off$",
        r"^CPU 0: TLB slot \d emptied for ASID 0$",
        r"^CPU 0: data TLB entry: 0x40000000 -> 0x40000000, 1 GiB at level 1, EL0 --x, EL1 rwx, Normal 0xff, global$",
        r"^CPU 0: fault at 0x9000000: translation fault at level 1, write, EL1$",
        r"^CPU 0: TLB flush: everything$",
        r"^CPU 0: TLB flush: page 0x5000 of ASID 3$",
        r"^CPU 0: TLB flush: page 0x5000 of all ASIDs$",
        r"^CPU 0: TLB flush: ASID 3$",
    ],
    "exec": [r"^CPU 0: 0x4008000c EL1$"],
    "unimp": [
        r"^CPU 0: pc 0x4008000c: 00000000 udf #0: undefined$",
        r"^CPU 0: pc 0x40080010: b8200041 ldadd w0, w1, \[x2\]: needs FEAT_LSE, which cortex-a57 lacks$",
        r"^CPU 0: pc 0x40080018: MRS of S3_1_C15_C3_1, which is not implemented$",
    ],
    "guest_errors": [r"^read of 4 bytes at 0x8000000000: nothing answers$"],
    "stats": [r"^blocks translated +\d+$", r"^  exceptions +6$"],
}


def test_every_item_is_tested() -> None:
    assert set(EXPECTED) == set(ITEMS)


@pytest.mark.parametrize("item", EXPECTED)
def test_an_item(everything: str, item: str) -> None:
    for pattern in EXPECTED[item]:
        assert re.search(pattern, everything, re.M), f"no line like {pattern}"


def test_a_word_is_told_once_and_a_block_each_time(everything: str) -> None:
    assert len(re.findall(r"b8200041 ldadd .* lacks$", everything, re.M)) == 1
    assert len(re.findall(r"^CPU 0: 0x40080a00 EL1$", everything, re.M)) == 6  # the exception vector


def test_only_what_was_asked_for(program: Path) -> None:
    assert len(logged(program, "unimp").splitlines()) == 3
    assert "TLB" not in logged(program, "int")
    passes = logged(program, "op_opt")
    assert passes.startswith("OP after the passes: ") and "OP: " not in passes


def test_the_reference_engine_logs_the_same(program: Path, everything: str) -> None:
    items = ("int", "unimp", "mmu", "exec", "guest_errors", "stats")
    text = logged(program, ",".join(items), "-accel", "tcg,engine=reference")
    for pattern in (r"^.* exception to EL1.*$", r"^CPU 0: pc .*$", r"^.*TLB flush.*$", r"^.* fault at .*$"):
        assert re.findall(pattern, text, re.M) == re.findall(pattern, everything, re.M)
    for item in items[:-1]:
        for pattern in EXPECTED[item]:
            assert re.search(pattern, text, re.M), f"no line like {pattern}"
    assert re.search(r"^  exceptions +6$", text, re.M)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_statistics_when_a_signal_ends_the_run(tmp_path: Path, number: int) -> None:
    (tmp_path / "loop").write_bytes(LOOP)
    log = tmp_path / "log"
    run = subprocess.Popen(
        command(tmp_path / "loop", log, "in_asm,stats"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (log.exists() and "b #" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(number)
    assert run.wait(30) == 0
    assert "\nblocks translated      1\n" in log.read_text()
