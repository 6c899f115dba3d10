# kvmclock: the time that KVM keeps in a page of the guest's, twice; and CPUID, whose leaf 0 is printed.
.include "runtime.inc"
.globl start
.set PAGE, 0x5000
.code64
start:
    mov $0x40000000, %eax
    cpuid
    cmp $0x4b4d564b, %ebx           # "KVMK"
    check 1
    mov $0x4b564d01, %ecx
    mov $PAGE | 1, %eax
    xor %edx, %edx
    wrmsr
    mov PAGE + 16, %rbx             # system_time, when the page was filled
    testl $1, PAGE                  # an even version: not being changed
    check 2
    mov PAGE + 8, %rax              # tsc_timestamp
    test %rax, %rax
    jnz 1f
    exit 3
1:  xor %eax, %eax
    cpuid
    mov %ebx, (0x4000)
    mov %edx, (0x4004)
    mov %ecx, (0x4008)
    mov $0x4000, %rsi
    mov $12, %ecx
    mov $CONSOLE, %dx
    cld
    rep outsb
    exit 0
