// Which bits of each writable register of EL1 stick: value after reset, after writing ones, after writing zeros.
        .include "runtime.S"

// Only the bits in the mask count: those which Armv8.0 defines for AArch64.  Reserved ones may stick or not.
.macro  BITS    name:req, mask=-1, ones=-1
        mov     x24, #-1
        mov     x25, #-1
        mov     x26, #-1
        TRY_BEGIN "\name"
        mrs     x24, \name
        LI      x9, \ones
        msr     \name, x9
        isb
        mrs     x25, \name
        msr     \name, xzr
        isb
        mrs     x26, \name
        msr     \name, x24
        isb
        TRY_END
        LI      x9, \mask
        and     x24, x24, x9
        and     x25, x25, x9
        and     x26, x26, x9
        SHOW    "reset", x24
        SHOW    "ones", x25
        SHOW    "zeros", x26
        NL
.endm
// For registers that start with whatever the program left there.
.macro  BITS_SET name:req, mask=-1
        msr     \name, xzr
        BITS    \name, \mask
.endm

main:
        str     x30, [sp, #-16]!
        msr     oslar_el1, xzr
        mov     x9, #0x300000
        msr     cpacr_el1, x9
        isb
        bl      translation
        bl      exceptions
        bl      others
        bl      timers
        bl      debug
        bl      sctlr
        ldr     x30, [sp], #16
        ret
        .ltorg

translation:
        str     x30, [sp, #-16]!
        BITS    ttbr0_el1, ~1
        BITS    ttbr1_el1, ~1
        BITS    tcr_el1, 0x77ffffffbf
        BITS    mair_el1
        BITS    amair_el1
        BITS    contextidr_el1, 0xffffffff
        BITS    par_el1, 0xff00fffffffff381
        ldr     x30, [sp], #16
        ret
        .ltorg

exceptions:
        str     x30, [sp, #-16]!
        BITS_SET esr_el1, 0xffffffff
        BITS_SET far_el1
        BITS_SET elr_el1
        BITS_SET spsr_el1, 0xf03003df
        mrs     x23, vbar_el1
        msr     vbar_el1, xzr
        BITS    vbar_el1, ~0x7ff
        msr     vbar_el1, x23
        isb
        BITS    afsr0_el1
        BITS    afsr1_el1
        ldr     x30, [sp], #16
        ret
        .ltorg

others:
        str     x30, [sp, #-16]!
        BITS    actlr_el1
        BITS    csselr_el1, 0xf
        BITS    tpidr_el0
        BITS    tpidrro_el0
        BITS_SET tpidr_el1
        BITS    fpcr, 0x07c09f00                // AHP, DN, FZ, RMode; the trap enables read as zero
        BITS    fpsr, 0x0800009f
        b       1f
        .ltorg
1:      mrs     x23, sp_el0
        BITS_SET sp_el0
        msr     sp_el0, x23
        msr     cpacr_el1, xzr
        BITS    cpacr_el1, 0x300000
        BITS    nzcv
        BITS_SET daif
        msr     daifset, #15
        ldr     x30, [sp], #16
        ret
        .ltorg

timers:
        str     x30, [sp, #-16]!
        BITS    cntkctl_el1, 0x3ff
        BITS    cntp_cval_el0
        BITS    cntv_cval_el0
        ldr     x30, [sp], #16
        ret
        .ltorg

debug:
        str     x30, [sp, #-16]!
        BITS    mdscr_el1, 0x1000, 0x1000       // TDCC; debug exceptions stay off
        .irp    number, 0, 1, 2, 3, 4, 5
        BITS    dbgbvr\number\()_el1, 0x0001fffffffffffc
        BITS    dbgbcr\number\()_el1, 0xffe1e6, ~1
        .endr
        b       1f
        .ltorg
1:      .irp    number, 0, 1, 2, 3
        BITS    dbgwvr\number\()_el1, 0x0001fffffffffffc
        BITS    dbgwcr\number\()_el1, 0x1f1ffffe, ~1
        .endr
        TRY     "dbgbvr6", "mrs x9, dbgbvr6_el1"
        TRY     "dbgwvr4", "mrs x9, dbgwvr4_el1"
        BITS    osdlr_el1, 1
        mrs     x9, mdrar_el1
        LOG     "debug"
        SHOW    "mdrar", x9
        mrs     x9, oslsr_el1
        SHOW    "oslsr", x9
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// The bits of AArch64, one by one, but for M and the byte orders.
sctlr:
        str     x30, [sp, #-16]!
        mrs     x23, sctlr_el1
        LI      x21, 0x040dd21e                 // UCI, WXN, nTWE, nTWI, UCT, DZE, I, UMA, SA0, SA, C, A
        and     x10, x23, x21
        LOG     "sctlr_el1"
        SHOW    "reset", x10
        NL
        mov     x22, #1
1:      mov     x9, #1
        lsl     x9, x9, x22
        tst     x9, x21
        b.eq    2f
        LI      x10, 0x30d00800
        orr     x9, x9, x10
        msr     sctlr_el1, x9
        isb
        mrs     x10, sctlr_el1
        msr     sctlr_el1, x23
        isb
        and     x10, x10, x21
        LOG     " bit"
        SHOW    "sctlr", x10
        NL
2:      add     x22, x22, #1
        cmp     x22, #32
        b.ne    1b
        ldr     x30, [sp], #16
        ret
        .ltorg
