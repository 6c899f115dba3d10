// TCR_EL1's controls: a size for each half, EPD0 and EPD1, TBI0 and TBI1.
        .include "runtime.S"
        .include "pagetable.S"

        .set    BASE,   TCR_GRANULE | TCR_IPS_40

.macro  TCR     value:vararg
        LI      x9, BASE | \value
        msr     tcr_el1, x9
        isb
        FLUSH_TLB
.endm

main:
        str     x30, [sp, #-16]!
        LI      x9, TEST_PA
        LI      x10, 0xd65f03c0                 // ret
        str     w10, [x9]
        bl      uneven
        bl      controls
        ldr     x30, [sp], #16
        ret
        .ltorg

// A size for each half.
uneven:
        str     x30, [sp, #-16]!
        LOG     "uneven\n"
        SPACE   low, 25
        SPACE   high, 34
        MAP_PROGRAM low
        MAP     low, 0x7000000000, 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        MAP     high, -0x20000000, 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        MMU_ON  low, high, BASE | 25 | (34 << 16)
        READ    " low", 0x7000000000
        READ    " high", -0x20000000
        READ    " past high", -0x40000008
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

// EPD and TBI.  Without TBI a tag is an address out of range; with it the tag is ignored by the walk, kept in FAR for data
// and taken out of the pc by a branch.
controls:
        str     x30, [sp, #-16]!
        SPACE   low, 25
        SPACE   high, 25
        MAP_PROGRAM low
        MAP     low, 0x7000000000, 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        MAP     high, -0x2000000000, 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        MMU_ON  low, high, BASE | 25 | (25 << 16) | TCR_EPD1
        LOG     "EPD1\n"
        READ    " low", 0x7000000000
        READ    " high", -0x2000000000
        READ0   " high", -0x2000000000
        RUN     " high", -0x2000000000
        TCR     25 | (25 << 16)
        LOG     "no EPD\n"
        READ    " high", -0x2000000000
        b       1f
        .ltorg
1:      bl      epd0
        LOG     "TBI off\n"
        READ    " tag low", 0xaa00007000000000
        READ    " tag high", 0x55ffffe000000000
        READ    " tag low to high", 0x0080000000000000
        RUN     " tag low", 0xaa00007000000000
        TCR     25 | (25 << 16) | TCR_TBI0
        LOG     "TBI0\n"
        READ    " tag low", 0xaa00007000000000
        READ0   " tag low", 0xff00007000000000
        READ    " tag high", 0x55ffffe000000000
        READ    " tag unmapped", 0xaa00006000000000
        RUN     " tag low", 0xaa00007000000000
        b       1f
        .ltorg
1:      RUN     " tag unmapped", 0xaa00006000000000
        READ    " tag out of range", 0xaa00807000000000
        TCR     25 | (25 << 16) | TCR_TBI1
        LOG     "TBI1\n"
        READ    " tag low", 0xaa00007000000000
        READ    " tag high", 0x55ffffe000000000
        READ0   " tag high", 0x00ffffe000000000
        READ    " tag unmapped", 0x55ffffd000000000
        RUN     " tag high", 0x55ffffe000000000
        RUN     " tag unmapped", 0x55ffffd000000000
        b       1f
        .ltorg
1:      TCR     25 | (25 << 16) | TCR_TBI1 | TCR_TBI0
        LOG     "TBI0 TBI1\n"
        // The pc that a branch, a return and an exception return make from a tagged address.
        ADDR    x20, here
        LI      x21, 0xab00000000000000
        orr     x20, x20, x21
        TRY     " blr", "blr x20"
        SHOW    "pc", x23
        NL
        LI      x21, 0xcd00000000000000
        ADDR    x20, there
        orr     x20, x20, x21
        TRY     " eret", "msr elr_el1, x20; mov x9, #PSTATE_EL1H; msr spsr_el1, x9; mrs x22, elr_el1; eret; there: adr x23, ."
        and     x22, x22, #0xff00000000000000
        and     x23, x23, #0xff00000000000000
        SHOW    "elr", x22
        SHOW    "pc", x23
        NL
        TRY     " load, tag in base", "ldr x9, [sp]"
        bl      mmu_off
        ldr     x30, [sp], #16
        ret

// With EPD0 set neither the program nor the UART is there: the test runs in the high half, where text and data are mapped at
// the same distances, and a hook keeps what it sees for later.
epd0:
        str     x30, [sp, #-16]!
        ADDR    x0, high
        ADDR    x19, high
        LI      x23, -0x2000000000      // what is added to an address of the program
        ADDR    x20, image_start
1:      mov     x0, x19
        add     x1, x20, x23
        LI      x2, LEAF | NORMAL
        orr     x2, x2, x20
        mov     x3, #3
        bl      map
        add     x20, x20, #PAGE
        ADDR    x21, pool
        cmp     x20, x21
        b.lo    1b
        FLUSH_TLB
        mrs     x24, vbar_el1
        mov     x25, sp
        add     x9, x24, x23
        msr     vbar_el1, x9
        isb
        adr     x9, 2f
        add     x9, x9, x23
        br      x9
2:      SET_HOOK remember                       // its high address
        mrs     x26, tcr_el1
        orr     x9, x26, #TCR_EPD0
        msr     tcr_el1, x9
        isb
        FLUSH_TLB
        LI      x20, 0x7000000000
        adr     x28, 3f
        ldr     x9, [x20]
3:      adr     x28, 4f
        blr     x20
4:      msr     tcr_el1, x26
        isb
        FLUSH_TLB
        adr     x9, 5f
        sub     x9, x9, x23
        br      x9
5:      msr     vbar_el1, x24
        isb
        CLEAR_HOOK
        LOG     "EPD0\n"
        ADDR    x20, remembered
        ldp     x21, x22, [x20]
        SHOW    "esr", x21
        SHOW    "far", x22
        ldp     x21, x22, [x20, #16]
        SHOW    "esr", x21
        SHOW    "far", x22
        NL
        ldr     x30, [sp], #16
        ret
remember:
        ADDR    x2, remember_next
        ldr     x3, [x2]
        add     x4, x3, #16
        str     x4, [x2]
        ADDR    x2, remembered
        add     x2, x2, x3
        ldp     x3, x4, [x0, #FRAME_ESR]
        stp     x3, x4, [x2]
        ldr     x3, [x0, #224]
        str     x3, [x0, #FRAME_ELR]
        mov     x0, #0
        ret
        .ltorg

here:   adr     x23, .
        and     x23, x23, #0xff00000000000000
        ret
        .ltorg

        .bss
        .balign 16
remembered: .skip 32
remember_next: .skip 8
