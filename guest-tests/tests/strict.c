// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The rule for large mappings of the host: for a write through a 2 MiB or 1 GiB mapping, all 512
 * pages must be hypervisor-owned. Needs the plugin's enforce=strict.
 */
#include "runtime.h"

enum { OWNED = 9, OTHER = 300 }; /* pages of the region */

static uint64_t base;
static uint8_t *small, *large, *huge; /* the region in 4 KiB, 2 MiB and 1 GiB mappings */

static void enable(const void *unused)
{
    (void)unused;
    base = allocate_or_fail(PAGE_2M, PAGE_2M);
    small = map_window(base, PAGE_2M, PAGE_4K, MAP_WRITE);
    large = map_window(base, PAGE_2M, PAGE_2M, MAP_WRITE);
    huge = map_window(base & -PAGE_1G, PAGE_1G, PAGE_1G, MAP_WRITE);
    huge += base % PAGE_1G;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

static void store(uint8_t *target)
{
    __asm__ volatile(GUARDED("movb $0x5a, (%0)") : : "r"(target) : "memory");
}

static void expect_stored(uint8_t *target)
{
    *(volatile uint8_t *)(small + (uint64_t)target % PAGE_4K + OTHER * PAGE_4K) = 0;
    store(target);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(small[OTHER * PAGE_4K + (uint64_t)target % PAGE_4K], 0x5a);
}

static void expect_fault(uint8_t *target)
{
    store(target);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    if (this_cpu()->trap_vector != VECTOR_PF)
        return;
    EXPECT_EQ(this_cpu()->trap.error_code, RMP_FAULT);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)target);
}

static void assign(unsigned page)
{
    EXPECT_EQ(rmp_assign(base + page * PAGE_4K, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
}

static void unassign(unsigned page)
{
    EXPECT_EQ(rmp_unassign(base + page * PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
}

static void free_region_is_writable(const void *unused)
{
    (void)unused;
    expect_stored(small + OTHER * PAGE_4K);
    expect_stored(large + OTHER * PAGE_4K);
    expect_stored(huge + OTHER * PAGE_4K);
}

static void other_pages_fault_through_large_mappings(const void *unused)
{
    (void)unused;
    assign(OWNED);
    expect_fault(large + OTHER * PAGE_4K);
    expect_fault(huge + OTHER * PAGE_4K);
    expect_fault(large + OWNED * PAGE_4K);
    unassign(OWNED);
}

static void small_mapping_reaches_other_pages(const void *unused)
{
    (void)unused;
    assign(OWNED);
    expect_stored(small + OTHER * PAGE_4K);
    expect_fault(small + OWNED * PAGE_4K);
    unassign(OWNED);
}

static void first_and_last_page_count(const void *unused)
{
    static const unsigned pages[] = {0, 511};
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        assign(pages[i]);
        expect_fault(large + OTHER * PAGE_4K);
        unassign(pages[i]);
        expect_stored(large + OTHER * PAGE_4K);
    }
}

static void neighbour_regions_are_free(const void *unused)
{
    uint64_t spa = allocate_or_fail(PAGE_2M, PAGE_2M);
    uint8_t *next = map_window(spa, PAGE_2M, PAGE_2M, MAP_WRITE);
    (void)unused;
    assign(OWNED);
    store(next);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    unassign(OWNED);
}

static void reads_are_not_checked(const void *unused)
{
    (void)unused;
    assign(OWNED);
    __asm__ volatile(GUARDED("movb (%0), %%al") : : "r"(large) : "rax", "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    expect_fault(large + OTHER * PAGE_4K); /* even after the read has filled the TLB */
    unassign(OWNED);
}

static void other_cpu_faults_as_well(const void *unused)
{
    (void)unused;
    if (cpu_count() < 2)
        SKIP("one CPU only");
    run_on_cpu(1, (void (*)(void *))expect_stored, large + OTHER * PAGE_4K);
    assign(OWNED);
    run_on_cpu(1, (void (*)(void *))expect_fault, large + OTHER * PAGE_4K);
    unassign(OWNED);
    run_on_cpu(1, (void (*)(void *))expect_stored, large + OTHER * PAGE_4K);
}

static void large_page_behind_a_large_mapping(const void *unused)
{
    (void)unused;
    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    expect_fault(large + OTHER * PAGE_4K);
    expect_fault(small + OTHER * PAGE_4K);
    REQUIRE_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
    expect_stored(large + OTHER * PAGE_4K);
}

#define SIZE_RULE "APM2 15.36.10: all 4 KiB pages of a large host mapping must be unassigned"

static const struct test_case cases[] = {
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(free_region_is_writable, SIZE_RULE),
    TEST(other_pages_fault_through_large_mappings, SIZE_RULE),
    TEST(small_mapping_reaches_other_pages, "APM2 15.36.10: a 4 KiB mapping needs its page alone"),
    TEST(first_and_last_page_count, SIZE_RULE),
    TEST(neighbour_regions_are_free, SIZE_RULE),
    TEST(reads_are_not_checked, "APM2 table 15-39: host reads are not checked"),
    TEST(other_cpu_faults_as_well, "APM3 RMPUPDATE: in effect on all CPUs"),
    TEST(large_page_behind_a_large_mapping, SIZE_RULE),
};
TEST_SUITE_IF(cases, snp_unmet);
