// SPDX-License-Identifier: GPL-2.0-or-later
/* PSMASH: one assigned 2 MiB page becomes 512 assigned 4 KiB pages. */
#include "runtime.h"

static const uint8_t code[] = {0xf3, 0x0f, 0x01, 0xff};

static uint64_t fresh_2m(void)
{
    return allocate_or_fail(PAGE_2M, PAGE_2M);
}

static void ud_without_snp_en(const void *unused)
{
    uint64_t base = fresh_2m();
    struct insn_result result = insn_psmash(base, 1, 2);
    (void)unused;
    EXPECT_UD(result);
    EXPECT_EQ(result.rax, base);
}

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

static void splits_into_512_entries(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;

    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 3, 0x7c0000000), RMP_SUCCESS);
    EXPECT_EQ(psmash(base), RMP_SUCCESS);
    for (uint64_t i = 0; i < 512; i++) {
        struct rmp_record entry = rmp_lookup(base + i * PAGE_4K);
        EXPECT_EQ(entry.assigned, 1);
        EXPECT_EQ(entry.page_size & 1, RMP_PAGE_4K);
        EXPECT_EQ(entry.immutable, 0);
        EXPECT_EQ(entry.asid, 3);
        EXPECT_EQ(entry.gpa, 0x7c0000000 + i * PAGE_4K);
    }
    EXPECT_EQ(rmp_lookup(base + PAGE_2M).assigned, 0);
}

static void pieces_are_pages_of_their_own(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;

    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 3, 0), RMP_SUCCESS);
    REQUIRE_EQ(psmash(base), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 3, 0), RMP_FAIL_OVERLAP);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_FAIL_OVERLAP);
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(rmp_unassign(base + i * PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 3, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void misaligned_address(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;

    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 3, 0), RMP_SUCCESS);
    EXPECT_EQ(psmash(base + 1), RMP_FAIL_INPUT);
    EXPECT_EQ(psmash(base + PAGE_4K), RMP_FAIL_INPUT);
    EXPECT_EQ(psmash(base + PAGE_1G / 1024), RMP_FAIL_INPUT);
    EXPECT_EQ(rmp_lookup(base).page_size & 1, RMP_PAGE_2M);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void outside_the_rmp(const void *unused)
{
    (void)unused;
    EXPECT_EQ(psmash((rmp_covered_end() + PAGE_2M - 1) & ~(PAGE_2M - 1)), RMP_FAIL_INPUT);
    EXPECT_EQ(psmash(1ul << 46), RMP_FAIL_INPUT);
}

/* Policy psmash-kind decides between these two. No other status is right. */
static void expect_refused(uint64_t base)
{
    uint32_t result = psmash(base);
    EXPECT(result == RMP_FAIL_BADADDR || result == RMP_FAIL_PERMISSION);
}

static void refuses_shared_page(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    expect_refused(base);
    EXPECT_EQ(rmp_lookup(base).assigned, 0);
    EXPECT_EQ(rmp_lookup(base + PAGE_4K).assigned, 0);
}

static void refuses_small_page(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_4K, 3, 0x5000), RMP_SUCCESS);
    expect_refused(base);
    EXPECT_EQ(rmp_lookup(base).gpa, 0x5000);
    EXPECT_EQ(rmp_lookup(base + PAGE_4K).assigned, 0);
}

static void refuses_second_time(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 3, 0), RMP_SUCCESS);
    REQUIRE_EQ(psmash(base), RMP_SUCCESS);
    expect_refused(base);
}

static void refuses_immutable_page(const void *unused)
{
    uint64_t base = fresh_2m();
    struct rmp_record record = {.assigned = 1, .page_size = 1, .immutable = 1, .asid = 3};
    (void)unused;
    REQUIRE_EQ(rmpupdate(base, &record), RMP_SUCCESS);
    expect_refused(base);
    EXPECT_EQ(rmp_lookup(base).page_size & 1, RMP_PAGE_2M);
    EXPECT_EQ(rmp_lookup(base).immutable, 1);
}

static void gp_in_user_mode(const void *unused)
{
    uint64_t base = fresh_2m(), start;
    struct trap state = {.rax = base};
    (void)unused;

    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 3, 0), RMP_SUCCESS);
    start = run_user(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(state.error_code, 0);
    EXPECT_EQ(state.rip, start);
    EXPECT_EQ(state.rax, base);
    EXPECT_EQ(rmp_lookup(base).page_size & 1, RMP_PAGE_2M);
}

static void other_registers_are_kept(const void *unused)
{
    uint64_t base = fresh_2m();
    struct insn_result result = insn_psmash(base, 0x1122334455667788, 0x99aabbccddeeff00);
    (void)unused;
    EXPECT_NO_TRAP(result);
    EXPECT_EQ(result.rcx, 0x1122334455667788);
    EXPECT_EQ(result.rdx, 0x99aabbccddeeff00);
}

static const struct test_case cases[] = {
    TEST(ud_without_snp_en, "APM3 PSMASH: #UD if SNP_EN=0"),
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(splits_into_512_entries, "APM2 15.36.11: same owner, GPA in steps of 4 KiB"),
    TEST(pieces_are_pages_of_their_own, "APM2 15.36.11: the pieces are 4 KiB entries"),
    TEST(misaligned_address, "APM3 PSMASH: FAIL_INPUT below 2 MiB alignment"),
    TEST(outside_the_rmp, "APM3 PSMASH: FAIL_INPUT without an entry"),
    TEST(refuses_shared_page, "APM3 PSMASH: only assigned pages"),
    TEST(refuses_small_page, "APM3 PSMASH: only 2 MiB pages"),
    TEST(refuses_second_time, "APM3 PSMASH: only 2 MiB pages"),
    TEST(refuses_immutable_page, "APM3 PSMASH: no immutable pages"),
    TEST(gp_in_user_mode, "APM3 PSMASH: #GP(0) at CPL > 0"),
    TEST(other_registers_are_kept, "APM3 PSMASH: only EAX and flags change"),
};
TEST_SUITE_IF(cases, snp_unmet);
