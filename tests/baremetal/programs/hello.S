// The first program: text, a few registers, power off.  It runs before exceptions, the MMU or interrupts have to work.
        .include "runtime.S"

main:
        str     x30, [sp, #-16]!
        LOG     "hello\n"
        SHOW_SYSREG CurrentEL
        SHOW_SYSREG SPSel
        SHOW_SYSREG DAIF
        SHOW_SYSREG NZCV
        SHOW_SYSREG MIDR_EL1
        SHOW_SYSREG MPIDR_EL1
        SHOW_SYSREG CNTFRQ_EL0
        LI      x1, 0x123456789abcdef0
        ror     x2, x1, #12
        umulh   x3, x1, x2
        SHOW    "x1", x1
        SHOW    "x2", x2
        SHOW    "x3", x3
        SHOW    "zero", xzr
        NL
        ldr     x30, [sp], #16
        ret
