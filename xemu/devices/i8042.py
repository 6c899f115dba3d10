"""Keyboard controller 8042 without keyboard and mouse: what is left is the pin that resets a PC's CPUs.

Two ports: data and status/command. Commands as in the IBM PS/2 technical reference; a byte sent to a device times out,
because none is plugged in.
"""

# Registers are spelt as in the manual.
# pyright: reportConstantRedefinition=false

from collections.abc import Callable

from xemu.devices.registers import RegisterDevice, register, variable

DATA, COMMAND = 0, 1  # offsets of the two registers

_RESEND = 0xFE  # what a device that times out seems to answer


class Status:
    """Bits of the status."""

    OUTPUT_FULL = 1 << 0
    INPUT_FULL = 1 << 1
    SYSTEM = 1 << 2
    LAST_WAS_COMMAND = 1 << 3
    UNLOCKED = 1 << 4
    AUX_FULL = 1 << 5
    TIMEOUT = 1 << 6


class Command:
    """Bytes written to the command port."""

    READ_CONFIG, WRITE_CONFIG = 0x20, 0x60
    DISABLE_AUX, ENABLE_AUX, TEST_AUX = 0xA7, 0xA8, 0xA9
    SELF_TEST, TEST_KEYBOARD = 0xAA, 0xAB
    DISABLE_KEYBOARD, ENABLE_KEYBOARD = 0xAD, 0xAE
    READ_OUTPUT_PORT, WRITE_OUTPUT_PORT = 0xD0, 0xD1
    FAKE_KEYBOARD, FAKE_AUX, TO_AUX = 0xD2, 0xD3, 0xD4
    PULSE = 0xF0  # and the 15 after it: a 0 in the low bits pulls an output low for a moment


_RESET_PIN = 1 << 0  # of the output port, active low
_ANSWERS = {Command.SELF_TEST: 0x55, Command.TEST_KEYBOARD: 0x00, Command.TEST_AUX: 0x00}
_CONFIG_DEVICES_OFF = 0x30
_DEVICE_SWITCHES = {
    Command.DISABLE_KEYBOARD: (0x10, True),
    Command.ENABLE_KEYBOARD: (0x10, False),
    Command.DISABLE_AUX: (0x20, True),
    Command.ENABLE_AUX: (0x20, False),
}
_WITH_DATA = (
    Command.WRITE_CONFIG,
    Command.WRITE_OUTPUT_PORT,
    Command.FAKE_KEYBOARD,
    Command.FAKE_AUX,
    Command.TO_AUX,
)


class I8042(RegisterDevice):
    """`reset_machine` is called when the guest pulls the reset pin."""

    name = "i8042"

    OUTPUT: int = register(DATA, "data for the host; written: data for the controller or a device", width=1)
    STATUS: int = register(COMMAND, "status; written: a command", width=1)

    config: int = variable(_CONFIG_DEVICES_OFF, "the controller's configuration byte")
    output_port: int = variable(0xCF, "pins: keyboard clock and data, A20, no reset")
    status: int = variable(Status.UNLOCKED, "status bits")
    command: int = variable(0, "the command that waits for its data byte, or 0")

    def __init__(self, reset_machine: Callable[[], None]) -> None:
        super().__init__()
        self._reset_machine = reset_machine

    def read_OUTPUT(self) -> int:
        self.status &= ~(Status.OUTPUT_FULL | Status.AUX_FULL | Status.TIMEOUT)
        return self.OUTPUT

    def write_OUTPUT(self, value: int) -> None:
        command, self.command = self.command, 0
        self.status &= ~Status.LAST_WAS_COMMAND
        if command == Command.WRITE_CONFIG:
            self.config = value
            self.status = self.status & ~Status.SYSTEM | value & Status.SYSTEM
        elif command == Command.WRITE_OUTPUT_PORT:
            self.output_port = value
            if not value & _RESET_PIN:
                self._reset_machine()
        elif command in (Command.FAKE_KEYBOARD, Command.FAKE_AUX):
            self._answer(value, Status.AUX_FULL if command == Command.FAKE_AUX else 0)
        else:  # a byte for a device
            self._answer(_RESEND, Status.TIMEOUT | (Status.AUX_FULL if command == Command.TO_AUX else 0))

    def read_STATUS(self) -> int:
        return self.status

    def write_STATUS(self, value: int) -> None:
        self.command = value if value in _WITH_DATA else 0
        self.status |= Status.LAST_WAS_COMMAND
        if value == Command.READ_CONFIG:
            self._answer(self.config)
        elif value == Command.READ_OUTPUT_PORT:
            self._answer(self.output_port)
        elif value in _ANSWERS:
            if value == Command.SELF_TEST:
                self.status |= Status.SYSTEM
            self._answer(_ANSWERS[value])
        elif value in _DEVICE_SWITCHES:
            bit, off = _DEVICE_SWITCHES[value]
            self.config = self.config | bit if off else self.config & ~bit
        elif value >= Command.PULSE and not value & _RESET_PIN:
            self._reset_machine()

    def _answer(self, value: int, flags: int = 0) -> None:
        self.OUTPUT = value
        self.status = self.status & ~(Status.AUX_FULL | Status.TIMEOUT) | Status.OUTPUT_FULL | flags


class Port:
    """One of the two registers as a device of its own: PCs have other things between their ports, 0x60 and 0x64."""

    def __init__(self, controller: I8042, offset: int) -> None:
        self._controller = controller
        self._offset = offset

    def read(self, offset: int, size: int) -> int:
        return self._controller.read(self._offset + offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._controller.write(self._offset + offset, size, value)
