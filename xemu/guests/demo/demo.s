// The demo guest: greets on the serial port, answers keys, powers off.
//
// It carries the header of an arm64 Linux Image, so it boots wherever a kernel does, and it is position independent.
// It knows three things about the board "virt": where the PL011 and the GICv2 are, and that PSCI is called by HVC.
// Between keys it waits in WFI: the serial interrupt is left masked in the CPU and only ends the wait.
//
// Build:  aarch64-linux-gnu-as demo.s -o demo.o && aarch64-linux-gnu-objcopy -O binary demo.o demo.bin

        .equ    UART,           0x09000000
        .equ    UART_DR,        0x00
        .equ    UART_FR,        0x18
        .equ    UART_CR,        0x30
        .equ    UART_IMSC,      0x38
        .equ    FR_RXFE,        4               // bit number: receive FIFO empty
        .equ    FR_TXFF,        5               // bit number: transmit FIFO full
        .equ    CR_ENABLE,      0x301           // transmitter, receiver, UART
        .equ    IMSC_RX,        0x50            // receive and receive timeout

        .equ    GIC_DIST,       0x08000000
        .equ    GIC_CPU,        0x08010000
        .equ    GICD_ISENABLER1, 0x104
        .equ    GICD_ITARGETSR8, 0x820
        .equ    UART_SPI_BIT,   1 << 1          // interrupt 33

        .equ    PSCI_SYSTEM_OFF, 0x84000008

        .text
// ---- header of an arm64 Linux Image
start:  b       main
        .word   0
        .quad   0                               // text offset
        .quad   end - start                     // size in memory
        .quad   0xa                             // little endian, 4 KiB pages, anywhere in RAM
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .word   0

main:   adr     x28, stack_top
        mov     sp, x28
        mov     x27, x0                         // the device tree's address
        ldr     x26, =UART
        bl      uart_init
        bl      gic_init
        adr     x0, text_greeting
        bl      puts
        bl      show_id
        adr     x0, text_help
        bl      puts
prompt: adr     x0, text_prompt
        bl      puts

next_key:
        bl      getc
        mov     w19, w0
        cmp     w19, #'\r'
        b.eq    new_line
        cmp     w19, #'\n'
        b.eq    new_line
        mov     w0, w19                         // echo
        bl      putc
        cmp     w19, #'h'
        b.eq    do_help
        cmp     w19, #'i'
        b.eq    do_id
        cmp     w19, #'t'
        b.eq    do_time
        cmp     w19, #'q'
        b.eq    do_quit
        b       next_key

new_line:
        adr     x0, text_newline
        bl      puts
        b       prompt

do_help:
        adr     x0, text_newline
        bl      puts
        adr     x0, text_help
        bl      puts
        b       prompt

do_id:  adr     x0, text_newline
        bl      puts
        bl      show_id
        b       prompt

do_time:
        adr     x0, text_counter
        bl      puts
        isb
        mrs     x0, cntvct_el0
        bl      put_decimal
        adr     x0, text_frequency
        bl      puts
        mrs     x0, cntfrq_el0
        bl      put_decimal
        adr     x0, text_hertz
        bl      puts
        b       prompt

do_quit:
        adr     x0, text_bye
        bl      puts
        ldr     w0, =PSCI_SYSTEM_OFF
        hvc     #0
halt:   wfi                                     // not reached where PSCI is there
        b       halt

// ---- what the machine says about itself
show_id:
        stp     x29, x30, [sp, #-16]!
        adr     x0, text_midr
        bl      puts
        mrs     x0, midr_el1
        bl      put_hex
        adr     x0, text_mpidr
        bl      puts
        mrs     x0, mpidr_el1
        bl      put_hex
        adr     x0, text_el
        bl      puts
        mrs     x0, CurrentEL
        lsr     x0, x0, #2
        bl      put_decimal
        adr     x0, text_dtb
        bl      puts
        mov     x0, x27
        bl      put_hex
        adr     x0, text_newline
        bl      puts
        ldp     x29, x30, [sp], #16
        ret

// ---- devices
uart_init:
        mov     w0, #CR_ENABLE
        str     w0, [x26, #UART_CR]
        mov     w0, #IMSC_RX
        str     w0, [x26, #UART_IMSC]
        ret

gic_init:
        ldr     x1, =GIC_DIST
        mov     w0, #UART_SPI_BIT
        str     w0, [x1, #GICD_ISENABLER1]
        mov     w0, #0x0100                     // interrupt 33 goes to CPU 0
        str     w0, [x1, #GICD_ITARGETSR8]
        mov     w0, #1
        str     w0, [x1]
        ldr     x1, =GIC_CPU
        mov     w0, #0xff                       // let every priority through
        str     w0, [x1, #4]
        mov     w0, #1
        str     w0, [x1]
        ret

// putc: w0 = character.  Uses w1.
putc:   ldr     w1, [x26, #UART_FR]
        tbnz    w1, #FR_TXFF, putc
        str     w0, [x26, #UART_DR]
        ret

// getc: waits for a key, returns it in w0.
getc:   ldr     w1, [x26, #UART_FR]
        tbz     w1, #FR_RXFE, got_key
        wfi
        b       getc
got_key:
        ldr     w0, [x26, #UART_DR]
        and     w0, w0, #0xff
        ret

// ---- output of text and numbers
// puts: x0 = text that ends with a zero byte.  Uses x0-x2.
puts:   mov     x2, x0
        mov     x3, x30
puts_next:
        ldrb    w0, [x2], #1
        cbz     w0, puts_done
        bl      putc
        b       puts_next
puts_done:
        ret     x3

// put_hex: x0 in 16 digits.
put_hex:
        mov     x3, x30
        mov     x2, x0
        mov     w4, #60
hex_digit:
        lsr     x0, x2, x4
        and     x0, x0, #0xf
        adr     x5, digits
        ldrb    w0, [x5, x0]
        bl      putc
        subs    w4, w4, #4
        b.pl    hex_digit
        ret     x3

// put_decimal: x0 without leading zeros.
put_decimal:
        mov     x3, x30
        adr     x2, number_end
        mov     x5, #10
decimal_digit:
        udiv    x4, x0, x5
        msub    x1, x4, x5, x0                  // the remainder
        add     w1, w1, #'0'
        strb    w1, [x2, #-1]!
        mov     x0, x4
        cbnz    x0, decimal_digit
        mov     x30, x3
        mov     x0, x2
        b       puts

        .ltorg

digits: .ascii  "0123456789abcdef"
text_greeting:
        .ascii  "\r\n"
        .asciz  "Hello from the demo guest: 64-bit Arm code, run by your emulator.\r\n"
text_help:
        .asciz  "Keys: h help, i identify the CPU, t counter, q power off; others are echoed.\r\n"
text_prompt:
        .asciz  "demo> "
text_newline:
        .asciz  "\r\n"
text_midr:
        .asciz  "MIDR_EL1 0x"
text_mpidr:
        .asciz  ", MPIDR_EL1 0x"
text_el:
        .asciz  ", EL"
text_dtb:
        .asciz  ", device tree at 0x"
text_counter:
        .asciz  "\r\nCounter "
text_frequency:
        .asciz  " at "
text_hertz:
        .asciz  " Hz\r\n"
text_bye:
        .asciz  "\r\nBye.\r\n"

number: .skip   20                              // the longest 64-bit number
number_end:
        .byte   0
        .balign 16
        .skip   256
stack_top:
end:
