// Generic timers: control bits, compare and timer values, interrupts through the GIC, waking from WFI.  Nothing printed
// depends on when: what must not have expired is years away, what must have is in the past or waited for.
        .include "runtime.S"
        .ifdef  GICV3
        .include "gicv3.S"
        .else
        .include "gic.S"
        .endif

        .set    FAR_AWAY,       1 << 56

main:
        str     x30, [sp, #-16]!
        SET_HOOK irq_hook
        bl      gic_on
        GIC_WRITE PRIVATES, ISENABLER, (1 << VIRTUAL_TIMER) | (1 << PHYSICAL_TIMER)
        LOG     "virtual\n"
        bl      controls_v
        LOG     "physical\n"
        bl      controls_p
        bl      counters
        bl      interrupts_v
        bl      interrupts_p
        bl      both
        ldr     x30, [sp], #16
        ret
        .ltorg

.macro  CTL     title, timer
        mrs     x11, cnt\timer\()_ctl_el0
        LOG     "\title"
        SHOW    "ctl", x11
        NL
.endm

// ISTATUS is only looked at while ENABLE is set, except once: it reads as 0 when disabled here (architecturally unknown).
.macro  CONTROLS timer, counter
        msr     cnt\timer\()_ctl_el0, xzr
        LI      x9, FAR_AWAY
        msr     cnt\timer\()_cval_el0, x9
        mrs     x11, cnt\timer\()_cval_el0
        SHOW    "cval", x11
        NL
        CTL     " disabled", \timer
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        isb
        CTL     " far away", \timer
        mov     x9, #3
        msr     cnt\timer\()_ctl_el0, x9
        CTL     " far away, masked", \timer
        msr     cnt\timer\()_cval_el0, xzr
        isb
        CTL     " past, masked", \timer
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        isb
        CTL     " past", \timer
        msr     cnt\timer\()_ctl_el0, xzr
        isb
        CTL     " past, disabled", \timer
        mov     x9, #-1
        msr     cnt\timer\()_ctl_el0, x9
        isb
        CTL     " ones", \timer
        mov     x9, #-1
        msr     cnt\timer\()_cval_el0, x9
        mov     x9, #3
        msr     cnt\timer\()_ctl_el0, x9
        isb
        CTL     " never", \timer
        // TVAL is the low half of CVAL - counter, and writing it sets CVAL = counter + its signed value.
        LI      x9, 0x7fffffff
        mrs     x12, \counter
        msr     cnt\timer\()_tval_el0, x9
        isb
        mrs     x13, cnt\timer\()_cval_el0
        mrs     x14, cnt\timer\()_tval_el0
        mrs     x15, \counter
        isb
        sub     x16, x13, x12
        cmp     x16, x9
        cset    x17, hs                         // cval >= counter before + tval
        sub     x16, x13, x15
        cmp     x16, x9
        cset    x18, ls                         // cval <= counter after + tval
        cmp     x14, x9
        cset    x19, ls                         // reads back smaller, and not by years
        LOG     " tval"
        SHOW    "a", x17
        SHOW    "b", x18
        SHOW    "c", x19
        NL
        CTL     " tval ahead", \timer
        mov     x9, #-1000
        msr     cnt\timer\()_tval_el0, x9
        isb
        CTL     " tval behind", \timer
        mrs     x14, cnt\timer\()_tval_el0
        lsr     x14, x14, #31                   // negative, in 32 bits
        SHOW    "sign", x14
        NL
        msr     cnt\timer\()_ctl_el0, xzr
        isb
.endm
controls_v:
        str     x30, [sp, #-16]!
        CONTROLS v, cntvct_el0
        ldr     x30, [sp], #16
        ret
        .ltorg
controls_p:
        str     x30, [sp, #-16]!
        CONTROLS p, cntpct_el0
        ldr     x30, [sp], #16
        ret
        .ltorg

counters:
        str     x30, [sp, #-16]!
        mrs     x9, cntvct_el0
        isb
        mrs     x10, cntpct_el0
        isb
        mrs     x11, cntvct_el0
        cmp     x9, x10
        cset    x12, ls
        cmp     x10, x11
        cset    x13, ls                         // one counter under two names: no offset without EL2
1:      mrs     x10, cntvct_el0
        cmp     x10, x11
        b.eq    1b
        cset    x14, hi
        LOG     "counters"
        SHOW    "a", x12
        SHOW    "b", x13
        SHOW    "c", x14
        mrs     x9, cntfrq_el0
        SHOW    "frq", x9
        mrs     x9, cntkctl_el1
        SHOW    "kctl", x9
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// x19 = the interrupt: shows and masks its timer, so that the level falls.
serve_timer:
        str     x30, [sp, #-16]!
        GIC_READ 12, PRIVATES, ISPENDR
        GIC_READ 13, PRIVATES, ISACTIVER
        mov     x9, #3
        cmp     w19, #VIRTUAL_TIMER
        b.ne    1f
        mrs     x11, cntv_ctl_el0
        msr     cntv_ctl_el0, x9
        b       2f
1:      mrs     x11, cntp_ctl_el0
        msr     cntp_ctl_el0, x9
2:      isb
        GIC_READ 14, PRIVATES, ISPENDR
        SHOW    "ctl", x11
        SHOW    "pending", x12
        SHOW    "active", x13
        SHOW    "pending after", x14
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

.macro  INTERRUPTS timer, counter
        ADDR    x9, serve
        ADDR    x10, serve_timer
        str     x10, [x9]
        LOG     " expired while masked\n"
        msr     cnt\timer\()_cval_el0, xzr
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        isb
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        GIC_SHOW " pending", PRIVATES, ISPENDR
        LOG     " goes away with IMASK\n"
        mov     x9, #3
        msr     cnt\timer\()_ctl_el0, x9
        isb
        mrs     x11, isr_el1
        SHOW    "isr", x11
        NL
        GIC_SHOW " pending", PRIVATES, ISPENDR
        WINDOW
        LOG     " comes back\n"
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        WINDOW
        LOG     " goes away with CVAL\n"
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        isb
        LI      x9, FAR_AWAY
        msr     cnt\timer\()_cval_el0, x9
        isb
        GIC_SHOW " pending", PRIVATES, ISPENDR
        LOG     " soon, waiting with interrupts open\n"
        mrs     x9, \counter
        add     x9, x9, #0x2000
        msr     cnt\timer\()_cval_el0, x9
        msr     daifclr, #2
1:      mrs     x9, cnt\timer\()_ctl_el0        // the handler sets IMASK
        tbz     x9, #1, 1b
        msr     daifset, #2
        LOG     " soon, wfi masked\n"
        mov     x9, #0x4000
        msr     cnt\timer\()_tval_el0, x9
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        isb
2:      wfi
        mrs     x9, cnt\timer\()_ctl_el0
        tbz     x9, #2, 2b
        CTL     " woken", \timer
        WINDOW
        LOG     " soon, a loop without end\n"
        adr     x28, 3f
        mov     x9, #0x4000
        msr     cnt\timer\()_tval_el0, x9
        ADDR    x9, serve
        ADDR    x10, leave_loop
        str     x10, [x9]
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        msr     daifclr, #2
        b       .                               // the handler moves ELR
3:      msr     daifset, #2
        LOG     " left\n"
        // Twenty interrupts, one after another, each set up by the one before.
        ADDR    x9, serve
        ADDR    x10, again_\timer
        str     x10, [x9]
        SET_HOOK quiet_hook
        mov     x26, #20
        mov     x9, #0x1000
        msr     cnt\timer\()_tval_el0, x9
        mov     x9, #1
        msr     cnt\timer\()_ctl_el0, x9
        msr     daifclr, #2
4:      ADDR    x9, ticks
        ldr     x10, [x9]
        cmp     x10, x26
        b.lo    4b
        msr     daifset, #2
        msr     cnt\timer\()_ctl_el0, xzr
        str     xzr, [x9]
        SET_HOOK irq_hook
        LOG     " ticks"
        SHOW    "n", x10
        NL
.endm
interrupts_v:
        str     x30, [sp, #-16]!
        LOG     "virtual interrupts\n"
        INTERRUPTS v, cntvct_el0
        ldr     x30, [sp], #16
        ret
        .ltorg
interrupts_p:
        str     x30, [sp, #-16]!
        LOG     "physical interrupts\n"
        INTERRUPTS p, cntpct_el0
        ldr     x30, [sp], #16
        ret
        .ltorg

// Both timers at once: the more urgent first.
both:
        str     x30, [sp, #-16]!
        LOG     "both\n"
        ADDR    x9, serve
        ADDR    x10, serve_timer
        str     x10, [x9]
        GIC_WRITE PRIVATES, IPRIORITYR + 24, 0x80000000
        GIC_WRITE PRIVATES, IPRIORITYR + 28, 0x00400000
        msr     cntv_cval_el0, xzr
        msr     cntp_cval_el0, xzr
        mov     x9, #1
        msr     cntv_ctl_el0, x9
        msr     cntp_ctl_el0, x9
        WINDOW
        ldr     x30, [sp], #16
        ret
        .ltorg

leave_loop:
        str     x30, [sp, #-16]!
        bl      serve_timer
        ADDR    x9, frame
        ldr     x10, [x9, #224]
        str     x10, [x9, #FRAME_ELR]
        ldr     x30, [sp], #16
        ret

// Counts and sets the timer again; prints nothing.
quiet_hook:
        stp     x30, x19, [sp, #-16]!
        CPU_READ 19, IAR1
        ADDR    x9, ticks
        ldr     x10, [x9]
        add     x10, x10, #1
        str     x10, [x9]
        ADDR    x9, serve
        ldr     x9, [x9]
        blr     x9
        END     19
        ldp     x30, x19, [sp], #16
        mov     x0, #0
        ret
again_v:
        cmp     x10, #20
        b.hs    1f
        mov     x9, #0x800
        msr     cntv_tval_el0, x9
        isb
        ret
1:      msr     cntv_ctl_el0, xzr
        isb
        ret
again_p:
        cmp     x10, #20
        b.hs    1f
        mov     x9, #0x800
        msr     cntp_tval_el0, x9
        isb
        ret
1:      msr     cntp_ctl_el0, xzr
        isb
        ret
        .ltorg

        .bss
        .balign 8
ticks:  .skip   8
