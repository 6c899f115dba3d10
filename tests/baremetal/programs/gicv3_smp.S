// GICv3 with 18 CPUs, which are two clusters: affinities, redistributors, SGIs by list and to all others, routes.
// The other CPUs wait for interrupts, count them in their record, and end them.
        .include "runtime.S"
        .include "gicv3.S"

        .set    CPUS,   18
        .set    SPI,    100
        .set    WORD,   (SPI / 32) * 4
        .set    BIT,    1 << (SPI % 32)
        .set    COUNT,  0                       // fields of a record
        .set    SUM,    8                       // of INTIDs
        .set    MPIDR,  16
        .set    TYPER,  24
        .set    RECORD, 32

// Affinity of CPU number \cpu.
.macro  AFFINITY reg, cpu                       // loses x9
        and     x9, \cpu, #15
        lsr     \reg, \cpu, #4
        orr     \reg, x9, \reg, lsl #8
.endm

main:
        str     x30, [sp, #-16]!
        SET_HOOK irq_hook
        bl      gic_on
        GIC_WRITE SGI_BASE, ISENABLER, 0xffff
        LOG     "before\n"
        bl      power_states
        mov     x19, #1
1:      LI      x0, 0xc4000003                  // CPU_ON
        AFFINITY x1, x19
        ADDR    x2, other_cpu
        mov     x3, x19
        hvc     #0
        SHOW    "cpu", x19
        SHOW    "on", x0
        bl      record_of
        mov     x22, #0
        bl      wait_count
        ldr     x21, [x20, #MPIDR]
        and     x21, x21, #0xffffff             // without the bits that are the same for all
        SHOW    "mpidr", x21
        ldr     x21, [x20, #TYPER]
        LI      x9, 0xfffffffffcfffff0          // without what is about LPIs
        and     x21, x21, x9
        SHOW    "typer", x21
        NL
        add     x19, x19, #1
        cmp     x19, #CPUS
        b.lo    1b
        LOG     "after\n"
        bl      power_states
        b       2f
        .ltorg

.macro  EXPECT  name, count, cpus:vararg        // those CPUs have had so many interrupts
        LOG     "\name\n"
        .irp    cpu, \cpus
        mov     x19, #\cpu
        bl      record_of
        mov     x22, #\count
        bl      wait_count
        .endr
        bl      show_records
.endm
2:      ICC_WRITE icc_sgi1r_el1, (1 << 40) | (5 << 24)
        EXPECT  "to all others", 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
        ICC_WRITE icc_sgi1r_el1, (1 << 16) | (6 << 24) | 3
        EXPECT  "cluster 1", 2, 16, 17
        ICC_WRITE icc_sgi1r_el1, (7 << 24) | 0x8002
        EXPECT  "cluster 0", 2, 1, 15
        b       1f
        .ltorg
1:      LOG     "itself\n"
        SGI     3
        WINDOW
        // no CPU has these, or the SGI in that group; a last one to all shows that nothing came in
        ICC_WRITE icc_sgi1r_el1, (1 << 16) | (9 << 24) | 0xfffc
        ICC_WRITE icc_sgi1r_el1, (2 << 16) | (9 << 24) | 0xffff
        ICC_WRITE icc_sgi1r_el1, (1 << 32) | (9 << 24) | 0xffff
        ICC_WRITE icc_sgi1r_el1, (1 << 48) | (9 << 24) | 0xffff
        ICC_WRITE icc_sgi0r_el1, (9 << 24) | 0xfffe
        ICC_WRITE icc_sgi1r_el1, (4 << 24) | 4
        EXPECT  "nobody", 2, 2
        b       1f
        .ltorg
1:      GIC_WRITE GICD, IGROUPR + WORD, BIT
        GIC_WRITE GICD, ICFGR + (SPI / 16) * 4, 2 << ((SPI % 16) * 2)
        GIC_WRITE GICD, ISENABLER + WORD, BIT
        .irp    cpu, 3, 17
        LI      x9, GICD + GICD_IROUTER + 8 * SPI
        mov     x11, #\cpu
        lsr     x12, x11, #4
        and     x10, x11, #15
        orr     x10, x10, x12, lsl #8
        str     x10, [x9]
        GIC_WRITE GICD, ISPENDR + WORD, BIT
        .if     \cpu == 3
        EXPECT  "route \cpu", 2, \cpu
        .else
        EXPECT  "route \cpu", 3, \cpu
        .endif
        .endr
        b       1f
        .ltorg
1:      LOG     "pended from outside\n"         // a private interrupt of another CPU
        GIC_WRITE SGI_BASE + 4 * GICR_STRIDE, ISPENDR, 1 << 8
        EXPECT  "pended", 2, 4
        ldr     x30, [sp], #16
        ret
        .ltorg

// AFFINITY_INFO of the first, a middle, and the last CPU, and of two that are not there.
power_states:
        str     x30, [sp, #-16]!
        .irp    affinity, 0, 0xf, 0x10, 0x101, 0x102
        LI      x0, 0xc4000004
        LI      x1, \affinity
        mov     x2, #0
        hvc     #0
        SHOW    "affinity \affinity", x0
        .endr
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// x19 = CPU, to x20 = its record
record_of:
        ADDR    x20, records
        mov     x9, #RECORD
        madd    x20, x19, x9, x20
        ret

// Wait until the record in x20 says that the CPU runs and has had x22 interrupts.
wait_count:
1:      ldr     x9, [x20, #MPIDR]
        ldr     x10, [x20, #COUNT]
        cmp     x10, x22
        ccmp    x9, #0, #4, eq
        b.ne    2f
        yield
        b       1b
2:      dmb     sy
        ret

// All records that have changed since the last time.
show_records:
        stp     x30, x19, [sp, #-16]!
        mov     x19, #0
1:      bl      record_of
        ldr     x21, [x20, #COUNT]
        ldr     x22, [x20, #SUM]
        LOG     " "
        HEX     x21
        LOG     "/"
        HEX     x22
        add     x19, x19, #1
        cmp     x19, #CPUS
        b.lo    1b
        NL
        ldp     x30, x19, [sp], #16
        ret

// x0 = number of this CPU, for good in x19.  No stack.
other_cpu:
        mov     x19, x0
        ADDR    x20, records
        mov     x9, #RECORD
        madd    x20, x19, x9, x20
        LI      x9, GICR
        mov     x10, #GICR_STRIDE
        madd    x21, x19, x10, x9
        str     wzr, [x21, #GICR_WAKER]
        ldr     x9, [x21, #GICR_TYPER]
        str     x9, [x20, #TYPER]
        add     x22, x21, #0x10000              // SGI_BASE
        mov     w9, #-1
        str     w9, [x22, #IGROUPR]
        mov     w9, #0xffff
        str     w9, [x22, #ISENABLER]
        mov     x9, #0xff
        msr     icc_pmr_el1, x9
        mov     x9, #1
        msr     icc_igrpen1_el1, x9
        isb
        dmb     sy
        mrs     x9, mpidr_el1
        str     x9, [x20, #MPIDR]
1:      wfi
        mrs     x9, icc_iar1_el1
        cmp     x9, #1020
        b.hs    1b
        msr     icc_eoir1_el1, x9
        ldp     x10, x11, [x20]
        add     x11, x11, x9
        str     x11, [x20, #SUM]
        dmb     sy
        add     x10, x10, #1
        str     x10, [x20, #COUNT]
        b       1b
        .ltorg

        .bss
        .balign 16
records: .skip  RECORD * CPUS
        .text
