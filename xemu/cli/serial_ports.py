"""Which port of which virtio-serial-device each virtconsole and virtserialport is."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from xemu.cli.keyval import parse_int
from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError

SERIAL_BUS = "virtio-serial-device"
PORT_DEVICES = ("virtconsole", "virtserialport")
MAX_PORTS = 31
# Names go into one control message, which has to fit the buffers that drivers offer (Linux: a page).
_MAX_NAME = 255


@dataclass(frozen=True)
class PortSpec:
    """One port; `where` is its -device as typed, `label` what the host's side calls it."""

    where: str
    number: int
    console: bool
    name: str
    chardev: str | None
    label: str


@dataclass
class _Bus:
    name: str
    place: int  # of its device among all
    max_ports: int
    ports: dict[int, PortSpec] = field(default_factory=dict[int, PortSpec])


class SerialBuses:
    """Filled in the order of the command line; a port without bus= is on the first bus, as in QEMU."""

    def __init__(self) -> None:
        self._buses: dict[str, _Bus] = {}
        self._unnamed = 0

    def add(self, where: str, options: dict[str, str], place: int) -> None:
        limit = parse_int(where, "max_ports", options.get("max_ports", str(MAX_PORTS)), 1, MAX_PORTS)
        name = f"{options['id']}.0" if "id" in options else f"virtio-serial-bus.{self._unnamed}"
        self._unnamed += "id" not in options
        self._buses[name] = _Bus(name, place, limit)

    def plug(self, where: str, kind: str, options: dict[str, str]) -> None:
        bus = self._find(where, options.get("bus"))
        console = kind == "virtconsole"
        name = options.get("name", "")
        if len(name.encode()) > _MAX_NAME:
            raise UserError(f"{where}: the name is longer than {_MAX_NAME} bytes")
        if name and any(port.name == name for other in self._buses.values() for port in other.ports.values()):
            raise UserError(f"{where}: a port already exists by name {name}")
        number = _number(where, options.get("nr"), console, bus)
        label = options.get("id", f"{kind}{sum(len(other.ports) for other in self._buses.values())}")
        bus.ports[number] = PortSpec(where, number, console, name, options.get("chardev"), label)

    def ports(self) -> Iterator[tuple[int, tuple[PortSpec, ...]]]:
        """The ports of each bus, with the place of its device."""
        for bus in self._buses.values():
            yield bus.place, tuple(bus.ports[number] for number in sorted(bus.ports))

    def _find(self, where: str, name: str | None) -> _Bus:
        if not self._buses:
            raise UserError(f"{where}: there is no bus for it; put -device {SERIAL_BUS} before it")
        if name is None:
            return next(iter(self._buses.values()))
        if name not in self._buses:
            raise UserError(
                f"{where}: there is no bus '{name}'{did_you_mean(name, self._buses, f'there is {listed(self._buses)}')}"
            )
        return self._buses[name]


def _number(where: str, text: str | None, console: bool, bus: _Bus) -> int:
    """The number asked for, else the first that is free; 0 is for a console, as it was before there were ports."""
    last = bus.max_ports - 1
    if text is not None:
        number = parse_int(where, "nr", text, 0, last)
        if number == 0 and not console:
            raise UserError(f"{where}: port number 0 is reserved for a virtconsole; use nr=1 to nr={last}")
        if number in bus.ports:
            raise UserError(f"{where}: a port already exists at nr={number} of {bus.name}")
        return number
    free = [number for number in range(bus.max_ports) if number not in bus.ports and (number or console)]
    if not free:
        raise UserError(f"{where}: {bus.name} has no port left for it: max_ports={bus.max_ports}, and 0 is a console's")
    return free[0]
