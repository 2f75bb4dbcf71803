/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memory there is, and pages for tests that no one else touches. */
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

/* Read the memory map that the PVH loader hands over. */
void memory_init(uint32_t start_info);

/* The loader's command line, and the value of name=value in it (NULL if absent). */
const char *command_line(void);
bool option_is(const char *name, const char *value);
bool option_present(const char *name);
/* Decimal, or hexadecimal after 0x. */
uint64_t option_number(const char *name, uint64_t otherwise);

/* Address of the ACPI root pointer, 0 if the loader gave none. */
uint64_t acpi_root_pointer(void);

unsigned ram_ranges(const struct memory_range **ranges);
/* First address above all RAM. */
uint64_t ram_end(void);

/* Keep allocations out of [start, end). */
void memory_reserve(uint64_t start, uint64_t end);

/* What is allocated from here on shares no 2 MiB region with the runtime's own pages. */
void memory_begin_tests(void);

/* SPA of zeroed RAM below 4 GiB (so mapped one to one), never given back. 0 if none is left. */
uint64_t allocate(uint64_t size, uint64_t alignment);
/* The same, or end the run with one line. */
uint64_t allocate_or_fail(uint64_t size, uint64_t alignment);

/* Take this very range, anywhere in RAM; false if it is not free. Its contents stay as they are. */
bool claim(uint64_t start, uint64_t size);

#endif
