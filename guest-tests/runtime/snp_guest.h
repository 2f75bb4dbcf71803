/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEV-ES and SNP guests of this host, made of those of svm.h. There is no firmware: what it does at
 * launch, snp_give() does. The host can write the VMSA and private pages only before that.
 */
#ifndef RUNTIME_SNP_GUEST_H
#define RUNTIME_SNP_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "sev_guest.h"
#include "svm.h"

#define C_BIT (1ul << 51)

/* Bits of the first word of an RMP entry in memory. */
#define RMP_VMSA (1ul << 61)
#define RMP_VALIDATED (1ul << 62)

#define VMSA_GPA 0xfffffffff000ul

/* APM2 appendix B, table B-4: the VMSA, by offsets in 8-byte words. */
enum {
    VMSA_CS = 0x10 / 8,
    VMSA_SS = 0x20 / 8,
    VMSA_GDTR = 0x60 / 8,
    VMSA_IDTR = 0x80 / 8,
    VMSA_VMPL = 0xca, /* in bytes; so is the CPL, which follows */
    VMSA_CPL = 0xcb,
    VMSA_EFER = 0xd0 / 8,
    VMSA_CR4 = 0x148 / 8,
    VMSA_CR3 = 0x150 / 8,
    VMSA_CR0 = 0x158 / 8,
    VMSA_RFLAGS = 0x170 / 8,
    VMSA_RIP = 0x178 / 8,
    VMSA_RSP = 0x1d8 / 8,
    VMSA_RAX = 0x1f8 / 8,
    VMSA_RCX = 0x308 / 8,
    VMSA_RDX = 0x310 / 8,
    VMSA_RBX = 0x318 / 8,
    VMSA_RSI = 0x330 / 8,
    VMSA_RDI = 0x338 / 8,
    VMSA_R8 = 0x340 / 8,
    VMSA_R15 = 0x378 / 8,
    VMSA_SEV_FEATURES = 0x3b0 / 8,
    VMSA_XCR0 = 0x3e8 / 8,
    VMSA_COMMON_BYTES = 0x298
};

/* For TEST_SUITE_IF: why this machine can have no such guests. */
const char *snp_guest_unmet(void);

static inline uint64_t *guest_vmsa(const struct svm_guest *guest)
{
    return (uint64_t *)guest->vmcb->vmsa;
}
bool is_snp(const struct svm_guest *guest);

/* Turn a guest of svm_create() that has not run into an SEV-ES guest. */
void sev_es_create(struct svm_guest *guest);

/*
 * Turn it into an SNP guest: the first 2 MiB, with code, stack and tables, become private. Its own
 * entries for other pages are the caller's to change, before.
 */
void snp_create(struct svm_guest *guest);

/*
 * What the host does as firmware does at launch, with `flags` for the entry's first word; and back.
 * Both views of the page stay as they are: what the host has written is what the guest reads, and
 * the reverse. While the page is the guest's, the host does not see what is in it.
 */
void snp_give(const struct svm_guest *guest, uint64_t spa, uint64_t gpa, uint64_t flags);
void snp_take(uint64_t spa);
uint64_t *raw_rmp_entry(uint64_t spa);
/* The VMSA, so that the host can write it, and back. Nothing for an SEV-ES guest. */
void snp_open_vmsa(const struct svm_guest *guest);
void snp_close_vmsa(const struct svm_guest *guest);

/* Have the guest begin at this code with these registers; the other general ones are 0. */
void sev_load(struct svm_guest *guest, const struct svm_code *code, uint64_t rdi, uint64_t rsi,
              uint64_t rcx);

/* As svm_run(), for these guests. */
uint64_t sev_run(struct svm_guest *guest);

#endif
