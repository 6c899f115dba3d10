// GICv3 as the virt board has it with gic-version=3: no Security Extensions in use, affinity routing always on, 5 bits of
// priority.  Include after runtime.S, in place of gic.S.  The hook serves every interrupt of group 1: it acknowledges,
// prints and ends it.  With the MMU off only.

        .set    GICD,           0x08000000
        .set    GICR,           0x080a0000      // of CPU 0; the others follow
        .set    GICR_STRIDE,    0x20000
        .set    SGI_BASE,       GICR + 0x10000
        .set    PRIVATES,       SGI_BASE
        .set    GICD_CTLR,      0x000
        .set    GICD_TYPER,     0x004
        .set    GICD_IIDR,      0x008
        .set    GICD_ICFGR,     0xc00
        .set    GICD_IROUTER,   0x6000          // + 8 * INTID
        .set    GICR_CTLR,      0x000
        .set    GICR_IIDR,      0x004
        .set    GICR_TYPER,     0x008
        .set    GICR_WAKER,     0x014
        // the same in the distributor and in SGI_BASE
        .set    IGROUPR,        0x080
        .set    ISENABLER,      0x100
        .set    ICENABLER,      0x180
        .set    ISPENDR,        0x200
        .set    ICPENDR,        0x280
        .set    ISACTIVER,      0x300
        .set    ICACTIVER,      0x380
        .set    IPRIORITYR,     0x400
        // what programs for either version call them
        .set    GICD_ISENABLER, ISENABLER
        .set    GICD_ISPENDR,   ISPENDR
        .set    GICD_ISACTIVER, ISACTIVER
        .set    GICD_IPRIORITYR, IPRIORITYR
        .set    VIRTUAL_TIMER,  27
        .set    PHYSICAL_TIMER, 30

.macro  GIC_WRITE base, register, value:vararg  // loses x9, x10
        LI      x9, \base + \register
        LI      x10, \value
        str     w10, [x9]
.endm
.macro  GIC_READ reg, base, register:vararg     // loses x9
        LI      x9, \base + \register
        ldr     w\reg, [x9]
.endm
.macro  GIC_SHOW name, base, register:vararg    // loses x9, x10
        GIC_READ 10, \base, \register
        LOG     "\name="
        HEX     x10
        NL
.endm
.macro  ICC_WRITE register, value:vararg        // loses x10
        LI      x10, \value
        msr     \register, x10
        isb
.endm
.macro  ICC_SHOW name, register                 // loses x10
        mrs     x10, \register
        LOG     "\name="
        HEX     x10
        NL
.endm
// To this CPU, in group 1.
.macro  SGI     number
        ICC_WRITE icc_sgi1r_el1, (\number << 24) | 1
.endm
.macro  ACKNOWLEDGE reg
        mrs     x\reg, icc_iar1_el1
.endm
.macro  END     reg
        msr     icc_eoir1_el1, x\reg
.endm
// Where an interrupt that is pending may come in, and surely has come in afterwards.
.macro  WINDOW
        msr     daifclr, #3
        isb
        nop
        msr     daifset, #3
.endm

        .text
// Everything in group 1, priority 0xa0; both groups on.
gic_on: GIC_WRITE GICD, GICD_CTLR, 3
        GIC_WRITE GICR, GICR_WAKER, 0
        GIC_WRITE SGI_BASE, IGROUPR, 0xffffffff
        LI      x9, SGI_BASE + IPRIORITYR
        LI      x10, 0xa0a0a0a0
        mov     x11, #8
1:      str     w10, [x9], #4
        subs    x11, x11, #1
        b.ne    1b
        ICC_WRITE icc_pmr_el1, 0xff
        ICC_WRITE icc_igrpen0_el1, 1
        ICC_WRITE icc_igrpen1_el1, 1
        ret
        .ltorg

// Hook: x0 = frame, x1 = vector.  Prints what is acknowledged and its state; calls `serve` if that is set.  FIQs are of
// group 0.
irq_hook:
        and     x2, x1, #3
        sub     x3, x2, #1
        cmp     x3, #1
        b.ls    1f
        mov     x0, #1
        ret
1:      stp     x30, x19, [sp, #-48]!
        stp     x20, x21, [sp, #16]
        stp     x22, x23, [sp, #32]
        mov     x20, x1
        mov     x23, x3
        mrs     x21, icc_rpr_el1
        cbnz    x23, 2f
        mrs     x19, icc_iar1_el1
        b       3f
2:      mrs     x19, icc_iar0_el1
3:      mrs     x22, icc_rpr_el1
        LOG     "irq"
        SHOW    "v", x20
        SHOW    "iar", x19
        SHOW    "rpr", x21
        SHOW    "rpr", x22
        NL
        ADDR    x2, serve
        ldr     x2, [x2]
        cbz     x2, 4f
        blr     x2                              // x19 = what was acknowledged
4:      cbnz    x23, 5f
        msr     icc_eoir1_el1, x19
        b       6f
5:      msr     icc_eoir0_el1, x19
6:      ldp     x22, x23, [sp, #32]
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #48
        mov     x0, #0
        ret
        .ltorg

        .data
        .balign 8
serve:  .quad   0
        .text
