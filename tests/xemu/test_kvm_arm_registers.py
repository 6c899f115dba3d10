"""KVM's numbers of AArch64 registers, as Linux' arch/arm64/include/uapi/asm/kvm.h has them."""

import pytest

from xemu.accel.base import Gic
from xemu.accel.kvm.arm_state import _number
from xemu.accel.kvm.gic import _v2_reset, _v3_reset


@pytest.mark.parametrize(
    ("name", "number", "size"),
    [
        ("x0", 0x6030_0000_0010_0000, 8),
        ("x30", 0x6030_0000_0010_003C, 8),
        ("sp", 0x6030_0000_0010_003E, 8),
        ("pc", 0x6030_0000_0010_0040, 8),
        ("pstate", 0x6030_0000_0010_0042, 8),
        ("elr_el1", 0x6030_0000_0010_0046, 8),
        ("v0", 0x6040_0000_0010_0054, 16),
        ("v31", 0x6040_0000_0010_00D0, 16),
        ("fpsr", 0x6020_0000_0010_00D4, 4),
        ("fpcr", 0x6020_0000_0010_00D5, 4),
        ("mpidr_el1", 0x6030_0000_0013_C005, 8),
        ("ttbr0_el1", 0x6030_0000_0013_C100, 8),
        ("cntv_ctl_el0", 0x6030_0000_0013_DF19, 8),
        ("cntv_cval_el0", 0x6030_0000_0013_DF02, 8),  # KVM has the numbers of these two exchanged
    ],
)
def test_numbers(name: str, number: int, size: int) -> None:
    assert _number(name) == (number, size)


@pytest.mark.parametrize("name", ["x31", "v32", "eip", ""])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(KeyError):
        _number(name)


@pytest.mark.parametrize("version, reset", [(2, _v2_reset), (3, _v3_reset)])
def test_a_reset_of_the_gic_disables_every_interrupt(version, reset) -> None:
    settings = list(reset(Gic(version, 2, 96, 0, 0)))
    disabled = [(group, at & 0xFFFF_FFFF) for group, at, value in settings if at & 0xFFFF in (0x180, 0x184, 0x188)]
    private = [(1, 0x180)] * 2 if version == 2 else [(5, 0x10180)] * 2
    assert sorted(disabled) == sorted([(1, 0x184), (1, 0x188), *private])
    assert len(set(settings)) == len(settings)
