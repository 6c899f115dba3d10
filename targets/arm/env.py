"""The CPU state of one Arm vCPU: the one table that lifter, runtime, debugger, snapshots and tests use.

X registers come first: x[31] is the current stack pointer, `zero` is what ZR reads as (always 0) and `sink` is where
writes to ZR go, so a register number in an instruction is one byte offset whatever it means.
"""

from __future__ import annotations

from jit import softfma
from jit.layout import Layout
from jit.types import I8, I32, I64, I128, PTR
from targets.arm.gic_state import BITMAPS, WORDS

SP_INDEX = 31

# Runtime code that stencils reach through a pointer in the state: continuations (tail calls) and functions.
CONTINUATIONS = (
    "lookup", "exit", "attention", "take_exception", "exception_return", "translate", "data_fault", "undefined_insn",
    "resync", "link_hit",
)  # fmt: skip
FUNCTIONS = (
    "slow_load", "slow_store", "slow_probe", "load_elements", "store_elements", "fetch_fill", "set_regime",
    "address_translate", "probe_address", "note_write", "tlbi_all", "tlbi_asid", "tlbi_va", "tlbi_va_all_asid",
    "regime_changed", "set_privilege", "mode_changed", "breakpoint_hit", "debug_changed", "request", "catch_up",
    "maintenance_done", "send_event", "wait_for_event",
    "timer_written", "gic_update", "gic_acknowledge", "gic_end", "gic_deactivate", "gic_send_sgi", "gic_best",
    "interrupt_poll",
)  # fmt: skip
_F4 = ("f32", "f64", "v4f32", "v2f64")
# targets/arm/fp_runtime.py: those that stencils call
FP_FUNCTIONS = (
    "fp_raise", "fp_half", "fp_narrow_odd", "fp_recip_estimate", "fp_rsqrt_estimate", "fpx_ftrunc_f64", "fp_narrow_f64",
    "fp_narrow_v2f64",
    *(f"fp_{op}_{t}" for t in _F4 for op in ("nan2", "num2", "fmul", "fma", "flush")),
    *(f"fp_to_{n}_{t}" for t in ("f32", "f64") for n in ("s32", "u32", "s64", "u64")),
    "fp_to_s32_v4f32", "fp_to_u32_v4f32", "fp_to_s64_v2f64", "fp_to_u64_v2f64",
    *(f"fpx_{op}_{t}" for t in ("f32", "f64") for op in ("fadd", "fsub", "fmul", "fdiv", "fsqrt", "fma")),
    *(f"fp_{op}_{t}" for t in ("f32", "f64") for op in ("fmulx", "frecps", "frsqrts", "frecpe", "frsqrte", "frecpx")),
)  # fmt: skip
FUNCTIONS += FP_FUNCTIONS + softfma.NAMES
# C functions that native code may call: the vCPU's, for rare things, and those of the host's C library.
HOST_FUNCTIONS = ("clock_gettime", "usleep")
# Functions of the translator that native code may call, by jit/stitch.py's names; the first argument is its state.
STITCHER_FUNCTIONS = {"stitch": "stitch", "drop": "stitch_drop"}
CALLBACKS = (
    *HOST_FUNCTIONS,
    *STITCHER_FUNCTIONS,
    "mmio_read",
    "mmio_write",
    "sysreg_read",
    "sysreg_write",
    "event",
    "code_write",
    "resolve",
    "publish",  # of the host: code was written (start, end)
)

_ROWS = [
    ("x", I64, 32),
    ("zero", I64, 1),
    ("sink", I64, 1),
    # condition flags, one byte each, 0 or 1
    ("nf", I8, 1),
    ("zf", I8, 1),
    ("cf", I8, 1),
    ("vf", I8, 1),
    # the rest of PSTATE, one byte each: interrupt masks as D A I F = bits 3..0, current EL, stack selection
    ("daif", I8, 1),
    ("el", I8, 1),
    ("spsel", I8, 1),
    ("pan", I8, 1),
    ("ss", I8, 1),
    ("il", I8, 1),
    ("uao", I8, 1),
    ("dit", I8, 1),
    # where the CPU is: pc = pc_base + pc_off inside a block; `pc` whenever it is outside one
    ("pc", I64, 1),
    ("pc_base", I64, 1),
    ("pc_off", I32, 1),
    # non-zero: something waits at the next block head (interrupt, stop, single step)
    ("attn", I32, 1),
    ("irq_lines", I32, 1),  # bit 0 IRQ, bit 1 FIQ
    ("exit_reason", I32, 1),  # targets/arm/exits.py
    ("stop_request", I32, 1),  # set with attn by whoever wants the vCPU back in Python
    ("trace", I32, 1),  # what is reported through callback `event`: targets/arm/trace.py
    ("event_register", I32, 1),  # what WFE waits for: set by SEV, SEVL and ERET
    ("wfe_pauses", I32, 1),  # how often in a row WFE slept without an event
    # under -icount: instructions left until Python has to look, and how many there will have been by then
    ("icount_on", I32, 1),
    ("icount_left", I64, 1),
    ("icount_end", I64, 1),
    ("icount_shift", I64, 1),  # 1 << icount_shift ns an instruction
    # several CPUs: see smp.py
    ("peers", I32, 1),  # how many others the machine has; 0: all else here is unused
    ("running", I32, 1),  # 1: in native code, callbacks from it included
    ("asleep", I32, 1),  # 1: the machine lets this CPU sleep in WFE
    ("shared", PTR, 1),  # memory that the CPUs share
    ("log_done", I64, 1),  # how much of the log of requests has been applied
    ("log_issued", I64, 1),  # not 0: DSB has to wait until all CPUs have applied so much of it
    ("waiting", I32, 1),  # its thread sleeps in the machine, or is about to
    # software step: an instruction is being stepped; ISV and EX of the next step exception's syndrome
    ("stepping", I32, 1),
    ("step_iss", I32, 1),
    ("v", I128, 32),
    # floating point: FPCR as written; FPSR.QC; the cumulative flags live in the host's control register while code runs
    ("fpcr", I64, 1),
    ("fpsr", I64, 1),
    ("qc", I64, 1),
    # soft TLB of the present address space and privilege (see targets/arm/mmu.py)
    ("tlb", PTR, 1),
    ("tlb_unpriv", PTR, 1),
    ("xtlb", PTR, 1),
    ("code_base", PTR, 1),  # the code cache: where it runs, and where it is written
    ("code_written", PTR, 1),
    ("stitcher", PTR, 1),  # the state of what puts blocks together here; null where Python has to
    ("idle_stores", I64, 1),  # stores to pages that had code, and have none now
    ("link_place", I64, 1),  # the branch whose link is being run
    # a memory access on its slow path: result or value, and what the fault was
    ("scratch", I128, 4),
    ("elements", I128, 5),  # up to 64 bytes of several elements, and room for what is copied too much
    ("fault_va", I64, 1),
    ("fault_esr", I64, 1),
    ("exc_class", I32, 1),
    # exclusive monitor: address (all ones: none), size in bytes, the value that was read
    ("excl_addr", I64, 1),
    ("excl_size", I64, 1),
    ("excl_value", I128, 1),
    # memory map and TLB store, set up once
    ("ram_base", I64, 1),
    ("ram_size", I64, 1),
    ("ram_host", PTR, 1),
    ("ram_flags", PTR, 1),
    ("dirs", PTR, 1),  # directories of all modes, dir_bytes each
    ("dir_bytes", I64, 1),
    ("step_mode", I64, 1),  # 4 while software step is active at the present EL (Mode.step), else 0
    ("page_dir", PTR, 2),  # per EL: pointers to entry tables by RAM page
    ("empty_table", PTR, 1),  # an entry table without code
    # set by the machine, see init_env in targets/arm/mmu.py
    ("pa_bits", I64, 1),  # width of physical addresses
    ("granules", I64, 1),
    ("flat", I8, 1),  # 1: with the MMU off, memory is Normal, so misaligned accesses don't fault
    ("watch_active", I8, 1),  # 1: data accesses take the slow path and call watch_check
    ("bus_fault", I8, 1),  # set by mmio_read and mmio_write: nothing answers
    ("walk_abort", I8, 1),
    ("access_fault", I8, 1),
    ("access_pa", I64, 1),
    ("code_lines", PTR, 1),  # 0, or a bit for each 64 bytes that hold code: 64 bits a RAM page
    ("slots", PTR, 1),
    ("low_global", I64, 1),  # a bit for each slot with global entries in the lower half
    ("slot", I64, 1),
    ("slot_asid", I64, 16),
    ("slot_clock", I64, 1),
    ("slot_used", I64, 16),
    ("slot_large", I64, 32),
    ("timespec", I64, 2),
    ("called_at", I64, 2),  # the host's clock when native code called back last
    ("trace_more", I64, 2),  # what a report has beside its value
    # timers: where each one's interrupt goes, what is due next (a count), when Python looks without being asked, and
    # whether it has something to tell
    ("timer_ppi", I32, 2),
    ("timer_next", I64, 1),
    ("timer_alarm", I64, 1),
    ("timer_due", I32, 1),
    # interrupt controller (targets/arm/gic_state.py): what all CPUs share, this one's number, private interrupts, which
    # shared interrupts are sent here
    ("gic", PTR, 1),
    ("gic_index", I32, 1),
    *((f"gic_{name}", I32, 1) for name in BITMAPS),
    ("gic_priority", I8, 32),
    ("gic_targets", I32, WORDS),
    # version 2: who sent each SGI; physical addresses of the CPU interface and of GICD_SGIR, 0 for none
    ("gic_sources", I8, 16),
    ("gicc_at", I64, 1),
    ("gicd_sgir_at", I64, 1),
    # its CPU interface: enabled groups, active priorities by group
    ("icc_groups", I64, 1),
    ("icc_apr", I128, 2),
    ("icc_pmr", I64, 1),
    ("icc_bpr0", I64, 1),
    ("icc_bpr1", I64, 1),
    ("icc_ctlr", I64, 1),
    # counters for -d stats
    ("n_tlb_miss", I64, 1),
    ("n_fetch_miss", I64, 1),
    ("n_exception", I64, 1),
    ("n_lookup", I64, 1),
    ("n_request", I64, 1),  # to other CPUs, of which DSB waited so many times for so many ns
    ("n_dsb_wait", I64, 1),
    ("dsb_wait_ns", I64, 1),
    # system registers (EL1 and EL0); see targets/arm/sysregs.py
    ("sp_el0", I64, 1),
    ("sp_el1", I64, 1),
    ("elr_el1", I64, 1),
    ("spsr_el1", I64, 1),
    ("esr_el1", I64, 1),
    ("far_el1", I64, 1),
    ("vbar_el1", I64, 1),
    ("sctlr_el1", I64, 1),
    ("actlr_el1", I64, 1),
    ("cpacr_el1", I64, 1),
    ("ttbr0_el1", I64, 1),
    ("ttbr1_el1", I64, 1),
    ("tcr_el1", I64, 1),
    ("mair_el1", I64, 1),
    ("amair_el1", I64, 1),
    ("afsr0_el1", I64, 1),
    ("afsr1_el1", I64, 1),
    ("par_el1", I64, 1),
    ("contextidr_el1", I64, 1),
    ("tpidr_el0", I64, 1),
    ("tpidrro_el0", I64, 1),
    ("tpidr_el1", I64, 1),
    ("cntkctl_el1", I64, 1),
    ("cntfrq_el0", I64, 1),
    ("cntv_ctl_el0", I64, 1),
    ("cntv_cval_el0", I64, 1),
    ("cntp_ctl_el0", I64, 1),
    ("cntp_cval_el0", I64, 1),
    ("cntvoff", I64, 1),
    ("cnt_base", I64, 1),
    ("csselr_el1", I64, 1),
    ("mdscr_el1", I64, 1),
    ("oslsr", I64, 1),
    ("osdtrrx_el1", I64, 1),
    ("osdtrtx_el1", I64, 1),
    ("oseccr_el1", I64, 1),
    ("mdccint_el1", I64, 1),
    ("osdlr_el1", I64, 1),
    ("dbgclaim", I64, 1),
    ("dbgbvr", I64, 16),
    ("dbgbcr", I64, 16),
    ("dbgwvr", I64, 16),
    ("dbgwcr", I64, 16),
    ("midr_el1", I64, 1),
    ("mpidr_el1", I64, 1),
    ("revidr_el1", I64, 1),
    ("aidr_el1", I64, 1),
    ("rvbar_el1", I64, 1),
    ("ctr_el0", I64, 1),
    ("dczid_el0", I64, 1),
    ("clidr_el1", I64, 1),
    ("ccsidr_el1", I64, 16),  # by CSSELR_EL1: level - 1 and instruction side
    ("dbgprcr_el1", I64, 1),
    ("feature_ids", I64, 64),  # the ID space op0 = 3, op1 = 0, CRn = 0 by CRm * 8 + op2
    *((f"rt_{name}", PTR, 1) for name in CONTINUATIONS + FUNCTIONS),
    *((f"cb_{name}", PTR, 1) for name in CALLBACKS),
]

ENV = Layout(_ROWS)
SLOTS = {name: ENV[f"rt_{name}"].offset for name in CONTINUATIONS + FUNCTIONS}
CALLBACK_AT = {name: ENV[f"cb_{name}"].offset for name in CALLBACKS}
