// What must be seen after tables change: TLBI forms, ASIDs, global entries, contiguous entries.  Only what the architecture
// guarantees is looked at: that a new entry is seen after the right TLBI, never that an old one is seen without it.
        .include "runtime.S"
        .include "pagetable.S"

        .set    TCR,    TCR_GRANULE | TCR_IPS_40 | 25 | (25 << 16)
        .set    VA,     0x6000000000
        .set    HIGH,   -0x2000000000
        .set    PAGE_A, TEST_PA
        .set    PAGE_B, TEST_PA + PAGE
        .set    RW,     LEAF | NORMAL

main:
        str     x30, [sp, #-16]!
        // Each page: its own small function, and its name as data.
        LI      x9, PAGE_A
        LI      x10, 0xd65f03c0d2800141         // mov x1, #10; ret
        mov     x11, #0xaaaa
        stp     x10, x11, [x9]
        LI      x9, PAGE_B
        LI      x10, 0xd65f03c0d2800161         // mov x1, #11; ret
        mov     x11, #0xbbbb
        stp     x10, x11, [x9]
        SPACE   low, 25
        SPACE   other, 25
        SPACE   high, 25
        MAP_PROGRAM low
        MAP_PROGRAM other
        MAP     low, VA, 3, PAGE_A | RW | NG
        MAP     other, VA, 3, PAGE_B | RW | NG
        MAP     low, VA + PAGE, 3, PAGE_A | RW
        MAP     other, VA + PAGE, 3, PAGE_A | RW
        MAP     high, HIGH, 3, PAGE_A | RW
        b       1f
        .ltorg
1:      MMU_ON  low, high, TCR
        bl      asids
        bl      invalidations
        bl      appearing
        bl      tables
        bl      contiguous
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

// What is at x20: as data and as code.
.macro  LOOK    title
        ldr     x9, [x20, #8]
        blr     x20
        LOG     "\title"
        SHOW    "data", x9
        SHOW    "code", x1
        NL
.endm

.macro  TTBR0   space, asid
        ADDR    x9, \space
        ldr     x9, [x9]
        mov     x10, #\asid
        orr     x9, x9, x10, lsl #48
        msr     ttbr0_el1, x9
        isb
.endm

// No TLBI between these switches: entries of one ASID must not serve another.
asids:
        str     x30, [sp, #-16]!
        LI      x20, VA
        TTBR0   low, 1
        LOOK    "asid 1"
        TTBR0   other, 2
        LOOK    "asid 2"
        TTBR0   low, 1
        LOOK    "asid 1"
        TTBR0   other, 2
        LOOK    "asid 2"
        // The loop runs each switch often enough to find entries in place.
        mov     x21, #0
        mov     x22, #20
1:      TTBR0   low, 1
        blr     x20
        add     x21, x21, x1
        TTBR0   other, 2
        blr     x20
        add     x21, x21, x1, lsl #16
        subs    x22, x22, #1
        b.ne    1b
        LOG     "switches"
        SHOW    "sum", x21
        NL
        // ASIDs of 16 bits, which differ in the upper byte only.
        LI      x9, TCR | TCR_AS
        msr     tcr_el1, x9
        isb
        FLUSH_TLB
        TTBR0   low, 0x0101
        LOOK    "asid 101"
        TTBR0   other, 0x0201
        LOOK    "asid 201"
        TTBR0   low, 0x0101
        LOOK    "asid 101"
        mrs     x9, ttbr0_el1
        lsr     x9, x9, #48
        SHOW    "asid", x9
        NL
        // With A1 the ASID comes from TTBR1, and TTBR0's is not looked at.
        LI      x9, TCR | TCR_A1
        msr     tcr_el1, x9
        isb
        FLUSH_TLB
        ADDR    x13, high
        ldr     x13, [x13]
        mov     x10, #5
        orr     x11, x13, x10, lsl #48
        mov     x10, #6
        orr     x12, x13, x10, lsl #48
        msr     ttbr1_el1, x11
        TTBR0   low, 0
        LOOK    "A1 asid 5"
        msr     ttbr1_el1, x12
        TTBR0   other, 0
        LOOK    "A1 asid 6"
        msr     ttbr1_el1, x11
        TTBR0   low, 0
        LOOK    "A1 asid 5"
        msr     ttbr1_el1, x13
        LI      x9, TCR
        msr     tcr_el1, x9
        TTBR0   low, 1
        FLUSH_TLB
        // A global entry serves every ASID: it is made under one and used under the other.
        LI      x20, VA + PAGE
        LOOK    "global asid 1"
        TTBR0   other, 2
        LOOK    "global asid 2"
        TTBR0   low, 1
        ldr     x30, [sp], #16
        ret
        .ltorg

// The entry at x24 changes from page A to page B, by break-before-make, and a TLBI.  x25: the entry's attributes.
.macro  AFTER   title, tlbi:vararg
        LI      x9, PAGE_A
        orr     x9, x9, x25
        str     x9, [x24]
        FLUSH_TLB
        ldr     x9, [x20, #8]                   // fill the TLB, for data and for code
        blr     x20
        str     xzr, [x24]
        dsb     ishst
        \tlbi
        dsb     ish
        isb
        LI      x9, PAGE_B
        orr     x9, x9, x25
        str     x9, [x24]
        dsb     ishst
        isb
        LOOK    "\title"
.endm

// x20 = address, x26 = TLBI operand without an ASID, x27 = with.
.macro  FORMS   where
        AFTER   "\where vmalle1", tlbi vmalle1
        AFTER   "\where vmalle1is", tlbi vmalle1is
        AFTER   "\where vae1", tlbi vae1, x27
        AFTER   "\where vae1is", tlbi vae1is, x27
        AFTER   "\where vale1", tlbi vale1, x27
        AFTER   "\where vale1is", tlbi vale1is, x27
        AFTER   "\where vaae1", tlbi vaae1, x26
        AFTER   "\where vaae1is", tlbi vaae1is, x26
        AFTER   "\where vaale1", tlbi vaale1, x26
        AFTER   "\where vaale1is", tlbi vaale1is, x26
.endm
invalidations:
        str     x30, [sp, #-16]!
        LI      x20, VA
        ENTRY   low, VA, 3
        mov     x24, x0
        LI      x25, RW | NG
        ubfx    x26, x20, #12, #44
        mov     x27, #1
        orr     x27, x26, x27, lsl #48
        FORMS   "nG"
        mov     x23, #1 << 48
        AFTER   "nG aside1", tlbi aside1, x23
        AFTER   "nG aside1is", tlbi aside1is, x23
        b       1f
        .ltorg
1:      LI      x20, VA + PAGE
        ENTRY   low, VA + PAGE, 3
        mov     x24, x0
        LI      x25, RW
        ubfx    x26, x20, #12, #44
        mov     x27, #0x33                      // a global entry goes by any ASID
        orr     x27, x26, x27, lsl #48
        FORMS   "global"
        b       1f
        .ltorg
1:      LI      x20, HIGH
        ENTRY   high, HIGH, 3
        mov     x24, x0
        ubfx    x26, x20, #12, #44
        mov     x27, x26
        FORMS   "high"
        ldr     x30, [sp], #16
        ret
        .ltorg

// An invalid entry is in no TLB: what appears is there after a barrier, with no TLBI.
appearing:
        str     x30, [sp, #-16]!
        LI      x20, VA + 2 * PAGE
        ENTRY   low, VA + 2 * PAGE, 3
        mov     x24, x0
        TRY     "not there", "ldr x9, [x20, #8]"
        TRY     "not there, code", "blr x20"
        LI      x9, PAGE_B | RW
        str     x9, [x24]
        dsb     ishst
        isb
        LOOK    "appeared"
        // From read-only to read-write and back.
        LI      x9, PAGE_B | RW | AP_RO
        str     x9, [x24]
        FLUSH_TLB
        TRY     "read-only", "str x9, [x20, #16]"
        LI      x9, PAGE_B | RW
        str     x9, [x24]
        FLUSH_TLB
        TRY     "read-write", "str x9, [x20, #16]"
        LI      x9, PAGE_B | RW | AP_RO
        str     x9, [x24]
        FLUSH_TLB
        TRY     "read-only again", "str x9, [x20, #16]"
        LI      x9, PAGE_B | RW | PXN
        str     x9, [x24]
        FLUSH_TLB
        TRY     "no execute", "blr x20"
        TRY     "data still", "ldr x9, [x20]"
        str     xzr, [x24]
        FLUSH_TLB
        TRY     "gone", "ldr x9, [x20]"
        TRY     "gone, code", "blr x20"
        ldr     x30, [sp], #16
        ret
        .ltorg

// A table descriptor changes: VAE1 takes the walk's intermediate steps too.  Then a block in place of a table.
tables:
        str     x30, [sp, #-16]!
        LI      x20, VA + PAGE
        ENTRY   low, VA, 2
        mov     x24, x0
        ldr     x25, [x24]
        ENTRY   other, VA, 2
        ldr     x26, [x0]
        ENTRY   other, VA + PAGE, 3
        LI      x9, PAGE_A | RW
        str     x9, [x0]
        ENTRY   low, VA + PAGE, 3
        LI      x9, PAGE_B | RW
        str     x9, [x0]
        FLUSH_TLB
        ubfx    x27, x20, #12, #44
        LOOK    "first table"
        str     xzr, [x24]
        dsb     ishst
        tlbi    vae1, x27
        dsb     ish
        isb
        str     x26, [x24]
        dsb     ishst
        isb
        LOOK    "second table"
        str     xzr, [x24]
        FLUSH_TLB
        LI      x9, (TEST_PA & ~((1 << (GRANULE + STRIDE)) - 1)) | BLOCK | NORMAL
        str     x9, [x24]
        dsb     ishst
        isb
        LI      x20, VA + (TEST_PA & ((1 << (GRANULE + STRIDE)) - 1))
        LOOK    "block"
        add     x20, x20, #PAGE
        ldr     x9, [x20, #8]
        SHOW    "next", x9
        NL
        // A TLBI of any address in a block takes the whole block.
        str     xzr, [x24]
        dsb     ishst
        LI      x20, VA
        ubfx    x27, x20, #12, #44
        tlbi    vae1, x27
        dsb     ish
        isb
        LI      x20, VA + (TEST_PA & ((1 << (GRANULE + STRIDE)) - 1))
        TRY     "block gone", "ldr x9, [x20, #8]"
        str     x25, [x24]
        FLUSH_TLB
        ldr     x30, [sp], #16
        ret
        .ltorg

.if GRANULE == 12
        .set    RUN,    16
.elseif GRANULE == 14
        .set    RUN,    128
.else
        .set    RUN,    32
.endif
// A contiguous run maps each page to its own place all the same.
contiguous:
        str     x30, [sp, #-16]!
        LI      x20, VA + RUN * PAGE
        ENTRY   low, VA + RUN * PAGE, 3
        LI      x9, TEST_PA | RW | CONTIGUOUS
        mov     x10, #RUN
        mov     x11, #PAGE
1:      str     x9, [x0], #8
        add     x9, x9, x11
        subs    x10, x10, #1
        b.ne    1b
        sub     x24, x0, #RUN * 8
        FLUSH_TLB
        mov     x12, #0
        mov     x10, x20
2:      str     x12, [x10, #0x20]
        add     x10, x10, x11
        add     x12, x12, #1
        cmp     x12, #RUN
        b.ne    2b
        LOOK    "contiguous first"
        add     x20, x20, x11
        LOOK    "contiguous second"
        ldr     x9, [x20, #0x20]
        add     x20, x20, #(RUN - 2) * PAGE
        ldr     x10, [x20, #0x20]
        SHOW    "second", x9
        SHOW    "last", x10
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

        .bss
        .balign 8
other:  .skip   SPACE_SIZE
