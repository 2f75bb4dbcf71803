/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exception entry, entry to and exit from user mode, and save points. */
#include "layout.h"

    .text
    .code64

/* Each vector has sixteen bytes. Those without an error code push 0 in its place. */
    .align 16
    .global exception_stubs
exception_stubs:
    .set vector, 0
    .rept 32
    .align 16
    .if !((0x60227d00 >> vector) & 1)
    pushq $0
    .endif
    pushq $vector
    jmp exception_common
    .set vector, vector + 1
    .endr
    .rept 224
    .align 16
    pushq $0
    pushq $vector
    jmp exception_common
    .set vector, vector + 1
    .endr

    .align 16
exception_common:
    cld
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %cr2, %rax
    push %rax
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call trap_dispatch
    mov %rbx, %rsp
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

/*
 * void enter_user(const struct trap *state): run at CPL 3 with these registers. The next exception
 * at CPL 3 goes to leave_user, which returns to the caller of enter_user.
 */
    .global enter_user, leave_user
enter_user:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    pushfq
    mov %rsp, %gs:CPU_USER_RETURN_RSP
    pushq 176(%rdi) /* ss */
    pushq 168(%rdi) /* rsp */
    pushq 160(%rdi) /* rflags */
    pushq 152(%rdi) /* cs */
    pushq 144(%rdi) /* rip */
    mov 8(%rdi), %r15
    mov 16(%rdi), %r14
    mov 24(%rdi), %r13
    mov 32(%rdi), %r12
    mov 40(%rdi), %r11
    mov 48(%rdi), %r10
    mov 56(%rdi), %r9
    mov 64(%rdi), %r8
    mov 80(%rdi), %rsi
    mov 88(%rdi), %rbp
    mov 96(%rdi), %rbx
    mov 104(%rdi), %rdx
    mov 112(%rdi), %rcx
    mov 120(%rdi), %rax
    mov 72(%rdi), %rdi
    iretq
leave_user:
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* int save_point(struct save_point *): 0 at first, 1 when reached through resume_point(). */
    .global save_point, resume_point
save_point:
    mov %rbx, (%rdi)
    mov %rbp, 8(%rdi)
    mov %r12, 16(%rdi)
    mov %r13, 24(%rdi)
    mov %r14, 32(%rdi)
    mov %r15, 40(%rdi)
    mov %rsp, 48(%rdi)
    mov (%rsp), %rax
    mov %rax, 56(%rdi)
    xor %eax, %eax
    ret
resume_point:
    mov (%rdi), %rbx
    mov 8(%rdi), %rbp
    mov 16(%rdi), %r12
    mov 24(%rdi), %r13
    mov 32(%rdi), %r14
    mov 40(%rdi), %r15
    mov 48(%rdi), %rsp
    add $8, %rsp
    mov $1, %eax
    jmp *56(%rdi)

    .section .note.GNU-stack, "", @progbits
