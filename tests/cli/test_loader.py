"""Kernels, ramdisks and device trees: what is accepted, and what is refused by name."""

import bz2
import contextlib
import gzip
import io
import lzma
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from xemu.errors import UserError
from xemu.guests import cpio, demo_path, zboot
from xemu.loader import load_dtb, load_firmware, load_initrd, load_kernel

CODE = bytes(range(256)) * 8


def linux_image(text_offset: int = 0, image_size: int = 0x10000, flags: int = 0xA, with_pe: bool = True) -> bytes:
    pe = 0x40 if with_pe else 0
    header = struct.pack("<IIQQQ24x4sI", 0x91005A4D, 0, text_offset, image_size, flags, b"ARM\x64", pe)
    if with_pe:
        header += struct.pack("<4sHHIIIHH", b"PE\0\0", 0xAA64, 1, 0, 0, 0, 0, 0)
        header += struct.pack("<8sIIIIIIHHI", b".text", 4096, 4096, 4096, 4096, 0, 0, 0, 0, 0)
    return (header + CODE).ljust(8192, b"\0")


def elf(machine: int = 183, segments: tuple = ((0x40000000, CODE, 4096),), kind: int = 2) -> bytes:
    count = len(segments)
    ident, entry = b"\x7fELF\2\1\1", 0x40000010
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, kind, machine, 1, entry, 64, 0, 0, 64, 56, count, 0, 0, 0)
    offset = 64 + 56 * count
    table, body = b"", b""
    for address, data, memory in segments:
        table += struct.pack("<IIQQQQQQ", 1, 5, offset + len(body), address, address, len(data), memory, 4096)
        body += data
    return header + table + body


@pytest.fixture
def save(tmp_path: Path):
    def write(data: bytes, name: str = "file") -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write


def refusal(load, path: str) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    text = str(caught.value)
    assert "\n" not in text and path in text
    return text


def test_linux_image(save) -> None:
    kernel = load_kernel(save(linux_image(text_offset=0x1000, image_size=0x20000)))
    assert kernel.is_linux and kernel.entry is None and kernel.page_size == 16384 // 4
    assert (kernel.text_offset, kernel.image_size) == (0x1000, 0x20000)
    assert kernel.segments[0][0] is None and len(kernel.segments[0][1]) == 8192


def test_page_size_is_read_from_the_header(save) -> None:
    assert load_kernel(save(linux_image(flags=0xC))).page_size == 16384
    assert load_kernel(save(linux_image(flags=0xE))).page_size == 65536


def test_an_old_image_without_a_size_goes_to_the_default_place(save) -> None:
    kernel = load_kernel(save(linux_image(text_offset=0, image_size=0, with_pe=False)))
    assert (kernel.text_offset, kernel.image_size) == (0x80000, 8192)


@pytest.mark.parametrize("wrap", [gzip.compress, zboot.wrap, lambda data: gzip.compress(zboot.wrap(data))])
def test_packed_images(save, wrap) -> None:
    assert load_kernel(save(wrap(linux_image()))).segments[0][1] == linux_image()


@pytest.mark.parametrize("method", ["gzip", "xz", "lzma"])
def test_zboot_methods(save, method: str) -> None:
    assert load_kernel(save(zboot.wrap(linux_image(), method))).segments[0][1] == linux_image()


def test_zstd_zboot_says_what_is_missing_or_boots(save) -> None:
    image = bytearray(zboot.wrap(linux_image()))
    image[24:56] = b"zstd22".ljust(32, b"\0")
    assert "zstd" in refusal(load_kernel, save(bytes(image)))


def test_elf(save) -> None:
    kernel = load_kernel(save(elf()))
    assert kernel.entry == 0x40000010 and not kernel.is_linux
    assert kernel.segments == [(0x40000000, CODE + bytes(4096 - len(CODE)))]


def test_raw_code(save) -> None:
    kernel = load_kernel(save(CODE))
    assert kernel.segments == [(None, CODE)] and kernel.text_offset == 0x80000 and kernel.is_linux


def test_the_demo_guest_is_an_image() -> None:
    assert load_kernel(str(demo_path())).page_size == 4096


def _archive(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("a", "b")
    else:
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"))
    return out.getvalue()


def _bzimage() -> bytes:
    data = bytearray(1024)
    data[0x202:0x206] = b"HdrS"
    data[510:512] = b"\x55\xaa"
    return bytes(data)


FOREIGN = {
    "bzImage": (_bzimage(), "an x86 bzImage"),
    "pe": (b"MZ".ljust(60, b"\0") + struct.pack("<I4sH18x", 64, b"PE\0\0", 0x8664), "a PE file for x86-64"),
    "dos": (b"MZ" + bytes(200), "a DOS program"),
    "x86 elf": (elf(machine=62), "ELF file for x86-64"),
    "object": (elf(kind=1), "an object file that is not linked yet"),
    "cpio": (cpio.archive([]), "a cpio archive"),
    "cpio.gz": (gzip.compress(cpio.archive([])), "a cpio archive inside gzip"),
    "raw.gz": (gzip.compress(CODE), "raw data inside gzip"),
    "tar": (_archive("tar"), "a tar archive"),
    "zip": (_archive("zip"), "a zip archive"),
    "deb": (b"!<arch>\ndebian-binary   0", "a Debian package"),
    "ar": (b"!<arch>\nx.o/   0", "an ar archive"),
    "xz": (lzma.compress(CODE), "an xz file"),
    "bz2": (bz2.compress(CODE), "a bzip2 file"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "a zstd file"),
    "dtb": (b"\xd0\x0d\xfe\xed" + bytes(60), "a device tree blob"),
    "text": (b"hello\n", "a text file"),
    "utf-8": ("Grüße\n".encode() * 900, "a text file"),
    "script": (b"#!/bin/sh\n", "a script"),
    "riscv": (bytes(56) + b"RSC\x05" + bytes(60), "a RISC-V Linux Image"),
    "zImage": (bytes(36) + b"\x18\x28\x6f\x01" + bytes(60), "a 32-bit Arm zImage"),
    "big endian": (linux_image(flags=1), "big-endian"),
    "qcow2": (b"QFI\xfb" + bytes(60), "a qcow2 disk image"),
    "vmlinux": (elf(segments=((0xFFFF800008000000, CODE, 4096),)), "linked for virtual addresses"),
    "empty": (b"", "the file is empty"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_kernels_are_refused_by_name(save, name: str) -> None:
    data, text = FOREIGN[name]
    assert text in refusal(load_kernel, save(data, name))


TRUNCATED = {
    "image": linux_image()[:8000],
    "image.gz": gzip.compress(linux_image())[:-20],
    "image short inside gz": gzip.compress(linux_image()[:5000]),
    "zboot": zboot.wrap(linux_image())[:-8],
    "elf": elf()[:-100],
    "elf header": elf()[:80],
    "elf half header": elf()[:40],
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_kernels_are_refused(save, name: str) -> None:
    assert "truncated" in refusal(load_kernel, save(TRUNCATED[name], name))


def test_places_that_are_no_files(tmp_path: Path) -> None:
    assert "is a directory" in refusal(load_kernel, str(tmp_path))
    assert "not a regular file" in refusal(load_kernel, "/dev/zero")
    assert "No such file" in refusal(load_kernel, str(tmp_path / "missing"))


def test_decompression_is_bounded(save, monkeypatch) -> None:
    from xemu.loader import files

    monkeypatch.setattr(files.unpack, "__defaults__", (1 << 20,))
    assert "unpacks to more than 1 MiB" in refusal(load_kernel, save(gzip.compress(bytes(4 << 20))))


def test_damaged_gzip(save) -> None:
    data = bytearray(gzip.compress(linux_image()))
    data[20:40] = b"\xff" * 20
    assert "damaged gzip data" in refusal(load_kernel, save(bytes(data)))


def test_an_elf_that_asks_for_absurd_memory(save) -> None:
    assert "asks for" in refusal(load_kernel, save(elf(segments=((0x40000000, CODE, 1 << 60),))))


def test_random_damage_never_ends_in_anything_but_an_error_line(save) -> None:
    source = random.Random(1)
    for good in (linux_image(), elf(), zboot.wrap(linux_image()), gzip.compress(linux_image())):
        for _ in range(150):
            data = bytearray(good)
            for _ in range(source.randrange(1, 6)):
                data[source.randrange(min(len(data), 200))] = source.randrange(256)
            path = save(bytes(data[: source.randrange(1, len(data) + 1)]))
            with contextlib.suppress(UserError):
                load_kernel(path)


def test_initrds(save) -> None:
    archive = cpio.archive([cpio.directory("bin"), cpio.file("init", b"x" * 1000)])
    for data in (archive, gzip.compress(archive), lzma.compress(archive), archive + gzip.compress(archive), CODE):
        assert load_initrd(save(data)) == data
    assert "truncated" in refusal(load_initrd, save(archive[:-60]))
    assert "truncated" in refusal(load_initrd, save(gzip.compress(archive)[:-9]))
    assert "truncated" in refusal(load_initrd, save(lzma.compress(archive)[:-9]))
    assert "damaged" in refusal(load_initrd, save(b"070701" + b"z" * 200))
    assert "an arm64 Linux Image" in refusal(load_initrd, save(linux_image()))
    assert "a tar archive" in refusal(load_initrd, save(_archive("tar")))
    assert "a text file" in refusal(load_initrd, save(b"hello"))


def test_device_trees(save) -> None:
    header = struct.pack(">10I", 0xD00DFEED, 72, 56, 72, 40, 17, 16, 0, 0, 16)
    good = header + bytes(16) + struct.pack(">4I", 1, 0, 2, 9)
    assert load_dtb(save(good + b"padding")) == good
    assert "truncated: 60 bytes of 72" in refusal(load_dtb, save(good[:60]))
    assert "truncated" in refusal(load_dtb, save(good[:20]))
    assert "compile device tree source" in refusal(load_dtb, save(b"/dts-v1/;\n"))
    assert "an ELF file" in refusal(load_dtb, save(elf()))
    assert "a block lies outside" in refusal(load_dtb, save(good[:8] + b"\0\0\xff\xff" + good[12:]))
    assert "format 3" in refusal(load_dtb, save(good[:20] + struct.pack(">I", 3) + good[24:]))


def test_firmware(save) -> None:
    assert load_firmware(save(CODE), 1 << 20) == CODE
    assert "do not fit" in refusal(lambda path: load_firmware(path, 100), save(CODE))
    assert "an ELF file" in refusal(lambda path: load_firmware(path, 1 << 20), save(elf()))


def test_reading_a_file_takes_no_more_memory_than_it_has(tmp_path: Path) -> None:
    """Once, 8 GiB were asked for first: a host of 1 GiB could not even start."""
    path = tmp_path / "file"
    path.write_bytes(b"data")
    code = "import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 30, 1 << 30))\n"
    code += f"from xemu.loader.files import read_file; print(read_file('kernel', {str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "b'data'\n", done.stderr
