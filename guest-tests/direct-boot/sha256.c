// SPDX-License-Identifier: GPL-2.0-or-later
#include "sha256.h"

#include "bytes.h"

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t value, unsigned by)
{
    return value >> by | value << (32 - by);
}

static uint32_t read_word(const uint8_t *at)
{
    uint32_t word;

    memcpy(&word, at, sizeof(word));
    return __builtin_bswap32(word);
}

static void add_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

    for (unsigned i = 0; i < 16; i++)
        w[i] = read_word(block + 4 * i);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];

        w[i] = w[i - 16] + w[i - 7] + (rotated(x, 7) ^ rotated(x, 18) ^ x >> 3) +
               (rotated(y, 17) ^ rotated(y, 19) ^ y >> 10);
    }
    for (unsigned i = 0; i < 64; i++) {
        uint32_t t1 = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) +
                      round_constants[i] + w[i];
        uint32_t t2 =
            (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void sha256_begin(struct sha256 *hash)
{
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memcpy(hash->state, initial, sizeof(initial));
    hash->bytes = 0;
}

void sha256_add(struct sha256 *hash, const void *data, uint64_t bytes)
{
    const uint8_t *next = data;
    uint64_t held = hash->bytes % SHA256_BLOCK_BYTES;

    hash->bytes += bytes;
    if (held) {
        uint64_t part = bytes < SHA256_BLOCK_BYTES - held ? bytes : SHA256_BLOCK_BYTES - held;

        memcpy(hash->pending + held, next, part);
        next += part;
        bytes -= part;
        if (held + part < SHA256_BLOCK_BYTES)
            return;
        add_block(hash->state, hash->pending);
    }
    for (; bytes >= SHA256_BLOCK_BYTES; bytes -= SHA256_BLOCK_BYTES, next += SHA256_BLOCK_BYTES)
        add_block(hash->state, next);
    memcpy(hash->pending, next, bytes);
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
    static const uint8_t padding[SHA256_BLOCK_BYTES] = {0x80};
    uint64_t bits = __builtin_bswap64(hash->bytes * 8);

    /* So many that the length ends a block. */
    sha256_add(hash, padding, 1 + (SHA256_BLOCK_BYTES + 55 - hash->bytes % 64) % 64);
    sha256_add(hash, &bits, sizeof(bits));
    for (unsigned i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(hash->state[i]);

        memcpy(digest + 4 * i, &word, sizeof(word));
    }
}
