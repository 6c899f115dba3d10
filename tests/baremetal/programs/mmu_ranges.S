// The address ranges: T0SZ and T1SZ with every first level, and the gap between the halves.
        .include "runtime.S"
        .include "pagetable.S"

        .set    BASE,   TCR_GRANULE | TCR_IPS_40

// Both halves of one size: the program is mapped low; the test page is the last one of the low half and the first of the
// high one, so that a neighbour beyond the range differs in one bit.
.macro  SIZE    size
        LOG     "size \size\n"
        SPACE   low, \size
        SPACE   high, \size
        MAP_PROGRAM low
        MAP     low, (1 << (64 - \size)) - PAGE, 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        MAP     high, -(1 << (64 - \size)), 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        b       1f
        .ltorg
1:      MMU_ON  low, high, BASE | \size | (\size << 16)
        READ    " last low", (1 << (64 - \size)) - PAGE
        READ    " past low", 1 << (64 - \size)
        READ    " first high", -(1 << (64 - \size))
        READ    " before high", -(1 << (64 - \size)) - PAGE
        b       1f
        .ltorg
1:      READ0   " last low", (1 << (64 - \size)) - PAGE
        READ0   " past low", 1 << (64 - \size)
        RUN     " last low", (1 << (64 - \size)) - PAGE
        RUN     " past low", 1 << (64 - \size)
        RUN     " before high", -(1 << (64 - \size)) - PAGE
        READ    " top", -8
        b       1f
        .ltorg
1:
        READ    " bit 55", 1 << 55
        READ    " bit 63", 1 << 63
        READ    " bit 56 low", (1 << 56) | ((1 << (64 - \size)) - PAGE)
        RUN     " bit 56 low", (1 << 56) | ((1 << (64 - \size)) - PAGE)
        bl      mmu_off
        b       1f
        .ltorg
1:
.endm

main:
        str     x30, [sp, #-16]!
        LI      x9, TEST_PA
        LI      x10, 0xd65f03c0                 // ret
        str     w10, [x9]
        SIZE    16
        SIZE    17
        SIZE    20
        SIZE    25
        SIZE    28
        SIZE    30
        SIZE    32
        SIZE    33
        ldr     x30, [sp], #16
        ret
        .ltorg
