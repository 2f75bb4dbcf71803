/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start-up code: from the PVH entry (boot CPU) or the start-up IPI (other CPUs) to 64-bit C. */
#include "layout.h"

#define CR0_PAGING 0x80010023 /* PG WP NE MP PE */
#define CR4_FLAGS 0x620 /* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900

    .section .note.pvh, "a", @note
    .align 4
    .long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad start32

    .text
    .code32
    .global start32
start32:
    cli
    cld
    mov $boot_stack_top, %esp
    mov %ebx, pvh_start_info
    mov $boot_start64, %esi
    jmp enter_long_mode

application_start32:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov application_stack, %esp
    mov $application_start64, %esi

/* ESI: the address to continue at in 64-bit mode. */
enter_long_mode:
    mov $page_table_root, %eax
    mov %eax, %cr3
    mov $CR4_FLAGS, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    mov $CR0_PAGING, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $SELECTOR_CODE64, $start64

    .code64
start64:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov %esp, %esp
    mov %esi, %esi
    xor %ebp, %ebp
    fninit
    jmp *%rsi

boot_start64:
    mov pvh_start_info(%rip), %edi
    call runtime_start
    ud2

application_start64:
    call application_main
    ud2

/* This is copied to TRAMPOLINE_ADDRESS, so it refers to everything by absolute address. */
    .code16
    .global trampoline_begin, trampoline_end
trampoline_begin:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl TRAMPOLINE_ADDRESS + (trampoline_gdt_pointer - trampoline_begin)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $SELECTOR_CODE32, $application_start32
    .align 4
trampoline_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

    .data
    .align 16
    .global gdt, gdt_pointer
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 32-bit code */
    .quad 0x00af9b000000ffff /* 64-bit code */
    .quad 0x00cf93000000ffff /* data */
    .quad 0x00cff3000000ffff /* user data */
    .quad 0x00affb000000ffff /* user 64-bit code */
    .quad 0x00cffb000000ffff /* user 32-bit code */
    .fill MAX_CPUS * 2, 8, 0 /* one TSS descriptor for each CPU */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .global application_stack
application_stack:
    .long 0
pvh_start_info:
    .long 0

/* The first 4 GiB, mapped one to one by 2 MiB pages. */
    .align 4096
    .global page_table_root
page_table_root:
    .quad low_directory_pointers + 7
    .fill 511, 8, 0
low_directory_pointers:
    .quad low_directories + 7, low_directories + 0x1007
    .quad low_directories + 0x2007, low_directories + 0x3007
    .fill 508, 8, 0
low_directories:
    .set frame, 0
    .rept 2048
    .quad frame + 0x83
    .set frame, frame + 0x200000
    .endr

    .bss
    .align 4096
    .fill 65536
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
