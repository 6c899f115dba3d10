// For the virt board on an arm64 host: a second CPU by PSCI, the virtual timer's interrupt, a reset that leaves nothing
// behind in the interrupt controller, and the end. Raw code, started in EL1 with the MMU off.

.set UART, 0x09000000
.set GICD, 0x08000000
.set MARK, 0x41000000           // RAM: a reset leaves it alone
.set OTHER, 0x41001000          // where the second CPU says that it ran

.macro psci function
    ldr w0, =\function
    hvc #0
.endm

.macro say text
    adr x20, 9f
    bl print
    b 8f
9:  .asciz "\text"
.balign 4
8:
.endm

start:
    ldr x1, =MARK
    ldr w2, [x1]
    ldr w3, =0x600df00d
    cmp w2, w3
    b.eq again
    str w3, [x1]

    adr x2, second
    mov x1, #1                  // its affinity
    mov x3, #42
    psci 0xc4000003             // CPU_ON
    ldr x1, =OTHER
1:  ldr w2, [x1]
    cmp w2, #42
    b.ne 1b
    say "guest: second CPU ran\n"

    mrs x0, cntvct_el0
    add x0, x0, #1000
    msr cntv_cval_el0, x0
    mov x0, #1
    msr cntv_ctl_el0, x0
2:  mrs x0, cntv_ctl_el0
    tbz x0, #2, 2b              // ISTATUS
    say "guest: timer fired\n"

    ldr x1, =GICD
    mov w0, #3
    str w0, [x1]                // GICD_CTLR
    mov w0, #-1
    str w0, [x1, #0x104]        // ISENABLER1
    ldr w0, [x1, #0x104]
    mov w23, #'0' + 1
    cbz w0, failed
    psci 0x84000009             // SYSTEM_RESET
    mov w23, #'0' + 2
    b failed

again:
    ldr x1, =GICD
    ldr w0, [x1, #0x104]
    mov w23, #'0' + 3
    cbnz w0, failed
    ldr w0, [x1]
    tst w0, #3
    mov w23, #'0' + 4
    b.ne failed
    say "guest: clean after the reset\n"
    ldr x1, =0x50000000         // nothing is there
    ldr w0, [x1]
    mov w23, #'0' + 6
    cbnz w0, failed
    psci 0x84000008             // SYSTEM_OFF

failed:                         // w23: where
    ldr x21, =UART
    str w23, [x21]
    say " guest: FAILED\n"
    psci 0x84000008

print:                          // the string at x20
    ldr x21, =UART
3:  ldrb w22, [x20], #1
    cbz w22, 4f
    str w22, [x21]
    b 3b
4:  ret

second:                         // x0: what CPU_ON was told
    ldr x1, =OTHER
    str w0, [x1]
    psci 0x84000002             // CPU_OFF
    b .
