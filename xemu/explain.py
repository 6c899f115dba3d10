"""`xemu explain`: what becomes of one A64 instruction on its way to host code, stage by stage.

Everything shown comes from the functions that the engine itself calls; nothing is done in another way for show.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, cast

from jit import passes, stencil
from jit.frontend import Decoded
from jit.host import host_module
from jit.ir import Body, Function
from jit.piece import Piece, fill
from jit.text import to_text
from targets.arm.a64.frontend import A64Frontend
from targets.arm.a64.lift import PAGE, Mode
from targets.arm.a64.row import Row
from targets.arm.env import ENV, SLOTS
from targets.arm.models import MODELS
from xemu.cli.suggest import did_you_mean, listed
from xemu.errors import UserError

USAGE = """\
usage: xemu explain HEX... [-cpu MODEL]

Shows what becomes of A64 instructions: the table's row, IR, LLVM IR and host code. HEX is a word of eight digits
(8b020020 or 0x8b020020), or its four bytes in the order they have in memory (20 00 02 8b)."""

DEFAULT_CPU = "cortex-a57"
MODE = Mode()  # EL1, FP and SIMD not trapped
_BYTES_SHOWN = 16


def main(argv: Sequence[str]) -> int:
    words: list[str] = []
    cpu = DEFAULT_CPU
    arguments = iter(argv)
    for argument in arguments:
        option = argument.replace("--", "-", 1)
        if option in ("-h", "-help"):
            print(USAGE)
            return 0
        if option == "-cpu":
            cpu = next(arguments, None) or _needs_model()
        elif option.startswith("-"):
            raise UserError(f"explain: unknown option '{argument}'{did_you_mean(option, ['-cpu'], 'there is -cpu')}")
        else:
            words += argument.replace(",", " ").split()
    if cpu not in MODELS:
        raise UserError(f"explain: -cpu {cpu}: no such CPU{did_you_mean(cpu, MODELS, f'use {listed(MODELS)}')}")
    found = parse_words(words)
    frontend = A64Frontend(MODELS[cpu].features)
    print("\n\n".join(explain(word, frontend, cpu) for word in found))
    return 0


def parse_words(texts: Sequence[str]) -> list[int]:
    """The words that the user typed: numbers of eight digits, or bytes as memory has them, lowest first."""
    if not texts:
        raise UserError("explain: name an instruction word, as in: xemu explain 8b020020")
    words: list[int] = []
    pending = b""
    for text in texts:
        digits = text.lower().removeprefix("0x")
        if not re.fullmatch(r"[0-9a-f]+", digits):
            _no_word(text, "is not hexadecimal")
        if len(digits) == 2 and digits == text.lower():
            pending += bytes.fromhex(digits)
            if len(pending) == 4:
                words.append(int.from_bytes(pending, "little"))
                pending = b""
        elif pending:
            raise UserError(f"explain: '{text}' stands where byte {len(pending) + 1} of an instruction's 4 should be")
        elif len(digits) != 8:
            _no_word(text, f"has {len(digits)} digits")
        else:
            words.append(int(digits, 16))
    if pending:
        raise UserError(f"explain: an instruction has 4 bytes, and the last one here has {len(pending)}")
    return words


def _needs_model() -> NoReturn:
    raise UserError(f"explain: -cpu: needs an argument: {listed(MODELS)}")


def _no_word(text: str, why: str) -> NoReturn:
    raise UserError(f"explain: '{text}' {why}; an A64 word has 8 hexadecimal digits, a byte of one 2")


def explain(word: int, frontend: A64Frontend, cpu: str) -> str:
    """All stages of one word as text."""
    decoded = frontend.decode(word, MODE.key)
    near = decoded.displacement is not None and abs(decoded.displacement) < PAGE
    function = frontend.lift(decoded, MODE.key, near)
    places = _state_holes(function) | (_state_holes(function.slow) if function.slow else set[str]())
    holes = dict(frontend.holes(decoded, MODE.key, near))

    parts = [_head(decoded, frontend, cpu, near), _holes(holes, places)]
    parts.append(_section("IR", _ir(function)))
    # the engine runs the passes in here as well: what they leave is shown behind it
    llvm_ir = stencil.to_llvm([function], SLOTS)
    names = ", ".join(name for name, _ in passes.PIPELINE)
    parts.append(_section(f"IR after the passes ({names})", _ir(function)))
    parts.append(_section("LLVM IR", llvm_ir))
    module = stencil.optimise(llvm_ir)
    parts.append(
        _section("LLVM IR, optimised", re.sub(r"^(; ModuleID|source_filename).*\n", "", str(module), flags=re.M))
    )
    piece = stencil.to_pieces(module)[function.name]
    parts.append(_host_section("host code", piece, holes, places))
    if piece.slow:
        parts.append(_host_section("host code of the slow path", piece.slow, holes, places))
    return "\n\n".join(parts)


# -- the row -----------------------------------------------------------------------------------------------------------
def _head(decoded: Decoded, frontend: A64Frontend, cpu: str, near: bool) -> str:
    word = decoded.word
    r, shape = cast(tuple[Row, tuple[int, ...]], decoded.key)
    lines = [f"{word:08x}  {frontend.disassemble(word, 0)}", ""]
    lines += _pairs(_row_rows(r, word, shape, frontend, cpu))
    if decoded.displacement is not None:
        where = "in this page: code jumps there directly" if near else "in another page: code goes through lookup"
        lines += _pairs([("branch", f"{decoded.displacement:+#x}, taken to be {where}")])
    if decoded.before:
        lines += _pairs([("before it", ", ".join(decoded.before))])
    return "\n".join(lines)


def _row_rows(r: Row, word: int, shape: tuple[int, ...], frontend: A64Frontend, cpu: str) -> Iterator[tuple[str, str]]:
    yield "row", r.name
    if r.oracle == "none":
        feature = frontend.missing_feature(word)
        able = [name for name, model in MODELS.items() if feature in model.features]
        hint = f" with -cpu {listed(able)}" if able else ""
        yield "", f"{feature}, which {cpu} lacks, would define it{hint}" if feature else "no row defines this word"
    else:
        yield "layout", r.layout
        yield "fields", " ".join(f"{name}={value}" for name, value in r.split(word).items()) or "none"
        yield "feature", r.feature or "Armv8.0"
        if r.needs == "fp":
            yield "traps", "where CPACR_EL1.FPEN traps FP and SIMD"
    yield "semantics", _semantics(r)
    named = zip(r.shape_parts, shape, strict=True)
    yield "shape", " ".join(f"{part.name}={value}" for part, value in named) or "one for all its words"
    if r.ends:
        ends = {
            "jump": "always goes elsewhere",
            "branch": "may go elsewhere",
            "sync": "what follows may be another code",
        }
        yield "block end", ends[r.ends]
    yield "mode", "EL1, FP and SIMD not trapped, no single step"


def _semantics(r: Row) -> str:
    """The function that says what the row means, with its parameters and its place."""
    bound = ", ".join(f"{name}={getattr(value, '__name__', value)}" for name, value in r.bound.items())
    try:
        root = Path(__file__).parent.parent
        file = Path(inspect.getsourcefile(r.lift) or "")
        line = inspect.getsourcelines(r.lift)[1]
        where = f"  {file.relative_to(root) if file.is_relative_to(root) else file}:{line}"
    except (OSError, TypeError):
        where = ""  # a callable without source
    return f"{getattr(r.lift, '__name__', '?')}({bound}){where}"


def _holes(holes: Mapping[str, int], places: set[str]) -> str:
    if not holes:
        return _section("holes", "none")
    rows = [(name, str(value) + (f"  {_state_name(value)}" if name in places else "")) for name, value in holes.items()]
    return _section("holes", "\n".join(_pairs(rows)))


# -- names of the CPU state --------------------------------------------------------------------------------------------
def _state_holes(function: Function) -> set[str]:
    """The holes that are places in the CPU state: what ldenv and stenv take as their offset."""
    found: set[str] = set()

    def look(body: Body) -> None:
        for v in body:
            if v.op in ("ldenv", "stenv") and v.args[0].op == "hole":
                found.add(v.args[0].attrs["name"])
            for inner in v.bodies:
                look(inner)

    look(function.body)
    return found


def _state_name(offset: int) -> str:
    """The field of the CPU state at a byte offset."""
    for f in ENV.fields.values():
        if f.offset <= offset < f.offset + f.count * f.type.bytes:
            index, inside = divmod(offset - f.offset, f.type.bytes)
            name = f"{f.name}[{index}]" if f.count > 1 else f.name
            return f"{name} + {inside}" if inside else name
    return ""


def _ir(function: Function) -> str:
    """A function's text, with a comment where it uses a field of the CPU state."""
    lines: list[str] = []
    for line in to_text(function).splitlines():
        field = re.search(r"(?:ldenv \w+|stenv) i64 (\w+)", line)
        lines.append(f"{line}  # {_state_name(int(field.group(1), 0))}" if field else line)
    return "\n".join(lines)


# -- host code ---------------------------------------------------------------------------------------------------------
def _host_section(title: str, piece: Piece, holes: Mapping[str, int], places: set[str]) -> str:
    lines = list(_host_lines(piece, holes, places))
    if piece.falls_through:
        lines.append("(the next instruction's code follows)")
    size = f"{len(piece.code)} byte{'s' if len(piece.code) != 1 else ''}"
    return _section(f"{title}, {size}", "\n".join(lines))


def _host_lines(piece: Piece, holes: Mapping[str, int], places: set[str]) -> Iterator[str]:
    """Disassembly with the holes filled, and beside it which hole or field of the CPU state each instruction has."""
    code = bytearray(piece.code)
    for fx in piece.fixups:
        if not fx.relative:
            fill(code, fx, holes.get(fx.name, 0), 0)
    found = [line.strip().partition(": ") for line in host_module().disassemble(bytes(code), 0).splitlines()]
    starts = [int(address, 16) for address, _, _ in found]
    ends = [*starts[1:], len(code)]
    for (_, _, text), start, end in zip(found, starts, ends, strict=False):
        notes: list[str] = []
        for fx in (fx for fx in piece.fixups if start <= fx.offset < end):
            if fx.data:
                at = fx.addend + (end - fx.offset if fx.relative else 0)
                notes.append(f"constant {fx.data[at : at + _BYTES_SHOWN].hex()}")
            elif fx.relative:
                text = f"{text.split()[0]} {fx.name}"
            else:
                notes.append(fx.name + (f" ({_state_name(holes[fx.name])})" if fx.name in places else ""))
        notes += [] if notes else _state_notes(text)
        yield f"{start:4x}  {text:<50}{'; ' + ', '.join(notes) if notes else ''}".rstrip()


def _state_notes(text: str) -> list[str]:
    """The field of the CPU state that an operand names; jumps and calls through it may have moved its address."""
    base = host_module().ENV_REGISTER if text.split()[0] not in ("jmp", "call") else r"\w+"
    return [_state_name(int(offset, 16)) for offset in re.findall(rf"\[{base} \+ (0x[0-9a-f]+)\]", text)]


# -- text --------------------------------------------------------------------------------------------------------------
def _pairs(rows: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> list[str]:
    return [f"{name:<12}{value}".rstrip() for name, value in rows]


def _section(title: str, text: str) -> str:
    return f"-- {title} --\n{text.strip(chr(10))}"
