// Synchronous exceptions that an instruction causes by itself, at EL1 on both stack pointers and at EL0.
        .include "runtime.S"

main:
        str     x30, [sp, #-16]!
        LOG     "EL1h\n"
        bl      calls
        LOG     "EL1t\n"
        msr     spsel, #0
        bl      calls
        msr     spsel, #1
        LOG     "EL0\n"
        bl      calls_el0
        bl      undefined
        bl      hypercalls
        bl      flags
        ldr     x30, [sp], #16
        ret

calls:
        str     x30, [sp, #-16]!
        TRY     "svc 0", "svc #0"
        TRY     "svc 1234", "svc #0x1234"
        TRY     "svc ffff", "svc #0xffff"
        TRY     "brk 0", "brk #0"
        TRY     "brk f00d", "brk #0xf00d"
        TRY     "smc 0", "smc #0"
        TRY     "hlt 0", "hlt #0"
        TRY     "dcps1", "dcps1"
        TRY     "dcps2", "dcps2 #9"
        TRY     "dcps3", "dcps3 #7"
        TRY     "drps", "drps"
        TRY     "udf 0", ".inst 0"
        TRY     "udf ffff", ".inst 0xffff"
        TRY     "nop", "nop"
        ldr     x30, [sp], #16
        ret

calls_el0:
        str     x30, [sp, #-16]!
        TRY0    "svc 0", "svc #0"
        TRY0    "svc 1234", "svc #0x1234"
        TRY0    "brk 0", "brk #0"
        TRY0    "brk f00d", "brk #0xf00d"
        TRY0    "hvc 0", "hvc #0"
        TRY0    "smc 0", "smc #0"
        TRY0    "hlt 0", "hlt #0"
        TRY0    "dcps1", "dcps1"
        TRY0    "drps", "drps"
        TRY0    "eret", "eret"
        TRY0    "udf 0", ".inst 0"
        TRY0    "nop", "nop"
        TRY0    "yield", "yield"
        TRY0    "sev", "sev"
        TRY0    "isb", "isb"
        TRY0    "clrex", "clrex"
        ldr     x30, [sp], #16
        ret

// One word of each hole in the encoding space: these are undefined in every version of the architecture so far.
undefined:
        str     x30, [sp, #-16]!
        TRY     "reserved 02000000", ".inst 0x02000000"
        TRY     "add imm shift 3", ".inst 0x11c00000"
        TRY     "and imm w n=1", ".inst 0x12400000"
        TRY     "and imm ones", ".inst 0x9240fc00"
        TRY     "bfm sf!=n", ".inst 0x33400000"
        TRY     "extr w lsb 32", ".inst 0x13808000"
        TRY     "movz w hw 2", ".inst 0x52c00000"
        TRY     "add ext 5", ".inst 0x8b201400"
        TRY     "add shift ror", ".inst 0x8bc00000"
        TRY     "ccmp o3", ".inst 0xfa400010"
        TRY     "csel s=1", ".inst 0xba800000"
        TRY     "rbit opc", ".inst 0xdac04000"
        TRY     "b.cond o0", ".inst 0x55000000"
        TRY     "br op3", ".inst 0xd61f0400"
        TRY     "ldst 3e", ".inst 0xb8c02c00"
        TRY     "sys hint", ".inst 0xd503201e"
        TRY     "barrier", ".inst 0xd503301f"
        TRY     "msr imm", ".inst 0xd502401f"
        ldr     x30, [sp], #16
        ret

// PSCI takes every HVC of EL1, whatever its immediate; an unknown function answers -1.
hypercalls:
        str     x30, [sp, #-16]!
        LI      x0, 0x84000000
        TRY     "hvc version", "hvc #0"
        SHOW    "x0", x0
        NL
        LI      x0, 0x12345678
        TRY     "hvc unknown", "hvc #0"
        SHOW    "x0", x0
        NL
        LI      x0, 0x84000000
        TRY     "hvc 1", "hvc #1"
        SHOW    "x0", x0
        NL
        ldr     x30, [sp], #16
        ret

// Flags and general registers survive an exception, and SPSR shows them.
.macro  FLAGS   value
        mov     x9, #(\value << 28)
        msr     nzcv, x9
        TRY     "nzcv \value", "svc #1"
        mrs     x9, nzcv
        SHOW    "after", x9
        NL
.endm
flags:
        str     x30, [sp, #-16]!
        .irp    value, 0, 1, 2, 4, 8, 9, 15
        FLAGS   \value
        .endr
        mov     x0, #1
        mov     x1, #2
        mov     x27, #3
        mov     x29, #4
        TRY     "registers", "svc #2"
        SHOW    "x0", x0
        SHOW    "x1", x1
        SHOW    "x27", x27
        SHOW    "x29", x29
        NL
        ldr     x30, [sp], #16
        ret
