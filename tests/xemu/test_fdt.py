"""Writing device trees, reading them back with two readers, and refusing damaged ones."""

import contextlib
import random

import fdt as reference
import pytest

from xemu.boards.fdt import FdtError, Node, Tree, parse, to_bytes


@pytest.fixture
def tree():
    root = Node()
    root.set("#address-cells", 2)
    root.set("compatible", "a,b", "c")
    child = root.add("soc@1000")
    child.set_range("reg", 0x1_0000_0000, 0x200)
    child.set("flag")
    child.set("odd", b"\x01\x02\x03")
    child.add("deep").set("cells", 1, 2, 0xFFFFFFFF)
    return Tree(root, [(0x80000000, 0x1000)], boot_cpu=3)


def test_reads_back_as_written(tree):
    assert parse(to_bytes(tree)) == tree


def test_another_reader_agrees(tree):
    other = reference.parse_dtb(to_bytes(tree))
    assert other.get_property("compatible", "/").data == ["a,b", "c"]
    assert other.get_property("reg", "/soc@1000").data == [1, 0, 0, 0x200]
    assert other.get_property("cells", "/soc@1000/deep").data == [1, 2, 0xFFFFFFFF]
    assert other.exist_property("flag", "/soc@1000")
    assert other.header.boot_cpuid_phys == 3


def test_another_writer_is_understood(tree):
    again = reference.parse_dtb(to_bytes(tree)).to_dtb(version=17)
    assert parse(again).root == tree.root


def test_looking_things_up(tree):
    assert [path for path, _ in tree.root.walk()] == ["/", "/soc@1000", "/soc@1000/deep"]
    assert tree.root.child("nothing") is None
    assert tree.root.cell("#address-cells", 1) == 2
    assert tree.root.cell("#size-cells", 1) == 1
    assert tree.root.child("soc@1000").cell("reg", 7) == 7  # not a single cell


def patched(data, offset, value):
    return data[:offset] + value.to_bytes(4, "big") + data[offset + 4 :]


@pytest.mark.parametrize(
    "damage, text",
    [
        (lambda d: b"", "0 bytes are less than a device tree's header"),
        (lambda d: b"\x7fELF" + d[4:], "it starts with 0x7f454c46"),
        (lambda d: d[:-1], "truncated: "),
        (lambda d: patched(d, 24, 18), "compatible with 18"),
        (lambda d: patched(d, 20, 3), "version 3"),
        (lambda d: patched(d, 8, 4000), "the structure has no end"),
        (lambda d: patched(d, 8, 0xFFFFFFFF), "the structure has no end"),
        (lambda d: patched(d, 8, 0), "there is no root node"),
        (lambda d: patched(d, 12, 0xFFFFFF00), "outside the strings"),
        (lambda d: patched(d, 16, 0xFFFFFF00), "the memory reservations have no end"),
    ],
)
def test_damaged_blobs_are_refused(tree, damage, text):
    with pytest.raises(FdtError, match=text):
        parse(damage(to_bytes(tree)))


def test_endless_nesting_is_refused():
    node = root = Node()
    for _ in range(100):
        node = node.add("n")
    with pytest.raises(FdtError, match="nodes are more than 64 deep"):
        parse(to_bytes(Tree(root)))


def test_random_damage_is_an_error_or_a_tree(tree):
    dice = random.Random(5)
    good = to_bytes(tree)
    for _ in range(3000):
        bad = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            bad[dice.randrange(len(bad))] = dice.randrange(256)
        with contextlib.suppress(FdtError):
            parse(bytes(bad))
