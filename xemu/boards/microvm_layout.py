"""Addresses, ports and interrupts of the `microvm` board: QEMU's board of that name, plus a keyboard controller.

0x0000_0000  RAM, up to 3 GiB; the first MiB is laid out below
0xfea0_0200  ACPI sleep and reset registers        3 bytes
0xfeb0_0000  8 virtio-mmio transports              512 bytes each, interrupts VIRTIO_GSIS
0xfec0_0000  I/O APIC                              the accelerator's
0xfee0_0000  local APICs                           the accelerator's
0x1_0000_0000  the rest of RAM

ports 0x20, 0xa0  interrupt controllers (PIC)      the accelerator's
ports 0x40-0x43   timer (PIT), with port 0x61      the accelerator's, GSI 0
ports 0x60, 0x64  keyboard controller              only to reset the machine
ports 0x70, 0x71  real-time clock, CMOS memory     GSI 8
ports 0x3f8-0x3ff serial port                      GSI 4
ports 0x510-0x51b fw_cfg

What the loader leaves in the first MiB, all of it written anew at each reset:

0x0_0500  segment descriptors                      (GDT)
0x0_6000  PVH start information                    (only for kernels that start by PVH)
0x0_7000  boot parameters ("zero page")
0x0_8ff0  initial stack, downwards
0x0_9000  page tables that map the first 4 GiB     6 pages
0x2_0000  command line                             up to 64 KiB
0x9_fc00  MP table, with its pointer in front      1 KiB; from here to 1 MiB the memory map says "reserved"
0xe_0000  ACPI tables, the root pointer first      up to 128 KiB
"""

from xemu.memory import Range

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

LOW_RAM_END = 3 * GIB
HIGH_RAM_BASE = 4 * GIB
MAX_RAM = 64 * GIB
MAX_CPUS = 32  # as many as the MP table's KiB holds with room to spare

ACPI_SLEEP = Range(0xFEA0_0200, 3)
VIRTIO_COUNT = 8
VIRTIO_BASE = 0xFEB0_0000
VIRTIO_SIZE = 0x200
# Lines of the ISA bus, so that kernels that know only the MP table can use them, too. Taken are those of the timer (0),
# the cascade (2), the serial port (4), the clock (8) and the floating-point unit (13).
VIRTIO_GSIS = (5, 6, 7, 9, 10, 11, 12, 14)
IO_APIC = 0xFEC0_0000
IO_APIC_PINS = 24
LOCAL_APIC = 0xFEE0_0000

TIMER_GSI = 0
TIMER_PIN = 2  # of the I/O APIC: where the timer's line leads
ISA_IRQS = 16
I8042_DATA, I8042_COMMAND = Range(0x60, 1), Range(0x64, 1)
RTC = Range(0x70, 2)
RTC_GSI = 8
SERIAL = Range(0x3F8, 8)
SERIAL_GSI = 4
FW_CFG = Range(0x510, 12)

GDT = 0x500
PVH_START_INFO = 0x6000
ZERO_PAGE = 0x7000
STACK = 0x8FF0
PAGE_TABLES = 0x9000
COMMAND_LINE = 0x2_0000
COMMAND_LINE_SIZE = 64 * KIB
MP_TABLE = Range(0x9_FC00, KIB)
ACPI_TABLES = Range(0xE_0000, 128 * KIB)
KERNEL = MIB


def virtio_range(index: int) -> Range:
    return Range(VIRTIO_BASE + index * VIRTIO_SIZE, VIRTIO_SIZE)


def ram_ranges(size: int) -> list[Range]:
    """Where RAM is: below the devices, and above 4 GiB what does not fit there."""
    low = min(size, LOW_RAM_END)
    return [Range(0, low)] + ([Range(HIGH_RAM_BASE, size - low)] if size > low else [])
