"""Files that a boot needs: kernels, initial ramdisks, device trees, firmware; told apart by content, never by name."""

from xemu.loader.kernel import load_firmware, load_kernel
from xemu.loader.loaded import LoadedKernel
from xemu.loader.ramdisk import load_dtb, load_initrd

__all__ = ["LoadedKernel", "load_dtb", "load_firmware", "load_initrd", "load_kernel"]
