"""Flattened device trees (Devicetree Specification 0.4, chapter 5): build, write, read, patch."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_MAGIC = 0xD00DFEED
_HEADER = struct.Struct(">10I")
_VERSION = 17
_COMPATIBLE_VERSION = 16
_BEGIN_NODE, _END_NODE, _PROP, _NOP, _END = 1, 2, 3, 4, 9
# Real trees are less than ten deep; the reader recurses, and the blob may be anybody's.
_MAX_DEPTH = 64


class FdtError(ValueError):
    """The blob is not a device tree that can be read; the text says what is wrong with it."""


@dataclass
class Node:
    """One node; property values are bytes, made from numbers and texts by set()."""

    name: str = ""
    properties: dict[str, bytes] = field(default_factory=dict[str, bytes])
    children: list["Node"] = field(default_factory=lambda: [])

    def set(self, name: str, *values: int | str | bytes) -> None:
        """A number becomes one 32-bit cell, a text ends with a zero byte; several follow each other."""
        self.properties[name] = b"".join(_encode(value) for value in values)

    def set_range(self, name: str, *numbers: int) -> None:
        """Each number as two cells, as addresses and sizes are where #address-cells and #size-cells are 2."""
        self.properties[name] = b"".join(number.to_bytes(8, "big") for number in numbers)

    def add(self, name: str) -> "Node":
        node = Node(name)
        self.children.append(node)
        return node

    def child(self, name: str) -> "Node | None":
        return next((node for node in self.children if node.name == name), None)

    def cell(self, name: str, default: int) -> int:
        """A property of one cell."""
        value = self.properties.get(name)
        return int.from_bytes(value, "big") if value is not None and len(value) == 4 else default

    def walk(self, path: str = "") -> Iterator[tuple[str, "Node"]]:
        """Every node with its path."""
        yield path or "/", self
        for node in self.children:
            yield from node.walk(f"{path}/{node.name}")


@dataclass
class Tree:
    root: Node = field(default_factory=Node)
    reservations: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # (address, size) to keep off
    boot_cpu: int = 0


def _encode(value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(4, "big")
    return value.encode() + b"\0" if isinstance(value, str) else value


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# Writing


def to_bytes(tree: Tree) -> bytes:
    strings: dict[str, int] = {}
    string_block = bytearray()
    words: list[bytes] = []

    def offset_of(name: str) -> int:
        if name not in strings:
            strings[name] = len(string_block)
            string_block.extend(name.encode() + b"\0")
        return strings[name]

    def write(node: Node) -> None:
        words.append(struct.pack(">I", _BEGIN_NODE) + _padded(node.name.encode() + b"\0"))
        for name, value in node.properties.items():
            words.append(struct.pack(">III", _PROP, len(value), offset_of(name)) + _padded(value))
        for child in node.children:
            write(child)
        words.append(struct.pack(">I", _END_NODE))

    write(tree.root)
    words.append(struct.pack(">I", _END))
    structure = b"".join(words)
    reserved = b"".join(struct.pack(">QQ", *entry) for entry in (*tree.reservations, (0, 0)))
    reserve_offset = _HEADER.size  # 40: a multiple of 8, as the block has to be
    structure_offset = reserve_offset + len(reserved)
    strings_offset = structure_offset + len(structure)
    total = strings_offset + len(string_block)
    header = _HEADER.pack(
        _MAGIC,
        total,
        structure_offset,
        strings_offset,
        reserve_offset,
        _VERSION,
        _COMPATIBLE_VERSION,
        tree.boot_cpu,
        len(string_block),
        len(structure),
    )
    return header + reserved + structure + bytes(string_block)


# Reading


def parse(data: bytes) -> Tree:
    if len(data) < _HEADER.size:
        raise FdtError(f"{len(data)} bytes are less than a device tree's header")
    magic, total, structure, strings, reserve, version, compatible, boot_cpu, strings_size, _ = _HEADER.unpack_from(
        data
    )
    if magic != _MAGIC:
        raise FdtError(f"it starts with {magic:#010x} and not with a device tree's {_MAGIC:#010x}")
    if total > len(data):
        raise FdtError(f"truncated: {len(data)} bytes of {total}")
    if compatible > _VERSION or version < _COMPATIBLE_VERSION:
        raise FdtError(
            f"version {version} (compatible with {compatible}); {_COMPATIBLE_VERSION} or {_VERSION} is known"
        )
    data = data[:total]
    reader = _Reader(data, structure, data[strings : strings + strings_size])
    return Tree(reader.root(), list(_reservations(data, reserve)), boot_cpu)


def _reservations(data: bytes, offset: int) -> Iterable[tuple[int, int]]:
    while offset + 16 <= len(data):
        address, size = struct.unpack_from(">QQ", data, offset)
        if size == 0:
            return
        yield address, size
        offset += 16
    raise FdtError("the memory reservations have no end")


class _Reader:
    """Walks the structure block; every step moves forward, so the blob's size bounds the work."""

    def __init__(self, data: bytes, position: int, strings: bytes) -> None:
        self._data = data
        self._position = position
        self._strings = strings

    def root(self) -> Node:
        if self._token() != _BEGIN_NODE:
            raise FdtError("there is no root node")
        node = self._node(0)
        if self._token() != _END:
            raise FdtError("something follows the root node")
        return node

    def _node(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise FdtError(f"nodes are more than {_MAX_DEPTH} deep")
        end = self._data.find(b"\0", self._position)
        if end < 0:
            raise FdtError(f"a node's name at byte {self._position} has no end")
        node = Node(self._text(self._data[self._position : end]))
        self._skip(end + 1 - self._position)
        while (token := self._token()) != _END_NODE:
            if token == _PROP:
                name, value = self._property()
                node.properties[name] = value
            elif token == _BEGIN_NODE:
                node.children.append(self._node(depth + 1))
            else:
                raise FdtError(f"unknown token {token:#x} at byte {self._position - 4}")
        return node

    def _property(self) -> tuple[str, bytes]:
        length, name_offset = self._word(), self._word()
        if self._position + length > len(self._data):
            raise FdtError(f"a property at byte {self._position} runs past the end")
        value = self._data[self._position : self._position + length]
        self._skip(length)
        end = self._strings.find(b"\0", name_offset)
        if end < 0:
            raise FdtError(f"a property's name at {name_offset} is outside the strings")
        return self._text(self._strings[name_offset:end]), value

    def _token(self) -> int:
        while (token := self._word()) == _NOP:
            pass
        return token

    def _word(self) -> int:
        if self._position + 4 > len(self._data):
            raise FdtError("the structure has no end")
        value = struct.unpack_from(">I", self._data, self._position)[0]
        self._position += 4
        return value

    def _skip(self, length: int) -> None:
        self._position += length + -length % 4

    @staticmethod
    def _text(data: bytes) -> str:
        try:
            return data.decode("ascii")
        except UnicodeDecodeError:
            raise FdtError(f"the name {data!r} is not text") from None
