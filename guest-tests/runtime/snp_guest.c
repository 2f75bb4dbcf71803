// SPDX-License-Identifier: GPL-2.0-or-later
#include "snp_guest.h"

#include "console.h"
#include "ktap.h"
#include "snp.h"
#include "x86.h"

const char *snp_guest_unmet(void)
{
    if (!(cpuid(0x80000001, 0).ecx >> 2 & 1))
        return "this CPU has no SVM";
    return snp_unmet();
}

bool is_snp(const struct svm_guest *guest)
{
    return guest->vmcb->vmsa && guest_vmsa(guest)[VMSA_SEV_FEATURES] & 1;
}

void sev_es_create(struct svm_guest *guest)
{
    uint64_t *vmsa = (uint64_t *)(allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K);

    memcpy(vmsa, (uint8_t *)guest->vmcb + 0x400, VMSA_COMMON_BYTES);
    vmsa[VMSA_XCR0] = 1;
    guest->vmcb->vmsa = (uint64_t)vmsa;
    guest->vmcb->nested_control = NESTED_PAGING | NESTED_SEV | NESTED_SEV_ES;
}

uint64_t *raw_rmp_entry(uint64_t spa)
{
    return (uint64_t *)rmp_entry_address(spa);
}

void snp_give(const struct svm_guest *guest, uint64_t spa, uint64_t gpa, uint64_t flags)
{
    REQUIRE_EQ(rmp_assign(spa, RMP_PAGE_4K, guest->vmcb->asid, gpa), RMP_SUCCESS);
    *raw_rmp_entry(spa) |= flags;
}

void snp_take(uint64_t spa)
{
    *raw_rmp_entry(spa) &= ~RMP_VALIDATED;
    REQUIRE_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
}

void snp_open_vmsa(const struct svm_guest *guest)
{
    if (is_snp(guest))
        snp_take(guest->vmcb->vmsa);
}

void snp_close_vmsa(const struct svm_guest *guest)
{
    if (is_snp(guest))
        snp_give(guest, guest->vmcb->vmsa, VMSA_GPA, RMP_VMSA);
}

void snp_create(struct svm_guest *guest)
{
    *(uint64_t *)svm_memory(guest, GUEST_TABLES + 2 * PAGE_4K) |= C_BIT;
    guest_vmsa(guest)[VMSA_SEV_FEATURES] = 1;
    for (uint64_t gpa = 0; gpa < PAGE_2M; gpa += PAGE_4K)
        snp_give(guest, guest->memory + gpa, gpa, RMP_VALIDATED);
    snp_close_vmsa(guest);
}

void sev_load(struct svm_guest *guest, const struct svm_code *code, uint64_t rdi, uint64_t rsi,
              uint64_t rcx)
{
    uint64_t *vmsa = guest_vmsa(guest), page = guest->memory + GUEST_CODE;
    bool snp = is_snp(guest);

    if (snp)
        snp_take(page);
    memcpy((void *)page, code->start, (size_t)(code->end - code->start));
    if (snp)
        snp_give(guest, page, GUEST_CODE, RMP_VALIDATED);
    snp_open_vmsa(guest);
    memset(&vmsa[VMSA_RCX], 0, (VMSA_R15 + 1 - VMSA_RCX) * 8);
    vmsa[VMSA_RIP] = GUEST_CODE;
    vmsa[VMSA_RSP] = GUEST_STACK_TOP;
    vmsa[VMSA_RAX] = 0;
    vmsa[VMSA_RFLAGS] = 2;
    vmsa[VMSA_RDI] = rdi;
    vmsa[VMSA_RSI] = rsi;
    vmsa[VMSA_RCX] = rcx;
    snp_close_vmsa(guest);
}

/* A #VMEXIT loads FS, GS, TR and LDTR from the host's save area, where VMSAVE puts them. */
uint64_t sev_run(struct svm_guest *guest)
{
    EXPECT_NO_TRAP(insn_vmsave(rdmsr(MSR_VM_HSAVE_PA), 0, 0));
    return svm_run(guest);
}
