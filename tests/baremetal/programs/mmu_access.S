// What kind of access it is: alignment by memory type and SCTLR.A, exclusives, page crossings, unprivileged accesses, cache
// maintenance and DC ZVA on pages that forbid it, memory that isn't there.
        .include "runtime.S"
        .include "pagetable.S"

        .set    TCR,    TCR_GRANULE | TCR_IPS_40 | 25 | TCR_EPD1
        // One page each, a page hole after `RO`, so that running over the end of a page finds something else.
        .set    NORMAL_VA,      0x6000000000
        .set    RO_VA,          NORMAL_VA + PAGE
        .set    HOLE_VA,        NORMAL_VA + 2 * PAGE
        .set    NC_VA,          NORMAL_VA + 3 * PAGE
        .set    DEVICE_VA,      NORMAL_VA + 4 * PAGE
        .set    GRE_VA,         NORMAL_VA + 5 * PAGE
        .set    EL1_VA,         NORMAL_VA + 6 * PAGE
        .set    EL0_VA,         NORMAL_VA + 7 * PAGE
        .set    NOBUS_VA,       NORMAL_VA + 8 * PAGE
        .set    NOBUS_PA,       0x0b000000      // between the virtio transports and the platform bus nothing answers
        .set    NOAF_VA,        NORMAL_VA + 9 * PAGE

.macro  AT_ADDRESS address:vararg
        LI      x20, \address
.endm

main:
        str     x30, [sp, #-16]!
        mov     x9, #0x300000
        msr     cpacr_el1, x9
        isb
        SPACE   low, 25
        MAP_PROGRAM low
        MAP     low, NORMAL_VA, 3, TEST_PA | LEAF | NORMAL | AP_EL0
        MAP     low, RO_VA, 3, (TEST_PA + PAGE) | LEAF | NORMAL | AP_EL0 | AP_RO
        MAP     low, NC_VA, 3, (TEST_PA + 2 * PAGE) | LEAF | ATTR_NC | AF | AP_EL0
        MAP     low, DEVICE_VA, 3, (TEST_PA + 3 * PAGE) | LEAF | DEVICE | AP_EL0
        MAP     low, GRE_VA, 3, (TEST_PA + 3 * PAGE) | LEAF | ATTR_GRE | AF | AP_EL0
        b       1f
        .ltorg
1:      MAP     low, EL1_VA, 3, (TEST_PA + 4 * PAGE) | LEAF | NORMAL
        MAP     low, EL0_VA, 3, (TEST_PA + 5 * PAGE) | LEAF | NORMAL | AP_EL0
        MAP     low, NOBUS_VA, 3, NOBUS_PA | LEAF | NORMAL | AP_EL0
        MAP     low, NOAF_VA, 3, TEST_PA | LEAF | ATTR_NORMAL
        MMU_ON  low, none, TCR
.ifdef  ALIGNMENT
        bl      normal_memory
        bl      device_memory
        bl      exclusives
.endif
.ifdef  PLACES
        bl      crossings
        bl      unprivileged
        bl      maintenance
        bl      zero
        bl      no_memory
.endif
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

// x20 = an address, aligned to 16.
.macro  UNALIGNED where
        TRY     "\where ldr", "ldr x9, [x20, x21]"
        TRY     "\where str", "str x9, [x20, x21]"
        TRY     "\where ldrh", "add x22, x20, x21; ldrh w9, [x22]"
        TRY     "\where ldrb", "ldrb w9, [x20, x21]"
        TRY     "\where ldur", "ldur w9, [x20, #1]"
        TRY     "\where ldp", "ldp x9, x10, [x22]"
        TRY     "\where stp w", "stp w9, w10, [x22]"
        TRY     "\where ldr q", "ldr q0, [x22]"
        TRY     "\where str d", "str d0, [x22]"
        TRY     "\where ld1 16b", "ld1 {v0.16b}, [x22]"
        TRY     "\where ld1 2d", "ld1 {v0.2d}, [x22]"
        TRY     "\where st4 8b", "st4 {v0.8b, v1.8b, v2.8b, v3.8b}, [x22]"
        TRY     "\where prfm", "prfm pldl1keep, [x22]"
        TRY     "\where ldtr", "ldtr w9, [x22]"
        TRY0    "\where EL0 ldr", "ldr x9, [x22]"
        TRY0    "\where EL0 strh", "strh w9, [x22]"
.endm
.macro  HALF_ALIGNED where                      // to the element, not to the whole
        mov     x21, #8
        add     x22, x20, #8
        TRY     "\where ldp 8", "ldp x9, x10, [x22]"
        TRY     "\where ldr q 8", "ldr q0, [x22]"
        TRY     "\where ld1 2d 8", "ld1 {v0.2d}, [x22]"
        TRY     "\where ld1 16b 8", "ld1 {v0.16b}, [x22]"
.endm
normal_memory:
        str     x30, [sp, #-16]!
        AT_ADDRESS NORMAL_VA + 0x40
        mov     x21, #1
        add     x22, x20, x21
        UNALIGNED "normal"
        WRITE_SCTLR SCTLR_ON | SCTLR_A
        mov     x21, #1
        add     x22, x20, x21
        UNALIGNED "A=1"
        HALF_ALIGNED "A=1"
        WRITE_SCTLR SCTLR_ON
        AT_ADDRESS NC_VA + 0x40
        add     x22, x20, #1
        TRY     "nc ldr", "ldr x9, [x22]"
        TRY     "nc stp", "stp x9, x10, [x22]"
        ldr     x30, [sp], #16
        ret
        .ltorg

device_memory:
        str     x30, [sp, #-16]!
        AT_ADDRESS DEVICE_VA + 0x40
        TRY     "device aligned", "ldr x9, [x20]; strb w9, [x20, #3]; strh w9, [x20, #6]; str w9, [x20, #4]"
        TRY     "device ldr w", "ldur w9, [x20, #2]"
        TRY     "device str x", "str x9, [x20, #4]"
        TRY     "device ldrh", "ldurh w9, [x20, #1]"
        TRY0    "device EL0 ldr", "ldur x9, [x20, #1]"
        AT_ADDRESS GRE_VA + 0x40
        TRY     "gre ldr w", "ldur w9, [x20, #2]"
        ldr     x30, [sp], #16
        ret
        .ltorg

.macro  EXCLUSIVE where
        TRY     "\where ldxr", "ldxr x9, [x22]"
        TRY     "\where stxr", "stxr w10, x9, [x22]"
        TRY     "\where ldxrh", "ldxrh w9, [x22]"
        TRY     "\where ldxp w", "ldxp w9, w10, [x22]"
        TRY     "\where stxp w", "stxp w11, w9, w10, [x22]"
        TRY     "\where ldar", "ldar w9, [x22]"
        TRY     "\where stlr", "stlr x9, [x22]"
        TRY     "\where ldarh", "ldarh w9, [x22]"
        TRY     "\where stlrb", "stlrb w9, [x22]"
        TRY     "\where ldaxr", "ldaxr w9, [x22]"
        TRY     "\where stlxr", "stlxr w10, w9, [x22]"
        TRY0    "\where EL0 ldxr", "ldxr w9, [x22]"
.ifdef  LSE
        TRY     "\where cas", "cas w9, w10, [x22]"
        TRY     "\where casp", "casp x4, x5, x6, x7, [x22]"
        TRY     "\where swp", "swp x9, x10, [x22]"
        TRY     "\where ldadd", "ldadd w9, w10, [x22]"
        TRY     "\where stset", "stset x9, [x22]"
        TRY     "\where ldaddh", "ldaddh w9, w10, [x22]"
        TRY     "\where ldaddb", "ldaddb w9, w10, [x22]"
        TRY0    "\where EL0 swpal", "swpal x9, x10, [x22]"
.endif
.endm
exclusives:
        str     x30, [sp, #-16]!
        AT_ADDRESS NORMAL_VA + 0x40
        add     x22, x20, #1
        EXCLUSIVE "+1"
        b       1f
        .ltorg
1:      add     x22, x20, #8
        TRY     "+8 ldxp", "ldxp x9, x10, [x22]"
        TRY     "+8 ldxp w", "ldxp w9, w10, [x22]"
        AT_ADDRESS RO_VA + 0x40
        mov     x22, x20
        EXCLUSIVE "ro"
        b       1f
        .ltorg
1:      AT_ADDRESS HOLE_VA + 0x40
        mov     x22, x20
        EXCLUSIVE "hole"
        ldr     x30, [sp], #16
        ret
        .ltorg

// Accesses over the end of a page report the first byte of the page that faults.
crossings:
        str     x30, [sp, #-16]!
        AT_ADDRESS RO_VA
        TRY     "rw to ro ldr", "ldur x9, [x20, #-4]"
        mov     x9, #-1
        dup     v0.2d, x9
        TRY     "rw to ro str", "stur x9, [x20, #-4]"
        TRY     "rw to ro strh", "sturh w9, [x20, #-1]"
        TRY     "rw to ro str q", "stur q0, [x20, #-3]"
        TRY0    "rw to ro EL0", "stur w9, [x20, #-1]"
        ldur    x9, [x20, #-8]                  // one element is written whole or not at all
        LOG     "before the page"
        SHOW    "x9", x9
        NL
        TRY     "rw to ro stp", "stp x9, x10, [x20, #-8]"
        AT_ADDRESS HOLE_VA
        TRY     "ro to hole ldr", "ldur x9, [x20, #-4]"
        TRY     "ro to hole str", "stur x9, [x20, #-4]"
        TRY     "ro to hole ldp", "mov x9, #1; mov x10, #2; ldp x9, x10, [x20, #-8]"
        SHOW    "x9", x9
        SHOW    "x10", x10
        NL
        TRY     "ro to hole ldp wb", "sub x11, x20, #8; mov x12, x11; ldp x9, x10, [x11], #16"
        sub     x11, x11, x12
        SHOW    "moved", x11
        NL
        TRY     "ro to hole ld1", "sub x11, x20, #24; ld1 {v0.2d, v1.2d}, [x11]"
        TRY     "hole to nc ldr", "add x11, x20, #PAGE; ldur x9, [x11, #-4]"
        TRY     "hole str wb", "mov x11, x20; str x9, [x11, #16]!"
        sub     x11, x11, x20
        SHOW    "moved", x11
        NL
        TRY     "hole ldr to base", "mov x11, x20; ldr x11, [x11]"
        cmp     x11, x20
        cset    x11, eq
        SHOW    "same", x11
        NL
        TRY     "hole prfm", "prfm pstl1keep, [x20]"
        ldr     x30, [sp], #16
        ret
        .ltorg

// LDTR and STTR act as EL0 does.
unprivileged:
        str     x30, [sp, #-16]!
        AT_ADDRESS EL1_VA
        TRY     "EL1 page ldr", "ldr x9, [x20]"
        TRY     "EL1 page ldtr", "ldtr x9, [x20]"
        TRY     "EL1 page sttr", "sttr x9, [x20]"
        TRY     "EL1 page ldtrsb", "ldtrsb x9, [x20, #5]"
        TRY     "EL1 page sttrh", "sttrh w9, [x20, #2]"
        TRY0    "EL1 page EL0 ldtr", "ldtr x9, [x20]"
        AT_ADDRESS EL0_VA
        TRY     "EL0 page ldtr", "ldtr x9, [x20]"
        TRY     "EL0 page sttr", "sttr x9, [x20]"
        TRY0    "EL0 page EL0 sttr", "sttr x9, [x20]"
        AT_ADDRESS RO_VA
        TRY     "ro page ldtr", "ldtr x9, [x20]"
        TRY     "ro page sttr", "sttr x9, [x20]"
        AT_ADDRESS HOLE_VA
        TRY     "hole ldtr", "ldtr x9, [x20]"
        TRY     "hole sttr", "sttr x9, [x20]"
        ldr     x30, [sp], #16
        ret
        .ltorg

.macro  MAINTAIN where
        TRY     "\where dc cvac", "dc cvac, x20"
        TRY     "\where dc cvau", "dc cvau, x20"
        TRY     "\where dc civac", "dc civac, x20"
        TRY     "\where dc ivac", "dc ivac, x20"
        TRY     "\where ic ivau", "ic ivau, x20"
        TRY0    "\where EL0 dc cvac", "dc cvac, x20"
        TRY0    "\where EL0 dc civac", "dc civac, x20"
        TRY0    "\where EL0 ic ivau", "ic ivau, x20"
.endm
maintenance:
        str     x30, [sp, #-16]!
        WRITE_SCTLR SCTLR_ON | SCTLR_UCI
        AT_ADDRESS NORMAL_VA + 0x48
        MAINTAIN "rw"
        AT_ADDRESS RO_VA + 0x48
        MAINTAIN "ro"
        AT_ADDRESS EL1_VA + 0x48
        MAINTAIN "EL1 page"
        b       1f
        .ltorg
1:      AT_ADDRESS HOLE_VA + 0x48
        MAINTAIN "hole"
        AT_ADDRESS NOAF_VA + 0x48
        MAINTAIN "no AF"
        WRITE_SCTLR SCTLR_ON
        ldr     x30, [sp], #16
        ret
        .ltorg

// DC ZVA clears 64 bytes; a fault reports the address given, not the block's.
zero:
        str     x30, [sp, #-16]!
        WRITE_SCTLR SCTLR_ON | SCTLR_DZE
        AT_ADDRESS NORMAL_VA + 0x80
        mov     x9, #-1
        stp     x9, x9, [x20, #-16]
        stp     x9, x9, [x20]
        stp     x9, x9, [x20, #48]
        stp     x9, x9, [x20, #64]
        add     x21, x20, #0x15
        TRY     "zva", "dc zva, x21"
        ldr     x9, [x20, #-8]
        ldr     x10, [x20]
        ldr     x11, [x20, #56]
        ldr     x12, [x20, #64]
        SHOW    "before", x9
        SHOW    "first", x10
        SHOW    "last", x11
        SHOW    "after", x12
        NL
        TRY0    "zva EL0", "dc zva, x21"
        AT_ADDRESS RO_VA + 0x95
        TRY     "zva ro", "dc zva, x20"
        TRY0    "zva ro EL0", "dc zva, x20"
        AT_ADDRESS HOLE_VA + 0x95
        TRY     "zva hole", "dc zva, x20"
        AT_ADDRESS EL1_VA + 0x95
        TRY0    "zva EL1 page EL0", "dc zva, x20"
        AT_ADDRESS DEVICE_VA + 0x80
        TRY     "zva device", "dc zva, x20"
        mrs     x9, dczid_el0
        SHOW    "dczid", x9
        NL
        WRITE_SCTLR SCTLR_ON
        ldr     x30, [sp], #16
        ret
        .ltorg

// Nothing answers: an external abort, synchronous as QEMU makes it.
no_memory:
        str     x30, [sp, #-16]!
        AT_ADDRESS NOBUS_VA + 0x40
        TRY     "no memory ldr", "ldr x9, [x20]"
        TRY     "no memory ldrb", "ldrb w9, [x20, #3]"
        TRY     "no memory str", "str x9, [x20]"
        TRY     "no memory ldp", "ldp x9, x10, [x20]"
        TRY     "no memory ldr q", "ldr q0, [x20]"
        TRY0    "no memory EL0 ldr", "ldr x9, [x20]"
        TRY0    "no memory EL0 str", "str x9, [x20]"
        TRY     "no memory ldxr", "ldxr x9, [x20]"
        TRY     "no memory ldtr", "ldtr x9, [x20]"
        AT_ADDRESS NOBUS_VA + 0x40
        TRY     "no memory run", "blr x20"
        TRY0    "no memory EL0 run", "blr x20"
        // A walk that meets no memory reports the level of the descriptor that it could not read.
        .irp    level, 1, 2
        ENTRY   low, NOBUS_VA, \level
        .if     (\level == 2) || (GRANULE == 12)
        mov     x21, x0
        ldr     x22, [x21]
        LI      x9, NOBUS_PA | TABLE
        str     x9, [x21]
        FLUSH_TLB
        TRY     "walk L\level ldr", "ldr x9, [x20]"
        TRY     "walk L\level str", "str x9, [x20]"
        TRY     "walk L\level run", "blr x20"
        TRY0    "walk L\level EL0 ldr", "ldr x9, [x20]"
        str     x22, [x21]
        FLUSH_TLB
        .endif
        .endr
        ldr     x30, [sp], #16
        ret
        .ltorg
