// SPDX-License-Identifier: GPL-2.0-or-later
#include "paging.h"

#include <stddef.h>

#include "console.h"
#include "x86.h"

enum {
    ENTRY_PRESENT = 1 << 0,
    ENTRY_LARGE = 1 << 7,
    TABLE_FLAGS = 7,
    TABLE_POOL_PAGES = 512,
};
#define ENTRY_ADDRESS 0x000ffffffffff000ul
#define FIRST_WINDOW 0x400000000000ul

extern uint64_t page_table_root[512];
static uint64_t table_pool[TABLE_POOL_PAGES][512] __attribute__((aligned(4096)));
static unsigned tables_used;
static uint64_t next_window = FIRST_WINDOW;

static uint64_t *new_table(void)
{
    if (tables_used == TABLE_POOL_PAGES) {
        print("Bail out! more than %d page tables\n", TABLE_POOL_PAGES);
        exit_run(false);
    }
    return table_pool[tables_used++];
}

static uint64_t *entry_in(uint64_t *table, uint64_t va, uint64_t covers)
{
    return &table[va / covers % 512];
}

/* Replace a large page by a table of 512 pages of the next smaller size. */
static void split(uint64_t *entry, uint64_t size)
{
    uint64_t *table = new_table();
    uint64_t piece = size / 512;
    uint64_t flags = *entry & ~ENTRY_ADDRESS;
    if (piece == PAGE_4K)
        flags &= ~(uint64_t)ENTRY_LARGE;
    for (unsigned i = 0; i < 512; i++)
        table[i] = ((*entry & ENTRY_ADDRESS) + i * piece) | flags;
    *entry = (uint64_t)table | TABLE_FLAGS;
}

/* The table entry for a page of this size. Makes the tables above it if necessary. */
uint64_t *page_table_slot(uint64_t va, uint64_t page_size)
{
    uint64_t *table = page_table_root;
    for (uint64_t covers = 512 * PAGE_1G; covers > page_size; covers /= 512) {
        uint64_t *entry = entry_in(table, va, covers);
        if (!(*entry & ENTRY_PRESENT))
            *entry = (uint64_t)new_table() | TABLE_FLAGS;
        else if (*entry & ENTRY_LARGE)
            split(entry, covers);
        table = (uint64_t *)(*entry & ENTRY_ADDRESS);
    }
    return entry_in(table, va, page_size);
}

void map_page(uint64_t va, uint64_t spa, uint64_t page_size, uint64_t flags)
{
    uint64_t large = page_size > PAGE_4K ? ENTRY_LARGE : 0;
    *page_table_slot(va, page_size) = spa | flags | large | ENTRY_PRESENT;
    flush_tlb();
}

void unmap_page(uint64_t va, uint64_t page_size)
{
    *page_table_slot(va, page_size) = 0;
    flush_tlb();
}

static uint64_t reserve_window(uint64_t size)
{
    uint64_t va = next_window;
    next_window = (va + size + 2 * PAGE_1G - 1) & ~(PAGE_1G - 1);
    return va;
}

void *map_window(uint64_t spa, uint64_t size, uint64_t page_size, uint64_t flags)
{
    uint64_t va = reserve_window(size);
    for (uint64_t offset = 0; offset < size; offset += page_size)
        map_page(va + offset, spa + offset, page_size, flags);
    return (void *)va;
}

void *unmapped_window(uint64_t size)
{
    return (void *)reserve_window(size);
}

void map_identity(uint64_t spa, uint64_t size)
{
    uint64_t end = spa + size;
    for (uint64_t va = spa & ~(PAGE_2M - 1); va < end; va += PAGE_2M) {
        uint64_t page_size;
        if (!page_table_entry(va, &page_size))
            map_page(va, va, PAGE_2M, MAP_WRITE);
    }
}

uint64_t *page_table_entry(uint64_t va, uint64_t *page_size)
{
    uint64_t *table = page_table_root;
    for (uint64_t covers = 512 * PAGE_1G;; covers /= 512) {
        uint64_t *entry = entry_in(table, va, covers);
        if (!(*entry & ENTRY_PRESENT))
            return NULL;
        if (covers == PAGE_4K || (*entry & ENTRY_LARGE)) {
            *page_size = covers;
            return entry;
        }
        table = (uint64_t *)(*entry & ENTRY_ADDRESS);
    }
}
