// Identification registers, one "name=value" a line.  Not compared as text: id_registers.py says what may differ.
        .include "runtime.S"

main:
        str     x30, [sp, #-16]!
        .irp    name, midr_el1, mpidr_el1, revidr_el1, aidr_el1, ctr_el0, dczid_el0, clidr_el1, rvbar_el1
        SHOW_SYSREG \name
        .endr
        .irp    index, 0, 1, 2, 3
        mov     x9, #\index
        msr     csselr_el1, x9
        isb
        mrs     x9, ccsidr_el1
        LOG     "ccsidr_el1 \index="
        HEX     x9
        NL
        .endr
        msr     csselr_el1, xzr
        .irp    name, id_aa64pfr0_el1, id_aa64pfr1_el1, id_aa64dfr0_el1, id_aa64dfr1_el1
        SHOW_SYSREG \name
        .endr
        .irp    name, id_aa64isar0_el1, id_aa64isar1_el1, id_aa64mmfr0_el1, id_aa64mmfr1_el1, id_aa64mmfr2_el1
        SHOW_SYSREG \name
        .endr
        .irp    name, id_aa64afr0_el1, id_aa64afr1_el1
        SHOW_SYSREG \name
        .endr
        .irp    name, id_pfr0_el1, id_pfr1_el1, id_dfr0_el1, id_afr0_el1, id_mmfr0_el1, id_mmfr1_el1, id_mmfr2_el1
        SHOW_SYSREG \name
        .endr
        .irp    name, id_mmfr3_el1, id_isar0_el1, id_isar1_el1, id_isar2_el1, id_isar3_el1, id_isar4_el1, id_isar5_el1
        SHOW_SYSREG \name
        .endr
        .irp    name, mvfr0_el1, mvfr1_el1, mvfr2_el1
        SHOW_SYSREG \name
        .endr
        // The reserved rest of the space reads as zero.
        mov     x9, #0
        .irp    crm, 4, 5, 6, 7
        .irp    op2, 6, 7
        mrs     x10, s3_0_c0_c\crm\()_\op2
        orr     x9, x9, x10
        .endr
        .endr
        LOG     "reserved="
        HEX     x9
        NL
        ldr     x30, [sp], #16
        ret
