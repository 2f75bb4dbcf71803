/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints text on the first serial port, and ends the run. */
#ifndef RUNTIME_CONSOLE_H
#define RUNTIME_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void console_init(void);

/* Supports %d %u %x %lu %lx %ld %s %c %%, a width, a leading 0, and '#' for 0x. */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);

/* Report the verdict to the runner and end QEMU. */
_Noreturn void exit_run(bool passed);

/* The compiler may call the first three of its own accord. */
void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

#endif
