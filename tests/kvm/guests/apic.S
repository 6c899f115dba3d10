# Local APIC and I/O APIC: GSI 20 as vector 0x40, messages as vector 0x41, the APIC's own timer as vector 0x42.
.include "runtime.inc"
.globl start, vectors
.set LAPIC, 0xfee00000
.set IOAPIC, 0xfec00000
.code64
start:
    mov $LAPIC, %ebx
    movl $0x1ff, 0xf0(%rbx)         # enabled, spurious vector 0xff
    mov $IOAPIC, %ebp
    movl $0x10 + 2 * 20, (%rbp)     # redirection of pin 20: vector 0x40, edge, physical, CPU 0
    movl $0x40, 0x10(%rbp)
    movl $0x11 + 2 * 20, (%rbp)
    movl $0, 0x10(%rbp)
    mov $TOY_BASE + 0x40, %r13d
    mov $3, %r15d
1:  movb $1, (%r13)       # the rig has the line or a message there
    sti
    hlt
    cli
    dec %r15d
    jnz 1b
    movl $0x42, 0x320(%rbx)         # timer: once
    movl $0xb, 0x3e0(%rbx)          # divide by 1
    movl $100000, 0x380(%rbx)
    sti
    hlt
    cli
    cmpl $0, 0x390(%rbx)            # it has run down
    check 1
    exit 0

gsi:
    putc 'g'
    jmp done
message:
    putc 'm'
    jmp done
timer:
    putc 't'
done:
    movb $0, (%r13)
    movl $0, 0xb0(%rbx)             # end of interrupt
    iretq

.balign 16
vectors:
    vector 0x40, gsi
    vector 0x41, message
    vector 0x42, timer
    .org vectors + 4096
