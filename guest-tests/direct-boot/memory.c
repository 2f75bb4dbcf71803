// SPDX-License-Identifier: GPL-2.0-or-later
#include "memory.h"

#include <stdbool.h>

#include "bytes.h"
#include "fail.h"
#include "fw_cfg.h"
#include "hypervisor.h"
#include "layout.h"
#include "mapping.h"
#include "validate.h"

enum {
    MOST_ENTRIES = 32, /* of the hypervisor; a q35 has four */
    MOST_FOR_LINUX = MOST_ENTRIES + 8
};

extern char work_end[];

static struct memory_entry given[MOST_ENTRIES];
static unsigned given_count;
static struct memory_entry for_linux[MOST_FOR_LINUX];
static unsigned for_linux_count;
/* Of the memory that begins at 0. */
static uint64_t start_of_free = SHARED_END, end_of_free, start_of_acpi, end_of_acpi;

static void accept(uint64_t start, uint64_t end)
{
    request_private(start, end);
    validate(start, end);
}

/* Without what is valid since the launch, where devices may be, and what is shared. */
static void accept_private(uint64_t start, uint64_t end)
{
    const struct {
        uint64_t start, end;
    } left_out[] = {
        {FIRMWARE_START, (uint64_t)work_end},
        {LOW_MEMORY_END, SHADOW_MEMORY},
        {SHARED_START, SHARED_END},
    };

    for (unsigned i = 0; i < sizeof(left_out) / sizeof(*left_out); i++) {
        if (left_out[i].end <= start || end <= left_out[i].start)
            continue;
        accept(start, left_out[i].start);
        start = left_out[i].end;
    }
    accept(start, end);
}

void memory_accept_shared(void)
{
    validate(SHARED_START, SHARED_END);
}

static bool overlaps(const struct memory_entry *entry, const struct memory_entry *others,
                     unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (entry->start < others[i].start + others[i].size &&
            others[i].start < entry->start + entry->size)
            return true;
    }
    return false;
}

static void read_map(void)
{
    struct fw_cfg_file file = fw_cfg_find("etc/e820");

    given_count = file.size / sizeof(*given);
    if (!file.size || file.size % sizeof(*given) || given_count > MOST_ENTRIES)
        fail(REASON_MEMORY, "a memory map of an unexpected size");
    fw_cfg_select(file.item);
    fw_cfg_read(given, file.size);
    for (unsigned i = 0; i < given_count; i++) {
        const struct memory_entry *entry = &given[i];
        uint64_t end = entry->start + entry->size;

        if (end <= entry->start || end > address_limit() ||
            (entry->start | entry->size) % PAGE_BYTES || overlaps(entry, given, i) ||
            overlaps(entry, for_linux, for_linux_count))
            fail(REASON_MEMORY, "a senseless entry of the memory map");
        if (entry->type == MEMORY_RAM && entry->start == 0 && end <= FOUR_GIB)
            end_of_free = end_of_acpi = start_of_acpi = end;
    }
    if (end_of_free < start_of_free)
        fail(REASON_MEMORY, "too little memory at address 0");
}

void memory_init(void)
{
    read_map();
    for (unsigned i = 0; i < given_count; i++) {
        if (given[i].type == MEMORY_RAM)
            accept_private(given[i].start, given[i].start + given[i].size);
    }
    memset((void *)SHADOW_MEMORY, 0, HIGH_MEMORY - SHADOW_MEMORY);
}

void *memory_take(uint64_t bytes, uint64_t limit)
{
    uint64_t end = end_of_free < limit ? end_of_free : limit & ~(PAGE_BYTES - 1ul);

    if (end < start_of_free || end - start_of_free < bytes)
        fail(REASON_MEMORY, "too little memory");
    end_of_free = (end - bytes) & ~(PAGE_BYTES - 1ul);
    return (void *)end_of_free;
}

void memory_taken_is_acpi(void)
{
    start_of_acpi = end_of_free;
}

void *memory_at(uint64_t start, uint64_t alignment, uint64_t bytes)
{
    uint64_t at = start < start_of_free ? start_of_free : start;

    if (at > FOUR_GIB || bytes > FOUR_GIB || alignment > FOUR_GIB)
        fail(REASON_MEMORY, "a kernel that wants to be above 4 GiB");
    at = (at + alignment - 1) / alignment * alignment;
    if (at > end_of_free || end_of_free - at < bytes)
        fail(REASON_MEMORY, "too little memory for the kernel");
    start_of_free = at + bytes;
    return (void *)at;
}

static void add(uint64_t start, uint64_t end, uint32_t type)
{
    if (start >= end)
        return;
    if (for_linux_count == MOST_FOR_LINUX)
        fail(REASON_MEMORY, "a memory map with too many entries");
    for_linux[for_linux_count++] = (struct memory_entry){start, end - start, type};
}

void memory_reserve(uint64_t start, uint64_t bytes)
{
    add(start, start + bytes, MEMORY_RESERVED);
}

unsigned memory_describe(struct memory_entry *entries, unsigned capacity)
{
    for (unsigned i = 0; i < given_count; i++) {
        uint64_t start = given[i].start, end = start + given[i].size;

        if (given[i].type == MEMORY_RAM && start == 0) {
            add(0, FIRMWARE_START, MEMORY_RAM);
            add(FIRMWARE_START, LOW_MEMORY_END, MEMORY_RESERVED);
            add(HIGH_MEMORY, start_of_acpi, MEMORY_RAM);
            add(start_of_acpi, end_of_acpi, MEMORY_ACPI);
        } else {
            add(start, end, given[i].type);
        }
    }
    if (for_linux_count > capacity)
        fail(REASON_MEMORY, "a memory map with too many entries");
    for (unsigned i = 0; i < for_linux_count; i++)
        entries[i] = for_linux[i];
    return for_linux_count;
}
