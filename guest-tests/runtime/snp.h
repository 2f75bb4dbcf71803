/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the RMP and enables SNP, as a host kernel does before its first guest. */
#ifndef RUNTIME_SNP_H
#define RUNTIME_SNP_H

#include <stdbool.h>
#include <stdint.h>

#include "insn.h"
#include "memory.h"
#include "sev_guest.h"

#define MSR_SYSCFG 0xc0010010
#define SYSCFG_MFDM (1ul << 19)
#define SYSCFG_MEM_ENCRYPT (1ul << 23)
#define SYSCFG_SNP_EN (1ul << 24)
#define SYSCFG_VMPL_EN (1ul << 25)
#define MSR_HWCR 0xc0010015
#define HWCR_SMMLOCK (1ul << 0)
#define MSR_VM_HSAVE_PA 0xc0010117
#define MSR_RMP_BASE 0xc0010132
#define MSR_RMP_END 0xc0010133
#define MSR_RMP_CFG 0xc0010136
#define RMP_CFG_SEGMENTED (1ul << 0)
#define MSR_RMPOPT_BASE 0xc0010139
#define RMPOPT_EN (1ul << 0)

/* Result codes of RMPUPDATE, PSMASH and RMPREAD. */
enum {
    RMP_SUCCESS = 0,
    RMP_FAIL_INPUT = 1,
    RMP_FAIL_PERMISSION = 2,
    RMP_FAIL_INUSE = 3,
    RMP_FAIL_OVERLAP = 4,
    RMP_FAIL_BADADDR = 7,
};

enum { RMPOPT_VERIFY = 0, RMPOPT_REPORT = 1 };

enum { RMP_PAGE_4K = 0, RMP_PAGE_2M = 1 };
#define RMP_HPAGE_REGION_STATUS (1u << 1)

/* Input of RMPUPDATE and output of RMPREAD. */
struct __attribute__((packed)) rmp_record {
    uint64_t gpa;
    uint8_t assigned;
    uint8_t page_size; /* RMPREAD: bit 1 is hpage_region_status */
    uint8_t immutable;
    uint8_t reserved;
    uint32_t asid;
};
_Static_assert(sizeof(struct rmp_record) == 16, "the record has 16 bytes");

/* Features that CPUID reports. */
bool cpu_has_snp(void);
bool cpu_has_rmpread(void);
bool cpu_has_segmented_rmp(void);
bool cpu_has_rmpopt(void);

/* Find the RMP through the MSRs, map it and keep allocations out of it. */
void rmp_discover(void);
bool rmp_present(void);
bool rmp_is_segmented(void);

/* Address of the RMP entry for an SPA; 0 if the RMP does not cover it. */
uint64_t rmp_entry_address(uint64_t spa);

/* The lowest SPA above all that are covered. */
uint64_t rmp_covered_end(void);

/* For TEST_SUITE_IF: why this machine can't enable SNP; NULL if it can. */
const char *snp_unmet(void);

/*
 * Zero the whole RMP, as a host kernel does before it sets SNP_EN. Does nothing with more than 64
 * GiB of memory: the RMP is then zero from the start, and too big to be touched.
 */
void rmp_zero(void);

/* Zero the RMP, then set MFDM and after it SNP_EN and VMPL_EN on every CPU. Done only once. */
void snp_enable(void);
void set_syscfg_bits_everywhere(uint64_t bits);

/* Set RMPOPT_BASE to base | enable on every CPU. */
void rmpopt_enable_everywhere(uint64_t base);

/* The instructions as a kernel uses them: they return EAX. An exception fails the running case. */
uint32_t rmpupdate(uint64_t spa, const struct rmp_record *record);
uint32_t psmash(uint64_t spa);
uint32_t rmpread(uint64_t spa, struct rmp_record *record);

/* Return the carry flag. */
bool rmpopt(uint64_t spa, uint64_t function);

/* Short forms of RMPUPDATE. */
uint32_t rmp_assign(uint64_t spa, unsigned page_size, uint32_t asid, uint64_t gpa);
uint32_t rmp_unassign(uint64_t spa, unsigned page_size);

/*
 * Read an entry in its architectural format: by RMPREAD or, on CPUs without it, from the table in
 * memory, which lacks hpage_region_status.
 */
struct rmp_record rmp_lookup(uint64_t spa);

#endif
