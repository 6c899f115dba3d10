# 64-bit user mode: `rounds` turns of a loop, then page 0x200000 on is written, a word in every second page.
.include "runtime.inc"
.globl start, rounds
.code64
start:
    pushq $USER_DATA
    pushq $USER_STACK
    pushq $0x3002                   # IOPL 3
    pushq $USER_CODE64
    pushq $user
    iretq
user:
    mov rounds(%rip), %rcx
1:  dec %rcx
    jnz 1b
    mov $0x200000, %rdi
    mov $8, %ecx
2:  movq $1, (%rdi)
    add $0x2000, %rdi
    dec %ecx
    jnz 2b
    exit 0
.balign 8
rounds:
    .quad 1000
