# Waits until there is RAM where nothing was, and reads it.
.include "runtime.inc"
.globl start
.code64
start:
    mov $0x80000000, %ebx
    cmpl $-1, (%rbx)
    check 1
    putc 'w'
2:  cmpl $0x600df00d, (%rbx)
    jne 2b
    movl $7, 4(%rbx)
    exit 0
