// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashes.h"

#include <stdbool.h>

#include "bytes.h"
#include "fail.h"
#include "layout.h"

struct guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};

/* Lengths are those of the whole part. */
struct __attribute__((packed)) table {
    struct guid name;
    uint16_t length;
    struct __attribute__((packed)) {
        struct guid name;
        uint16_t length;
        uint8_t digest[SHA256_BYTES];
    } entries[HASHED];
};

static const struct guid table_name = {
    0x9438d606, 0x4f22, 0x4cc9, {0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21}};
static const struct {
    struct guid name;
    const char *mismatch;
} expected[HASHED] = {
    [HASHED_COMMAND_LINE] =
        {{0x97d02dd8, 0xbd20, 0x4c94, {0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a}},
         "the command line is not the one that was measured"},
    [HASHED_INITRD] =
        {{0x44baf731, 0x3a2f, 0x4bd7, {0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d}},
         "the initrd is not the one that was measured"},
    [HASHED_KERNEL] =
        {{0x4de79437, 0xabd2, 0x427f, {0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b}},
         "the kernel is not the one that was measured"},
};

static bool page_is_empty(void)
{
    const uint64_t *words = (const uint64_t *)HASHES_PAGE;

    for (unsigned i = 0; i < PAGE_BYTES / sizeof(*words); i++) {
        if (words[i])
            return false;
    }
    return true;
}

void hashes_check(enum hashed what, struct sha256 *hash)
{
    const struct table *table = (const struct table *)HASHES_PAGE;
    uint8_t digest[SHA256_BYTES];

    if (page_is_empty())
        return;
    if (memcmp(&table->name, &table_name, sizeof(table_name)) != 0 ||
        table->length != sizeof(*table) ||
        memcmp(&table->entries[what].name, &expected[what].name, sizeof(table_name)) != 0 ||
        table->entries[what].length != sizeof(*table->entries))
        fail(REASON_HASH, "the page of measured hashes holds something else");
    sha256_end(hash, digest);
    if (memcmp(digest, table->entries[what].digest, sizeof(digest)) != 0)
        fail(REASON_HASH, expected[what].mismatch);
}
