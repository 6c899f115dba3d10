"""Small devices of PCs: the keyboard controller's reset, ACPI's sleep registers."""

from xemu.devices.acpi_sleep import AcpiSleep
from xemu.devices.i8042 import I8042

DATA, COMMAND = 0, 1


class Asked:
    """What a device asked the machine for."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __call__(self, kind: str):
        return lambda: self.kinds.append(kind)


def keyboard_controller() -> tuple[I8042, list[str]]:
    asked = Asked()
    return I8042(asked("reset")), asked.kinds


def answers(controller: I8042, command: int, *data: int) -> list[tuple[int, int]]:
    """Status and data of each answer to a command and its data bytes."""
    controller.write(COMMAND, 1, command)
    for byte in data:
        controller.write(DATA, 1, byte)
    found = []
    while (status := controller.read(COMMAND, 1)) & 1:
        found.append((status, controller.read(DATA, 1)))
    return found


def test_reset_by_the_pin() -> None:
    controller, asked = keyboard_controller()
    assert controller.read(COMMAND, 1) & 3 == 0  # ready for a command
    controller.write(COMMAND, 1, 0xFF)  # pulls nothing
    assert asked == []
    controller.write(COMMAND, 1, 0xFE)
    assert asked == ["reset"]
    assert answers(controller, 0xD1, 0xDF) == [] and asked == ["reset"]
    assert answers(controller, 0xD1, 0xDE) == [] and asked == ["reset", "reset"]


def test_commands_that_drivers_probe_with() -> None:
    controller, asked = keyboard_controller()
    assert [data for _, data in answers(controller, 0xAA)] == [0x55]
    assert [data for _, data in answers(controller, 0x20)] == [0x30]
    assert answers(controller, 0x60, 0x47) == []
    assert [data for _, data in answers(controller, 0x20)] == [0x47]
    answers(controller, 0xAD)
    answers(controller, 0xA8)
    assert [data for _, data in answers(controller, 0x20)] == [0x57]
    assert [data for _, data in answers(controller, 0xD0)] == [0xCF]
    assert answers(controller, 0xD3, 0xA5)[0][0] & 0x21 == 0x21  # comes back as if from a mouse
    assert asked == []


def test_there_is_no_keyboard() -> None:
    controller, _ = keyboard_controller()
    controller.write(DATA, 1, 0xF2)  # identify yourself
    assert controller.read(COMMAND, 1) & 0x41 == 0x41 and controller.read(DATA, 1) == 0xFE
    assert answers(controller, 0xD4, 0xF2)[0][0] & 0x61 == 0x61


def sleep_registers() -> tuple[AcpiSleep, list[str]]:
    asked = Asked()
    return AcpiSleep(asked("shutdown"), asked("reset")), asked.kinds


def test_soft_off() -> None:
    registers, asked = sleep_registers()
    registers.write(0, 1, 5 << 2)
    assert asked == [] and registers.read(0, 1) == 5 << 2
    registers.write(0, 1, 5 << 2 | 0x20)
    assert asked == ["shutdown"] and registers.read(0, 1) == 5 << 2
    registers.write(0, 1, 3 << 2 | 0x20)
    assert asked == ["shutdown"]


def test_the_reset_register() -> None:
    registers, asked = sleep_registers()
    registers.write(2, 1, 0x41)
    assert asked == []
    registers.write(2, 1, 0x42)
    assert asked == ["reset"] and registers.read(1, 1) == 0
