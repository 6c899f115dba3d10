"""The table of system registers, what MRS and MSR make of it, and CPU models."""

from __future__ import annotations

import itertools
from collections import Counter

import capstone
import pytest

from targets.arm.a64.lift import Mode, hole_values, lift
from targets.arm.a64.row import Row
from targets.arm.a64.system import ROWS
from targets.arm.a64.table import Decoder
from targets.arm.debug import is_load_exclusive
from targets.arm.debug_points import page_offsets
from targets.arm.env import ENV
from targets.arm.models import MODELS
from targets.arm.sysregs import BY_KEY, SYSREGS, SysReg, generic_name, reset_values

FEATURES = {r.feature for r in SYSREGS} - {""}
DECODER = Decoder(FEATURES)
MRS, MSR = 0xD530_0000, 0xD510_0000
DISASSEMBLER = capstone.Cs(capstone.CS_ARCH_ARM64, 0)


def word(reg: SysReg, write: bool, rt: int = 3) -> int:
    return (MSR if write else MRS) | reg.key << 5 | rt


def row_of(w: int) -> Row:
    row = DECODER.row(w)
    assert row is not None
    return row


# -- the table --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reg", SYSREGS, ids=lambda r: r.name)
def test_registers_are_decoded_and_lifted(reg: SysReg) -> None:
    for write, el in itertools.product((False, True), (0, 1)):
        w = word(reg, write)
        row = row_of(w)
        assert "unknown" not in row.name
        assert row.ends == ("sync" if write and reg.sync else "")
        assert row.needs == reg.needs
        names = [m for _, _, m, _ in DISASSEMBLER.disasm_lite(w.to_bytes(4, "little"), 0)]
        assert names == [row.capstone[0]]
        b = lift(row, row.shape(row.split(w)), Mode(el=el))
        for name, value in hole_values(b.holes, row.split(w)).items():
            hole = b.function.holes().get(name)
            assert hole is None or hole.attrs["lo"] <= value <= hole.attrs["hi"]


def test_fields_exist_and_have_one_register() -> None:
    for (field, index), count in Counter((r.field, r.index) for r in SYSREGS if r.field).items():
        assert index < ENV[field].count
        assert count == 1 or field == "zero", field


def test_plain_registers_share_their_code() -> None:
    shapes = {row_of(word(r, w)).shape(row_of(word(r, w)).split(word(r, w))) for r in SYSREGS for w in (False, True)}
    plain = [s for s in shapes if s[0] < 1 << 15]
    assert len(plain) == 4
    assert len(shapes) < 90


def test_features_gate_registers() -> None:
    without = Decoder(())
    for reg in SYSREGS:
        found = without.row(word(reg, False))
        assert found is not None
        assert ("unknown" in found.name) == bool(reg.feature)


def test_unknown_registers_are_their_own_rows() -> None:
    unknown = next(k for k in range(1 << 15) if k not in BY_KEY)
    for base, name in ((MRS, "MRS [unknown]"), (MSR, "MSR (register) [unknown]")):
        row = row_of(base | unknown << 5)
        assert (row.name, row.ends) == (name, "jump")


def test_generic_names() -> None:
    assert generic_name(BY_KEY[SYSREGS[0].key].key) == "S3_0_C0_C0_0"
    assert generic_name(next(r for r in SYSREGS if r.name == "CNTV_CVAL_EL0").key) == "S3_3_C14_C3_2"


def test_system_rows_have_names_of_their_own() -> None:
    assert max(Counter(r.name for r in ROWS).values()) == 1


# -- models -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", MODELS.values(), ids=lambda m: m.name)
def test_models_claim_what_there_is(model) -> None:
    regs = model.registers
    assert regs["ID_AA64PFR0_EL1"] == 0x11  # AArch64 only, no EL2 or EL3
    assert regs["ID_AA64DFR0_EL1"] >> 8 & 15 == 0  # no PMU
    assert regs["ID_AA64MMFR0_EL1"] >> 8 & 15 == 0  # no big-endian data
    claims = {
        "FEAT_LSE": regs["ID_AA64ISAR0_EL1"] >> 20 & 15 == 2,
        "FEAT_CRC32": regs["ID_AA64ISAR0_EL1"] >> 16 & 15 == 1,
        "FEAT_SHA256": regs["ID_AA64ISAR0_EL1"] >> 12 & 15 == 1,
        "FEAT_SHA1": regs["ID_AA64ISAR0_EL1"] >> 8 & 15 == 1,
        "FEAT_AES": regs["ID_AA64ISAR0_EL1"] >> 4 & 15 >= 1,
        "FEAT_PMULL": regs["ID_AA64ISAR0_EL1"] >> 4 & 15 == 2,
        "FEAT_LRCPC": regs.get("ID_AA64ISAR1_EL1", 0) >> 20 & 15 == 1,
        "FEAT_PAN": regs.get("ID_AA64MMFR1_EL1", 0) >> 20 & 15 == 1,
    }
    assert {name for name, claimed in claims.items() if claimed} == set(model.features) - {"IMPDEF_CORTEX"}
    assert model.granules == ((12, 14, 16) if model.name == "max" else (12, 16))


def test_address_sizes() -> None:
    assert {name: m.pa_bits for name, m in MODELS.items()} == {
        "cortex-a53": 40, "cortex-a57": 44, "cortex-a72": 44, "max": 48,
    }  # fmt: skip


def test_reset_covers_each_register_once() -> None:
    values = reset_values(MODELS["cortex-a57"], 9)
    assert max(Counter((name, element) for name, element, _ in values).values()) == 1
    got = {(name, element): value for name, element, value in values}
    assert got["mpidr_el1", 0] == 0x8000_0101
    assert got["midr_el1", 0] == 0x411F_D070
    assert got["feature_ids", 4 * 8] == 0x11
    assert got["ttbr0_el1", 0] == 0
    assert (got["el", 0], got["spsel", 0], got["daif", 0]) == (1, 1, 15)
    fields = {r.field for r in SYSREGS if r.field}
    interface = {r.field for r in SYSREGS if r.feature == "FEAT_GICv3"}  # a GICv2's is not the CPU's
    assert fields - interface <= {name for name, _, _ in values}
    assert not interface - {""} & {name for name, _, _ in values}
    with_gicv3 = reset_values(MODELS["cortex-a57"].with_gicv3(), 17)
    assert fields <= {name for name, _, _ in with_gicv3}
    assert ("mpidr_el1", 0, 0x8000_0101) in with_gicv3
    assert ("feature_ids", 4 * 8, 0x0100_0011) in with_gicv3


# -- debug ------------------------------------------------------------------------------------------------------------
def test_load_exclusives() -> None:
    exclusive = (0x885F7C20, 0xC85FFC20, 0x085F7C20, 0xC87F0C20)  # ldxr w, ldaxr x, ldxrb, ldxp
    others = (0x88027C20, 0xC8DFFC20, 0x48607C82, 0xF9400020)  # stxr, ldar, casp, ldr
    assert all(is_load_exclusive(w) for w in exclusive)
    assert not any(is_load_exclusive(w) for w in others)


def test_offsets_of_breakpoints() -> None:
    state = {"mdscr_el1": [1 << 15], "dbgbcr": [0] * 6, "dbgbvr": [0] * 6}
    state["dbgbcr"][0], state["dbgbvr"][0] = 0x1E5, 0xFFFF_0000_0000_1234
    state["dbgbvr"][1] = 0x8888  # not enabled

    def read(name: str, index: int) -> int:
        return state[name][index]

    assert list(page_offsets(read)) == [0x234]
    state["dbgbcr"][5] = 0x20_01E5  # by context alone: any address
    assert len(list(page_offsets(read))) == 1024
    state["mdscr_el1"][0] = 0
    assert list(page_offsets(read)) == []
