// GICv2 as the virt board has it.  Include after runtime.S.  The hook below serves every interrupt: it acknowledges, prints
// and ends it.  With the MMU off only.

        .set    GICD,           0x08000000
        .set    PRIVATES,       GICD            // where the registers of private interrupts are
        .set    GICC,           0x08010000
        .set    GICD_CTLR,      0x000
        .set    GICD_TYPER,     0x004
        .set    GICD_IIDR,      0x008
        .set    GICD_IGROUPR,   0x080
        .set    GICD_ISENABLER, 0x100
        .set    GICD_ICENABLER, 0x180
        .set    GICD_ISPENDR,   0x200
        .set    GICD_ICPENDR,   0x280
        .set    GICD_ISACTIVER, 0x300
        .set    GICD_ICACTIVER, 0x380
        .set    GICD_IPRIORITYR, 0x400
        .set    GICD_ITARGETSR, 0x800
        .set    GICD_ICFGR,     0xc00
        .set    GICD_SGIR,      0xf00
        .set    GICD_CPENDSGIR, 0xf10
        .set    GICD_SPENDSGIR, 0xf20
        .set    GICC_CTLR,      0x00
        .set    GICC_PMR,       0x04
        .set    GICC_BPR,       0x08
        .set    GICC_IAR,       0x0c
        .set    GICC_EOIR,      0x10
        .set    GICC_RPR,       0x14
        .set    GICC_HPPIR,     0x18
        .set    GICC_IIDR,      0xfc
        .set    GICC_DIR,       0x1000
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
.macro  ACKNOWLEDGE reg                         // loses x9
        GIC_READ \reg, GICC, GICC_IAR
.endm
.macro  END     reg                             // loses x9
        LI      x9, GICC + GICC_EOIR
        str     w\reg, [x9]
.endm
// Where an interrupt that is pending may come in, and surely has come in afterwards.
.macro  WINDOW
        msr     daifclr, #2
        isb
        nop
        msr     daifset, #2
.endm

        .text
gic_on: GIC_WRITE GICC, GICC_PMR, 0xff
        GIC_WRITE GICC, GICC_CTLR, 1
        GIC_WRITE GICD, GICD_CTLR, 1
        ret
        .ltorg

// Hook: x0 = frame, x1 = vector.  Prints what is acknowledged and its state; calls `serve` if that is set.
irq_hook:
        and     x2, x1, #3
        cmp     x2, #1
        mov     x2, #1
        csel    x2, xzr, x2, eq
        cbz     x2, 1f
        mov     x0, #1
        ret
1:      stp     x30, x19, [sp, #-48]!
        stp     x20, x21, [sp, #16]
        str     x22, [sp, #32]
        mov     x20, x1
        GIC_READ 21, GICC, GICC_RPR
        GIC_READ 19, GICC, GICC_IAR
        GIC_READ 22, GICC, GICC_RPR
        LOG     "irq"
        SHOW    "v", x20
        SHOW    "iar", x19
        SHOW    "rpr", x21
        SHOW    "rpr", x22
        NL
        ADDR    x2, serve
        ldr     x2, [x2]
        cbz     x2, 2f
        blr     x2                              // x19 = what was acknowledged
2:      LI      x9, GICC + GICC_EOIR
        str     w19, [x9]
        ldr     x22, [sp, #32]
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #48
        mov     x0, #0
        ret
        .ltorg

        .data
        .balign 8
serve:  .quad   0
        .text
