// CPUs that go off and on: PSCI CPU_ON, CPU_OFF, AFFINITY_INFO and what a CPU is started with; SGIs that end WFI; SEV and WFE.
        .include "runtime.S"
        .include "pagetable.S"
        .include "smp.S"
        .include "gic.S"

        .set    ROUNDS, 100

main:
        str     x30, [sp, #-16]!
        mov     x20, #0
1:      LI      x0, PSCI_AFFINITY
        mov     x1, x20
        mov     x2, #0
        hvc     #0
        LOG     "affinity info"
        SHOW    "cpu", x20
        SHOW    "x0", x0
        NL
        add     x20, x20, #1
        cmp     x20, #CPUS + 1
        b.ne    1b
        bl      fresh
        bl      rounds
        bl      smp_on
        MAP     low, GICD, 3, GICD | LEAF | DEVICE
        MAP     low, GICC, 3, GICC | LEAF | DEVICE
        dsb     ishst
        GIC_WRITE GICD, GICD_CTLR, 1
        EVERYWHERE interrupts
        ADDR    x0, answers
        ldr     x1, [x0]
        LOG     "interrupts"
        SHOW    "answered", x1
        NL
        EVERYWHERE events
        LOG     "events\n"
        LI      x0, PSCI_CPU_ON
        mov     x1, #2
        ADDR    x2, secondary
        mov     x3, #0
        hvc     #0
        LOG     "cpu on, on already"
        SHOW    "x0", x0
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// What CPU 3 finds when it starts, with a state that its last run made different.
fresh:  str     x30, [sp, #-16]!
        mov     x20, #2
1:      LI      x0, PSCI_CPU_ON
        mov     x1, #3
        ADDR    x2, look
        LI      x3, 0x123456789abcdef0
        hvc     #0
        LOG     "cpu on"
        SHOW    "x0", x0
        NL
        ADDR    x21, seen
2:      ldr     x1, [x21]                       // QEMU has the CPU off until it runs
        cbz     x1, 2b
        bl      wait_off
        str     xzr, [x21]
        ldr     x1, [x21, #64]
        SHOW    "x0", x1
        add     x21, x21, #8
        .irp    name, el, daif, sctlr, sp, spsel, mpidr, cpacr
        ldr     x1, [x21], #8
        SHOW    "\name", x1
        .endr
        NL
        subs    x20, x20, #1
        b.ne    1b
        ldr     x30, [sp], #16
        ret
        .ltorg

look:   ADDR    x1, seen
        mrs     x2, CurrentEL
        stp     x0, x2, [x1]
        mrs     x2, daif
        mrs     x3, sctlr_el1
        stp     x2, x3, [x1, #16]
        mov     x2, #0
        mrs     x3, spsel
        stp     x2, x3, [x1, #32]
        mrs     x2, mpidr_el1
        mrs     x3, cpacr_el1
        stp     x2, x3, [x1, #48]
        str     x0, [x1, #64]
        dsb     sy
        msr     daifclr, #15
        mov     x2, #3 << 20
        msr     cpacr_el1, x2
        mov     sp, x2
        msr     spsel, #0
        b       off
        .ltorg

// x1 = 3: until CPU 3 is off.
wait_off:
        LI      x0, PSCI_AFFINITY
        mov     x1, #3
        mov     x2, #0
        hvc     #0
        cmp     x0, #1
        b.ne    wait_off
        ret
        .ltorg

off:    LI      x0, PSCI_CPU_OFF
        hvc     #0
        b       .                               // never reached
        .ltorg

// Each CPU again and again, as soon as it lets itself be started: it notes its context and goes off.
rounds: str     x30, [sp, #-16]!
        mov     x20, #ROUNDS
        mov     x22, #0                         // wrong results of CPU_ON
        mov     x23, #0                         // CPUs that started with something else than they were given
1:      mov     x21, #1
2:      ADDR    x24, seen
        add     x24, x24, x21, lsl #3
        str     xzr, [x24]
        dsb     sy
3:      LI      x0, PSCI_CPU_ON
        mov     x1, x21
        ADDR    x2, note
        add     x3, x21, x20, lsl #32
        hvc     #0
        add     x1, x0, #4                      // ALREADY_ON, or ON_PENDING below it: not off yet
        cmn     x0, #5
        ccmp    x1, #0, #4, ne
        b.eq    3b
        cmp     x0, #0
        cinc    x22, x22, ne
4:      ldr     x0, [x24]
        cbz     x0, 4b
        add     x3, x21, x20, lsl #32
        cmp     x0, x3
        cinc    x23, x23, ne
        add     x21, x21, #1
        cmp     x21, #CPUS
        b.ne    2b
        subs    x20, x20, #1
        b.ne    1b
        bl      wait_off
        LOG     "rounds"
        SHOW    "refused", x22
        SHOW    "wrong", x23
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

note:   ADDR    x1, seen
        and     x2, x0, #7
        str     x0, [x1, x2, lsl #3]
        b       off
        .ltorg

// CPU 0 sends each of the others an SGI in turn; it acknowledges, and counts.  Interrupts stay masked: they end WFI all the same.
interrupts:
        stp     x30, x19, [sp, #-32]!
        stp     x20, x21, [sp, #16]
        mov     x19, x0
        GIC_WRITE GICC, GICC_PMR, 0xff
        GIC_WRITE GICC, GICC_CTLR, 1
        bl      rendezvous
        ADDR    x20, answers
        mov     x21, #ROUNDS
        cbnz    x19, 3f
        mov     x1, #0
1:      mov     x2, #1                          // CPU 0: x1 answers so far
2:      LI      x9, GICD + GICD_SGIR
        mov     x3, #0x10000
        lsl     x3, x3, x2
        add     x3, x3, #5
        str     w3, [x9]
        add     x1, x1, #1
4:      ldr     x3, [x20]
        cmp     x3, x1
        b.ne    4b
        add     x2, x2, #1
        cmp     x2, #CPUS
        b.ne    2b
        subs    x21, x21, #1
        b.ne    1b
        b       5f
3:      wfi
        GIC_READ 10, GICC, GICC_IAR
        and     x11, x10, #0x3ff
        cmp     x11, #5
        b.ne    3b
        LI      x9, GICC + GICC_EOIR
        str     w10, [x9]
        ATOMIC_ADD x20, #1
        subs    x21, x21, #1
        b.ne    3b
5:      ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #32
        ret
        .ltorg

// A number goes round: each CPU sleeps until it is its turn.
events: stp     x30, x19, [sp, #-16]!
        mov     x19, x0
        bl      rendezvous
        ADDR    x1, turn
        mov     x2, x19
1:      ldr     x3, [x1]
        cmp     x3, x2
        b.eq    2f
        wfe
        b       1b
2:      add     x3, x3, #1
        str     x3, [x1]
        dsb     ish
        sev
        add     x2, x2, #CPUS
        cmp     x2, #ROUNDS * CPUS
        b.lo    1b
        ldp     x30, x19, [sp], #16
        ret
        .ltorg

        .bss
        .balign 64
answers: .skip  64
turn:   .skip   64
seen:   .skip   128
