"""Where a direct boot puts things."""

import pytest

from xemu.boards.arm_boot import MIB, place
from xemu.errors import UserError
from xemu.loader.kernel import LoadedKernel

BASE = 0x40000000


def image(text_offset=0, image_size=32 * MIB, data=b"kernel"):
    return LoadedKernel([(None, data)], None, True, text_offset, image_size)


def program(*segments, entry=None):
    return LoadedKernel(list(segments), entry if entry is not None else segments[0][0], False)


def test_modern_image_moves_up_one_unit():
    plan = place(image(), None, BASE, 128 * MIB)
    assert plan.entry == BASE + 2 * MIB and plan.blobs == ((BASE + 2 * MIB, b"kernel"),)
    assert plan.initrd is None and plan.passes_tree
    assert plan.tree == BASE + 64 * MIB


def test_old_image_and_raw_code_keep_their_offset():
    assert place(image(0x80000), None, BASE, 128 * MIB).entry == BASE + 0x80000


@pytest.mark.parametrize("size, start", [(128, 64), (200, 100), (256, 128), (4096, 128)])
def test_initrd_and_tree_above_the_kernel(size, start):
    plan = place(image(), b"i" * (3 * MIB), BASE, size * MIB)
    assert plan.initrd == (BASE + start * MIB, BASE + (start + 3) * MIB)
    assert plan.blobs[1] == (BASE + start * MIB, b"i" * (3 * MIB))
    assert plan.tree == BASE + (start + 4) * MIB & -2 * MIB
    assert plan.tree_end == BASE + size * MIB


def test_a_large_kernel_pushes_the_initrd_up():
    plan = place(image(image_size=100 * MIB + 1), b"i", BASE, 128 * MIB)
    assert plan.initrd[0] == BASE + 102 * MIB + 4096


def test_bare_metal_program_finds_the_tree_below_itself():
    plan = place(program((BASE + 0x80000, b"code"), entry=BASE + 0x80010), None, BASE, 128 * MIB)
    assert (plan.tree, plan.tree_end) == (BASE, BASE + 0x80000)
    assert plan.entry == BASE + 0x80010 and not plan.passes_tree


def test_bare_metal_program_at_the_start_of_ram():
    plan = place(program((BASE, b"code")), None, BASE, 128 * MIB)
    assert plan.tree == BASE + 64 * MIB


@pytest.mark.parametrize(
    "kernel, initrd, text",
    [
        (
            image(image_size=127 * MIB),
            None,
            "kernel: its 127.0 MiB at 0x40200000 run past the end of RAM at 0x48000000",
        ),
        (image(text_offset=1 << 30), None, "kernel: wants to be at 0x80000000, where there is no RAM"),
        (
            program((0, b"x")),
            None,
            "kernel: wants to be at 0x0, where there is no RAM; RAM is 0x40000000 to 0x47ffffff",
        ),
        (program((BASE + 128 * MIB - 1, b"xy")), None, "kernel: its 2 bytes at 0x47ffffff run past the end of RAM"),
        (image(), bytes(65 * MIB), "initrd: its 65.0 MiB do not fit between 0x44000000, above the kernel, and the end"),
    ],
)
def test_what_does_not_fit(kernel, initrd, text):
    with pytest.raises(UserError) as caught:
        place(kernel, initrd, BASE, 128 * MIB)
    assert text in str(caught.value) and "\n" not in str(caught.value)
