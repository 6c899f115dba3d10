# Process 1 of the tiny Linux: says that it is there, sums up the disk if there is one, echoes a line of the console,
# and resets the machine. No C library: system calls alone.

        .intel_syntax noprefix
        .set    SYS_READ, 0
        .set    SYS_WRITE, 1
        .set    SYS_OPEN, 2
        .set    SYS_MOUNT, 165
        .set    SYS_REBOOT, 169
        .set    CHUNK, 65536

        .text
        .globl  _start
_start:
        lea     rsi, [rip + started]
        mov     edx, OFFSET started_size
        call    print

        # mount("devtmpfs", "/dev", "devtmpfs", 0, 0)
        lea     rdi, [rip + devtmpfs]
        lea     rsi, [rip + dev]
        mov     rdx, rdi
        xor     r10d, r10d
        xor     r8d, r8d
        mov     eax, OFFSET SYS_MOUNT
        syscall

        lea     rdi, [rip + disk]
        xor     esi, esi                # O_RDONLY
        xor     edx, edx
        mov     eax, OFFSET SYS_OPEN
        syscall
        test    eax, eax
        js      no_disk
        mov     r12d, eax
        call    sum_up
        jmp     echo

no_disk:
        lea     rsi, [rip + none]
        mov     edx, OFFSET none_size
        call    print

echo:   # a line, as the terminal gives it
        lea     rsi, [rip + ready]
        mov     edx, OFFSET ready_size
        call    print
        xor     edi, edi
        lea     rsi, [rip + buffer]
        mov     edx, OFFSET CHUNK
        mov     eax, OFFSET SYS_READ
        syscall
        mov     r13, rax
        lea     rsi, [rip + heard]
        mov     edx, OFFSET heard_size
        call    print
        lea     rsi, [rip + buffer]
        mov     rdx, r13
        test    rdx, rdx
        jle     reset
        call    print

reset:
        mov     edi, 0xfee1dead
        mov     esi, 672274793
        mov     edx, 0x01234567         # LINUX_REBOOT_CMD_RESTART
        mov     eax, OFFSET SYS_REBOOT
        syscall
1:      jmp     1b

# Print the size and the sum of the 64-bit words of file r12.
sum_up:
        xor     r13d, r13d              # bytes
        xor     r14d, r14d              # sum
next_chunk:
        mov     edi, r12d
        lea     rsi, [rip + buffer]
        mov     edx, OFFSET CHUNK
        mov     eax, OFFSET SYS_READ
        syscall
        test    rax, rax
        jle     done
        add     r13, rax
        lea     rsi, [rip + buffer]
        mov     rcx, rax
        shr     rcx, 3                  # disks are whole sectors
add_word:
        add     r14, [rsi]
        add     rsi, 8
        dec     rcx
        jnz     add_word
        jmp     next_chunk
done:
        lea     rsi, [rip + disk_is]
        mov     edx, OFFSET disk_is_size
        call    print
        mov     rax, r13
        call    print_hex
        mov     rax, r14
        call    print_hex
        lea     rsi, [rip + newline]
        mov     edx, 1
        # falls through

# rdx bytes at rsi
print:
        mov     edi, 1
        mov     eax, OFFSET SYS_WRITE
        syscall
        ret

# A space and the 16 digits of rax
print_hex:
        lea     rdi, [rip + number]
        mov     byte ptr [rdi], ' '
        mov     ecx, 16
digit:
        inc     rdi
        rol     rax, 4
        mov     edx, eax
        and     edx, 15
        lea     r8, [rip + digits]
        mov     dl, [r8 + rdx]
        mov     [rdi], dl
        dec     ecx
        jnz     digit
        lea     rsi, [rip + number]
        mov     edx, 17
        jmp     print

        .macro  text name, content
\name:  .ascii  "\content"
        .set    \name\()_size, . - \name
        .endm

        .data
        text    started, "init: started\n"
        text    none, "disk: none\n"
        text    disk_is, "disk:"
        text    ready, "init: type a line\n"
        text    heard, "heard: "
newline: .ascii "\n"
digits: .ascii  "0123456789abcdef"
devtmpfs: .asciz "devtmpfs"
dev:    .asciz  "/dev"
disk:   .asciz  "/dev/vda"

        .bss
number: .skip   17
buffer: .skip   CHUNK
