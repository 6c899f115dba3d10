"""`mux`: several front ends share one back end, and Ctrl-A commands reach the emulator itself."""

import time
from collections.abc import Callable

from xemu.chardev.base import CharBackend, Chardev, FrontEnd
from xemu.chardev.loop import IoLoop

DEFAULT_ESCAPE = 0x01  # Ctrl-A
# Typed ahead while the guest is busy; beyond it the host's own flow control takes over.
_BUFFER_SIZE = 4096


class MuxPort(Chardev):
    """One front end's connection to the mux."""

    def __init__(self, mux: "Mux", label: str) -> None:
        super().__init__(mux.loop)
        self.mux = mux
        self.label = label
        self.waiting = bytearray()

    @property
    def front(self) -> FrontEnd | None:
        return self._front

    def write(self, data: bytes) -> None:
        self.mux.write_from(data)

    def _attached(self) -> None:
        self.mux.attach()

    def accept_input(self) -> None:
        if self.waiting:
            self._loop.call(self.deliver)

    def deliver(self) -> None:
        """I/O thread: hand over what waits."""
        with self._loop.lock:
            self.deliver_locked()
        self.mux.backend.accept_input()

    def deliver_locked(self) -> None:
        while self.waiting and self._front is not None and (room := self._front.can_receive()) > 0:
            chunk = bytes(self.waiting[:room])
            del self.waiting[:room]
            self._front.receive(chunk)


class Mux:
    """Routes input to the port in focus; output of all ports goes to the back end as it comes."""

    def __init__(self, loop: IoLoop, backend: CharBackend, escape: int | None = DEFAULT_ESCAPE) -> None:
        self.loop = loop
        self.backend = backend
        self._escape = escape
        self._ports: list[MuxPort] = []
        self._focus = 0
        self._escaped = False
        self._attached = False
        self._timestamps: float | None = None  # start time while Ctrl-A t is on
        self._line_start = True
        self._commands: dict[int, tuple[str, Callable[[], None]]] = {
            ord("h"): ("print this help", self._help),
            ord("x"): ("exit the emulator", self._quit),
            ord("s"): ("save disk data (there are no disks with unsaved data)", self._save),
            ord("t"): ("switch console timestamps on and off", self._toggle_timestamps),
            ord("b"): ("send a break", self._send_break),
            ord("c"): ("switch between consoles", self._switch),
        }

    def port(self, label: str) -> MuxPort:
        port = MuxPort(self, label)
        self._ports.append(port)
        return port

    def attach(self) -> None:
        """Start to read the back end once there is somebody to read for."""
        if not self._attached:
            self._attached = True
            self.backend.connect(self.receive, self.can_receive)

    def write_from(self, data: bytes) -> None:
        self.backend.write(self._stamp(data) if self._timestamps is not None else data)

    def can_receive(self) -> int:
        return _BUFFER_SIZE - len(self._ports[self._focus].waiting)

    def receive(self, data: bytes) -> None:
        """From the back end, under the machine's lock."""
        for byte in data:
            if self._escaped:
                self._escaped = False
                self._command(byte)
            elif byte == self._escape:
                self._escaped = True
            else:
                self._ports[self._focus].waiting.append(byte)
        for port in self._ports:  # more than one, when the focus moved in between
            port.deliver_locked()

    def release(self) -> None:
        self.backend.release()

    def close(self) -> None:
        self.backend.close()

    def _command(self, byte: int) -> None:
        if byte == self._escape:
            self._ports[self._focus].waiting.append(byte)
        else:
            _, action = self._commands.get(byte, self._commands[ord("h")])
            action()

    def _say(self, text: str) -> None:
        self.backend.write(f"\r\n{text}\r\n".encode())

    def _help(self) -> None:
        key = f"C-{chr(self._escape + 0x60)}" if self._escape is not None and 0 < self._escape <= 26 else "escape"
        rows = [f"{key} {chr(code)}    {text}" for code, (text, _) in self._commands.items()]
        self._say("\r\n".join([*rows, f"{key} {key}  send {key} to the guest"]))

    def _quit(self) -> None:
        self._say("xemu: terminated")
        self.loop.quit()

    def _save(self) -> None:
        self._say("xemu: no disk has unsaved data")

    def _toggle_timestamps(self) -> None:
        self._timestamps = time.monotonic() if self._timestamps is None else None
        self._line_start = True

    def _send_break(self) -> None:
        front = self._ports[self._focus].front
        if front is not None and front.on_break is not None:
            front.on_break()

    def _switch(self) -> None:
        if len(self._ports) < 2:
            self._say("xemu: the monitor is not built yet; input stays with the guest")
            return
        self._focus = (self._focus + 1) % len(self._ports)
        self._say(f"xemu: input goes to {self._ports[self._focus].label}")

    def _stamp(self, data: bytes) -> bytes:
        assert self._timestamps is not None
        milliseconds = int((time.monotonic() - self._timestamps) * 1000)
        seconds, milliseconds = divmod(milliseconds, 1000)
        stamp = b"[%02d:%02d:%02d.%03d] " % (seconds // 3600, seconds // 60 % 60, seconds % 60, milliseconds)
        out = bytearray()
        for line in data.splitlines(keepends=True):
            out += stamp + line if self._line_start else line
            self._line_start = line.endswith(b"\n")
        return bytes(out)
