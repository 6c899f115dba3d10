// Exclusives, locks and (LSE=1) atomic instructions of all sizes, on the same few lines from all CPUs: nothing is lost.
        .include "runtime.S"
        .include "pagetable.S"
        .include "smp.S"

        .set    ROUNDS, 3000

.macro  SHOW_SUM name:req, load:req, offset:req
        LI      x9, DATA + \offset
        \load
        SHOW    "\name", x10
        NL
.endm

main:
        str     x30, [sp, #-16]!
        bl      smp_on
        EVERYWHERE exclusives
        SHOW_SUM "x", "ldr x10, [x9]", 0
        SHOW_SUM "w", "ldr w10, [x9]", 8
        SHOW_SUM "beside w", "ldr w10, [x9]", 12
        SHOW_SUM "h", "ldrh w10, [x9]", 16
        SHOW_SUM "b", "ldrb w10, [x9]", 18
        SHOW_SUM "beside b", "ldrb w10, [x9]", 19
        SHOW_SUM "pair, low", "ldr x10, [x9]", 32
        SHOW_SUM "pair, high", "ldr x10, [x9]", 40
        SHOW_SUM "pair w, low", "ldr w10, [x9]", 48
        SHOW_SUM "pair w, high", "ldr w10, [x9]", 52
        EVERYWHERE locks
        SHOW_SUM "spin lock", "ldr x10, [x9]", 0x108
        SHOW_SUM "ticket lock", "ldr x10, [x9]", 0x148
.ifdef  LSE
        EVERYWHERE atomics
        SHOW_SUM "ldadd x", "ldr x10, [x9]", 0x200
        SHOW_SUM "ldaddal w", "ldr w10, [x9]", 0x208
        SHOW_SUM "stadd h", "ldrh w10, [x9]", 0x20c
        SHOW_SUM "ldaddb", "ldrb w10, [x9]", 0x20e
        SHOW_SUM "lost bits", "ldr x10, [x9]", 0x218
        SHOW_SUM "bits", "ldr x10, [x9]", 0x210
        SHOW_SUM "cas", "ldr x10, [x9]", 0x220
        SHOW_SUM "casp, low", "ldr x10, [x9]", 0x230
        SHOW_SUM "casp, high", "ldr x10, [x9]", 0x238
        SHOW_SUM "swp", "ldr x10, [x9]", 0x248
        SHOW_SUM "ldumax", "ldr x10, [x9]", 0x250
        SHOW_SUM "ldsmin", "ldrsw x10, [x9]", 0x258
.endif
        ldr     x30, [sp], #16
        ret
        .ltorg

.macro  COUNT   suffix, r
1:      ldxr\suffix \r\()2, [x1]
        add     w2, w2, #1
        stxr\suffix w3, \r\()2, [x1]
        cbnz    w3, 1b
.endm

exclusives:
        stp     x30, x19, [sp, #-16]!
        bl      rendezvous
        mov     x19, #ROUNDS
2:      LI      x1, DATA
1:      ldaxr   x2, [x1]
        add     x2, x2, #1
        stlxr   w3, x2, [x1]
        cbnz    w3, 1b
        add     x1, x1, #8
        COUNT   , w
        add     x1, x1, #8
        COUNT   h, w
        add     x1, x1, #2
        COUNT   b, w
        add     x1, x1, #14
1:      ldxp    x2, x3, [x1]
        add     x2, x2, #1
        sub     x3, x3, #1
        stxp    w4, x2, x3, [x1]
        cbnz    w4, 1b
        add     x1, x1, #16
1:      ldaxp   w2, w3, [x1]
        add     w2, w2, #1
        sub     w3, w3, #1
        stlxp   w4, w2, w3, [x1]
        cbnz    w4, 1b
        subs    x19, x19, #1
        b.ne    2b
        ldp     x30, x19, [sp], #16
        ret
        .ltorg

// A plain count under a lock, once as people wrote it for Armv8.0, once with tickets.
locks:  stp     x30, x19, [sp, #-16]!
        bl      rendezvous
        mov     x19, #ROUNDS
        LI      x1, DATA + 0x100
        mov     w5, #1
2:      ldaxr   w2, [x1]
        cbz     w2, 1f
        wfe
        b       2b
1:      stxr    w3, w5, [x1]
        cbnz    w3, 2b
        ldr     x2, [x1, #8]
        add     x2, x2, #1
        str     x2, [x1, #8]
        stlr    wzr, [x1]
        // the ticket is in the upper half, whose turn it is in the lower
        add     x6, x1, #0x40
1:      ldaxr   w2, [x6]
        add     w3, w2, #0x10000
        stxr    w4, w3, [x6]
        cbnz    w4, 1b
        lsr     w4, w2, #16
        and     w2, w2, #0xffff
1:      cmp     w2, w4
        b.eq    1f
        wfe
        ldaxrh  w2, [x6]
        b       1b
1:      ldr     x2, [x6, #8]
        add     x2, x2, #1
        str     x2, [x6, #8]
        add     w4, w4, #1
        stlrh   w4, [x6]
        subs    x19, x19, #1
        b.ne    2b
        ldp     x30, x19, [sp], #16
        ret
        .ltorg

.ifdef  LSE
        .arch_extension lse
atomics:
        stp     x30, x19, [sp, #-16]!
        mov     x12, x0
        bl      rendezvous
        mov     x19, #ROUNDS
        LI      x1, DATA + 0x200
        add     x5, x1, #0x10
        add     x6, x1, #0x20
        add     x7, x1, #0x30
        mov     x2, #1
        lsl     x13, x2, x12                    // this CPU's bit
2:      ldadd   x2, x3, [x1]
        add     x4, x1, #8
        ldaddal w2, w3, [x4]
        add     x4, x1, #12
        staddh  w2, [x4]
        add     x4, x1, #14
        ldaddb  w2, w3, [x4]
        // the bit was not set, and then it was
        ldset   x13, x3, [x5]
        ldclral x13, x4, [x5]
        bic     x4, x13, x4
        and     x3, x3, x13
        orr     x3, x3, x4
        add     x4, x5, #8
        stset   x3, [x4]
1:      ldr     x3, [x6]
        add     x4, x3, #1
        mov     x8, x3
        casal   x8, x4, [x6]
        cmp     x8, x3
        b.ne    1b
1:      ldp     x8, x9, [x7]
        mov     x14, x8
        mov     x15, x9
        add     x10, x8, #1
        sub     x11, x9, #1
        caspal  x8, x9, x10, x11, [x7]
        cmp     x8, x14
        ccmp    x9, x15, #0, eq
        b.ne    1b
        // SWP as a lock
        add     x8, x1, #0x40
1:      swpa    x2, x3, [x8]
        cbnz    x3, 1b
        ldr     x3, [x8, #8]
        add     x3, x3, #1
        str     x3, [x8, #8]
        stlr    xzr, [x8]
        add     x8, x1, #0x50
        add     x9, x13, x19, lsl #8
        ldumax  x9, x3, [x8]
        add     x8, x1, #0x58
        neg     w9, w9
        stsmin  w9, [x8]
        subs    x19, x19, #1
        b.ne    2b
        ldp     x30, x19, [sp], #16
        ret
        .ltorg
.endif
