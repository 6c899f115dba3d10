"""What a file is, from its first bytes. One table of signatures serves both acceptance and refusal by name."""

import struct
from dataclasses import dataclass

PE_MACHINES = {
    0x014C: "i386",
    0x8664: "x86-64",
    0x01C0: "32-bit Arm",
    0x01C2: "32-bit Arm",
    0x01C4: "32-bit Arm",
    0xAA64: "arm64",
    0x5032: "RISC-V 32",
    0x5064: "RISC-V 64",
    0x6232: "LoongArch 32",
    0x6264: "LoongArch 64",
    0x0EBC: "EFI byte code",
}
PE_ARM64 = 0xAA64


@dataclass(frozen=True)
class Signature:
    kind: str  # short name used by the loaders
    text: str  # what an error line calls it, with its article
    offset: int
    magic: bytes


# More specific signatures come first: a .deb is an ar archive, a zboot image is a PE.
SIGNATURES = (
    Signature("zboot", "an EFI zboot image", 4, b"zimg"),
    Signature("image", "an arm64 Linux Image", 56, b"ARM\x64"),
    Signature("riscv", "a RISC-V Linux Image", 56, b"RSC\x05"),
    Signature("arm-zimage", "a 32-bit Arm zImage", 36, b"\x18\x28\x6f\x01"),
    Signature("bzimage", "an x86 bzImage", 0x202, b"HdrS"),
    Signature("elf", "an ELF file", 0, b"\x7fELF"),
    Signature("gzip", "a gzip file", 0, b"\x1f\x8b"),
    Signature("cpio", "a cpio archive", 0, b"070701"),
    Signature("cpio", "a cpio archive", 0, b"070702"),
    Signature("old-cpio", "an old-style cpio archive", 0, b"070707"),
    Signature("old-cpio", "an old-style cpio archive", 0, b"\xc7\x71"),
    Signature("tar", "a tar archive", 257, b"ustar"),
    Signature("zip", "a zip archive", 0, b"PK\x03\x04"),
    Signature("deb", "a Debian package", 0, b"!<arch>\ndebian-binary"),
    Signature("ar", "an ar archive", 0, b"!<arch>\n"),
    Signature("rpm", "an RPM package", 0, b"\xed\xab\xee\xdb"),
    Signature("xz", "an xz file", 0, b"\xfd7zXZ\x00"),
    Signature("bzip2", "a bzip2 file", 0, b"BZh"),
    Signature("zstd", "a zstd file", 0, b"\x28\xb5\x2f\xfd"),
    Signature("lz4", "an lz4 file", 0, b"\x04\x22\x4d\x18"),
    Signature("lz4", "an lz4 file", 0, b"\x02\x21\x4c\x18"),
    Signature("lzma", "an lzma file", 0, b"\x5d\x00\x00"),
    Signature("lzop", "an lzop file", 0, b"\x89LZO\x00\r\n\x1a\n"),
    Signature("7z", "a 7-zip archive", 0, b"7z\xbc\xaf\x27\x1c"),
    Signature("dtb", "a device tree blob", 0, b"\xd0\x0d\xfe\xed"),
    Signature("uimage", "a U-Boot image", 0, b"\x27\x05\x19\x56"),
    Signature("android", "an Android boot image", 0, b"ANDROID!"),
    Signature("squashfs", "a squashfs file system", 0, b"hsqs"),
    Signature("erofs", "an EROFS file system", 1024, b"\xe2\xe1\xf5\xe0"),
    Signature("ext", "an ext2/3/4 file system", 1080, b"\x53\xef"),
    Signature("cramfs", "a cramfs file system", 0, b"\x45\x3d\xcd\x28"),
    Signature("romfs", "a romfs file system", 0, b"-rom1fs-"),
    Signature("iso", "an ISO 9660 image", 32769, b"CD001"),
    Signature("qcow2", "a qcow2 disk image", 0, b"QFI\xfb"),
    Signature("vmdk", "a VMDK disk image", 0, b"KDMV"),
    Signature("vhdx", "a VHDX disk image", 0, b"vhdxfile"),
    Signature("macho", "a Mach-O file", 0, b"\xcf\xfa\xed\xfe"),
    Signature("macho", "a Mach-O file", 0, b"\xca\xfe\xba\xbe"),
    Signature("wasm", "a WebAssembly module", 0, b"\x00asm"),
    Signature("pdf", "a PDF document", 0, b"%PDF-"),
    Signature("png", "a PNG picture", 0, b"\x89PNG\r\n\x1a\n"),
    Signature("jpeg", "a JPEG picture", 0, b"\xff\xd8\xff"),
    Signature("gpt", "a disk image with a GPT", 512, b"EFI PART"),
)

# How much of a file identify() must see to know every kind.
HEAD_SIZE = max(signature.offset + len(signature.magic) for signature in SIGNATURES)
_TEXT_SAMPLE = 4096
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")


def identify(data: bytes) -> Signature:
    """The signature that fits; kinds "pe", "text" and "raw" are recognised without one."""
    for signature in SIGNATURES:
        if data.startswith(signature.magic, signature.offset):
            return signature
    if data.startswith(b"MZ"):
        machine = pe_machine(data)
        return Signature("pe", f"a PE file for {machine}" if machine else "a DOS program", 0, b"MZ")
    if _is_text(data[:_TEXT_SAMPLE]):
        script = data.startswith(b"#!")
        return Signature("text", "a script" if script else "a text file", 0, b"")
    return Signature("raw", "raw data", 0, b"")


def pe_machine(data: bytes) -> str | None:
    """The machine a PE file is for, or None when there is no PE header."""
    offset = pe_offset(data)
    if offset is None:
        return None
    (machine,) = struct.unpack_from("<H", data, offset + 4)
    return PE_MACHINES.get(machine, f"machine 0x{machine:04x}")


def pe_offset(data: bytes) -> int | None:
    """Where the PE header is; None when the file has none (an arm64 Image need not have one)."""
    if len(data) < 64:
        return None
    (offset,) = struct.unpack_from("<I", data, 60)
    return offset if data.startswith(b"PE\0\0", offset) and offset + 24 <= len(data) else None


def pe_extent(data: bytes) -> int:
    """The file length that the PE sections call for; 0 when there is no PE header."""
    offset = pe_offset(data)
    if offset is None:
        return 0
    sections, optional_size = struct.unpack_from("<H12xH", data, offset + 6)
    table = offset + 24 + optional_size
    end = table + 40 * sections
    for index in range(min(sections, max(0, len(data) - table) // 40)):
        raw_size, raw_pointer = struct.unpack_from("<II", data, table + 40 * index + 16)
        end = max(end, raw_pointer + raw_size if raw_size else 0)
    return end


def _is_text(sample: bytes) -> bool:
    if any(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in sample):
        return False
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(sample) == _TEXT_SAMPLE and error.start > _TEXT_SAMPLE - 4  # cut inside the last character
    return True
