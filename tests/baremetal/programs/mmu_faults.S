// Translation, access flag and address size faults at each level of one granule, in both halves of the address space.
        .include "runtime.S"
        .include "pagetable.S"

        // First levels.  With 16 KiB, level 0 has one bit: its low entry serves the program too and must stay.
        .set    HIGH_FIRST, -(GRANULE == 16)
        .set    LOW_FIRST,  -(GRANULE != 12)
        .set    LOW,    0x0000555540000000      // each level's index differs from zero and from the program's own
        .set    HIGH,   0xffffd55540000000
        .set    TCR,    TCR_GRANULE | TCR_IPS_32 | 16 | (16 << 16)

main:
        str     x30, [sp, #-16]!
        LI      x9, TEST_PA
        LI      x10, 0xd65f03c0                 // ret
        str     w10, [x9]
        SPACE   low, 16
        SPACE   high, 16
        MAP_PROGRAM low
        MAP     low, LOW, 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        MAP     high, HIGH, 3, TEST_PA | LEAF | NORMAL | AP_EL0 | AP_RO
        MMU_ON  low, high, TCR
        bl      good
        bl      invalid_low
        bl      invalid_high
        bl      flags_and_sizes
        bl      roots
        bl      mmu_off
        ldr     x30, [sp], #16
        ret

good:
        str     x30, [sp, #-16]!
        LI      x20, LOW
        PROBE   "low"
        LI      x20, HIGH
        PROBE   "high"
        ldr     x30, [sp], #16
        ret

// Puts another descriptor at a level for one probe.
.macro  WITH    space, address, level, title, descriptor:vararg
        ENTRY   \space, \address, \level
        mov     x21, x0
        ldr     x22, [x21]
        LI      x9, \descriptor
        str     x9, [x21]
        FLUSH_TLB
        PROBE   "L\level \title"
        str     x22, [x21]
        FLUSH_TLB
.endm

invalid_low:
        str     x30, [sp, #-16]!
        LI      x20, LOW
        .irp    level, 0, 1, 2, 3
        .if     \level >= LOW_FIRST
        WITH    low, LOW, \level, "invalid", 0
        .endif
        .endr
        b       1f
        .ltorg
1:      WITH    low, LOW, 3, "bits 01", TEST_PA | 1 | NORMAL
        WITH    low, LOW, 3, "bits 10", TEST_PA | 2 | NORMAL
        // Blocks exist at level 1 for 4 KiB only, and at level 2.
.if GRANULE == 12
        WITH    low, LOW, 0, "block", BLOCK | NORMAL | AP_EL0
.endif
.if GRANULE != 12
        WITH    low, LOW, 1, "block", BLOCK | NORMAL | AP_EL0
.endif
        ldr     x30, [sp], #16
        ret
        .ltorg

invalid_high:
        str     x30, [sp, #-16]!
        LI      x20, HIGH
        .irp    level, 0, 1, 2, 3
        .if     \level >= HIGH_FIRST
        WITH    high, HIGH, \level, "invalid", 0
        .endif
        .endr
.if GRANULE == 14
        WITH    high, HIGH, 0, "block", BLOCK | NORMAL | AP_EL0
.endif
        ldr     x30, [sp], #16
        ret
        .ltorg

// IPS says 32 bits: an output or table address with bit 32 set is out of range, and reported at its own level.
flags_and_sizes:
        str     x30, [sp, #-16]!
        LI      x20, LOW
        WITH    low, LOW, 3, "AF=0", TEST_PA | LEAF | ATTR_NORMAL | AP_EL0 | AP_RO
        WITH    low, LOW, 3, "AF=0, EL1 only", TEST_PA | LEAF | ATTR_NORMAL | PXN | UXN | AP_RO
        WITH    low, LOW, 2, "AF=0 block", 0x40000000 | BLOCK | ATTR_NORMAL | AP_EL0
        b       1f
        .ltorg
1:
.if GRANULE == 12
        WITH    low, LOW, 1, "AF=0 block", 0x40000000 | BLOCK | ATTR_NORMAL | AP_EL0
        WITH    low, LOW, 1, "size block", 0x140000000 | BLOCK | NORMAL | AP_EL0
.endif
        WITH    low, LOW, 3, "size page", 0x142000000 | LEAF | NORMAL | AP_EL0
        WITH    low, LOW, 3, "size and AF=0", 0x142000000 | LEAF | ATTR_NORMAL
        WITH    low, LOW, 2, "size block", 0x140000000 | BLOCK | NORMAL | AP_EL0
        b       1f
        .ltorg
1:      .irp    level, 0, 1, 2
        .if     \level >= LOW_FIRST
        WITH    low, LOW, \level, "size table", 0x142000000 | TABLE
        .endif
        .endr
        ldr     x30, [sp], #16
        ret
        .ltorg

// The table base itself out of range: level 0, whatever level the walk would start at.
roots:
        str     x30, [sp, #-16]!
        LI      x20, HIGH
        mrs     x21, ttbr1_el1
        orr     x9, x21, #0x100000000
        msr     ttbr1_el1, x9
        FLUSH_TLB
        PROBE   "TTBR1 size"
        msr     ttbr1_el1, x21
        FLUSH_TLB
        ldr     x30, [sp], #16
        ret
        .ltorg
