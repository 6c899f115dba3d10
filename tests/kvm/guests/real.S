# Real mode: segments, string output, a far call.
.include "runtime.inc"
.globl start
.code16
start:
    mov $0x1000, %ax
    mov %ax, %es
    movw $0xbeef, %es:0x20          # at 0x10020
    xor %ax, %ax
    mov %ax, %ds
    mov $0x1002, %ax
    mov %ax, %fs
    cmpw $0xbeef, %fs:0
    check 1
    mov $text, %si
    mov $5, %cx
    mov $CONSOLE, %dx
    cld
    rep outsb
    lcallw $0, $far
    cmp $0x77, %bl
    check 2
    exit 0
far:
    mov $0x77, %bl
    lretw
text:
    .ascii "real!"
