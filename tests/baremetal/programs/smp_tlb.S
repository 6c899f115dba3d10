// TLB maintenance for other CPUs: once TLBI and DSB are done, no CPU writes to, reads or runs what was mapped before.
// (Mappings change their address without a break: both emulators, as most CPUs, then use the old or the new one.)
        .include "runtime.S"
        .include "pagetable.S"
        .include "smp.S"

        .set    ROUNDS, 200
        .set    PAGES,  DATA + 0x100000         // four pages, CPU 0's view; mapped at WORK in turn
        .set    WORK,   0x6100000000
        .set    WORK_PAGE, TEST_PA + 0x100000

main:
        str     x30, [sp, #-16]!
        bl      smp_on
        // each page begins with: mov x0, #number; ret
        LI      x1, PAGES
        mov     x2, #0
        LI      x3, 0xd2800000
        LI      x4, 0xd65f03c0
1:      orr     w5, w3, w2, lsl #5
        stp     w5, w4, [x1]
        add     x1, x1, #4096
        add     x2, x2, #1
        cmp     x2, #4
        b.ne    1b
        MAP     low, WORK, 3, WORK_PAGE | LEAF | NORMAL | NG
        ADDR    x1, place
        str     x0, [x1]
        dsb     ish
        isb
        .irp    form, vae1is, vaae1is, vale1is, vaale1is, aside1is, vmalle1is
        ADDR    x0, maintain
        ADDR    x1, use_\form
        str     x1, [x0]
        EVERYWHERE change
        LOG     "\form"
        ADDR    x0, late
        ldp     x1, x2, [x0]
        stp     xzr, xzr, [x0]
        SHOW    "late writes", x1
        SHOW    "old code", x2
        NL
        .endr
        ldr     x30, [sp], #16
        ret
        .ltorg

        .irp    form, vae1is, vaae1is, vale1is, vaale1is
use_\form: LI   x2, WORK >> 12
        tlbi    \form, x2
        ret
        .endr
use_aside1is:
        tlbi    aside1is, xzr
        ret
use_vmalle1is:
        tlbi    vmalle1is
        ret
        .ltorg

// CPU 0 changes the mapping; the others write to and run what is mapped, until it has been changed ROUNDS times.
change: stp     x30, x19, [sp, #-64]!
        stp     x20, x21, [sp, #16]
        stp     x22, x23, [sp, #32]
        stp     x24, x25, [sp, #48]
        mov     x19, x0
        ADDR    x20, version
        LI      x21, WORK
        mov     x24, #0                         // late writes
        mov     x25, #0                         // old code
        cbnz    x19, 1f
        str     xzr, [x20]
        mov     x0, #0
        bl      map_version
1:      bl      rendezvous
        mov     x22, #1
        cbnz    x19, 5f

2:      mov     x0, x22
        bl      map_version
        // the page before must not change any more
        sub     x0, x22, #1
        and     x0, x0, #3
        LI      x1, PAGES + 2048
        add     x1, x1, x0, lsl #12
        .irp    k, 1, 2, 3
        str     xzr, [x1, #64 * \k]
        .endr
        stlr    x22, [x20]
        mov     x2, #100
3:      .irp    k, 1, 2, 3
        ldr     x0, [x1, #64 * \k]
        cmp     x0, #0
        cinc    x24, x24, ne
        .endr
        subs    x2, x2, #1
        b.ne    3b
        add     x22, x22, #1
        cmp     x22, #ROUNDS
        b.ne    2b
        stlr    x22, [x20]
        b       8f

5:      add     x23, x21, #2048
        add     x23, x23, x19, lsl #6
6:      ldar    x22, [x20]
        cmp     x22, #ROUNDS
        b.eq    8f
        .rept   8
        str     x22, [x23]
        .endr
        isb
        blr     x21
        ldar    x1, [x20]
        cmp     x1, x22
        b.ne    6b
        sub     x1, x22, #1                     // the one before is forbidden, the next one may have come
        eor     x1, x1, x0
        tst     x1, #3
        cinc    x25, x25, eq
        b       6b

8:      bl      rendezvous
        ADDR    x0, late
        ATOMIC_ADD x0, x24
        add     x0, x0, #8
        ATOMIC_ADD x0, x25
        ldp     x24, x25, [sp, #48]
        ldp     x22, x23, [sp, #32]
        ldp     x20, x21, [sp, #16]
        ldp     x30, x19, [sp], #64
        ret
        .ltorg

// x0 = version: its page is mapped, on all CPUs.
map_version:
        str     x30, [sp, #-16]!
        and     x0, x0, #3
        LI      x1, WORK_PAGE | LEAF | NORMAL | NG
        add     x1, x1, x0, lsl #12
        ADDR    x0, place
        ldr     x0, [x0]
        str     x1, [x0]
        dsb     ishst
        ADDR    x0, maintain
        ldr     x0, [x0]
        blr     x0
        dsb     ish
        isb
        ldr     x30, [sp], #16
        ret
        .ltorg

        .bss
        .balign 64
version: .skip  64
late:   .skip   16
place:  .skip   8
maintain: .skip 8
