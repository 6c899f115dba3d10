// What every test program shares: start-up, exception vectors that log and carry on, printing, a way to EL0 and back.
// A program is one file: it includes this one, defines `main`, and returns from it.  Runs at EL1h with DAIF masked.
//
// Registers: x28 is where an exception inside TRY resumes, x30 is lost by every macro here; all others are kept.
// Flags are kept as well.  Numbers print in hex without leading zeros.  An ELR or FAR near the end of its TRY prints as
// @distance from that end (one instruction that faults: @-4; the instruction after it: @0), elsewhere in the program as
// +offset from image_start: neither the place the loader chose nor other parts of the program matter.

        .set    UART,           0x09000000
        .set    PSCI_OFF,       0x84000008
        .set    EL0_DONE,       0xfff0          // the SVC by which code at EL0 comes back
        .set    PSTATE_EL1H,    0x3c5
        .set    PSTATE_EL1T,    0x3c4
        .set    PSTATE_EL0,     0x3c0

// Frame that a vector fills and `hook` functions may edit.
        .set    FRAME_SP,       248             // x0..x30 are at 0..240
        .set    FRAME_ELR,      256
        .set    FRAME_SPSR,     264
        .set    FRAME_ESR,      272
        .set    FRAME_FAR,      280
        .set    FRAME_VECTOR,   288

// Prints text.
.macro  LOG     text:req
        bl      print_inline
        .asciz  "\text"
        .balign 4
.endm

// Prints " label=hex".
.macro  SHOW    label:req, reg:req
        LOG     " \label="
        HEX     \reg
.endm

.macro  HEX     reg:req
        str     \reg, [sp, #-16]!
        bl      print_hex_at_sp
        add     sp, sp, #16
.endm

.macro  NL
        LOG     "\n"
.endm

.macro  SHOW_SYSREG name:req
        mrs     x27, \name
        LOG     "\name="
        HEX     x27
        NL
.endm

// Runs instructions (a string: "msr daif, x1; svc #0") and prints one line: the name, then "ok" or the exception.
.macro  TRY     name:req, code:req
        TRY_BEGIN "\name"
        \code
        TRY_END
.endm

// The same for longer code, which must not use the label 99.  Between the two only x28 and sp are taken.
.macro  TRY_BEGIN name:req
        LOG     "\name"
        adr     x28, 99f
.endm
.macro  TRY_END
99:     bl      log_end
.endm

// TRY at EL0.  The code must not write x28; x30 is lost.
.macro  TRY0    name:req, code:req
        TRY0_BEGIN "\name"
        \code
        TRY0_END
.endm
.macro  TRY0_BEGIN name:req
        LOG     "\name"
        adr     x28, 99f
        bl      enter_el0
.endm
.macro  TRY0_END
        svc     #EL0_DONE
99:     bl      log_end
.endm

// Loads a 64-bit constant or address, whatever its size.
.macro  LI      reg:req, value:vararg
        ldr     \reg, =\value
.endm

.macro  ADDR    reg:req, symbol:req
        adrp    \reg, \symbol
        add     \reg, \reg, :lo12:\symbol
.endm

// Sets (or clears, with LI 0) the function that sees exceptions first: x0 = frame, x1 = vector number.  It returns 0
// when it has dealt with the exception (the frame is restored as edited), 1 to have it logged and resumed at x28.
.macro  SET_HOOK function:req
        stp     x0, x1, [sp, #-16]!
        ADDR    x0, hook
        ADDR    x1, \function
        str     x1, [x0]
        ldp     x0, x1, [sp], #16
.endm
.macro  CLEAR_HOOK
        stp     x0, x1, [sp, #-16]!
        ADDR    x0, hook
        str     xzr, [x0]
        ldp     x0, x1, [sp], #16
.endm

        .section .head, "ax"
        .globl  _start, image_start
image_start:
.ifdef  IMAGE                                   // Linux's arm64 Image header; image_size and magic are what loaders look at
        b       _start
        .long   0
        .quad   0                               // text_offset
        .quad   image_end - image_start
        .quad   0xa                             // flags: little-endian, 4 KiB pages, anywhere in memory
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0
.endif
_start:
        adrp    x0, vectors
        add     x0, x0, :lo12:vectors
        msr     vbar_el1, x0
        ADDR    x0, stack_top
        mov     sp, x0
        ADDR    x0, el0_stack_top
        msr     sp_el0, x0
        isb
        msr     nzcv, xzr                       // unknown after reset, and SPSR shows them
        bl      main
        LOG     "end\n"
power_off:
        LI      x0, PSCI_OFF
        hvc     #0
        b       .                               // a machine that doesn't power off is caught by the harness's time limit
        .ltorg

        .text
// ---- vectors ----------------------------------------------------------------------------------------------------
// TPIDR_EL1 holds x0 for a moment, since the stack pointer may be the very thing that is broken.
.macro  VECTOR  number
        .balign 0x80
        msr     tpidr_el1, x0
        ADDR    x0, frame
        stp     x1, x2, [x0, #8]
        mov     x1, #\number
        b       exception
.endm

        .balign 0x800
vectors:
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        VECTOR  \number
        .endr

exception:
        stp     x3, x4, [x0, #24]
        stp     x5, x6, [x0, #40]
        stp     x7, x8, [x0, #56]
        stp     x9, x10, [x0, #72]
        stp     x11, x12, [x0, #88]
        stp     x13, x14, [x0, #104]
        stp     x15, x16, [x0, #120]
        stp     x17, x18, [x0, #136]
        stp     x19, x20, [x0, #152]
        stp     x21, x22, [x0, #168]
        stp     x23, x24, [x0, #184]
        stp     x25, x26, [x0, #200]
        stp     x27, x28, [x0, #216]
        stp     x29, x30, [x0, #232]
        mrs     x2, tpidr_el1
        str     x2, [x0]
        mov     x2, sp
        mrs     x3, elr_el1
        mrs     x4, spsr_el1
        mrs     x5, esr_el1
        mrs     x6, far_el1
        stp     x2, x3, [x0, #FRAME_SP]
        stp     x4, x5, [x0, #FRAME_SPSR]
        stp     x6, x1, [x0, #FRAME_FAR]
        ADDR    x2, handler_stack_top
        mov     sp, x2

        // An exception in the handler itself would run for ever: say so once, then stop.
        ADDR    x2, handler_depth
        ldr     w3, [x2]
        add     w4, w3, #1
        str     w4, [x2]
        cbnz    w3, nested
        // Neither must a program that fell into a loop of exceptions.
        ldr     w3, [x2, #4]
        add     w3, w3, #1
        str     w3, [x2, #4]
        lsr     w3, w3, #11
        cbnz    w3, stuck

        mov     x19, x0
        ADDR    x2, hook
        ldr     x2, [x2]
        cbz     x2, 1f
        blr     x2
        cbz     x0, restore
1:      ldr     x2, [x19, #FRAME_ESR]
        ldr     x3, [x19, #FRAME_VECTOR]
        cmp     x3, #8
        b.ne    2f
        LI      x4, 0x56000000 + EL0_DONE
        cmp     x2, x4
        b.eq    3f
2:      bl      log_exception
3:      // Resume at x28: at EL1h after an exception from EL0, else in the mode it came from, without IL, SS and BTYPE.
        ldr     x2, [x19, #224]
        str     x2, [x19, #FRAME_ELR]
        ldr     x3, [x19, #FRAME_SPSR]
        tst     x3, #0xf
        mov     x4, #PSTATE_EL1H
        bic     x3, x3, #0x300000
        bic     x3, x3, #0xc00
        csel    x3, x4, x3, eq
        str     x3, [x19, #FRAME_SPSR]

restore:
        ADDR    x2, handler_depth
        str     wzr, [x2]
        ldp     x2, x3, [x19, #FRAME_SP]
        ldr     x4, [x19, #FRAME_SPSR]
        mov     sp, x2
        msr     elr_el1, x3
        msr     spsr_el1, x4
        mov     x0, x19
        ldp     x29, x30, [x0, #232]
        ldp     x27, x28, [x0, #216]
        ldp     x25, x26, [x0, #200]
        ldp     x23, x24, [x0, #184]
        ldp     x21, x22, [x0, #168]
        ldp     x19, x20, [x0, #152]
        ldp     x17, x18, [x0, #136]
        ldp     x15, x16, [x0, #120]
        ldp     x13, x14, [x0, #104]
        ldp     x11, x12, [x0, #88]
        ldp     x9, x10, [x0, #72]
        ldp     x7, x8, [x0, #56]
        ldp     x5, x6, [x0, #40]
        ldp     x3, x4, [x0, #24]
        ldp     x1, x2, [x0, #8]
        ldr     x0, [x0]
        eret

stuck:  LOG     " STUCK\n"
        b       power_off
nested:
        cmp     w3, #1                          // and if even saying so fails, stop without a word
        b.ne    power_off
        LOG     " NESTED"
        SHOW    "esr", x5
        SHOW    "elr", x6
        NL
        b       power_off

// x19 = frame.
log_exception:
        str     x30, [sp, #-16]!
        ADDR    x2, caught
        mov     w3, #1
        str     w3, [x2]
        ldr     x20, [x19, #FRAME_VECTOR]
        SHOW    "v", x20
        and     x21, x20, #3
        cbnz    x21, 2f                         // interrupts leave ESR and FAR alone
        ldr     x21, [x19, #FRAME_ESR]
        SHOW    "esr", x21
        // FAR is only defined for aborts (0x20-0x25), PC alignment (0x22) and watchpoints (0x34, 0x35).
        lsr     x22, x21, #26
        sub     x23, x22, #0x20
        cmp     x23, #6
        b.lo    1f
        sub     x23, x22, #0x34
        cmp     x23, #2
        b.hs    2f
1:      ldr     x22, [x19, #FRAME_FAR]
        bl      log_far
2:      ldr     x22, [x19, #FRAME_ELR]
        LOG     " elr="
        bl      print_address
        ldr     x22, [x19, #FRAME_SPSR]
        bic     x22, x22, #0xc00                // BTYPE: QEMU's max has branch target identification, other models not
        SHOW    "spsr", x22
        ldr     x30, [sp], #16
        ret

log_far:
        str     x30, [sp, #-16]!
        LOG     " far="
        bl      print_address
        ldr     x30, [sp], #16
        ret

// x22 as @distance where it is near x28, as +offset where it is elsewhere in the program, else as it is.  x19 = frame.
print_address:
        str     x30, [sp, #-16]!
        ldr     x23, [x19, #224]
        sub     x24, x22, x23
        add     x25, x24, #0x80
        cmp     x25, #0x100
        b.hs    2f
        LOG     "@"
        mov     x22, x24
        tbz     x24, #63, 1f
        LOG     "-"
        neg     x22, x24
        b       1f
2:      ADDR    x23, image_start
        ADDR    x24, image_end
        cmp     x22, x24
        b.hs    1f
        subs    x24, x22, x23
        b.lo    1f
        mov     x22, x24
        LOG     "+"
1:      HEX     x22
        ldr     x30, [sp], #16
        ret

// End of a TRY line.
log_end:
        stp     x0, x30, [sp, #-32]!
        str     x1, [sp, #16]
        ADDR    x0, caught
        ldr     w1, [x0]
        str     wzr, [x0]
        cbnz    w1, 1f
        LOG     " ok\n"
        b       2f
1:      NL
2:      ldr     x1, [sp, #16]
        ldp     x0, x30, [sp], #32
        ret

// Goes on at the caller's return address, at EL0, with the state in el0_pstate.
enter_el0:
        msr     elr_el1, x30
        adrp    x30, el0_pstate
        ldr     x30, [x30, :lo12:el0_pstate]
        msr     spsr_el1, x30
        eret

// ---- printing ---------------------------------------------------------------------------------------------------
// Prints the string after the call and returns behind it.
print_inline:
        stp     x0, x1, [sp, #-32]!
        str     x2, [sp, #16]
        mov     x0, #UART
1:      ldrb    w1, [x30], #1
        cbz     w1, 2f
        str     w1, [x0]
        b       1b
2:      add     x30, x30, #3
        and     x30, x30, #~3
        ldr     x2, [sp, #16]
        ldp     x0, x1, [sp], #32
        ret

// Prints the number on top of the stack, without leading zeros.
print_hex_at_sp:
        stp     x0, x1, [sp, #-48]!
        stp     x2, x3, [sp, #16]
        mrs     x3, nzcv
        str     x3, [sp, #32]
        ldr     x0, [sp, #48]
        mov     x1, #UART
        clz     x2, x0
        bic     x2, x2, #3
        cmp     x2, #64
        mov     x3, #60
        csel    x2, x3, x2, eq
        lsl     x0, x0, x2
1:      lsr     x3, x0, #60
        add     w3, w3, #'0'
        cmp     w3, #'9'
        b.ls    2f
        add     w3, w3, #'a' - '0' - 10
2:      str     w3, [x1]
        lsl     x0, x0, #4
        add     x2, x2, #4
        cmp     x2, #64
        b.ne    1b
        ldr     x3, [sp, #32]
        msr     nzcv, x3
        ldp     x2, x3, [sp, #16]
        ldp     x0, x1, [sp], #48
        ret

        .data
        .balign 16
hook:           .quad 0
el0_pstate:     .quad PSTATE_EL0
handler_depth:  .word 0
                .word 0                         // exceptions so far; 2048 are too many
caught:         .word 0

        .bss
        .balign 16
frame:          .skip 304
        .skip   1024
handler_stack_top:
        .skip   1024
stack_top:
        .skip   256
el0_stack_top:

        .text
