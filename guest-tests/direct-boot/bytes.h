/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the compiler expects of a C library, and no more. */
#ifndef DIRECT_BOOT_BYTES_H
#define DIRECT_BOOT_BYTES_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

#endif
