/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory, as fw_cfg describes it: validated, divided among those who need some, and
 * described to Linux. Memory for one is taken from the end of what is below 4 GiB; nothing is ever
 * given back.
 */
#ifndef DIRECT_BOOT_MEMORY_H
#define DIRECT_BOOT_MEMORY_H

#include <stdint.h>

#define FOUR_GIB (1ul << 32)

/* Types of memory in Linux's map and in that of fw_cfg. */
enum memory_type { MEMORY_RAM = 1, MEMORY_RESERVED = 2, MEMORY_ACPI = 3 };

struct __attribute__((packed)) memory_entry {
    uint64_t start, size;
    uint32_t type;
};

/*
 * Reads the map and validates all memory but what is shared; later that, too. Where Linux looks for
 * tables of a BIOS it finds nothing.
 */
void memory_init(void);
void memory_accept_shared(void);

/* Pages of memory that end below the limit. */
void *memory_take(uint64_t bytes, uint64_t limit);
/* What has been taken so far is of this type for Linux. */
void memory_taken_is_acpi(void);
/* Free memory from the first aligned address that is not below start; the kernel is put there. */
void *memory_at(uint64_t start, uint64_t alignment, uint64_t bytes);
/* Another range that Linux must leave alone; comes before the map is read. */
void memory_reserve(uint64_t start, uint64_t bytes);

/* Writes the map for Linux. Returns the number of its entries. */
unsigned memory_describe(struct memory_entry *entries, unsigned capacity);

#endif
