# Times exits to the emulator, for any `microvm` board: an ELF kernel with a PVH entry.
# Prints "name cycles" for each kind of exit on the serial port, cycles (hexadecimal) for COUNT of them, and resets by a
# triple fault.  "cpl0" is kernel mode, "user" user mode, both of 64 bits.
# With LOOP defined, "user-loop" is one loop of 10^10 instructions, which leaves the guest for nothing.

.set SERIAL, 0x3f8
.set SCRATCH, SERIAL + 7        # the serial port's scratch register
.set VIRTIO, 0xfeb00000         # the first virtio-mmio transport
.set TABLES, 0x300000

.section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start

.text
.globl start
.code32
start:
    mov $stack, %esp
    # PML4, PDPT, four directories: 4 GiB one to one, for user mode too
    mov $TABLES, %edi
    movl $TABLES + 0x1000 + 7, (%edi)
    movl $TABLES + 0x2000 + 7, 0x1000(%edi)
    movl $TABLES + 0x3000 + 7, 0x1008(%edi)
    movl $TABLES + 0x4000 + 7, 0x1010(%edi)
    movl $TABLES + 0x5000 + 7, 0x1018(%edi)
    mov $0x87, %eax
    lea 0x2000(%edi), %ebx
1:  mov %eax, (%ebx)
    add $8, %ebx
    add $0x200000, %eax
    jnc 1b
    mov $0x20, %eax             # PAE
    mov %eax, %cr4
    mov %edi, %cr3
    mov $0xc0000080, %ecx       # EFER: LME
    rdmsr
    or $0x100, %eax
    wrmsr
    mov $0x80000011, %eax       # PG, ET, PE
    mov %eax, %cr0
    mov $tss, %eax              # where it is, into its descriptor
    movw $0x68, 0x66(%eax)
    mov %ax, tss_entry + 2
    shr $16, %eax
    mov %al, tss_entry + 4
    lgdt gdt_pointer
    ljmp $0x08, $long

.code64
long:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x28, %eax
    ltr %ax
    lea kernel_mode(%rip), %r12
    call measure
    pushq $0x18 | 3
    pushq $stack
    pushq $0x3002               # IOPL 3
    pushq $0x20 | 3
    pushq $user
    iretq
user:
    lea user_mode(%rip), %r12
    call measure
.ifdef LOOP
    lea loop(%rip), %rsi
    call label
    rdtsc
    shl $32, %rdx
    lea (%rdx, %rax), %r14
    .include "loop.inc"
    rdtsc
    shl $32, %rdx
    add %rdx, %rax
    sub %r14, %rax
    call number
.endif
    lea finished(%rip), %rsi
    call print
    # #GP for a bad segment, and no IDT: a triple fault
    mov $0x7ff8, %eax
    mov %eax, %ds
2:  jmp 2b

.macro write_port
    mov $SCRATCH, %edx
    out %al, %dx
.endm

.macro read_port
    mov $SCRATCH, %edx
    in %dx, %al
.endm

.macro timed name, body:vararg
    lea \name(%rip), %rsi
    call label
    mov $COUNT, %ebp
    rdtsc
    shl $32, %rdx
    lea (%rdx, %rax), %r14
1:  \body
    dec %ebp
    jnz 1b
    rdtsc
    shl $32, %rdx
    add %rdx, %rax
    sub %r14, %rax
    call number
.endm

measure:
    mov $VIRTIO, %ebx
    timed port_out, write_port
    timed port_in, read_port
    timed memory_write, movl $0, 0x14(%rbx)
    timed memory_read, mov (%rbx), %eax
    ret

label:                          # the mode, and the name at rsi
    push %rsi
    mov %r12, %rsi
    call print
    pop %rsi
print:                          # the string at rsi
    mov $SERIAL, %edx
3:  lodsb
    test %al, %al
    jz 4f
    out %al, %dx
    jmp 3b
4:  ret

number:                         # rax in hexadecimal, and a new line
    mov %rax, %r15
    mov $16, %ecx
    mov $SERIAL, %edx
5:  rol $4, %r15
    mov %r15d, %eax
    and $15, %eax
    lea digits(%rip), %rsi
    mov (%rsi, %rax), %al
    out %al, %dx
    dec %ecx
    jnz 5b
    mov $'\n', %al
    out %al, %dx
    ret

digits:         .ascii "0123456789abcdef"
kernel_mode:    .asciz "cpl0-"
user_mode:      .asciz "user-"
port_out:       .asciz "out "
port_in:        .asciz "in "
memory_write:   .asciz "mmio-write "
memory_read:    .asciz "mmio-read "
loop:           .asciz "loop "
finished:       .asciz "end\n"

.balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff
tss_entry:
    .word 0x2068, 0
    .byte 0, 0x89, 0, 0
    .quad 0
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt
.bss
tss:                            # with its map of ports, all of them open
.fill 0x68 + 0x2001
.fill 4096
stack:
