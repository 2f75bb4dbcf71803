/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page tables: the first 4 GiB one to one, all of it private at first, and a window above them. */
#ifndef DIRECT_BOOT_MAPPING_H
#define DIRECT_BOOT_MAPPING_H

#include <stdint.h>

/* The mask is that of the C-bit. Comes before the others. */
void mapping_init(uint64_t encryption_mask);

/* The large page that holds an address below 4 GiB. */
void map_shared(uint64_t gpa);
void map_private(uint64_t gpa);

/* Where a private address of any size is mapped until the next call. */
void *mapped(uint64_t gpa);

/* No address is as large as this. */
uint64_t address_limit(void);

#endif
