// GICv3: STEPS random accesses from SEED on, each with what the CPU interface shows afterwards.  Interrupts are masked.
// Both groups are always enabled together: of two, QEMU lets a group that is disabled hide the other one.
        .include "runtime.S"
        .include "gicv3.S"

        .set    STEPS,  500

// The next random number below 1 << bits; x20 is the state.
.macro  RANDOM  reg, bits                       // loses x9
        LI      x9, 6364136223846793005
        mul     x20, x20, x9
        LI      x9, 1442695040888963407
        add     x20, x20, x9
        lsr     \reg, x20, #64 - \bits
.endm

main:
        str     x30, [sp, #-16]!
        bl      gic_on
        mov     w10, #-1
        LI      x9, SGI_BASE + ISENABLER
        str     w10, [x9]
        LI      x9, GICD + ISENABLER + 4
        str     w10, [x9]
        str     w10, [x9, #8]
        LI      x20, SEED
        mov     x19, #STEPS
1:      RANDOM  x21, 4
        SHOW    "op", x21
        bl      pick
        adr     x9, operations
        add     x9, x9, x21, lsl #2
        blr     x9
        mrs     x10, icc_hppir0_el1
        SHOW    "hppir", x10
        mrs     x10, icc_hppir1_el1
        LOG     "/"
        HEX     x10
        mrs     x10, icc_rpr_el1
        SHOW    "rpr", x10
        mrs     x10, isr_el1
        SHOW    "isr", x10
        mrs     x10, icc_ap0r0_el1
        SHOW    "ap", x10
        mrs     x10, icc_ap1r0_el1
        LOG     "/"
        HEX     x10
        NL
        subs    x19, x19, #1
        b.ne    1b
        ldr     x30, [sp], #16
        ret
        .ltorg

// An interrupt: x22 = its number, x23 = the bank that has it, x24 = offset of its word, w25 = its bit.
pick:   RANDOM  x10, 3
        adr     x22, interrupts
        ldrb    w22, [x22, x10]
        LI      x23, SGI_BASE
        LI      x9, GICD
        cmp     x22, #32
        csel    x23, x23, x9, lo
        lsr     x24, x22, #5
        lsl     x24, x24, #2
        mov     w25, #1
        lsl     w25, w25, w22
        add     x24, x24, x23
        ret
        .ltorg
interrupts:
        .byte   1, 5, 14, 16, 30, 33, 60, 100

operations:
        b       set_pending
        b       set_pending
        b       clear_pending
        b       switch
        b       set_active
        b       clear_active
        b       prioritise
        b       prioritise
        b       configure
        b       mask
        b       binary_point
        b       acknowledge
        b       acknowledge
        b       end_of_interrupt
        b       modes
        b       send

set_pending:
        str     w25, [x24, #ISPENDR]
        ret
clear_pending:
        str     w25, [x24, #ICPENDR]
        ret
switch: RANDOM  x10, 2
        cbz     x10, 1f
        str     w25, [x24, #ISENABLER]
        ret
1:      str     w25, [x24, #ICENABLER]
        ret
set_active:                                     // rarely, or soon nothing is left
        RANDOM  x10, 2
        cbnz    x10, clear_active
        str     w25, [x24, #ISACTIVER]
        ret
clear_active:
        str     w25, [x24, #ICACTIVER]
        ret
prioritise:
        RANDOM  x10, 8
        add     x9, x23, x22
        strb    w10, [x9, #IPRIORITYR]
        ret
        .ltorg
// Edge or level, or the group.
configure:
        RANDOM  x11, 32
        tbz     x11, #0, 1f
        str     w11, [x24, #IGROUPR]
        ret
1:      lsr     x10, x22, #4
        lsl     x10, x10, #2
        add     x10, x10, x23
        str     w11, [x10, #ICFGR]
        ret
mask:   RANDOM  x10, 8
        tst     x10, #3
        mov     x9, #0xff
        csel    x10, x10, x9, eq
        msr     icc_pmr_el1, x10
        ret
binary_point:
        RANDOM  x10, 4
        tbz     x10, #3, 1f
        msr     icc_bpr0_el1, x10
        ret
1:      msr     icc_bpr1_el1, x10
        ret
acknowledge:
        str     x30, [sp, #-16]!
        RANDOM  x10, 1
        cbz     x10, 1f
        mrs     x22, icc_iar1_el1
        SHOW    "iar1", x22
        RANDOM  x10, 2
        cbz     x10, 2f
        msr     icc_eoir1_el1, x22
        b       2f
1:      mrs     x22, icc_iar0_el1
        SHOW    "iar0", x22
        RANDOM  x10, 2
        cbz     x10, 2f
        msr     icc_eoir0_el1, x22
2:      ldr     x30, [sp], #16
        ret
        .ltorg
end_of_interrupt:
        RANDOM  x10, 1
        cbz     x10, 1f
        msr     icc_eoir1_el1, x22
        ret
1:      msr     icc_eoir0_el1, x22
        ret
// Both groups, here or in the distributor; shared binary point, separate deactivation; deactivate.
modes:  RANDOM  x10, 4
        lsr     x11, x10, #2
        cbz     x11, 1f
        cmp     x11, #2
        b.lo    2f
        and     x10, x10, #3
        b.eq    3f
        msr     icc_dir_el1, x22
        ret
1:      cmp     x10, #0                         // mostly on
        cset    x10, ne
        msr     icc_igrpen0_el1, x10
        msr     icc_igrpen1_el1, x10
        ret
2:      tst     x10, #3
        mov     x9, #3
        csel    x10, xzr, x9, eq
        LI      x9, GICD
        str     w10, [x9]
        ret
3:      msr     icc_ctlr_el1, x10
        ret
        .ltorg
send:   RANDOM  x10, 4
        lsl     x10, x10, #24
        orr     x10, x10, #1
        RANDOM  x11, 1
        cbz     x11, 1f
        msr     icc_sgi1r_el1, x10
        ret
1:      msr     icc_sgi0r_el1, x10
        ret
        .ltorg
