// PSCI by HVC: versions, features, error codes, CPU_SUSPEND with a wake-up.
        .include "runtime.S"
        .include "gic.S"

.macro  CALL    name, function, a=0, b=0, c=0
        LI      x0, \function
        LI      x1, \a
        LI      x2, \b
        LI      x3, \c
        TRY     "\name", "hvc #0"
        SHOW    "x0", x0
        SHOW    "x1", x1
        SHOW    "x2", x2
        SHOW    "x3", x3
        NL
.endm

main:
        str     x30, [sp, #-16]!
        CALL    "version", 0x84000000, 1, 2, 3
        CALL    "version 64", 0xc4000000
        CALL    "migrate info type", 0x84000006
        CALL    "migrate", 0x84000005, 0
        CALL    "affinity info 0", 0x84000004, 0, 0
        CALL    "affinity info 0 64", 0xc4000004, 0, 0
        CALL    "affinity info level 3", 0xc4000004, 0, 3
        CALL    "affinity info level 4", 0xc4000004, 0, 4
        b       1f
        .ltorg
1:      CALL    "affinity info 1", 0xc4000004, 1, 0
        CALL    "affinity info 1, level 1", 0xc4000004, 1, 1
        CALL    "cpu on self", 0xc4000003, 0, 0x40200000, 7
        CALL    "cpu on none", 0xc4000003, 0x100, 0x40200000, 7
        CALL    "cpu on none 32", 0x84000003, 5, 0x40200000, 7
        .irp    function, 0x84000000, 0x84000001, 0xc4000001, 0x84000002, 0x84000003, 0xc4000003
        CALL    "features \function", 0x8400000a, \function
        .endr
        b       1f
        .ltorg
1:      .irp    function, 0x84000004, 0xc4000004, 0x84000005, 0x84000006, 0x84000008, 0x84000009, 0x8400000a
        CALL    "features \function", 0x8400000a, \function
        .endr
        b       1f
        .ltorg
1:      .irp    function, 0x8400000b, 0xc400000c, 0xc400000e, 0x84000012, 0x80000000, 0x12345678
        CALL    "features \function", 0x8400000a, \function
        .endr
        CALL    "smccc version", 0x80000000
        CALL    "unknown", 0x8400001f
        CALL    "unknown 64", 0xc400001f
        CALL    "vendor", 0x86000000
        CALL    "zero", 0
        b       1f
        .ltorg
1:      bl      suspend
        bl      registers
        ldr     x30, [sp], #16
        ret
        .ltorg

// Standby: the call returns when an interrupt is pending, masked or not.
suspend:
        str     x30, [sp, #-16]!
        bl      gic_on
        GIC_WRITE GICD, ISENABLER, 1 << VIRTUAL_TIMER
        GIC_WRITE GICD, GICD_SGIR, (2 << 24) | 1
        CALL    "suspend, pending", 0xc4000001, 0
        GIC_SHOW "iar", GICC, GICC_IAR
        GIC_WRITE GICC, GICC_EOIR, 1
        mov     x9, #0x4000
        msr     cntv_tval_el0, x9
        mov     x9, #1
        msr     cntv_ctl_el0, x9
        isb
        CALL    "suspend, timer", 0xc4000001, 0
        mrs     x9, cntv_ctl_el0
        SHOW    "ctl", x9
        NL
        mov     x9, #3
        msr     cntv_ctl_el0, x9
        mov     x9, #0x4000
        msr     cntv_tval_el0, x9
        mov     x9, #1
        msr     cntv_ctl_el0, x9
        isb
        CALL    "suspend 32", 0x84000001, 0
        msr     cntv_ctl_el0, xzr
        ldr     x30, [sp], #16
        ret
        .ltorg

// SMCCC: what a call may change.  Here nothing but x0.
registers:
        str     x30, [sp, #-16]!
        .irp    number, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19
        mov     x\number, #\number
        .endr
        LI      x0, 0x84000000
        LI      x20, 0x60000000
        msr     nzcv, x20
        hvc     #0
        mrs     x20, nzcv
        mov     x21, #0
        .irp    number, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19
        add     x21, x21, x\number
        .endr
        LOG     "registers"
        SHOW    "sum", x21
        SHOW    "nzcv", x20
        NL
        ldr     x30, [sp], #16
        ret
        .ltorg
