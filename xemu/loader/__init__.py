"""Files that a boot needs: kernels, initial ramdisks, device trees, firmware; told apart by content, never by name."""

from collections.abc import Callable

from xemu.loader.kernel import load_firmware, load_kernel, load_kernel_file
from xemu.loader.loaded import LoadedKernel
from xemu.loader.ramdisk import load_dtb, load_initrd
from xemu.loader.x86 import load_x86_kernel

# By architecture, as xemu.cli.catalog names them.
KERNEL_LOADERS: dict[str, Callable[[str], LoadedKernel]] = {"aarch64": load_kernel, "x86_64": load_x86_kernel}

__all__ = [
    "KERNEL_LOADERS",
    "LoadedKernel",
    "load_dtb",
    "load_firmware",
    "load_initrd",
    "load_kernel",
    "load_kernel_file",
    "load_x86_kernel",
]
