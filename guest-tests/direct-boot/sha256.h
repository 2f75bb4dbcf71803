/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 (FIPS 180-4). */
#ifndef DIRECT_BOOT_SHA256_H
#define DIRECT_BOOT_SHA256_H

#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_BLOCK_BYTES = 64 };

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t pending[SHA256_BLOCK_BYTES];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, uint64_t bytes);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

#endif
