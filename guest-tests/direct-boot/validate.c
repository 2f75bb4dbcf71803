// SPDX-License-Identifier: GPL-2.0-or-later
#include "validate.h"

#include <stdbool.h>

#include "fail.h"
#include "layout.h"
#include "mapping.h"
#include "runtime/sev_guest.h"

enum { SIZE_4K = 0, SIZE_2M = 1, VALIDATED = 0, SIZE_MISMATCH = 6 };

/* Twice valid is as bad as not: the hypervisor may have exchanged the page in between. */
static bool validate_page(uint64_t gpa, uint64_t size)
{
    uint64_t result = (uint64_t)mapped(gpa);
    bool unchanged;

    __asm__ volatile(PVALIDATE : "+a"(result), "=@ccc"(unchanged) : "c"(size), "d"(1ul) : "memory");
    if ((uint32_t)result == SIZE_MISMATCH && size == SIZE_2M)
        return false;
    if ((uint32_t)result != VALIDATED || unchanged)
        fail(REASON_MEMORY, "a page cannot be validated");
    return true;
}

void validate(uint64_t start, uint64_t end)
{
    while (start < end) {
        uint64_t large_end = start - start % LARGE_PAGE_BYTES + LARGE_PAGE_BYTES;

        if (start % LARGE_PAGE_BYTES == 0 && large_end <= end && validate_page(start, SIZE_2M)) {
            start = large_end;
            continue;
        }
        for (; start < large_end && start < end; start += PAGE_BYTES)
            validate_page(start, SIZE_4K);
    }
}
