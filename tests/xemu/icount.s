// Prints numbers that depend on how many instructions were executed when, and on nothing else.
// Registers: x19 the UART, x20 and x21 the GIC's distributor and CPU interface.
        .set    CVAL_AHEAD, 5000

start:  mov     x19, #0x09000000
        mov     x20, #0x08000000
        add     x21, x20, #0x10, lsl #12
        adr     x0, vectors
        msr     vbar_el1, x0

        // How far the counter goes in 1 + 2 * 1000 + 1 instructions, MRS included
        mrs     x1, cntvct_el0
        mov     x2, #1000
1:      subs    x2, x2, #1
        b.ne    1b
        mrs     x3, cntvct_el0
        sub     x0, x3, x1
        bl      print

        // A timer that nobody serves ends a WFI: how late the instruction behind it is
        mov     w1, #1
        str     w1, [x20]                       // GICD_CTLR
        str     w1, [x21]                       // GICC_CTLR
        mov     w1, #0xff
        str     w1, [x21, #4]                   // GICC_PMR
        mov     w1, #1 << 27
        str     w1, [x20, #0x100]               // GICD_ISENABLER0: the virtual timer
        bl      arm
        wfi
        mrs     x1, cntvct_el0
        sub     x0, x1, x22
        bl      print

        // The same with the interrupt taken in the middle of a loop: when, and how far the loop was
        bl      arm
        mov     x23, #0
        msr     daifclr, #2
2:      add     x23, x23, #1
        cbz     x24, 2b
        msr     daifset, #2
        sub     x0, x24, x22
        bl      print
        mov     x0, x23
        bl      print

        // WFE with no event coming: time passes all the same
        mrs     x1, cntvct_el0
        add     x1, x1, #100, lsl #12
3:      wfe
        mrs     x0, cntvct_el0
        cmp     x0, x1
        b.lo    3b
        sub     x0, x0, x1
        bl      print

        mov     w0, #8
        movk    w0, #0x8400, lsl #16            // SYSTEM_OFF
        hvc     #0
        b       .

// Sets the virtual timer CVAL_AHEAD ticks ahead, where x22 says; x24 becomes 0.
arm:    mov     x24, #0
        mrs     x22, cntvct_el0
        mov     x1, #CVAL_AHEAD
        add     x22, x22, x1
        msr     cntv_cval_el0, x22
        mov     x1, #1
        msr     cntv_ctl_el0, x1
        isb
        ret

// x0 in hexadecimal, and a line feed.
print:  mov     x9, #60
1:      lsr     x10, x0, x9
        and     x10, x10, #15
        cmp     x10, #10
        add     x11, x10, #'0'
        add     x12, x10, #'a' - 10
        csel    x11, x11, x12, lo
        str     w11, [x19]
        subs    x9, x9, #4
        b.pl    1b
        mov     w11, #10
        str     w11, [x19]
        ret

        .balign 2048
vectors:
        .skip   0x280
        mrs     x24, cntvct_el0                 // IRQ from the current level
        ldr     w25, [x21, #0xc]
        msr     cntv_ctl_el0, xzr
        str     w25, [x21, #0x10]
        eret
