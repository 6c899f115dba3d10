"""The table walk against a plain model of the manual's pseudo-code, on random tables."""

from __future__ import annotations

import random

import pytest

from targets.arm import walk as w
from tests.arm import mmu_rig as r
from tests.arm.mmu_rig import Rig

CASES = {"reference": 150, "native": 3000}


def model(rig: Rig, va: int, granules: tuple[int, ...]) -> int:
    """AArch64.S1Walk as prose would have it; the result as `walk` packs it."""
    tcr, high = rig.tcr_el1, va >> 55 & 1
    half = tcr >> 16 if high else tcr
    size = half & 63
    top = 55 if tcr >> (38 if high else 37) & 1 else 63
    if not rig.sctlr_el1 & 1:
        if va >> rig.pa_bits & ((1 << max(0, top - rig.pa_bits + 1)) - 1):
            return w.FAULT | w.ADDRESS_SIZE
        device = 0 if rig.flat else w.DEVICE
        return va & w.PA_MASK | 0x3F | w.NOT_GLOBAL | device
    tg = half >> 14 & 3
    grain = {0: None, 1: 14, 2: 12, 3: 16}[tg] if high else {0: 12, 1: 16, 2: 14, 3: None}[tg]
    if grain not in granules:
        grain = min(granules)
    if not 16 <= size <= 39 or half >> 7 & 1:
        return w.FAULT | w.TRANSLATION
    bits = 64 - size
    if any((va >> k & 1) != high for k in range(bits, top + 1)):
        return w.FAULT | w.TRANSLATION
    out_bits = min([32, 36, 40, 42, 44, 48, 48, 48][tcr >> 32 & 7], rig.pa_bits)
    table = (rig.ttbr1_el1 if high else rig.ttbr0_el1) & 0x0000_FFFF_FFFF_FFFE
    if table >> out_bits:
        return w.FAULT | w.ADDRESS_SIZE
    levels = -(-(bits - grain) // (grain - 3))
    level, attributes = 4 - levels, 0
    width = bits - grain - (levels - 1) * (grain - 3)
    table = table >> (width + 3) << (width + 3)
    while True:
        shift = grain + (3 - level) * (grain - 3)
        pa = table + ((va >> shift) & ((1 << width) - 1)) * 8
        if not r.RAM_BASE <= pa < r.RAM_BASE + r.RAM_SIZE:
            return w.FAULT | w.EXTERNAL_ON_WALK + level
        d = rig.peek(pa)
        if rig.sctlr_el1 >> 25 & 1:
            d = int.from_bytes(d.to_bytes(8, "little"), "big")
        output = (d & 0x0000_FFFF_FFFF_FFFF) >> grain << grain
        kind = d & 3
        block = kind == 1 and (level == 2 or level == 1 and grain == 12)
        if not (kind == 3 or block):
            return w.FAULT | w.TRANSLATION + level
        if output >> out_bits:
            return w.FAULT | w.ADDRESS_SIZE + level
        if kind == 1 or level == 3:
            break
        attributes |= d >> 59 & 15
        table, level, width = output, level + 1, grain - 3
    if not d >> 10 & 1:
        return w.FAULT | w.ACCESS_FLAG + level
    return model_leaf(rig, va, d, attributes, level, shift)


def model_leaf(rig: Rig, va: int, d: int, table: int, level: int, shift: int) -> int:
    el0 = bool(d >> 6 & 1) and not table & 4
    readonly = bool(d >> 7 & 1 or table & 8)
    uxn, pxn = bool(d >> 54 & 1 or table & 2), bool(d >> 53 & 1 or table & 1)
    wxn = bool(rig.sctlr_el1 >> 19 & 1)
    out = w.READ_EL1
    out |= w.READ_EL0 * el0 | w.WRITE_EL0 * (el0 and not readonly) | w.WRITE_EL1 * (not readonly)
    if not uxn and not (wxn and out & w.WRITE_EL0):
        out |= w.EXEC_EL0
    if not pxn and not out & w.WRITE_EL0 and not (wxn and out & w.WRITE_EL1):
        out |= w.EXEC_EL1
    attribute = rig.mair_el1 >> 8 * (d >> 2 & 7) & 0xFF
    out |= w.DEVICE * (attribute < 16) | w.NOT_GLOBAL * (d >> 11 & 1) | level << w.LEVEL_SHIFT
    inside = (1 << shift) - 1
    pa = (d & 0x0000_FFFF_FFFF_FFFF & ~inside | va & inside) & w.PA_MASK
    return out | pa | attribute << w.ATTR_SHIFT | (d >> 8 & 3) << w.SH_SHIFT | shift - 12 << w.SIZE_SHIFT


def random_table_memory(rig: Rig, rng: random.Random) -> int:
    """Fill 64 KiB with descriptors that mostly lead back into it; gives its address."""
    base = r.RAM_BASE + 0x10_0000
    kinds = [3] * 12 + [1] * 4 + [0, 2]
    for at in range(base, base + 0x10000, 8):
        address = base if rng.random() < 0.9 else rng.choice([0x4020_0000, 1 << 32, 1 << 36, 1 << 47, 0x5000_0000])
        d = address | rng.choice(kinds) | rng.getrandbits(10) << 2 | rng.getrandbits(12) << 52
        if rng.random() < 0.8:
            d |= r.AF
        rig.poke(at, d if rng.random() < 0.97 else rng.getrandbits(64))
    return base


def random_regime(rig: Rig, rng: random.Random, base: int) -> None:
    sizes = [16, 16, 16, 25, 24, 22, 17, 33, 36, 39, 28, 31, 40, 15, 0, 63]
    tcr = rng.choice(sizes) | rng.choice(sizes) << 16 | rng.getrandbits(2) << 14 | rng.getrandbits(2) << 30
    tcr |= rng.choice([0, 1, 2, 5, 6, 7]) << 32 | rng.getrandbits(2) << 37 | rng.getrandbits(2) << 8
    tcr |= (rng.random() < 0.05) << 7 | (rng.random() < 0.05) << 23
    rig.tcr_el1, rig.mair_el1 = tcr, rng.getrandbits(64) & rng.getrandbits(64)
    for name in ("ttbr0_el1", "ttbr1_el1"):
        wild = rng.random() < 0.05
        setattr(rig, name, rng.getrandbits(64) if wild else base | rng.getrandbits(16) << 48 | rng.getrandbits(1))
    rig.sctlr_el1 = (rng.random() < 0.95) | rng.getrandbits(1) << 19


def random_address(rig: Rig, rng: random.Random) -> int:
    va = rng.getrandbits(64)
    high = rng.getrandbits(1)
    bits = 64 - (rig.tcr_el1 >> 16 * high & 63)
    if rng.random() < 0.9:  # in range
        va = va % (1 << max(bits, 1)) | (-(1 << bits) if high else 0)
        if rng.random() < 0.2:
            va ^= rng.getrandbits(8) << 56
        if rng.random() < 0.05:
            va ^= 1 << rng.randrange(30, 64)
    return va & r.MASK64


@pytest.mark.parametrize("engine", r.ENGINES)
@pytest.mark.parametrize(("granules", "pa_bits"), [((12, 16), 44), ((12, 14, 16), 48), ((12,), 40), ((14, 16), 36)])
def test_walk_is_the_manuals(engine: str, granules: tuple[int, ...], pa_bits: int) -> None:
    rng = random.Random(f"{granules}{pa_bits}")
    rig = Rig(engine, pa_bits, granules)
    base = random_table_memory(rig, rng)
    seen = set()
    for _ in range(CASES[engine]):
        random_regime(rig, rng, base)
        for _ in range(4):
            va = random_address(rig, rng)
            wanted, got = model(rig, va, granules), rig.call("walk", va)
            seen.add(wanted & 0x3F if wanted >> 63 else -1)
            assert f"{got:x}" == f"{wanted:x}", f"va={va:x} tcr={rig.tcr_el1:x} sctlr={rig.sctlr_el1:x}"
            assert rig.walk_abort == 0
    if engine == "native":
        blocks = {w.ACCESS_FLAG + 1} if 12 in granules else set()  # at level 1
        assert seen >= {-1, *range(0, 8), 10, 11, 0x16, 0x17} | blocks


@pytest.mark.parametrize("engine", r.ENGINES)
def test_big_endian_tables(engine: str) -> None:
    rig = Rig(engine)
    rig.mmu_on()
    va = 0x1234_5000
    at = [rig.entry(va, level) for level in range(4)]
    rig.poke(at[3], r.RAM_BASE | r.LEAF | r.AF)
    for a in at:
        rig.poke(a, int.from_bytes(rig.peek(a).to_bytes(8, "little"), "big"))
    assert rig.call("walk", va) >> 63
    rig.sctlr_el1 |= 1 << 25
    assert rig.call("walk", va) & w.PA_MASK == r.RAM_BASE


@pytest.mark.parametrize("engine", r.ENGINES)
def test_descriptors_elsewhere(engine: str) -> None:
    """A table in a ROM is read; one where nothing answers is an external abort on the walk."""
    rig = Rig(engine)
    rig.mmu_on()
    va = 0x1234_5000
    rig.poke(rig.entry(va, 1), r.ROM | r.TABLE)
    at = (va >> 21 & 511) * 8
    rig.memory["rom"].map[at : at + 8] = (r.RAM_BASE | 1 | r.AF).to_bytes(8, "little")
    walked = rig.call("walk", va)
    assert not walked >> 63 and walked & w.PA_MASK == r.RAM_BASE + (va & 0x1FF000)
    rig.poke(rig.entry(va, 1), r.NOTHING | r.TABLE)
    assert rig.call("walk", va) == w.FAULT | w.EXTERNAL_ON_WALK + 2
    assert rig.load(va) == f"96000016 {va:x}"
    assert rig.store(va, 1) == f"96000056 {va:x}"
    assert rig.fetch(va) == f"86000016 {va:x}"
