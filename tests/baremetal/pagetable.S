// Page tables for the test programs that need the MMU, for one granule: GRANULE (12, 14 or 16, default 12) is the shift.
// Include it after runtime.S.  The functions here lose x0-x9 and x30.
//
// A "space" is one translation table base: {root, first level, mask of the virtual address bits it translates}.
// Programs keep their own test addresses away from RAM's identity map: TEST_VA is theirs, TEST_PA is free memory.

.ifndef GRANULE
        .set    GRANULE, 12
.endif
        .set    STRIDE,         GRANULE - 3
        .set    PAGE,           1 << GRANULE
        .set    POOL_PAGES,     40

        .set    SPACE_ROOT,     0
        .set    SPACE_LEVEL,    8
        .set    SPACE_MASK,     16
        .set    SPACE_SIZE,     24

        .set    TEST_PA,        0x42000000      // aligned for the 2 MiB and 32 MiB blocks of 4 and 16 KiB granules

        // Descriptors.  ATTR_*: index into MAIR; AP_*: EL0 / read-only.
        .set    BLOCK,          1
        .set    LEAF,           3               // a page (level 3)
        .set    TABLE,          3
        .set    ATTR_DEVICE,    0 << 2          // Device-nGnRnE
        .set    ATTR_NORMAL,    1 << 2          // Normal, write-back
        .set    ATTR_NC,        2 << 2          // Normal, not cacheable
        .set    ATTR_GRE,       3 << 2          // Device-GRE
        .set    AP_EL0,         1 << 6
        .set    AP_RO,          1 << 7
        .set    SH_INNER,       3 << 8
        .set    AF,             1 << 10
        .set    NG,             1 << 11
        .set    CONTIGUOUS,     1 << 52
        .set    PXN,            1 << 53
        .set    UXN,            1 << 54
        .set    PXN_TABLE,      1 << 59
        .set    UXN_TABLE,      1 << 60
        .set    AP_TABLE_NO_EL0, 1 << 61
        .set    AP_TABLE_RO,    1 << 62
        .set    NORMAL,         ATTR_NORMAL | SH_INNER | AF
        .set    DEVICE,         ATTR_DEVICE | AF | UXN | PXN
        .set    MAIR_VALUE,     0x0c44ff00

        .set    TCR_EPD0,       1 << 7
        .set    TCR_A1,         1 << 22
        .set    TCR_EPD1,       1 << 23
        .set    TCR_IPS_32,     0 << 32
        .set    TCR_IPS_36,     1 << 32
        .set    TCR_IPS_40,     2 << 32
        .set    TCR_AS,         1 << 36
        .set    TCR_TBI0,       1 << 37
        .set    TCR_TBI1,       1 << 38
        .set    TCR_CACHED,     0x35003500      // both: inner shareable, write-back
.if GRANULE == 12
        .set    TCR_GRANULE,    (0 << 14) | (2 << 30) | TCR_CACHED
.elseif GRANULE == 14
        .set    TCR_GRANULE,    (2 << 14) | (1 << 30) | TCR_CACHED
.else
        .set    TCR_GRANULE,    (1 << 14) | (3 << 30) | TCR_CACHED
.endif

        .set    SCTLR_RES1,     0x30d00800
        .set    SCTLR_M,        1 << 0
        .set    SCTLR_A,        1 << 1
        .set    SCTLR_C,        1 << 2
        .set    SCTLR_I,        1 << 12
        .set    SCTLR_DZE,      1 << 14
        .set    SCTLR_WXN,      1 << 19
        .set    SCTLR_UCI,      1 << 26
        .set    SCTLR_ON,       SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I

.macro  SPACE   space:req, size:req             // size: TCR's T0SZ or T1SZ
        ADDR    x0, \space
        mov     x1, #\size
        bl      space_init
.endm

.macro  MAP     space:req, address:req, level:req, descriptor:vararg
        ADDR    x0, \space
        LI      x1, \address
        LI      x2, \descriptor
        mov     x3, #\level
        bl      map
.endm

// x0 = address of the descriptor at a level.
.macro  ENTRY   space:req, address:req, level:req
        ADDR    x0, \space
        LI      x1, \address
        mov     x3, #\level
        bl      entry
.endm

.macro  FLUSH_TLB
        dsb     ishst
        tlbi    vmalle1
        dsb     ish
        isb
.endm

.macro  WRITE_SCTLR value:vararg
        LI      x9, \value
        msr     sctlr_el1, x9
        isb
.endm

        .text
// x0 = space, x1 = size.
space_init:
        mov     x2, #64
        sub     x2, x2, x1                      // bits of virtual address
        mov     x3, #1
        lsl     x3, x3, x2
        sub     x3, x3, #1
        sub     x2, x2, #GRANULE + 1
        mov     x4, #STRIDE
        udiv    x2, x2, x4
        mov     x4, #3
        sub     x4, x4, x2
        stp     x4, x3, [x0, #SPACE_LEVEL]
        ADDR    x2, pool_next
        ldr     x3, [x2]
        str     x3, [x0, #SPACE_ROOT]
        add     x3, x3, #PAGE
        str     x3, [x2]
        ret

// x0 = space, x1 = virtual address, x3 = level: x0 = the descriptor's address.  Makes the tables above it.
entry:
        ldp     x4, x5, [x0, #SPACE_ROOT]
        ldr     x6, [x0, #SPACE_MASK]
        and     x1, x1, x6
1:      mov     x7, #3
        sub     x7, x7, x5
        mov     x8, #STRIDE
        mov     x9, #GRANULE
        madd    x7, x7, x8, x9
        lsr     x8, x1, x7
        and     x8, x8, #(1 << STRIDE) - 1
        add     x4, x4, x8, lsl #3
        cmp     x5, x3
        b.eq    3f
        ldr     x7, [x4]
        tbnz    x7, #0, 2f
        ADDR    x8, pool_next
        ldr     x7, [x8]
        add     x9, x7, #PAGE
        str     x9, [x8]
        orr     x9, x7, #TABLE
        str     x9, [x4]
2:      and     x4, x7, #0x0000fffffffff000
        add     x5, x5, #1
        b       1b
3:      mov     x0, x4
        ret

// x0 = space, x1 = virtual address, x2 = descriptor, x3 = level: x0 = the descriptor's address.
map:
        str     x30, [sp, #-16]!
        bl      entry
        str     x2, [x0]
        ldr     x30, [sp], #16
        ret

// Maps the program and the UART at their physical addresses: text for both levels to run, data for EL1 only.
.macro  MAP_PROGRAM space:req
        ADDR    x0, \space
        bl      map_program
.endm
map_program:
        stp     x30, x19, [sp, #-48]!
        stp     x20, x21, [sp, #16]
        stp     x22, x23, [sp, #32]
        mov     x19, x0
        ADDR    x20, image_start
        ADDR    x21, data_start
        LI      x22, LEAF | NORMAL | AP_EL0 | AP_RO
        bl      map_range
        mov     x20, x21
        ADDR    x21, pool + POOL_PAGES * PAGE
        LI      x22, LEAF | NORMAL | UXN | PXN
        bl      map_range
        mov     x20, #UART
        add     x21, x20, #PAGE
        LI      x22, LEAF | DEVICE
        bl      map_range
        ldp     x22, x23, [sp, #32]
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #48
        ret

// x19 = space, x20 = from, x21 = to, x22 = attributes.
map_range:
        str     x30, [sp, #-16]!
1:      mov     x0, x19
        mov     x1, x20
        orr     x2, x20, x22
        mov     x3, #3
        bl      map
        add     x20, x20, #PAGE
        cmp     x20, x21
        b.lo    1b
        ldr     x30, [sp], #16
        ret

// Turns the MMU on with TCR = x0 and the two spaces' roots (0: none) in x1 and x2.
.macro  MMU_ON  low:req, high:req, tcr:vararg
        ADDR    x1, \low
        ADDR    x2, \high
        LI      x0, \tcr
        bl      mmu_on
.endm
mmu_on:
        ldr     x1, [x1, #SPACE_ROOT]
        ldr     x2, [x2, #SPACE_ROOT]
        LI      x3, MAIR_VALUE
        msr     mair_el1, x3
        msr     tcr_el1, x0
        msr     ttbr0_el1, x1
        msr     ttbr1_el1, x2
        FLUSH_TLB
        WRITE_SCTLR SCTLR_ON
        ret

mmu_off:
        WRITE_SCTLR SCTLR_RES1
        FLUSH_TLB
        ret

// Reads, writes and runs what is at x20, at EL1 and EL0: six lines.  The word at x20 should be a RET; x20 + 8 is data.
// Loses x9 and x10.
probe:
        str     x30, [sp, #-16]!
        TRY     " r1", "ldr x9, [x20, #8]"
        TRY     " w1", "str x10, [x20, #8]"
        TRY     " x1", "blr x20"
        TRY0    " r0", "ldr x9, [x20, #8]"
        TRY0    " w0", "str x10, [x20, #8]"
        TRY0    " x0", "blr x20"
        ldr     x30, [sp], #16
        ret

// Prints a title and probes the address in x20.
.macro  PROBE   title:req
        LOG     "\title\n"
        bl      probe
.endm

// One access to an address, or a jump there.  They lose x9 and x20.
.macro  READ    title, address:vararg
        LI      x20, \address
        TRY     "\title", "ldr x9, [x20]"
.endm
.macro  READ0   title, address:vararg
        LI      x20, \address
        TRY0    "\title EL0", "ldr x9, [x20]"
.endm
.macro  RUN     title, address:vararg
        LI      x20, \address
        TRY     "\title run", "blr x20"
.endm

        .ltorg                                  // programs follow, and a literal must stay in reach

        .data
        .balign 8
pool_next:      .quad pool

        .bss
        .balign 8
        // for TTBR0, for TTBR1, and one that maps nothing
low:    .skip   SPACE_SIZE
high:   .skip   SPACE_SIZE
none:   .skip   SPACE_SIZE

        .section .arena, "aw", %nobits
        .balign 0x10000
pool:   .skip   POOL_PAGES * PAGE

        .text
