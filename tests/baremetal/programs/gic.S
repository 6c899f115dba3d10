// GICv2: registers, software-generated and pended interrupts, priorities, masking, preemption, active states.
        .include "runtime.S"
        .include "gic.S"

        .set    SPI,    100                     // no device uses it
        .set    WORD,   (SPI / 32) * 4
        .set    BIT,    1 << (SPI % 32)

main:
        str     x30, [sp, #-16]!
        SET_HOOK irq_hook
        bl      registers
        bl      readback
        bl      gic_on
        bl      software
        bl      priorities
        bl      pended
        bl      preemption
        bl      modes
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
        GIC_SHOW "GICD_ISENABLER0", GICD, GICD_ISENABLER
        GIC_SHOW "GICD_ICFGR0", GICD, GICD_ICFGR
        GIC_SHOW "GICD_ICFGR1", GICD, GICD_ICFGR + 4
        GIC_SHOW "GICD_ICFGR2", GICD, GICD_ICFGR + 8
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

.macro  BACK    name, base, register, value:vararg
        GIC_WRITE \base, \register, \value
        GIC_SHOW "\name", \base, \register
.endm
readback:
        str     x30, [sp, #-16]!
        BACK    "PMR ff", GICC, GICC_PMR, 0xff
        BACK    "PMR 0", GICC, GICC_PMR, 0
        BACK    "BPR 7", GICC, GICC_BPR, 7
        BACK    "BPR 0", GICC, GICC_BPR, 0
        BACK    "ISENABLER0 ones", GICD, GICD_ISENABLER, 0xffffffff
        BACK    "ICENABLER0 ones", GICD, GICD_ICENABLER, 0xffffffff
        BACK    "ISENABLER3", GICD, GICD_ISENABLER + 12, 0x80000011
        BACK    "ICENABLER3", GICD, GICD_ICENABLER + 12, 0x00000010
        BACK    "ICENABLER3 all", GICD, GICD_ICENABLER + 12, 0xffffffff
        BACK    "IPRIORITYR0", GICD, GICD_IPRIORITYR, 0x12345678
        BACK    "IPRIORITYR25 ones", GICD, GICD_IPRIORITYR + 100, 0xffffffff
        BACK    "IPRIORITYR25 zeros", GICD, GICD_IPRIORITYR + 100, 0
        BACK    "ITARGETSR0", GICD, GICD_ITARGETSR, 0
        BACK    "ITARGETSR25", GICD, GICD_ITARGETSR + 100, 0x01010101
        BACK    "ITARGETSR25 ones", GICD, GICD_ITARGETSR + 100, 0xffffffff
        BACK    "ICFGR0", GICD, GICD_ICFGR, 0
        BACK    "ICFGR6 edge", GICD, GICD_ICFGR + 24, 0xaaaaaaaa
        BACK    "ICFGR6 level", GICD, GICD_ICFGR + 24, 0
        BACK    "ISPENDR3", GICD, GICD_ISPENDR + WORD, BIT
        BACK    "ICPENDR3", GICD, GICD_ICPENDR + WORD, BIT
        BACK    "ISACTIVER3", GICD, GICD_ISACTIVER + WORD, BIT
        BACK    "ICACTIVER3", GICD, GICD_ICACTIVER + WORD, BIT
        b       1f
        .ltorg
1:      LOG     "bytes"
        LI      x9, GICD + GICD_IPRIORITYR + SPI
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
        BACK    "IPRIORITYR0", GICD, GICD_IPRIORITYR, 0xa0a0a0a0
        ldr     x30, [sp], #16
        ret
        .ltorg

.macro  SGI     number
        GIC_WRITE GICD, GICD_SGIR, (2 << 24) | \number // to this CPU
.endm
software:
        str     x30, [sp, #-16]!
        GIC_WRITE GICD, GICD_ISENABLER, 0xffff
        LOG     "sgi masked\n"
        SGI     3
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        GIC_SHOW "hppir", GICC, GICC_HPPIR
        GIC_SHOW "pending", GICD, GICD_ISPENDR
        GIC_SHOW "spendsgir", GICD, GICD_SPENDSGIR
        LOG     "sgi unmasked\n"
        WINDOW
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        GIC_SHOW "pending", GICD, GICD_ISPENDR
        LOG     "sgi by list\n"
        GIC_WRITE GICD, GICD_SGIR, (1 << 16) | 15
        WINDOW
        LOG     "sgi to others\n"
        GIC_WRITE GICD, GICD_SGIR, (1 << 24) | 5
        WINDOW
        b       1f
        .ltorg
1:      LOG     "sgi taken back\n"
        SGI     7
        GIC_WRITE GICD, GICD_CPENDSGIR + 4, 0xff000000
        GIC_SHOW "pending", GICD, GICD_ISPENDR
        WINDOW
        LOG     "sgi disabled\n"
        GIC_WRITE GICD, GICD_ICENABLER, 1 << 4
        SGI     4
        WINDOW
        GIC_SHOW "iar", GICC, GICC_IAR
        GIC_WRITE GICD, GICD_ISENABLER, 1 << 4
        LOG     "sgi enabled\n"
        WINDOW
        LOG     "distributor off\n"
        GIC_WRITE GICD, GICD_CTLR, 0
        SGI     2
        WINDOW
        LOG     "distributor on\n"
        GIC_WRITE GICD, GICD_CTLR, 1
        WINDOW
        LOG     "interface off\n"
        GIC_WRITE GICC, GICC_CTLR, 0
        SGI     2
        WINDOW
        LOG     "interface on\n"
        GIC_WRITE GICC, GICC_CTLR, 1
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

// Lower numbers first; PMR lets through what is below it.
priorities:
        str     x30, [sp, #-16]!
        LOG     "priorities\n"
        GIC_WRITE GICD, GICD_IPRIORITYR, 0x30509070 // SGI 3, 2, 1, 0
        SGI     0
        SGI     1
        SGI     2
        SGI     3
        GIC_SHOW "hppir", GICC, GICC_HPPIR
        WINDOW
        LOG     "equal\n"
        GIC_WRITE GICD, GICD_IPRIORITYR, 0x40404040
        SGI     3
        SGI     1
        WINDOW
        b       1f
        .ltorg
1:      LOG     "mask 50\n"
        GIC_WRITE GICD, GICD_IPRIORITYR, 0x40506070
        GIC_WRITE GICC, GICC_PMR, 0x50
        SGI     0
        SGI     1
        SGI     2
        SGI     3
        WINDOW
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        GIC_SHOW "hppir", GICC, GICC_HPPIR
        GIC_SHOW "iar", GICC, GICC_IAR
        LOG     "mask 61\n"
        GIC_WRITE GICC, GICC_PMR, 0x61
        WINDOW
        LOG     "mask ff\n"
        GIC_WRITE GICC, GICC_PMR, 0xff
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

// A shared interrupt made pending by hand; its states while it is served.
show_state:
        str     x30, [sp, #-16]!
        GIC_READ 12, GICD, GICD_ISPENDR + WORD
        GIC_READ 13, GICD, GICD_ISACTIVER + WORD
        SHOW    "pending", x12
        SHOW    "active", x13
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg
pended:
        str     x30, [sp, #-16]!
        ADDR    x9, serve
        ADDR    x10, show_state
        str     x10, [x9]
        LOG     "pended edge\n"
        GIC_WRITE GICD, GICD_ICFGR + (SPI / 16) * 4, 2 << ((SPI % 16) * 2)
        GIC_WRITE GICD, GICD_ISENABLER + WORD, BIT
        GIC_WRITE GICD, GICD_ISPENDR + WORD, BIT
        GIC_SHOW "pending", GICD, GICD_ISPENDR + WORD
        WINDOW
        GIC_SHOW "pending", GICD, GICD_ISPENDR + WORD
        GIC_SHOW "active", GICD, GICD_ISACTIVER + WORD
        b       1f
        .ltorg
1:      LOG     "no target\n"
        LI      x9, GICD + GICD_ITARGETSR + SPI
        strb    wzr, [x9]
        ldrb    w11, [x9]
        SHOW    "target", x11
        NL
        GIC_WRITE GICD, GICD_ISPENDR + WORD, BIT
        WINDOW
        GIC_WRITE GICD, GICD_ICPENDR + WORD, BIT
        LI      x9, GICD + GICD_ITARGETSR + SPI
        mov     w10, #1
        strb    w10, [x9]
        LOG     "active stays off\n"
        GIC_WRITE GICD, GICD_ISACTIVER + WORD, BIT
        GIC_WRITE GICD, GICD_ISPENDR + WORD, BIT
        WINDOW
        GIC_WRITE GICD, GICD_ICACTIVER + WORD, BIT
        LOG     "no longer active\n"
        WINDOW
        ADDR    x9, serve
        str     xzr, [x9]
        ldr     x30, [sp], #16
        ret
        .ltorg

// Serving SGI 1 at priority 0x80 pends SGI 2 and 3 and opens the mask: only the more urgent one comes in between.
nest:   str     x30, [sp, #-16]!
        cmp     w19, #1
        b.ne    1f
        SGI     2
        SGI     3
        GIC_READ 12, GICC, GICC_RPR
        GIC_READ 13, GICC, GICC_HPPIR
        SHOW    "nest rpr", x12
        SHOW    "hppir", x13
        mrs     x12, isr_el1
        SHOW    "isr", x12
        NL
1:      ldr     x30, [sp], #16
        ret
        .ltorg
preemption:
        str     x30, [sp, #-16]!
        LOG     "preemption\n"
        GIC_WRITE GICD, GICD_IPRIORITYR, 0xa0408000
        ADDR    x9, serve
        ADDR    x10, nest
        str     x10, [x9]
        SGI     1
        WINDOW
        ADDR    x9, serve
        str     xzr, [x9]
        LOG     "by hand\n"
        SGI     1
        GIC_SHOW "iar", GICC, GICC_IAR
        SGI     2
        GIC_SHOW "rpr", GICC, GICC_RPR
        GIC_SHOW "iar", GICC, GICC_IAR
        GIC_SHOW "rpr", GICC, GICC_RPR
        GIC_SHOW "active", GICD, GICD_ISACTIVER
        b       1f
        .ltorg
1:      SGI     3
        GIC_SHOW "iar, less urgent", GICC, GICC_IAR
        GIC_WRITE GICC, GICC_EOIR, 2
        GIC_SHOW "rpr", GICC, GICC_RPR
        GIC_SHOW "active", GICD, GICD_ISACTIVER
        GIC_WRITE GICC, GICC_EOIR, 1
        GIC_SHOW "rpr", GICC, GICC_RPR
        GIC_SHOW "active", GICD, GICD_ISACTIVER
        GIC_SHOW "iar", GICC, GICC_IAR
        GIC_WRITE GICC, GICC_EOIR, 3
        GIC_SHOW "iar, nothing", GICC, GICC_IAR
        LOG     "binary point 7: no preemption\n"
        GIC_WRITE GICC, GICC_BPR, 7
        SGI     1
        GIC_SHOW "iar", GICC, GICC_IAR
        SGI     2
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        GIC_WRITE GICC, GICC_EOIR, 1
        WINDOW
        GIC_WRITE GICC, GICC_BPR, 0
        ldr     x30, [sp], #16
        ret
        .ltorg

// The vector follows the stack pointer and the level.
modes:
        str     x30, [sp, #-16]!
        LOG     "EL1t\n"
        SGI     1
        msr     spsel, #0
        WINDOW
        msr     spsel, #1
        LOG     "EL0\n"
        SGI     1
        ADDR    x9, el0_pstate
        mov     x10, #0x340                     // IRQ open
        str     x10, [x9]
        TRY0    "interrupted", "nop"
        ADDR    x9, el0_pstate
        mov     x10, #PSTATE_EL0
        str     x10, [x9]
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

// WFI ends with an interrupt that is pending, masked or not.
waiting:
        str     x30, [sp, #-16]!
        LOG     "wfi masked\n"
        SGI     1
        wfi
        LOG     "woken\n"
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg
