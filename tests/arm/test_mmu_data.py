"""Data accesses of the MMU's slow path: fills, faults, crossings, devices."""

from __future__ import annotations

import pytest
from tests.arm import mmu_rig as r
from tests.arm.mmu_rig import Rig


@pytest.fixture(params=r.ENGINES)
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


VA = 0x5555_4000_0000
PA = r.RAM_BASE + 0x10000


def test_load_and_store_fill_the_tlb(rig: Rig) -> None:
    rig.mmu_on()
    rig.map(VA, PA | r.LEAF | r.AF)
    rig.poke(PA + 8, 0x1122334455667788)
    assert not rig.cached(VA)
    assert rig.load(VA + 8) == 0x1122334455667788
    assert rig.cached(VA) and rig.cached(VA, write=True)
    assert rig.store(VA + 16, 0xAABBCCDD, 4) is None
    assert rig.peek(PA + 16) == 0xAABBCCDD
    assert rig.n_tlb_miss == 1


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_sizes(rig: Rig, size: int) -> None:
    rig.mmu_on()
    rig.map(VA, PA | r.LEAF | r.AF)
    value = int.from_bytes(bytes(range(1, size + 1)), "little")
    assert rig.store(VA + 32, value, size) is None
    assert rig.peek(PA + 32, 17) == value
    assert rig.load(VA + 32, size) == value


def test_translation_faults_say_level(rig: Rig) -> None:
    rig.mmu_on()
    assert rig.load(VA + 8) == f"96000004 {VA + 8:x}"
    for level in range(3):
        rig.entry(VA, level + 1)
        assert rig.load(VA) == f"{0x96000005 + level:x} {VA:x}"
        assert rig.store(VA, 1) == f"{0x96000045 + level:x} {VA:x}"
    rig.el = 0
    assert rig.load(VA) == f"92000007 {VA:x}"
    assert not rig.cached(VA)
