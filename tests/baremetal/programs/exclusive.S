// The exclusive monitor on one CPU: what lets a store-exclusive succeed, what makes it fail.  The memory is Normal (MMU on).
        .include "runtime.S"
        .include "pagetable.S"

        .set    TCR,    TCR_GRANULE | TCR_IPS_40 | 25 | TCR_EPD1
        .set    VA,     0x6000000000
        .set    ALIAS,  0x6100000000

// w10 = 0 where the store was done; then what is in memory.
.macro  RESULT  name
        ldp     x11, x12, [x20]
        LOG     "\name"
        SHOW    "status", x10
        SHOW    "memory", x11
        SHOW    "memory", x12
        NL
        mov     x11, #0x11
        mov     x12, #0x22
        stp     x11, x12, [x20]
        clrex
        mov     x10, #-1
.endm

main:
        str     x30, [sp, #-16]!
        SPACE   low, 25
        MAP_PROGRAM low
        MAP     low, VA, 3, TEST_PA | LEAF | NORMAL
        MAP     low, ALIAS, 3, TEST_PA | LEAF | NORMAL
        MMU_ON  low, none, TCR
        LI      x20, VA
        LI      x21, ALIAS
        mov     x9, #0x99
        mov     x10, #-1
        RESULT  "start"
        bl      success
        bl      failure
        bl      loops
        bl      mmu_off
        ldr     x30, [sp], #16
        ret
        .ltorg

success:
        str     x30, [sp, #-16]!
        ldxr    x11, [x20]
        stxr    w10, x9, [x20]
        RESULT  "x"
        ldxr    w11, [x20]
        stxr    w10, w9, [x20]
        RESULT  "w"
        ldxrh   w11, [x20]
        stxrh   w10, w9, [x20]
        RESULT  "h"
        ldxrb   w11, [x20]
        stxrb   w10, w9, [x20]
        RESULT  "b"
        ldaxr   x11, [x20]
        stlxr   w10, x9, [x20]
        RESULT  "acquire, release"
        ldxp    x11, x12, [x20]
        stxp    w10, x9, x9, [x20]
        RESULT  "pair"
        ldxp    w11, w12, [x20]
        stxp    w10, w9, w9, [x20]
        RESULT  "pair w"
        ldaxp   x11, x12, [x20]
        stlxp   w10, x9, x9, [x20]
        RESULT  "pair, acquire, release"
        ldxr    x11, [x20]
        ldr     x12, [x20]
        stxr    w10, x9, [x20]
        RESULT  "plain load between"
        ldxr    x11, [x20, #0]
        ldxr    x12, [x20]
        stxr    w10, x9, [x20]
        RESULT  "two loads"
        ldxr    x11, [x20]
        stxr    w10, xzr, [x20]
        RESULT  "zero register"
        ldr     x30, [sp], #16
        ret
        .ltorg

failure:
        str     x30, [sp, #-16]!
        stxr    w10, x9, [x20]
        RESULT  "no load"
        ldxr    x11, [x20]
        stxr    w10, x9, [x20]
        stxr    w10, x9, [x20]
        RESULT  "second store"
        ldxr    x11, [x20]
        clrex
        stxr    w10, x9, [x20]
        RESULT  "clrex"
        add     x22, x20, #0x100
        ldxr    x11, [x22]
        stxr    w10, x9, [x20]
        RESULT  "other address"
        ldxr    x11, [x20]
        ldxr    x11, [x22]
        stxr    w10, x9, [x20]
        RESULT  "later load elsewhere"
        ldxr    x11, [x20]
        mov     x12, #0x33
        str     x12, [x20]
        stxr    w10, x9, [x20]
        RESULT  "another value stored between"
        // Exceptions: the return clears the monitor.
        ldxr    x11, [x20]
        TRY     "svc between", "svc #1"
        stxr    w10, x9, [x20]
        RESULT  "svc between"
        ldxr    x11, [x20]
        adr     x12, 1f
        msr     elr_el1, x12
        mov     x12, #PSTATE_EL1H
        msr     spsr_el1, x12
        eret
1:      stxr    w10, x9, [x20]
        RESULT  "eret between"
        ldr     x30, [sp], #16
        ret
        .ltorg

// The loop that everybody writes.
loops:
        str     x30, [sp, #-16]!
        mov     x22, #50
        str     xzr, [x20]
1:      ldaxr   w11, [x20]
        add     w11, w11, #3
        stlxr   w10, w11, [x20]
        cbnz    w10, 1b
        subs    x22, x22, #1
        b.ne    1b
        ldr     w11, [x20]
        LOG     "counter"
        SHOW    "n", x11
        NL
        // Compare and swap, equal and not.
        mov     x22, #2
2:      mov     x13, #150
3:      ldxr    x11, [x20]
        cmp     x11, x13
        b.ne    4f
        stxr    w10, x22, [x20]
        cbnz    w10, 3b
        b       5f
4:      clrex
5:      LOG     "swap"
        SHOW    "old", x11
        NL
        subs    x22, x22, #1
        b.ne    2b
        ldr     x30, [sp], #16
        ret
        .ltorg
