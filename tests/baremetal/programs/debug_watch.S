// Watchpoints: kind of access, bytes selected, masks, levels; FAR and ESR of what is reported.
        .include "runtime.S"
        .include "debug.S"

.macro  WATCH   address, control:vararg         // loses x9
        msr     dbgwvr0_el1, \address
        WRITE   dbgwcr0_el1, \control
.endm

main:
        str     x30, [sp, #-16]!
        msr     oslar_el1, xzr
        mov     x9, #0x300000
        msr     cpacr_el1, x9
        isb
        ADDR    x20, arena
        add     x21, x20, #8
        WRITE   mdscr_el1, MDSCR_MDE
        bl      el0
        WRITE   mdscr_el1, MDSCR_MDE | MDSCR_KDE
        bl      bytes
        bl      kinds
        bl      ranges
        bl      levels
        bl      several
        ldr     x30, [sp], #16
        ret
        .ltorg

el0:
        str     x30, [sp, #-16]!
        WATCH   x21, DBG_E | DBG_EL0 | WCR_LOAD | WCR_ALL
        TRY0    "EL0 load ldr", "ldr x9, [x21]"
        TRY0    "EL0 load str", "str x9, [x21]"
        TRY0    "EL0 load before", "ldr x9, [x20]"
        TRY0    "EL0 load after", "ldr x9, [x21, #8]"
        TRY0    "EL0 load ldp", "ldp x9, x10, [x20]"
        WATCH   x21, DBG_E | DBG_EL0 | WCR_STORE | WCR_ALL
        TRY0    "EL0 store ldr", "ldr x9, [x21]"
        TRY0    "EL0 store str", "str x9, [x21]"
        TRY0    "EL0 store stp", "stp x9, x10, [x20]"
        WATCH   x21, DBG_E | DBG_EL0 | WCR_LOAD | WCR_STORE | WCR_ALL
        TRY0    "EL0 both ldr", "ldr x9, [x21]"
        TRY0    "EL0 both strb", "strb w9, [x21, #7]"
        WATCH   x21, DBG_EL0 | WCR_LOAD | WCR_STORE | WCR_ALL
        TRY0    "EL0 off", "ldr x9, [x21]"
        WATCH   x21, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | WCR_ALL
        TRY0    "EL0, EL1 only", "ldr x9, [x21]"
        WATCH   x21, DBG_E | DBG_BOTH | WCR_LOAD | WCR_STORE | WCR_ALL
        TRY     "EL1 no KDE", "msr daifclr, #8; ldr x9, [x21]; msr daifset, #8"
        WRITE   mdscr_el1, 0
        TRY0    "EL0 no MDE", "ldr x9, [x21]"
        WRITE   mdscr_el1, MDSCR_MDE
        WRITE   oslar_el1, 1
        TRY0    "EL0 OS lock", "ldr x9, [x21]"
        WRITE   oslar_el1, 0
        TRY0    "EL0 unlocked", "ldr x9, [x21]"
        ldr     x30, [sp], #16
        ret
        .ltorg

// EL1 with D clear.  The control register is written anew, for QEMU reports a load as a store after a store was caught.
.macro  TRYD    name, code
        mrs     x9, dbgwcr0_el1
        msr     dbgwcr0_el1, x9
        isb
        TRY     "\name", "msr daifclr, #8; \code; msr daifset, #8"
        msr     daifset, #8
.endm

// Byte address select: which bytes of the doubleword count.
bytes:
        str     x30, [sp, #-16]!
        WATCH   x21, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | (1 << 5)
        TRYD    "byte 0 ldrb 0", "ldrb w9, [x21]"
        TRYD    "byte 0 ldrb 1", "ldrb w9, [x21, #1]"
        TRYD    "byte 0 ldr", "ldr x9, [x21]"
        TRYD    "byte 0 ldrh 2", "ldrh w9, [x21, #2]"
        WATCH   x21, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | (0x30 << 5)
        TRYD    "bytes 4-5 ldr w 0", "ldr w9, [x21]"
        TRYD    "bytes 4-5 ldr w 4", "ldr w9, [x21, #4]"
        TRYD    "bytes 4-5 strb 4", "strb w9, [x21, #4]"
        TRYD    "bytes 4-5 strb 5", "strb w9, [x21, #5]"
        TRYD    "bytes 4-5 strb 6", "strb w9, [x21, #6]"
        TRYD    "bytes 4-5 str x", "str x9, [x21]"
        TRYD    "bytes 4-5 ldp w", "ldp w9, w10, [x21]"
        add     x22, x21, #4
        WATCH   x22, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | (0x0f << 5)
        TRYD    "word at 4, ldr w 0", "ldr w9, [x21]"
        TRYD    "word at 4, ldr w 4", "ldr w9, [x21, #4]"
        TRYD    "word at 4, ldr x", "ldr x9, [x21]"
        ldr     x30, [sp], #16
        ret
        .ltorg

kinds:
        str     x30, [sp, #-16]!
        WATCH   x21, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | WCR_ALL
        TRYD    "ldr q", "ldr q0, [x20]"
        TRYD    "st1", "st1 {v0.16b}, [x20]"
        TRYD    "ldxr", "ldxr x9, [x21]"
        TRYD    "ldar", "ldar x9, [x21]"
        TRYD    "stlr", "stlr x9, [x21]"
        TRYD    "prfm", "prfm pldl1keep, [x21]"
        TRYD    "ldr literal elsewhere", "ldr x9, =0x123456789"
        TRYD    "str pre", "mov x10, x20; str x9, [x10, #8]!"
        cmp     x10, x20
        cset    x10, eq
        SHOW    "unmoved", x10
        NL
        WRITE   dbgwcr0_el1, 0
        mov     x9, #0x77
        str     x9, [x21]
        WATCH   x21, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | WCR_ALL
        TRYD    "str watched", "str xzr, [x21]"
        WRITE   dbgwcr0_el1, 0
        ldr     x10, [x21]
        LOG     "not written"
        SHOW    "x10", x10
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// MASK widens the watchpoint to an aligned range.
ranges:
        str     x30, [sp, #-16]!
        add     x22, x20, #0x100
        WATCH   x22, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | WCR_ALL | (8 << 24)
        TRYD    "range before", "ldrb w9, [x22, #-1]"
        TRYD    "range first", "ldrb w9, [x22]"
        TRYD    "range inside", "str x9, [x22, #0x80]"
        TRYD    "range last", "ldrb w9, [x22, #0xff]"
        TRYD    "range after", "ldr x9, [x22, #0x100]"
        TRYD    "range crossing in", "sub x10, x22, #8; ldp x9, x10, [x10]"
        ldr     x30, [sp], #16
        ret
        .ltorg

// LDTR counts as an access of EL0.
levels:
        str     x30, [sp, #-16]!
        WATCH   x21, DBG_E | DBG_EL0 | WCR_LOAD | WCR_STORE | WCR_ALL
        TRYD    "EL0 only ldr", "ldr x9, [x21]"
        TRYD    "EL0 only ldtr", "ldtr x9, [x21]"
        WATCH   x21, DBG_E | DBG_EL1 | WCR_LOAD | WCR_STORE | WCR_ALL
        TRYD    "EL1 only ldr", "ldr x9, [x21]"
        TRYD    "EL1 only ldtr", "ldtr x9, [x21]"
        TRY     "EL1 only, D=1", "ldr x9, [x21]"
        ldr     x30, [sp], #16
        ret
        .ltorg

several:
        str     x30, [sp, #-16]!
        add     x22, x20, #0x40
        msr     dbgwvr1_el1, x22
        WRITE   dbgwcr1_el1, DBG_E | DBG_EL1 | WCR_STORE | WCR_ALL
        TRYD    "second", "str x9, [x22]"
        TRYD    "second load", "ldr x9, [x22]"
        TRYD    "first", "ldr x9, [x21]"
        TRYD    "neither", "str x9, [x22, #8]"
        WRITE   dbgwcr1_el1, 0
        TRYD    "second off", "str x9, [x22]"
        WRITE   dbgwcr0_el1, 0
        TRYD    "both off", "ldr x9, [x21]"
        ldr     x30, [sp], #16
        ret
        .ltorg

        .section .arena, "aw", %nobits
        .balign 0x1000
arena:  .skip   0x1000
