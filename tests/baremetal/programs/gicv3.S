// GICv3 on one CPU: registers, software-generated and pended interrupts, priorities, masking, preemption, active states.
        .include "runtime.S"
        .include "gicv3.S"
        .include "gic_cases.S"

main:
        str     x30, [sp, #-16]!
        SET_HOOK irq_hook
        bl      registers
        bl      interface
        bl      readback
        bl      access
        bl      gic_on
        bl      software
        bl      targets
        bl      switches
        bl      groups
        bl      priorities
        bl      priority_bits
        bl      pended
        bl      routed
        bl      stays_active
        bl      many
        bl      preemption
        bl      active_priorities
        bl      split
        bl      modes
        bl      waiting
        ldr     x30, [sp], #16
        ret

registers:
        str     x30, [sp, #-16]!
        GIC_SHOW "GICD_CTLR", GICD, GICD_CTLR
        GIC_READ 10, GICD, GICD_TYPER
        LI      x11, 0x0705ffe0                 // QEMU has LPIs, and counts shared interrupts only
        and     x10, x10, x11
        SHOW    "GICD_TYPER", x10
        NL
        GIC_SHOW "GICD_IIDR", GICD, GICD_IIDR
        GIC_SHOW "GICD_TYPER2", GICD, 0xc
        GIC_SHOW "GICD_STATUSR", GICD, 0x10
        GIC_SHOW "GICD_IGROUPR0", GICD, IGROUPR
        GIC_SHOW "GICD_IGROUPR1", GICD, IGROUPR + 4
        GIC_SHOW "GICD_ISENABLER0", GICD, ISENABLER
        GIC_SHOW "GICD_ISENABLER1", GICD, ISENABLER + 4
        GIC_SHOW "GICD_IPRIORITYR0", GICD, IPRIORITYR
        GIC_SHOW "GICD_IPRIORITYR8", GICD, IPRIORITYR + 32
        GIC_SHOW "GICD_ITARGETSR8", GICD, 0x820
        GIC_SHOW "GICD_ICFGR0", GICD, ICFGR
        GIC_SHOW "GICD_ICFGR2", GICD, ICFGR + 8
        GIC_SHOW "GICD_IGRPMODR1", GICD, 0xd04
        GIC_SHOW "GICD_NSACR2", GICD, 0xe08
        GIC_SHOW "GICD_SGIR", GICD, 0xf00
        GIC_SHOW "GICD_IROUTER32", GICD, GICD_IROUTER + 8 * 32
        GIC_SHOW "GICD_IROUTER32 high", GICD, GICD_IROUTER + 8 * 32 + 4
        b       1f
        .ltorg
1:      GIC_SHOW "GICR_IIDR", GICR, GICR_IIDR
        GIC_READ 10, GICR, GICR_TYPER
        and     x10, x10, #0x00fffff0           // without what is about LPIs
        SHOW    "GICR_TYPER", x10
        NL
        GIC_SHOW "GICR_TYPER high", GICR, GICR_TYPER + 4
        GIC_SHOW "GICR_STATUSR", GICR, 0x10
        GIC_SHOW "GICR_WAKER", GICR, GICR_WAKER
        GIC_SHOW "GICR_IGROUPR0", SGI_BASE, IGROUPR
        GIC_SHOW "GICR_ISENABLER0", SGI_BASE, ISENABLER
        GIC_SHOW "GICR_ISPENDR0", SGI_BASE, ISPENDR
        GIC_SHOW "GICR_ISACTIVER0", SGI_BASE, ISACTIVER
        GIC_SHOW "GICR_IPRIORITYR0", SGI_BASE, IPRIORITYR
        GIC_SHOW "GICR_ICFGR0", SGI_BASE, 0xc00
        GIC_SHOW "GICR_ICFGR1", SGI_BASE, 0xc04
        GIC_SHOW "GICR_IGRPMODR0", SGI_BASE, 0xd00
        GIC_SHOW "GICR_NSACR", SGI_BASE, 0xe00
        b       1f
        .ltorg
1:      .irp    offset, 0xffd0, 0xffd4, 0xffe0, 0xffe4, 0xffe8, 0xffec, 0xfff0, 0xfff4, 0xfff8, 0xfffc
        GIC_SHOW "GICD \offset", GICD, \offset
        GIC_SHOW "GICR \offset", GICR, \offset
        .endr
        ldr     x30, [sp], #16
        ret
        .ltorg

// value after reset, after writing ones, after writing zeros
.macro  BITS    name:req, ones=-1
        mrs     x24, \name
        LI      x9, \ones
        msr     \name, x9
        isb
        mrs     x25, \name
        msr     \name, xzr
        isb
        mrs     x26, \name
        msr     \name, x24
        LOG     "\name"
        SHOW    "reset", x24
        SHOW    "ones", x25
        SHOW    "zeros", x26
        NL
.endm
interface:
        str     x30, [sp, #-16]!
        mrs     x10, id_aa64pfr0_el1
        ubfx    x10, x10, #24, #4
        SHOW    "id_aa64pfr0_el1.gic", x10
        NL
        BITS    icc_sre_el1
        BITS    icc_pmr_el1, 0xff
        BITS    icc_bpr0_el1
        BITS    icc_bpr1_el1
        BITS    icc_ctlr_el1
        BITS    icc_igrpen0_el1
        BITS    icc_igrpen1_el1
        BITS    icc_ap0r0_el1
        BITS    icc_ap1r0_el1
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_SHOW "hppir0", icc_hppir0_el1
        ICC_SHOW "hppir1", icc_hppir1_el1
        ICC_SHOW "iar0", icc_iar0_el1
        ICC_SHOW "iar1", icc_iar1_el1
        LOG     "shared binary point\n"
        ICC_WRITE icc_bpr0_el1, 4
        ICC_WRITE icc_bpr1_el1, 6
        ICC_WRITE icc_ctlr_el1, 1
        ICC_SHOW "bpr1", icc_bpr1_el1
        ICC_WRITE icc_bpr1_el1, 3
        ICC_SHOW "bpr0", icc_bpr0_el1
        ICC_SHOW "bpr1", icc_bpr1_el1
        ICC_WRITE icc_bpr0_el1, 7
        ICC_SHOW "bpr1", icc_bpr1_el1
        ICC_WRITE icc_ctlr_el1, 0
        ICC_SHOW "bpr1", icc_bpr1_el1
        ICC_WRITE icc_bpr0_el1, 0
        ICC_WRITE icc_bpr1_el1, 0
        ldr     x30, [sp], #16
        ret
        .ltorg

// Directions, registers that are not there, EL0.
access:
        str     x30, [sp, #-16]!
        .irp    name, icc_iar0_el1, icc_iar1_el1, icc_hppir0_el1, icc_hppir1_el1, icc_rpr_el1
        TRY     "write \name", "msr \name, x0"
        TRY0    "EL0 read \name", "mrs x0, \name"
        .endr
        .irp    name, icc_eoir0_el1, icc_eoir1_el1, icc_dir_el1, icc_sgi0r_el1, icc_sgi1r_el1, icc_asgi1r_el1
        TRY     "read \name", "mrs x0, \name"
        TRY0    "EL0 write \name", "msr \name, x0"
        .endr
        .irp    name, icc_ap0r1_el1, icc_ap0r3_el1, icc_ap1r1_el1, icc_ap1r2_el1
        TRY     "read \name", "mrs x0, \name"
        TRY     "write \name", "msr \name, xzr"
        .endr
        TRY0    "EL0 read icc_pmr_el1", "mrs x0, icc_pmr_el1"
        TRY0    "EL0 write icc_pmr_el1", "msr icc_pmr_el1, x0"
        ldr     x30, [sp], #16
        ret
        .ltorg

readback:
        str     x30, [sp, #-16]!
        .irp    n, 0, 4
        BACK    "ISENABLER\n ones", GICD, ISENABLER + \n, 0xffffffff
        BACK    "ICENABLER\n all", GICD, ICENABLER + \n, 0xffffffff
        BACK    "IPRIORITYR \n", GICD, IPRIORITYR + 8 * \n, 0xfedcba98
        BACK    "IPRIORITYR \n", GICD, IPRIORITYR + 8 * \n, 0
        BACK    "IGROUPR\n ones", GICD, IGROUPR + \n, 0xffffffff
        BACK    "IGROUPR\n zeros", GICD, IGROUPR + \n, 0
        BACK    "IGRPMODR\n", GICD, 0xd00 + \n, 0xffffffff
        BACK    "NSACR\n", GICD, 0xe00 + \n, 0xffffffff
        BACK    "ICFGR\n ones", GICD, ICFGR + 2 * \n, 0xffffffff
        BACK    "ICFGR\n zeros", GICD, ICFGR + 2 * \n, 0
        BACK    "ISPENDR\n", GICD, ISPENDR + \n, 0x81
        BACK    "ICPENDR\n", GICD, ICPENDR + \n, 0x80
        BACK    "ICPENDR\n", GICD, ICPENDR + \n, 1
        BACK    "ISACTIVER\n", GICD, ISACTIVER + \n, 0x81
        BACK    "ICACTIVER\n", GICD, ICACTIVER + \n, 0x81
        .endr
        b       1f
        .ltorg
1:      BACK    "private ISENABLER ones", SGI_BASE, ISENABLER, 0xffffffff
        BACK    "private ICENABLER all", SGI_BASE, ICENABLER, 0xffffffff
        BACK    "private IPRIORITYR", SGI_BASE, IPRIORITYR + 4, 0xfedcba98
        BACK    "private IPRIORITYR", SGI_BASE, IPRIORITYR + 4, 0
        BACK    "private IGROUPR ones", SGI_BASE, IGROUPR, 0xffffffff
        BACK    "private IGROUPR zeros", SGI_BASE, IGROUPR, 0
        BACK    "private IGRPMODR", SGI_BASE, 0xd00, 0xffffffff
        BACK    "private NSACR", SGI_BASE, 0xe00, 0xffffffff
        BACK    "private ICFGR0", SGI_BASE, 0xc00, 0
        BACK    "private ICFGR1 ones", SGI_BASE, 0xc04, 0xffffffff
        BACK    "private ICFGR1 zeros", SGI_BASE, 0xc04, 0
        BACK    "private ISPENDR", SGI_BASE, ISPENDR, 0x10081
        BACK    "private ICPENDR", SGI_BASE, ICPENDR, 0x80
        BACK    "private ICPENDR", SGI_BASE, ICPENDR, 0x10001
        BACK    "private ISACTIVER", SGI_BASE, ISACTIVER, 0x10081
        BACK    "private ICACTIVER", SGI_BASE, ICACTIVER, 0x10081
        BACK    "beyond: ISENABLER", GICD, ISENABLER + 36, 0xffffffff
        BACK    "beyond: IPRIORITYR", GICD, IPRIORITYR + 288, 0xffffffff
        b       1f
        .ltorg
1:      LOG     "bytes"
        LI      x9, GICD + IPRIORITYR + SPI
        mov     w10, #0x57
        strb    w10, [x9]
        ldrb    w11, [x9]
        SHOW    "priority", x11
        ldr     w11, [x9]
        SHOW    "priorities", x11
        strb    wzr, [x9]
        NL
        LOG     "routes"
        LI      x9, GICD + GICD_IROUTER + 8 * SPI
        LI      x10, 0xff00ffffff               // affinity alone
        str     x10, [x9]
        ldr     x11, [x9]
        SHOW    "ones", x11
        str     wzr, [x9]
        ldr     x11, [x9]
        SHOW    "low 0", x11
        str     wzr, [x9, #4]
        ldr     w11, [x9, #4]
        SHOW    "high 0", x11
        LI      x9, GICD + GICD_IROUTER + 8 * 31
        str     x10, [x9]
        ldr     x11, [x9]
        SHOW    "private", x11
        LI      x9, GICD + GICD_IROUTER + 8 * 288
        str     x10, [x9]
        ldr     x11, [x9]
        SHOW    "beyond", x11
        NL
        BACK    "GICD_CTLR ones", GICD, GICD_CTLR, 0xffffffff
        BACK    "GICD_CTLR 0", GICD, GICD_CTLR, 0
        BACK    "GICR_WAKER 0", GICR, GICR_WAKER, 0
        BACK    "GICR_WAKER ones", GICR, GICR_WAKER, 0xffffffff
        ldr     x30, [sp], #16
        ret
        .ltorg

// Software-generated interrupts to CPUs that are not there, and of other groups.
targets:
        str     x30, [sp, #-16]!
        LOG     "sgi to others\n"
        ICC_WRITE icc_sgi1r_el1, (1 << 40) | (5 << 24)
        ICC_WRITE icc_sgi1r_el1, (5 << 24) | 2
        ICC_WRITE icc_sgi1r_el1, (1 << 16) | (5 << 24) | 1
        ICC_WRITE icc_sgi1r_el1, (1 << 32) | (5 << 24) | 1
        ICC_WRITE icc_sgi1r_el1, (1 << 48) | (5 << 24) | 1
        ICC_WRITE icc_sgi1r_el1, (5 << 24)
        WINDOW
        LOG     "sgi of other groups\n"
        ICC_WRITE icc_sgi0r_el1, (6 << 24) | 1
        ICC_WRITE icc_asgi1r_el1, (6 << 24) | 1
        GIC_SHOW "pending", SGI_BASE, ISPENDR
        ICC_SHOW "hppir0", icc_hppir0_el1
        WINDOW
        LOG     "sgi taken back\n"
        SGI     7
        GIC_WRITE SGI_BASE, ICPENDR, 1 << 7
        GIC_SHOW "pending", SGI_BASE, ISPENDR
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

// Group 0 is FIQ, group 1 IRQ; each has its own registers.
groups:
        str     x30, [sp, #-16]!
        LOG     "groups\n"
        GIC_WRITE SGI_BASE, IGROUPR, 0xfffffff0
        GIC_WRITE SGI_BASE, IPRIORITYR, 0xa0a0a0a0
        GIC_WRITE SGI_BASE, IPRIORITYR + 4, 0xb0b0b0b0
        ICC_WRITE icc_sgi0r_el1, (3 << 24) | 1
        SGI     5
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        ICC_SHOW "hppir0", icc_hppir0_el1
        ICC_SHOW "hppir1", icc_hppir1_el1
        ICC_SHOW "iar1", icc_iar1_el1
        WINDOW
        LOG     "group 0 below group 1\n"
        GIC_WRITE SGI_BASE, IPRIORITYR, 0xc0c0c0c0
        ICC_WRITE icc_sgi0r_el1, (3 << 24) | 1
        SGI     5
        ICC_SHOW "hppir0", icc_hppir0_el1
        ICC_SHOW "hppir1", icc_hppir1_el1
        ICC_SHOW "iar0", icc_iar0_el1
        WINDOW
        LOG     "group 0 disabled here\n"
        GIC_WRITE SGI_BASE, IPRIORITYR, 0x90909090
        ICC_WRITE icc_igrpen0_el1, 0
        ICC_WRITE icc_sgi0r_el1, (3 << 24) | 1
        WINDOW
        ICC_SHOW "hppir0", icc_hppir0_el1
        ICC_SHOW "hppir1", icc_hppir1_el1
        ICC_WRITE icc_igrpen0_el1, 1
        WINDOW
        b       1f
        .ltorg
1:      LOG     "group 0 disabled there\n"
        GIC_WRITE GICD, GICD_CTLR, 2
        ICC_WRITE icc_sgi0r_el1, (3 << 24) | 1
        SGI     5
        ICC_SHOW "hppir0", icc_hppir0_el1
        ICC_SHOW "hppir1", icc_hppir1_el1
        WINDOW
        GIC_WRITE GICD, GICD_CTLR, 3
        WINDOW
        LOG     "ends of the other group\n"
        SGI     5
        ICC_SHOW "iar1", icc_iar1_el1
        ICC_WRITE icc_eoir0_el1, 5
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_SHOW "ap1r0", icc_ap1r0_el1
        ICC_WRITE icc_eoir1_el1, 1023
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_WRITE icc_eoir1_el1, 5
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_WRITE icc_eoir1_el1, 5
        GIC_SHOW "active", SGI_BASE, ISACTIVER
        LOG     "nested groups\n"
        GIC_WRITE SGI_BASE, IPRIORITYR, 0x50505050
        SGI     5
        ICC_SHOW "iar1", icc_iar1_el1
        ICC_WRITE icc_sgi0r_el1, (3 << 24) | 1
        ICC_SHOW "iar0", icc_iar0_el1
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_WRITE icc_eoir1_el1, 5
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_WRITE icc_eoir0_el1, 3
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_WRITE icc_eoir1_el1, 5
        ICC_SHOW "rpr", icc_rpr_el1
        GIC_WRITE SGI_BASE, IGROUPR, 0xffffffff
        GIC_WRITE GICD, IGROUPR + WORD, BIT
        ldr     x30, [sp], #16
        ret
        .ltorg

// The interface has 5 bits of priority.
priority_bits:
        str     x30, [sp, #-16]!
        LOG     "bits that are not implemented\n"
        GIC_WRITE SGI_BASE, IPRIORITYR, 0x40414740
        SGI     1
        SGI     2
        SGI     3
        WINDOW
        LOG     "mask 68, open\n"
        GIC_WRITE SGI_BASE, IPRIORITYR, 0x40506070
        ICC_WRITE icc_pmr_el1, 0x61
        SGI     0
        SGI     1
        msr     daifclr, #2
        ICC_WRITE icc_pmr_el1, 0x68
        msr     daifset, #2
        LOG     "mask ff\n"
        ICC_WRITE icc_pmr_el1, 0xff
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

routed:
        str     x30, [sp, #-16]!
        LOG     "routed elsewhere\n"
        LI      x9, GICD + GICD_IROUTER + 8 * SPI
        mov     x10, #1
        str     x10, [x9]
        GIC_WRITE GICD, ISPENDR + WORD, BIT
        WINDOW
        LI      x9, GICD + GICD_IROUTER + 8 * SPI
        str     xzr, [x9]
        LOG     "and back\n"
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

// An interrupt that comes again while it is served; many at once.
many:
        str     x30, [sp, #-16]!
        LOG     "edge while active\n"
        GIC_WRITE GICD, ISPENDR + WORD, BIT
        ICC_SHOW "iar", icc_iar1_el1
        GIC_WRITE GICD, ISPENDR + WORD, BIT
        ICC_SHOW "iar", icc_iar1_el1
        ICC_WRITE icc_eoir1_el1, SPI
        WINDOW
        LOG     "everything pending\n"
        GIC_WRITE GICD, IGROUPR + 4, 0xffffffff
        GIC_WRITE GICD, ISENABLER + 4, 0xfffffff9
        GIC_WRITE GICD, ISPENDR + 4, 0xfffffff9
        GIC_WRITE GICD, IPRIORITYR + 48, 0x08101820
        ICC_SHOW "iar", icc_iar1_el1
        ICC_SHOW "hppir", icc_hppir1_el1
        ICC_WRITE icc_eoir1_el1, 51
        GIC_WRITE GICD, ICENABLER + 4, 0xffffffff
        GIC_WRITE GICD, ICPENDR + 4, 0xffffffff
        ICC_SHOW "hppir", icc_hppir1_el1
        ldr     x30, [sp], #16
        ret
        .ltorg

active_priorities:
        str     x30, [sp, #-16]!
        LOG     "active priorities read\n"
        SGI     1
        ICC_SHOW "iar", icc_iar1_el1
        SGI     2
        ICC_SHOW "iar", icc_iar1_el1
        ICC_SHOW "ap1r0", icc_ap1r0_el1
        ICC_WRITE icc_eoir1_el1, 2
        ICC_WRITE icc_eoir1_el1, 1
        LOG     "active priorities written\n"
        ICC_WRITE icc_ap1r0_el1, 1 << 8
        SGI     1
        SGI     2
        ICC_SHOW "rpr", icc_rpr_el1
        ICC_SHOW "iar", icc_iar1_el1
        ICC_WRITE icc_ap1r0_el1, 0
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

// EOImode: priority drop and deactivation apart.
split:
        str     x30, [sp, #-16]!
        LOG     "split\n"
        ICC_WRITE icc_dir_el1, 1
        ICC_WRITE icc_ctlr_el1, 2
        SGI     1
        ICC_SHOW "iar", icc_iar1_el1
        ICC_WRITE icc_eoir1_el1, 1
        ICC_SHOW "rpr", icc_rpr_el1
        GIC_SHOW "active", SGI_BASE, ISACTIVER
        SGI     1
        WINDOW
        ICC_SHOW "hppir", icc_hppir1_el1
        ICC_WRITE icc_dir_el1, 1
        GIC_SHOW "active", SGI_BASE, ISACTIVER
        ICC_SHOW "hppir", icc_hppir1_el1
        ICC_WRITE icc_dir_el1, 1023
        ICC_WRITE icc_ctlr_el1, 0
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg
