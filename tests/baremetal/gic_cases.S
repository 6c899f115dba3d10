// What the test programs of both GIC versions try alike.  Include after gic.S or gicv3.S.

        .set    SPI,    100                     // no device uses it
        .set    WORD,   (SPI / 32) * 4
        .set    BIT,    1 << (SPI % 32)

.macro  SHOW_ISR
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
.endm
.macro  SERVE   routine                         // loses x9, x10
        ADDR    x9, serve
        ADDR    x10, \routine
        str     x10, [x9]
.endm
.macro  SERVE_NOTHING                           // loses x9
        ADDR    x9, serve
        str     xzr, [x9]
.endm

// A software-generated interrupt to this CPU.
software:
        str     x30, [sp, #-16]!
        GIC_WRITE PRIVATES, ISENABLER, 0xffff
        LOG     "sgi masked\n"
        SGI     3
        SHOW_ISR
        CPU_SHOW "hppir", HPPIR1
        GIC_SHOW "pending", PRIVATES, ISPENDR
        LOG     "sgi unmasked\n"
        WINDOW
        SHOW_ISR
        GIC_SHOW "pending", PRIVATES, ISPENDR
        ldr     x30, [sp], #16
        ret
        .ltorg

// The three places at which interrupts are turned off.
switches:
        str     x30, [sp, #-16]!
        LOG     "sgi disabled\n"
        GIC_WRITE PRIVATES, ICENABLER, 1 << 4
        SGI     4
        WINDOW
        CPU_SHOW "iar", IAR1
        GIC_WRITE PRIVATES, ISENABLER, 1 << 4
        LOG     "sgi enabled\n"
        WINDOW
        LOG     "distributor off\n"
        GIC_WRITE GICD, GICD_CTLR, 0
        SGI     2
        WINDOW
        LOG     "distributor on\n"
        GIC_WRITE GICD, GICD_CTLR, GICD_ON
        WINDOW
        LOG     "interface off\n"
        CPU_WRITE IGRPEN1, 0
        SGI     2
        WINDOW
        CPU_SHOW "hppir", HPPIR1
        CPU_SHOW "iar", IAR1
        LOG     "interface on\n"
        CPU_WRITE IGRPEN1, 1
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

// Lower numbers first; PMR lets through what is below it.
priorities:
        str     x30, [sp, #-16]!
        LOG     "priorities\n"
        GIC_WRITE PRIVATES, IPRIORITYR, 0x30509070 // SGI 3, 2, 1, 0
        SGI     0
        SGI     1
        SGI     2
        SGI     3
        CPU_SHOW "hppir", HPPIR1
        WINDOW
        LOG     "equal\n"
        GIC_WRITE PRIVATES, IPRIORITYR, 0x40404040
        SGI     3
        SGI     1
        WINDOW
        LOG     "mask 50\n"
        GIC_WRITE PRIVATES, IPRIORITYR, 0x40506070
        CPU_WRITE PMR, 0x50
        SGI     0
        SGI     1
        SGI     2
        SGI     3
        WINDOW
        SHOW_ISR
        CPU_SHOW "hppir", HPPIR1
        CPU_SHOW "iar", IAR1
        LOG     "mask 61\n"
        CPU_WRITE PMR, 0x61
        WINDOW
        LOG     "mask ff\n"
        CPU_WRITE PMR, 0xff
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

// A shared interrupt made pending by hand; its states while it is served.
show_state:
        str     x30, [sp, #-16]!
        GIC_READ 12, GICD, ISPENDR + WORD
        GIC_READ 13, GICD, ISACTIVER + WORD
        SHOW    "pending", x12
        SHOW    "active", x13
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg
pended:
        str     x30, [sp, #-16]!
        SERVE   show_state
        LOG     "pended edge\n"
        GIC_WRITE GICD, ICFGR + (SPI / 16) * 4, 2 << ((SPI % 16) * 2)
        GIC_WRITE GICD, ISENABLER + WORD, BIT
        GIC_WRITE GICD, ISPENDR + WORD, BIT
        GIC_SHOW "pending", GICD, ISPENDR + WORD
        WINDOW
        GIC_SHOW "pending", GICD, ISPENDR + WORD
        GIC_SHOW "active", GICD, ISACTIVER + WORD
        ldr     x30, [sp], #16
        ret
        .ltorg
stays_active:
        str     x30, [sp, #-16]!
        LOG     "active stays off\n"
        GIC_WRITE GICD, ISACTIVER + WORD, BIT
        GIC_WRITE GICD, ISPENDR + WORD, BIT
        WINDOW
        GIC_WRITE GICD, ICACTIVER + WORD, BIT
        LOG     "no longer active\n"
        WINDOW
        SERVE_NOTHING
        ldr     x30, [sp], #16
        ret
        .ltorg

// Serving SGI 1 at priority 0x80 pends SGI 2 and 3: only the more urgent one may come in between.
nest:   str     x30, [sp, #-16]!
        cmp     w19, #1
        b.ne    1f
        SGI     2
        SGI     3
        CPU_READ 12, RPR
        CPU_READ 13, HPPIR1
        SHOW    "nest rpr", x12
        SHOW    "hppir", x13
        SHOW_ISR
1:      ldr     x30, [sp], #16
        ret
        .ltorg
preemption:
        str     x30, [sp, #-16]!
        LOG     "preemption\n"
        GIC_WRITE PRIVATES, IPRIORITYR, 0xa0408000
        SERVE   nest
        SGI     1
        WINDOW
        SERVE_NOTHING
        LOG     "by hand\n"
        SGI     1
        CPU_SHOW "iar", IAR1
        SGI     2
        CPU_SHOW "rpr", RPR
        CPU_SHOW "iar", IAR1
        CPU_SHOW "rpr", RPR
        GIC_SHOW "active", PRIVATES, ISACTIVER
        b       1f
        .ltorg
1:      SGI     3
        CPU_SHOW "iar, less urgent", IAR1
        CPU_WRITE EOIR1, 2
        CPU_SHOW "rpr", RPR
        GIC_SHOW "active", PRIVATES, ISACTIVER
        CPU_WRITE EOIR1, 1
        CPU_SHOW "rpr", RPR
        GIC_SHOW "active", PRIVATES, ISACTIVER
        CPU_SHOW "iar", IAR1
        CPU_WRITE EOIR1, 3
        CPU_SHOW "iar, nothing", IAR1
        b       1f
        .ltorg
1:      .irp    point, 3, 6, 7
        LOG     "binary point \point\n"
        CPU_WRITE BPR1, \point
        SGI     1
        CPU_SHOW "iar", IAR1
        CPU_SHOW "rpr", RPR
        SGI     2
        SHOW_ISR
        CPU_WRITE EOIR1, 1
        WINDOW
        .endr
        CPU_WRITE BPR1, 0
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
