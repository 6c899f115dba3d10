# A CPU that is powered off by a device that it has just accessed, in the way that `how` says. What it would run after that
# counts in memory.
.include "runtime.inc"
.globl start, how, COUNT
.set COUNT, 0x4000
.code64
start:
    mov $TOY_BASE + 0x40, %ebx
    mov $TOY_PORT + 0x40, %edx
    mov how(%rip), %al
    cmp $1, %al
    je port_read
    cmp $2, %al
    je memory_write
    cmp $3, %al
    je memory_read
    cmp $4, %al
    je string
    cmp $5, %al
    je user
    cmp $6, %al
    je spin
port_write:
    out %al, %dx
    jmp on
port_read:
    in %dx, %al
    jmp on
memory_write:
    mov %al, (%rbx)
    jmp on
memory_read:
    mov (%rbx), %al
    jmp on
string:
    lea how(%rip), %rsi
    mov $3, %ecx
    cld
    rep outsb
    jmp on
user:
    pushq $USER_DATA
    pushq $USER_STACK
    pushq $0x3002
    pushq $USER_CODE64
    pushq $port_write
    iretq
spin:                               # in user mode, until another CPU's access does it
    pushq $USER_DATA
    pushq $USER_STACK
    pushq $0x3002
    pushq $USER_CODE64
    pushq $on
    iretq
on:
    incl COUNT
    jmp on
how:
    .byte 0
