"""Sleep and reset registers of hardware-reduced ACPI (ACPI 6.5, 4.8.3.6 and 4.8.3.7): power off and reset by the
operating system's ACPI code."""

# Registers are spelt as in the manual.
# pyright: reportConstantRedefinition=false

from collections.abc import Callable

from xemu.devices.registers import Access, RegisterDevice, register

SLEEP_CONTROL, SLEEP_STATUS, RESET_REGISTER = 0, 1, 2  # offsets
RESET_VALUE = 0x42
S5 = 5  # the type of sleep that is soft off, as the DSDT's \_S5 says


class SleepControl:
    """Bits of the sleep control register."""

    SLP_TYP = 7 << 2
    SLP_EN = 1 << 5


class AcpiSleep(RegisterDevice):
    name = "acpi-sleep"

    CONTROL: int = register(SLEEP_CONTROL, "SLP_EN enters the sleep of SLP_TYP", width=1, fields=SleepControl)
    STATUS: int = register(SLEEP_STATUS, "WAK_STS, never set: there is no wake-up", width=1, access=Access.W1C)
    RESET: int = register(RESET_REGISTER, f"{RESET_VALUE:#x} resets the machine", width=1, access=Access.WO)

    def __init__(self, power_off: Callable[[], None], reset_machine: Callable[[], None]) -> None:
        super().__init__()
        self._power_off = power_off
        self._reset_machine = reset_machine

    def write_CONTROL(self, value: int) -> None:
        self.CONTROL = value & SleepControl.SLP_TYP  # SLP_EN reads as zero
        if not value & SleepControl.SLP_EN:
            return
        kind = (value & SleepControl.SLP_TYP) >> 2
        if kind == S5:
            self._power_off()
        else:
            self.guest_error(f"sleep of type {kind}, which this machine does not announce")

    def write_RESET(self, value: int) -> None:
        if value == RESET_VALUE:
            self._reset_machine()
