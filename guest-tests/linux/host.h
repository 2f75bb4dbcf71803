/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of the host that a test runs on: SNP, kernel log, free memory, time. Not thread-safe.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if KVM runs SNP guests here; otherwise `reason` says why not. */
bool host_has_snp(const char **reason);

/* Marks the current end of the kernel's log. */
void host_log_mark(void);
/*
 * The number of lines since the mark that report lost pages or other trouble in the kernel. Prints
 * each as a KTAP comment.
 */
unsigned host_log_complaints(void);

/* MemFree in bytes. */
size_t host_free_memory(void);
/* Allocates all free memory but `margin` bytes, writes to each page of it, and frees it. */
void host_write_free_memory(size_t margin);

/* Monotonic time in s. */
double host_time(void);

#endif
