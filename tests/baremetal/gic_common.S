// What both GIC versions have alike.  gic.S and gicv3.S include it, after they have said what is different: where PRIVATES
// are, how the CPU interface is reached (CPU_READ, CPU_WRITE, CPU_SHOW, END), what turns the distributor on (GICD_ON), and
// FIQS: whether interrupts of group 0 come in, as FIQs.

        .set    GICD,           0x08000000
        .set    GICD_CTLR,      0x000
        .set    GICD_TYPER,     0x004
        .set    GICD_IIDR,      0x008
        // the same where the registers of private interrupts are: PRIVATES
        .set    IGROUPR,        0x080
        .set    ISENABLER,      0x100
        .set    ICENABLER,      0x180
        .set    ISPENDR,        0x200
        .set    ICPENDR,        0x280
        .set    ISACTIVER,      0x300
        .set    ICACTIVER,      0x380
        .set    IPRIORITYR,     0x400
        .set    ICFGR,          0xc00
        .set    VIRTUAL_TIMER,  27
        .set    PHYSICAL_TIMER, 30
        .set    MASKS,          2 | FIQS        // DAIF's bits of what is used

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
.macro  BACK    name, base, register, value:vararg // what is left of a written value
        GIC_WRITE \base, \register, \value
        GIC_SHOW "\name", \base, \register
.endm
// Where an interrupt that is pending may come in, and surely has come in afterwards.
.macro  WINDOW
        msr     daifclr, #MASKS
        isb
        nop
        msr     daifset, #MASKS
.endm

        .text
// Hook: x0 = frame, x1 = vector.  Serves every interrupt: acknowledges it, prints it and its state, calls `serve` if that
// is set, and ends it.  With the MMU off only.
irq_hook:
        and     x2, x1, #3
        sub     x3, x2, #1                      // 0: IRQ, of group 1; 1: FIQ, of group 0
        cmp     x3, #FIQS
        b.ls    1f
        mov     x0, #1
        ret
1:      stp     x30, x19, [sp, #-48]!
        stp     x20, x21, [sp, #16]
        stp     x22, x23, [sp, #32]
        mov     x20, x1
        mov     x23, x3
        CPU_READ 21, RPR
        cbnz    x23, 2f
        CPU_READ 19, IAR1
        b       3f
2:      CPU_READ 19, IAR0
3:      CPU_READ 22, RPR
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
        END     19
        b       6f
5:      END     19, 0
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
