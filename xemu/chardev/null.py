"""`null`: output vanishes, no input ever comes."""

from xemu.chardev.base import Chardev


class NullChardev(Chardev):
    pass
