// Address translation instructions and PAR_EL1: attributes on success, the fault's status otherwise.
        .include "runtime.S"
        .include "pagetable.S"

        .set    TCR,    TCR_GRANULE | TCR_IPS_40 | 25 | TCR_EPD1
        .set    VA,     0x6000000000

.macro  PROBE_AT title
        LOG     "\title\n"
        bl      probe_at
.endm
probe_at:
        str     x30, [sp, #-16]!
        TRY     " AT", "at s1e1r, x20; isb; mrs x21, par_el1; at s1e1w, x20; isb; mrs x22, par_el1; at s1e0r, x20; isb; mrs x23, par_el1; at s1e0w, x20; isb; mrs x24, par_el1"
        SHOW    "r1", x21
        SHOW    "w1", x22
        SHOW    "r0", x23
        SHOW    "w0", x24
        NL
        ldr     x30, [sp], #16
        ret

// Puts a descriptor at a level of VA's walk for one probe.
.macro  WITH    level, title, descriptor:vararg
        ENTRY   low, VA, \level
        mov     x25, x0
        ldr     x26, [x25]
        LI      x9, \descriptor
        str     x9, [x25]
        FLUSH_TLB
        PROBE_AT "L\level \title"
        str     x26, [x25]
        FLUSH_TLB
.endm

main:
        str     x30, [sp, #-16]!
        LI      x20, TEST_PA + 0x123
        PROBE_AT "MMU off"
        SPACE   low, 25
        MAP_PROGRAM low
        MAP     low, VA, 3, TEST_PA | LEAF | NORMAL
        MMU_ON  low, none, TCR
        LI      x20, VA + 0x123
        bl      pages
        bl      faults
        bl      elsewhere
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

pages:
        str     x30, [sp, #-16]!
        b       1f
        .ltorg
1:      WITH    3, "AP=0", TEST_PA | LEAF | NORMAL
        WITH    3, "AP=1", TEST_PA | LEAF | NORMAL | AP_EL0
        WITH    3, "AP=2", TEST_PA | LEAF | NORMAL | AP_RO
        WITH    3, "AP=3", TEST_PA | LEAF | NORMAL | AP_RO | AP_EL0
        WITH    3, "XN", TEST_PA | LEAF | NORMAL | AP_EL0 | UXN | PXN
        b       1f
        .ltorg
1:      WITH    3, "nc", TEST_PA | LEAF | ATTR_NC | AF
        WITH    3, "nc outer", TEST_PA | LEAF | ATTR_NC | AF | (2 << 8)
        WITH    3, "device", TEST_PA | LEAF | DEVICE
        WITH    3, "gre", TEST_PA | LEAF | ATTR_GRE | AF
        WITH    3, "normal not shared", TEST_PA | LEAF | ATTR_NORMAL | AF
        WITH    3, "normal outer", TEST_PA | LEAF | ATTR_NORMAL | AF | (2 << 8)
        WITH    3, "NS nG cont", TEST_PA | LEAF | NORMAL | (1 << 5) | NG | CONTIGUOUS
        WITH    2, "block", 0x40000000 | BLOCK | NORMAL | AP_EL0
.if GRANULE == 12
        WITH    1, "block", 0x40000000 | BLOCK | NORMAL
.endif
        ldr     x30, [sp], #16
        ret
        .ltorg

faults:
        str     x30, [sp, #-16]!
        b       1f
        .ltorg
1:      WITH    3, "invalid", 0
        WITH    2, "invalid", 0
.if GRANULE == 12
        WITH    1, "invalid", 0
        WITH    1, "size table", 0x10000000000 | TABLE
.endif
        WITH    3, "AF=0", TEST_PA | LEAF | ATTR_NORMAL | AP_EL0
        WITH    3, "size", 0x10000000000 | LEAF | NORMAL
        WITH    2, "size", 0x10000000000 | BLOCK | NORMAL
        WITH    2, "size table", 0x10000000000 | TABLE
        ldr     x30, [sp], #16
        ret
        .ltorg

elsewhere:
        str     x30, [sp, #-16]!
        LI      x20, 1 << 40
        PROBE_AT "out of range"
        mov     x20, #-0x1000
        PROBE_AT "EPD1"
        ADDR    x20, main
        and     x20, x20, #~0xfff
        PROBE_AT "program text"
        mov     x20, #UART
        PROBE_AT "uart"
        // AT looks at the tables anew or at the TLB; either way it doesn't fault, and FAR and ESR stay.
        LI      x20, VA
        TRY     "fault first", "str x9, [x20, #-8]"
        mrs     x21, far_el1
        mrs     x22, esr_el1
        sub     x20, x20, #PAGE
        at      s1e1w, x20
        isb
        mrs     x23, far_el1
        mrs     x24, esr_el1
        cmp     x21, x23
        ccmp    x22, x24, #0, eq
        cset    x9, eq
        SHOW    "kept", x9
        NL
        TRY0    "EL0 at", "at s1e0r, x20"
        TRY0    "EL0 mrs par", "mrs x9, par_el1"
        mov     x9, #-1
        msr     par_el1, x9
        mrs     x10, par_el1
        LOG     "par ones"
        SHOW    "par", x10
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg
