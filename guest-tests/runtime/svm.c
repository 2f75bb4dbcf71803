// SPDX-License-Identifier: GPL-2.0-or-later
#include "svm.h"

#include "console.h"
#include "ktap.h"
#include "smp.h"
#include "snp.h"
#include "x86.h"

enum {
    ENTRY_PRESENT_WRITE_USER = 7,
    ENTRY_ACCESSED_DIRTY = 0x60,
    ENTRY_LARGE = 0x80,
    /* What no test wants to see changed by a walk. */
    ENTRY_FLAGS = ENTRY_PRESENT_WRITE_USER | ENTRY_ACCESSED_DIRTY,
    IOPM_PAGES = 3,
    MSRPM_PAGES = 2,
    CODE_SEGMENT = 0xa9b,
    DATA_SEGMENT = 0xc93,
    GUEST_ASID = 5,
};
#define INTERCEPT_MISC1 (1u << 0 | 1u << 1 | 1u << 18 | 1u << 24 | 1u << 27 | 1u << 28 | 1u << 31)
#define INTERCEPT_MISC2 (1u << 0 | 1u << 1) /* VMRUN (mandatory), VMMCALL */
#define GUEST_CR0 0x80010033ul
#define GUEST_CR4 0x620ul
#define GUEST_EFER (EFER_SVME | 0xd00ul) /* NXE LMA LME */
#define PAT_RESET 0x0007040600070406ul

static uint64_t save_areas;
uint64_t svm_host_state;

static void enable_this_cpu(void *unused)
{
    (void)unused;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, save_areas + this_cpu()->index * PAGE_4K);
}

void svm_enable(void)
{
    if (save_areas)
        return;
    save_areas = allocate_or_fail(cpu_count() * PAGE_4K, PAGE_2M);
    run_on_all_cpus(enable_this_cpu, NULL);
}

static void fill_table(uint64_t table, uint64_t first, uint64_t step, uint64_t flags)
{
    uint64_t *entries = (uint64_t *)table;
    for (unsigned i = 0; i < 512; i++)
        entries[i] = (first + i * step) | flags;
}

/* Builds one table each for levels 4 to 2; the last maps 2 MiB pages. */
static void fill_upper_tables(uint64_t tables, uint64_t memory)
{
    uint64_t *directory = (uint64_t *)(tables + 2 * PAGE_4K);
    *(uint64_t *)tables = (tables + PAGE_4K) | ENTRY_FLAGS;
    *(uint64_t *)(tables + PAGE_4K) = (tables + 2 * PAGE_4K) | ENTRY_FLAGS;
    for (unsigned i = 0; i < GUEST_MEMORY / PAGE_2M; i++)
        directory[i] = (memory + i * PAGE_2M) | ENTRY_FLAGS | ENTRY_LARGE;
}

static void build_nested_tables(const struct svm_guest *guest)
{
    uint64_t *directory = (uint64_t *)(guest->nested + 2 * PAGE_4K);

    fill_upper_tables(guest->nested, guest->memory);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t table = guest->nested + (3 + i) * PAGE_4K;
        fill_table(table, guest->memory + i * PAGE_2M, PAGE_4K, ENTRY_FLAGS);
        directory[i] = table | ENTRY_FLAGS;
    }
}

/* The guest's own tables are in its memory and hold guest-physical addresses. */
static void build_guest_tables(const struct svm_guest *guest)
{
    uint64_t *level4 = svm_memory(guest, GUEST_TABLES);
    uint64_t *level3 = level4 + 512, *level2 = level3 + 512;

    level4[0] = (GUEST_TABLES + PAGE_4K) | ENTRY_FLAGS;
    level3[0] = (GUEST_TABLES + 2 * PAGE_4K) | ENTRY_FLAGS;
    level2[0] = ENTRY_FLAGS | ENTRY_LARGE;
    level2[1] = GUEST_LEVEL1 | ENTRY_FLAGS;
    level2[2] = GUEST_LARGE | ENTRY_FLAGS | ENTRY_LARGE;
    fill_table((uint64_t)svm_memory(guest, GUEST_LEVEL1), GUEST_SMALL, PAGE_4K, ENTRY_FLAGS);
}

static void fill_control_area(const struct svm_guest *guest)
{
    struct vmcb *vmcb = guest->vmcb;
    vmcb->intercept_exceptions = ~0u;
    vmcb->intercept_misc1 = INTERCEPT_MISC1;
    vmcb->intercept_misc2 = INTERCEPT_MISC2;
    vmcb->iopm_base = guest->iopm;
    vmcb->msrpm_base = guest->msrpm;
    vmcb->asid = GUEST_ASID;
    vmcb->nested_control = NESTED_PAGING;
    vmcb->nested_cr3 = guest->nested;
}

static void fill_save_area(struct vmcb *vmcb)
{
    const struct vmcb_segment data = {SELECTOR_DATA, DATA_SEGMENT, ~0u, 0};
    vmcb->cs = (struct vmcb_segment){SELECTOR_CODE64, CODE_SEGMENT, ~0u, 0};
    vmcb->ss = vmcb->ds = vmcb->es = data;
    vmcb->efer = GUEST_EFER;
    vmcb->cr0 = GUEST_CR0;
    vmcb->cr3 = GUEST_TABLES;
    vmcb->cr4 = GUEST_CR4;
    vmcb->dr6 = 0xffff0ff0;
    vmcb->dr7 = 0x400;
    vmcb->rflags = 2;
    vmcb->g_pat = PAT_RESET;
}

void svm_create(struct svm_guest *guest)
{
    uint64_t control = allocate_or_fail(PAGE_2M, PAGE_2M);

    memset(guest, 0, sizeof(*guest));
    guest->vmcb = (struct vmcb *)(control + PAGE_4K);
    guest->iopm = control + 4 * PAGE_4K;
    guest->msrpm = guest->iopm + IOPM_PAGES * PAGE_4K;
    guest->nested = guest->msrpm + MSRPM_PAGES * PAGE_4K;
    guest->memory = allocate_or_fail(GUEST_MEMORY, PAGE_2M);
    memset((void *)guest->iopm, 0xff, IOPM_PAGES * PAGE_4K);
    build_nested_tables(guest);
    build_guest_tables(guest);
    fill_control_area(guest);
    fill_save_area(guest->vmcb);
}

void svm_load(struct svm_guest *guest, const struct svm_code *code)
{
    memcpy(svm_memory(guest, GUEST_CODE), code->start, (size_t)(code->end - code->start));
    memset(&guest->registers, 0, sizeof(guest->registers));
    guest->vmcb->rip = GUEST_CODE;
    guest->vmcb->rsp = GUEST_STACK_TOP;
    guest->vmcb->rax = 0;
    guest->vmcb->rflags = 2;
}

uint64_t svm_run(struct svm_guest *guest)
{
    svm_enter((uint64_t)guest->vmcb, &guest->registers);
    return guest->vmcb->exit_code;
}

uint64_t *svm_nested_entry(const struct svm_guest *guest, uint64_t gpa)
{
    return (uint64_t *)(guest->nested + 3 * PAGE_4K) + gpa / PAGE_4K;
}
