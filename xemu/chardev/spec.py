"""The text of `-chardev` and `-serial` as data, and the table of back ends that both create."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from xemu.chardev.base import CharBackend
from xemu.chardev.file import FileChardev
from xemu.chardev.loop import IoLoop
from xemu.chardev.null import NullChardev
from xemu.chardev.pipe import PipeChardev
from xemu.chardev.pty import PtyChardev
from xemu.chardev.socket import SocketAddress, SocketChardev
from xemu.cli.keyval import parse_bool, parse_int, parse_keyval
from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError


@dataclass(frozen=True)
class ChardevSpec:
    """One character device as the user asked for it; `where` is the option's text, for error lines."""

    where: str
    kind: str
    options: dict[str, str] = field(default_factory=dict[str, str])
    id: str | None = None
    mux: bool = False

    def flag(self, key: str, default: bool) -> bool:
        return parse_bool(self.where, key, self.options[key]) if key in self.options else default


@dataclass(frozen=True)
class _Kind:
    help: str
    keys: dict[str, str]
    create: Callable[[IoLoop, ChardevSpec], CharBackend]
    required: tuple[str, ...] = ()


def _make_stdio(loop: IoLoop, spec: ChardevSpec) -> CharBackend:
    from xemu.chardev.stdio import StdioChardev  # termios only where a terminal is used

    # A shared terminal hands Ctrl-C to the guest; Ctrl-A x ends xemu.
    return StdioChardev(loop, spec.where, signals=spec.flag("signal", not spec.mux))


def _make_socket(loop: IoLoop, spec: ChardevSpec) -> CharBackend:
    server = spec.flag("server", False)
    # Users of QEMU write wait=off, nowait or nothing at all.
    wait = server and spec.flag("wait", not spec.flag("nowait", False))
    return SocketChardev(loop, spec.where, _address(spec), server, wait, spec.flag("nodelay", False))


def _address(spec: ChardevSpec) -> SocketAddress:
    if "path" in spec.options:
        if "port" in spec.options or "host" in spec.options:
            raise UserError(f"{spec.where}: path= is a Unix socket and host=, port= a TCP one; give one of the two")
        return SocketAddress(path=spec.options["path"])
    if "port" not in spec.options:
        raise UserError(f"{spec.where}: a socket needs path=FILE, or port=NUMBER with host=NAME")
    port = parse_int(spec.where, "port", spec.options["port"], 0, 65535)
    return SocketAddress(host=spec.options.get("host", ""), port=port)


KINDS: dict[str, _Kind] = {
    "stdio": _Kind(
        "the terminal xemu was started from",
        {"signal": "whether Ctrl-C ends xemu (on) or goes to the guest"},
        _make_stdio,
    ),
    "file": _Kind(
        "output to a file",
        {"path": "the file", "append": "keep what the file holds already"},
        lambda loop, spec: FileChardev(loop, spec.where, spec.options["path"], spec.flag("append", False)),
        ("path",),
    ),
    "pipe": _Kind(
        "two named pipes, PATH.in and PATH.out, or one for both directions",
        {"path": "the pipe's name without .in and .out"},
        lambda loop, spec: PipeChardev(loop, spec.where, spec.options["path"]),
        ("path",),
    ),
    "socket": _Kind(
        "a TCP or Unix socket",
        {
            "host": "name or address; empty is this machine only",
            "port": "TCP port",
            "path": "file of a Unix socket",
            "server": "listen instead of connecting",
            "wait": "a server waits for its first client before the guest starts",
            "nowait": "the same as wait=off",
            "nodelay": "send small TCP packets at once",
        },
        _make_socket,
    ),
    "pty": _Kind(
        "a new pseudo-terminal, whose name is printed",
        {"path": "a symbolic link to make to it"},
        lambda loop, spec: PtyChardev(loop, spec.where, spec.options.get("path")),
    ),
    "null": _Kind("nothing: output vanishes", {}, lambda loop, spec: NullChardev(loop)),
}

_SERIAL_FORMS = (
    "stdio", "mon:stdio", "null", "none", "pty", "file:PATH", "pipe:PATH", "tcp:HOST:PORT", "unix:PATH", "chardev:ID",
)  # fmt: skip
_FLAGS = {"signal", "append", "server", "wait", "nowait", "nodelay"}


def parse_chardev(text: str) -> ChardevSpec:
    """`-chardev KIND,id=NAME,key=value...`"""
    where = f"-chardev {text}"
    options = parse_keyval("-chardev", text, implied="backend")
    kind = options.pop("backend", "")
    spec_id = options.pop("id", None)
    if not spec_id:
        raise UserError(f"{where}: it needs an id= for others to name it by")
    mux = parse_bool(where, "mux", options.pop("mux", "off"))
    return _checked(ChardevSpec(where, kind, options, spec_id, mux))


def parse_serial(text: str, option: str = "-serial") -> ChardevSpec:
    """`-serial` in its short forms: stdio, null, pty, file:F, pipe:P, tcp:H:P,server, unix:F; `mon:` before any."""
    where = f"{option} {text}"
    mux = text.startswith("mon:")
    head, *rest = text.removeprefix("mon:").split(",", 1)
    kind, colon, argument = head.partition(":")
    extra = parse_keyval(option, rest[0]) if rest else {}
    if kind in ("tcp", "unix"):
        address = {"path": argument} if kind == "unix" else _split_host_port(where, argument)
        return _checked(ChardevSpec(where, "socket", address | extra, mux=mux))
    if kind in ("file", "pipe") and argument:
        # The whole rest is the name: commas in it need no escape in this form.
        return ChardevSpec(where, kind, {"path": text.removeprefix("mon:").partition(":")[2]}, mux=mux)
    if kind in ("stdio", "null", "pty") and not colon:
        return _checked(ChardevSpec(where, kind, extra, mux=mux))
    hint = did_you_mean(kind, _SERIAL_FORMS, f"the forms are {listed(_SERIAL_FORMS)}")
    raise UserError(f"{where}: no such character device{hint}")


def _split_host_port(where: str, argument: str) -> dict[str, str]:
    host, colon, port = argument.rpartition(":")
    if not colon:
        raise UserError(f"{where}: it needs a host and a port, such as tcp:localhost:4444")
    return {"host": host.removeprefix("[").removesuffix("]"), "port": port}


def _checked(spec: ChardevSpec) -> ChardevSpec:
    if spec.kind not in KINDS:
        hint = did_you_mean(spec.kind, KINDS, f"the kinds are {listed(KINDS)}")
        raise UserError(f"{spec.where}: no character device '{spec.kind}'{hint}")
    kind = KINDS[spec.kind]
    for key in spec.options:
        if key not in kind.keys:
            hint = did_you_mean(key, kind.keys, f"it takes {_listed_or_none(kind.keys)}")
            raise UserError(f"{spec.where}: '{spec.kind}' has no property '{key}'{hint}")
    for key in _FLAGS & set(spec.options):
        spec.flag(key, False)
    for key in kind.required:
        if not spec.options.get(key):
            raise UserError(f"{spec.where}: '{spec.kind}' needs {key}=")
    if spec.kind == "socket":
        _address(spec)
    return spec


def _listed_or_none(keys: Iterable[str]) -> str:
    return listed(["id", "mux", *keys])


def create(loop: IoLoop, spec: ChardevSpec) -> CharBackend:
    """Open the host side; everything that can fail fails here, with a UserError."""
    return KINDS[spec.kind].create(loop, spec)
