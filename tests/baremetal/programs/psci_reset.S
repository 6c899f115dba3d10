// SYSTEM_RESET: the machine starts again from the kernel, with its memory kept and its registers as at the first start.
        .include "runtime.S"

        .set    MARK,   0x43000000              // outside the kernel, which is loaded anew

main:
        str     x30, [sp, #-16]!
        LI      x9, MARK
        ldr     x10, [x9]
        LI      x11, 0x6d61726b
        cmp     x10, x11
        b.eq    1f
        str     x11, [x9]
        LOG     "first start\n"
        bl      state
        mov     x9, #0x300000
        msr     cpacr_el1, x9
        mov     x9, #0x303
        msr     cntkctl_el1, x9
        LI      x9, 0x30d00800 | (1 << 26)
        msr     sctlr_el1, x9
        mov     x9, #-1
        msr     tpidr_el0, x9
        msr     daifclr, #15
        ADDR    x9, data
        str     x9, [x9]
        LI      x0, 0x84000009
        hvc     #0
        LOG     "not reset\n"
1:      LOG     "second start\n"
        bl      state
        ldr     x30, [sp], #16
        ret
        .ltorg

state:  str     x30, [sp, #-16]!
        SHOW_SYSREG CurrentEL
        SHOW_SYSREG SPSel
        SHOW_SYSREG DAIF
        SHOW_SYSREG SCTLR_EL1
        SHOW_SYSREG CPACR_EL1
        SHOW_SYSREG CNTKCTL_EL1
        ADDR    x9, data
        ldr     x9, [x9]
        SHOW    "data", x9
        NL
        ldr     x30, [sp], #16
        ret

        .data
        .balign 8
data:   .quad   0x1234
