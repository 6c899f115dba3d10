# For the microvm board: an ELF file with a PVH entry (32 bits), which greets on the serial port and resets.
.section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start
.text
.globl start
.code32
start:
    mov $0x3f8, %edx
    lea text, %esi
    mov $text_end - text, %ecx
    cld
    rep outsb
    mov $0xfe, %al
    out %al, $0x64
1:  hlt
    jmp 1b
text:
    .ascii "hello from KVM\n"
text_end:
