// GICv2 as the virt board has it.  Include after runtime.S.

        .set    PRIVATES,       GICD
        .set    GICC,           0x08010000
        .set    GICD_ITARGETSR, 0x800
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
        .set    FIQS,           0
        .set    GICD_ON,        1

// The CPU interface's registers by the names that GICv3 has for them; both groups share them here.
        .set    GICC_IAR0,      GICC_IAR
        .set    GICC_IAR1,      GICC_IAR
        .set    GICC_EOIR0,     GICC_EOIR
        .set    GICC_EOIR1,     GICC_EOIR
        .set    GICC_HPPIR1,    GICC_HPPIR
        .set    GICC_BPR1,      GICC_BPR
        .set    GICC_IGRPEN1,   GICC_CTLR

.macro  CPU_READ reg, register                  // loses x9
        GIC_READ \reg, GICC, GICC_\register
.endm
.macro  CPU_WRITE register, value:vararg        // loses x9, x10
        GIC_WRITE GICC, GICC_\register, \value
.endm
.macro  CPU_SHOW name, register                 // loses x9, x10
        GIC_SHOW "\name", GICC, GICC_\register
.endm
.macro  END     reg, group=1                    // loses x9
        LI      x9, GICC + GICC_EOIR\group
        str     w\reg, [x9]
.endm
.macro  SGI     number                          // to this CPU; loses x9, x10
        GIC_WRITE GICD, GICD_SGIR, (2 << 24) | \number
.endm

        .include "gic_common.S"

gic_on: GIC_WRITE GICC, GICC_PMR, 0xff
        GIC_WRITE GICC, GICC_CTLR, 1
        GIC_WRITE GICD, GICD_CTLR, 1
        ret
        .ltorg
