"""The IR op table: every op once, as data.  Builder, printer, verifier, evaluator, passes and back end read this.

Signatures: one token an operand, then `->` and the result.  A token is a type name, or a letter bound to the first
operand that uses it, with a class behind a colon: `a:int` (integer or vector of integers), `a:float`, `a:any`, `a:num`
(integer or float).  `?a` is i1, or a vector of i1 with a's lanes; `*` as the result means "given by the builder"
(conversions, loads); `e(a)` is a's lane type.  `...` takes any further operands.

Every op is total.  What happens at the edges is in the sentence, and is the same in the evaluator and in LLVM code.

Effects: "pure" may be dropped, merged, moved; "read"/"write" touch memory; "env-read"/"env-write" touch the CPU state;
"fp" reads the rounding mode and sets sticky flags; "exit" may leave the function; "call" may do all of these.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpInfo:
    name: str
    signature: str
    effects: frozenset[str]
    meaning: str
    attrs: tuple[str, ...] = ()

    @property
    def pure(self) -> bool:
        return not self.effects


def _op(name: str, signature: str, meaning: str, effects: str = "", attrs: str = "") -> OpInfo:
    return OpInfo(name, signature, frozenset(effects.split()), meaning, tuple(attrs.split()))


_ROWS = [
    # constants and operands
    _op("const", "-> *", "The number `value`; every lane of it for a vector type.", attrs="value"),
    _op(
        "hole",
        "-> *",
        "A number between lo and hi that is filled in later, or bound by the evaluator.",
        "",
        "name lo hi",
    ),
    _op("arg", "-> *", "Argument `index` of a function.", attrs="index"),
    _op("env", "-> ptr", "The address of the CPU state."),
    # integer arithmetic, lane by lane on vectors
    _op("add", "a:int a -> a", "Sum modulo 2^n."),
    _op("sub", "a:int a -> a", "Difference modulo 2^n."),
    _op("mul", "a:int a -> a", "Low half of the product."),
    _op("umulh", "a:int a -> a", "High half of the unsigned product (i64 and narrower)."),
    _op("smulh", "a:int a -> a", "High half of the signed product (i64 and narrower)."),
    _op("udiv", "a:int a -> a", "Unsigned quotient (i64 and narrower); 0 for a zero divisor."),
    _op("sdiv", "a:int a -> a", "Signed quotient towards zero (to i64); 0 for a zero divisor; minimum / -1 = minimum."),
    _op("and", "a:int a -> a", "Bitwise and."),
    _op("or", "a:int a -> a", "Bitwise or."),
    _op("xor", "a:int a -> a", "Bitwise exclusive or."),
    _op("shl", "a:int a -> a", "Left shift; 0 for a shift by the width or more."),
    _op("lshr", "a:int a -> a", "Logical right shift; 0 for a shift by the width or more."),
    _op("ashr", "a:int a -> a", "Arithmetic right shift; all sign bits for a shift by the width or more."),
    _op("rotr", "a:int a -> a", "Rotate right by the amount modulo the width."),
    _op("clz", "a:int -> a", "Leading zero bits; the width for 0."),
    _op("ctz", "a:int -> a", "Trailing zero bits; the width for 0."),
    _op("popcnt", "a:int -> a", "Number of bits set."),
    _op("bitrev", "a:int -> a", "Bits in reverse order."),
    _op("bswap", "a:int -> a", "Bytes in reverse order (i16 and wider)."),
    _op("umin", "a:int a -> a", "Unsigned minimum."),
    _op("umax", "a:int a -> a", "Unsigned maximum."),
    _op("smin", "a:int a -> a", "Signed minimum."),
    _op("smax", "a:int a -> a", "Signed maximum."),
    _op("uaddsat", "a:int a -> a", "Unsigned sum, saturated."),
    _op("saddsat", "a:int a -> a", "Signed sum, saturated."),
    _op("usubsat", "a:int a -> a", "Unsigned difference, saturated."),
    _op("ssubsat", "a:int a -> a", "Signed difference, saturated."),
    _op("uaddo", "a:int a -> ?a", "Whether the unsigned sum overflows."),
    _op("saddo", "a:int a -> ?a", "Whether the signed sum overflows."),
    _op("ssubo", "a:int a -> ?a", "Whether the signed difference overflows."),
    # comparison and choice
    _op("eq", "a:int a -> ?a", "Equal."),
    _op("ne", "a:int a -> ?a", "Not equal."),
    _op("ult", "a:int a -> ?a", "Unsigned less than."),
    _op("ule", "a:int a -> ?a", "Unsigned less than or equal."),
    _op("slt", "a:int a -> ?a", "Signed less than."),
    _op("sle", "a:int a -> ?a", "Signed less than or equal."),
    _op("select", "c a:any a -> a", "The second operand where the first is 1, else the third; c is i1 or ?a."),
    _op("any", "a:int -> i1", "Whether any lane of a vector of i1 is 1."),
    # width and shape
    _op("zext", "a:int -> *", "Zero-extend each lane to the wider result type."),
    _op("sext", "a:int -> *", "Sign-extend each lane to the wider result type."),
    _op("trunc", "a:int -> *", "Low bits of each lane."),
    _op("bitcast", "a:any -> *", "The same bits (lane 0 lowest) as another type of equal size."),
    _op("splat", "a:num -> *", "A vector with the operand in every lane."),
    _op("extract", "a:any i64 -> e(a)", "Lane number `index` modulo the lane count."),
    _op("insert", "a:any e(a) i64 -> a", "The vector with lane `index` modulo the lane count replaced."),
    _op("shuffle", "a:any a -> *", "Lanes picked by `mask` from the operands laid end to end.", attrs="mask"),
    _op("table", "v16i8 v16i8 -> v16i8", "For each byte i of the second: the first's byte i, or 0 where i > 15."),
    _op("align", "v16i8 v16i8 i64 -> v16i8", "Bytes n to n + 15 of the operands laid end to end, for n modulo 16."),
    # checksums and ciphers; exactly: jit/evaluate_crypto.py.  a b c d and words: first in lane 0
    _op("crc32", "i32 a:int -> i32", "CRC-32, reflected, not inverted, of the first continued by the second's bytes."),
    _op("crc32c", "i32 a:int -> i32", "The same with Castagnoli's polynomial."),
    _op("clmul", "i64 i64 -> i128", "Carry-less product."),
    _op("aes_enc", "v16i8 -> v16i8", "AES ShiftRows and SubBytes; byte r + 4 c is row r, column c."),
    _op("aes_dec", "v16i8 -> v16i8", "AES InvShiftRows and InvSubBytes."),
    _op("aes_mix", "v16i8 -> v16i8", "AES MixColumns."),
    _op("aes_inv_mix", "v16i8 -> v16i8", "AES InvMixColumns."),
    _op("sha1_rounds", "v4i32 i32 v4i32 -> v4i32", "4 SHA-1 rounds on a b c d, e, words + constants.", "", "kind"),
    _op("sha256_abcd", "v4i32 v4i32 v4i32 -> v4i32", "4 SHA-256 rounds on a b c d, e f g h, words."),
    _op("sha256_efgh", "v4i32 v4i32 v4i32 -> v4i32", "New e f g h of the same."),
    _op("sha256_schedule0", "v4i32 v4i32 -> v4i32", "W0..W3 plus sigma0 of W1..W4, from W0..W3 and W4..W7."),
    _op("sha256_schedule1", "v4i32 v4i32 v4i32 -> v4i32", "W16..W19, from that and W8..W11 and W12..W15."),
    # floating point; bits are the IEEE format's, rounding is the current mode, sticky flags accumulate
    _op("fadd", "a:float a -> a", "Sum.  The host chooses: which NaN; underflow before or after rounding.", "fp"),
    _op("fsub", "a:float a -> a", "Difference; NaNs as fadd.", "fp"),
    _op("fmul", "a:float a -> a", "Product; NaNs as fadd.", "fp"),
    _op("fdiv", "a:float a -> a", "Quotient; NaNs as fadd.", "fp"),
    _op("fsqrt", "a:float -> a", "Square root; NaNs as fadd.", "fp"),
    _op("fma", "a:float a a -> a", "First times second plus third, rounded once; NaNs as fadd.", "fp"),
    _op("fext", "a:float -> *", "To a wider float type (exact); a NaN becomes quiet, keeping its upper payload.", "fp"),
    _op("ftrunc", "a:float -> *", "To a narrower float type, rounded; NaNs as fext.", "fp"),
    _op(
        "fcmp",
        "a:float a -> ?a",
        "Compare; pred: eq lt le (ordered and ...), uno (a NaN is among them), ueq (unordered or equal).  Invalid for "
        "signalling NaNs, with `signals` for any NaN.",
        "fp",
        "pred signals",
    ),
    _op(
        "fround",
        "a:float -> a",
        "To an integral value; mode: even up down zero, current (the current mode), exact (current, raises inexact). "
        "A NaN becomes quiet and keeps its payload.",
        "fp",
        "mode",
    ),
    _op(
        "ftoi",
        "a:float -> *",
        "Signed integer (i32, i64), rounded towards zero; for NaNs and out of range the minimum, and invalid.",
        "fp",
    ),
    _op("itof", "a:int -> *", "Signed integer to float, rounded (i32, i64).", "fp"),
    _op("utof", "a:int -> *", "Unsigned integer to float, rounded (i32, i64).", "fp"),
    _op("fp_flags", "-> i32", "Sticky flags: 1 invalid, 2 divide by zero, 4 overflow, 8 underflow, 16 inexact.", "fp"),
    _op("fp_set_flags", "i32 ->", "Replace the sticky flags (same bits).", "fp"),
    _op("fp_round", "-> i32", "The rounding mode, as fp_set_round takes it.", "fp"),
    _op("fp_set_round", "i32 ->", "Rounding mode: 0 nearest even, 1 up, 2 down, 3 towards zero.", "fp"),
    # CPU state
    _op("ldenv", "i64 -> *", "Load from the CPU state at a byte offset, a multiple of the size.", "env-read"),
    _op("stenv", "i64 a:any ->", "Store to the CPU state at a byte offset, a multiple of the size.", "env-write"),
    # host memory
    _op("ptradd", "ptr i64 -> ptr", "The address plus a signed byte offset."),
    _op("ptrtoint", "ptr -> i64", "The address as a number (for comparing; never made a pointer again)."),
    _op(
        "ld",
        "ptr -> *",
        "Little-endian load, any alignment; order acquire: aligned, later accesses stay behind.",
        "read",
        "order",
    ),
    _op(
        "st",
        "ptr a:any ->",
        "Little-endian store, any alignment; order release: aligned, earlier accesses and later acquires keep side.",
        "write",
        "order",
    ),
    _op(
        "cmpxchg",
        "ptr a:int a -> a",
        "Atomic: if memory equals the second, store the third; gives the old value.",
        "read write",
    ),
    _op("rmw", "ptr a:int -> a", "Atomic read-modify-write; gives the old value.", "read write", "kind"),
    _op(
        "fence",
        "->",
        "Barrier: full, acquire (loads before, all after) or release (all before, stores after).",
        "read write",
        "order",
    ),
    _op("relax", "->", "Tell the host that this loop waits for what another CPU does.", "read write"),
    # control
    _op("if", "i1 -> *", "Bodies `then` and `else`; their yields are the results.", "call", "likely"),
    _op("loop", "... -> *", "Body with carried values; repeats while its yielded condition holds.", "call"),
    _op("result", "a:any -> *", "Result number `index` of an if or loop.", attrs="index"),
    _op("carried", "-> *", "The loop's carried value number `index`.", attrs="index"),
    _op("call", "... -> *", "Call the runtime function `name`.", "call", "name"),
    _op(
        "callback",
        "... -> *",
        "Call the C function whose address the CPU state holds at `offset`.",
        "call",
        "name offset",
    ),
    _op(
        "run_code",
        "ptr ->",
        "Run placed host code until it returns (native only: how a C caller enters the code cache).",
        "call",
    ),
    _op("leave", "->", "Leave for continuation `name`; ends the body it stands in.", "exit", "name"),
    # terminals: exactly one, last in a function
    _op("next", "->", "Go on with the code behind this.", "exit"),
    _op("goto", "->", "Go on at continuation or branch target `name`.", "exit", "name"),
    _op("branch", "i1 ->", "Go on at `name` where the operand is 1, else with the code behind this.", "exit", "name"),
    _op("goto_ptr", "ptr ->", "Go on at host code.", "exit"),
    _op("ret", "... ->", "Return from a function.", "exit"),
]

OPS: dict[str, OpInfo] = {row.name: row for row in _ROWS}
TERMINALS = frozenset(("next", "goto", "branch", "goto_ptr", "ret"))
RMW_KINDS = ("xchg", "add", "and", "or", "xor", "smax", "smin", "umax", "umin")
