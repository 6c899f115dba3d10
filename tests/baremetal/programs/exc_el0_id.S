// Registers of EL1 are undefined at EL0: no trap, EC 0 (with FEAT_IDST, which no model of xemu claims, identification
// registers trap instead).
        .include "runtime.S"

main:
        str     x30, [sp, #-16]!
        TRY0    "mrs midr", "mrs x9, midr_el1"
        TRY0    "mrs id_aa64pfr0", "mrs x9, id_aa64pfr0_el1"
        TRY0    "mrs sctlr", "mrs x9, sctlr_el1"
        TRY0    "msr sctlr", "msr sctlr_el1, x9"
        TRY0    "mrs esr", "mrs x9, esr_el1"
        TRY0    "msr vbar", "msr vbar_el1, x9"
        TRY0    "mrs ttbr0", "mrs x9, ttbr0_el1"
        TRY0    "mrs tpidr_el1", "mrs x9, tpidr_el1"
        TRY0    "mrs tpidrro", "mrs x9, tpidrro_el0"
        TRY0    "msr tpidrro", "msr tpidrro_el0, x9"
        TRY0    "msr tpidr_el0", "msr tpidr_el0, x9"
        TRY0    "mrs nzcv", "mrs x9, nzcv"
        TRY0    "mrs isr", "mrs x9, isr_el1"
        ldr     x30, [sp], #16
        ret
