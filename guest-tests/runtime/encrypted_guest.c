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

const char *encrypted_guest_unmet(void)
{
    if (!(cpuid(0x80000001, 0).ecx >> 2 & 1))
        return "this CPU has no SVM";
    return snp_unmet();
}

static bool is_snp(void)
{
    return guest.vmcb->vmsa && vmsa[VMSA_SEV_FEATURES] & 1;
}

uint64_t *raw_rmp_entry(uint64_t spa)
{
    return (uint64_t *)rmp_entry_address(spa);
}

void give_to_guest(uint64_t spa, uint64_t gpa, uint64_t flags)
{
    REQUIRE_EQ(rmp_assign(spa, RMP_PAGE_4K, guest.vmcb->asid, gpa), RMP_SUCCESS);
    *raw_rmp_entry(spa) |= flags;
}

void take_from_guest(uint64_t spa)
{
    *raw_rmp_entry(spa) &= ~RMP_VALIDATED;
    REQUIRE_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
}

void open_vmsa(void)
{
    if (is_snp())
        take_from_guest((uint64_t)vmsa);
}

void close_vmsa(void)
{
    if (is_snp())
        give_to_guest((uint64_t)vmsa, VMSA_GPA, RMP_VMSA);
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
    uint64_t page = guest.memory + GUEST_CODE;
    bool snp = is_snp();

    if (snp)
        take_from_guest(page);
    encrypted_guest_put(GUEST_CODE, code);
    if (snp)
        give_to_guest(page, GUEST_CODE, RMP_VALIDATED);
    open_vmsa();
    memset(&vmsa[VMSA_RCX], 0, (VMSA_R15 + 1 - VMSA_RCX) * 8);
    vmsa[VMSA_RIP] = GUEST_CODE;
    vmsa[VMSA_RSP] = GUEST_STACK_TOP;
    vmsa[VMSA_RAX] = 0;
    vmsa[VMSA_RFLAGS] = 2;
    vmsa[VMSA_RDI] = rdi;
    vmsa[VMSA_RSI] = GUEST_RSI;
    close_vmsa();
    guest.vmcb->exit_code = 0x5a5a;
}

/* A #VMEXIT loads FS, GS, TR and LDTR from the host's save area, where VMSAVE puts them. */
uint64_t encrypted_guest_run(void)
{
    EXPECT_NO_TRAP(insn_vmsave(rdmsr(MSR_VM_HSAVE_PA), 0, 0));
    return svm_run(&guest);
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
    vmsa = (uint64_t *)(allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K);
    memcpy(vmsa, (uint8_t *)guest.vmcb + 0x400, VMSA_COMMON_BYTES);
    vmsa[VMSA_XCR0] = 1;
    put_descriptor_tables();
    guest.vmcb->nested_control = NESTED_PAGING | NESTED_SEV | NESTED_SEV_ES;
    guest.vmcb->vmsa = (uint64_t)vmsa;
    encrypted_guest_load(&code_nothing, 0);
}

void encrypted_guest_become_snp(void)
{
    uint64_t *level2 = svm_memory(&guest, GUEST_TABLES + 2 * PAGE_4K);

    level2[0] |= C_BIT;
    *guest_entry(PAGE_A) |= C_BIT;
    *guest_entry(PAGE_B) |= C_BIT;
    vmsa[VMSA_SEV_FEATURES] = 1;
    for (uint64_t gpa = 0; gpa < PAGE_2M; gpa += PAGE_4K)
        give_to_guest(guest.memory + gpa, gpa, RMP_VALIDATED);
    give_to_guest(guest.memory + PAGE_A, PAGE_A, RMP_VALIDATED);
    give_to_guest(guest.memory + PAGE_B, PAGE_B, RMP_VALIDATED);
    close_vmsa();
}
