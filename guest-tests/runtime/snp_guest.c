// SPDX-License-Identifier: GPL-2.0-or-later
#include "snp_guest.h"

#include <stdbool.h>

#include "console.h"
#include "ktap.h"
#include "snp.h"
#include "x86.h"

enum { COMMON_BYTES = 0x298 };
#define VMSA_GPA 0xfffffffff000ul

static bool is_snp(const struct svm_guest *guest)
{
    return guest_vmsa(guest)[VMSA_SEV_FEATURES] & 1;
}

void sev_es_create(struct svm_guest *guest)
{
    uint64_t *vmsa = (uint64_t *)(allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K);

    memcpy(vmsa, (uint8_t *)guest->vmcb + 0x400, COMMON_BYTES);
    vmsa[VMSA_XCR0] = 1;
    guest->vmcb->vmsa = (uint64_t)vmsa;
    guest->vmcb->nested_control = NESTED_PAGING | NESTED_SEV | NESTED_SEV_ES;
}

void snp_give(const struct svm_guest *guest, uint64_t spa, uint64_t gpa, uint64_t flags)
{
    EXPECT_EQ(rmp_assign(spa, RMP_PAGE_4K, guest->vmcb->asid, gpa), RMP_SUCCESS);
    *(uint64_t *)rmp_entry_address(spa) |= flags;
}

void snp_create(struct svm_guest *guest)
{
    *(uint64_t *)svm_memory(guest, GUEST_TABLES + 2 * PAGE_4K) |= GUEST_C_BIT;
    guest_vmsa(guest)[VMSA_SEV_FEATURES] = 1;
    for (uint64_t gpa = 0; gpa < PAGE_2M; gpa += PAGE_4K)
        snp_give(guest, guest->memory + gpa, gpa, RMP_VALIDATED);
    snp_give(guest, guest->vmcb->vmsa, VMSA_GPA, RMP_VMSA);
}

void sev_load(struct svm_guest *guest, const struct svm_code *code, uint64_t rdi, uint64_t rcx)
{
    uint64_t *vmsa = guest_vmsa(guest), code_page = guest->memory + GUEST_CODE;

    if (is_snp(guest)) {
        rmp_unassign(code_page, RMP_PAGE_4K);
        rmp_unassign((uint64_t)vmsa, RMP_PAGE_4K);
    }
    memcpy(svm_memory(guest, GUEST_CODE), code->start, (size_t)(code->end - code->start));
    vmsa[VMSA_RIP] = GUEST_CODE;
    vmsa[VMSA_RSP] = GUEST_STACK_TOP;
    vmsa[VMSA_RFLAGS] = 2;
    vmsa[VMSA_RDI] = rdi;
    vmsa[VMSA_RCX] = rcx;
    if (is_snp(guest)) {
        snp_give(guest, code_page, GUEST_CODE, RMP_VALIDATED);
        snp_give(guest, (uint64_t)vmsa, VMSA_GPA, RMP_VMSA);
    }
}

/* A #VMEXIT loads FS, GS, TR and LDTR from the host's save area, where VMSAVE puts them. */
uint64_t sev_run(struct svm_guest *guest)
{
    insn_vmsave(rdmsr(MSR_VM_HSAVE_PA), 0, 0);
    return svm_run(guest);
}
