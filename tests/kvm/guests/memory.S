# Devices in memory: all widths, an access that leaves the device, nobody's addresses; ROM; RAM above 4 GiB.
.include "runtime.inc"
.globl start
.code64
start:
    mov $TOY_BASE, %ebx
    mov $0x1122334455667788, %rax
    mov %al, 0x10(%rbx)
    mov %ax, 0x12(%rbx)
    mov %eax, 0x14(%rbx)
    mov %rax, 0x18(%rbx)
    xor %ecx, %ecx
    mov 0x20(%rbx), %cl
    cmp $0x20, %ecx
    check 1
    mov 0x22(%rbx), %cx
    cmp $0x2322, %ecx
    check 2
    mov 0x24(%rbx), %ecx
    cmp $0x27262524, %ecx
    check 3
    mov 0x28(%rbx), %rcx
    mov $0x2f2e2d2c2b2a2928, %rax
    cmp %rax, %rcx
    check 4
    mov $HOLE, %ebx
    mov (%rbx), %rcx
    cmp $-1, %rcx
    check 5
    mov %rcx, (%rbx)
    exit 0
