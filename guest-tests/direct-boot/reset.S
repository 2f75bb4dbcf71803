/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last page of the ROM: what the hypervisor reads at its end, and the way from the reset vector
 * to 64-bit code in low memory. Without paging all memory is private. There is nobody to tell of a
 * problem yet, so each ends in an exception that cannot be delivered, which ends the guest.
 */
#include "layout.h"
#include "runtime/layout.h"
#include "runtime/sev_guest.h"

#define SEV_STATUS_SNP 0x4
#define CR0_PROTECTED 0x1
#define CR0_PAGING 0x80010001 /* PG WP PE */
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define PRESENT_WRITABLE 0x3
#define LARGE 0x80
#define IN_SEGMENT(label) (label - page + 0xf000) /* of CS after a reset, whose base is ROM */

    .section .reset, "ax"
page:
    .code16
start:
    cli
    cld
    lgdtl %cs:IN_SEGMENT(gdt_pointer)
    mov %cr0, %eax
    or $CR0_PROTECTED, %eax
    mov %eax, %cr0
    ljmpl $SELECTOR_CODE32, $start32

/* The other CPUs, until Linux has made new register states for them. */
other_cpu:
    cli
    hlt
    jmp other_cpu

    .code32
start32:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss

    mov $MSR_SEV_STATUS, %ecx
    rdmsr
    test $SEV_STATUS_SNP, %eax
    jz refuse

    mov $rom, %esi
    mov $work, %edi
    mov $work_copied_bytes, %ecx
    rep movsb

    /* The C-bit's position, from the page that the secure processor has checked. */
    mov CPUID_PAGE, %ecx
    cmp $CPUID_MOST_ENTRIES, %ecx
    ja refuse
    mov $CPUID_PAGE + CPUID_HEADER_BYTES, %esi
find_encryption:
    jecxz refuse
    cmpl $CPUID_ENCRYPTION, (%esi)
    je found_encryption
    add $CPUID_ENTRY_BYTES, %esi
    dec %ecx
    jmp find_encryption
refuse:
    ud2
found_encryption:
    mov CPUID_ENTRY_EBX(%esi), %ecx
    and $0x3f, %ecx
    sub $32, %ecx
    jb refuse
    mov $1, %edx
    shl %cl, %edx /* the upper half of a page table entry */

    /* The first 4 GiB, one to one. Memory from the launch is zero. */
    movl $page_directory_pointers + PRESENT_WRITABLE, page_table_root
    mov %edx, page_table_root + 4
    mov $page_directory_pointers, %edi
    mov $page_directories + PRESENT_WRITABLE, %eax
    mov $4, %ecx
fill_pointers:
    mov %eax, (%edi)
    mov %edx, 4(%edi)
    add $PAGE_BYTES, %eax
    add $8, %edi
    loop fill_pointers
    mov $page_directories, %edi
    mov $PRESENT_WRITABLE + LARGE, %eax
    mov $4 * 512, %ecx
fill_directories:
    mov %eax, (%edi)
    mov %edx, 4(%edi)
    add $LARGE_PAGE_BYTES, %eax
    add $8, %edi
    loop fill_directories

    mov %edx, %ebx
    mov $page_table_root, %eax
    mov %eax, %cr3
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_PAGING, %eax
    mov %eax, %cr0
    ljmp $SELECTOR_CODE64, $start64

    .align 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 32-bit code */
    .quad 0x00af9b000000ffff /* 64-bit code */
    .quad 0x00cf93000000ffff /* data */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long RESET_PAGE + (gdt - page)

/* For the hypervisor, found from the end of the ROM: names as in memory, each behind its entry. */
.macro guid a, b, c, d, e, f, g, h, i, j, k
    .long \a
    .word \b, \c
    .byte \d, \e, \f, \g, \h, \i, \j, \k
.endm
#define TABLE_BYTES 88

metadata:
    .ascii "ASEV"
    .long metadata_end - metadata, 1, 4
    .long SECRETS_PAGE, PAGE_BYTES, 2
    .long CPUID_PAGE, PAGE_BYTES, 3
    .long HASHES_PAGE, PAGE_BYTES, 0x10
    .long WORK, work_bytes, 1
metadata_end:

    .org PAGE_BYTES - 32 - TABLE_BYTES
table:
    .long page + PAGE_BYTES - metadata
    .word 22 /* SEV metadata */
    guid 0xdc886566, 0x984a, 0x4798, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc
    .long HASHES_PAGE, PAGE_BYTES
    .word 26 /* where the hashes of kernel, initrd and command line go */
    guid 0x7255371f, 0x3a3b, 0x4b04, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54
    .long RESET_PAGE + (other_cpu - page)
    .word 22 /* where the other CPUs start */
    guid 0x00f771de, 0x1a7e, 0x4fcb, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e
    .word TABLE_BYTES
    guid 0x96b582de, 0x1fb2, 0x45f7, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d

    .org PAGE_BYTES - 16
    .global reset_vector
    .code16
reset_vector:
    jmp start
    .org PAGE_BYTES

/* From here on in low memory. */
    .text
    .code64
start64:
    mov $stack_top, %esp
    mov %ebx, %edi
    shl $32, %rdi
    call boot
    ud2

/* void start_kernel(uint64_t entry, struct boot_params *): Linux's 64-bit boot protocol. */
    .global start_kernel
start_kernel:
    jmp *%rdi

    .bss
    .align PAGE_BYTES
    .global page_directory_pointers, page_directories
page_table_root:
    .skip PAGE_BYTES
page_directory_pointers:
    .skip PAGE_BYTES
page_directories:
    .skip 4 * PAGE_BYTES
    .skip STACK_BYTES
stack_top:

    .section .note.GNU-stack, "", @progbits
