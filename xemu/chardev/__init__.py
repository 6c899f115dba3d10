"""Character devices: the host side of the guest's serial ports and consoles."""

from xemu.chardev.base import CharBackend, Chardev
from xemu.chardev.loop import IoLoop
from xemu.chardev.mux import Mux
from xemu.chardev.spec import ChardevSpec, create, parse_chardev, parse_serial

__all__ = ["CharBackend", "Chardev", "ChardevSpec", "IoLoop", "Mux", "create", "parse_chardev", "parse_serial"]
