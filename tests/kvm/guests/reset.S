# What a reset leaves: the first time all kinds of state are changed and the machine is reset (by a port, or by a triple
# fault, as `how` says); the second time it is looked at.
.include "runtime.inc"
.globl start, how
.set LAPIC, 0xfee00000
.code64
start:
    mov %rbx, %r8                   # as the board left it: 0
    mov $LAPIC, %r9d
    in $BOOTS, %al
    test %al, %al
    jnz again
    movl $0x1ff, 0xf0(%r9)
    movl $0x50, 0x80(%r9)        # task priority
    mov $0x11, %al                  # the PIC's masks
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $4, %al
    out %al, $0x21
    mov $1, %al
    out %al, $0x21
    mov $0x5a, %al
    out %al, $0x21
    mov $0x4b564d01, %ecx           # kvmclock's time goes to 0x5000
    mov $0x5001, %eax
    xor %edx, %edx
    wrmsr
    mov $0xc0000082, %ecx           # LSTAR
    wrmsr
    mov $0x1234, %ebx
    mov %rbx, %dr0
    movl $1, 0x4000                 # RAM stays
    movups how(%rip), %xmm3
    cmpb $0, how(%rip)
    jne fault
    out %al, $RESET
fault:
    lidt no_idt(%rip)
    ud2

again:
    test %r8, %r8
    check 1
    cmpl $0xff, 0xf0(%r9)
    check 2
    cmpl $0, 0x80(%r9)
    check 3
    in $0x21, %al
    cmp $0, %al                     # not the 0x5a from before
    check 4
    mov $0x4b564d01, %ecx
    rdmsr
    test %eax, %eax
    check 5
    mov $0xc0000082, %ecx
    rdmsr
    test %eax, %eax
    check 6
    mov %dr0, %rax
    test %rax, %rax
    check 7
    cmpl $1, 0x4000
    check 8
    exit 0

how:
    .byte 0
no_idt:
    .word 0
    .quad 0
