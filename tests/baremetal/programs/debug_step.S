// Software step: each instruction of a piece of code gives one exception, at EL0 and, with KDE, at EL1.
        .include "runtime.S"
        .include "debug.S"

main:
        str     x30, [sp, #-16]!
        msr     oslar_el1, xzr
        isb
        SET_HOOK step_hook
        bl      el0
        bl      el0_faults
        bl      el1
        bl      across
        bl      off
        ldr     x30, [sp], #16
        ret
        .ltorg

// Logs a step exception and lets the next instruction be stepped.
step_hook:
        str     x30, [sp, #-16]!
        ldr     x2, [x0, #FRAME_ESR]
        lsr     x3, x2, #26
        and     x3, x3, #0x3e
        cmp     x3, #0x32
        b.ne    1f
        ldr     x3, [x0, #FRAME_SPSR]
        orr     x3, x3, #SPSR_SS
        mov     x19, x0
        mov     x26, x3
        bl      log_exception
        LOG     "\n"
        ADDR    x2, caught
        str     wzr, [x2]
        str     x26, [x19, #FRAME_SPSR]
        mov     x0, #0
        b       2f
1:      msr     mdscr_el1, xzr                  // any other exception ends the stepping
        mov     x0, #1
2:      ldr     x30, [sp], #16
        ret

// TRY at EL0 with SPSR.SS as given and MDSCR.SS set.
.macro  STEP0   name, state, code, pstate=PSTATE_EL0
        WRITE   mdscr_el1, MDSCR_SS
        ADDR    x9, el0_pstate
        LI      x10, \pstate | (\state)
        str     x10, [x9]
        TRY0    "\name", "\code"
        WRITE   mdscr_el1, 0
.endm

el0:
        str     x30, [sp, #-16]!
        ADDR    x11, words
        STEP0   "EL0 nops", SPSR_SS, "nop; nop; nop"
        STEP0   "EL0 SS=0", 0, "nop; nop"
        STEP0   "EL0 branches", SPSR_SS, "b 1f; nop; 1: cbz xzr, 2f; nop; 2: cbnz xzr, 2b; adr x9, 3f; br x9; nop; 3: nop"
        STEP0   "EL0 bl ret", SPSR_SS, "bl 1f; b 2f; 1: ret; 2: nop"
        STEP0   "EL0 flags", SPSR_SS, "mov x9, #0; cmp x9, #1; nop"
        STEP0   "EL0 loop", SPSR_SS, "mov x9, #2; 1: subs x9, x9, #1; b.ne 1b"
        STEP0   "EL0 exclusive", SPSR_SS, "clrex; nop"
        STEP0   "EL0 hints", SPSR_SS, "yield; isb; sev"
        STEP0   "EL0 D=0", SPSR_SS, "nop", 0x1c0
        ldr     x30, [sp], #16
        ret
        .ltorg

// An instruction that is stepped and takes an exception of its own.
el0_faults:
        str     x30, [sp, #-16]!
        STEP0   "EL0 svc", SPSR_SS, "nop; svc #1"
        STEP0   "EL0 brk", SPSR_SS, "brk #1"
        STEP0   "EL0 undefined", SPSR_SS, ".inst 0"
        STEP0   "EL0 abort", SPSR_SS, "mov x9, #1 << 52; ldr x9, [x9]"
        STEP0   "EL0 pc", SPSR_SS, "adr x9, . + 6; br x9"
        STEP0   "EL0 illegal", SPSR_SS | (1 << 20), "nop"
        ldr     x30, [sp], #16
        ret
        .ltorg

// An ERET of EL1 to EL1 starts stepping there.
.macro  STEP1   name, mdscr, state, code
        WRITE   mdscr_el1, \mdscr
        TRY_BEGIN "\name"
        adr     x9, 10f
        msr     elr_el1, x9
        LI      x9, \state
        msr     spsr_el1, x9
        eret
10:     \code
        msr     daifset, #8
        TRY_END
        msr     daifset, #8
        WRITE   mdscr_el1, 0
.endm
el1:
        str     x30, [sp, #-16]!
        ADDR    x11, words
        STEP1   "EL1 KDE D=0", MDSCR_SS | MDSCR_KDE, 0x1c5 | SPSR_SS, "nop; nop"
        STEP1   "EL1 KDE D=0 SS=0", MDSCR_SS | MDSCR_KDE, 0x1c5, "nop; nop"
        STEP1   "EL1 KDE D=1", MDSCR_SS | MDSCR_KDE, 0x3c5 | SPSR_SS, "nop; nop"
        STEP1   "EL1 no KDE", MDSCR_SS, 0x1c5 | SPSR_SS, "nop; nop"
        STEP1   "EL1t KDE D=0", MDSCR_SS | MDSCR_KDE, 0x1c4 | SPSR_SS, "nop; msr spsel, #1"
        STEP1   "EL1 exclusive", MDSCR_SS | MDSCR_KDE, 0x1c5 | SPSR_SS, "ldxr x9, [x11]; stxr w10, x9, [x11]; ldaxp x9, x10, [x11]; nop"
        STEP1   "EL1 svc", MDSCR_SS | MDSCR_KDE, 0x1c5 | SPSR_SS, "nop; svc #1"
        msr     spsel, #1
        STEP1   "EL1 abort", MDSCR_SS | MDSCR_KDE, 0x1c5 | SPSR_SS, "mov x9, #1 << 52; ldr x9, [x9]"
        STEP1   "EL1 D set", MDSCR_SS | MDSCR_KDE, 0x1c5 | SPSR_SS, "nop; msr daifset, #8; nop; nop"
        ldr     x30, [sp], #16
        ret
        .ltorg

// Unmasking D without an exception return: PSTATE.SS is 0, so that the next instruction is not run first.
across:
        str     x30, [sp, #-16]!
        WRITE   mdscr_el1, MDSCR_SS | MDSCR_KDE
        TRY     "D unmasked", "msr daifclr, #8; isb; nop; msr daifset, #8"
        WRITE   mdscr_el1, 0
        ldr     x30, [sp], #16
        ret
        .ltorg

// With the OS lock nothing is stepped.
off:
        str     x30, [sp, #-16]!
        mov     x9, #1
        msr     oslar_el1, x9
        isb
        CLEAR_HOOK
        STEP0   "OS lock", SPSR_SS, "nop"
        msr     oslar_el1, xzr
        isb
        ldr     x30, [sp], #16
        ret
        .ltorg

        .bss
        .balign 16
words:  .skip   16
