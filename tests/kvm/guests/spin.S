# User mode that never leaves by itself; rbx counts.
.include "runtime.inc"
.globl start
.code64
start:
    pushq $USER_DATA
    pushq $USER_STACK
    pushq $0x3002
    pushq $USER_CODE64
    pushq $user
    iretq
user:
    putc 's'
    xor %ebx, %ebx
1:  inc %rbx
    jmp 1b
