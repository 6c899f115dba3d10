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
