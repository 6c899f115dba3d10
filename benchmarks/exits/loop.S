# The same loop as a Linux program: its exit status is 0, and it does nothing else.
.globl _start
_start:
    .include "loop.inc"
    mov $60, %eax
    xor %edi, %edi
    syscall
