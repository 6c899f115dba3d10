// GICv2: registers, software-generated and pended interrupts, priorities, masking, preemption, active states.
        .include "runtime.S"
        .include "gic.S"
        .include "gic_cases.S"

main:
        str     x30, [sp, #-16]!
        SET_HOOK irq_hook
        bl      registers
        bl      readback
        bl      gic_on
        bl      software
        bl      lists
        bl      switches
        bl      priorities
        bl      pended
        bl      no_target
        bl      stays_active
        bl      preemption
        bl      modes
        bl      fiq_mask
        bl      waiting
        ldr     x30, [sp], #16
        ret

registers:
        str     x30, [sp, #-16]!
        GIC_SHOW "GICD_CTLR", GICD, GICD_CTLR
        GIC_SHOW "GICD_TYPER", GICD, GICD_TYPER
        GIC_SHOW "GICD_IIDR", GICD, GICD_IIDR
        GIC_SHOW "GICC_CTLR", GICC, GICC_CTLR
        GIC_SHOW "GICC_PMR", GICC, GICC_PMR
        GIC_SHOW "GICC_BPR", GICC, GICC_BPR
        GIC_SHOW "GICC_RPR", GICC, GICC_RPR
        GIC_SHOW "GICC_IAR", GICC, GICC_IAR
        GIC_SHOW "GICC_HPPIR", GICC, GICC_HPPIR
        GIC_SHOW "GICC_IIDR", GICC, GICC_IIDR
        GIC_SHOW "GICD_ISENABLER0", GICD, ISENABLER
        GIC_SHOW "GICD_ICFGR0", GICD, ICFGR
        GIC_SHOW "GICD_ICFGR1", GICD, ICFGR + 4
        GIC_SHOW "GICD_ICFGR2", GICD, ICFGR + 8
        GIC_SHOW "GICD_ITARGETSR0", GICD, GICD_ITARGETSR
        GIC_SHOW "GICD_ITARGETSR8", GICD, GICD_ITARGETSR + 32
        GIC_SHOW "PIDR2", GICD, 0xfe8
        GIC_SHOW "CIDR0", GICD, 0xff0
        GIC_SHOW "CIDR1", GICD, 0xff4
        GIC_SHOW "CIDR2", GICD, 0xff8
        GIC_SHOW "CIDR3", GICD, 0xffc
        ldr     x30, [sp], #16
        ret
        .ltorg

readback:
        str     x30, [sp, #-16]!
        BACK    "PMR ff", GICC, GICC_PMR, 0xff
        BACK    "PMR 0", GICC, GICC_PMR, 0
        BACK    "BPR 7", GICC, GICC_BPR, 7
        BACK    "BPR 0", GICC, GICC_BPR, 0
        BACK    "ISENABLER0 ones", GICD, ISENABLER, 0xffffffff
        BACK    "ICENABLER0 ones", GICD, ICENABLER, 0xffffffff
        BACK    "ISENABLER3", GICD, ISENABLER + 12, 0x80000011
        BACK    "ICENABLER3", GICD, ICENABLER + 12, 0x00000010
        BACK    "ICENABLER3 all", GICD, ICENABLER + 12, 0xffffffff
        BACK    "IPRIORITYR0", GICD, IPRIORITYR, 0x12345678
        BACK    "IPRIORITYR25 ones", GICD, IPRIORITYR + 100, 0xffffffff
        BACK    "IPRIORITYR25 zeros", GICD, IPRIORITYR + 100, 0
        BACK    "ITARGETSR0", GICD, GICD_ITARGETSR, 0
        BACK    "ITARGETSR25", GICD, GICD_ITARGETSR + 100, 0x01010101
        BACK    "ITARGETSR25 ones", GICD, GICD_ITARGETSR + 100, 0xffffffff
        BACK    "ICFGR0", GICD, ICFGR, 0
        BACK    "ICFGR6 edge", GICD, ICFGR + 24, 0xaaaaaaaa
        BACK    "ICFGR6 level", GICD, ICFGR + 24, 0
        BACK    "ISPENDR3", GICD, ISPENDR + WORD, BIT
        BACK    "ICPENDR3", GICD, ICPENDR + WORD, BIT
        BACK    "ISACTIVER3", GICD, ISACTIVER + WORD, BIT
        BACK    "ICACTIVER3", GICD, ICACTIVER + WORD, BIT
        b       1f
        .ltorg
1:      LOG     "bytes"
        LI      x9, GICD + IPRIORITYR + SPI
        mov     w10, #0x50
        strb    w10, [x9]
        ldrb    w11, [x9]
        SHOW    "priority", x11
        LI      x9, GICD + GICD_ITARGETSR + SPI
        mov     w10, #1
        strb    w10, [x9]
        ldrb    w11, [x9]
        SHOW    "target", x11
        NL
        BACK    "GICD_CTLR ones", GICD, GICD_CTLR, 0xffffffff
        BACK    "GICD_CTLR 0", GICD, GICD_CTLR, 0
        BACK    "GICC_CTLR 0", GICC, GICC_CTLR, 0
        BACK    "IPRIORITYR0", GICD, IPRIORITYR, 0xa0a0a0a0
        ldr     x30, [sp], #16
        ret
        .ltorg

// Software-generated interrupts by target list and filter; they are taken back by sender.
lists:
        str     x30, [sp, #-16]!
        LOG     "sgi by list\n"
        GIC_WRITE GICD, GICD_SGIR, (1 << 16) | 15
        GIC_SHOW "spendsgir", GICD, GICD_SPENDSGIR + 12
        WINDOW
        LOG     "sgi to others\n"
        GIC_WRITE GICD, GICD_SGIR, (1 << 24) | 5
        WINDOW
        LOG     "sgi taken back\n"
        SGI     7
        GIC_WRITE GICD, GICD_CPENDSGIR + 4, 0xff000000
        GIC_SHOW "pending", GICD, ISPENDR
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

no_target:
        str     x30, [sp, #-16]!
        LOG     "no target\n"
        LI      x9, GICD + GICD_ITARGETSR + SPI
        strb    wzr, [x9]
        ldrb    w11, [x9]
        SHOW    "target", x11
        NL
        GIC_WRITE GICD, ISPENDR + WORD, BIT
        WINDOW
        GIC_WRITE GICD, ICPENDR + WORD, BIT
        LI      x9, GICD + GICD_ITARGETSR + SPI
        mov     w10, #1
        strb    w10, [x9]
        ldr     x30, [sp], #16
        ret
        .ltorg

fiq_mask:
        str     x30, [sp, #-16]!
        LOG     "FIQ mask doesn't matter, IRQ mask does\n"
        SGI     1
        msr     daifclr, #0xd
        isb
        nop
        msr     daifset, #0xd
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg
