/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Enters a guest and returns from it. */
#include "layout.h"

    .text
    .code64

/* void svm_enter(uint64_t vmcb_spa, struct svm_registers *): VMRUN under guard, as in insn.h. */
    .global svm_enter
svm_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi
    mov %rdi, %rax
    movq $vmrun_point, %gs:CPU_GUARD_RIP
    movq $vmrun_done, %gs:CPU_GUARD_RESUME
    movq $-1, %gs:CPU_TRAP_VECTOR
    mov (%rsi), %rbx
    mov 8(%rsi), %rcx
    mov 16(%rsi), %rdx
    mov 32(%rsi), %rdi
    mov 40(%rsi), %rbp
    mov 48(%rsi), %r8
    mov 56(%rsi), %r9
    mov 64(%rsi), %r10
    mov 72(%rsi), %r11
    mov 80(%rsi), %r12
    mov 88(%rsi), %r13
    mov 96(%rsi), %r14
    mov 104(%rsi), %r15
    mov 24(%rsi), %rsi
vmrun_point:
    vmrun %rax
vmrun_done:
    /* GS and the like, as the guest may have left them. */
    mov svm_host_state, %rax
    test %rax, %rax
    jz 2f
    vmload %rax
2:  xchg %rsi, (%rsp)
    mov %rbx, (%rsi)
    mov %rcx, 8(%rsi)
    mov %rdx, 16(%rsi)
    pop 24(%rsi)
    mov %rdi, 32(%rsi)
    mov %rbp, 40(%rsi)
    mov %r8, 48(%rsi)
    mov %r9, 56(%rsi)
    mov %r10, 64(%rsi)
    mov %r11, 72(%rsi)
    mov %r12, 80(%rsi)
    mov %r13, 88(%rsi)
    mov %r14, 96(%rsi)
    mov %r15, 104(%rsi)
    movq $0, %gs:CPU_GUARD_RIP
    /* Set GIF again after a #VMEXIT only: a VMRUN that faulted kept it, and STGI needs SVME. */
    cmpq $-1, %gs:CPU_TRAP_VECTOR
    jne 1f
    stgi
1:  pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
