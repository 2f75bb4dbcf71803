// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A segment whose entry in the segment table has reserved bits set. A write to it raises a
 * reserved-bits fault, not an RMP fault. Needs RAM above 4 GiB, because this program is below.
 * The test plays the BIOS: it splits the RMP into segments of 1 GiB and breaks the entry of one.
 */
#include "runtime.h"

#define RST_OFFSET 0x4000
#define RST_RESERVED (1ul << 62) /* above any physical address */
#define GB_OF_TABLE (PAGE_1G / PAGE_4K * 16)
#define SEGMENT_SHIFT 30
#define PF_RESERVED (1ul << 3)

enum { BROKEN = 4 }; /* the segment that begins at 4 GiB */

#define RULE "APM2 15.36.22.3: a reserved bit of a segment's entry, a reserved-bits fault"

static uint8_t *broken, *sound;
static uint64_t sound_spa;

static const char *unmet(void)
{
    if (!rmp_is_segmented())
        return "the RMP has no segments";
    if (ram_end() <= (BROKEN + 1) * PAGE_1G)
        return "no RAM above 5 GiB";
    return snp_unmet();
}

static void set_segment_size(void *unused)
{
    (void)unused;
    wrmsr(MSR_RMP_CFG, RMP_CFG_SEGMENTED | SEGMENT_SHIFT << 8);
}

static uint64_t *segment_table(void)
{
    return (uint64_t *)(rdmsr(MSR_RMP_BASE) + RST_OFFSET);
}

/* The RMP of all RAM is contiguous, so it can be split into adjacent tables for each GB. */
static void cut_into_segments(void)
{
    uint64_t first = segment_table()[0] & ~(PAGE_1G / 1024 - 1);
    for (unsigned i = 0; i * PAGE_1G < ram_end(); i++)
        segment_table()[i] = (first + i * GB_OF_TABLE) | 1;
}

static void enable(const void *unused)
{
    uint64_t spa = BROKEN * PAGE_1G + PAGE_1G / 4;
    (void)unused;
    REQUIRE(claim(spa, PAGE_2M));
    broken = map_window(spa, PAGE_2M, PAGE_4K, MAP_WRITE);
    sound_spa = allocate_or_fail(PAGE_2M, PAGE_2M);
    sound = map_window(sound_spa, PAGE_2M, PAGE_4K, MAP_WRITE);
    broken[5] = 0x11;
    rmp_zero();
    cut_into_segments();
    segment_table()[BROKEN] |= RST_RESERVED;
    run_on_all_cpus(set_segment_size, NULL);
    rmp_discover();
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

static void store(uint8_t *target)
{
    __asm__ volatile(GUARDED("movb $0x5a, (%0)") : : "r"(target) : "memory");
}

static void expect_fault(uint8_t *target, uint64_t error_code)
{
    store(target);
    REQUIRE_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, error_code);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)target);
}

static void store_to_broken_segment(const void *unused)
{
    (void)unused;
    expect_fault(broken + 5, PF_RESERVED | PF_WRITE | PF_PRESENT);
    EXPECT_EQ(broken[5], 0x11);
}

static void reads_are_not_checked(const void *unused)
{
    (void)unused;
    EXPECT_EQ(*(volatile uint8_t *)(broken + 5), 0x11);
    expect_fault(broken + 5, PF_RESERVED | PF_WRITE | PF_PRESENT);
}

static void operand_in_broken_segment(const void *unused)
{
    uint32_t status;
    (void)unused;
    if (!cpu_has_rmpread())
        SKIP("no RMPREAD");
    __asm__ volatile(GUARDED(BYTES_RMPREAD)
                     : "=a"(status)
                     : "a"(sound_spa), "c"(broken + 16)
                     : "memory", "cc");
    REQUIRE_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, PF_RESERVED | PF_WRITE | PF_PRESENT);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)broken + 16);
}

static void other_segments_are_as_ever(const void *unused)
{
    (void)unused;
    store(sound);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(sound[0], 0x5a);
    REQUIRE_EQ(rmp_assign(sound_spa, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    expect_fault(sound, RMP_FAULT);
    EXPECT_EQ(rmp_unassign(sound_spa, RMP_PAGE_4K), RMP_SUCCESS);
}

static const struct test_case cases[] = {
    TEST(enable, "APM2 15.36.22: software may choose the size of segments"),
    TEST(store_to_broken_segment, RULE),
    TEST(reads_are_not_checked, "APM2 15.36.10: host reads are not checked"),
    TEST(operand_in_broken_segment, RULE),
    TEST(other_segments_are_as_ever, "APM2 15.36.10: host writes need a hypervisor-owned page"),
};
TEST_SUITE_IF(cases, unmet);
