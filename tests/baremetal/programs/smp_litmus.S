// The memory model: litmus tests, each ITEMS times a round.  What the architecture forbids is counted, and must be 0.
//
// Each CPU that has code runs it for item 0, 1, ... of an array, all at the same time: before each item it looks a few
// times whether another one is still behind.  x20 and x21 are the addresses of the item's
// x and y (0 at first, lines of their own), x9 = 1, x8 = 2; results go in w0 and w1.  Then CPU 0 looks at each item's
// results: P0's in x0, x1, P1's in x2, x3, P2's in x4, x5, P3's in x6, x7, the last values of x and y in x12, x13; the check
// leaves w10 = 1 where they may not be.
        .include "runtime.S"
        .include "pagetable.S"
        .include "smp.S"

        .set    ITEMS,  2048
        .set    ROUNDS, 12
        .set    RESULTS, DATA + 0x100000        // CPU by CPU, 8 bytes an item

// Forbidden: all of these "register value" pairs.
.macro  FORBID  rest:vararg
        mov     w10, #1
        FORBID_NEXT \rest
.endm
.macro  FORBID_NEXT register, value, rest:vararg
        cmp     \register, #\value
        csel    w10, w10, wzr, eq
        .ifnb   \rest
        FORBID_NEXT \rest
        .endif
.endm

.macro  LITMUS  name:req, p0:req, p1:req, p2, p3, check:req
        ADDR    x0, 50f
        bl      litmus
        LOG     "\name"
        SHOW    "forbidden", x22
        NL
        b       59f
        .balign 8
50:     .quad   51f, 52f, 53f, 54f, 55f
51:     \p0
        ret
52:     \p1
        ret
53:     \p2
        ret
54:     \p3
        ret
55:     \check
        ret
59:
.endm

main:
        str     x30, [sp, #-16]!
        bl      smp_on
        // One location
        LITMUS  "CoRR", "str w9, [x20]; str w8, [x20]", "ldr w0, [x20]; ldr w1, [x20]", "", "", "FORBID w2, 2, w3, 1"
        LITMUS  "CoRR0", "str w9, [x20]; str w8, [x20]", "ldr w0, [x20]; ldr w1, [x20]", "", "", "FORBID w2, 1, w3, 0"
        // Message passing
        LITMUS  "MP+dmb.st+dmb.ld", "str w9, [x20]; dmb ishst; str w9, [x21]", "ldr w0, [x21]; dmb ishld; ldr w1, [x20]", "", "", "FORBID w2, 1, w3, 0"
        LITMUS  "MP+dmb+addr", "str w9, [x20]; dmb ish; str w9, [x21]", "ldr w0, [x21]; eor w2, w0, w0; ldr w1, [x20, w2, uxtw]", "", "", "FORBID w2, 1, w3, 0"
        LITMUS  "MP+stlr+ldar", "str w9, [x20]; stlr w9, [x21]", "ldar w0, [x21]; ldr w1, [x20]", "", "", "FORBID w2, 1, w3, 0"
        LITMUS  "MP+stlr+ldaxr", "str w9, [x20]; stlr w9, [x21]", "ldaxr w0, [x21]; ldr w1, [x20]", "", "", "FORBID w2, 1, w3, 0"
        LITMUS  "MP+dsb.st+ctrl.isb", "str w9, [x20]; dsb ishst; str w9, [x21]", "ldr w0, [x21]; cbz w0, 1f; 1: isb; ldr w1, [x20]", "", "", "FORBID w2, 1, w3, 0"
        // Store buffering
        LITMUS  "SB+dmbs", "str w9, [x20]; dmb ish; ldr w0, [x21]", "str w9, [x21]; dmb ish; ldr w0, [x20]", "", "", "FORBID w0, 0, w2, 0"
        LITMUS  "SB+dsbs", "str w9, [x20]; dsb ish; ldr w0, [x21]", "str w9, [x21]; dsb ish; ldr w0, [x20]", "", "", "FORBID w0, 0, w2, 0"
        LITMUS  "SB+dsb.st", "str w9, [x20]; dsb ishst; ldr w0, [x21]", "str w9, [x21]; dsb ishst; ldr w0, [x20]", "", "", "FORBID w0, 0, w2, 0"
        LITMUS  "SB+stlr+ldar", "stlr w9, [x20]; ldar w0, [x21]", "stlr w9, [x21]; ldar w0, [x20]", "", "", "FORBID w0, 0, w2, 0"
        b       1f
        .ltorg
        // Load buffering
1:      LITMUS  "LB+dmbs", "ldr w0, [x20]; dmb ish; str w9, [x21]", "ldr w0, [x21]; dmb ish; str w9, [x20]", "", "", "FORBID w0, 1, w2, 1"
        LITMUS  "LB+datas", "ldr w0, [x20]; eor w2, w0, w0; orr w2, w2, w9; str w2, [x21]", "ldr w0, [x21]; eor w2, w0, w0; orr w2, w2, w9; str w2, [x20]", "", "", "FORBID w0, 1, w2, 1"
        LITMUS  "LB+ldar+stlr", "ldar w0, [x20]; str w9, [x21]", "ldr w0, [x21]; stlr w9, [x20]", "", "", "FORBID w0, 1, w2, 1"
        // The others' order of two stores
        LITMUS  "R+dmbs", "str w9, [x20]; dmb ish; str w9, [x21]", "str w8, [x21]; dmb ish; ldr w0, [x20]", "", "", "FORBID w13, 2, w2, 0"
        LITMUS  "S+dmb.st+data", "str w8, [x20]; dmb ishst; str w9, [x21]", "ldr w0, [x21]; eor w2, w0, w0; orr w2, w2, w9; str w2, [x20]", "", "", "FORBID w2, 1, w12, 2"
        LITMUS  "2+2W+dmb.st", "str w9, [x20]; dmb ishst; str w8, [x21]", "str w9, [x21]; dmb ishst; str w8, [x20]", "", "", "FORBID w12, 1, w13, 1"
        LITMUS  "2+2W+stlr", "str w9, [x20]; stlr w8, [x21]", "str w9, [x21]; stlr w8, [x20]", "", "", "FORBID w12, 1, w13, 1"
        // Three and four CPUs: a store is seen by all others at once
        LITMUS  "WRC+addrs", "str w9, [x20]", "ldr w0, [x20]; eor w2, w0, w0; str w9, [x21, w2, uxtw]", "ldr w0, [x21]; eor w2, w0, w0; ldr w1, [x20, w2, uxtw]", "", "FORBID w2, 1, w4, 1, w5, 0"
        LITMUS  "WRC+dmb+ldar", "str w9, [x20]", "ldr w0, [x20]; dmb ish; str w9, [x21]", "ldar w0, [x21]; ldr w1, [x20]", "", "FORBID w2, 1, w4, 1, w5, 0"
        b       1f
        .ltorg
1:      LITMUS  "IRIW+addrs", "str w9, [x20]", "str w9, [x21]", "ldr w0, [x20]; eor w2, w0, w0; ldr w1, [x21, w2, uxtw]", "ldr w0, [x21]; eor w2, w0, w0; ldr w1, [x20, w2, uxtw]", "FORBID w4, 1, w5, 0, w6, 1, w7, 0"
        LITMUS  "IRIW+dmbs", "str w9, [x20]", "str w9, [x21]", "ldr w0, [x20]; dmb ish; ldr w1, [x21]", "ldr w0, [x21]; dmb ish; ldr w1, [x20]", "FORBID w4, 1, w5, 0, w6, 1, w7, 0"
        LITMUS  "IRIW+acquires", "stlr w9, [x20]", "stlr w9, [x21]", "ldar w0, [x20]; ldar w1, [x21]", "ldar w0, [x21]; ldar w1, [x20]", "FORBID w4, 1, w5, 0, w6, 1, w7, 0"
        // Exclusives order as what they are made of, and a pair is one
        LITMUS  "SB+stlxr", "1: ldxr w2, [x20]; stlxr w3, w9, [x20]; cbnz w3, 1b; ldar w0, [x21]", "1: ldxr w2, [x21]; stlxr w3, w9, [x21]; cbnz w3, 1b; ldar w0, [x20]", "", "", "FORBID w0, 0, w2, 0"
        LITMUS  "a pair", "1: ldxp w2, w3, [x20]; stxp w4, w9, w9, [x20]; cbnz w4, 1b", "ldr x0, [x20]; lsr x1, x0, #32; mov w0, w0", "", "", "cmp w2, w3; cset w10, ne"
        ldr     x30, [sp], #16
        ret
        .ltorg

// x0 = the test's table of code.  x22 = how many items are not allowed.
litmus: stp     x30, x19, [sp, #-32]!
        stp     x20, x21, [sp, #16]
        ADDR    x1, table
        str     x0, [x1]
        mov     x22, #0
        mov     x21, #ROUNDS
1:      EVERYWHERE one_round
        bl      check
        add     x22, x22, x0
        subs    x21, x21, #1
        b.ne    1b
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #32
        ret

// x0 = CPU.
one_round:
        stp     x30, x19, [sp, #-64]!
        stp     x20, x21, [sp, #16]
        stp     x22, x23, [sp, #32]
        stp     x24, x25, [sp, #48]
        ADDR    x1, table
        ldr     x1, [x1]
        ldr     x22, [x1, x0, lsl #3]
        mov     x3, #0                          // how many CPUs have code: those after the last one have a RET alone
        LI      x4, 0xd65f03c0
1:      ldr     x2, [x1, x3, lsl #3]
        ldr     w2, [x2]
        cmp     w2, w4
        b.eq    2f
        add     x3, x3, #1
        cmp     x3, #4
        b.ne    1b
2:      ADDR    x24, progress
        add     x2, x0, #1
        cmp     x2, x3
        csel    x2, xzr, x2, hs
        add     x25, x24, x2, lsl #6
        add     x24, x24, x0, lsl #6
        mov     w4, #ITEMS + 1
        str     w4, [x24]
        LI      x20, DATA
        LI      x23, RESULTS
        add     x23, x23, x0, lsl #16
        mov     x19, #ITEMS
        mov     w9, #1
        mov     w8, #2
        cmp     x0, x3
        b.hs    3f
        bl      rendezvous
1:      str     w19, [x24]
        mov     w5, #1000
2:      ldr     w4, [x25]
        cmp     w4, w19
        b.ls    2f
        subs    w5, w5, #1
        b.ne    2b
2:      add     x21, x20, #128
        blr     x22
        stp     w0, w1, [x23], #8
        add     x20, x20, #256
        subs    x19, x19, #1
        b.ne    1b
        b       4f
3:      bl      rendezvous
4:      ldp     x24, x25, [sp, #48]
        ldp     x22, x23, [sp, #32]
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #64
        ret
        .ltorg

// x0 = how many items of a round are not allowed.  Clears x and y.
check:  stp     x30, x19, [sp, #-48]!
        stp     x20, x21, [sp, #16]
        stp     x22, x23, [sp, #32]
        ADDR    x22, table
        ldr     x22, [x22]
        ldr     x22, [x22, #32]
        LI      x20, DATA
        LI      x21, RESULTS
        mov     x19, #ITEMS
        mov     x23, #0
1:      ldr     w12, [x20]
        ldr     w13, [x20, #128]
        str     xzr, [x20]
        str     xzr, [x20, #128]
        ldp     w0, w1, [x21]
        add     x14, x21, #0x10000
        ldp     w2, w3, [x14]
        add     x14, x14, #0x10000
        ldp     w4, w5, [x14]
        add     x14, x14, #0x10000
        ldp     w6, w7, [x14]
        blr     x22
        add     x23, x23, x10
        add     x20, x20, #256
        add     x21, x21, #8
        subs    x19, x19, #1
        b.ne    1b
        mov     x0, x23
        ldp     x22, x23, [sp, #32]
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #48
        ret
        .ltorg

        .bss
        .balign 8
table:  .skip   8
        .balign 64
progress: .skip 64 * CPUS
