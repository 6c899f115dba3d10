# Protected mode of 32 bits without paging, as a board starts it: segments, the descriptor of ss, far returns.
.include "runtime.inc"
.globl start
.code32
start:
    mov $0xdeadbeef, %eax
    push %eax
    pop %ebx
    cmp %eax, %ebx
    check 1
    mov $DATA32, %eax
    mov %eax, %fs
    movl $0x11223344, %fs:0x3000
    cmpl $0x11223344, 0x3000
    check 2
    pushl $CODE32
    pushl $2f
    lret
2:  putc 'p'
    exit 0
