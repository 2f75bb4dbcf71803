/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEV-ES and SNP guests of this host, made of those of svm.h. There is no firmware: what it does at
 * launch, snp_give() does. The host can write the VMSA and private pages only before that.
 */
#ifndef RUNTIME_SNP_GUEST_H
#define RUNTIME_SNP_GUEST_H

#include <stdint.h>

#include "svm.h"

#define GUEST_C_BIT (1ul << 51)

/* Bits of an RMP entry in memory. */
#define RMP_VALIDATED (1ul << 62)
#define RMP_VMSA (1ul << 61)

/* APM2 appendix B, table B-4: words of the VMSA. */
enum {
    VMSA_RFLAGS = 0x170 / 8,
    VMSA_RIP = 0x178 / 8,
    VMSA_RSP = 0x1d8 / 8,
    VMSA_RAX = 0x1f8 / 8,
    VMSA_RCX = 0x308 / 8,
    VMSA_RBX = 0x318 / 8,
    VMSA_RDI = 0x338 / 8,
    VMSA_SEV_FEATURES = 0x3b0 / 8,
    VMSA_XCR0 = 0x3e8 / 8,
};

static inline uint64_t *guest_vmsa(const struct svm_guest *guest)
{
    return (uint64_t *)guest->vmcb->vmsa;
}

/* Turn a guest of svm_create() that has not run into an SEV-ES guest. */
void sev_es_create(struct svm_guest *guest);

/*
 * Turn it into an SNP guest: the first 2 MiB, with code, stack and tables, become private. Its own
 * entries for other pages are the caller's to change, before.
 */
void snp_create(struct svm_guest *guest);

/* Assign a page to the guest; `flags` are bits of its entry. */
void snp_give(const struct svm_guest *guest, uint64_t spa, uint64_t gpa, uint64_t flags);

/* Have the guest begin at this code with this RDI and RCX. */
void sev_load(struct svm_guest *guest, const struct svm_code *code, uint64_t rdi, uint64_t rcx);

/* As svm_run(), for these guests. */
uint64_t sev_run(struct svm_guest *guest);

#endif
