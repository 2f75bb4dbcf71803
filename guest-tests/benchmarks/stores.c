// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Loops that do little but store, on a machine with SNP enabled and with assigned pages around the
 * memory that they write. Each prints how long it took in real time; scripts/benchmarks/stores.py
 * compares machines.
 */
#include "runtime.h"

#define AREA (64ul << 20)

enum { ASSIGNED = 256 };

static uint8_t *area;

static void prepare(const void *unused)
{
    uint64_t spa = allocate_or_fail(AREA, PAGE_2M);
    uint64_t guests = allocate_or_fail(PAGE_2M, PAGE_2M);
    (void)unused;
    area = map_window(spa, AREA, PAGE_4K, MAP_WRITE);
    if (!cpu_has_snp() || !rmp_present())
        return; /* plain stores, for comparison */
    snp_enable();
    for (unsigned i = 0; i < ASSIGNED; i++)
        EXPECT_EQ(rmp_assign(guests + 2 * i * PAGE_4K, RMP_PAGE_4K, 1, i * PAGE_4K), RMP_SUCCESS);
}

static void report(const char *name, uint64_t start)
{
    print("# benchmark %s %lu ms\n", name, clock_ms() - start);
}

/*
 * Not at the start of a page, where the addresses of the stores would alias with those of QEMU's
 * TLB entries on the host.
 */
static void same_page(const void *unused)
{
    uint64_t start = clock_ms(), rounds = 60000000;
    (void)unused;
    __asm__ volatile("1: movq %0, (%1); movq %0, 64(%1); movq %0, 128(%1); movq %0, 192(%1);"
                     "movq %0, 256(%1); movq %0, 320(%1); movq %0, 384(%1); movq %0, 448(%1);"
                     "dec %0; jnz 1b"
                     : "+r"(rounds)
                     : "r"(area + 2048)
                     : "memory", "cc");
    report("same_page", start);
}

/* Eight stores to each page, page by page. */
static void many_pages(const void *unused)
{
    uint64_t start = clock_ms();
    (void)unused;
    for (unsigned round = 0; round < 100; round++) {
        for (uint8_t *page = area; page < area + AREA; page += PAGE_4K) {
            for (unsigned i = 0; i < 8; i++)
                *(volatile uint64_t *)(page + i * 64) = round;
        }
    }
    report("many_pages", start);
}

static void string(const void *unused)
{
    uint64_t start = clock_ms();
    (void)unused;
    for (unsigned round = 0; round < 20; round++) {
        uint64_t rcx = AREA / 8, rdi = (uint64_t)area;
        __asm__ volatile("rep stosq" : "+c"(rcx), "+D"(rdi) : "a"(0ul) : "memory");
    }
    report("string", start);
}

/* Flushes the TLB all the time, as a machine that switches between processes does. */
static void after_flushes(const void *unused)
{
    uint64_t start = clock_ms();
    (void)unused;
    for (unsigned round = 0; round < 60000; round++) {
        flush_tlb();
        for (uint8_t *page = area; page < area + 64 * PAGE_4K; page += PAGE_4K)
            *(volatile uint64_t *)page = round;
    }
    report("after_flushes", start);
}

static const struct test_case cases[] = {
    TEST(prepare, "a machine with guests"),
    TEST(same_page, "stores to one page"),
    TEST(many_pages, "stores to 16384 pages in turn"),
    TEST(string, "rep stosq over 64 MiB"),
    TEST(after_flushes, "stores to 64 pages after each TLB flush"),
};
TEST_SUITE(cases);
