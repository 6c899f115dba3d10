// What EL0 is allowed to do, with each control bit of EL1 clear and set: SCTLR, CPACR, CNTKCTL, MDSCR.
        .include "runtime.S"

        .set    SCTLR_RES1, 0x30d00800
        .set    UMA,    1 << 9
        .set    DZE,    1 << 14
        .set    UCT,    1 << 15
        .set    NTWI,   1 << 16
        .set    NTWE,   1 << 18
        .set    UCI,    1 << 26

.macro  SCTLR   bits:vararg
        LI      x20, SCTLR_RES1 | \bits
        msr     sctlr_el1, x20
        isb
.endm

.macro  WRITE   sysreg, value
        mov     x20, #\value
        msr     \sysreg, x20
        isb
.endm

main:
        str     x30, [sp, #-16]!
        bl      caches
        bl      waiting
        bl      masks
        bl      floating_point
        bl      timers
        bl      debug
        bl      other_levels
        ldr     x30, [sp], #16
        ret

.macro  CACHE_OPS where
        TRY0    "\where mrs ctr", "mrs x3, ctr_el0"
        TRY0    "\where mrs dczid", "mrs x17, dczid_el0; and x17, x17, #0x10"
        SHOW    "x17", x17
        NL
        TRY0    "\where dc zva", "dc zva, x11"
        TRY0    "\where dc cvac", "dc cvac, x11"
        TRY0    "\where dc cvau", "dc cvau, x11"
        TRY0    "\where dc civac", "dc civac, x11"
        TRY0    "\where ic ivau", "ic ivau, x11"
        TRY     "\where EL1 dc cvac", "dc cvac, x11"
        TRY     "\where EL1 ic ivau", "ic ivau, x11"
        TRY     "\where EL1 mrs ctr", "mrs x3, ctr_el0"
.endm
// DC ZVA itself needs Normal memory (the MMU on) to succeed; here only who may try is of interest.
caches:
        str     x30, [sp, #-16]!
        ADDR    x11, arena
        SCTLR   0
        CACHE_OPS "none"
        SCTLR   UCT
        CACHE_OPS "UCT"
        SCTLR   UCI
        CACHE_OPS "UCI"
        SCTLR   UCT | UCI
        TRY0    "dc ivac", "dc ivac, x11"
        TRY0    "dc isw", "dc isw, xzr"
        TRY0    "dc csw", "dc csw, xzr"
        TRY0    "dc cisw", "dc cisw, xzr"
        TRY0    "ic iallu", "ic iallu"
        TRY0    "ic ialluis", "ic ialluis"
        TRY0    "tlbi vmalle1", "tlbi vmalle1"
        TRY0    "at s1e0r", "at s1e0r, x11"
        TRY     "EL1 dc ivac", "dc ivac, x11"
        TRY     "EL1 dc isw", "dc isw, xzr"
        TRY     "EL1 dc csw", "dc csw, xzr"
        TRY     "EL1 dc cisw", "dc cisw, xzr"
        TRY     "EL1 ic iallu", "ic iallu"
        TRY     "EL1 ic ialluis", "ic ialluis"
        TRY     "EL1 tlbi vmalle1", "tlbi vmalle1"
        TRY     "EL1 tlbi alle1", "tlbi alle1"
        TRY     "EL1 tlbi alle2", "tlbi alle2"
        TRY     "EL1 tlbi alle3", "tlbi alle3"
        TRY     "EL1 tlbi ipas2e1", "tlbi ipas2e1, x11"
        TRY     "EL1 at s12e1r", "at s12e1r, x11"
        TRY     "EL1 at s1e2r", "at s1e2r, x11"
        TRY     "EL1 sys unallocated", "sys #0, c7, c2, #0, x11"
        SCTLR   0
        ldr     x30, [sp], #16
        ret

// A trapped WFI must not wait.  WFE is a hint which never waits here, so that nTWE has nothing to trap.
waiting:
        str     x30, [sp, #-16]!
        SCTLR   0
        TRY0    "nTWI=0 wfi", "wfi"
        TRY0    "nTWE=0 sev, wfe", "sevl; wfe"
        TRY0    "hints", "nop; yield; sev; sevl; hint #0x3f"
        SCTLR   NTWI | NTWE
        TRY0    "nTWE=1 sev, wfe", "sevl; wfe"
        SCTLR   0
        ldr     x30, [sp], #16
        ret

masks:
        str     x30, [sp, #-16]!
        SCTLR   0
        TRY0    "UMA=0 mrs daif", "mrs x5, daif"
        TRY0    "UMA=0 msr daif", "msr daif, x6"
        TRY0    "UMA=0 daifset", "msr daifset, #2"
        TRY0    "UMA=0 daifclr", "msr daifclr, #15"
        SCTLR   UMA
        mov     x6, #0x3c0
        TRY0    "UMA=1 mrs daif", "mrs x5, daif"
        SHOW    "x5", x5
        NL
        TRY0    "UMA=1 msr daif", "msr daif, x6"
        TRY0    "UMA=1 daifset", "msr daifset, #2"
        TRY0    "UMA=1 daifclr", "msr daifclr, #8; svc #0"
        SCTLR   0
        ldr     x30, [sp], #16
        ret

.macro  FP_OPS  where
        TRY0    "\where EL0 fmov", "fmov d1, xzr"
        TRY0    "\where EL0 mrs fpcr", "mrs x9, fpcr"
        TRY0    "\where EL0 msr fpsr", "msr fpsr, xzr"
        TRY0    "\where EL0 ldr q", "ldr q0, [x11]"
        TRY0    "\where EL0 ld1", "ld1 {v0.16b}, [x11]"
        TRY0    "\where EL0 aese", "aese v0.16b, v1.16b"
        TRY0    "\where EL0 undefined fp", ".inst 0x1ea02000"
        TRY     "\where EL1 fadd", "fadd s0, s1, s2"
        TRY     "\where EL1 mrs fpsr", "mrs x9, fpsr"
        TRY     "\where EL1 str s", "str s0, [x11]"
        TRY     "\where EL1 dup", "dup v0.4s, w1"
        TRY     "\where EL1 nofp", "crc32w w1, w2, w3"
        TRY     "\where EL1 undefined fp", ".inst 0x1ea02000"
.endm
floating_point:
        str     x30, [sp, #-16]!
        ADDR    x11, arena
        WRITE   cpacr_el1, 0
        FP_OPS  "FPEN=0"
        WRITE   cpacr_el1, 0x100000
        FP_OPS  "FPEN=1"
        WRITE   cpacr_el1, 0x200000
        FP_OPS  "FPEN=2"
        WRITE   cpacr_el1, 0x300000
        FP_OPS  "FPEN=3"
        WRITE   cpacr_el1, 0
        ldr     x30, [sp], #16
        ret

.macro  TIMER_OPS where
        TRY0    "\where cntfrq", "mrs x4, cntfrq_el0"
        TRY0    "\where cntvct", "mrs x5, cntvct_el0"
        TRY0    "\where cntpct", "mrs x6, cntpct_el0"
        TRY0    "\where cntv_ctl", "mrs x7, cntv_ctl_el0"
        TRY0    "\where msr cntv_ctl", "msr cntv_ctl_el0, xzr"
        TRY0    "\where cntv_cval", "mrs x8, cntv_cval_el0"
        TRY0    "\where msr cntv_tval", "msr cntv_tval_el0, xzr"
        TRY0    "\where cntp_ctl", "mrs x9, cntp_ctl_el0"
        TRY0    "\where msr cntp_cval", "msr cntp_cval_el0, x10"
        TRY0    "\where cntp_tval", "mrs x12, cntp_tval_el0"
        TRY     "\where EL1 cntpct", "mrs x9, cntpct_el0"
        TRY     "\where EL1 cntp_ctl", "mrs x9, cntp_ctl_el0"
.endm
timers:
        str     x30, [sp, #-16]!
        WRITE   cntkctl_el1, 0
        TIMER_OPS "cntkctl=0"
        TRY0    "msr cntfrq", "msr cntfrq_el0, x9"
        TRY0    "mrs cntkctl", "mrs x9, cntkctl_el1"
        TRY     "EL1 msr cntfrq", "msr cntfrq_el0, x9"
        TRY     "EL1 msr cntvct", ".inst 0xd51be049"
        TRY     "EL1 cntvoff", "mrs x9, cntvoff_el2"
        TRY     "EL1 cnthctl", "mrs x9, cnthctl_el2"
        WRITE   cntkctl_el1, 1
        TIMER_OPS "PCTEN"
        WRITE   cntkctl_el1, 2
        TIMER_OPS "VCTEN"
        WRITE   cntkctl_el1, 0x100
        TIMER_OPS "VTEN"
        WRITE   cntkctl_el1, 0x200
        TIMER_OPS "PTEN"
        WRITE   cntkctl_el1, 0x303
        TIMER_OPS "all"
        WRITE   cntkctl_el1, 0
        ldr     x30, [sp], #16
        ret

debug:
        str     x30, [sp, #-16]!
        WRITE   mdscr_el1, 0
        TRY0    "TDCC=0 mdccsr", "mrs x9, mdccsr_el0"
        WRITE   mdscr_el1, 0x1000
        TRY0    "TDCC=1 mdccsr", "mrs x9, mdccsr_el0"
        TRY     "TDCC=1 EL1 mdccsr", "mrs x9, mdccsr_el0"
        WRITE   mdscr_el1, 0
        TRY0    "mrs mdscr", "mrs x9, mdscr_el1"
        TRY0    "msr oslar", "msr oslar_el1, xzr"
        TRY0    "msr dbgbvr0", "msr dbgbvr0_el1, xzr"
        ldr     x30, [sp], #16
        ret

// EL2 and EL3 do not exist here; writes to read-only and reads of write-only registers are undefined.
other_levels:
        str     x30, [sp, #-16]!
        TRY     "mrs hcr_el2", "mrs x9, hcr_el2"
        TRY     "mrs vbar_el2", "mrs x9, vbar_el2"
        TRY     "mrs sctlr_el2", "mrs x9, sctlr_el2"
        TRY     "mrs elr_el2", "mrs x9, elr_el2"
        TRY     "mrs scr_el3", "mrs x9, scr_el3"
        TRY     "mrs sctlr_el3", "mrs x9, sctlr_el3"
        TRY     "mrs vbar_el3", "mrs x9, vbar_el3"
        TRY     "msr midr", ".inst 0xd5180009"
        TRY     "msr id_aa64pfr0", ".inst 0xd5180409"
        TRY     "msr mpidr", ".inst 0xd51800a9"
        TRY     "msr isr", ".inst 0xd518c109"
        TRY     "msr ctr", ".inst 0xd51b0029"
        TRY     "mrs oslar", ".inst 0xd5301089"
        TRY     "mrs s3_0_c2_c6_7", "mrs x9, s3_0_c2_c6_7"
        TRY     "mrs s3_3_c2_c0_0", "mrs x9, s3_3_c2_c0_0"
        TRY     "mrs s2_7_c15_c15_7", "mrs x9, s2_7_c15_c15_7"
        TRY     "id space s3_0_c0_c7_7", "mrs x9, s3_0_c0_c7_7"
        SHOW    "x9", x9
        NL
        ldr     x30, [sp], #16
        ret

        .section .arena, "aw", %nobits
arena:  .skip   0x1000
