// SPDX-License-Identifier: GPL-2.0-or-later
#include "bytes.h"

void *memcpy(void *to, const void *from, size_t bytes)
{
    void *end = to;
    size_t words = bytes / 8;

    __asm__ volatile("rep movsq" : "+D"(end), "+S"(from), "+c"(words) : : "memory");
    bytes %= 8;
    __asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(bytes) : : "memory");
    return to;
}

void *memset(void *to, int byte, size_t bytes)
{
    void *end = to;

    __asm__ volatile("rep stosb" : "+D"(end), "+c"(bytes) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const unsigned char *left = a, *right = b;

    for (size_t i = 0; i < bytes; i++) {
        if (left[i] != right[i])
            return left[i] - right[i];
    }
    return 0;
}
