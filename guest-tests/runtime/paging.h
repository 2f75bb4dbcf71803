/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables. The first 4 GiB are mapped one to one; windows map any SPA elsewhere, with any
 * page size. Other CPUs notice a change at the start of their next job.
 */
#ifndef RUNTIME_PAGING_H
#define RUNTIME_PAGING_H

#include <stdint.h>

#include "memory.h"

#define MAP_WRITE (1ul << 1)
#define MAP_USER (1ul << 2)
#define MAP_NO_EXECUTE (1ul << 63)

/* Map one page. page_size is PAGE_4K, PAGE_2M or PAGE_1G; va and spa must be aligned to it. */
void map_page(uint64_t va, uint64_t spa, uint64_t page_size, uint64_t flags);

/* Make a page absent. Splits a larger page if necessary. */
void unmap_page(uint64_t va, uint64_t page_size);

/* Map [spa, spa + size) at unused virtual addresses. The page after them is absent. */
void *map_window(uint64_t spa, uint64_t size, uint64_t page_size, uint64_t flags);

/* Unused virtual addresses without a mapping. */
void *unmapped_window(uint64_t size);

/* Map [spa, spa + size) one to one, wherever it is. */
void map_identity(uint64_t spa, uint64_t size);

/* The entry for va at the level of pages of this size (PAGE_4K to PAGE_1G). Makes the tables above.
 */
uint64_t *page_table_slot(uint64_t va, uint64_t page_size);

/* The entry that maps va, and the size that it maps; NULL if there is none. */
uint64_t *page_table_entry(uint64_t va, uint64_t *page_size);

#endif
