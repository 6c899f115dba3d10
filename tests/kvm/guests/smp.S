# Each CPU but the first is started by INIT and two start-up messages, and adds its number to a sum.
.include "runtime.inc"
.globl start, cpus
.set LAPIC, 0xfee00000
.set PAGE, 9                        # 0x9000, where `second` is copied to
.code64
start:
    mov $LAPIC, %ebx
    movl $0x1ff, 0xf0(%rbx)
    lea second(%rip), %rsi
    mov $PAGE << 12, %rdi
    mov $second_end - second, %ecx
    cld
    rep movsb
    mov $1, %r14d                   # which
1:  cmp cpus(%rip), %r14d
    je done
    mov %r14d, %eax
    shl $24, %eax
    mov %eax, 0x310(%rbx)
    movl $0x4500, 0x300(%rbx)     # INIT
    mov %eax, 0x310(%rbx)
    movl $0x4600 | PAGE, 0x300(%rbx)
    mov %eax, 0x310(%rbx)
    movl $0x4600 | PAGE, 0x300(%rbx)
2:  pause
    cmp %r14d, 0x4000               # it has counted itself
    jne 2b
    inc %r14d
    jmp 1b
done:
    putc 'd'
    exit 0

.code16
second:
    mov %cs, %ax
    cmp $PAGE << 8, %ax
    jne 3f
    xor %ax, %ax
    mov %ax, %ds
    mov $'2', %al
    out %al, $CONSOLE
    lock incl 0x4000
3:  cli
    hlt
    jmp 3b
second_end:

.balign 4
cpus:
    .long 2
