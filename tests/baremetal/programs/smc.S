// Code that is written and then run, with the cache maintenance that the architecture asks for.  The MMU is off.
        .include "runtime.S"

        .set    ROUNDS, 40

// Makes the code at x_address visible to instruction fetch.
.macro  SYNC    address
        dc      cvau, \address
        dsb     ish
        ic      ivau, \address
        dsb     ish
        isb
.endm

main:
        str     x30, [sp, #-16]!
        bl      patch_called
        bl      patch_loop
        bl      patch_ahead
        bl      page_end
        bl      copies
        bl      data_beside_code
        bl      store_kinds
        bl      jit
        bl      undefined
        ldr     x30, [sp], #16
        ret

// One instruction of a function changes before each call.
patch_called:
        str     x30, [sp, #-16]!
        ADDR    x20, code
        LI      x1, 0xd65f03c0                  // ret
        str     w1, [x20, #4]
        mov     x21, #0
        mov     x22, #0
1:      LI      x1, 0x52800000                  // mov w0, #0
        orr     w1, w1, w22, lsl #5
        str     w1, [x20]
        SYNC    x20
        blr     x20
        add     x21, x21, x0
        add     x22, x22, #1
        cmp     x22, #ROUNDS
        b.ne    1b
        LOG     "patch called"
        SHOW    "sum", x21
        NL
        ldr     x30, [sp], #16
        ret

// A loop rewrites an instruction of its own body: odd rounds add, even rounds subtract.
patch_loop:
        str     x30, [sp, #-16]!
        mov     x21, #1000
        mov     x22, #0
        adr     x20, 2f
        LI      x2, 0x8b1602b5                  // add x21, x21, x22
        LI      x3, 0xcb1602b5                  // sub x21, x21, x22
1:      tst     x22, #1
        csel    x1, x2, x3, ne
        str     w1, [x20]
        SYNC    x20
2:      nop
        add     x22, x22, #1
        cmp     x22, #ROUNDS + 1
        b.ne    1b
        LOG     "patch loop"
        SHOW    "sum", x21
        NL
        ldr     x30, [sp], #16
        ret

// The store and the instruction that it changes stand in one straight line, first with an ISB between, then with a branch.
patch_ahead:
        str     x30, [sp, #-16]!
        adr     x20, 1f
        LI      x1, 0xd2800020                  // mov x0, #1
        mov     x0, #0
        str     w1, [x20]
        SYNC    x20
1:      mov     x0, #2
        LOG     "patch ahead"
        SHOW    "x0", x0
        adr     x20, 2f
        LI      x1, 0xd2800060                  // mov x0, #3
        str     w1, [x20]
        SYNC    x20
        b       2f
        udf     #0
2:      mov     x0, #4
        SHOW    "x0", x0
        NL
        ldr     x30, [sp], #16
        ret

// A function of four instructions lies across the end of a page; each of its words is patched in turn.
page_end:
        str     x30, [sp, #-16]!
        ADDR    x20, code + 0x1000 - 8
        LI      x1, 0x91000400                  // add x0, x0, #1
        LI      x2, 0xd65f03c0                  // ret
        stp     w1, w1, [x20]
        stp     w1, w2, [x20, #8]
        SYNC    x20
        add     x9, x20, #8
        SYNC    x9
        mov     x21, #0
1:      mov     x0, #0
        blr     x20
        LOG     "page end"
        SHOW    "x0", x0
        NL
        cmp     x21, #12
        b.eq    2f
        LI      x1, 0x91040000                  // add x0, x0, #0x100
        add     x9, x20, x21
        str     w1, [x9]
        SYNC    x9
        add     x21, x21, #4
        b       1b
2:      // The last instruction of the page is a branch taken and not taken over the boundary.
        ADDR    x20, code + 0x2000 - 4
        LI      x1, 0xb5000040                  // cbnz x0, . + 8
        LI      x2, 0xd65f03c0                  // ret
        LI      x3, 0x91000c00                  // add x0, x0, #3
        str     w1, [x20]
        str     w3, [x20, #4]
        str     w2, [x20, #8]
        SYNC    x20
        add     x9, x20, #4
        SYNC    x9
        mov     x0, #0
        blr     x20
        mov     x4, x0
        mov     x0, #7
        blr     x20
        LOG     "branch at page end"
        SHOW    "fall", x4
        SHOW    "taken", x0
        NL
        ldr     x30, [sp], #16
        ret

// Two functions are copied to one place alternately, as an overlay loader does.
overlay_a:
        mov     x0, #10
        add     x0, x0, x1
        ret
overlay_b:
        mov     x0, #5
        mul     x0, x0, x1
        ret
copies:
        str     x30, [sp, #-16]!
        ADDR    x20, code + 0x3000
        mov     x21, #0
        mov     x22, #0
1:      adr     x9, overlay_a
        adr     x10, overlay_b
        tst     x22, #1
        csel    x9, x9, x10, eq
        ldp     w11, w12, [x9]
        stp     w11, w12, [x20]
        ldr     w11, [x9, #8]
        str     w11, [x20, #8]
        SYNC    x20
        mov     x1, x22
        blr     x20
        add     x21, x21, x0
        add     x22, x22, #1
        cmp     x22, #ROUNDS
        b.ne    1b
        LOG     "copies"
        SHOW    "sum", x21
        NL
        // The same at a new address each time: nothing has ever run there.
        mov     x21, #0
        mov     x22, #0
2:      ADDR    x20, code + 0x4000
        add     x20, x20, x22, lsl #6
        adr     x9, overlay_a
        ldp     w11, w12, [x9]
        stp     w11, w12, [x20]
        ldr     w11, [x9, #8]
        str     w11, [x20, #8]
        SYNC    x20
        mov     x1, x22
        blr     x20
        add     x21, x21, x0
        add     x22, x22, #1
        cmp     x22, #ROUNDS
        b.ne    2b
        LOG     "fresh"
        SHOW    "sum", x21
        NL
        ldr     x30, [sp], #16
        ret

// A counter in the page of the code that counts: no instruction changes, but every store hits a page of code.
data_beside_code:
        str     x30, [sp, #-16]!
        adr     x20, counter
        mov     x22, #0
1:      ldr     x0, [x20]
        add     x0, x0, x22
        str     x0, [x20]
        add     x22, x22, #1
        cmp     x22, #ROUNDS
        b.ne    1b
        ldr     x0, [x20]
        LOG     "data beside code"
        SHOW    "counter", x0
        NL
        ldr     x30, [sp], #16
        ret
        .balign 8
counter:
        .quad   0

// x20 = "mov x0, #n; ret"; runs it after each kind of store has changed n.
.macro  STORED  name
        SYNC    x20
        blr     x20
        LOG     "\name"
        SHOW    "x0", x0
        NL
.endm
store_kinds:
        str     x30, [sp, #-16]!
        mov     x9, #0x300000
        msr     cpacr_el1, x9
        isb
        ADDR    x20, code + 0x8000
        LI      x1, 0xd65f03c0d2800020          // mov x0, #1; ret
        str     x1, [x20]
        STORED  "str x"
        mov     w2, #0x40
        strb    w2, [x20]
        STORED  "strb"
        mov     w2, #0x60
        strh    w2, [x20]
        STORED  "strh"
        LI      x2, 0xd2800080
        str     w2, [x20]
        STORED  "str w"
        add     x1, x1, #0x80                   // mov x0, #5
        stp     x1, x1, [x20]
        STORED  "stp"
        add     x1, x1, #0x20
1:      ldxr    x2, [x20]
        stxr    w3, x1, [x20]
        cbnz    w3, 1b
        STORED  "stxr"
        add     x1, x1, #0x20
        stlr    x1, [x20]
        STORED  "stlr"
        add     x1, x1, #0x20
        fmov    d0, x1
        str     d0, [x20]
        STORED  "str d"
        add     x1, x1, #0x20
        dup     v0.2d, x1
        str     q0, [x20]
        STORED  "str q"
        add     x1, x1, #0x20
        dup     v0.2d, x1
        st1     {v0.2d}, [x20]
        STORED  "st1"
        add     x1, x1, #0x20
        fmov    d0, x1
        st1     {v0.d}[0], [x20]
        STORED  "st1 lane"
        add     x1, x1, #0x20
        sttr    x1, [x20]
        STORED  "sttr"
        add     x1, x1, #0x20
        str     x1, [x20], #8
        sub     x20, x20, #8
        STORED  "str post"
        msr     cpacr_el1, xzr
        isb
        ldr     x30, [sp], #16
        ret

// A tiny compiler: each byte of a program becomes one instruction on x0, and the whole is run.
jit:
        str     x30, [sp, #-16]!
        adr     x21, sources
        mov     x24, #0
1:      ADDR    x20, code + 0xa000
        mov     x22, x20
2:      ldrb    w9, [x21], #1
        cbz     w9, 4f
        LI      x1, 0x91000400                  // '+': add x0, x0, #1
        cmp     w9, #'+'
        b.eq    3f
        LI      x1, 0x8b000000                  // '*': add x0, x0, x0
        cmp     w9, #'*'
        b.eq    3f
        LI      x1, 0xaa2003e0                  // '~': mvn x0, x0
        cmp     w9, #'~'
        b.eq    3f
        LI      x1, 0xdac00c00                  // 'r': rev x0, x0
3:      str     w1, [x22]
        dc      cvau, x22
        add     x22, x22, #4
        b       2b
4:      LI      x1, 0xd65f03c0
        str     w1, [x22]
        dc      cvau, x22
        dsb     ish
        mov     x9, x20
5:      ic      ivau, x9
        add     x9, x9, #4
        cmp     x9, x22
        b.ls    5b
        dsb     ish
        isb
        mov     x0, #3
        blr     x20
        LOG     "jit"
        SHOW    "x0", x0
        NL
        add     x24, x24, #1
        cmp     x24, #6
        b.ne    1b
        ldr     x30, [sp], #16
        ret
sources:
        .asciz  "+"
        .asciz  "+*+*"
        .asciz  "~"
        .asciz  "*******r"
        .asciz  "+++++++++++++++++++++++++++++++++++++++++"
        .asciz  "~*+r~*"
        .balign 4

// Code turns into an undefined word, then back.
undefined:
        str     x30, [sp, #-16]!
        ADDR    x20, code + 0x8000
        TRY     "defined", "blr x20"
        ldr     w1, [x20]
        str     wzr, [x20]
        SYNC    x20
        TRY     "undefined", "blr x20"
        str     w1, [x20]
        SYNC    x20
        TRY     "defined again", "blr x20"
        ldr     x30, [sp], #16
        ret

        .section .arena, "aw", %nobits
        .balign 0x1000
code:   .skip   0x10000
