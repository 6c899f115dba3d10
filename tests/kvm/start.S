# Started by the microvm board in either of its ways: says which, prints its command line and the first line of its
# ramdisk, and ends as the command line's first letter says.

        .intel_syntax noprefix
        .set    SERIAL, 0x3f8
        .set    ACPI_SLEEP, 0xfea00200

        # 64-bit registers in long mode, 32-bit ones by PVH: the same text, assembled twice
        .macro  body, a, b, c, d, s, suffix
# The text at register s, up to a zero or a newline, and a newline
line\suffix:
        mov     al, [\s]
        test    al, al
        jz      end_line\suffix
        cmp     al, 10
        je      end_line\suffix
        call    put\suffix
        inc     \s
        jmp     line\suffix
end_line\suffix:
        mov     al, 10
# The character al, once the transmitter is empty
put\suffix:
        mov     ah, al
        mov     dx, SERIAL + 5
1:      in      al, dx
        test    al, 0x20
        jz      1b
        mov     dx, SERIAL
        mov     al, ah
        out     dx, al
        ret

# Command line at register b, ramdisk at register c or 0
tell\suffix:
        mov     \s, \b
        call    line\suffix
        test    \c, \c
        jz      finish\suffix
        mov     \s, \c
        call    line\suffix
finish\suffix:
        mov     al, [\b]
        cmp     al, 'o'
        je      off\suffix
        cmp     al, 't'
        je      triple\suffix
        mov     al, 0xfe                # the keyboard controller's reset
        out     0x64, al
        jmp     stop\suffix
off\suffix:
        mov     \d, OFFSET ACPI_SLEEP
        mov     al, 0x34                # SLP_EN, S5
        mov     [\d], al
        jmp     stop\suffix
triple\suffix:
        mov     \d, OFFSET no_idt
        lidt    [\d]
        ud2
stop\suffix:
        hlt
        jmp     stop\suffix
        .endm

        .text
        .code64
        .globl  _start
_start:
        mov     r8, rsi                 # boot parameters
        mov     esi, OFFSET long_mode
        call    line64
        mov     ebx, [r8 + 0x228]
        mov     ecx, [r8 + 0x218]
        jmp     tell64
        body    rax, rbx, rcx, rdi, rsi, 64

        .code32
pvh_start:
        mov     esp, 0x8ff0
        mov     ebp, ebx                # hvm_start_info
        mov     esi, OFFSET pvh
        call    line32
        mov     ebx, [ebp + 24]
        xor     ecx, ecx
        mov     eax, [ebp + 12]         # how many modules
        test    eax, eax
        jz      tell32
        mov     ecx, [ebp + 16]
        mov     ecx, [ecx]
        jmp     tell32
        body    eax, ebx, ecx, edi, esi, 32

        .data
no_idt: .word   0
        .quad   0
long_mode: .asciz "64-bit mode"
pvh:    .asciz  "PVH"

        .ifdef  WITH_NOTE
        .section .note.pvh, "a", @note
        .long   4, 4, 18
        .asciz  "Xen"
        .long   pvh_start
        .endif
