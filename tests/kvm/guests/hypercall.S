# The CPU interrupts itself (vector 0x40) by a hypercall, which is how Linux starts its CPUs' idle threads where CPUID says
# kvm-pv-ipi. A guest may do this from the kernel only.
.include "runtime.inc"
.globl start, vectors
.set LAPIC, 0xfee00000
.set KVM_FEATURES, 0x40000001
.set PV_IPI, 11
.set SEND_IPI, 10                   # KVM_HC_SEND_IPI
.code64
start:
    mov $KVM_FEATURES, %eax
    cpuid
    bt $PV_IPI, %eax
    jnc absent
    mov $LAPIC, %ebp
    movl $0x1ff, 0xf0(%rbp)         # enabled, spurious vector 0xff
    mov $SEND_IPI, %eax
    mov $1, %ebx                    # to APIC 0
    xor %ecx, %ecx
    xor %edx, %edx
    mov $0x40, %esi
    vmcall                          # on AMD CPUs KVM makes it a VMMCALL
    sti
    hlt
    exit 1                          # the handler does not come back
absent:
    putc '-'
    exit 0

handler:
    putc 'h'
    exit 0

.balign 16
vectors:
    vector 0x40, handler
    .org vectors + 4096
