"""ACPI tables (ACPI 6.5): headers and checksums, and as much of AML, the language of the DSDT, as describing devices
takes (chapter 20)."""

import struct

_OEM_ID, _OEM_TABLE_ID, _CREATOR = b"XEMU  ", b"XEMU    ", b"XEMU"
_HEADER = struct.Struct("<4sIBB6s8sI4sI")
HEADER_SIZE = _HEADER.size


def checksum(data: bytes) -> int:
    """The byte that makes the sum of all bytes 0."""
    return -sum(data) & 0xFF


def table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A whole description table (5.2.6)."""
    size = HEADER_SIZE + len(body)
    made = _HEADER.pack(signature, size, revision, 0, _OEM_ID, _OEM_TABLE_ID, 1, _CREATOR, 1) + body
    return made[:9] + bytes((checksum(made),)) + made[10:]


def root_pointer(xsdt: int) -> bytes:
    """RSDP (5.2.5.3), with two checksums: of the first 20 bytes, and of all."""
    first = struct.pack("<8sB6sBI", b"RSD PTR ", 0, _OEM_ID, 2, 0)
    first = first[:8] + bytes((checksum(first),)) + first[9:]
    whole = first + struct.pack("<IQB3x", 36, xsdt, 0)
    return whole[:32] + bytes((checksum(whole),)) + whole[33:]


def address(space: int, where: int, bits: int = 8) -> bytes:
    """Generic address structure (5.2.3.2); space 0 is memory, 1 ports."""
    return struct.pack("<BBBBQ", space, bits, 0, 1, where)  # accessed by bytes


MEMORY, PORTS = 0, 1

# AML (20.2)

_ZERO, _ONE, _NAME, _SCOPE, _PACKAGE, _BUFFER = b"\x00", b"\x01", b"\x08", b"\x10", b"\x12", b"\x11"
_DEVICE = b"\x5b\x82"
_MAX_LENGTH = 1 << 28


def _sized(opcode: bytes, body: bytes) -> bytes:
    """Opcode, package length (20.2.4: it counts its own bytes), body."""
    if len(body) + 1 < 1 << 6:
        return opcode + bytes((len(body) + 1,)) + body
    for extra in (1, 2, 3):
        size = len(body) + 1 + extra
        if size < 1 << 4 + 8 * extra:
            return opcode + bytes((extra << 6 | size & 0xF,)) + (size >> 4).to_bytes(extra, "little") + body
    raise ValueError(f"{size} bytes are more than AML's {_MAX_LENGTH}")


def _segment(name: str) -> bytes:
    return name.ljust(4, "_").encode("ascii")


def path(name: str) -> bytes:
    r"""A name such as `_CRS` or `\_SB` (20.2.2), of one segment."""
    return b"\\" + _segment(name[1:]) if name.startswith("\\") else _segment(name)


def integer(value: int) -> bytes:
    if value < 2:
        return (_ZERO, _ONE)[value]
    for prefix, size in ((b"\x0a", 1), (b"\x0b", 2), (b"\x0c", 4), (b"\x0e", 8)):
        if value < 1 << 8 * size:
            return prefix + value.to_bytes(size, "little")
    raise ValueError(f"{value:#x} has more than 64 bits")


def string(text: str) -> bytes:
    return b"\x0d" + text.encode("ascii") + b"\0"


def eisa_id(text: str) -> bytes:
    """A PNP id such as PNP0501 as the number that it is packed into (19.3.4)."""
    letters, number = text[:3], int(text[3:], 16)
    packed = 0
    for letter in letters:
        packed = packed << 5 | ord(letter) - 0x40
    return integer(int.from_bytes((packed << 16 | number).to_bytes(4, "big"), "little"))


def name(identifier: str, value: bytes) -> bytes:
    return _NAME + path(identifier) + value


def package(*elements: bytes) -> bytes:
    return _sized(_PACKAGE, bytes((len(elements),)) + b"".join(elements))


def scope(identifier: str, *content: bytes) -> bytes:
    return _sized(_SCOPE, path(identifier) + b"".join(content))


def device(identifier: str, *content: bytes) -> bytes:
    return _sized(_DEVICE, path(identifier) + b"".join(content))


# Resources (6.4)


def resources(*descriptors: bytes) -> bytes:
    body = b"".join(descriptors) + b"\x79\x00"  # the end tag; a checksum of 0 is not checked
    return _sized(_BUFFER, integer(len(body)) + body)


def io_ports(base: int, count: int) -> bytes:
    """I/O port descriptor, all 16 address lines decoded."""
    return struct.pack("<BBHHBB", 0x47, 1, base, base, 1, count)


def isa_irq(number: int) -> bytes:
    """IRQ descriptor without flags: rising edge, not shared."""
    return struct.pack("<BH", 0x22, 1 << number)


def memory_range(base: int, size: int) -> bytes:
    """32-bit fixed memory range, read and write."""
    return struct.pack("<BHBII", 0x86, 9, 1, base, size)


def interrupt(gsi: int) -> bytes:
    """Extended interrupt descriptor: consumer, rising edge, not shared."""
    return struct.pack("<BHBBI", 0x89, 6, 0b0011, 1, gsi)
