# Code where there is no memory: KVM has no way to go on.
.include "runtime.inc"
.globl start
.code64
start:
    mov $TOY_BASE, %eax
    jmp *%rax
