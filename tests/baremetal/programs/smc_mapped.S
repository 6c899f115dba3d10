// Code under the MMU: one page at several addresses, pages that follow each other only virtually, mappings that change under
// code that has run, the same code at EL1 and EL0.
        .include "runtime.S"
        .include "pagetable.S"

        .set    TCR,    TCR_GRANULE | TCR_IPS_40 | 25 | TCR_EPD1
        .set    CODE,   TEST_PA                 // page 0 and page 1 of code, physically
        .set    CODE_1, TEST_PA + PAGE
        .set    CODE_2, TEST_PA + 3 * PAGE
        .set    WRITE_VA, 0x6000000000          // both pages, writable, never executable
        .set    WRITE_1, WRITE_VA + PAGE
        .set    WRITE_2, WRITE_VA + 2 * PAGE
        .set    RUN_VA, 0x6100000000            // the same pages, executable
        .set    ALIAS_VA, 0x6234560000          // and once more
        .set    PAIR_VA, 0x6300000000           // page 0, then whatever a test puts behind it
        .set    RX,     LEAF | NORMAL | AP_RO | AP_EL0
        .set    RW,     LEAF | NORMAL | UXN | PXN
        .set    ROUNDS, 30
        .set    RET,    0xd65f03c0

.macro  PUT     word:vararg                     // the next instruction at x20
        LI      x9, \word
        str     w9, [x20], #4
.endm

// x20 = start of what was written by the writable address; x21 = the address that it will run at.
.macro  SYNC
        dc      cvau, x20
        dsb     ish
        ic      ivau, x21
        dsb     ish
        isb
.endm

main:
        str     x30, [sp, #-16]!
        SPACE   low, 25
        MAP_PROGRAM low
        MAP     low, WRITE_VA, 3, CODE | RW
        MAP     low, WRITE_1, 3, CODE_1 | RW
        MAP     low, WRITE_2, 3, CODE_2 | RW
        MAP     low, RUN_VA, 3, CODE | RX
        MAP     low, RUN_VA + PAGE, 3, CODE_1 | RX
        MAP     low, ALIAS_VA, 3, CODE | RX
        b       1f
        .ltorg
1:      MAP     low, ALIAS_VA + PAGE, 3, CODE_1 | RX
        MAP     low, PAIR_VA, 3, CODE | RX
        MAP     low, PAIR_VA + PAGE, 3, CODE_1 | RX
        MMU_ON  low, none, TCR
        bl      addresses
        bl      patches
        bl      behind
        bl      jumps
        bl      fall_off
        bl      appears
        bl      levels
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

// One page under three names: what is relative to the pc differs, the code does not.
addresses:
        str     x30, [sp, #-16]!
        LI      x20, WRITE_VA
        PUT     0x10000000                      // adr x0, .
        PUT     0x90000001                      // adrp x1, .
        PUT     0x58000082                      // ldr x2, . + 16
        PUT     0x94000003                      // bl . + 12
        PUT     0xaa1e03e3                      // (never here: the callee returns past it)
        PUT     0xd65f0120                      // ret x9
        LI      x20, WRITE_VA + 24
        PUT     0xaa1e03e3                      // mov x3, x30
        PUT     0xaa0403fe                      // mov x30, x4
        PUT     RET
        .irp    place, RUN_VA, ALIAS_VA, PAIR_VA, RUN_VA, ALIAS_VA
        LI      x21, \place
        LI      x20, WRITE_VA
        SYNC
        adr     x4, 1f
        blr     x21
1:      LOG     "addresses"
        SHOW    "adr", x0
        SHOW    "adrp", x1
        SHOW    "literal", x2
        SHOW    "link", x3
        NL
        .endr
        ldr     x30, [sp], #16
        ret
        .ltorg

// Patched by one address, run by two others in turn.
patches:
        str     x30, [sp, #-16]!
        mov     x22, #0
        mov     x23, #0
        mov     x24, #0
1:      LI      x20, WRITE_VA + 0x100
        LI      x21, RUN_VA + 0x100
        LI      x9, 0xd2800000                  // mov x0, #0
        orr     x9, x9, x22, lsl #5
        LI      x10, RET
        stp     w9, w10, [x20]
        SYNC
        blr     x21
        add     x23, x23, x0
        LI      x21, ALIAS_VA + 0x100
        ic      ivau, x21
        dsb     ish
        isb
        blr     x21
        add     x24, x24, x0, lsl #1
        add     x22, x22, #1
        cmp     x22, #ROUNDS
        b.ne    1b
        LOG     "patches"
        SHOW    "sum", x23
        SHOW    "sum", x24
        NL
        // The whole instruction cache at once.
        LI      x20, WRITE_VA + 0x100
        PUT     0xd2800020 | (77 << 5)
        LI      x20, WRITE_VA + 0x100
        dc      cvau, x20
        dsb     ish
        ic      iallu
        dsb     ish
        isb
        LI      x21, RUN_VA + 0x100
        blr     x21
        mov     x23, x0
        LI      x21, ALIAS_VA + 0x100
        blr     x21
        LOG     "iallu"
        SHOW    "x0", x23
        SHOW    "x0", x0
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// Page 0 runs into what is mapped behind it, which differs by address and changes.
.macro  BEHIND  page
        ENTRY   low, PAIR_VA + PAGE, 3
        str     xzr, [x0]
        FLUSH_TLB
        LI      x9, \page | RX
        str     x9, [x0]
        dsb     ishst
        isb
.endm
behind:
        str     x30, [sp, #-16]!
        LI      x20, WRITE_VA + PAGE - 8
        PUT     0xd2800020                      // mov x0, #1
        PUT     0x91000400                      // add x0, x0, #1
        LI      x20, WRITE_1
        PUT     0x91004000                      // add x0, x0, #0x10
        PUT     RET
        LI      x20, WRITE_2
        PUT     0x91400400                      // add x0, x0, #0x1000
        PUT     RET
        ic      iallu
        dsb     ish
        isb
        mov     x22, #3
1:      LI      x21, PAIR_VA + PAGE - 8
        blr     x21
        mov     x23, x0
        BEHIND  CODE_2
        blr     x21
        mov     x24, x0
        BEHIND  CODE_1
        LI      x21, RUN_VA + PAGE - 8
        blr     x21
        LOG     "behind"
        SHOW    "first", x23
        SHOW    "changed", x24
        SHOW    "elsewhere", x0
        NL
        subs    x22, x22, #1
        b.ne    1b
        ldr     x30, [sp], #16
        ret
        .ltorg

// The same for a direct branch, a call and a conditional branch into the next page.
.macro  JUMPS   name, word:vararg
        LI      x20, WRITE_VA + 0x200
        PUT     0xd2800000                      // mov x0, #0
        PUT     \word
        PUT     0xd2800660                      // (not taken: mov x0, #0x33)
        PUT     RET
        ic      iallu
        dsb     ish
        isb
        LI      x21, PAIR_VA + 0x200
        b       1f
        .ltorg
1:      blr     x21
        mov     x23, x0
        blr     x21
        add     x23, x23, x0
        BEHIND  CODE_2
        blr     x21
        mov     x24, x0
        BEHIND  CODE_1
        blr     x21
        LOG     "\name"
        SHOW    "twice", x23
        SHOW    "changed", x24
        SHOW    "back", x0
        NL
.endm
jumps:
        str     x30, [sp, #-16]!
        JUMPS   "b", 0x14000000 | ((PAGE - 0x204) >> 2)
        JUMPS   "cbz", 0xb4000000 | (((PAGE - 0x204) >> 2) << 5)
        JUMPS   "cbnz", 0xb5000000 | (((PAGE - 0x204) >> 2) << 5)
.if GRANULE < 16                                // it reaches 32 KiB
        JUMPS   "tbz", 0x36000000 | ((((PAGE - 0x204) >> 2) & 0x3fff) << 5)
.endif
        ldr     x30, [sp], #16
        ret
        .ltorg

// Behind the page there is nothing, or nothing that may be run.
fall_off:
        str     x30, [sp, #-16]!
        LI      x21, PAIR_VA + PAGE - 8
        ENTRY   low, PAIR_VA + PAGE, 3
        mov     x22, x0
        str     xzr, [x22]
        FLUSH_TLB
        TRY     "nothing behind", "blr x21"
        SHOW    "x0", x0
        NL
        TRY0    "nothing behind EL0", "blr x21"
        LI      x9, CODE_1 | RW
        str     x9, [x22]
        FLUSH_TLB
        TRY     "not executable", "blr x21"
        TRY0    "not executable EL0", "blr x21"
        LI      x9, CODE_1 | RX
        str     x9, [x22]
        FLUSH_TLB
        TRY     "executable", "blr x21"
        SHOW    "x0", x0
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// A page is written through, made executable, run, and made writable again: no two of it at once.
appears:
        str     x30, [sp, #-16]!
        ENTRY   low, PAIR_VA + 2 * PAGE, 3
        mov     x22, x0
        mov     x23, #0
        mov     x24, #5
1:      LI      x9, (TEST_PA + 4 * PAGE) | RW
        str     x9, [x22]
        FLUSH_TLB
        LI      x20, PAIR_VA + 2 * PAGE
        mov     x21, x20
        LI      x9, 0x91000400                  // add x0, x0, #1
        orr     x9, x9, x24, lsl #10
        LI      x10, RET
        stp     w9, w10, [x20]
        SYNC
        str     xzr, [x22]
        FLUSH_TLB
        LI      x9, (TEST_PA + 4 * PAGE) | RX
        str     x9, [x22]
        dsb     ishst
        isb
        mov     x0, x23
        blr     x21
        mov     x23, x0
        subs    x24, x24, #1
        b.ne    1b
        LOG     "appears"
        SHOW    "sum", x23
        NL
        TRY     "no longer writable", "str x9, [x20]"
        ldr     x30, [sp], #16
        ret
        .ltorg

// The same words at both levels mean different things.
levels:
        str     x30, [sp, #-16]!
        LI      x20, WRITE_VA + 0x300
        PUT     0xd5384240                      // mrs x0, currentel
        PUT     RET
        LI      x20, WRITE_VA + 0x300
        LI      x21, RUN_VA + 0x300
        SYNC
        TRY     "EL1 currentel", "blr x21"
        SHOW    "x0", x0
        NL
        TRY0    "EL0 currentel", "blr x21"
        TRY     "EL1 currentel", "blr x21"
        LI      x20, WRITE_VA + 0x310
        PUT     0x1e270000                      // fmov s0, w0
        PUT     RET
        LI      x20, WRITE_VA + 0x310
        LI      x21, RUN_VA + 0x310
        SYNC
        mov     x9, #0x100000                   // FP for EL1 only
        msr     cpacr_el1, x9
        isb
        TRY     "EL1 fp", "blr x21"
        TRY0    "EL0 fp", "blr x21"
        msr     cpacr_el1, xzr
        isb
        TRY     "EL1 fp off", "blr x21"
        mov     x9, #0x300000
        msr     cpacr_el1, x9
        isb
        TRY0    "EL0 fp on", "blr x21"
        ldr     x30, [sp], #16
        ret
        .ltorg
