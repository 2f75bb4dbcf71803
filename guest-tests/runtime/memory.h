/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory map, and an allocator of pages for tests. */
#ifndef RUNTIME_MEMORY_H
#define RUNTIME_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_4K 0x1000ul
#define PAGE_2M 0x200000ul
#define PAGE_1G 0x40000000ul

struct memory_range {
    uint64_t start, end;
};

/* Read the memory map from the PVH loader. */
void memory_init(uint32_t start_info);

/* The loader's command line, and the value of name=value in it; NULL if it is absent. */
const char *command_line(void);
bool option_is(const char *name, const char *value);
bool option_present(const char *name);
/* Decimal, or hexadecimal after 0x. */
uint64_t option_number(const char *name, uint64_t otherwise);

/* Address of the ACPI root pointer; 0 if the loader gave none. */
uint64_t acpi_root_pointer(void);

unsigned ram_ranges(const struct memory_range **ranges);
/* First address above all RAM. */
uint64_t ram_end(void);

/* Keep allocations out of [start, end). */
void memory_reserve(uint64_t start, uint64_t end);

/* From now on, allocations share no 2 MiB region with the runtime's own pages. */
void memory_begin_tests(void);

/* Allocate zeroed RAM below 4 GiB, which is mapped one to one. It is never freed. 0 if none is
 * left. */
uint64_t allocate(uint64_t size, uint64_t alignment);
/* The same, but end the run with one line if none is left. */
uint64_t allocate_or_fail(uint64_t size, uint64_t alignment);

/* Allocate this range, anywhere in RAM. False if it is not free. Its contents are not changed. */
bool claim(uint64_t start, uint64_t size);

#endif
