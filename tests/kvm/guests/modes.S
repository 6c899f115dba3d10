# From real mode up: 16 bits, 32 bits, 64 bits, 64-bit user mode; a digit from each.
.include "runtime.inc"
.globl start
.code16
start:
    putc '1'
    lgdt gdt_pointer
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $CODE32, $protected

.code32
protected:
    mov $DATA32, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $STACK, %esp
    push $0x12345678                # 32 bits on the stack
    pop %eax
    cmp $0x12345678, %eax
    check 32
    putc '3'
    mov %cr4, %eax
    or $0x620, %eax                 # PAE, and SSE
    mov %eax, %cr4
    mov $PML4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           # EFER
    rdmsr
    or $0x100, %eax                 # LME
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmp $CODE64, $long

.code64
long:
    mov $0x123456789abcdef0, %rax
    push %rax
    pop %rbx
    cmp %rax, %rbx
    check 64
    putc '6'
    mov $TSS, %eax
    ltr %ax
    pushq $USER_DATA
    pushq $USER_STACK
    pushq $0x3002                   # IOPL 3: ports are open to user mode
    pushq $USER_CODE64
    pushq $user
    iretq

user:
    mov $1000000, %ecx
1:  dec %ecx
    jnz 1b
    mov %rsp, %rax
    cmp $USER_STACK, %rax
    check 3
    putc 'u'
    exit 0

.balign 8
gdt_pointer:
    .word 0x3f
    .long GDT_BASE
