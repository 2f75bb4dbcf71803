/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with encrypted registers, of which each image has one: first an SEV-ES guest, later an
 * SNP guest whose first 2 MiB are private. Its #VC handler tells the host the error code by
 * VMGEXIT, and every exception is intercepted, so that whatever happens in the guest leaves it.
 */
#ifndef RUNTIME_ENCRYPTED_GUEST_H
#define RUNTIME_ENCRYPTED_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "snp_guest.h"

/* #VC error code, and bits of EXITINFO1 beside those in svm.h. */
#define VC_PAGE_NOT_VALIDATED 0x404ul
#define NPF_ENCRYPTED (1ul << 34)
#define NPF_SIZE_MISMATCH (1ul << 35)
#define NPF_VMPL (1ul << 36)

/* What VMPL 1 may do, in an RMP entry's second word. */
enum { VMPL_READ = 1, VMPL_WRITE = 2, VMPL_USER_EXECUTE = 4, VMPL_EXECUTE = 8, VMPL_ALL = 15 };

/* In the guest's memory, beside its tables, its code and its stack. */
enum { GUEST_HANDLER = 0x9000, GUEST_GDT = 0xc000, GUEST_IDT = 0xd000 };
/* Private pages for tests, and one that stays shared. */
#define PAGE_A GUEST_SMALL
#define PAGE_B (GUEST_SMALL + PAGE_4K)
#define PAGE_SHARED (GUEST_SMALL + 2 * PAGE_4K)

extern struct svm_guest guest;
extern uint64_t *vmsa;

/* Enables SNP and SVM, and makes the SEV-ES guest. */
void encrypted_guest_create(void);
/* Turns it into an SNP guest: its first 2 MiB, A and B become private and validated. */
void encrypted_guest_become_snp(void);

/* Puts code into the guest's memory. Not while the RMP keeps the host from it. */
void encrypted_guest_put(uint64_t gpa, const struct svm_code *code);
/* Code at GUEST_CODE, and registers for its start: RDI as given, RSI a pattern, the others 0. */
void encrypted_guest_load(const struct svm_code *code, uint64_t rdi);
#define GUEST_RSI 0x1122334455667788ul
/* Runs it until it leaves; returns the exit code. */
uint64_t encrypted_guest_run(void);
uint64_t run_encrypted(const struct svm_code *code, uint64_t rdi);

/* The same, but the guest is interrupted after about a millisecond. */
uint64_t encrypted_guest_run_briefly(void);

/* Remembers the SNP guest's first pages, with all that it needs, and its VMSA; brings them back
 * when the guest has run amok. */
void encrypted_guest_remember(void);
void encrypted_guest_restore(void);

/* Expects that the guest's handler has told of #VC with this code, by the instruction one byte
 * behind the beginning of the code. */
void expect_vc(uint64_t error_code);

/* What the host does as firmware does at launch, with flags for the entry's first word; and back.
 * Both views of the page stay as they are: what the host has written is what the guest reads, and
 * the reverse. While the page is the guest's, the host does not see what is in it. */
void give_to_guest(uint64_t spa, uint64_t gpa, uint64_t flags);
void take_from_guest(uint64_t spa);
/* The VMSA, so that the host can write it, and back. Nothing for an SEV-ES guest. */
void open_vmsa(void);
void close_vmsa(void);

/* The guest's own entry for an address from GUEST_SMALL to GUEST_LARGE. */
uint64_t *guest_entry(uint64_t gpa);

#endif
