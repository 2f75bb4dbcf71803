// SPDX-License-Identifier: GPL-2.0-or-later
#include "memory.h"

#include "console.h"

enum {
    PVH_MAGIC = 0x336ec578,
    MEMORY_TYPE_RAM = 1,
    MAX_RANGES = 64,
};

struct pvh_start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp;
    /* Since version 1. */
    uint64_t memory_map;
    uint32_t memory_map_entries, reserved;
};

struct pvh_memory_map_entry {
    uint64_t address, size;
    uint32_t type, reserved;
};

extern char image_end[];

static struct memory_range ram[MAX_RANGES];
static unsigned ram_count;
static struct memory_range reserved[MAX_RANGES];
static unsigned reserved_count;
static const char *boot_command_line = "";
static uint64_t rsdp;
static uint64_t next_free;

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

static void add_ram(const struct pvh_memory_map_entry *entry)
{
    if (entry->type != MEMORY_TYPE_RAM || ram_count == MAX_RANGES)
        return;
    ram[ram_count++] = (struct memory_range){entry->address, entry->address + entry->size};
}

void memory_init(uint32_t start_info)
{
    const struct pvh_start_info *info = (const void *)(uint64_t)start_info;
    const struct pvh_memory_map_entry *map;

    if (info->magic != PVH_MAGIC || info->version < 1) {
        print("Bail out! no PVH memory map: boot this image with QEMU's -kernel\n");
        exit_run(false);
    }
    map = (const void *)info->memory_map;
    for (uint32_t i = 0; i < info->memory_map_entries; i++)
        add_ram(&map[i]);
    if (info->command_line)
        boot_command_line = (const char *)info->command_line;
    rsdp = info->rsdp;
    next_free = align_up((uint64_t)image_end, PAGE_2M);
}

const char *command_line(void)
{
    return boot_command_line;
}

static const char *find_option(const char *name)
{
    size_t length = strlen(name);
    for (const char *word = boot_command_line; *word; word++) {
        bool at_start = word == boot_command_line || word[-1] == ' ';
        if (at_start && strlen(word) > length && memcmp(word, name, length) == 0 &&
            word[length] == '=')
            return word + length + 1;
    }
    return NULL;
}

bool option_present(const char *name)
{
    return find_option(name) != NULL;
}

bool option_is(const char *name, const char *value)
{
    const char *found = find_option(name);
    size_t length = strlen(value);
    if (!found || strlen(found) < length || memcmp(found, value, length) != 0)
        return false;
    return found[length] == '\0' || found[length] == ' ';
}

static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

uint64_t option_number(const char *name, uint64_t otherwise)
{
    const char *text = find_option(name);
    unsigned base = 10;
    uint64_t value = 0;

    if (!text)
        return otherwise;
    if (text[0] == '0' && text[1] == 'x') {
        base = 16;
        text += 2;
    }
    for (; digit_value(*text) < base; text++)
        value = value * base + digit_value(*text);
    return value;
}

uint64_t acpi_root_pointer(void)
{
    return rsdp;
}

unsigned ram_ranges(const struct memory_range **ranges)
{
    *ranges = ram;
    return ram_count;
}

uint64_t ram_end(void)
{
    uint64_t end = 0;
    for (unsigned i = 0; i < ram_count; i++) {
        if (ram[i].end > end)
            end = ram[i].end;
    }
    return end;
}

void memory_reserve(uint64_t start, uint64_t end)
{
    /* The tables of all segments are contiguous. */
    if (reserved_count && start == reserved[reserved_count - 1].end) {
        reserved[reserved_count - 1].end = end;
        return;
    }
    if (reserved_count == MAX_RANGES) {
        print("Bail out! more than %d reserved ranges\n", MAX_RANGES);
        exit_run(false);
    }
    reserved[reserved_count++] = (struct memory_range){start, end};
}

void memory_begin_tests(void)
{
    next_free = align_up(next_free, PAGE_2M);
}

static bool in_ram(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < ram_count; i++) {
        if (start >= ram[i].start && end <= ram[i].end)
            return true;
    }
    return false;
}

/* The end of a reserved range that overlaps this one; 0 if none does. */
static uint64_t conflict_end(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < reserved_count; i++) {
        if (start < reserved[i].end && end > reserved[i].start)
            return reserved[i].end;
    }
    return 0;
}

uint64_t allocate(uint64_t size, uint64_t alignment)
{
    uint64_t start = align_up(next_free, alignment);
    for (;;) {
        uint64_t conflict = conflict_end(start, start + size);
        if (!conflict)
            break;
        start = align_up(conflict, alignment);
    }
    if (start + size > 4 * PAGE_1G || !in_ram(start, start + size))
        return 0;
    next_free = start + size;
    memset((void *)start, 0, size);
    return start;
}

uint64_t allocate_or_fail(uint64_t size, uint64_t alignment)
{
    uint64_t start = allocate(size, alignment);
    if (!start) {
        print("Bail out! %lu KiB of memory wanted, none left: give the machine more\n",
              size / 1024);
        exit_run(false);
    }
    return start;
}

bool claim(uint64_t start, uint64_t size)
{
    uint64_t end = start + size;
    if (start < next_free || !in_ram(start, end) || conflict_end(start, end))
        return false;
    memory_reserve(start, end);
    return true;
}
