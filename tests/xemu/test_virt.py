"""The virt board: its map, its device tree beside QEMU's, wiring, plugging, starting."""

import subprocess

import pytest
from fakes import FakeAccelerator, FakeBackend, FakeClock
from qemu_registers import QEMU

from xemu import boards
from xemu.block.raw import open_raw
from xemu.boards import virt_layout as layout
from xemu.boards.fdt import Node, Tree, parse, to_bytes
from xemu.devices.cfi_flash import FlashConfig
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel
from xemu.memory import BusError

MIB = 1 << 20
IMAGE = LoadedKernel([(None, b"kernel")], None, True, 0, 4096)


def board(accelerator=None, **choices):
    defaults = {"cpu": "cortex-a57", "cpus": 1, "ram_size": 128 * MIB, "clock": FakeClock(), "epoch": 0}
    return boards.build("virt", boards.BoardConfig(accelerator or FakeAccelerator(), **(defaults | choices)))


def device(kind, **properties):
    return boards.DeviceConfig(kind, properties)


# The map


def test_every_range_of_the_layout_answers():
    memory = board().memory
    for address in (layout.GIC_DISTRIBUTOR.base, layout.GIC_CPU_INTERFACE.base, layout.UART.base, layout.RTC.base):
        assert memory.find(address)[1] == 0
    for index in range(layout.VIRTIO_COUNT):
        assert memory.read(layout.virtio_range(index).base, 4) == 0x74726976
    for hole in (0x08001000, 0x09020018, 0x09030000, 0x0A004000, 0x3FFFFFFF, 0x48000000):
        with pytest.raises(BusError):
            memory.read(hole, 4)


def test_each_redistributor_answers():
    memory = board(gic_versions=(3,), cpus=123).memory
    assert memory.read(layout.GIC_DISTRIBUTOR.base + 0xFFE8, 4) == 0x3B
    for cpu in range(123):
        assert memory.read(layout.GIC_REDISTRIBUTORS.base + cpu * 0x2_0000 + 8, 4) >> 8 == cpu
    for hole in (layout.GIC_CPU_INTERFACE.base, layout.GIC_REDISTRIBUTORS.base + 0x2_0000):
        with pytest.raises(BusError):
            board(gic_versions=(3,)).memory.read(hole, 4)
    with pytest.raises(UserError, match="1 to 123 CPUs, as many as its GICv3"):
        board(gic_versions=(3,), cpus=124)


def test_eight_gigabytes():
    memory = board(ram_size=8 << 30).memory
    memory.write(0x40000000 + (8 << 30) - 8, 8, 1)
    assert memory.rams[-1].end == 0x2_4000_0000


# The device tree

# Nodes of QEMU's board whose devices are not here.
ABSENT = {"platform-bus@c000000", "gpio-keys", "pl061@9030000", "pcie@10000000", "pmu"}
# v2m is below the GIC. Phandles are any numbers that agree; seeds are random.
HANDLES = {"phandle", "interrupt-parent", "clocks", "cpu"}
SEEDS = {"kaslr-seed", "rng-seed"}


def comparable(root):
    """Every node's properties by path, without what may differ."""
    kept = {}
    for path, node in root.walk():
        if path.split("/")[1] in ABSENT or "v2m" in path:
            continue
        kept[path] = {name: value for name, value in node.properties.items() if name not in HANDLES | SEEDS}
    return kept


@pytest.mark.skipif(QEMU is None, reason="qemu-system-aarch64 is not installed")
@pytest.mark.parametrize(
    "cpu, cpus, ram, gic",
    [
        ("cortex-a57", 1, 128, 2),
        ("cortex-a72", 4, 512, 2),
        ("max", 8, 3072, 2),
        ("cortex-a57", 1, 128, 3),
        ("max", 18, 512, 3),
    ],
)
def test_device_tree_is_that_of_qemu(tmp_path, cpu, cpus, ram, gic):
    blob = tmp_path / "virt.dtb"
    machine = f"virt,dumpdtb={blob},gic-version={gic}" + (",its=off" if gic == 3 else "")
    command = [QEMU, "-M", machine, "-cpu", cpu, "-smp", str(cpus), "-m", f"{ram}M", "-nographic"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    theirs = parse(blob.read_bytes()).root
    ours = parse(board(cpu=cpu, cpus=cpus, ram_size=ram * MIB, gic_versions=(gic,)).device_tree).root
    assert comparable(ours) == comparable(theirs)
    for name, length in (("kaslr-seed", 8), ("rng-seed", 32)):
        assert len(ours.child("chosen").properties[name]) == length
    for _, node in ours.walk():
        names = [child.name for child in node.children]
        assert len(set(names)) == len(names)


def test_every_device_node_has_its_device():
    machine = board()
    for _, node in parse(machine.device_tree).root.walk():
        if "reg" in node.properties and "@" in node.name and not node.name.startswith("cpu@"):
            address = int.from_bytes(node.properties["reg"][:8], "big")
            assert machine.memory.find(address) is not None, node.name


@pytest.mark.parametrize(("offered", "wanted", "version"), [((2, 3), (2, 3), 2), ((3,), (2, 3), 3), ((2,), (3, 2), 2)])
def test_the_gic_is_the_first_that_the_accelerator_supports(offered, wanted, version):
    accelerator = FakeAccelerator()
    accelerator.supports = lambda part: part.version in offered
    root = parse(board(accelerator, gic_versions=wanted).device_tree).root
    assert (
        root.child("intc@8000000")
        .properties["compatible"]
        .startswith(b"arm,gic-v3" if version == 3 else b"arm,cortex-a15-gic")
    )


def test_no_gic_at_all():
    accelerator = FakeAccelerator()
    accelerator.supports = lambda part: False
    with pytest.raises(UserError, match="the accelerator 'fake' has no GIC of version 2 here"):
        board(accelerator, gic_versions=(2,))


def test_phandles_lead_to_nodes():
    root = parse(board(cpus=2).device_tree).root
    nodes = {node.properties["phandle"]: path for path, node in root.walk() if "phandle" in node.properties}
    assert nodes[root.properties["interrupt-parent"]] == "/intc@8000000"
    assert nodes[root.child("pl031@9010000").properties["clocks"]] == "/apb-pclk"
    cluster = root.child("cpus").child("cpu-map").child("socket0").child("cluster0")
    assert [nodes[core.properties["cpu"]] for core in cluster.children] == ["/cpus/cpu@0", "/cpus/cpu@1"]


def test_chosen():
    machine = board(kernel=IMAGE, initrd=b"i" * 100, append="console=ttyAMA0 x", randomness=False)
    chosen = parse(machine.device_tree).root.child("chosen").properties
    assert chosen == {
        "bootargs": b"console=ttyAMA0 x\0",
        "linux,initrd-start": (0x44000000).to_bytes(8, "big"),
        "linux,initrd-end": (0x44000064).to_bytes(8, "big"),
        "stdout-path": b"/pl011@9000000\0",
    }


def user_tree(address_cells=2, size_cells=2):
    root = Node()
    root.set("#address-cells", address_cells)
    root.set("#size-cells", size_cells)
    root.add("memory@0").set("reg", 0, 0, 0, 1)
    root.add("memory")
    cpus = root.add("cpus")
    cpus.add("cpu@0").set("device_type", "cpu")
    root.add("custom").set("value", 42)
    return root


def test_the_users_tree_is_adapted():
    machine = board(kernel=IMAGE, initrd=b"i", append="hi", dtb=to_bytes(Tree(user_tree(), [(0x1000, 0x2000)])))
    tree = parse(machine.device_tree)
    names = [node.name for node in tree.root.children]
    assert names == ["cpus", "custom", "memory@40000000", "chosen", "psci"]
    assert tree.reservations == [(0x1000, 0x2000)]
    assert tree.root.child("memory@40000000").properties["reg"].hex() == "00000000400000000000000008000000"
    assert tree.root.child("cpus").children[0].properties["enable-method"] == b"psci\0"
    assert tree.root.child("chosen").properties["bootargs"] == b"hi\0"
    assert tree.root.child("custom").cell("value", 0) == 42


def test_a_users_tree_with_psci_is_left_alone():
    root = user_tree(1, 1)
    root.add("psci").set("method", "smc")
    tree = parse(board(kernel=IMAGE, dtb=to_bytes(Tree(root))).device_tree)
    assert tree.root.child("psci").properties == {"method": b"smc\0"}
    assert "enable-method" not in tree.root.child("cpus").children[0].properties
    assert tree.root.child("memory@40000000").properties["reg"].hex() == "4000000008000000"


@pytest.mark.parametrize(
    "dtb, ram, text",
    [
        (b"\xd0\x0d\xfe\xed" + bytes(100), 128, "-dtb: version 0"),
        (to_bytes(Tree(user_tree(0, 2))), 128, "-dtb: its root has #address-cells and #size-cells of 0 and 2"),
        (to_bytes(Tree(user_tree(1, 1))), 4096, "-dtb: its root describes 32-bit addresses or sizes"),
    ],
)
def test_an_unfit_users_tree_is_refused(dtb, ram, text):
    with pytest.raises(UserError, match=text):
        board(kernel=IMAGE, dtb=dtb, ram_size=ram * MIB)


# Starting


def test_linux_starts_with_the_tree_in_x0():
    machine = board(kernel=IMAGE, initrd=b"initrd", cpus=2)
    machine.reset()
    assert machine.vcpus[0].started_at == (0x40200000, 0x44200000)
    assert not machine.vcpus[1].powered
    assert machine.memory.read_bytes(0x40200000, 6) == b"kernel"
    assert machine.memory.read_bytes(0x44000000, 6) == b"initrd"
    assert machine.memory.read_bytes(0x44200000, len(machine.device_tree)) == machine.device_tree


def test_a_reset_loads_everything_again_with_new_seeds():
    machine = board(kernel=IMAGE)
    machine.reset()
    before = machine.device_tree
    machine.memory.write_bytes(0x40200000, b"XXXXXX")
    machine.memory.write(layout.UART.base + 0x38, 4, 0x10)
    machine.reset()
    assert machine.memory.read_bytes(0x40200000, 6) == b"kernel"
    assert machine.memory.read(layout.UART.base + 0x38, 4) == 0
    assert machine.device_tree != before and len(machine.device_tree) == len(before)


def test_program_starts_with_x0_zero_and_the_tree_at_the_start_of_ram():
    machine = board(kernel=LoadedKernel([(0x40080000, b"code")], 0x40080000, False))
    machine.reset()
    assert machine.vcpus[0].started_at == (0x40080000, 0)
    assert machine.memory.read(0x40000000, 4) == 0xEDFE0DD0


def test_no_tree_where_a_program_leaves_no_room():
    machine = board(kernel=LoadedKernel([(0x40000100, b"code")], 0x40000100, False))
    machine.reset()
    assert machine.memory.read(0x40000000, 4) == 0


def test_firmware_runs_from_flash():
    machine = board(flash=(FlashConfig(firmware=b"firmware"), None))
    machine.reset()
    assert machine.vcpus[0].started_at == (0, 0)
    assert machine.memory.read_bytes(0, 8) == b"firmware"
    for value in (0x40, 0):  # programs a word
        machine.memory.write(0, 4, value)
    machine.memory.write(0, 4, 0xFF)
    assert machine.memory.read_bytes(0, 8) == b"\0\0\0\0ware"
    assert machine.memory.read(0x40000000, 4) == 0xEDFE0DD0
    machine.reset()
    assert machine.memory.read_bytes(0, 8) == b"firmware"


def test_firmware_finds_the_kernel_in_fw_cfg():
    flash = (FlashConfig(firmware=b"firmware"), None)
    memory = board(flash=flash, kernel_file=b"KERNEL", initrd=b"RAMDISK", append="hi").memory

    def item(selector, size):
        memory.write(layout.FW_CFG.base + 8, 2, selector << 8)
        return bytes(memory.read(layout.FW_CFG.base, 1) for _ in range(size))

    assert (item(0x08, 4), item(0x11, 6)) == (b"\6\0\0\0", b"KERNEL")
    assert (item(0x0B, 4), item(0x12, 7)) == (b"\7\0\0\0", b"RAMDISK")
    assert (item(0x14, 4), item(0x15, 3)) == (b"\3\0\0\0", b"hi\0")


def test_a_flash_image_of_another_size_is_refused(tmp_path):
    path = tmp_path / "vars"
    path.write_bytes(bytes(4096))
    image = open_raw("-drive x", str(path))
    with pytest.raises(UserError, match="-drive x: the flash has 67108864 bytes and the image 4096"):
        board(flash=(None, FlashConfig(image)))
    image.close()


def test_what_is_typed_before_the_start_is_kept():
    serial = FakeBackend()
    machine = board(kernel=IMAGE, serial=serial)
    serial.type(b"x")
    machine.reset()
    assert machine.memory.read(layout.UART.base, 4) == ord("x")


# Wiring


def enable_interrupt(memory, irq):
    distributor, interface = layout.GIC_DISTRIBUTOR.base, layout.GIC_CPU_INTERFACE.base
    memory.write(distributor, 4, 1)
    memory.write(distributor + 0x100 + irq // 32 * 4, 4, 1 << irq % 32)
    memory.write(distributor + 0x800 + irq, 1, 1)
    memory.write(interface, 4, 1)
    memory.write(interface + 4, 4, 0xFF)


def test_uart_interrupts_the_cpu_and_talks_to_the_host():
    serial = FakeBackend()
    machine = board(serial=serial)
    enable_interrupt(machine.memory, 32 + layout.UART_SPI)
    machine.memory.write(layout.UART.base + 0x38, 4, 0x50)
    serial.type(b"k")
    assert machine.vcpus[0].irq
    assert machine.memory.read(layout.GIC_CPU_INTERFACE.base + 0x0C, 4) == 33
    machine.memory.write(layout.UART.base, 4, ord("h"))
    assert serial.output == b"h"


@pytest.mark.parametrize("name, irq", [("sec", 29), ("phys", 30), ("virt", 27), ("hyp", 26)])
def test_timers_interrupt_their_own_cpu(name, irq):
    machine = board(cpus=2)
    for machine.current_cpu in (0, 1):
        enable_interrupt(machine.memory, irq)
    machine.vcpus[1].timer_lines[name](True)
    assert [vcpu.irq for vcpu in machine.vcpus] == [False, True]
    assert machine.mmio_read(1, layout.GIC_CPU_INTERFACE.base + 0x0C, 4) == irq
    assert machine.mmio_read(0, layout.GIC_CPU_INTERFACE.base + 0x0C, 4) == 1023


def test_rtc_alarm_arrives():
    clock = FakeClock()
    machine = board(clock=clock, epoch=1000, rtc_offset=50)
    enable_interrupt(machine.memory, 32 + layout.RTC_SPI)
    assert machine.memory.read(layout.RTC.base, 4) == 1050
    machine.memory.write(layout.RTC.base + 0x10, 4, 1)
    machine.memory.write(layout.RTC.base + 4, 4, 1060)
    clock.advance(10 * 10**9)
    assert machine.vcpus[0].irq


def test_hypercalls_are_psci():
    machine = board(cpus=2)
    assert machine.hypercall(machine.vcpus[0], [0xC4000003, 1, 0x40000000, 9]) == 0
    assert machine.vcpus[1].started_at == (0x40000000, 9)


# Plugging


def ids(machine):
    numbers = (machine.memory.read(layout.virtio_range(i).base + 8, 4) for i in range(layout.VIRTIO_COUNT))
    return {index: number for index, number in enumerate(numbers) if number}


def test_devices_take_transports_from_the_highest_down():
    machine = board(devices=[device("virtio-rng-device"), device("virtio-serial-device")])
    assert ids(machine) == {31: 4, 30: 3}


def test_notifications_are_doorbells():
    accelerator = FakeAccelerator()
    machine = board(accelerator, devices=[device("virtio-serial-device"), device("virtio-rng-device")])
    console, rng = layout.virtio_range(31).base, layout.virtio_range(30).base
    queues = len(machine.memory.find(console)[0].queues)
    assert queues >= 2
    assert accelerator.doorbells == [(rng + 0x50, 4, 0), *((console + 0x50, 4, index) for index in range(queues))]


def test_a_bus_can_be_named():
    chosen = [device("virtio-rng-device", bus="virtio-mmio-bus.31"), device("virtio-serial-device")]
    assert ids(board(devices=chosen)) == {31: 4, 30: 3}
    assert ids(board(devices=[device("virtio-rng-device", bus="virtio-mmio-bus.0")])) == {0: 4}


@pytest.mark.parametrize(
    "devices, text",
    [
        (
            [device("virtio-rng-device", bus="virtio-mmio-bus.32")],
            "no bus 'virtio-mmio-bus.32'; they are virtio-mmio-bus.0 to",
        ),
        ([device("virtio-rng-device", bus="pci.0")], "no bus 'pci.0'"),
        ([device("virtio-rng-device", bus="virtio-mmio-bus.3")] * 2, "virtio-mmio-bus.3 has a device already"),
        ([device("virtio-rng-device")] * 33, "all 32 virtio-mmio transports are taken"),
    ],
)
def test_devices_that_do_not_fit(devices, text):
    with pytest.raises(UserError, match=text):
        board(devices=devices)


@pytest.mark.parametrize("choices, text", [({"cpus": 9}, "-smp 9"), ({"ram_size": 9 << 30}, "up to 8G")])
def test_impossible_machines(choices, text):
    with pytest.raises(UserError, match=text):
        board(**choices)
