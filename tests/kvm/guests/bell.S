# Writes to a register that only announces work: 3 three times, which a doorbell takes, and 4, which none does.
.include "runtime.inc"
.globl start
.code64
start:
    mov $TOY_BASE + 0x50, %ebx
    movl $3, (%rbx)
    movl $4, (%rbx)
    movl $3, (%rbx)
1:  mov TOY_SEEN(%rip), %eax        # the rig counts here what has arrived
    test %eax, %eax
    jz 1b
    exit 0
.balign 4
.globl TOY_SEEN
TOY_SEEN:
    .long 0
