// GICv3 as the virt board has it with gic-version=3: no Security Extensions in use, affinity routing always on, 5 bits of
// priority.  Include after runtime.S, in place of gic.S.

        .set    GICR,           0x080a0000      // of CPU 0; the others follow
        .set    GICR_STRIDE,    0x20000
        .set    SGI_BASE,       GICR + 0x10000
        .set    PRIVATES,       SGI_BASE
        .set    GICD_IROUTER,   0x6000          // + 8 * INTID
        .set    GICR_CTLR,      0x000
        .set    GICR_IIDR,      0x004
        .set    GICR_TYPER,     0x008
        .set    GICR_WAKER,     0x014
        .set    FIQS,           1
        .set    GICD_ON,        3               // both groups

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
.macro  CPU_READ reg, register
        mrs     x\reg, icc_\register\()_el1
.endm
.macro  CPU_WRITE register, value:vararg        // loses x10
        ICC_WRITE icc_\register\()_el1, \value
.endm
.macro  CPU_SHOW name, register                 // loses x10
        ICC_SHOW "\name", icc_\register\()_el1
.endm
.macro  END     reg, group=1
        msr     icc_eoir\group\()_el1, x\reg
.endm

        .include "gic_common.S"

// Everything in group 1, priority 0xa0; both groups on.
gic_on: GIC_WRITE GICD, GICD_CTLR, GICD_ON
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
