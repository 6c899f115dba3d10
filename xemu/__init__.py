"""xemu: a machine of one architecture on a host of another."""

from xemu.errors import UserError
from xemu.machine import Machine
from xemu.memory import AddressSpace, BusError, Ram

__version__ = "0.1.0"
__all__ = ["AddressSpace", "BusError", "Machine", "Ram", "UserError", "__version__"]
