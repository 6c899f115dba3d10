"""The microvm board: its map, its tables, its wiring, how it starts and ends."""

import acpi_reader
import mp_table_reader
import pytest
from fakes import FakeAccelerator, FakeBackend, FakeClock, Wire

from xemu import boards
from xemu.accel.base import PcInterruptChips, PcTimer
from xemu.boards import microvm_layout as layout
from xemu.devices.cfi_flash import FlashConfig
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel

MIB, GIB = 1 << 20, 1 << 30
KERNEL = LoadedKernel([(MIB, b"kernel" * 100)], MIB + 0x10, False)


class Chips:
    """Interrupt controllers that only remember."""

    def __init__(self, pics: bool) -> None:
        self.pics = pics
        self.lines: dict[int, Wire] = {}
        self.edges: set[int] = set()
        self.resets = 0

    def gsi(self, number: int, edge: bool = False) -> Wire:
        assert number not in self.lines, f"GSI {number} twice"
        self.lines[number] = Wire()
        if edge:
            self.edges.add(number)
        return self.lines[number]

    def message(self, address: int, data: int) -> None: ...

    def reset(self) -> None:
        self.resets += 1


class Timer:
    def reset(self) -> None: ...


class PcAccelerator(FakeAccelerator):
    """With the parts of a PC, or without those that are as old as it."""

    def __init__(self, old: bool = True) -> None:
        super().__init__()
        self.chips = Chips(old)
        self.wanted: list = []
        self.timer = Timer() if old else None

    def part(self, part):
        self.wanted.append(part)
        return self.chips if isinstance(part, PcInterruptChips) else self.timer


def board(accelerator=None, **choices):
    defaults = {"cpu": "host", "cpus": 1, "ram_size": 128 * MIB, "clock": FakeClock(), "epoch": 0}
    config = boards.BoardConfig(accelerator or PcAccelerator(), **(defaults | {"kernel": KERNEL} | choices))
    return boards.build("microvm", config)


def started(**choices):
    machine = board(**choices)
    machine.reset()
    return machine


def text_at(machine, address: int) -> str:
    return machine.memory.read_bytes(address, layout.COMMAND_LINE_SIZE).split(b"\0")[0].decode()


RNG = boards.DeviceConfig("virtio-rng-device")


# The map


def test_what_answers_where():
    machine = board()
    for index in range(layout.VIRTIO_COUNT):
        assert machine.memory.read(layout.virtio_range(index).base, 4) == 0x74726976
    assert machine.memory.read(layout.ACPI_SLEEP.base, 1) == 0
    assert machine.port_read(0, 0x3F8 + 5, 1) == 0x60
    assert machine.port_read(0, 0x64, 1) & 3 == 0
    for nobody in (0x61, 0x62, 0x2F8, 0xCF8, 0x3F0):
        assert machine.port_read(0, nobody, 1) == 0xFF
    assert machine.port_read(0, 0xCF8, 4) == 0xFFFFFFFF
    machine.port_write(0, 0x70, 1, 0x0D)
    assert machine.port_read(0, 0x71, 1) == 0x80
    machine.port_write(0, 0x80, 1, 0)


def test_ram_on_both_sides_of_the_devices():
    assert [(ram.base, ram.size) for ram in board().memory.rams] == [(0, 128 * MIB)]
    rams = board(ram_size=5 * GIB).memory.rams
    assert [(ram.base, ram.size) for ram in rams] == [(0, 3 * GIB), (4 * GIB, 2 * GIB)]


def test_the_clock_and_what_firmware_leaves_in_its_memory():
    machine = board(ram_size=5 * GIB, epoch=86399, rtc_offset=1)

    def cmos(index):
        machine.port_write(0, 0x70, 1, index)
        return machine.port_read(0, 0x71, 1)

    assert [cmos(index) for index in (0, 2, 4, 7, 8, 9, 0x32)] == [0, 0, 0, 2, 1, 0x70, 0x19]
    assert cmos(0x15) | cmos(0x16) << 8 == 640 and cmos(0x30) | cmos(0x31) << 8 == 0xFFFF
    assert (cmos(0x34) | cmos(0x35) << 8) * 64 == (3 * GIB - 16 * MIB) // 1024
    assert (cmos(0x5B) | cmos(0x5C) << 8 | cmos(0x5D) << 16) * 64 == 2 * MIB
    assert board(ram_size=64 * MIB) is not None


def test_fw_cfg():
    machine = board(cpus=3, fw_cfg=[("opt/x", b"hello")])

    def item(selector, count):
        machine.port_write(0, 0x510, 2, selector)
        return bytes(machine.port_read(0, 0x511, 1) for _ in range(count))

    assert item(0, 4) == b"QEMU" and item(5, 2) == b"\3\0" and item(0x19, 4) == b"\0\0\0\1"
    assert item(0x20, 6) == b"hello\0"
    assert machine.port_read(0, 0x514, 4).to_bytes(4, "little") == b"QEMU"
    machine.memory.write_bytes(0x2000, bytes.fromhex("0020000a00000005") + (0x3000).to_bytes(8, "big"))
    machine.port_write(0, 0x514, 4, 0)
    machine.port_write(0, 0x518, 4, int.from_bytes((0x2000).to_bytes(4, "big"), "little"))
    assert machine.memory.read_bytes(0x3000, 6) == b"hello\0" and machine.memory.read(0x2000, 4) == 0
    assert [machine.port_read(0, 0x510, size) for size in (1, 2)] == [0, 0]


def test_parts_may_be_left_out():
    machine = board(options={"rtc": "off", "isa-serial": "off"})
    assert machine.port_read(0, 0x71, 1) == 0xFF and machine.port_read(0, 0x3FD, 1) == 0xFF


# Wiring


def test_lines_lead_to_their_interrupts():
    accelerator, host = PcAccelerator(), FakeBackend()
    machine = board(accelerator, serial=host)
    lines = accelerator.chips.lines
    assert set(lines) == {4, 8, *layout.VIRTIO_GSIS} == accelerator.chips.edges
    machine.port_write(0, 0x3F9, 1, 1)
    host.type(b"x")
    assert lines[4].level
    machine.port_write(0, 0x3F8, 1, ord("y"))
    assert host.output == b"y"


def test_the_accelerators_parts_are_asked_for_before_its_cpus_and_are_reset():
    accelerator = PcAccelerator()
    machine = board(accelerator, cpus=3)
    assert accelerator.wanted == [PcInterruptChips(3), PcTimer()] and len(machine.vcpus) == 3
    machine.reset()
    machine.reset()
    assert accelerator.chips.resets == 1  # it is as made at the first start


def test_doorbells_of_plugged_devices():
    accelerator = PcAccelerator()
    board(accelerator, devices=[RNG])
    assert accelerator.doorbells == [(layout.virtio_range(7).base + 0x50, 4, 0)]


def test_plugging():
    devices = [RNG, boards.DeviceConfig("virtio-rng-device", {"bus": "virtio-mmio-bus.2"}), RNG]
    machine = board(devices=devices)
    found = [machine.memory.read(layout.virtio_range(index).base + 8, 4) for index in range(8)]
    assert found == [0, 0, 4, 0, 0, 0, 4, 4]
    with pytest.raises(UserError, match="virtio-mmio-bus.0 to virtio-mmio-bus.7"):
        board(devices=[boards.DeviceConfig("virtio-rng-device", {"bus": "virtio-mmio-bus.8"})])
    with pytest.raises(UserError, match="all 8 virtio-mmio transports are taken"):
        board(devices=[RNG] * 9)


# Announcing


def test_command_line():
    machine = started(append="console=ttyS0", devices=[RNG, RNG])
    assert text_at(machine, layout.COMMAND_LINE) == (
        "console=ttyS0 virtio_mmio.device=512@0xfeb00e00:14 virtio_mmio.device=512@0xfeb00c00:12"
    )
    machine = started(append="quiet", devices=[RNG], options={"auto-kernel-cmdline": "off"})
    assert text_at(machine, layout.COMMAND_LINE) == "quiet"


def acpi(machine):
    return acpi_reader.tables(machine.memory.read_bytes(*layout.ACPI_TABLES), layout.ACPI_TABLES.base)


def test_acpi_devices_are_those_of_the_board():
    dsdt = acpi_reader.Aml(acpi(started(devices=[RNG, RNG]))["DSDT"][36:]).parse()
    assert dsdt.values == {"_S5": [5, 0, 0, 0]} and set(dsdt.inside) == {"\\_SB"}
    found = {name: node.values for name, node in dsdt.inside["\\_SB"].inside.items()}
    assert list(found) == ["FWCF", "COM1", "RTC", "VR07", "VR06"]
    assert found["FWCF"] == {"_HID": "QEMU0002", "_STA": 0xB, "_CRS": [("ports", *layout.FW_CFG)]}
    assert acpi_reader.eisa_id(found["COM1"]["_HID"]) == "PNP0501"
    assert found["COM1"]["_CRS"] == [("ports", *layout.SERIAL), ("irq", 4)]
    assert acpi_reader.eisa_id(found["RTC"]["_HID"]) == "PNP0B00"
    assert found["RTC"]["_CRS"] == [("ports", *layout.RTC), ("irq", 8)]
    assert found["VR06"] == {
        "_HID": "LNRO0005",
        "_UID": 6,
        "_CCA": 1,
        "_CRS": [("memory", *layout.virtio_range(6)), ("edge", 12)],
    }


def test_acpi_fixed_tables():
    tables = acpi(started(cpus=2, options={"rtc": "off", "isa-serial": "off"}))
    fadt, madt = tables["FACP"], tables["APIC"]
    assert len(fadt) == 276 and fadt[8] == 6
    flags = int.from_bytes(fadt[112:116], "little")
    assert flags == 1 << 10 | 1 << 20  # there is a reset register; hardware-reduced
    assert fadt[109] & 0x20  # no clock
    sleep = layout.ACPI_SLEEP.base
    for offset, register in ((116, sleep + 2), (244, sleep), (256, sleep + 1)):
        assert fadt[offset : offset + 4] == bytes((0, 8, 0, 1))
        assert int.from_bytes(fadt[offset + 4 : offset + 12], "little") == register
    assert fadt[128] == 0x42
    assert int.from_bytes(madt[36:40], "little") == 0xFEE00000
    entries, rest = [], madt[44:]
    while rest:
        entries.append(rest[2 : rest[1]].hex() if rest[0] > 0 else (rest[2], rest[3], rest[4]))
        rest = rest[rest[1] :]
    assert entries == [
        (0, 0, 1),
        (1, 1, 1),
        "0200" + "0000c0fe" + "00000000",  # the I/O APIC and its first interrupt
        "0000" + "02000000" + "0000",  # the timer's line leads to pin 2
        "ff" + "0000" + "01",  # NMI at LINT1 of all CPUs
    ]
    dsdt = acpi_reader.Aml(tables["DSDT"][36:]).parse()
    assert list(dsdt.inside["\\_SB"].inside) == ["FWCF"]


@pytest.mark.parametrize("cpus", [1, 4, layout.MAX_CPUS])
def test_mp_table(cpus):
    machine = started(cpus=cpus)
    table = mp_table_reader.read(machine.memory.read_bytes(*layout.MP_TABLE), layout.MP_TABLE.base)
    assert table.local_apic == 0xFEE00000 and table.buses == [(0, "ISA")]
    assert table.cpus == [(0, 3), *((index, 1) for index in range(1, cpus))]
    assert table.io_apics == [(cpus, 1, 0xFEC00000)]
    assert table.interrupts == [
        (0, 0, 0, irq, cpus, 2 if irq == 0 else irq) for irq in range(16) if irq != 2
    ]  # fmt: skip
    assert table.local_interrupts == [(3, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0xFF, 1)]


def test_without_pics_and_pit():
    """Where the accelerator has none, and where the user wants none."""
    for choices in ({"accelerator": PcAccelerator(old=False)}, {"options": {"pic": "off", "pit": "off"}}):
        machine = started(**choices)
        assert int.from_bytes(acpi(machine)["APIC"][40:44], "little") == 0  # with PICs: 1
        table = mp_table_reader.read(machine.memory.read_bytes(*layout.MP_TABLE), layout.MP_TABLE.base)
        assert table.local_interrupts == [(1, 0, 0, 0, 0xFF, 1)]
    assert int.from_bytes(acpi(started())["APIC"][40:44], "little") == 1
    accelerator = PcAccelerator()
    board(accelerator, options={"pit": "off"})
    assert accelerator.wanted == [PcInterruptChips(1)]


def test_without_acpi():
    machine = started(options={"acpi": "off"})
    assert not any(machine.memory.read_bytes(*layout.ACPI_TABLES))
    assert machine.memory.read(layout.ZERO_PAGE + 0x70, 8) == 0


# Starting and ending


def test_every_start_loads_everything_anew():
    machine = started(append="one")
    for address in (MIB, layout.COMMAND_LINE, layout.MP_TABLE.base, layout.ACPI_TABLES.base, layout.ZERO_PAGE):
        machine.memory.write_bytes(address, bytes(8))
    machine.vcpus[0].registers = {}
    machine.reset()
    assert machine.memory.read_bytes(MIB, 6) == b"kernel" and text_at(machine, layout.COMMAND_LINE) == "one"
    assert acpi(machine) and machine.vcpus[0].registers["rip"] == MIB + 0x10


def end(machine, program):
    """What ends the machine whose first CPU runs `program`."""
    machine.vcpus[0].program = lambda _: program(machine)
    return machine.run(no_reboot=True)


def test_ends():
    assert end(board(), lambda machine: machine.port_write(0, 0x64, 1, 0xFE)) == "reset"
    sleep = layout.ACPI_SLEEP.base
    assert end(board(), lambda machine: machine.mmio_write(0, sleep, 1, 0x34)) == "shutdown"
    assert end(board(), lambda machine: machine.mmio_write(0, sleep + 2, 1, 0x42)) == "reset"


def test_the_cpu_that_ends_the_run_goes_no_further():
    machine = started(cpus=2)
    machine.port_write(1, 0x64, 1, 0xFE)
    assert [vcpu.powered for vcpu in machine.vcpus] == [True, False]


# What the user can't have


def test_refusals():
    for choices, text in (
        ({"accelerator": FakeAccelerator()}, "has no PC interrupt controllers as it is set up; use -accel kvm"),
        ({"accelerator": PcAccelerator(old=False), "options": {"pic": "on"}}, "pic=on: .* no PICs .*kernel-irqchip=on"),
        ({"accelerator": PcAccelerator(old=False), "options": {"pit": "on"}}, "pit=on: .* no PIT .*kernel-irqchip=on"),
        ({"cpus": 33}, "1 to 32 CPUs"),
        ({"ram_size": 65 * GIB}, "takes up to 64G"),
        ({"dtb": b"x"}, "no device tree"),
        ({"flash": (FlashConfig(firmware=b"x"), None)}, "no flash"),
        ({"options": {"rtc": "perhaps"}}, "rtc"),
    ):
        with pytest.raises(UserError, match=text):
            board(**choices)
