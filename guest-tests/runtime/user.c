// SPDX-License-Identifier: GPL-2.0-or-later
#include "user.h"

#include "console.h"
#include "layout.h"
#include "paging.h"
#include "x86.h"

enum { INT3 = 0xcc };

void enter_user(const struct trap *state);

/* A code page and a stack page below 4 GiB, allocated at the first use. */
static uint8_t *user_pages(void)
{
    static uint64_t pages;
    if (!pages) {
        pages = allocate_or_fail(2 * PAGE_4K, PAGE_4K);
        map_page(pages, pages, PAGE_4K, MAP_WRITE | MAP_USER);
        map_page(pages + PAGE_4K, pages + PAGE_4K, PAGE_4K, MAP_WRITE | MAP_USER);
    }
    return (uint8_t *)pages;
}

static uint64_t run_in_segment(uint64_t selector, const void *code, size_t size, struct trap *state)
{
    uint8_t *page = user_pages();

    memcpy(page, code, size);
    page[size] = INT3;
    state->rip = (uint64_t)page;
    state->rsp = (uint64_t)page + 2 * PAGE_4K;
    state->cs = selector | 3;
    state->ss = SELECTOR_USER_DATA | 3;
    state->rflags = (state->rflags & FLAGS_ARITHMETIC) | 2;
    enter_user(state);
    *state = this_cpu()->trap;
    return (uint64_t)page;
}

uint64_t run_user(const void *code, size_t size, struct trap *state)
{
    return run_in_segment(SELECTOR_USER_CODE64, code, size, state);
}

uint64_t run_user32(const void *code, size_t size, struct trap *state)
{
    return run_in_segment(SELECTOR_USER_CODE32, code, size, state);
}
