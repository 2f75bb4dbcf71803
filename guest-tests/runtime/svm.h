/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SVM guests of this host: a 64-bit guest with nested paging and 6 MiB of memory. A test provides
 * the guest's code as bytes. Every exception, HLT, VMMCALL, port I/O, CPUID and shutdown are
 * intercepted.
 */
#ifndef RUNTIME_SVM_H
#define RUNTIME_SVM_H

#include <stddef.h>
#include <stdint.h>

#include "insn.h"
#include "memory.h"

#define EFER_SVME (1ul << 12)

/* Exit codes. */
#define EXIT_EXCEPTION(vector) (0x40ul + (vector))
#define EXIT_INTR 0x60ul
#define EXIT_CPUID 0x72ul
#define EXIT_PAUSE 0x77ul
#define EXIT_HLT 0x78ul
#define EXIT_IOIO 0x7bul
#define EXIT_MSR 0x7cul
#define EXIT_SHUTDOWN 0x7ful
#define EXIT_VMRUN 0x80ul
#define EXIT_VMMCALL 0x81ul
#define EXIT_NPF 0x400ul
#define EXIT_VMGEXIT 0x403ul
#define EXIT_INVALID (~0ul)

/* EXITINFO1 of EXIT_NPF, besides the bits of a #PF error code. */
#define NPF_FINAL (1ul << 32) /* the guest's final physical address */
#define NPF_WALK (1ul << 33)  /* a page table of the guest */

#define NESTED_PAGING (1ul << 0)
#define NESTED_SEV (1ul << 1)
#define NESTED_SEV_ES (1ul << 2)

enum {
    TLB_KEEP = 0,
    TLB_FLUSH_ALL = 1,
    TLB_FLUSH_GUEST = 3,
    TLB_FLUSH_GUEST_NON_GLOBAL = 7,
};

struct __attribute__((packed)) vmcb_segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

/* APM2 appendix B: control area, then save area. */
struct __attribute__((packed)) vmcb {
    uint32_t intercept_cr, intercept_dr, intercept_exceptions;
    uint32_t intercept_misc1, intercept_misc2, intercept_misc3;
    uint8_t reserved_018[0x40 - 0x18];
    uint64_t iopm_base, msrpm_base, tsc_offset;
    uint32_t asid;
    uint8_t tlb_control, reserved_05d[3];
    uint64_t interrupt_control, interrupt_shadow;
    uint64_t exit_code, exit_info1, exit_info2, exit_interrupt_info;
    uint64_t nested_control;
    uint64_t reserved_098, ghcb;
    uint64_t event_injection, nested_cr3, lbr_control, clean, next_rip;
    uint8_t reserved_0d0[0x108 - 0xd0];
    uint64_t vmsa;
    uint8_t reserved_110[0x400 - 0x110];
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_4a0[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved_4cc;
    uint64_t efer;
    uint8_t reserved_4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_580[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t reserved_5e0[0x5f8 - 0x5e0];
    uint64_t rax;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved_648[0x668 - 0x648];
    uint64_t g_pat;
    uint8_t reserved_670[0x1000 - 0x670];
};
_Static_assert(offsetof(struct vmcb, nested_cr3) == 0xb0, "control area");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "save area");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "save area");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "save area");
_Static_assert(sizeof(struct vmcb) == PAGE_4K, "the VMCB is one page");

/* The registers that VMRUN does not load and save, in the order of svm_vmrun.S. */
struct svm_registers {
    uint64_t rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};

/*
 * Guest-physical memory, mapped one to one by the guest's own tables:
 *   0-2M  tables, code, stack    4 KiB nested pages (2 MiB in the guest's tables)
 *   2M-4M test pages             4 KiB nested pages, 4 KiB in the guest's tables
 *   4M-6M test pages             one 2 MiB nested page, 2 MiB in the guest's tables
 */
#define GUEST_TABLES 0x1000ul /* level 4, 3, 2, 1 */
#define GUEST_LEVEL1 (GUEST_TABLES + 3 * PAGE_4K)
#define GUEST_CODE 0x8000ul
#define GUEST_STACK_TOP 0xb000ul
#define GUEST_SMALL PAGE_2M
#define GUEST_LARGE (2 * PAGE_2M)
#define GUEST_MEMORY (3 * PAGE_2M)

struct svm_guest {
    struct vmcb *vmcb; /* mapped one to one, not 2 MiB aligned */
    uint64_t memory;   /* SPA of guest-physical address 0, 2 MiB aligned */
    uint64_t nested;   /* SPA of the nested tables: level 4, 3, 2, two of level 1 */
    uint64_t iopm;     /* SPA of the I/O permission map: all ports are intercepted */
    uint64_t msrpm;    /* SPA of the MSR permission map: no MSR is intercepted */
    struct svm_registers registers;
};
enum { NESTED_TABLES = 5 };

/* Guest code in a test: SVM_CODE(name, "assembly") defines a struct svm_code with this name. */
struct svm_code {
    const uint8_t *start, *end;
};
#define SVM_CODE(name, text)                                                                       \
    __asm__(".pushsection .rodata\n" #name "_start:\n\t" text "\n" #name "_end:\n.popsection");    \
    extern const uint8_t name##_start[], name##_end[];                                             \
    static const struct svm_code name = {name##_start, name##_end}

/* Set EFER.SVME and VM_HSAVE_PA on every CPU. Done only once. */
void svm_enable(void);

/* Allocate and initialise a guest. */
void svm_create(struct svm_guest *guest);

/* Copy code to GUEST_CODE, set RIP and RSP for its start, and clear the general registers. */
void svm_load(struct svm_guest *guest, const struct svm_code *code);

/*
 * Run the guest until the next #VMEXIT and return the exit code. If VMRUN itself raises an
 * exception, it is in this_cpu()->trap_vector and the exit code does not change.
 */
uint64_t svm_run(struct svm_guest *guest);

/*
 * Where the host's FS, GS, TR, LDTR and MSRs of system calls are saved, by VMSAVE on this CPU.
 * While it is not 0, every #VMEXIT is followed by a VMLOAD of it: for guests that may have changed
 * them.
 */
extern uint64_t svm_host_state;

/* The nested entry of a 4 KiB page below GUEST_LARGE. */
uint64_t *svm_nested_entry(const struct svm_guest *guest, uint64_t gpa);

static inline void *svm_memory(const struct svm_guest *guest, uint64_t gpa)
{
    return (void *)(guest->memory + gpa);
}

/* VMRUN of any address. Registers are loaded before it and stored after it. */
void svm_enter(uint64_t vmcb_spa, struct svm_registers *registers);

DEFINE_INSN(insn_vmload, "vmload %%rax")
DEFINE_INSN(insn_vmsave, "vmsave %%rax")

#endif
