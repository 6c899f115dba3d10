// Several CPUs with the MMU on.  Include after runtime.S and pagetable.S; -smp CPUS (4 unless defined).
//
//      bl      smp_on                          // starts the others; they wait for work
//      EVERYWHERE work                         // runs `work` on all CPUs, x0 = number of the CPU; returns when all are done
//      bl      rendezvous                      // inside work: returns when all CPUs have come here
//
// Work may use x0-x18; x19-x30 and sp must be kept.  Only CPU 0 prints.  DATA is 2 MiB of Normal memory, zero at first.

.ifndef CPUS
        .set    CPUS, 4
.endif
        .set    TCR,            TCR_GRANULE | TCR_IPS_40 | 25 | TCR_EPD1
        .set    DATA,           0x6000000000
        .set    PSCI_CPU_OFF,   0x84000002
        .set    PSCI_CPU_ON,    0xc4000003
        .set    PSCI_AFFINITY,  0xc4000004

.macro  EVERYWHERE work:req
        ADDR    x0, \work
        bl      everywhere
.endm

// reg += value, atomically.  Loses x16, x17.
.macro  ATOMIC_ADD address:req, value:req
991:    ldxr    x16, [\address]
        add     x16, x16, \value
        stxr    w17, x16, [\address]
        cbnz    w17, 991b
.endm

        .text
smp_on: str     x30, [sp, #-16]!
        SPACE   low, 25
        MAP_PROGRAM low
        MAP     low, DATA, 2, TEST_PA | BLOCK | NORMAL
        MMU_ON  low, none, TCR
        mov     x21, #1
1:      LI      x0, PSCI_CPU_ON
        mov     x1, x21
        ADDR    x2, secondary
        mov     x3, x21
        hvc     #0
        add     x21, x21, #1
        cmp     x21, #CPUS
        b.lo    1b
        EVERYWHERE nothing
        ldr     x30, [sp], #16
nothing:
        ret
        .ltorg

secondary:
        mov     x19, x0
        ADDR    x1, stacks
        add     x1, x1, x19, lsl #10
        add     x1, x1, #1024
        mov     sp, x1
        ADDR    x0, vectors
        msr     vbar_el1, x0
        MMU_ON  low, none, TCR
        ADDR    x20, job
        mov     x21, #0
1:      ldaxr   x0, [x20]
        cmp     x0, x21
        b.ne    2f
        wfe
        b       1b
2:      mov     x21, x0
        ldr     x1, [x20, #8]
        mov     x0, x19
        blr     x1
        dmb     ish
        add     x0, x20, #16
        ATOMIC_ADD x0, #1
        sev
        b       1b
        .ltorg

// x0 = function.
everywhere:
        stp     x30, x20, [sp, #-16]!
        ADDR    x20, job
        str     xzr, [x20, #16]
        str     x0, [x20, #8]
        mov     x1, x0
        ldr     x2, [x20]
        add     x2, x2, #1
        stlr    x2, [x20]
        dsb     ish
        sev
        mov     x0, #0
        blr     x1
        add     x1, x20, #16
1:      ldaxr   x0, [x1]
        cmp     x0, #CPUS - 1
        b.eq    2f
        wfe
        b       1b
2:      ldp     x30, x20, [sp], #16
        ret

// Loses x15-x18.
rendezvous:
        ADDR    x18, arrived
        dmb     ish
        ATOMIC_ADD x18, #1
        add     x15, x16, #CPUS - 1             // this one is number x16: wait for the next multiple of CPUS
        and     x15, x15, #-CPUS
        sev
1:      ldaxr   x16, [x18]
        cmp     x16, x15
        b.hs    2f
        wfe
        b       1b
2:      clrex
        ret

        .bss
        .balign 64
job:    .skip   64                              // generation, function, how many have done it
arrived: .skip  64
        .balign 16
stacks: .skip   1024 * CPUS

        .text
