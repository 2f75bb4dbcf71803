// SPDX-License-Identifier: GPL-2.0-or-later
#include "encrypted_guest.h"

#include "apic.h"
#include "console.h"
#include "ktap.h"
#include "snp.h"
#include "x86.h"

enum { VECTOR_VC = 29, GATE_PRESENT = 0x8e00, BRIEFLY_NS = 1000000 };
#define VIRTUAL_INTERRUPT_MASKING (1ul << 24)

/* From guest-physical address 0 on. */
enum { FIRST_PAGES = 16 };
static struct {
    uint64_t *pages, entries[FIRST_PAGES], vmsa[PAGE_4K / 8];
} remembered;

struct svm_guest guest;
uint64_t *vmsa;

/* Pops the error code into RAX and the address of the instruction into RBX. */
SVM_CODE(code_handler, "pop %rax; pop %rbx; xor %edx, %edx; mov $0xc0010130, %ecx; wrmsr;" VMGEXIT);
SVM_CODE(code_nothing, "hlt");

void give_to_guest(uint64_t spa, uint64_t gpa, uint64_t flags)
{
    snp_give(&guest, spa, gpa, flags);
}

void take_from_guest(uint64_t spa)
{
    snp_take(spa);
}

void open_vmsa(void)
{
    snp_open_vmsa(&guest);
}

void close_vmsa(void)
{
    snp_close_vmsa(&guest);
}

uint64_t *guest_entry(uint64_t gpa)
{
    return (uint64_t *)svm_memory(&guest, GUEST_LEVEL1) + (gpa - GUEST_SMALL) / PAGE_4K;
}

void encrypted_guest_put(uint64_t gpa, const struct svm_code *code)
{
    memcpy(svm_memory(&guest, gpa), code->start, (size_t)(code->end - code->start));
}

void encrypted_guest_load(const struct svm_code *code, uint64_t rdi)
{
    sev_load(&guest, code, rdi, GUEST_RSI, 0);
    guest.vmcb->exit_code = 0x5a5a;
}

uint64_t encrypted_guest_run(void)
{
    return sev_run(&guest);
}

uint64_t encrypted_guest_run_briefly(void)
{
    uint64_t exit, control = guest.vmcb->interrupt_control;

    guest.vmcb->interrupt_control |= VIRTUAL_INTERRUPT_MASKING; /* the host's IF counts */
    interrupt_regularly(BRIEFLY_NS);
    __asm__ volatile("sti" ::: "memory");
    exit = encrypted_guest_run();
    __asm__ volatile("cli" ::: "memory");
    interrupt_regularly(0);
    guest.vmcb->interrupt_control = control;
    return exit;
}

void encrypted_guest_remember(void)
{
    if (!remembered.pages)
        remembered.pages = (uint64_t *)allocate_or_fail(FIRST_PAGES * PAGE_4K, PAGE_4K);
    for (uint64_t i = 0; i < FIRST_PAGES; i++) {
        uint64_t page = guest.memory + i * PAGE_4K;
        take_from_guest(page);
        memcpy(remembered.pages + i * PAGE_4K / 8, (void *)page, PAGE_4K);
        give_to_guest(page, i * PAGE_4K, RMP_VALIDATED);
        remembered.entries[i] = *raw_rmp_entry(page);
    }
    open_vmsa();
    memcpy(remembered.vmsa, vmsa, PAGE_4K);
    close_vmsa();
}

static void restore_page(uint64_t gpa, const void *content)
{
    uint64_t page = guest.memory + gpa;

    if (*raw_rmp_entry(page) == remembered.entries[gpa / PAGE_4K] &&
        !memcmp((void *)page, content, PAGE_4K))
        return;
    take_from_guest(page);
    memcpy((void *)page, content, PAGE_4K);
    give_to_guest(page, gpa, RMP_VALIDATED);
}

void encrypted_guest_restore(void)
{
    for (uint64_t gpa = 0; gpa < FIRST_PAGES * PAGE_4K; gpa += PAGE_4K)
        restore_page(gpa, remembered.pages + gpa / 8);
    open_vmsa();
    memcpy(vmsa, remembered.vmsa, PAGE_4K);
    close_vmsa();
}

uint64_t run_encrypted(const struct svm_code *code, uint64_t rdi)
{
    encrypted_guest_load(code, rdi);
    return encrypted_guest_run();
}

void expect_vc(uint64_t error_code)
{
    EXPECT_EQ(guest.vmcb->exit_code, EXIT_VMGEXIT);
    EXPECT_EQ(guest.vmcb->ghcb, error_code);
    EXPECT_EQ(vmsa[VMSA_RBX], GUEST_CODE + 1);
}

static void put_descriptor_tables(void)
{
    uint64_t *gdt = svm_memory(&guest, GUEST_GDT);
    uint64_t *gate = (uint64_t *)svm_memory(&guest, GUEST_IDT) + 2 * VECTOR_VC;

    gdt[SELECTOR_CODE32 / 8] = 0x00cf9b000000ffff;
    gdt[SELECTOR_CODE64 / 8] = 0x00af9b000000ffff;
    gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
    gate[0] = GUEST_HANDLER | (uint64_t)SELECTOR_CODE64 << 16 | (uint64_t)GATE_PRESENT << 32;
    vmsa[VMSA_GDTR] = 0xffful << 32;
    vmsa[VMSA_GDTR + 1] = GUEST_GDT;
    vmsa[VMSA_IDTR] = 0xffful << 32;
    vmsa[VMSA_IDTR + 1] = GUEST_IDT;
    encrypted_guest_put(GUEST_HANDLER, &code_handler);
}

void encrypted_guest_create(void)
{
    snp_enable();
    svm_enable();
    svm_create(&guest);
    sev_es_create(&guest);
    vmsa = guest_vmsa(&guest);
    put_descriptor_tables();
    encrypted_guest_load(&code_nothing, 0);
}

void encrypted_guest_become_snp(void)
{
    *guest_entry(PAGE_A) |= C_BIT;
    *guest_entry(PAGE_B) |= C_BIT;
    snp_create(&guest);
    give_to_guest(guest.memory + PAGE_A, PAGE_A, RMP_VALIDATED);
    give_to_guest(guest.memory + PAGE_B, PAGE_B, RMP_VALIDATED);
}
