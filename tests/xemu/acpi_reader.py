"""Reads ACPI tables and AML back, as much of them as boards write; every check is an assertion."""

import struct
from dataclasses import dataclass, field


@dataclass
class Scope:
    """A scope or device: values by name (numbers, texts, lists, resources), and what is inside."""

    values: dict = field(default_factory=dict)
    inside: dict = field(default_factory=dict)


def tables(memory: bytes, base: int) -> dict[str, bytes]:
    """The tables that the root pointer at `base` leads to; `memory` starts there."""

    def at(address: int) -> bytes:
        start = address - base
        (size,) = struct.unpack_from("<I", memory, start + 4)
        found = memory[start : start + size]
        assert len(found) == size and sum(found) & 0xFF == 0, f"checksum of {found[:4]}"
        assert address % 4 == 0
        return found

    assert memory[:8] == b"RSD PTR " and memory[15] == 2
    assert sum(memory[:20]) & 0xFF == 0 and sum(memory[:36]) & 0xFF == 0
    size, xsdt = struct.unpack_from("<IQ", memory, 20)
    assert size == 36
    root = at(xsdt)
    assert root[:4] == b"XSDT"
    found = [at(address) for (address,) in struct.iter_unpack("<Q", root[36:])]
    named = {table[:4].decode(): table for table in found}
    (dsdt,) = struct.unpack_from("<Q", named["FACP"], 140)
    return named | {"DSDT": at(dsdt)}


class Aml:
    def __init__(self, code: bytes) -> None:
        self._code = code
        self._at = 0

    def parse(self) -> Scope:
        return self._content(len(self._code))

    def _take(self, count: int) -> bytes:
        found = self._code[self._at : self._at + count]
        assert len(found) == count
        self._at += count
        return found

    def _byte(self) -> int:
        return self._take(1)[0]

    def _package_end(self) -> int:
        start = self._at
        lead = self._byte()
        extra = lead >> 6
        if extra == 0:
            return start + (lead & 0x3F)
        assert lead & 0x30 == 0
        return start + (lead & 0xF | int.from_bytes(self._take(extra), "little") << 4)

    def _name(self) -> str:
        prefix = ""
        if self._code[self._at : self._at + 1] == b"\\":
            prefix = self._take(1).decode()
        segment = self._take(4).decode()
        assert segment[0].isupper() or segment[0] == "_"
        return prefix + (segment.rstrip("_") if segment != "____" else segment)

    def _content(self, end: int) -> Scope:
        scope = Scope()
        while self._at < end:
            opcode = self._byte()
            if opcode == 0x08:
                name = self._name()
                assert name not in scope.values
                scope.values[name] = self._value()
            elif opcode == 0x10 or (opcode == 0x5B and self._byte() == 0x82):
                inner = self._package_end()
                name = self._name()
                assert name not in scope.inside
                scope.inside[name] = self._content(inner)
            else:
                raise AssertionError(f"opcode {opcode:#x} at {self._at}")
        assert self._at == end
        return scope

    def _value(self):
        opcode = self._byte()
        if opcode in (0, 1):
            return opcode
        if opcode in (0x0A, 0x0B, 0x0C, 0x0E):
            return int.from_bytes(self._take({0x0A: 1, 0x0B: 2, 0x0C: 4, 0x0E: 8}[opcode]), "little")
        if opcode == 0x0D:
            end = self._code.index(b"\0", self._at)
            return self._take(end + 1 - self._at)[:-1].decode()
        if opcode == 0x12:
            end, count = self._package_end(), self._byte()
            found = [self._value() for _ in range(count)]
            assert self._at == end
            return found
        assert opcode == 0x11, f"opcode {opcode:#x}"
        end, size = self._package_end(), self._value()
        assert self._at + size == end
        return _resources(self._take(size))


def _resources(data: bytes) -> list[tuple]:
    found = []
    while data[0] != 0x79:
        if data[0] == 0x47:
            _, decode, low, high, align, count = struct.unpack_from("<BBHHBB", data)
            assert decode == 1 and low == high and align == 1
            found.append(("ports", low, count))
            data = data[8:]
        elif data[0] == 0x22:
            found.append(("irq", struct.unpack_from("<H", data, 1)[0].bit_length() - 1))
            data = data[3:]
        elif data[0] == 0x86:
            size, writable, base, length = struct.unpack_from("<HBII", data, 1)
            assert size == 9 and writable == 1
            found.append(("memory", base, length))
            data = data[12:]
        else:
            kind, size, flags, count, gsi = struct.unpack_from("<BHBBI", data)
            assert (kind, size, count) == (0x89, 6, 1)
            found.append(("edge" if flags & 2 else "level", gsi))
            data = data[9:]
    assert data == b"\x79\0"
    return found


def eisa_id(number: int) -> str:
    packed = int.from_bytes(number.to_bytes(4, "little"), "big")
    letters = "".join(chr(0x40 + (packed >> shift & 0x1F)) for shift in (26, 21, 16))
    return f"{letters}{packed & 0xFFFF:04X}"
