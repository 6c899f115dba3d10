// Permissions: every combination of AP, UXN and PXN on a page and on a block, table attributes, WXN.  The contents of the
// target: RET, then data.  Reads and writes of the instruction page happen beside the RET.
        .include "runtime.S"
        .include "pagetable.S"

        .set    VA,     0x0000123440000000
        .set    TCR,    TCR_GRANULE | TCR_IPS_40 | 16 | (16 << 16)

.macro  LEAF_AS title, level, descriptor:vararg
        ENTRY   low, VA, \level
        LI      x9, TEST_PA | NORMAL | \descriptor
        str     x9, [x0]
        FLUSH_TLB
        PROBE   "\title"
.endm

.macro  ALL     where, level, type
        .irp    ap, 0, 1, 2, 3
        LEAF_AS "\where AP=\ap", \level, \type | (\ap << 6)
        LEAF_AS "\where AP=\ap PXN", \level, \type | (\ap << 6) | PXN
        LEAF_AS "\where AP=\ap UXN", \level, \type | (\ap << 6) | UXN
        LEAF_AS "\where AP=\ap UXN PXN", \level, \type | (\ap << 6) | UXN | PXN
        .endr
.endm

main:
        str     x30, [sp, #-16]!
        LI      x9, TEST_PA
        LI      x10, 0xd65f03c0                 // ret
        str     w10, [x9]
        SPACE   low, 16
        MAP_PROGRAM low
        LI      x20, VA
        MAP     low, VA, 3, TEST_PA | LEAF | NORMAL
        MMU_ON  low, none, TCR | TCR_EPD1
.ifdef  LEAVES
        bl      leaves
.endif
.ifdef  TABLES
        bl      tables
.endif
.ifdef  WXN
        WRITE_SCTLR SCTLR_ON | SCTLR_WXN
        bl      leaves
.endif
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

leaves:
        str     x30, [sp, #-16]!
        b       1f
        .ltorg
1:      ALL     "page", 3, LEAF
.ifdef  LEAVES
        LEAF_AS "block AP=0", 2, BLOCK
        LEAF_AS "block AP=1", 2, BLOCK | AP_EL0
        LEAF_AS "block AP=2 UXN", 2, BLOCK | AP_RO | UXN
        LEAF_AS "block AP=3 PXN", 2, BLOCK | AP_RO | AP_EL0 | PXN
.endif
        ldr     x30, [sp], #16
        ret
        .ltorg

// The attributes of a table limit what is below it: each bit at each level alone, on the most permissive leaves.
.macro  TABLE_AS level, title, bits:vararg
        ENTRY   low, VA, \level
        mov     x21, x0
        ldr     x22, [x0]
        LI      x9, \bits
        orr     x9, x9, x22
        str     x9, [x21]
        FLUSH_TLB
        PROBE   "table L\level \title"
        str     x22, [x21]
        FLUSH_TLB
.endm
tables:
        str     x30, [sp, #-16]!
        b       1f
        .ltorg
1:      .irp    level, 0, 1, 2
        ENTRY   low, VA, 3
        LI      x9, TEST_PA | NORMAL | LEAF | AP_EL0
        str     x9, [x0]
        TABLE_AS \level, "PXN", PXN_TABLE
        TABLE_AS \level, "UXN", UXN_TABLE
        TABLE_AS \level, "no EL0", AP_TABLE_NO_EL0
        TABLE_AS \level, "RO", AP_TABLE_RO
        TABLE_AS \level, "RO no EL0", AP_TABLE_RO | AP_TABLE_NO_EL0
        .endr
        b       1f
        .ltorg
1:      ENTRY   low, VA, 3
        LI      x9, TEST_PA | NORMAL | LEAF
        str     x9, [x0]
        TABLE_AS 1, "RO over EL1 RW", AP_TABLE_RO
        TABLE_AS 1, "no EL0 over EL1 RW", AP_TABLE_NO_EL0
        // Bits of two levels add up.
        ENTRY   low, VA, 3
        LI      x9, TEST_PA | NORMAL | LEAF | AP_EL0
        str     x9, [x0]
        ENTRY   low, VA, 0
        mov     x23, x0
        ldr     x24, [x0]
        LI      x9, AP_TABLE_RO
        orr     x9, x9, x24
        str     x9, [x23]
        TABLE_AS 2, "UXN under L0 RO", UXN_TABLE
        str     x24, [x23]
        FLUSH_TLB
        ldr     x30, [sp], #16
        ret
        .ltorg
