"""The store from the command line: a second run takes from it, and nothing that happens to it changes what runs."""

import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xemu.guests import demo_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled code, in a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("XEMU_CACHE")
    return tmp_path / "xemu" / "code"


def xemu(*argv: str, keys: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xemu", *argv]
    return subprocess.run(command, input=keys, capture_output=True, text=True, timeout=300)


def boot(*argv: str) -> tuple[str, str, int]:
    """(console, messages, words from the store) of the demo guest until it powers off."""
    done = xemu("-M", "virt", "-accel", "tcg", "-d", "stats", *argv, str(demo_path()), keys="iq")
    assert done.returncode == 0, done.stderr
    assert "Hello from the demo guest" in done.stdout and "Bye." in done.stdout
    stored = re.search(r"^new words .* (\d+) from the store$", done.stderr, re.M)
    assert stored, done.stderr
    messages = "".join(line for line in done.stderr.splitlines(True) if line.startswith("xemu:"))
    return done.stdout, messages, int(stored[1])


def segments(home: Path) -> list[Path]:
    return sorted(home.glob("*/*.segment"))


def test_the_second_run_takes_from_the_store(home: Path) -> None:
    cold, _, none = boot()
    files = segments(home)
    warm, _, some = boot()
    assert cold == warm
    assert none == 0 and some > 0
    assert segments(home) == files  # there was nothing new
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_warm_start_loads_no_code_generator(home: Path) -> None:
    boot()
    probe = (
        "import sys\n"
        "from xemu.cli.main import main\n"
        "status = main(sys.argv[1:])\n"
        "print('loaded', sorted({'llvmlite', 'capstone', 'elftools', 'jit.llvmgen'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", probe, "-M", "virt", "-accel", "tcg", str(demo_path())]
    done = subprocess.run(command, input="iq", capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith("loaded []\n"), done.stdout + done.stderr


def test_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEMU_CACHE", "off")
    assert boot()[2] == 0
    assert not home.exists()
    assert "off" in xemu("cache", "info").stdout
    monkeypatch.setenv("XEMU_CACHE", "none")
    done = xemu("-M", "virt", str(demo_path()))
    assert (done.returncode, done.stderr) == (1, "xemu: XEMU_CACHE=none: write XEMU_CACHE=off or XEMU_CACHE=on\n")


def test_damage_anywhere(home: Path) -> None:
    """Runs on a store with damage in some place are right, and leave a good one."""
    boot()
    good = {file: file.read_bytes() for file in segments(home)}
    where = random.Random(4)
    for damaged in [*good] * 3:
        for file in {*segments(home), *good}:
            file.unlink(missing_ok=True)
        for file, data in good.items():
            if file == damaged:
                start = where.randrange(len(data))
                length = where.choice((1, 100, 10_000, len(data)))
                data = data[:start] + where.randbytes(len(data[start : start + length])) + data[start + length :]
            file.write_bytes(data)
            file.chmod(0o600)
        boot()
        assert boot()[2] > 0


def test_an_open_folder_is_refused(home: Path) -> None:
    boot()
    home.chmod(0o777)
    _, messages, stored = boot()
    assert stored == 0
    assert messages.startswith(f"xemu: warning: {home} is not private to this user (mode 0777)")
    assert len(messages.splitlines()) == 1
    for command in ("info", "clear"):
        done = xemu("cache", command)
        assert done.returncode == 1 and "make it private" in done.stderr and len(done.stderr.splitlines()) == 1
    assert segments(home)


def test_no_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("XEMU_CACHE")
    assert boot()[1:] == ("", 0)


def test_kill_at_any_moment(home: Path) -> None:
    """kill -9 while it starts, runs or saves, several at once; what comes after is right."""
    moment = random.Random(9)
    command = [sys.executable, "-m", "xemu", "-M", "virt", str(demo_path())]
    for _ in range(4):
        both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
        for child in both:
            assert child.stdin is not None
            child.stdin.write(b"q")
            child.stdin.flush()
        time.sleep(moment.uniform(0.3, 6))
        for child in both:
            child.kill()
            child.communicate()
    boot()
    assert boot()[2] > 0


def test_info_and_clear(home: Path) -> None:
    assert "generations  0" in xemu("cache", "info").stdout
    assert xemu("cache", "clear").returncode == 0
    boot()
    text = xemu("cache", "info").stdout
    assert f"folder       {home}\n" in text and "generations  1" in text and "2 files" in text
    (home.parent / "guests").mkdir()
    done = xemu("cache", "clear")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert segments(home) == []
    assert (home.parent / "guests").is_dir()
    assert "generations  0" in xemu("cache", "info").stdout


@pytest.mark.parametrize("argv", [[], ["stats"], ["info", "clear"]])
def test_other_words(argv: list[str]) -> None:
    done = xemu("cache", *argv)
    assert done.returncode == 1
    assert done.stderr.startswith(f"xemu: {' '.join(['cache', *argv])}: write `xemu cache info`")
    assert len(done.stderr.splitlines()) == 1
