// Privileged access never: PSTATE.PAN, its place in SPSR, SCTLR_EL1.SPAN.
        .include "runtime.S"
        .include "pagetable.S"

        .set    TCR,    TCR_GRANULE | TCR_IPS_40 | 25 | TCR_EPD1
        .set    VA,     0x6000000000
        .set    SPAN,   1 << 23

        .set    SPSR_PAN, 1 << 22

// The program's text is a page of EL0 as well, so that PAN is only set around the code tried and its literals are out of
// reach meanwhile; the hook clears PAN before anything is printed.
.macro  TRYP    name, code
        TRY     "\name", "msr pan, #1; \code; msr pan, #0"
.endm

pan_hook:
        stp     x30, x0, [sp, #-16]!
        mrs     x3, pan
        msr     pan, #0
        cmp     x1, #4
        b.ne    1f
        ADDR    x4, pan_seen
        str     x3, [x4]
        mov     x19, x0
        bl      log_exception
        ADDR    x4, pan_seen
        ldr     x20, [x4]
        SHOW    "pan", x20
        ldr     x2, [x19, #224]
        str     x2, [x19, #FRAME_ELR]
        mov     x2, #PSTATE_EL1H
        str     x2, [x19, #FRAME_SPSR]
        ldp     x30, x0, [sp], #16
        mov     x0, #0
        ret
1:      ldp     x30, x0, [sp], #16
        mov     x0, #1
        ret

main:
        str     x30, [sp, #-16]!
        LI      x9, TEST_PA + PAGE
        LI      x10, 0xd65f03c0                 // ret
        str     w10, [x9]
        SPACE   low, 25
        MAP_PROGRAM low
        MAP     low, VA, 3, TEST_PA | LEAF | NORMAL | AP_EL0
        MAP     low, VA + PAGE, 3, (TEST_PA + PAGE) | LEAF | NORMAL | AP_EL0 | AP_RO
        MAP     low, VA + 2 * PAGE, 3, (TEST_PA + 2 * PAGE) | LEAF | NORMAL
        MMU_ON  low, none, TCR
        LI      x20, VA
        LI      x21, VA + PAGE
        LI      x22, VA + 2 * PAGE
        b       1f
        .ltorg
1:      SET_HOOK pan_hook
        bl      bit
        bl      accesses
        bl      entry_and_return
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

bit:    str     x30, [sp, #-16]!
        mrs     x9, pan
        msr     pan, #1
        mrs     x10, pan
        msr     pan, #0
        mrs     x11, pan
        mov     x12, #-1
        msr     pan, x12
        mrs     x12, pan
        msr     pan, xzr
        mrs     x13, pan
        LOG     "bit"
        .irp    number, 9, 10, 11, 12, 13
        SHOW    "x\number", x\number
        .endr
        NL
        TRY0    "EL0 mrs", "mrs x9, pan"
        TRY0    "EL0 msr", "msr pan, #1"
        TRY0    "EL0 msr x", "msr pan, x9"
        ldr     x30, [sp], #16
        ret
        .ltorg

accesses:
        str     x30, [sp, #-16]!
        TRYP    "ldr EL0 page", "ldr x9, [x20]"
        TRYP    "str EL0 page", "str x9, [x20]"
        TRYP    "ldtr EL0 page", "ldtr x9, [x20]"
        TRYP    "sttr EL0 page", "sttr x9, [x20]"
        TRYP    "ldr ro page", "ldr x9, [x21]"
        TRYP    "run ro page", "blr x21"
        TRYP    "ldr EL1 page", "ldr x9, [x22]"
        TRYP    "ldtr EL1 page", "ldtr x9, [x22]"
        TRYP    "ldxr EL0 page", "ldxr x9, [x20]"
        TRYP    "cas EL0 page", "cas x9, x10, [x20]"
        TRYP    "prfm EL0 page", "prfm pldl1keep, [x20]"
        TRYP    "dc zva EL0 page", "dc zva, x20"
        TRY     "PAN=0 ldr EL0 page", "ldr x9, [x20]"
        TRYP    "at s1e1r EL0 page", "at s1e1r, x20; isb; mrs x9, par_el1"
        and     x9, x9, #1
        SHOW    "fault", x9
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

// With SPAN clear an exception sets PAN; with SPAN set it leaves PAN as it is.  SPSR keeps the old value either way.
entry_and_return:
        str     x30, [sp, #-16]!
        TRYP    "SPAN=1 PAN=1 svc", "svc #1"
        TRY     "SPAN=1 PAN=0 svc", "svc #1"
        WRITE_SCTLR SCTLR_ON & ~SPAN
        TRYP    "SPAN=0 PAN=1 svc", "svc #1"
        TRY     "SPAN=0 PAN=0 svc", "svc #1"
        WRITE_SCTLR SCTLR_ON
        // A return brings SPSR's PAN.
        adr     x9, 1f
        msr     elr_el1, x9
        mov     x9, #PSTATE_EL1H
        orr     x9, x9, #SPSR_PAN
        msr     spsr_el1, x9
        eret
1:      mrs     x9, pan
        msr     pan, #0
        LOG     "eret"
        SHOW    "pan", x9
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg

        .bss
        .balign 8
pan_seen: .skip 8
