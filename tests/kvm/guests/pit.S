# The 8254: ten ticks of channel 0 at 1 kHz, through the I/O APIC's pin 2.
.include "runtime.inc"
.globl start, vectors
.set LAPIC, 0xfee00000
.set IOAPIC, 0xfec00000
.code64
start:
    mov $LAPIC, %ebx
    movl $0x1ff, 0xf0(%rbx)
    mov $IOAPIC, %ebp
    movl $0x14, (%rbp)
    movl $0x40, 0x10(%rbp)
    movl $0x15, (%rbp)
    movl $0, 0x10(%rbp)
    mov $0x34, %al                  # channel 0, both bytes, mode 2
    out %al, $0x43
    mov $1193 & 0xff, %al
    out %al, $0x40
    mov $1193 >> 8, %al
    out %al, $0x40
    mov $10, %r15d
1:  sti
    hlt
    cli
    dec %r15d
    jnz 1b
    exit 0

tick:
    push %rax
    putc 't'
    movl $0, 0xb0(%rbx)
    pop %rax
    iretq

.balign 16
vectors:
    vector 0x40, tick
    .org vectors + 4096
