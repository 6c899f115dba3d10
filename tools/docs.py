"""Keeps what is generated in docs/ true: the reference of IR ops, and the output of `xemu explain`.

    python tools/docs.py            writes it anew
    python tools/docs.py --check    says what is out of date, and fails

In a page, `<!-- xemu explain WORD: TITLE, ... -->` stands before a block that shows these sections.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from jit import ops  # noqa: E402
from jit.ops import OPS, OpInfo  # noqa: E402
from targets.arm.a64.frontend import A64Frontend  # noqa: E402
from targets.arm.models import MODELS  # noqa: E402
from xemu import explain  # noqa: E402

DOCS = ROOT / "docs"
_BLOCK = re.compile(r"(<!-- xemu explain ([0-9a-f]{8}): ([^>]*) -->\n\n?)(```\n.*?```\n)", re.S)

_OPS_HEAD = """\
# IR ops

Made from the table in [jit/ops.py](../jit/ops.py) by `tools/docs.py`; how to add one is in
[add-an-op.md](add-an-op.md). Every op is total: what happens at the edges is said here, and is the same in the
evaluator and in host code. Integers wrap.

Signatures: a letter is any type of the class behind its colon, and the same type wherever it comes again. `?a` is `i1`,
or a vector of `i1` with as many lanes as a has; `e(a)` is the type of a's lanes; `*` is given where the op is made;
`...` is any further operands. Vectors are worked on lane by lane.

Effects: none (may be dropped, merged and moved), `read` and `write` memory, `env-read` and `env-write` the CPU state,
`fp` rounding mode and sticky flags, `exit` may leave the function, `call` all of these.
"""


def ops_page() -> str:
    """docs/ir-ops.md."""
    out = [_OPS_HEAD]
    heading = ""
    for title, op in _titled_ops():
        if title != heading:
            heading = title
            out.append(f"\n## {title}\n\n| op | signature | meaning | effects |\n|---|---|---|---|\n")
        attrs = f" with {', '.join(f'`{a}`' for a in op.attrs)}" if op.attrs else ""
        effects, meaning = " ".join(sorted(op.effects)) or "none", " ".join(op.meaning.split())
        out.append(f"| `{op.name}`{attrs} | `{op.signature}` | {meaning} | {effects} |\n")
    return "".join(out)


def _titled_ops() -> list[tuple[str, OpInfo]]:
    """Ops in the table's order, with the comment in it that each stands under."""
    found: list[tuple[str, OpInfo]] = []
    title = ""
    source = inspect.getsource(ops)
    for comment, name in re.findall(r'^    # ([a-zA-Z].*)$|_op\(\s*"(\w+)"', source, re.M):
        if comment:
            title = comment[0].upper() + re.split(r"[;,.:] ", comment)[0][1:]
        else:
            found.append((title, OPS[name]))
    assert [op.name for _, op in found] == list(OPS), "jit/ops.py is not laid out as tools/docs.py reads it"
    return found


def with_explanations(text: str) -> str:
    """A page with its blocks of `xemu explain` made anew."""
    frontend = A64Frontend(MODELS[explain.DEFAULT_CPU].features)

    def renew(block: re.Match[str]) -> str:
        shown = explain.explain(int(block[2], 16), frontend, explain.DEFAULT_CPU)
        return f"{block[1]}```\n{chosen_sections(shown, block[3].split(', '))}\n```\n"

    return _BLOCK.sub(renew, text)


def chosen_sections(text: str, titles: list[str]) -> str:
    """The sections whose titles begin with these words; "head" is what stands before the first one."""
    parts = re.split(r"^(?=-- )", text, flags=re.M)
    sections = {"head": parts[0], **{part[3:].split(" --\n")[0]: part for part in parts[1:]}}
    found = [next(part for name, part in sections.items() if name.startswith(title)) for title in titles]
    return "\n".join(part.strip("\n") + "\n" for part in found).strip("\n")


def pages() -> dict[Path, str]:
    """Every page that has something generated, as it should be."""
    wanted = {DOCS / "ir-ops.md": ops_page()}
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text()
        if _BLOCK.search(text):
            wanted[path] = with_explanations(text)
    return wanted


def main(argv: list[str]) -> int:
    stale = [(path, text) for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if "--check" in argv:
            print(f"{path.relative_to(ROOT)} is out of date: run tools/docs.py", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
