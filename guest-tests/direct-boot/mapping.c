// SPDX-License-Identifier: GPL-2.0-or-later
#include "mapping.h"

#include "layout.h"
#include "runtime/x86.h"

#define GIB (1ul << 30)
#define WINDOW (4 * GIB)
#define PRESENT_WRITABLE 3ul
#define LARGE 0x80ul
#define ENTRIES 512

extern uint64_t page_directory_pointers[ENTRIES], page_directories[4 * ENTRIES];
static uint64_t window_directory[ENTRIES] __attribute__((aligned(PAGE_BYTES)));
static uint64_t encryption, in_window;

void mapping_init(uint64_t encryption_mask)
{
    encryption = encryption_mask;
}

uint64_t address_limit(void)
{
    return encryption;
}

static void map_large(uint64_t gpa, uint64_t bits)
{
    gpa &= ~(LARGE_PAGE_BYTES - 1ul);
    page_directories[gpa / LARGE_PAGE_BYTES] = gpa | bits | LARGE | PRESENT_WRITABLE;
    flush_tlb();
}

void map_shared(uint64_t gpa)
{
    map_large(gpa, 0);
}

void map_private(uint64_t gpa)
{
    map_large(gpa, encryption);
}

void *mapped(uint64_t gpa)
{
    uint64_t start = gpa & ~(GIB - 1);

    if (gpa < WINDOW)
        return (void *)gpa;
    if (start != in_window) {
        for (unsigned i = 0; i < ENTRIES; i++)
            window_directory[i] =
                (start + i * (uint64_t)LARGE_PAGE_BYTES) | encryption | LARGE | PRESENT_WRITABLE;
        page_directory_pointers[WINDOW / GIB] =
            (uint64_t)window_directory | encryption | PRESENT_WRITABLE;
        flush_tlb();
        in_window = start;
    }
    return (void *)(WINDOW + gpa - start);
}
