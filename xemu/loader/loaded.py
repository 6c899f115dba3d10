"""What a kernel file comes down to for a board."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LoadedKernel:
    """Where the pieces go. An address of None means `text_offset` above the start of RAM."""

    segments: list[tuple[int | None, bytes]] = field(repr=False)
    entry: int | None
    is_linux: bool
    text_offset: int = 0
    image_size: int = 0
    page_size: int | None = None  # the granule a Linux Image says it was built for
    # x86 only
    setup_header: bytes = b""  # of a bzImage, from offset 0x1f1 of the file
    command_line_size: int = 2047  # how long a command line the kernel takes
    initrd_end: int = 1 << 32  # the initial ramdisk has to end here or below
    pvh_entry: int | None = None  # of an ELF file with a PVH note: where it starts in 32-bit mode
