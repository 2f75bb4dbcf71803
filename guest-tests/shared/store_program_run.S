/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Enters and leaves a random program, with all registers. All addresses are RIP-relative. */
#define GPR(number) store_registers + 8 * (number)(%rip)
#define RFLAGS store_registers + 128(%rip)
#define XMM(number) store_registers + 144 + 16 * (number)(%rip)

    .text
    .global store_program_run, store_program_exit
    .hidden store_registers
store_program_run:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    pushfq
    mov %rsp, caller_stack(%rip)
    fninit
    ldmxcsr default_mxcsr(%rip)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups store_registers + 144 + 16 * \n(%rip), %xmm\n
    .endr
    pushq RFLAGS
    popfq
    mov GPR(0), %rax
    mov GPR(1), %rcx
    mov GPR(2), %rdx
    mov GPR(3), %rbx
    mov GPR(4), %rsp
    mov GPR(5), %rbp
    mov GPR(6), %rsi
    mov GPR(7), %rdi
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov store_registers + 8 * \n(%rip), %r\n
    .endr
    jmp *program_entry(%rip)
store_program_exit:
    mov %rax, GPR(0)
    mov %rcx, GPR(1)
    mov %rdx, GPR(2)
    mov %rbx, GPR(3)
    mov %rsp, GPR(4)
    mov %rbp, GPR(5)
    mov %rsi, GPR(6)
    mov %rdi, GPR(7)
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov %r\n, store_registers + 8 * \n(%rip)
    .endr
    mov caller_stack(%rip), %rsp
    pushfq
    popq RFLAGS
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups %xmm\n, store_registers + 144 + 16 * \n(%rip)
    .endr
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .data
    .align 8
program_entry:
    .quad 0x200000200000 /* STORE_CODE */
caller_stack:
    .quad 0
default_mxcsr:
    .long 0x1f80

    .section .note.GNU-stack, "", @progbits
