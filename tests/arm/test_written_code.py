"""Code that is written after it ran: each kind of store, to a page that was data before, near and across page ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import pytest

from targets.arm.exits import Exit
from tests.arm.cpu_rig import HVC, ISB, NOP, RET, Board, branch, movz
from tests.arm.differential import FEATURES

PAGE, RAM_SIZE = 4096, 1 << 20
VECTORS, PROGRAM, CODE = 0x3000, 0x1_0000, 0x2_0000
MOV1, MOV2, MOV3 = 0xD280_0020, 0xD280_0040, 0xD280_0060  # mov x0, #n
STR_X8, IC_IVAU, DSB, BLR, KEEP, ZERO, BOTH = (
    0xF900_0048, 0xD50B_7522, 0xD503_3B9F, 0xD63F_0040,  # str x8, [x2]; ic ivau, x2; dsb ish; blr x2
    0xAA00_03E9, 0xD280_0000, 0x8B09_1000,  # mov x9, x0; mov x0, #0; add x0, x0, x9, lsl #4
)  # fmt: skip
RUN = [DSB, IC_IVAU, DSB, ISB, BLR]


@dataclass(frozen=True)
class Store:
    """words: at x2.  x, v: what of the new code (offset from x2, bytes) is in a register; `fixed`: other values."""

    words: tuple[int, ...]
    x: dict[int, tuple[int, int]] = field(default_factory=dict)
    v: dict[int, tuple[int, ...]] = field(default_factory=dict)  # offsets of 8-byte pieces
    fixed: dict[int, int] = field(default_factory=dict)
    result: int = 2


STORES = {
    "str x": Store((0xF900_0041,), {1: (0, 8)}),
    "str x, misaligned": Store((0xF81F_C041,), {1: (-4, 8)}),
    "str w": Store((0xB900_0041,), {1: (0, 4)}),
    "strb": Store((0x3900_0041,), {1: (0, 1)}),
    "strh": Store((0x7900_0041,), {1: (0, 2)}),
    "stp w": Store((0x2900_1841,), {1: (0, 4), 6: (4, 4)}),
    "stp x, around": Store((0xA93F_9841,), {1: (-8, 8), 6: (0, 8)}),
    "str d": Store((0xFD00_0040,), v={0: (0,)}),
    "str q": Store((0x3D80_0040,), v={0: (0, 8)}),
    "stur q, misaligned": Store((0x3C9F_4040,), v={0: (-12, -4)}),
    "stp q, around": Store((0xAD3F_8440,), v={0: (-16, -8), 1: (0, 8)}),
    "st1": Store((0x4C00_7C40,), v={0: (0, 8)}),
    "st1, lane": Store((0x0D00_8040,), v={0: (0,)}),
    "st2": Store((0x4C00_8C40,), v={0: (0, 16), 1: (8, 24)}),
    "st1 of four": Store((0x4C00_2040,), v={k: (16 * k, 16 * k + 8) for k in range(4)}),
    "sttr": Store((0xF800_0841,), {1: (0, 8)}),
    "stlr": Store((0xC89F_FC41,), {1: (0, 8)}),
    "stxr": Store((0xC85F_7C43, 0xC804_7C41), {1: (0, 8)}),
    "stlxp": Store((0xC87F_9443, 0xC824_9841), {1: (0, 8), 6: (8, 8)}),
    "dc zva": Store((0xD50B_7422,), result=0),
    "swp": Store((0xB821_8043,), {1: (0, 4)}),
    "ldset": Store((0xB821_3043,), fixed={1: 0x40}, result=3),
    "ldadd": Store((0xB821_0043,), fixed={1: 0x20}),
    "cas": Store((0x88A3_7C41,), {1: (0, 4)}, fixed={3: MOV1}),
    "casp": Store((0x0824_7C46,), {6: (0, 4), 7: (4, 4)}, fixed={4: MOV1, 5: RET}),
}
PLACES = {"middle": 0x140, "start of the page": 0, "end of the page": PAGE - 64}
FROM = {"another page": PROGRAM, "the same page": CODE + 0x800}


@cache
def board(engine: str) -> Board:
    b = Board(engine, ram_base=0, ram_size=RAM_SIZE, features=FEATURES)
    b.put(VECTORS, [HVC] * 512)
    return b


def _new_code(at: int, size: int) -> int:
    """Bytes of the new code: `mov x0, #2; ret` at 0 and nops around."""
    words = [MOV2 if k == 0 else RET if k == 4 else NOP for k in range(-16, 64, 4)]
    data = b"".join(w.to_bytes(4, "little") for w in words)
    return int.from_bytes(data[16 + at : 16 + at + size], "little")


@pytest.mark.parametrize("engine", ["baseline", "reference", "aarch64"])
@pytest.mark.parametrize("start", FROM)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", STORES)
def test_store(name: str, place: str, start: str, engine: str) -> None:
    b, store = board(engine), STORES[name]
    cpu, target, program = b.cpu, CODE + PLACES[place], FROM[start]
    b.put(CODE - 64, [NOP] * (PAGE // 4 + 32))
    b.put(program, [STR_X8, *RUN, KEEP, ZERO, *store.words, *RUN, BOTH, HVC])
    cpu.reset(program)
    for register, value in (("flat", 1), ("vbar_el1", VECTORS), ("cpacr_el1", 3 << 20)):
        cpu.set(register, value)
    cpu.call("mode_changed")
    values = {k: _new_code(*piece) for k, piece in store.x.items()} | store.fixed | {2: target, 8: RET << 32 | MOV1}
    for k, value in values.items():
        cpu.set("x", value, k)
    for k, pieces in store.v.items():
        cpu.set("v", sum(_new_code(at, 8) << 64 * n for n, at in enumerate(pieces)), k)
    b.go()
    assert cpu.get("x", 9) == 1, "what was data has not become code"
    if store.result:
        assert cpu.get("x", 0) == 0x10 + store.result
    else:
        assert cpu.get("esr_el1") == 1 << 25 and cpu.get("elr_el1") == target, "zeros are not executed"


@pytest.mark.parametrize("engine", ["baseline", "reference", "aarch64"])
def test_a_device_writes(engine: str) -> None:
    """Memory that the machine writes, in the page and in the neighbours."""
    b = board(engine)
    b.put(CODE, [MOV1, HVC])
    assert b.run(CODE) == 1
    b.put(CODE + 8, [0] * 64)
    assert b.run(CODE) == 1
    b.put(CODE - 4, [NOP, MOV2])
    assert b.run(CODE) == 2


def test_the_rest_of_a_page_stays() -> None:
    """A store to a line of code drops translations; one beside it does not."""
    b = board("baseline")
    b.put(PROGRAM, [MOV1, HVC])
    b.run(PROGRAM)
    before = b.system.engine.stats.invalidated
    b.put(PROGRAM + 8, [HVC])
    assert b.system.engine.stats.invalidated == before
    b.put(PROGRAM, [MOV2])
    assert b.system.engine.stats.invalidated == before + 1 and b.run(PROGRAM) == 2


def test_a_loop_is_left_when_another_cpu_changes_it() -> None:
    """The loop runs natively and never looks anything up: it must be told."""
    import threading

    b = Board("baseline", ram_base=0, ram_size=RAM_SIZE)
    b.put(PROGRAM, [NOP, NOP, branch(PROGRAM + 8, PROGRAM)])
    result: list[int] = []
    thread = threading.Thread(target=lambda: result.append(b.run(PROGRAM, 7)), daemon=True)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    b.put(PROGRAM + 4, [HVC])
    thread.join(30)
    assert result == [7]


# x1 rounds; x2 = the code, `mov x0, #n; ret`, x3 and x4 = places to tell each other n
WRITER = [
    0xD280_0036,  # mov x22, #1
    0xAA16_1509, 0xF900_0049,  # 1: orr x9, x8, x22, lsl #5; str x9, [x2]
    DSB, IC_IVAU, DSB, ISB,
    0xC89F_FC76,  # stlr x22, [x3]
    0xC8DF_FC8A, 0xEB16_015F, 0x54FF_FFC1,  # 2: ldar x10, [x4]; cmp x10, x22; b.ne 2b
    0x9100_06D6, 0xEB01_02DF, 0x54FF_FE89,  # add x22, x22, #1; cmp x22, x1; b.ls 1b
    0xAA16_03E0, HVC,  # mov x0, x22
]  # fmt: skip
RUNNER = [
    0xD280_0015, 0xD280_0036,  # mov x21, #0; mov x22, #1
    0xC8DF_FC6A, 0xEB16_015F, 0x54FF_FFC1,  # 3: ldar x10, [x3]; cmp x10, x22; b.ne 3b
    ISB, BLR,
    0xEB16_001F, 0x9A95_06B5,  # cmp x0, x22; cinc x21, x21, ne
    0xC89F_FC96,  # stlr x22, [x4]
    0x9100_06D6, 0xEB01_02DF, 0x54FF_FEC9,  # add x22, x22, #1; cmp x22, x1; b.ls 3b
    0xAA15_03E0, HVC,  # mov x0, x21: how often the code was not what it should be
]  # fmt: skip


@pytest.mark.parametrize("target", [CODE, CODE + PAGE - 8, PROGRAM + 0x800])
def test_one_cpu_writes_what_another_runs(target: int) -> None:
    import threading

    b = Board("baseline", cpus=2, ram_base=0, ram_size=RAM_SIZE)
    flag, rounds = 0x4_0000, 300
    b.put(PROGRAM, WRITER)
    b.put(PROGRAM + 0x400, RUNNER)
    results: dict[int, int] = {}

    def run(k: int) -> None:
        cpu = b.cpus[k]
        cpu.reset((PROGRAM, PROGRAM + 0x400)[k])
        for register, value in ((1, rounds), (2, target), (3, flag), (4, flag + 64), (8, RET << 32 | ZERO)):
            cpu.set("x", value, register)
        b.go(k)
        results[k] = cpu.get("x", 0)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert results == {0: rounds + 1, 1: 0}


def test_known_words_need_no_python() -> None:
    """Code that is written, run, and written again: once its words are known, native code does it all."""
    b = Board("baseline", ram_base=0, ram_size=RAM_SIZE)
    # x0 = code: x1 times, mov x3, #1 and #2 in turn are stored there and run
    rounds = [
        0xB900_0004, DSB, IC_IVAU - 2, DSB, ISB, 0xD63F_0000,  # str w4, [x0]; ...; blr x0
        0x8B03_00C6, 0x4A05_0084,  # add x6, x6, x3; eor w4, w4, w5
        0xF100_0421, 0x5400_0001 | (-9 & 0x7FFFF) << 5,  # subs x1, x1, #1; b.ne
        0xAA06_03E0, HVC,  # mov x0, x6
    ]  # fmt: skip
    b.put(PROGRAM, rounds)
    b.put(CODE, [movz(3, 1), RET])
    arguments = (CODE, 1000, 0, 0, movz(3, 1), movz(3, 1) ^ movz(3, 2))
    assert b.run(PROGRAM, *arguments) == 1500
    exits, told = b.cpu.exits[Exit.TRANSLATE], b.cpu.call_times["code_write"].count
    assert exits < 20 and told == 0
    assert b.run(PROGRAM, *arguments) == 1500
    assert (b.cpu.exits[Exit.TRANSLATE], b.cpu.call_times["code_write"].count) == (exits, told)
    assert b.system.engine.stats.invalidated >= 1999
