# A level-triggered interrupt (GSI 20, vector 0x40), which comes until its line is low: the handler asks the device three
# times, and only the third time counts.
.include "runtime.inc"
.globl start, vectors
.set LAPIC, 0xfee00000
.set IOAPIC, 0xfec00000
.code64
start:
    mov $LAPIC, %ebx
    movl $0x1ff, 0xf0(%rbx)
    mov $IOAPIC, %ebp
    movl $0x10 + 2 * 20, (%rbp)
    movl $0x8040, 0x10(%rbp)
    movl $0x11 + 2 * 20, (%rbp)
    movl $0, 0x10(%rbp)
    mov $TOY_BASE + 0x40, %r13d
    mov $3, %r15d
    movb $1, (%r13)
    sti
1:  pause
    test %r15d, %r15d
    jg 1b                           # below zero where one more came at once
    mov $2000, %ecx                 # no more of them
2:  pause
    dec %ecx
    jnz 2b
    cli
    exit 0

handler:
    putc 'l'
    dec %r15d
    movb $0, (%r13)
    movl $0, 0xb0(%rbx)
    iretq

.balign 16
vectors:
    vector 0x40, handler
    .org vectors + 4096
