// SPDX-License-Identifier: GPL-2.0-or-later
#include "steer.h"

#include "host.h"
#include "kvm_vm.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGEMAP_PFN_BITS = 55, REGION_BITS = 30, PAGE_BITS = 12 };
#define HUGE_PAGE (2 * MIB)
#define MARGIN (192 * MIB)    /* for everybody else while memory is held */
#define SCATTERED (256 * MIB) /* at most so much is free in pieces below HUGE_PAGE */
#define IN_A_ROW 1024         /* so many right pages, and no wrong one is left in front */

/* Memory that is held: in huge pages, and what came page by page. */
static uint8_t *held, *scattered;
static size_t held_length;

static uint64_t region_of(int pagemap, const uint8_t *address)
{
    uint64_t entry = 0;
    off_t at = (off_t)((uintptr_t)address / GUEST_PAGE * sizeof(entry));

    must(pread(pagemap, &entry, sizeof(entry), at) == sizeof(entry) ? 0 : -1, "pagemap");
    return (entry & ((1ul << PAGEMAP_PFN_BITS) - 1)) >> (REGION_BITS - PAGE_BITS);
}

static void stay_on_this_cpu(void)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    must(sched_setaffinity(0, sizeof(cpus), &cpus), "sched_setaffinity");
}

static void hold_free_memory(void)
{
    size_t available = host_free_memory();

    held_length = available > MARGIN ? (available - MARGIN) & -HUGE_PAGE : HUGE_PAGE;
    held = anonymous_memory(held_length, MADV_HUGEPAGE);
    for (size_t at = 0; at < held_length; at += GUEST_PAGE)
        held[at] = 1;
}

static size_t let_go(int pagemap, uint64_t gib)
{
    size_t count = 0;

    for (size_t at = 0; at < held_length; at += HUGE_PAGE) {
        if (region_of(pagemap, held + at) != gib ||
            region_of(pagemap, held + at + HUGE_PAGE - GUEST_PAGE) != gib)
            continue;
        must(madvise(held + at, HUGE_PAGE, MADV_DONTNEED), "madvise");
        count += HUGE_PAGE;
    }
    return count;
}

/* Small pieces would be taken first: takes them, and lets go those that are right. */
static void swallow_pieces(int pagemap, uint64_t gib)
{
    size_t taken = 0, right = 0;

    scattered = anonymous_memory(SCATTERED, MADV_NOHUGEPAGE);
    while (taken < SCATTERED && right < IN_A_ROW) {
        scattered[taken] = 1;
        right = region_of(pagemap, scattered + taken) == gib ? right + 1 : 0;
        taken += GUEST_PAGE;
    }
    for (size_t at = 0; at < taken; at += GUEST_PAGE)
        if (region_of(pagemap, scattered + at) == gib)
            must(madvise(scattered + at, GUEST_PAGE, MADV_DONTNEED), "madvise");
}

size_t steer_to_region(uint64_t gib)
{
    int pagemap = must(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "/proc/self/pagemap");
    size_t count;

    steer_end();
    stay_on_this_cpu();
    hold_free_memory();
    count = let_go(pagemap, gib);
    if (count)
        swallow_pieces(pagemap, gib);
    close(pagemap);
    return count;
}

void steer_end(void)
{
    if (held)
        munmap(held, held_length);
    if (scattered)
        munmap(scattered, SCATTERED);
    held = scattered = NULL;
}
