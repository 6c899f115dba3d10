"""Data accesses of the MMU's slow path: fills, faults, crossings, devices."""

from __future__ import annotations

import pytest

from jit.ir import Builder
from jit.types import F32, F64, I32, I64
from targets.arm.access import ALIGNED, ATOMIC, READ_TOO, UNPRIV, WRITE
from tests.arm import mmu_rig as r
from tests.arm.mmu_rig import Rig


@pytest.fixture(params=r.ENGINES)
def rig(request: pytest.FixtureRequest) -> Rig:
    rig = Rig(request.param)
    rig.mmu_on()
    return rig


VA = 0x5555_4000_0000
HIGH = 0xFFFF_0000_1234_5000
PA = r.RAM_BASE + 0x10000
PAGE = r.PAGE
PLAIN = r.LEAF | r.AF
NO_WRITE = PLAIN | r.RO


def test_load_and_store_fill_the_tlb(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN)
    rig.poke(PA + 8, 0x1122334455667788)
    assert not rig.cached(VA)
    assert rig.load(VA + 8) == 0x1122334455667788
    assert rig.cached(VA) and rig.cached(VA, write=True)
    assert rig.store(VA + 16, 0xAABBCCDD, 4) is None
    assert rig.peek(PA + 16) == 0xAABBCCDD
    assert rig.n_tlb_miss == 1


def test_upper_half(rig: Rig) -> None:
    rig.map(HIGH, PA | PLAIN)
    assert rig.store(HIGH + 0xFF8, 7) is None
    assert rig.peek(PA + 0xFF8) == 7
    assert rig.cached(HIGH)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 3, 64])
def test_sizes(rig: Rig, size: int) -> None:
    rig.map(VA, PA | PLAIN)
    value = int.from_bytes(bytes(range(1, size + 1)), "little")
    assert rig.store(VA + 64, value, size) is None if size != 64 else True
    if size != 64:
        assert rig.peek(PA + 64, size + 1) == value
        assert rig.load(VA + 64, size) == value


def test_translation_faults_say_level(rig: Rig) -> None:
    assert rig.load(VA + 8) == f"96000004 {VA + 8:x}"
    for level in range(3):
        rig.entry(VA, level + 1)
        assert rig.load(VA) == f"{0x96000005 + level:x} {VA:x}"
        assert rig.store(VA, 1) == f"{0x96000045 + level:x} {VA:x}"
    rig.el = 0
    assert rig.load(VA) == f"92000007 {VA:x}"
    assert not rig.cached(VA)


def test_permissions(rig: Rig) -> None:
    """AP at both levels: what EL0, EL1, EL1 with PAN, and LDTR may do."""
    cases = {
        0: ("96000000 rw", "fault", "rw"), r.EL0: ("rw", "rw", "fault"), r.RO: ("r", "fault", "r"),
        r.RO | r.EL0: ("r", "r", "fault"),
    }  # fmt: skip
    for ap, (el1, el0, pan) in cases.items():
        rig.map(VA, PA | PLAIN | ap)
        rig.call("tlbi_all")
        for level, flags, wanted in ((1, 0, el1), (0, 0, el0), (1, UNPRIV, el0)):
            rig.el, rig.pan = level, 0
            rig.call("set_regime")
            same = level << 26
            _expect(rig, flags, wanted, 0x9200000F | same)
        rig.el, rig.pan = 1, 1
        rig.call("set_regime")
        _expect(rig, 0, pan, 0x9600000F)
        _expect(rig, UNPRIV, el0, 0x9600000F)
        rig.uao = 1  # LDTR is LDR now, PAN and all
        rig.call("set_regime")
        _expect(rig, UNPRIV, pan, 0x9600000F)
        rig.uao = 0


def _expect(rig: Rig, flags: int, wanted: str, syndrome: int) -> None:
    fault = f"{syndrome:x} {VA:x}"
    assert rig.load(VA, 8, flags) == (0 if "r" in wanted else fault)
    fault = f"{syndrome | 0x40:x} {VA:x}"
    assert rig.store(VA, 0, 8, flags) == (None if "w" in wanted else fault)
    table = "tlb_unpriv" if flags else "tlb"
    assert rig.cached(VA, False, table) == ("r" in wanted)
    assert rig.cached(VA, True, table) == ("w" in wanted)


def test_address_size_and_access_flag(rig: Rig) -> None:
    rig.map(VA, 1 << 33 | PLAIN)
    assert rig.load(VA) == f"96000003 {VA:x}"
    rig.map(VA, PA | r.LEAF)
    assert rig.store(VA, 1) == f"9600004b {VA:x}"
    rig.map(VA, PA | 1 | r.AF, 2)
    assert rig.load(VA) == 0


# -- alignment and memory types ---------------------------------------------------------------------------------------
def test_alignment_asked_for(rig: Rig) -> None:
    assert rig.load(VA + 1, 2, ALIGNED) == f"96000021 {VA + 1:x}"  # before translation
    assert rig.store(VA + 4, 0, 8, ALIGNED) == f"96000061 {VA + 4:x}"
    rig.map(VA, PA | PLAIN)
    assert rig.load(VA + 8, 8, ALIGNED) == 0
    rig.el = 0
    assert rig.load(VA + 8, 16, ALIGNED) == f"92000021 {VA + 8:x}"


def test_sctlr_a_keeps_accesses_slow(rig: Rig) -> None:
    rig.sctlr_el1 |= 2
    rig.call("regime_changed")
    rig.map(VA, PA | PLAIN)
    assert rig.load(VA) == 0 and rig.load(VA) == 0
    assert rig.n_tlb_miss == 1 and not rig.cached(VA)
    assert rig.load(VA + 2, 4) == f"96000021 {VA + 2:x}"
    assert rig.store(VA + 1, 0, 2) == f"96000061 {VA + 1:x}"


@pytest.mark.parametrize("kind", [r.DEVICE, r.GRE])
def test_device_memory(rig: Rig, kind: int) -> None:
    rig.map(VA, PA | PLAIN | kind)
    rig.map(VA + PAGE, PA + PAGE | PLAIN | kind)
    assert rig.load(VA + 2, 4) == f"96000021 {VA + 2:x}"
    assert rig.load(VA + 4, 4) == 0
    assert not rig.cached(VA)
    assert rig.store(VA + 3, 0, 4) == f"96000061 {VA + 3:x}"
    assert rig.store(VA + 8, 5) is None
    assert rig.load(VA + 0xFFE, 4) == f"96000021 {VA + 0xFFE:x}"
    rig.map(VA, PA | PLAIN)
    rig.call("tlbi_all")
    assert rig.load(VA + 0xFFE, 4) == f"96000021 {VA + PAGE:x}"


def test_device_alignment_before_permission(rig: Rig) -> None:
    rig.map(VA, PA | NO_WRITE | r.DEVICE)
    assert rig.store(VA + 1, 0, 4) == f"96000061 {VA + 1:x}"
    assert rig.store(VA + 4, 0, 4) == f"9600004f {VA + 4:x}"


def test_mmu_off(rig: Rig) -> None:
    rig.sctlr_el1 = 0
    rig.call("regime_changed")
    rig.poke(PA, 0x1234)
    assert rig.load(PA) == 0x1234 and not rig.cached(PA)
    assert rig.load(PA + 1, 2) == f"96000021 {PA + 1:x}"
    assert rig.load(1 << 44) == f"96000000 {1 << 44:x}"
    rig.flat = 1
    rig.call("regime_changed")
    assert rig.load(PA + 1, 2) == 0x12 and rig.cached(PA)


# -- page crossings ---------------------------------------------------------------------------------------------------
def _two_pages(rig: Rig, second: int | None) -> None:
    rig.map(VA, PA | PLAIN)
    if second is not None:
        rig.map(VA + PAGE, second)


@pytest.mark.parametrize(("size", "before"), [(2, 1), (4, 1), (4, 3), (8, 4), (8, 7), (16, 3), (16, 8)])
def test_crossing(rig: Rig, size: int, before: int) -> None:
    _two_pages(rig, PA + 4 * PAGE | PLAIN)
    value = int.from_bytes(bytes(range(0x11, 0x11 + size)), "little")
    va = VA + PAGE - before
    assert rig.store(va, value, size) is None
    assert rig.peek(PA + PAGE - before, before) == value & ((1 << 8 * before) - 1)
    assert rig.peek(PA + 4 * PAGE, size - before) == value >> 8 * before
    assert rig.peek(PA + 4 * PAGE + size - before, 1) == 0
    assert rig.load(va, size) == value


def test_crossing_into_nothing(rig: Rig) -> None:
    _two_pages(rig, None)
    va = VA + PAGE - 4
    assert rig.load(va) == f"96000007 {VA + PAGE:x}"
    assert rig.store(va, -1) == f"96000047 {VA + PAGE:x}"
    assert rig.peek(PA + PAGE - 8) == 0  # nothing was written
    rig.map(VA + PAGE, PA + PAGE | NO_WRITE)
    assert rig.store(va, -1) == f"9600004f {VA + PAGE:x}"
    assert rig.peek(PA + PAGE - 8) == 0
    assert rig.load(va) == 0
    rig.map(VA, 0)
    rig.call("tlbi_all")
    assert rig.load(va) == f"96000007 {va:x}"


# -- devices, ROM, nothing --------------------------------------------------------------------------------------------
def test_mmio(rig: Rig) -> None:
    rig.map(VA, r.MMIO_DEVICE | PLAIN | r.DEVICE)
    assert rig.load(VA + 4, 4) == 0x07060504
    assert rig.store(VA + 8, 0xFFFF_1234, 2) is None
    assert rig.load(VA + 0x10, 16) == int.from_bytes(bytes(range(0x10, 0x20)), "little")
    dev = r.MMIO_DEVICE
    assert rig.log == [
        ("resolve", dev), ("read", dev + 4, 4), ("write", dev + 8, 2, 0x1234),
        ("read", dev + 16, 8), ("read", dev + 24, 8),
    ]  # fmt: skip
    assert rig.n_tlb_miss == 1 and not rig.cached(VA)


def test_misaligned_mmio_in_normal_memory(rig: Rig) -> None:
    rig.map(VA, r.MMIO_DEVICE | PLAIN)
    assert rig.load(VA + 3, 8) == int.from_bytes(bytes(range(3, 11)), "little")
    dev = r.MMIO_DEVICE
    assert rig.log[1:] == [("read", dev + 3, 1), ("read", dev + 4, 4), ("read", dev + 8, 2), ("read", dev + 10, 1)]


def test_bus_faults(rig: Rig) -> None:
    rig.map(VA, r.NOTHING | PLAIN)
    assert rig.load(VA + 4, 4) == f"96000010 {VA + 4:x}"
    assert rig.store(VA + 4, 0, 4) == f"96000050 {VA + 4:x}"
    assert rig.load(VA + 16, 16) == f"96000010 {VA + 16:x}"
    rig.map(VA + PAGE, r.MMIO_DEVICE | PLAIN)
    assert rig.load(VA + PAGE) == 0x0706050403020100


def test_rom(rig: Rig) -> None:
    """Reads go to the host memory; writes to whoever models it."""
    rig.map(VA, r.ROM | PLAIN)
    rig.memory["rom"].map[8:12] = b"abcd"
    assert rig.load(VA + 8, 4) == int.from_bytes(b"abcd", "little")
    assert rig.cached(VA) and not rig.cached(VA, write=True)
    assert rig.store(VA + 8, 5, 4) is None
    assert rig.log[-1] == ("write", r.ROM + 8, 4, 5)


# -- pages with code --------------------------------------------------------------------------------------------------
def _flag(rig: Rig, pa: int, value: int) -> None:
    rig.memory["flags"].map[(pa - r.RAM_BASE) // PAGE] = value


def test_stores_to_code_are_told(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN)
    _flag(rig, PA, 1)
    assert rig.store(VA + 4, 9, 4) is None
    assert rig.log == [("code_write", PA + 4, 4)]
    assert rig.peek(PA + 4) == 9
    assert rig.cached(VA) and not rig.cached(VA, write=True)
    assert rig.store(VA + 8, 9, 4) is None and len(rig.log) == 2 and rig.n_tlb_miss == 1
    _flag(rig, PA, 0)
    assert rig.store(VA + 8, 9, 4) is None and len(rig.log) == 2
    assert rig.cached(VA, write=True)


def test_code_lines(rig: Rig) -> None:
    """With a bit for each 64 bytes of code, stores beside them are not told."""
    lines = r.Memory(r.RAM_SIZE // PAGE * 8)
    rig.code_lines = lines.at
    number = (PA - r.RAM_BASE) // PAGE
    lines.map[number * 8 : number * 8 + 8] = (1 << 2 | 1 << 63).to_bytes(8, "little")
    rig.map(VA, PA | PLAIN)
    _flag(rig, PA, 1)
    for at, size, told in (
        (0x7C, 4, 0),
        (0x7C, 8, 1),
        (0x80, 1, 1),
        (0xBF, 1, 1),
        (0xC0, 8, 0),
        (0xFC0, 4, 1),
        (0, 16, 0),
    ):
        rig.log.clear()
        assert rig.store(VA + at, 0, size) is None
        assert len(rig.log) == told, hex(at)


def test_protect_page(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN | r.NG)
    rig.map(VA + 5 * PAGE, PA | PLAIN | r.NG)
    rig.map(VA + PAGE, PA + PAGE | PLAIN)
    for asid in (1, 2):
        rig.ttbr0_el1 = rig.ttbr0_el1 & ((1 << 48) - 1) | asid << 48
        rig.call("set_regime")
        for page in (0, 1, 5):
            assert rig.load(VA + page * PAGE) == 0
    _flag(rig, PA, 1)
    rig.call("protect_page", PA)
    for asid in (1, 2):
        rig.ttbr0_el1 = rig.ttbr0_el1 & ((1 << 48) - 1) | asid << 48
        rig.call("set_regime")
        assert [rig.cached(VA + p * PAGE) for p in (0, 1, 5)] == [True] * 3
        assert [rig.cached(VA + p * PAGE, True) for p in (0, 1, 5)] == [False, True, False]
    misses = rig.n_tlb_miss
    assert rig.store(VA, 1) is None and rig.log == [("code_write", PA, 8)] and rig.n_tlb_miss == misses


# -- probes -----------------------------------------------------------------------------------------------------------
def _probe(rig: Rig, va: int, size: int, flags: int) -> int | str:
    if rig.call("slow_probe", va, size | ALIGNED | WRITE | flags):
        return rig.fault()
    return (rig.scratch & r.MASK64) - rig.memory["ram"].at + r.RAM_BASE


def test_probe(rig: Rig) -> None:
    rmw = ATOMIC | READ_TOO
    assert _probe(rig, VA + 8, 8, ATOMIC) == f"96000044 {VA + 8:x}"
    assert _probe(rig, VA + 8, 8, rmw) == f"96000004 {VA + 8:x}"
    assert _probe(rig, VA + 4, 8, rmw) == f"96000021 {VA + 4:x}"
    rig.map(VA, PA | PLAIN | r.EL0)
    assert _probe(rig, VA + 8, 8, rmw) == PA + 8
    assert rig.cached(VA, write=True)
    rig.map(VA, PA | NO_WRITE)
    rig.call("tlbi_all")
    assert _probe(rig, VA + 8, 8, rmw) == f"9600004f {VA + 8:x}"
    assert _probe(rig, VA + 8, 8, ATOMIC) == f"9600004f {VA + 8:x}"
    rig.el = 0
    rig.call("set_regime")
    assert _probe(rig, VA + 8, 8, rmw) == f"9200000f {VA + 8:x}"
    rig.el = 1
    rig.map(VA, r.MMIO_DEVICE | PLAIN)
    rig.call("regime_changed")
    assert _probe(rig, VA + 8, 8, ATOMIC) == f"96000075 {VA + 8:x}"


def test_probe_of_code_and_zero_blocks(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN)
    _flag(rig, PA, 1)
    assert _probe(rig, VA + 0x95, 64, 0) == PA + 0x80
    assert _probe(rig, VA + 0x95, 1, 0) == PA + 0x95
    assert rig.log == [], "told only behind the write"
    rig.call("note_write", rig.memory["ram"].at + PA + 0x80 - r.RAM_BASE, 64)
    assert rig.log == [("code_write", PA + 0x80, 64)]
    assert _probe(rig, VA + PAGE + 0x95, 64, 0) == f"96000047 {VA + PAGE + 0x95:x}"
    rig.map(VA + PAGE, PA | PLAIN | r.DEVICE)
    assert _probe(rig, VA + PAGE + 0x80, 64, 0) == f"96000061 {VA + PAGE + 0x80:x}"


# -- what callbacks must not disturb ----------------------------------------------------------------------------------
def test_callbacks_keep_the_guests_floating_point(rig: Rig) -> None:
    rig.map(VA, r.MMIO_DEVICE | PLAIN)
    rig.fpcr = 2 << 22  # towards minus infinity
    b = Builder("with_fp", ret=I64, args=(I64,))
    b.op("fp_set_round", b.const(2, I32), type=I32)
    b.op("fp_set_flags", b.const(4, I32), type=I32)
    b.call("slow_load", b.args[0], b.const(4), type=I64)
    flags = b.op("fp_flags", type=I32)
    tenth = b.op("ftrunc", b.const(0x3FB999999999999A, F64), type=F32)  # 0.1, which rounds up to nearest
    b.op("fp_set_flags", b.const(0, I32), type=I32)
    b.op("fp_set_round", b.const(0, I32), type=I32)
    b.ret((flags.zext(I64) << 32) | tenth.bitcast(I32).zext(I64))
    rig.add(b.function)
    assert f"{rig.call('with_fp', VA):x}" == f"{4 << 32 | 0x3DCCCCCC:x}"
    assert rig.tenth == 0.1
    assert rig.evaluator.fp.rounding == 0


def test_watchpoints_keep_accesses_slow(rig: Rig) -> None:
    rig.map(VA, PA | PLAIN)
    rig.watch_active = 1
    assert rig.load(VA) == 0 and not rig.cached(VA) and rig.store(VA, 1) is None and not rig.cached(VA, True)
    rig.watch_active = 0
    rig.call("tlbi_all")
    assert rig.load(VA) == 1 and rig.cached(VA)
