"""Whether a word is defined: what the table says for a CPU model, what LLVM says, and what Unicorn does."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from targets.arm.a64.row import Row
from targets.arm.a64.system import NO_ACCESS
from targets.arm.a64.table import Decoder, all_rows
from targets.arm.models import MODELS

LLVM_MC = shutil.which("llvm-mc") or shutil.which("llvm-mc-14")
# What LLVM calls the features of `-cpu max`, on top of a Cortex-A57's
_LLVM_NAMES = {"FEAT_LSE": "+lse", "FEAT_LRCPC": "+rcpc", "FEAT_PAN": "+pan", "FEAT_LOR": "+lor"}
_REGISTER_ROWS = ("MRS", "MSR (register)")

# Verdicts.  MAYBE: defined, but CONSTRAINED UNPREDICTABLE
NO, YES, MAYBE = "undefined", "defined", "unpredictable"


def uniform(count: int, rng: random.Random) -> list[int]:
    return [rng.getrandbits(32) for _ in range(count)]


def by_row(count: int, rng: random.Random) -> list[int]:
    """Words with the fixed bits of a row, in every eighth with one of them inverted."""
    rows = all_rows()
    out: list[int] = []
    for k in range(count):
        row = rows[k % len(rows)]
        word = row.value | rng.getrandbits(32) & ~row.mask
        out.append(word ^ 1 << rng.randrange(32) if k % 8 == 0 else word)
    return out


class Table:
    """Our own verdicts."""

    def __init__(self, model: str) -> None:
        self.decoder = Decoder(MODELS[model].features)

    def row(self, word: int) -> Row | None:
        return self.decoder.row(word)

    def verdict(self, word: int) -> str:
        row = self.decoder.row(word)
        if row is None or row.name.endswith("[unknown]"):
            return NO
        if row.name.startswith(_REGISTER_ROWS) and row.shape(row.split(word)) == (NO_ACCESS,):
            return NO  # written, but read-only, or the other way round
        return YES


def llvm(words: Sequence[int], model: str) -> list[str]:
    """LLVM's verdicts, in one process."""
    assert LLVM_MC
    command = [LLVM_MC, "--disassemble", "-triple=aarch64", f"-mcpu={model}"]
    if model == "max":
        extra = ",".join(_LLVM_NAMES[f] for f in MODELS[model].features if f in _LLVM_NAMES)
        command[-1:] = ["-mcpu=cortex-a57", f"-mattr={extra}"]
    text = "\n".join(" ".join(f"{byte:#04x}" for byte in word.to_bytes(4, "little")) for word in words)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    out = [YES] * len(words)
    for line in done.stderr.splitlines():
        if line.startswith("<stdin>:"):
            number, text = line.split(":", 3)[1::2]
            out[int(number) - 1] = NO if "invalid" in text else MAYBE
    return out


class Unicorn:
    """Executes words at EL1: UNDEFINED is an exception of that kind, all else means defined."""

    AT, SIZE = 0x1_0000, 0x1000
    EXCP_UDEF = 1

    def __init__(self, model: str) -> None:
        import unicorn as u
        from unicorn import arm64_const as c

        self.u, self.c = u, c
        models = {
            "cortex-a53": c.UC_CPU_ARM64_A53, "cortex-a57": c.UC_CPU_ARM64_A57, "cortex-a72": c.UC_CPU_ARM64_A72,
            "max": c.UC_CPU_ARM64_MAX,
        }  # fmt: skip
        self.uc = u.Uc(u.UC_ARCH_ARM64, u.UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(models[model])
        self.uc.mem_map(self.AT, self.SIZE)
        self.uc.reg_write(c.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        self.uc.hook_add(u.UC_HOOK_INTR, self._interrupt)
        self.context = self.uc.context_save()
        self.exception: int | None = None

    def _interrupt(self, uc: Any, number: int, _user: Any) -> None:
        self.exception = number
        uc.emu_stop()

    def verdict(self, word: int) -> str:
        uc = self.uc
        uc.context_restore(self.context)
        uc.mem_write(self.AT, word.to_bytes(4, "little"))
        uc.ctl_remove_cache(self.AT, self.AT + 4)
        self.exception = None
        try:
            uc.emu_start(self.AT, self.AT + self.SIZE, count=1)
        except self.u.UcError as e:
            if e.errno == self.u.UC_ERR_INSN_INVALID:
                return NO
        return NO if self.exception == self.EXCP_UDEF else YES

    def verdicts(self, words: Iterable[int]) -> list[str]:
        return [self.verdict(word) for word in words]
