"""Character devices: bytes both ways, flow control, escape keys, and the terminal given back."""

import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pexpect
import pytest

from xemu.chardev import IoLoop, Mux, create, parse_chardev, parse_serial
from xemu.chardev.base import Chardev
from xemu.errors import UserError


class FakeFrontEnd:
    """A guest's UART with room for `room` bytes."""

    def __init__(self, backend, room: int = 1 << 20) -> None:
        self.got = b""
        self.room = room
        self.breaks = 0
        self.backend = backend
        backend.connect(self.receive, lambda: self.room, self.on_break)

    def receive(self, data: bytes) -> None:
        assert 0 < len(data) <= self.room
        self.room -= len(data)
        self.got += data

    def on_break(self) -> None:
        self.breaks += 1

    def make_room(self, room: int) -> None:
        self.room = room
        self.backend.accept_input()


class FakeBackend(Chardev):
    """The host's side in memory."""

    def __init__(self, loop: IoLoop) -> None:
        super().__init__(loop)
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def type(self, data: bytes) -> None:
        self._pending += data
        self._deliver()


@pytest.fixture
def loop():
    loop = IoLoop()
    loop.lock = threading.RLock()
    return loop


def turn_until(loop: IoLoop, condition) -> None:
    for _ in range(10000):
        if condition():
            return
        loop.turn(0.2)
    raise AssertionError("nothing happened")


def settle(loop: IoLoop) -> None:
    """Run what is already known to be ready."""
    for _ in range(4):
        loop.turn(0)


def test_null_and_file(loop, tmp_path: Path) -> None:
    create(loop, parse_serial("null")).write(b"gone")
    path = tmp_path / "out"
    device = create(loop, parse_serial(f"file:{path}"))
    device.write(b"hello")
    device.close()
    device = create(loop, parse_chardev(f"file,id=f,path={path},append=on"))
    device.write(b" again")
    device.close()
    assert path.read_bytes() == b"hello again"
    with pytest.raises(UserError, match="can't open"):
        create(loop, parse_serial(f"file:{tmp_path}"))


def test_pipe_with_flow_control(loop, tmp_path: Path) -> None:
    base = str(tmp_path / "p")
    with pytest.raises(UserError, match="make it with mkfifo"):
        create(loop, parse_serial(f"pipe:{base}"))
    os.mkfifo(base + ".in")
    os.mkfifo(base + ".out")
    device = create(loop, parse_serial(f"pipe:{base}"))
    front = FakeFrontEnd(device, room=3)
    with open(base + ".in", "wb", buffering=0) as sender:
        sender.write(b"abcdefgh")
        turn_until(loop, lambda: front.got == b"abc")
        settle(loop)
        assert front.got == b"abc"
        front.make_room(2)
        turn_until(loop, lambda: front.got == b"abcde")
        front.make_room(100)
        turn_until(loop, lambda: front.got == b"abcdefgh")
        sender.write(b"more")
        turn_until(loop, lambda: front.got == b"abcdefghmore")
    with open(base + ".out", "rb", buffering=0) as receiver:
        device.write(b"out")
        assert receiver.read(3) == b"out"
    device.close()


def test_one_pipe_and_a_file_that_is_none(loop, tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_text("")
    with pytest.raises(UserError, match="not a named pipe"):
        create(loop, parse_serial(f"pipe:{path}"))


def test_tcp_server_serves_one_client_after_the_other(loop) -> None:
    device = create(loop, parse_serial("tcp:127.0.0.1:0,server,nowait"))
    front = FakeFrontEnd(device)
    device.write(b"nobody listens")
    for name in (b"one", b"two"):
        with socket.create_connection(("127.0.0.1", device.bound_address.port), timeout=10) as client:
            front.got = b""
            client.sendall(name)
            turn_until(loop, lambda name=name: front.got == name)
            device.write(b"to " + name)
            assert client.recv(100) == b"to " + name
        turn_until(loop, lambda: device._connection is None)
    device.close()


def test_a_busy_port_and_a_missing_server(loop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="can't listen on tcp:127.0.0.1.*in use"):
            create(loop, parse_serial(f"tcp:127.0.0.1:{port},server=on,wait=off"))
    with pytest.raises(UserError, match="can't connect to tcp:127.0.0.1"):
        create(loop, parse_serial(f"tcp:127.0.0.1:{port}"))


def test_unix_sockets_meet_and_clean_up(loop, tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    server = create(loop, parse_serial(f"unix:{path},server=on,wait=off"))
    client = create(loop, parse_serial(f"unix:{path}"))
    server_front, client_front = FakeFrontEnd(server), FakeFrontEnd(client)
    client.write(b"ping")
    turn_until(loop, lambda: server_front.got == b"ping")
    # More than a socket holds: the writer waits, and nothing is lost.
    writer = threading.Thread(target=server.write, args=(b"x" * 1_000_000,))
    writer.start()
    turn_until(loop, lambda: len(client_front.got) == 1_000_000)
    writer.join()
    client.close()
    server.close()
    assert not path.exists()


def test_pty(loop, tmp_path: Path) -> None:
    link = tmp_path / "tty"
    device = create(loop, parse_chardev(f"pty,id=p,path={link}"))
    front = FakeFrontEnd(device)
    device.write(b"dropped: nobody there")
    with open(link, "r+b", buffering=0) as terminal:
        terminal.write(b"in\r")
        turn_until(loop, lambda: front.got == b"in\r")
        device.write(b"out\n")
        assert terminal.read(4) == b"out\n"
    device.close()
    assert not link.is_symlink()


@pytest.fixture
def mux(loop):
    backend = FakeBackend(loop)
    mux = Mux(loop, backend)
    return mux, backend, FakeFrontEnd(mux.port("serial0"))


def test_escape_keys(loop, mux) -> None:
    _, backend, front = mux
    ended = []
    loop.quit = lambda: ended.append(True)
    backend.type(b"a\x01\x01b\x01b")
    assert front.got == b"a\x01b" and front.breaks == 1
    backend.type(b"\x01")
    backend.type(b"h")
    assert b"C-a x    exit the emulator" in backend.written
    backend.type(b"\x01c")
    assert b"monitor is not built yet" in backend.written
    assert not ended
    backend.type(b"\x01x")
    assert ended and front.got == b"a\x01b"


def test_escape_keys_reach_the_emulator_while_the_guest_is_busy(loop, mux) -> None:
    _, backend, front = mux
    front.room = 0
    ended = []
    loop.quit = lambda: ended.append(True)
    backend.type(b"typed ahead\x01x")
    assert ended and front.got == b""
    front.make_room(5)
    settle(loop)
    assert front.got == b"typed"


def test_two_front_ends_share_a_back_end(loop, mux) -> None:
    shared, backend, first = mux
    second = FakeFrontEnd(shared.port("console0"))
    backend.type(b"a\x01cb\x01cc")
    assert (first.got, second.got) == (b"ac", b"b")
    assert b"input goes to console0" in backend.written


def test_timestamps(mux) -> None:
    shared, backend, _ = mux
    backend.type(b"\x01t")
    shared.write_from(b"one\ntw")
    shared.write_from(b"o\n")
    lines = backend.written.split(b"\n")
    assert lines[0].startswith(b"[00:00:") and lines[0].endswith(b"] one") and lines[1].endswith(b"] two")


# What runs in a child process with a real terminal: echoes input in upper case, on stdio with escape keys.
_ECHO = """
import sys, threading
from xemu.chardev import IoLoop, Mux, create, parse_serial
from xemu.cli.signals import prompt_handlers
loop = IoLoop()
done = threading.Event()
backend = Mux(loop, create(loop, parse_serial("mon:stdio")))
port = backend.port("serial0")
port.connect(lambda data: port.write(data.upper()), lambda: 16)
loop.start(threading.RLock(), done.set)
with prompt_handlers(loop):
    port.write(b"ready\\n")
    done.wait()
loop.stop()
"""


@pytest.fixture
def terminal(tmp_path: Path):
    """A shell on a terminal, which can tell what is left of the terminal's modes."""
    environment = os.environ | {"PS1": "shell$ ", "PYTHONPATH": str(Path(__file__).parents[2])}
    shell = pexpect.spawn("/bin/sh", encoding="utf-8", timeout=20, env=environment, cwd=str(tmp_path))
    shell.expect_exact("shell$ ")
    yield shell
    shell.close(force=True)


def start_echo(shell: pexpect.spawn, tail: str) -> None:
    with open(os.path.join(shell.cwd, "echo.py"), "w") as file:
        file.write(_ECHO + tail)
    shell.sendline(f"stty -a > before; {sys.executable} echo.py; echo status=$?")
    shell.expect_exact("ready")


def check_restored(shell: pexpect.spawn) -> None:
    # The guardian of a killed process needs a moment; the shell polls, so that the test need not sleep.
    shell.sendline("until stty -a | cmp -s - before; do :; done; echo terminal-is-back")
    shell.expect(r"\nterminal-is-back")


def test_terminal_is_raw_and_comes_back(terminal) -> None:
    start_echo(terminal, "backend.close()\n")
    terminal.send("abc\x03")
    terminal.expect_exact("ABC\x03")
    terminal.send("\x01x")
    terminal.expect_exact("xemu: terminated")
    terminal.expect("status=0")
    check_restored(terminal)


def test_terminal_comes_back_without_close_and_after_an_exception(terminal) -> None:
    start_echo(terminal, "raise RuntimeError\n")
    terminal.send("\x01x")
    terminal.expect("status=1")
    check_restored(terminal)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_terminal_comes_back_after_a_crash(terminal, number: int) -> None:
    start_echo(terminal, f"import os\nos.kill(os.getpid(), {int(number)})\n")
    terminal.send("\x01x")
    terminal.expect(rf"status={128 + number}")
    check_restored(terminal)


def test_a_reader_that_stalls_does_not_hold_up_the_end(tmp_path: Path) -> None:
    program = _ECHO.replace("mon:stdio", "stdio").replace("done.wait()", "pass") + (
        "writer = threading.Thread(target=port.write, args=(b'x' * 1000000,))\n"
        "writer.start()\nbackend.release()\nwriter.join()\nbackend.close()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "env": environment}
    with subprocess.Popen([sys.executable, "-c", program], **streams) as child:
        assert child.wait(timeout=20) == 0


def test_suspend_and_resume(terminal) -> None:
    start_echo(terminal, "backend.close()\n")
    terminal.send("a")
    terminal.expect_exact("A")
    os.kill(first_child(terminal.pid), signal.SIGTSTP)
    terminal.expect("Stopped|Suspended")
    terminal.sendline("fg")
    wait_until_raw(terminal)
    terminal.send("b")
    terminal.expect_exact("B")
    terminal.send("\x01x")
    terminal.expect_exact("xemu: terminated")


def wait_until_raw(shell: pexpect.spawn) -> None:
    """Poll the terminal's modes, for as long as pexpect would wait for text."""
    end = time.monotonic() + shell.timeout
    while termios.tcgetattr(shell.child_fd)[3] & termios.ICANON:
        assert time.monotonic() < end, "the terminal is not raw again"


def first_child(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return int(file.read().split()[0])


def test_a_socket_tells_who_comes_and_goes_and_takes_no_more_than_it_can(loop, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    chardev = create(loop, parse_chardev(f"socket,id=c,path={path},server=on,wait=off"))
    told: list[bool] = []
    resumed: list[bool] = []
    chardev.connect(lambda data: None, lambda: 1, on_open=told.append)
    assert not chardev.open and chardev.offer(b"lost", lambda: None) == 4
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    turn_until(loop, lambda: told == [True])
    assert chardev.open
    data, taken = b"x" * (1 << 24), 0
    while (count := chardev.offer(data[taken:], lambda: resumed.append(True))) > 0:
        taken += count
    assert 0 < taken < len(data) and not resumed
    got = 0
    while got < taken:
        got += len(client.recv(1 << 20))
    turn_until(loop, lambda: bool(resumed))
    client.close()
    turn_until(loop, lambda: told == [True, False])
    assert not chardev.open
    chardev.close()
