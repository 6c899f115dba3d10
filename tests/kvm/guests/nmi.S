# A device's line on the CPU's NMI input, with interrupts off.
.include "runtime.inc"
.globl start, vectors
.code64
start:
    mov $TOY_BASE + 0x40, %r13d
    mov $3, %r15d
1:  mov %r15d, %r14d
    movb $1, (%r13)
2:  cmp %r14d, %r15d
    je 2b
    test %r15d, %r15d
    jnz 1b
    exit 0

nmi:
    putc 'n'
    movb $0, (%r13)
    dec %r15d
    iretq

.balign 16
vectors:
    vector 2, nmi
    .org vectors + 4096
