"""`socket`: a TCP or Unix socket, as server (one client at a time) or client."""

import os
import socket
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xemu.chardev.base import Chardev
from xemu.chardev.loop import IoLoop
from xemu.errors import UserError


@dataclass(frozen=True)
class SocketAddress:
    """Either a path, or a host and a port."""

    path: str | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"

    def resolve(self) -> tuple[int, Any]:
        if self.path is not None:
            return socket.AF_UNIX, self.path
        # An empty host means this machine only: a guest's console is not for the whole network by default.
        found = socket.getaddrinfo(self.host or "localhost", self.port, type=socket.SOCK_STREAM)
        found.sort(key=lambda entry: entry[0] != socket.AF_INET)
        return found[0][0], found[0][4]


def _reason(error: OSError) -> str:
    return str(error) if error.strerror is None else error.strerror


def _listen(where: str, address: SocketAddress) -> socket.socket:
    server = None
    try:
        family, target = address.resolve()
        server = socket.socket(family, socket.SOCK_STREAM)
        if address.path is None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            _remove_stale_socket(address.path)
        server.bind(target)
        server.listen(1)
    except OSError as error:
        if server is not None:
            server.close()
        raise UserError(f"{where}: can't listen on {address}: {_reason(error)}; is it in use? choose another") from None
    return server


def _remove_stale_socket(path: str) -> None:
    """A socket file that nobody listens on any more is left over from an earlier run."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def _dial(where: str, address: SocketAddress) -> socket.socket:
    connection = None
    try:
        family, target = address.resolve()
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.connect(target)
    except OSError as error:
        if connection is not None:
            connection.close()
        hint = "add server=on,wait=off to listen instead"
        raise UserError(f"{where}: can't connect to {address}: {_reason(error)}; {hint}") from None
    return connection


class SocketChardev(Chardev):
    def __init__(
        self, loop: IoLoop, where: str, address: SocketAddress, server: bool, wait: bool, nodelay: bool = False
    ) -> None:
        super().__init__(loop)
        self._address = address
        self._nodelay = nodelay and address.path is None
        self._listener: socket.socket | None = None
        self._connection: socket.socket | None = None
        if not server:
            self._adopt(_dial(where, address))
            return
        self._listener = _listen(where, address)
        if wait:
            print(f"xemu: waiting for a connection on {self.bound_address}", file=sys.stderr, flush=True)
            self._adopt(self._listener.accept()[0])
        else:
            self._watch_listener()

    @property
    def bound_address(self) -> SocketAddress:
        """Where the server listens, with the port the kernel chose if 0 was asked for."""
        if self._listener is None or self._address.path is not None:
            return self._address
        host, port = self._listener.getsockname()[:2]
        return SocketAddress(host=host, port=port)

    def write(self, data: bytes) -> None:
        connection = self._connection
        if connection is not None:
            self._write_fd(connection.fileno(), data)

    def offer(self, data: bytes, resume: Callable[[], None]) -> int:
        connection = self._connection
        return self._offer_fd(connection.fileno(), data, resume) if connection is not None else len(data)

    @property
    def open(self) -> bool:
        return self._connection is not None

    def close(self) -> None:
        super().close()
        self._hang_up()
        if self._listener is not None:
            self._loop.unwatch(self._listener.fileno())
            self._listener.close()
            self._listener = None
            if self._address.path is not None and os.path.exists(self._address.path):
                os.unlink(self._address.path)

    def _watch_listener(self) -> None:
        if self._listener is not None:
            self._loop.watch(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        """I/O thread: take a client; the next one waits in the kernel's queue until this one leaves."""
        if self._listener is None:
            return
        self._loop.unwatch(self._listener.fileno())
        try:
            connection = self._listener.accept()[0]
        except OSError:
            self._watch_listener()
            return
        with self._loop.lock:
            self._adopt(connection)

    def _adopt(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        if self._nodelay:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._input = connection.fileno()
        self._watch_input()
        self._opened(True)

    def _input_ended(self) -> None:
        super()._input_ended()
        with self._loop.lock:
            self._hang_up()
            self._opened(False)
        self._watch_listener()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
