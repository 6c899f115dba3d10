"""Where a kernel, its initial ramdisk and the device tree go in RAM: QEMU's rules for booting Arm kernels directly."""

from dataclasses import dataclass

from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel

MIB = 1 << 20
# An Image that wants to start in the first page is moved up by the unit in which such kernels may be placed; QEMU has
# its boot code in that page.
_BOOT_PAGE = 4096
_IMAGE_UNIT = 2 * MIB
# Far enough above the kernel not to be overwritten while it unpacks, and half of RAM where that is less.
_INITRD_OFFSET = 128 * MIB
_PAGE = 4096
# A kernel maps the device tree in a block of this size: the tree must not cross two of them.
_TREE_ALIGNMENT = 2 * MIB


@dataclass(frozen=True)
class Placement:
    """Everything at physical addresses."""

    blobs: tuple[tuple[int, bytes], ...]
    entry: int
    initrd: tuple[int, int] | None  # start and end
    tree: int  # the device tree's address
    tree_end: int  # the first address that it must leave alone
    passes_tree: bool  # x0 at the entry is the device tree's address; else 0


def place(kernel: LoadedKernel, initrd: bytes | None, base: int, size: int) -> Placement:
    end = base + size
    offset = kernel.text_offset + (_IMAGE_UNIT if kernel.text_offset < _BOOT_PAGE else 0)
    image = base + offset
    blobs = tuple((image if address is None else address, data) for address, data in kernel.segments)
    for address, data in blobs:
        _check_inside(address, len(data), base, end)
    high = max((address + len(data) for address, data in blobs), default=base)
    if kernel.is_linux:
        _check_inside(image, kernel.image_size, base, end)
        high = max(high, image + kernel.image_size)
    start = _aligned(max(base + min(size // 2, _INITRD_OFFSET), high), _PAGE)
    initrd_size = len(initrd) if initrd is not None else 0
    if start + initrd_size > end:
        raise UserError(
            f"initrd: its {_mib(initrd_size)} do not fit between {start:#x}, above the kernel, "
            f"and the end of RAM at {end:#x}; give more memory with -m"
        )
    if initrd is not None:
        blobs += ((start, initrd),)
    tree, tree_end = _aligned(start + initrd_size, _TREE_ALIGNMENT), end
    if not kernel.is_linux:
        tree, tree_end = _tree_below(blobs, base) or (tree, tree_end)
    return Placement(
        blobs,
        image if kernel.entry is None else kernel.entry,
        (start, start + initrd_size) if initrd is not None else None,
        tree,
        tree_end,
        kernel.is_linux,
    )


def _tree_below(blobs: tuple[tuple[int, bytes], ...], base: int) -> tuple[int, int] | None:
    """A program that is no Linux kernel looks for the tree at the start of RAM, if it leaves room there itself."""
    low = min(address for address, _ in blobs)
    return (base, low) if low > base else None


def _check_inside(address: int, length: int, base: int, end: int) -> None:
    if not base <= address <= end:
        raise UserError(f"kernel: wants to be at {address:#x}, where there is no RAM; RAM is {base:#x} to {end - 1:#x}")
    if address + length > end:
        raise UserError(
            f"kernel: its {_mib(length)} at {address:#x} run past the end of RAM at {end:#x}; give more memory with -m"
        )


def _aligned(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _mib(length: int) -> str:
    return f"{length} bytes" if length < MIB else f"{length / MIB:.1f} MiB"
