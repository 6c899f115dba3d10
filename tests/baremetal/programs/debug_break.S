// BRK, hardware breakpoints and watchpoints, the OS lock.
        .include "runtime.S"
        .include "debug.S"

.macro  BREAK0  name, control, code             // the breakpoint is at the label 11 of the code
        adr     x9, 11f
        msr     dbgbvr0_el1, x9
        WRITE   dbgbcr0_el1, \control
        TRY0    "\name", "\code"
        msr     dbgbcr0_el1, xzr
        isb
.endm
.macro  BREAK1  name, control, code
        adr     x9, 11f
        msr     dbgbvr0_el1, x9
        WRITE   dbgbcr0_el1, \control
        TRY     "\name", "msr daifclr, #8; \code"
        msr     daifset, #8
        msr     dbgbcr0_el1, xzr
        isb
.endm

main:
        str     x30, [sp, #-16]!
        LOG     "reset"
        mrs     x9, oslsr_el1
        SHOW    "oslsr", x9
        mrs     x9, mdscr_el1
        SHOW    "mdscr", x9
        NL
        msr     oslar_el1, xzr
        isb
        mrs     x9, oslsr_el1
        LOG     "unlocked"
        SHOW    "oslsr", x9
        NL
        WRITE   mdscr_el1, MDSCR_MDE
        bl      breakpoints_el0
        bl      breakpoints_el1
        bl      linked
        bl      locks
        ldr     x30, [sp], #16
        ret
        .ltorg

breakpoints_el0:
        str     x30, [sp, #-16]!
        BREAK0  "EL0 bp", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: nop; nop"
        BREAK0  "EL0 bp at once", DBG_E | DBG_EL0 | BCR_WORD, "11: nop"
        BREAK0  "EL0 bp both", DBG_E | DBG_BOTH | BCR_WORD, "nop; 11: nop; nop"
        BREAK0  "EL0 bp EL1 only", DBG_E | DBG_EL1 | BCR_WORD, "nop; 11: nop; nop"
        BREAK0  "EL0 bp off", DBG_EL0 | BCR_WORD, "nop; 11: nop; nop"
        BREAK0  "EL0 bp on svc", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: svc #5"
        BREAK0  "EL0 bp on brk", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: brk #5"
        BREAK0  "EL0 bp on undefined", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: .inst 0"
        BREAK0  "EL0 bp target", DBG_E | DBG_EL0 | BCR_WORD, "b 11f; nop; 11: nop"
        BREAK0  "EL0 bp not reached", DBG_E | DBG_EL0 | BCR_WORD, "b 1f; 11: nop; 1: nop"
        BREAK0  "EL0 bp in loop", DBG_E | DBG_EL0 | BCR_WORD, "mov x9, #3; 1: subs x9, x9, #1; b.ne 1b; 11: nop"
        WRITE   mdscr_el1, 0
        BREAK0  "EL0 bp no MDE", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: nop; nop"
        WRITE   mdscr_el1, MDSCR_MDE
        ldr     x30, [sp], #16
        ret
        .ltorg

breakpoints_el1:
        str     x30, [sp, #-16]!
        BREAK1  "EL1 bp no KDE", DBG_E | DBG_EL1 | BCR_WORD, "nop; 11: nop; nop"
        WRITE   mdscr_el1, MDSCR_MDE | MDSCR_KDE
        BREAK1  "EL1 bp", DBG_E | DBG_EL1 | BCR_WORD, "nop; 11: nop; nop"
        BREAK1  "EL1 bp both", DBG_E | DBG_BOTH | BCR_WORD, "nop; 11: nop; nop"
        BREAK1  "EL1 bp EL0 only", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: nop; nop"
        BREAK1  "EL1 bp D=1", DBG_E | DBG_EL1 | BCR_WORD, "msr daifset, #8; 11: nop; nop"
        BREAK1  "EL1 bp again", DBG_E | DBG_EL1 | BCR_WORD, "mov x9, #2; 1: cbz x9, 11f; sub x9, x9, #1; b 1b; 11: nop"
        // Setting one for code that has run already, and taking it away again.
        mov     x21, #3
2:      adr     x9, 11f
        msr     dbgbvr0_el1, x9
        mov     x9, #(DBG_E | DBG_EL1 | BCR_WORD)
        tst     x21, #1
        csel    x9, x9, xzr, ne
        msr     dbgbcr0_el1, x9
        isb
        TRY     "EL1 toggled", "msr daifclr, #8; nop; 11: nop; msr daifset, #8"
        msr     daifset, #8
        subs    x21, x21, #1
        b.ne    2b
        WRITE   dbgbcr0_el1, 0
        WRITE   mdscr_el1, MDSCR_MDE
        ldr     x30, [sp], #16
        ret
        .ltorg

// Breakpoint 0 linked to the context breakpoint 4 or 5 (the last ones compare CONTEXTIDR_EL1); another model has others.
linked:
        str     x30, [sp, #-16]!
        WRITE   dbgbvr4_el1, 0x1234
        WRITE   dbgbcr4_el1, DBG_E | DBG_EL0 | BCR_WORD | (3 << 20)
        WRITE   contextidr_el1, 0x1234
        BREAK0  "linked, same context", DBG_E | DBG_EL0 | BCR_WORD | (1 << 20) | (4 << 16), "nop; 11: nop"
        WRITE   contextidr_el1, 0x1235
        BREAK0  "linked, other context", DBG_E | DBG_EL0 | BCR_WORD | (1 << 20) | (4 << 16), "nop; 11: nop"
        WRITE   dbgbcr4_el1, 0
        WRITE   contextidr_el1, 0
        ldr     x30, [sp], #16
        ret
        .ltorg

locks:
        str     x30, [sp, #-16]!
        WRITE   oslar_el1, 1
        mrs     x9, oslsr_el1
        LOG     "locked"
        SHOW    "oslsr", x9
        NL
        BREAK0  "EL0 bp OS lock", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: nop; nop"
        TRY0    "EL0 brk OS lock", "brk #3"
        TRY     "EL1 brk OS lock", "brk #3"
        WRITE   oslar_el1, 0
        BREAK0  "EL0 bp unlocked", DBG_E | DBG_EL0 | BCR_WORD, "nop; 11: nop; nop"
        WRITE   osdlr_el1, 1
        mrs     x9, osdlr_el1
        LOG     "double lock"
        SHOW    "osdlr", x9
        NL
        WRITE   osdlr_el1, 0
        ldr     x30, [sp], #16
        ret
        .ltorg
