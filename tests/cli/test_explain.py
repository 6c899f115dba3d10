"""`xemu explain`: all stages are there, and come from the pipeline that the engine uses."""

import re

import pytest

from jit.passes import PIPELINE
from jit.text import parse
from targets.arm.a64.frontend import A64Frontend
from targets.arm.env import ENV
from targets.arm.models import MODELS
from xemu import explain
from xemu.cli.main import main

PASSES = ", ".join(name for name, _ in PIPELINE)
STAGES = ["holes", "IR", f"IR after the passes ({PASSES})", "LLVM IR", "LLVM IR, optimised", "host code"]


def shown(capsys, *argv: str) -> str:
    assert main(["explain", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def sections(text: str) -> dict[str, str]:
    """The text under each title; the head is under ''."""
    parts = re.split(r"^-- (.*) --\n", text, flags=re.M)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def test_all_stages_of_an_addition(capsys) -> None:
    found = sections(shown(capsys, "8b020020"))
    titles = [re.sub(r", \d+ bytes$", "", title) for title in found if title]
    assert titles == STAGES
    head = found[""]
    assert head.startswith("8b020020  add x0, x1, x2\n")
    for line in (
        "row         ADD (shifted register)",
        "feature     Armv8.0",
        "fields      sf=1 shift=0 Rm=2 imm6=0 Rn=1",
    ):
        assert line in head
    assert re.search(r"semantics   add_sub_shifted\(sub=False, setflags=False\)  targets/arm/a64/\w+\.py:\d+\n", head)
    assert re.search(rf"^Rm\.x +{ENV.x + 16}  x\[2\]$", found["holes"], re.M)
    assert "add i64" in found["IR"] and "stenv" in found["IR"]
    assert 'define preserve_nonecc void @"ADD (shifted register)"' in found["LLVM IR"]
    host = found[next(title for title in found if title.startswith("host code"))]
    assert re.search(r"; Rm\.x \(x\[2\]\)$", host, re.M) and re.search(r"; Rd\.w \(x\[0\]\)$", host, re.M)
    assert host.rstrip().endswith("(the next instruction's code follows)")


def test_the_shown_ir_is_ir(capsys) -> None:
    found = sections(shown(capsys, "f9400420"))  # ldr x0, [x1, #8]
    (before,), (after,) = (parse(found[title]) for title in STAGES[1:3])
    assert before.slow and after.slow and before.name == "LDR (immediate) [unsigned offset]"
    assert len(after.body) < len(before.body)


def test_a_load_has_a_slow_path_and_names_the_state(capsys) -> None:
    found = sections(shown(capsys, "f9400420"))
    fast, slow = (text for title, text in found.items() if title.startswith("host code"))
    assert "jne SLOW" in fast and "; tlb\n" in fast and "; imm\n" in fast
    assert "; rt_slow_load\n" in slow and "jmp NEXT" in slow and "; rt_data_fault" in slow
    assert "# pc_off" in found["IR"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("54000040", ["b.eq #8", "+0x8, taken to be in this page", "je TAKEN"]),
        ("94001000", ["bl #0x4000", "+0x4000, taken to be in another page"]),
        ("d503201f", ["nop", "host code, 0 bytes"]),
        ("1e602820", ["FADD (scalar)", "traps       where CPACR_EL1.FPEN traps"]),
        ("f94003e0", ["ldr x0, [sp]", "before it   stack_check"]),
        ("d5033fdf", ["isb", "block end"]),
        ("4e000020", ["tbl", "; constant "]),
        ("00000000", ["UNDEFINED", "no row defines this word", "udf #0"]),
    ],
)
def test_kinds_of_instructions(capsys, word: str, expected: list[str]) -> None:
    text = shown(capsys, word)
    for part in expected:
        assert part in text


def test_features_follow_the_cpu(capsys) -> None:
    ldadd = "b8200041"
    assert "FEAT_LSE, which cortex-a57 lacks, would define it with -cpu max" in shown(capsys, ldadd)
    assert "feature     FEAT_LSE" in shown(capsys, ldadd, "-cpu", "max")
    assert "feature     FEAT_LSE" in shown(capsys, "--cpu", "max", ldadd)


def test_several_words_and_ways_to_write_them(capsys) -> None:
    once = shown(capsys, "d2800020")
    assert once.startswith("d2800020  mov x0, #1\n")
    for argv in (["0xD2800020"], ["20", "00", "80", "d2"], ["20 00 80 d2"], ["20,00,80,d2"]):
        assert shown(capsys, *argv) == once
    assert shown(capsys, "d2800020", "20", "00", "80", "d2") == f"{once}\n{once}"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "name an instruction word"),
        (["8b02"], "'8b02' has 4 digits"),
        (["0x20"], "'0x20' has 2 digits"),
        (["add"], "'add' has 3 digits"),
        (["8b02002g"], "'8b02002g' is not hexadecimal"),
        (["20", "00", "80"], "the last one here has 3"),
        (["20", "8b020020"], "'8b020020' stands where byte 2"),
        (["8b020020", "-cpu", "a57"], "did you mean 'cortex-a57'?"),
        (["8b020020", "-cpu"], "-cpu: needs an argument"),
        (["8b020020", "-el", "0"], "unknown option '-el'"),
    ],
)
def test_mistakes_are_one_line(capsys, argv: list[str], expected: str) -> None:
    assert main(["explain", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("xemu: explain: ") and expected in err


def test_help(capsys) -> None:
    assert shown(capsys, "-h") == explain.USAGE + "\n"


def test_any_word_can_be_explained() -> None:
    """One word of each row, so that nothing a row may say is left out."""
    frontend = A64Frontend(MODELS["max"].features)
    for r in frontend.decoder.rows[::12]:
        assert explain.explain(r.value, frontend, "max").startswith(f"{r.value:08x}  ")
