# Ports: all widths, string instructions, nobody's ports.
.include "runtime.inc"
.globl start
.code64
start:
    mov $TOY_PORT + 4, %dx
    mov $0xa1b2c3d4, %eax
    out %al, %dx
    out %ax, %dx
    out %eax, %dx
    xor %eax, %eax
    in %dx, %al
    cmp $0x04, %eax
    check 1
    in %dx, %ax
    cmp $0x0504, %eax
    check 2
    in %dx, %eax
    cmp $0x07060504, %eax
    check 3
    lea words(%rip), %rsi
    mov $3, %ecx
    cld
    rep outsw
    lea room(%rip), %rdi
    mov $4, %ecx
    rep insl
    cmpl $0x07060504, room + 12(%rip)
    check 4
    mov $0x80, %dx                  # nobody's
    in %dx, %eax
    cmp $-1, %eax
    check 5
    out %eax, %dx
    exit 0
words:
    .word 0x1111, 0x2222, 0x3333
room:
    .fill 16
