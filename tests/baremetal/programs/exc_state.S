// Exceptions that come from the state rather than the instruction: PC and SP alignment, illegal returns, DAIF, SPSel.
        .include "runtime.S"

        .set    SCTLR_RES1, 0x30d00800
        .set    SCTLR_SA,   1 << 3
        .set    SCTLR_SA0,  1 << 4

.macro  SCTLR   bits:vararg
        LI      x20, SCTLR_RES1 | \bits
        msr     sctlr_el1, x20
        isb
.endm

main:
        str     x30, [sp, #-16]!
        bl      pc_alignment
        bl      sp_alignment
        bl      illegal
        bl      masks
        bl      stacks
        ldr     x30, [sp], #16
        ret

// x9 = the nop of the TRY, plus the number of bytes asked for.
pc_alignment:
        str     x30, [sp, #-16]!
        TRY     "pc+1", "adr x9, . + 9; br x9; nop"
        TRY     "pc+2", "adr x9, . + 10; br x9; nop"
        TRY     "pc+3 blr", "adr x9, . + 11; blr x9; nop"
        TRY     "pc+2 ret", "adr x9, . + 10; ret x9; nop"
        TRY     "pc+0", "adr x9, . + 8; br x9; nop"
        TRY     "pc+2 eret", "adr x9, . + 18; msr elr_el1, x9; mov x9, #PSTATE_EL1H; msr spsr_el1, x9; eret; nop"
        TRY0    "EL0 pc+1", "adr x9, . + 9; br x9; nop"
        TRY0    "EL0 pc+2", "adr x9, . + 10; br x9; nop"
        TRY     "EL0 pc+2 eret", "adr x9, . + 18; msr elr_el1, x9; mov x9, #PSTATE_EL0; msr spsr_el1, x9; eret; nop"
        // Misaligned beyond any memory: alignment is checked first.
        TRY     "pc off the map+2", "mov x9, #2; movk x9, #0x7f, lsl #32; br x9"
        ldr     x30, [sp], #16
        ret

// x21 holds the good stack pointer meanwhile.
.macro  MISALIGNED name, code
        TRY_BEGIN "\name"
        mov     x21, sp
        sub     x22, x21, #0x108
        mov     sp, x22
        \code
99:     mov     sp, x21
        bl      log_end
.endm
.macro  MISALIGNED_ALL where
        MISALIGNED "\where ldr", "ldr x9, [sp]"
        MISALIGNED "\where ldr [sp, 8]", "ldr x9, [sp, #8]"
        MISALIGNED "\where ldrb", "ldrb w9, [sp]"
        MISALIGNED "\where str pre", "str x9, [sp, #-16]!"
        MISALIGNED "\where stp", "stp x9, x10, [sp, #16]"
        MISALIGNED "\where ldur", "ldur w9, [sp, #-4]"
        MISALIGNED "\where ldr reg", "ldr x10, [sp, xzr]"
        MISALIGNED "\where ldxr", "ldxr x9, [sp]"
        MISALIGNED "\where ldar", "ldar x9, [sp]"
        MISALIGNED "\where prfm", "prfm pldl1keep, [sp]"
        MISALIGNED "\where add", "add x9, sp, #8"
        TRY     "\where aligned", "ldr x9, [sp, #-8]"
.endm
.macro  MISALIGNED_EL0 where
        ADDR    x21, el0_stack_top
        sub     x22, x21, #0x48
        msr     sp_el0, x22
        TRY0    "\where ldr", "ldr x9, [sp]"
        TRY0    "\where add", "add x9, sp, #8"
        msr     sp_el0, x21
.endm
sp_alignment:
        str     x30, [sp, #-16]!
        SCTLR   SCTLR_SA | SCTLR_SA0
        MISALIGNED_ALL "SA=1 EL1h"
        msr     spsel, #0
        MISALIGNED_ALL "SA=1 EL1t"
        msr     spsel, #1
        MISALIGNED_EL0 "SA=1 SA0=1 EL0"
        SCTLR   SCTLR_SA
        MISALIGNED_EL0 "SA=1 SA0=0 EL0"
        SCTLR   SCTLR_SA0
        MISALIGNED "SA=0 EL1h ldr", "ldr x9, [sp]"
        MISALIGNED_EL0 "SA=0 SA0=1 EL0"
        SCTLR   0
        ldr     x30, [sp], #16
        ret

// ERET with a reserved or unreachable mode in SPSR: PSTATE.IL is set, the exception level stays, the flags are taken.
.macro  RETURN  name, mode:vararg
        TRY_BEGIN "\name"
        adr     x9, 1f
        msr     elr_el1, x9
        LI      x9, \mode
        msr     spsr_el1, x9
        eret
1:      svc     #0x77
        TRY_END
.endm
illegal:
        str     x30, [sp, #-16]!
        RETURN  "to EL1h", 0x3c5
        RETURN  "to EL1t", 0x3c4
        msr     spsel, #1
        RETURN  "to EL0", 0x3c0
        RETURN  "to EL2h", 0x3c9
        RETURN  "to EL2t", 0x3c8
        RETURN  "to EL3h", 0x3cd
        RETURN  "to M=1", 0x3c1
        RETURN  "to M=2", 0x3c2
        RETURN  "to M=3", 0x3c3
        RETURN  "to M=6", 0x3c6
        RETURN  "to M=7", 0x3c7
        RETURN  "to M=f", 0x3cf
        RETURN  "to aarch32 svc", 0x1d3
        RETURN  "to aarch32 hyp", 0x1da
        RETURN  "to EL2h, flags, D", 0xf00002c9
        RETURN  "IL to EL1h", 0x001003c5
        RETURN  "IL to EL0", 0x001003c0
        RETURN  "IL, flags to EL0", 0xa01003c0
        ldr     x30, [sp], #16
        ret

.macro  DAIF_AFTER name, code
        \code
        mrs     x9, daif
        LOG     "\name"
        SHOW    "daif", x9
        NL
.endm
masks:
        str     x30, [sp, #-16]!
        DAIF_AFTER "clr f", "msr daifclr, #15"
        TRY     "svc unmasked", "svc #0"
        DAIF_AFTER "after", "nop"
        DAIF_AFTER "set 1", "msr daifset, #1"
        DAIF_AFTER "set 2", "msr daifset, #2"
        DAIF_AFTER "set 4", "msr daifset, #4"
        DAIF_AFTER "set 8", "msr daifset, #8"
        DAIF_AFTER "clr 5", "msr daifclr, #5"
        DAIF_AFTER "msr ones", "mov x9, #-1; msr daif, x9"
        DAIF_AFTER "msr 140", "mov x9, #0x140; msr daif, x9"
        TRY     "svc 140", "svc #0"
        DAIF_AFTER "set f", "msr daifset, #15"
        ldr     x30, [sp], #16
        ret

// Each EL has its own SP; SP_EL0 can be reached by name at EL1 only while it isn't selected.
stacks:
        str     x30, [sp, #-16]!
        mov     x20, sp
        mrs     x21, sp_el0
        mov     x9, #0x1230
        msr     sp_el0, x9
        msr     spsel, #0
        mov     x10, sp
        mrs     x11, spsel
        mov     sp, x21
        msr     spsel, #1
        mrs     x12, spsel
        mov     x13, sp
        cmp     x13, x20
        cset    x13, eq
        LOG     "stacks"
        SHOW    "sp0", x10
        SHOW    "spsel", x11
        SHOW    "spsel", x12
        SHOW    "same", x13
        NL
        TRY     "sp_el0 on EL1h", "mrs x9, sp_el0"
        msr     spsel, #0
        TRY     "mrs sp_el0 on EL1t", "mrs x9, sp_el0"
        TRY     "msr sp_el0 on EL1t", "msr sp_el0, x21"
        msr     spsel, #1
        TRY     "sp_el1 at EL1", "mrs x9, sp_el1"
        TRY     "msr spsel, x", "mov x9, #1; msr spsel, x9"
        TRY     "mrs currentel", "mrs x9, currentel"
        TRY     "msr currentel", ".inst 0xd5184249"
        TRY0    "EL0 mrs spsel", "mrs x9, spsel"
        TRY0    "EL0 msr spsel", "msr spsel, #0"
        TRY0    "EL0 mrs currentel", "mrs x9, currentel"
        TRY0    "EL0 mrs sp_el0", "mrs x9, sp_el0"
        ldr     x30, [sp], #16
        ret
