/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test looks at in the host that it runs on. For one thread. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether KVM runs SNP guests here; if not, `reason` says why. */
bool host_has_snp(const char **reason);

/* From now on the kernel's log is watched. */
void host_log_mark(void);
/*
 * Lines since the mark that speak of pages lost or of the kernel in trouble; each is printed as a
 * KTAP comment.
 */
unsigned host_log_complaints(void);

/* MemFree in bytes. */
size_t host_free_memory(void);
/* Takes all free memory but `margin` bytes, writes to each page of it, gives it back. */
void host_write_free_memory(size_t margin);

/* Monotonic time in s. */
double host_time(void);

#endif
