// Code that one CPU changes while the others run it: after the architected sequence they run the new one.
        .include "runtime.S"
        .include "pagetable.S"
        .include "smp.S"

        .set    ROUNDS, 300
        .set    CODE,   DATA + 0x100000

main:
        str     x30, [sp, #-16]!
        bl      smp_on
        .irp    how, ivau, ialluis
        .irp    offset, 0x40, 0xff8, 0x2000
        ADDR    x0, sequence
        ADDR    x1, \how
        LI      x2, CODE + \offset
        stp     x1, x2, [x0]
        EVERYWHERE change
        LOG     "\how \offset"
        ADDR    x0, old
        ldr     x1, [x0]
        str     xzr, [x0]
        SHOW    "old code", x1
        NL
        .endr
        .endr
        ldr     x30, [sp], #16
        ret
        .ltorg

ivau:   dc      cvau, x20
        dsb     ish
        ic      ivau, x20
        dsb     ish
        isb
        ret
ialluis:
        dc      cvau, x20
        dsb     ish
        ic      ialluis
        dsb     ish
        isb
        ret

// CPU 0 makes a branch lead to another place, and writes that first; the others call, at any time.  The code gives the number of
// the change: what they get is never older than what was complete when they called.
change: stp     x30, x19, [sp, #-64]!
        stp     x20, x21, [sp, #16]
        stp     x22, x23, [sp, #32]
        stp     x24, x25, [sp, #48]
        mov     x19, x0
        ADDR    x21, version
        ADDR    x0, sequence
        ldp     x24, x20, [x0]
        mov     x25, #0
        cbnz    x19, 1f
        str     xzr, [x21]
        mov     x22, #0
        bl      write
1:      bl      rendezvous
        mov     x22, #1
        cbnz    x19, 5f

2:      bl      write
        stlr    x22, [x21]
        mov     x0, #200
3:      subs    x0, x0, #1
        b.ne    3b
        add     x22, x22, #1
        cmp     x22, #ROUNDS
        b.ne    2b
        stlr    x22, [x21]
        b       8f

5:      ldar    x22, [x21]
        cmp     x22, #ROUNDS
        b.eq    8f
        isb
        blr     x20
        cmp     x0, x22
        cinc    x25, x25, lo
        b       5b

8:      bl      rendezvous
        ADDR    x0, old
        ATOMIC_ADD x0, x25
        ldp     x24, x25, [sp, #48]
        ldp     x22, x23, [sp, #32]
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #64
        ret
        .ltorg

// x22 = version, x20 = the branch: `mov x0, #version; ret` in a new place behind it, then `b` to there.
write:  stp     x30, x20, [sp, #-16]!
        lsl     x0, x22, #4
        add     x0, x0, #64                     // 16 bytes for each
        add     x23, x20, x0
        LI      x1, 0xd2800000
        orr     w1, w1, w22, lsl #5
        LI      x2, 0xd65f03c0
        stp     w1, w2, [x23]
        mov     x20, x23
        blr     x24
        ldr     x20, [sp, #8]
        sub     x1, x23, x20
        LI      x2, 0x14000000
        orr     w1, w2, w1, lsr #2
        str     w1, [x20]
        blr     x24
        ldp     x30, x20, [sp], #16
        ret
        .ltorg

        .bss
        .balign 64
version: .skip  64
sequence: .skip 16
old:    .skip   8
