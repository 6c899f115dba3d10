// Self-hosted debug.  Include after runtime.S.
        .set    MDSCR_SS,       1 << 0
        .set    MDSCR_KDE,      1 << 13
        .set    MDSCR_MDE,      1 << 15
        .set    SPSR_SS,        1 << 21

        // Breakpoint and watchpoint controls; PMC and PAC share their place.
        .set    DBG_E,          1 << 0
        .set    DBG_EL1,        1 << 1
        .set    DBG_EL0,        2 << 1
        .set    DBG_BOTH,       3 << 1
        .set    BCR_WORD,       15 << 5
        .set    WCR_LOAD,       1 << 3
        .set    WCR_STORE,      2 << 3
        .set    WCR_ALL,        255 << 5

.macro  WRITE   sysreg:req, value:vararg        // loses x9
        LI      x9, \value
        msr     \sysreg, x9
        isb
.endm
