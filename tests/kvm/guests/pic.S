# The 8259s: a device on GSI 5 and one on GSI 11 interrupt a CPU that halts.
.include "runtime.inc"
.globl start, vectors
.code64
start:
    mov $0x11, %al                  # ICW1: edge, cascade, ICW4
    out %al, $0x20
    out %al, $0xa0
    mov $0x20, %al                  # ICW2: vectors 0x20 and 0x28 on
    out %al, $0x21
    mov $0x28, %al
    out %al, $0xa1
    mov $4, %al                     # ICW3
    out %al, $0x21
    mov $2, %al
    out %al, $0xa1
    mov $1, %al                     # ICW4
    out %al, $0x21
    out %al, $0xa1
    mov $~((1 << 5) | (1 << 2)) & 0xff, %al
    out %al, $0x21
    mov $~(1 << 3) & 0xff, %al
    out %al, $0xa1
    mov $TOY_BASE + 0x40, %r13d     # 32-bit addresses above 2 GiB do not fit an instruction
    mov $3, %r15d                   # rounds
1:  movb $1, (%r13)       # raises the line
    sti
    hlt
    cli
    dec %r15d
    jnz 1b
    exit 0

handler:
    push %rax
    putc 'i'
    movb $0, (%r13)       # lowers it
    mov $0x20, %al
    out %al, $0xa0
    out %al, $0x20
    pop %rax
    iretq

.balign 16
vectors:
    vector 0x25, handler
    vector 0x2b, handler
    .org vectors + 4096
