"""Kernels for x86-64: what is accepted, and what is refused by name."""

import contextlib
import gzip
import random
import struct

import pytest
from test_loader import CODE, elf, linux_image, refusal, save  # noqa: F401  (save is a fixture)

from xemu.errors import UserError
from xemu.guests import cpio, zboot
from xemu.loader import load_kernel, load_x86_kernel

MIB = 1 << 20


def bzimage(version=0x20F, xloadflags=1, loadflags=1, relocatable=1, preferred=16 * MIB, setup_sectors=1) -> bytes:
    body = CODE
    start = ((setup_sectors or 4) + 1) * 512
    data = bytearray(start)

    def put(offset, layout, value):
        struct.pack_into(f"<{layout}", data, offset, value)

    data[:2] = b"MZ"
    put(0x1F1, "B", setup_sectors)
    put(0x1F4, "I", len(body) // 16)
    put(0x1FE, "H", 0xAA55)
    put(0x200, "H", 0x6AEB)  # a jump over the header: its length
    put(0x202, "4s", b"HdrS")
    put(0x206, "H", version)
    put(0x211, "B", loadflags)
    put(0x22C, "I", 0x7FFFFFFF)
    put(0x234, "B", relocatable)
    put(0x236, "H", xloadflags)
    put(0x238, "I", 2047)
    put(0x258, "Q", preferred)
    put(0x260, "I", 4 * MIB)
    return bytes(data) + body


def pvh_note(entry=0x100040, owner=b"Xen\0", kind=18) -> bytes:
    other = struct.pack("<III4s5sxxx", 4, 5, 1, b"Go\0\0", b"12345")
    return other + struct.pack("<III4sI", len(owner), 4, kind, owner, entry)


def x86_elf(notes=b"") -> bytes:
    """A segment of code, and one of notes behind it."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x100010, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    at = 64 + 2 * 56
    load = struct.pack("<IIQQQQQQ", 1, 5, at, 0x100000, 0x100000, len(CODE), len(CODE), 4096)
    note = struct.pack("<IIQQQQQQ", 4, 4, at + len(CODE), 0, 0, len(notes), len(notes), 4)
    return header + load + note + CODE + notes


def test_bzimage(save):  # noqa: F811
    kernel = load_x86_kernel(save(bzimage()))
    assert kernel.segments == [(16 * MIB, CODE)] and kernel.entry == 16 * MIB + 0x200 and kernel.is_linux
    assert kernel.image_size == 4 * MIB and kernel.command_line_size == 2047 and kernel.initrd_end == 0x80000000
    assert kernel.setup_header == bzimage()[0x1F1:0x26C]
    assert kernel.pvh_entry is None


def test_a_bzimage_that_can_not_be_moved(save):  # noqa: F811
    kernel = load_x86_kernel(save(bzimage(relocatable=0)))
    assert kernel.segments[0][0] == MIB and kernel.entry == MIB + 0x200
    assert kernel.image_size == 19 * MIB  # up to the end of where it unpacks itself to


def test_the_oldest_count_of_setup_sectors(save):  # noqa: F811
    assert load_x86_kernel(save(bzimage(setup_sectors=0))).segments[0][1] == CODE


def test_elf(save):  # noqa: F811
    for wrap in (bytes, gzip.compress):
        kernel = load_x86_kernel(save(wrap(x86_elf())))
        assert kernel.segments == [(0x100000, CODE)] and kernel.entry == 0x100010 and kernel.pvh_entry is None
    assert load_x86_kernel(save(x86_elf(pvh_note()))).pvh_entry == 0x100040
    assert load_x86_kernel(save(x86_elf(pvh_note(owner=b"GNU\0")))).pvh_entry is None
    assert load_x86_kernel(save(x86_elf(pvh_note(kind=17)))).pvh_entry is None
    assert load_x86_kernel(save(x86_elf(pvh_note()[:-6]))).pvh_entry is None


FOREIGN = {
    "arm64 image": (linux_image(), "an arm64 Linux Image"),
    "arm64 image.gz": (gzip.compress(linux_image()), "an arm64 Linux Image inside gzip"),
    "zboot": (zboot.wrap(linux_image()), "an EFI zboot image"),
    "arm64 elf": (elf(), "a 64-bit ELF file for AArch64; expected a 64-bit one for x86-64"),
    "object": (elf(machine=62, kind=1), "an object file that is not linked yet"),
    "raw": (CODE, "raw data"),
    "cpio": (cpio.archive([]), "a cpio archive"),
    "text": (b"hello\n", "a text file"),
    "32-bit": (bzimage(xloadflags=0), "a 32-bit bzImage"),
    "zImage": (bzimage(loadflags=0), "a 32-bit bzImage"),
    "old": (bzimage(version=0x204), "boot protocol 2.04, which has no 64-bit entry"),
    "no boot flag": (bzimage().replace(b"\x55\xaa", b"\0\0", 1), "damaged bzImage: boot flag 0x0000"),
    "short header": (bzimage().replace(b"\xeb\x6a", b"\xeb\x20"), "damaged bzImage: its header ends at 0x222"),
    "empty": (b"", "the file is empty"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_kernels_are_refused_by_name(save, name):  # noqa: F811
    data, text = FOREIGN[name]
    assert text in refusal(load_x86_kernel, save(data, name.replace(" ", "-")))


def test_x86_kernels_are_foreign_to_arm(save):  # noqa: F811
    assert "an x86 bzImage" in refusal(load_kernel, save(bzimage()))
    assert "ELF file for x86-64; expected a 64-bit one for AArch64" in refusal(load_kernel, save(x86_elf()))


@pytest.mark.parametrize("data", [bzimage()[:-16], bzimage()[:0x250], gzip.compress(bzimage())[:-9], x86_elf()[:-9]])
def test_truncated_kernels_are_refused(save, data):  # noqa: F811
    assert "truncated" in refusal(load_x86_kernel, save(data))


def test_random_damage_never_ends_in_anything_but_an_error_line(save):  # noqa: F811
    source = random.Random(1)
    for good in (bzimage(), x86_elf(pvh_note()), gzip.compress(bzimage())):
        for _ in range(150):
            data = bytearray(good)
            for _ in range(source.randrange(1, 6)):
                data[source.randrange(len(data))] = source.randrange(256)
            for _ in range(2):  # most of what is read is there
                data[source.randrange(0x1F1, 0x268) % len(data)] = source.randrange(256)
            path = save(bytes(data[: source.randrange(1, len(data) + 1)]))
            with contextlib.suppress(UserError):
                load_x86_kernel(path)
