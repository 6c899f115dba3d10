"""ASID slots, TLBI, and the choice of tables by exception level."""

from __future__ import annotations

import random

import pytest

from targets.arm import tlb
from targets.arm.access import UNPRIV, WRITE
from targets.arm.mmu import AT_EL0, AT_PAN, AT_WRITE, CACHE
from tests.arm import mmu_rig as r
from tests.arm.mmu_rig import Rig

VA = 0x5555_4000_0000
HIGH = 0xFFFF_0000_1234_5000
PA = r.RAM_BASE + 0x10000
PAGE = r.PAGE
PLAIN = r.LEAF | r.AF | r.EL0 | r.NG
MB2 = 2 << 20


@pytest.fixture(params=r.ENGINES)
def rig(request: pytest.FixtureRequest) -> Rig:
    rig = Rig(request.param)
    rig.mmu_on(r.TCR_48 | 1 << 36)
    return rig


def switch(rig: Rig, asid: int) -> None:
    rig.ttbr0_el1 = rig.ttbr0_el1 & ((1 << 48) - 1) | asid << 48
    rig.call("set_regime")


def test_tables_by_level(rig: Rig) -> None:
    base = rig.slots + rig.slot * tlb.SLOT_SIZE
    tables = [base + n * tlb.TLB_SIZE for n in range(3)]
    exec_tables = [base + tlb.XTLB_AT, base + tlb.XTLB_AT + tlb.XTLB_SIZE]
    cases = ((0, 0, 0, 0, 0), (0, 1, 0, 0, 0), (1, 0, 0, 1, 0), (1, 1, 0, 2, 0), (1, 1, 1, 2, 2))
    for el, pan, uao, table, unpriv in cases:
        rig.el, rig.pan, rig.uao = el, pan, uao
        rig.call("set_regime")
        assert (rig.tlb, rig.tlb_unpriv) == (tables[table], tables[unpriv])
        assert rig.xtlb == exec_tables[el]


def test_context_switch_flushes_nothing(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN)
    for asid in range(1, 12):
        switch(rig, asid)
        assert rig.load(VA) == 0
    for asid in range(1, 12):
        switch(rig, asid)
        assert rig.cached(VA)
    switch(rig, 12)
    assert not rig.cached(VA)


def test_oldest_slot_goes(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN)
    for asid in range(1, 17):
        switch(rig, asid)
        rig.load(VA)
    switch(rig, 1)
    assert rig.cached(VA)
    switch(rig, 99)  # takes the slot of 2
    assert not rig.cached(VA)
    switch(rig, 3)
    assert rig.cached(VA)
    switch(rig, 2)
    assert not rig.cached(VA)
    asids = [rig.get("slot_asid", k) for k in range(tlb.SLOTS)]
    assert len(set(asids)) == tlb.SLOTS


def test_which_asid(rig: Rig) -> None:
    def key() -> int:
        rig.call("set_regime")
        return rig.get("slot_asid", rig.slot)

    rig.ttbr0_el1, rig.ttbr1_el1 = 0x1234 << 48, 0x5678 << 48
    assert key() == tlb.KEY_VALID | 0x1234
    rig.tcr_el1 |= 1 << 22
    assert key() == tlb.KEY_VALID | 0x5678
    rig.tcr_el1 &= ~(1 << 36)
    assert key() == tlb.KEY_VALID | 0x78
    rig.sctlr_el1 = 0
    assert key() == tlb.KEY_VALID | tlb.KEY_OFF


def test_mmu_off_has_its_own_slot(rig: Rig) -> None:
    rig.map(PA, PA + PAGE | PLAIN)
    rig.poke(PA, 1)
    rig.poke(PA + PAGE, 2)
    assert rig.load(PA) == 2
    rig.sctlr_el1 = 0
    rig.call("set_regime")
    assert rig.load(PA) == 1
    rig.sctlr_el1 = 1
    rig.call("set_regime")
    assert rig.cached(PA) and rig.load(PA) == 2


def test_data_of_each_privilege_is_apart(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN & ~r.EL0)
    assert rig.load(VA) == 0
    assert rig.load(VA, 8, UNPRIV) == f"9600000f {VA:x}"
    assert rig.cached(VA) and not rig.cached(VA, table="tlb_unpriv")
    rig.el = 0
    rig.call("set_regime")
    assert not rig.cached(VA)


# -- TLBI -------------------------------------------------------------------------------------------------------------
def test_tlbi_all(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN | r.RO)
    for asid in (1, 2):
        switch(rig, asid)
        rig.load(VA)
        rig.fetch(VA)
        assert rig.fetched(VA)
    rig.call("tlbi_all")
    for asid in (2, 1):
        switch(rig, asid)
        assert not rig.cached(VA) and not rig.fetched(VA)


def test_tlbi_asid(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN)
    for asid in (1, 2, 3):
        switch(rig, asid)
        rig.load(VA)
    rig.call("tlbi_asid", 3)
    assert not rig.cached(VA)
    rig.call("tlbi_asid", 1)
    rig.call("tlbi_asid", 77)
    for asid, cached in ((2, True), (1, False)):
        switch(rig, asid)
        assert rig.cached(VA) == cached


def _fill(rig: Rig, va: int, asids: tuple[int, ...] = (1, 2, 3)) -> None:
    for asid in asids:
        switch(rig, asid)
        for el in (0, 1):
            rig.el = el
            rig.call("set_regime")
            assert rig.load(va) == 0
            if not rig.fetch(va):
                assert rig.fetched(va)


def _left(rig: Rig, va: int) -> list[int]:
    """The address spaces that still have anything of va."""
    out = []
    for asid in (1, 2, 3):
        switch(rig, asid)
        for el in (0, 1):
            rig.el = el
            rig.call("set_regime")
            if rig.cached(va) or rig.cached(va, True) or rig.fetched(va):
                out.append(asid)
                break
    return out


@pytest.mark.parametrize("va", [VA, HIGH])
@pytest.mark.parametrize("readonly", [0, r.RO])
def test_tlbi_va(rig: Rig, va: int, readonly: int) -> None:
    rig.map(va, PA | PLAIN | readonly)
    rig.map(va + PAGE, PA | PLAIN)
    _fill(rig, va)
    _fill(rig, va + PAGE)
    rig.call("tlbi_va", va & ((1 << 56) - 1), 2)
    left = _left(rig, va)
    assert 2 not in left
    assert left == [1, 3] if va == VA else True
    assert _left(rig, va + PAGE) == [1, 2, 3]
    rig.call("tlbi_va_all_asid", (va + PAGE) & ((1 << 56) - 1))
    assert _left(rig, va + PAGE) == []


@pytest.mark.parametrize("va", [VA, HIGH])
def test_global_pages_go_with_any_asid(rig: Rig, va: int) -> None:
    rig.map(va, PA | PLAIN & ~r.NG)
    _fill(rig, va)
    rig.call("tlbi_va", va, 55)
    assert _left(rig, va) == []


def test_tagged_addresses(rig: Rig) -> None:
    """With TBI each tag has entries of its own; TLBI does not know of tags."""
    rig.tcr_el1 |= 1 << 37
    rig.call("regime_changed")
    rig.map(VA, PA | PLAIN)
    rig.poke(PA, 5)
    tagged = VA | 0xAB << 56
    assert rig.load(tagged) == 5 and rig.cached(tagged) and not rig.cached(VA)
    rig.call("tlbi_va", VA, 0)
    assert not rig.cached(tagged)
    rig.tcr_el1 &= ~(1 << 37)
    rig.call("regime_changed")
    assert rig.load(tagged) == f"96000004 {tagged:x}"


@pytest.mark.parametrize("level", [1, 2])
def test_tlbi_of_a_block(rig: Rig, level: int) -> None:
    size = MB2 << (9 if level == 1 else 0)
    base = VA & -size
    rig.map(base, r.RAM_BASE | 1 | r.AF | r.NG, level)
    rig.map(HIGH, PA | PLAIN)
    assert rig.load(HIGH) == 0
    pages = [base + offset for offset in (0, 0x3000, 0x100000, 0x1FF000, 0x3FF000 if level == 1 else 0x1000)]
    for va in pages:
        assert rig.load(va) == 0 and rig.fetch(va) is None
        assert rig.cached(va) and rig.fetched(va)
    rig.call("tlbi_va", base + 0x5000, 0)
    for va in pages:
        assert not rig.cached(va) and not rig.fetched(va)
    assert rig.cached(HIGH) == (level == 2)


def test_blocks_elsewhere_cost_nothing(rig: Rig) -> None:
    """TLBI in one place, while another is mapped by blocks: only its own page goes."""
    other = VA + 0x8000_0000 + PAGE
    rig.map(other, r.RAM_BASE | 1 | r.AF, 2)
    rig.map(VA, PA | PLAIN)
    assert rig.load(other) == rig.load(VA) == 0
    rig.call("tlbi_va", VA, 0)
    assert not rig.cached(VA) and rig.cached(other)


def test_range_of_huge_blocks_widens(rig: Rig) -> None:
    places = [VA + (n << 30) + n * PAGE for n in (0, 1, 5)]
    for va in places:
        rig.map(va, r.RAM_BASE | 1 | r.AF, 1)
    for gone in places:
        for va in places:
            assert rig.load(va) == 0 and rig.cached(va)
        rig.call("tlbi_va", gone + 0x1234000, 0)
        assert not rig.cached(gone)
    assert rig.load(VA) == 0
    rig.call("tlbi_va", VA + (64 << 30), 0)
    assert rig.cached(VA)


@pytest.mark.parametrize(("granule", "tg"), [(14, 2 << 14 | 1 << 30), (16, 1 << 14 | 3 << 30)])
def test_large_granules(rig: Rig, granule: int, tg: int) -> None:
    rig.next_table = r.RAM_BASE + r.RAM_SIZE
    rig.memory["ram"].map[:] = bytes(r.RAM_SIZE)
    rig.mmu_on(16 | 16 << 16 | tg | 1 << 36, granule)
    size = 1 << granule
    for va, pa in ((VA, 0x10_0000), (VA + size, 0x12_0000), (HIGH & -size, 0x14_0000)):
        rig.map(va, (r.RAM_BASE + pa) | PLAIN)
        for at in range(0, size, PAGE):
            rig.poke(r.RAM_BASE + pa + at, va + at & 0xFFFF_FFFF)
            assert rig.load(va + at, 4) == va + at & 0xFFFF_FFFF
            assert rig.cached(va + at)
    rig.call("tlbi_va", VA + size - 8, 0)
    for at in range(0, size, PAGE):
        assert not rig.cached(VA + at) and rig.cached(VA + size + at) and rig.cached((HIGH & -size) + at)


def test_random_tlbi_against_a_model(rig: Rig) -> None:
    """What TLBI must drop is dropped, whatever was filled before."""
    rng = random.Random(7)
    spots = [VA, VA + PAGE, VA + MB2, HIGH, VA + (1 << 22)]
    for va in spots:
        rig.map(va, PA | PLAIN & ~(r.NG if rng.random() < 0.3 else 0))
    rig.map(VA + 8 * MB2, r.RAM_BASE | 1 | r.AF | r.NG, 2)
    spots += [VA + 8 * MB2 + k * 0x40000 for k in range(8)]
    for _ in range(60 if rig.engine == "native" else 8):
        for asid in rng.sample(range(1, 4), 2):
            switch(rig, asid)
            for va in rng.sample(spots, 5):
                rig.load(va)
        va, asid = rng.choice(spots), rng.randrange(1, 4)
        rig.call("tlbi_va", va & ((1 << 56) - 1), asid)
        switch(rig, asid)
        gone = [v for v in spots if v & -MB2 == va & -MB2] if va >= VA + 8 * MB2 and va < HIGH else [va]
        assert not any(rig.cached(v) for v in gone)


# -- instruction fetch ------------------------------------------------------------------------------------------------
def test_fetch(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN & ~r.EL0)
    number = (PA - r.RAM_BASE) // PAGE
    entry = rig.xtlb + ((VA >> 12 & 255) << 5)
    assert rig.fetch(VA + 4) is None and rig.pc == VA + 4
    assert (rig._word(entry + 8), rig._word(entry + 16)) == (rig.empty_table, PA)
    for el in (0, 1):
        rig.memory[f"dir{el}"].map[number * 8 : number * 8 + 8] = (0x1000 + el).to_bytes(8, "little")
    assert rig.fetch(VA + 4) is None
    assert rig._word(entry + 8) == 0x1001
    rig.el = 0
    rig.call("set_regime")
    assert rig.fetch(VA) is None
    assert rig._word(rig.xtlb + ((VA >> 12 & 255) << 5) + 8) == 0x1000
    rig.call("fetch_flush")
    assert not rig.fetched(VA) and rig._word(entry) == r.MASK64


def test_fetch_faults(rig: Rig) -> None:
    assert rig.fetch(VA + 2) == f"8a000000 {VA + 2:x}"
    assert rig.fetch(VA) == f"86000004 {VA:x}"
    rig.map(VA, PA | PLAIN)
    assert rig.fetch(VA) == f"8600000f {VA:x}"  # EL0 can write it
    rig.map(VA, PA | PLAIN | r.RO)
    assert rig.fetch(VA) is None
    rig.el = 0
    rig.call("set_regime")
    assert rig.fetch(VA) is None
    rig.map(VA, PA | PLAIN | r.RO | r.UXN)
    rig.call("tlbi_all")
    assert rig.fetch(VA) == f"8200000f {VA:x}"
    rig.map(VA, r.NOTHING | PLAIN)
    assert rig.fetch(VA) == f"82000010 {VA:x}"
    rig.map(VA, r.ROM | PLAIN)
    assert rig.fetch(VA) is None and rig.fetched(VA)


def test_fetch_drops_tags(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN | r.RO)
    rig.map(HIGH, PA | PLAIN | r.RO)
    assert rig.fetch(VA | 0xAB << 56) == f"86000004 {VA | 0xAB << 56:x}"
    rig.tcr_el1 |= 3 << 37
    rig.call("regime_changed")
    assert rig.fetch(VA | 0xAB << 56) is None and rig.pc == VA
    assert rig.fetch(HIGH & ~(0xAB << 56)) is None and rig.pc == HIGH


# -- AT and cache maintenance -----------------------------------------------------------------------------------------
def test_address_translate(rig: Rig) -> None:
    def par(kind: int, va: int = VA + 0x123) -> int:
        assert rig.call("address_translate", va, kind) == 0
        return rig.par_el1

    assert par(0) == 0x809
    rig.map(VA, PA | r.LEAF | r.AF | 3 << 8 | r.RO)
    success = 0xFF << 56 | PA | 0xA00 | 3 << 7
    assert [par(k) for k in (0, AT_WRITE, AT_EL0, AT_EL0 | AT_WRITE)] == [success, 0x81F, 0x81F, 0x81F]
    rig.map(VA, PA | r.LEAF | r.AF | r.EL0 | r.NON_CACHEABLE)
    rig.pan = 1
    assert par(AT_WRITE) == par(AT_EL0) == 0x44 << 56 | PA | 0xA00 | 2 << 7
    assert par(AT_PAN) == 0x81F
    rig.map(VA, PA | r.LEAF | r.AF | 3 << 8 | r.GRE)
    assert par(0) == 0x0C << 56 | PA | 0xA00 | 2 << 7
    rig.map(VA, PA | r.LEAF)
    assert par(0) == 0x817
    rig.poke(rig.entry(VA, 2), r.NOTHING | r.TABLE)
    assert rig.call("address_translate", VA, 0) == 1
    assert rig.fault() == f"96000157 {VA:x}"
    rig.sctlr_el1 = 0
    assert par(0, PA + 0x123) == PA | 0xA00 | 2 << 7


def test_cache_maintenance(rig: Rig) -> None:
    def probe(flags: int = 0) -> str | int:
        return rig.fault() if rig.call("probe_address", VA + 0x48, 1 | CACHE | flags) else rig.access_pa

    assert probe() == f"96000144 {VA + 0x48:x}"
    rig.map(VA, PA | PLAIN & ~r.EL0 | r.RO)
    assert probe() == PA + 0x48
    assert probe(WRITE) == f"9600014f {VA + 0x48:x}"
    rig.map(VA, PA | PLAIN)
    rig.pan = 1
    assert probe(WRITE) == PA + 0x48
    rig.map(VA, PA | PLAIN & ~r.EL0)
    rig.el = 0
    assert probe() == f"9200014f {VA + 0x48:x}"
