// Something for each item of the debug log: undefined words, an unknown register, the MMU, a fault. Then power off.
.global _start
_start:
    adr x0, vectors
    msr vbar_el1, x0
    isb
    .inst 0x00000000
    .inst 0xb8200041       // ldadd: FEAT_LSE
    .inst 0xb8200041
    mrs x1, s3_1_c15_c3_1
    mov x9, #0
1:  add x9, x9, #1
    cmp x9, #3
    b.ne 1b
    // one block of 1 GiB at level 1, mapped to itself
    adr x0, table
    adr x2, _start
    and x2, x2, #0xffffffffc0000000
    movz x3, #0x0701       // AF, inner shareable, AttrIndx 0, block
    orr x3, x3, x2
    str x3, [x0, #8]
    mov x4, #0xff
    msr mair_el1, x4
    movz x4, #0x3519       // T0SZ 25: 39 bits, 4 KiB, WB, inner shareable
    movk x4, #0x0080, lsl #16  // EPD1
    movk x4, #2, lsl #32
    msr tcr_el1, x4
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    dsb sy
    isb
    mrs x5, sctlr_el1
    orr x5, x5, #1
    msr sctlr_el1, x5
    isb
    ldr x6, [x2]
    movz x7, #3, lsl #48   // ASID 3
    tlbi aside1, x7
    orr x7, x7, #4
    orr x7, x7, #1         // page 5
    tlbi vae1, x7
    tlbi vaae1, x7
    mov x8, #0x9000000
    str w8, [x8]           // no translation
    // nothing answers there
    mrs x5, sctlr_el1
    bic x5, x5, #1
    msr sctlr_el1, x5
    isb
    mov x8, #0x8000
    lsl x8, x8, #24
    ldr w9, [x8]
    movz x0, #8
    movk x0, #0x8400, lsl #16
    hvc #0
    b .
    .balign 2048
vectors:
    .rept 16
    mrs x10, elr_el1
    add x10, x10, #4
    msr elr_el1, x10
    eret
    .balign 128
    .endr
    .balign 4096
table:
    .skip 4096
