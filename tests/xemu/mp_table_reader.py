"""Reads an MP table back; every check is an assertion."""

import struct
from dataclasses import dataclass, field


@dataclass
class MpTable:
    local_apic: int = 0
    cpus: list[tuple[int, int]] = field(default_factory=list)  # APIC id, flags
    buses: list[tuple[int, str]] = field(default_factory=list)
    io_apics: list[tuple[int, int, int]] = field(default_factory=list)  # id, flags, address
    interrupts: list[tuple[int, ...]] = field(default_factory=list)  # kind, flags, bus, irq, APIC id, pin
    local_interrupts: list[tuple[int, ...]] = field(default_factory=list)


def read(memory: bytes, base: int) -> MpTable:
    """`memory` starts at address `base`, with the pointer."""
    assert base % 16 == 0
    signature, address, paragraphs, revision = struct.unpack_from("<4sIBB", memory)
    assert signature == b"_MP_" and paragraphs == 1 and revision == 4 and sum(memory[:16]) & 0xFF == 0
    table = memory[address - base :]
    signature, size, revision = struct.unpack_from("<4sHB", table)
    (count,) = struct.unpack_from("<H", table, 34)
    assert signature == b"PCMP" and revision == 4 and sum(table[:size]) & 0xFF == 0
    found = MpTable(*struct.unpack_from("<I", table, 36))
    position, kinds = 44, []
    for _ in range(count):
        kind = table[position]
        kinds.append(kind)
        if kind == 0:
            found.cpus.append((table[position + 1], table[position + 3]))
        elif kind == 1:
            found.buses.append((table[position + 1], table[position + 2 : position + 8].decode().strip()))
        elif kind == 2:
            found.io_apics.append((table[position + 1], *struct.unpack_from("<BI", table, position + 3)))
        else:
            entries = found.interrupts if kind == 3 else found.local_interrupts
            entries.append(struct.unpack_from("<BHBBBB", table, position + 1))
        position += 20 if kind == 0 else 8
    assert position == size and kinds == sorted(kinds)
    return found
