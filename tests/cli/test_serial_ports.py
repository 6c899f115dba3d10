"""virtio-serial-device, virtconsole, virtserialport: which port each is, and the one line that says what is wrong."""

import pytest

from xemu.cli import settings
from xemu.cli.options import parse
from xemu.errors import UserError


def ports(text: str) -> list[list[tuple[int, bool, str, str | None]]]:
    """Number, kind, name and character device of the ports of each bus."""
    words = ["kernel", "-chardev", "null,id=c", "-chardev", "null,id=d"]
    for word in text.split():
        words += ["-device", word]
    found = settings.build(parse(words)).devices
    assert {spec.kind for spec in found} == {"virtio-serial-device"}
    return [[(port.number, port.console, port.name, port.chardev) for port in spec.ports] for spec in found]


def test_numbers() -> None:
    line = "virtio-serial-device virtserialport,chardev=c,name=org.agent virtconsole,chardev=d virtconsole"
    assert ports(line) == [[(0, True, "", "d"), (1, False, "org.agent", "c"), (2, True, "", None)]]
    assert ports("virtio-serial-device virtserialport,nr=7 virtconsole,nr=0 virtserialport") == [
        [(0, True, "", None), (1, False, "", None), (7, False, "", None)]
    ]


def test_buses() -> None:
    line = "virtio-serial-device,id=a virtio-serial-device,max_ports=1 virtio-serial-device"
    line += " virtconsole virtconsole,bus=virtio-serial-bus.0,chardev=c virtserialport,bus=virtio-serial-bus.1"
    assert ports(line) == [[(0, True, "", None)], [(0, True, "", "c")], [(1, False, "", None)]]
    assert ports("virtio-serial-device,id=a virtio-serial-device,id=b virtconsole,bus=b.0") == [
        [],
        [(0, True, "", None)],
    ]


ERRORS = [
    ("virtconsole", "put -device virtio-serial-device before it"),
    ("virtserialport virtio-serial-device", "put -device virtio-serial-device before it"),
    ("virtio-serial-device virtconsole,chardev=e", "there is no character device with id 'e'"),
    ("virtio-serial-device,id=ser virtconsole,bus=set.0", "there is no bus 'set.0'; did you mean 'ser.0'?"),
    ("virtio-serial-device virtconsole,bus=zzz", "there is no bus 'zzz'; there is virtio-serial-bus.0"),
    ("virtio-serial-device virtserialport,nr=0", "port number 0 is reserved for a virtconsole"),
    ("virtio-serial-device virtserialport,nr=1 virtconsole,nr=1", "a port already exists at nr=1"),
    ("virtio-serial-device virtserialport,nr=31", "nr=31 is out of range; it must be 0 to 30"),
    ("virtio-serial-device virtserialport,nr=x", "nr=x is not a number"),
    ("virtio-serial-device virtserialport,name=a virtserialport,name=a", "a port already exists by name a"),
    ("virtio-serial-device virtserialport,name=" + "n" * 256, "longer than 255 bytes"),
    ("virtio-serial-device,max_ports=0", "max_ports=0 is out of range; it must be 1 to 31"),
    ("virtio-serial-device,max_ports=32", "max_ports=32 is out of range"),
    ("virtio-serial-device,max_ports=1 virtserialport", "has no port left for it: max_ports=1"),
    ("virtio-serial-device,max_ports=1 virtconsole virtconsole", "has no port left for it"),
    ("virtio-serial-device virtserialprt", "did you mean 'virtserialport'?"),
    ("virtio-serial-device virtserialport,nam=x", "did you mean 'name'?"),
    ("virtio-serial-device,id=a virtserialport,id=a", "the id 'a' is taken already"),
]


@pytest.mark.parametrize(("line", "text"), ERRORS)
def test_errors(line: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        ports(line)
    assert text in str(caught.value) and "\n" not in str(caught.value)
