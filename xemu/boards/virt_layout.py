"""Addresses and interrupt numbers of the `virt` board: the same as those of QEMU's board of that name.

0x0000_0000  flash, firmware              64 MiB
0x0400_0000  flash, firmware's variables  64 MiB
0x0800_0000  GIC distributor              4 KiB answer; the device tree says 64 KiB
0x0801_0000  GIC CPU interface            8 KiB answer; the device tree says 64 KiB (version 2)
0x080a_0000  GIC redistributors           128 KiB for each CPU (version 3, whose distributor has 64 KiB)
0x0900_0000  UART (PL011)                 SPI 1
0x0901_0000  real-time clock (PL031)      SPI 2
0x0902_0000  fw_cfg
0x0a00_0000  32 virtio-mmio transports    512 bytes each, SPI 16 to 47
0x4000_0000  RAM                          up to the size asked for
"""

from xemu.memory import Range

FLASH = (Range(0x0000_0000, 0x0400_0000), Range(0x0400_0000, 0x0400_0000))

GIC_DISTRIBUTOR = Range(0x0800_0000, 0x1000)
GIC_CPU_INTERFACE = Range(0x0801_0000, 0x2000)
# What the device tree promises for each; the rest of it answers nothing, on QEMU's board too.
GIC_TREE_SIZE = 0x1_0000
GIC_REDISTRIBUTORS = Range(0x080A_0000, 0x00F6_0000)
GIC_LINES = 288  # 32 private ones and 256 shared
# By version of the GIC: a target field of 8 bits, and the room for redistributors
MAX_CPUS = {2: 8, 3: GIC_REDISTRIBUTORS.size // 0x2_0000}

UART = Range(0x0900_0000, 0x1000)
UART_SPI = 1

RTC = Range(0x0901_0000, 0x1000)
RTC_SPI = 2

FW_CFG = Range(0x0902_0000, 0x18)

VIRTIO_COUNT = 32
VIRTIO_BASE = 0x0A00_0000
VIRTIO_SIZE = 0x200
VIRTIO_SPI = 16  # of the first; the others follow

RAM_BASE = 0x4000_0000
MAX_RAM = 8 << 30

# The generic timers' private interrupts, by the names of Vcpu.timer_lines.
TIMER_PPIS = {"sec": 29, "phys": 30, "virt": 27, "hyp": 26}

APB_CLOCK_HZ = 24_000_000


def virtio_range(index: int) -> Range:
    return Range(VIRTIO_BASE + index * VIRTIO_SIZE, VIRTIO_SIZE)
