"""The device tree of the `virt` board: one function per kind of node, each called only for a device that is there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from targets.arm.gic_state import affinity
from xemu.boards import virt_layout as layout
from xemu.boards.fdt import FdtError, Node, Tree, parse, to_bytes
from xemu.errors import UserError

_SPI, _PPI = 0, 1  # first cell of an interrupt
_EDGE_RISING, _LEVEL_HIGH = 1, 4
_GIC_HANDLE, _CLOCK_HANDLE, _FIRST_CPU_HANDLE = 1, 2, 3
_PSCI_FUNCTIONS = {"cpu_suspend": 0xC4000001, "cpu_off": 0x84000002, "cpu_on": 0xC4000003, "migrate": 0xC4000005}
_4GIB = 1 << 32


@dataclass(frozen=True)
class TreeConfig:
    """What the tree says beyond the layout."""

    cpus: int
    cpu_compatible: str
    ram_size: int
    append: str = ""
    initrd: tuple[int, int] | None = None
    random_bytes: Callable[[int], bytes] | None = None  # None: no seeds in the tree
    gic_version: int = 2


def generate(config: TreeConfig) -> bytes:
    root = Node()
    root.set("interrupt-parent", _GIC_HANDLE)
    root.set("model", "linux,dummy-virt")
    root.set("#address-cells", 2)
    root.set("#size-cells", 2)
    root.set("compatible", "linux,dummy-virt")
    _add_psci(root)
    _add_memory(root, config.ram_size, 2, 2)
    _add_flash(root)
    _add_fw_cfg(root)
    for index in range(layout.VIRTIO_COUNT):
        _add_virtio(root, index)
    _add_rtc(root)
    uart = _add_uart(root)
    _add_gic(root, config.gic_version)
    _add_cpus(root, config)
    _add_timer(root, config)
    _add_clock(root)
    chosen = root.add("chosen")
    _fill_chosen(chosen, config)
    chosen.set("stdout-path", f"/{uart.name}")
    if config.random_bytes is not None:
        chosen.set("rng-seed", config.random_bytes(32))
        chosen.set("kaslr-seed", config.random_bytes(8))
    return to_bytes(Tree(root))


def adapt(blob: bytes, config: TreeConfig) -> bytes:
    """The user's own tree, with the memory, command line, ramdisk and CPU start of this machine in it."""
    try:
        tree = parse(blob)
    except FdtError as error:
        raise UserError(f"-dtb: {error}") from None
    root = tree.root
    address_cells, size_cells = root.cell("#address-cells", 2), root.cell("#size-cells", 1)
    if address_cells not in (1, 2) or size_cells not in (1, 2):
        cells = f"{address_cells} and {size_cells}"
        raise UserError(f"-dtb: its root has #address-cells and #size-cells of {cells}; both must be 1 or 2")
    if size_cells == 1 and config.ram_size >= _4GIB or address_cells == 1 and _ram_end(config) > _4GIB:
        raise UserError("-dtb: its root describes 32-bit addresses or sizes; that is too small for the memory of -m")
    root.children = [node for node in root.children if node.name.split("@")[0] != "memory"]
    _add_memory(root, config.ram_size, address_cells, size_cells)
    _fill_chosen(root.child("chosen") or root.add("chosen"), config)
    if root.child("psci") is None:
        _add_psci(root)
        for node in (root.child("cpus") or Node()).children:
            if node.properties.get("device_type") == b"cpu\0":
                node.set("enable-method", "psci")
    return to_bytes(tree)


def _ram_end(config: TreeConfig) -> int:
    return layout.RAM_BASE + config.ram_size


def _fill_chosen(chosen: Node, config: TreeConfig) -> None:
    if config.append:
        chosen.set("bootargs", config.append)
    if config.initrd is not None:
        start, end = config.initrd
        chosen.set_range("linux,initrd-start", start)
        chosen.set_range("linux,initrd-end", end)


def _add_psci(root: Node) -> None:
    node = root.add("psci")
    node.set("compatible", "arm,psci-1.0", "arm,psci-0.2", "arm,psci")
    node.set("method", "hvc")
    for name, function in _PSCI_FUNCTIONS.items():
        node.set(name, function)


def _add_memory(root: Node, size: int, address_cells: int, size_cells: int) -> None:
    node = root.add(f"memory@{layout.RAM_BASE:x}")
    node.set("device_type", "memory")
    node.set("reg", layout.RAM_BASE.to_bytes(4 * address_cells, "big"), size.to_bytes(4 * size_cells, "big"))


def _add_device(root: Node, kind: str, where: layout.Range, compatible: Sequence[str], spi: int, trigger: int) -> Node:
    node = root.add(f"{kind}@{where.base:x}")
    node.set("compatible", *compatible)
    node.set_range("reg", *where)
    node.set("interrupts", _SPI, spi, trigger)
    return node


def _add_virtio(root: Node, index: int) -> None:
    spi = layout.VIRTIO_SPI + index
    node = _add_device(root, "virtio_mmio", layout.virtio_range(index), ["virtio,mmio"], spi, _EDGE_RISING)
    node.set("dma-coherent")


def _add_flash(root: Node) -> None:
    node = root.add(f"flash@{layout.FLASH[0].base:x}")
    node.set("compatible", "cfi-flash")
    node.set_range("reg", *layout.FLASH[0], *layout.FLASH[1])
    node.set("bank-width", 4)


def _add_fw_cfg(root: Node) -> None:
    node = root.add(f"fw-cfg@{layout.FW_CFG.base:x}")
    node.set("compatible", "qemu,fw-cfg-mmio")
    node.set_range("reg", *layout.FW_CFG)
    node.set("dma-coherent")


def _add_rtc(root: Node) -> None:
    node = _add_device(root, "pl031", layout.RTC, ["arm,pl031", "arm,primecell"], layout.RTC_SPI, _LEVEL_HIGH)
    node.set("clocks", _CLOCK_HANDLE)
    node.set("clock-names", "apb_pclk")


def _add_uart(root: Node) -> Node:
    node = _add_device(root, "pl011", layout.UART, ["arm,pl011", "arm,primecell"], layout.UART_SPI, _LEVEL_HIGH)
    node.set("clocks", _CLOCK_HANDLE, _CLOCK_HANDLE)
    node.set("clock-names", "uartclk", "apb_pclk")
    return node


def _add_gic(root: Node, version: int) -> None:
    distributor, interface = layout.GIC_DISTRIBUTOR.base, layout.GIC_CPU_INTERFACE.base
    node = root.add(f"intc@{distributor:x}")
    node.set("compatible", "arm,cortex-a15-gic" if version == 2 else "arm,gic-v3")
    node.set("interrupt-controller")
    node.set("#interrupt-cells", 3)
    node.set("#address-cells", 2)
    node.set("#size-cells", 2)
    node.set("ranges")
    if version == 2:
        node.set_range("reg", distributor, layout.GIC_TREE_SIZE, interface, layout.GIC_TREE_SIZE)
    else:
        node.set("#redistributor-regions", 1)
        node.set_range("reg", distributor, layout.GIC_TREE_SIZE, *layout.GIC_REDISTRIBUTORS)
    node.set("phandle", _GIC_HANDLE)


def _add_cpus(root: Node, config: TreeConfig) -> None:
    cpus = root.add("cpus")
    cpus.set("#address-cells", 1)
    cpus.set("#size-cells", 0)
    cluster = cpus.add("cpu-map").add("socket0").add("cluster0")
    for index in range(config.cpus):
        cluster.add(f"core{index}").set("cpu", _FIRST_CPU_HANDLE + index)
        node = cpus.add(f"cpu@{index}")
        node.set("device_type", "cpu")
        node.set("compatible", config.cpu_compatible)
        node.set("reg", affinity(index, config.gic_version))
        if config.cpus > 1:
            node.set("enable-method", "psci")
        node.set("phandle", _FIRST_CPU_HANDLE + index)


def _add_timer(root: Node, config: TreeConfig) -> None:
    node = root.add("timer")
    node.set("compatible", "arm,armv8-timer", "arm,armv7-timer")
    cpus = (1 << config.cpus) - 1 << 8 if config.gic_version == 2 else 0  # which CPUs have it
    flags = cpus | _LEVEL_HIGH
    cells: list[int] = []
    for name in ("sec", "phys", "virt", "hyp"):  # the order is the binding's
        cells += (_PPI, layout.TIMER_PPIS[name] - 16, flags)
    node.set("interrupts", *cells)
    node.set("always-on")


def _add_clock(root: Node) -> None:
    node = root.add("apb-pclk")
    node.set("compatible", "fixed-clock")
    node.set("#clock-cells", 0)
    node.set("clock-frequency", layout.APB_CLOCK_HZ)
    node.set("clock-output-names", "clk24mhz")
    node.set("phandle", _CLOCK_HANDLE)
