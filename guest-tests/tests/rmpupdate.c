// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * RMPUPDATE: result codes, RMP entries, exceptions. Cases run in order and share the machine. A
 * case that leaves pages assigned uses 2 MiB of its own.
 */
#include "runtime.h"

static const uint8_t code[] = {0xf2, 0x0f, 0x01, 0xfe};

static uint64_t fresh_2m(void)
{
    return allocate_or_fail(PAGE_2M, PAGE_2M);
}

static void expect_entry(uint64_t spa, struct rmp_record want)
{
    struct rmp_record got = rmp_lookup(spa);
    EXPECT_EQ(got.assigned, want.assigned);
    EXPECT_EQ(got.page_size & 1, want.page_size);
    EXPECT_EQ(got.immutable, want.immutable);
    EXPECT_EQ(got.asid, want.asid);
    EXPECT_EQ(got.gpa, want.gpa);
}

static void ud_without_snp_en(const void *unused)
{
    struct rmp_record record = {.assigned = 1, .asid = 1};
    uint64_t page = fresh_2m();
    struct insn_result result = insn_rmpupdate(page, (uint64_t)&record, 0);
    (void)unused;

    EXPECT_UD(result);
    EXPECT_EQ(result.rax, page);
    EXPECT_EQ(result.rcx, (uint64_t)&record);
}

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

static void assign_and_unassign_4k(const void *unused)
{
    uint64_t page = fresh_2m() + 5 * PAGE_4K;
    (void)unused;

    expect_entry(page, (struct rmp_record){0});
    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 7, 0x123456789000), RMP_SUCCESS);
    expect_entry(page, (struct rmp_record){.assigned = 1, .asid = 7, .gpa = 0x123456789000});
    expect_entry(page - PAGE_4K, (struct rmp_record){0});
    expect_entry(page + PAGE_4K, (struct rmp_record){0});
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    expect_entry(page, (struct rmp_record){0});
}

static void reassign_changes_owner(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    (void)unused;

    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0x1000), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 2, 0x2000), RMP_SUCCESS);
    expect_entry(page, (struct rmp_record){.assigned = 1, .asid = 2, .gpa = 0x2000});
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
}

static void unassign_twice_succeeds(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    (void)unused;
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    expect_entry(page, (struct rmp_record){0});
}

static void assign_and_unassign_2m(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;

    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 9, 0x40000000), RMP_SUCCESS);
    expect_entry(base,
                 (struct rmp_record){.assigned = 1, .page_size = 1, .asid = 9, .gpa = 0x40000000});
    for (unsigned i = 1; i < 512; i++)
        EXPECT_EQ(rmp_lookup(base + i * PAGE_4K).assigned, 1);
    EXPECT_EQ(rmp_lookup(base + PAGE_2M).assigned, 0);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(rmp_lookup(base + i * PAGE_4K).assigned, 0);
    expect_entry(base, (struct rmp_record){0});
    EXPECT_EQ(rmp_assign(base + PAGE_4K, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(base + PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
}

static void firmware_page(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    struct rmp_record record = {.assigned = 1, .immutable = 1};
    (void)unused;

    EXPECT_EQ(rmpupdate(page, &record), RMP_SUCCESS);
    expect_entry(page, record);
}

static void misaligned_address(const void *unused)
{
    static const uint64_t offsets[] = {1, 8, 0x800, 0xfff};
    uint64_t page = fresh_2m() + PAGE_4K;
    (void)unused;

    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(rmp_assign(page + offsets[i], RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
    expect_entry(page, (struct rmp_record){0});
}

static void large_page_at_small_alignment(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    for (unsigned i = 1; i < 512; i += 73)
        EXPECT_EQ(rmp_assign(base + i * PAGE_4K, RMP_PAGE_2M, 1, 0), RMP_FAIL_INPUT);
    EXPECT_EQ(rmp_unassign(base + PAGE_4K, RMP_PAGE_2M), RMP_FAIL_INPUT);
    expect_entry(base, (struct rmp_record){0});
}

static void unassigned_but_owned(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    struct rmp_record immutable = {.immutable = 1}, with_asid = {.asid = 3};
    (void)unused;

    EXPECT_EQ(rmpupdate(page, &immutable), RMP_FAIL_INPUT);
    EXPECT_EQ(rmpupdate(page, &with_asid), RMP_FAIL_INPUT);
    expect_entry(page, (struct rmp_record){0});
}

static void outside_the_rmp(const void *unused)
{
    uint64_t end = rmp_covered_end();
    (void)unused;

    EXPECT_EQ(rmp_assign(end, RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
    EXPECT_EQ(rmp_assign((end + PAGE_2M - 1) & ~(PAGE_2M - 1), RMP_PAGE_2M, 1, 0), RMP_FAIL_INPUT);
    EXPECT_EQ(rmp_assign(1ul << 46, RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
    EXPECT_EQ(rmp_assign(0x7ffffffffffff000, RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
    EXPECT_EQ(rmp_unassign(end, RMP_PAGE_4K), RMP_FAIL_INPUT);
}

static void last_covered_page(const void *unused)
{
    uint64_t page = rmp_covered_end() - PAGE_4K;
    (void)unused;
    /* The page has an entry, so it can be assigned even if it is not RAM. */
    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
}

static void immutable_page_stays(const void *unused)
{
    uint64_t base = fresh_2m(), page = base + 17 * PAGE_4K;
    struct rmp_record record = {.gpa = 0x5000, .assigned = 1, .immutable = 1, .asid = 5};
    (void)unused;

    EXPECT_EQ(rmpupdate(page, &record), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_FAIL_PERMISSION);
    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 6, 0x6000), RMP_FAIL_PERMISSION);
    EXPECT_EQ(rmpupdate(page, &record), RMP_FAIL_PERMISSION);
    expect_entry(page, record);
    EXPECT_EQ(rmp_assign(page + PAGE_4K, RMP_PAGE_4K, 6, 0), RMP_SUCCESS);
}

static void input_is_checked_before_ownership(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    struct rmp_record record = {.assigned = 1, .immutable = 1, .asid = 5};
    struct rmp_record bad = {.asid = 5};
    (void)unused;
    EXPECT_EQ(rmpupdate(page, &record), RMP_SUCCESS);
    EXPECT_EQ(rmpupdate(page, &bad), RMP_FAIL_INPUT);
    expect_entry(page, record);
}

static void large_over_small(const void *index)
{
    uint64_t base = fresh_2m(), page = base + *(const unsigned *)index * PAGE_4K;

    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_FAIL_OVERLAP);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_FAIL_OVERLAP);
    expect_entry(page, (struct rmp_record){.assigned = 1, .asid = 1});
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void small_in_large(const void *index)
{
    uint64_t base = fresh_2m(), page = base + *(const unsigned *)index * PAGE_4K;
    struct rmp_record large = {.gpa = 0x200000, .assigned = 1, .page_size = 1, .asid = 4};

    EXPECT_EQ(rmpupdate(base, &large), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 5, 0x1000), RMP_FAIL_OVERLAP);
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_FAIL_OVERLAP);
    expect_entry(base, large);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void large_over_large(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 2, 0x200000), RMP_SUCCESS);
    expect_entry(base,
                 (struct rmp_record){.assigned = 1, .page_size = 1, .asid = 2, .gpa = 0x200000});
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void small_pages_are_counted(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(rmp_assign(base + i * PAGE_4K, RMP_PAGE_4K, 1, i * PAGE_4K), RMP_SUCCESS);
    for (unsigned i = 0; i < 512; i++) {
        EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_FAIL_OVERLAP);
        EXPECT_EQ(rmp_unassign(base + i * PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    }
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void repeated_assignment_counts_once(const void *unused)
{
    uint64_t base = fresh_2m(), page = base + PAGE_4K;
    (void)unused;
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void record_crosses_a_page(const void *unused)
{
    uint64_t base = fresh_2m(), buffer = allocate_or_fail(2 * PAGE_4K, PAGE_4K);
    uint8_t *window = map_window(buffer, 2 * PAGE_4K, PAGE_4K, 0);
    (void)unused;

    for (uint64_t offset = PAGE_4K - 15; offset < PAGE_4K; offset++) {
        struct rmp_record want = {
            .gpa = offset << 12, .assigned = 1, .asid = (uint32_t)(offset & 0xff)};
        memcpy((void *)(buffer + offset), &want, sizeof(want));
        EXPECT_EQ(rmpupdate(base + PAGE_4K, (struct rmp_record *)(window + offset)), RMP_SUCCESS);
        expect_entry(base + PAGE_4K, want);
    }
}

static void record_is_read_only_memory(const void *unused)
{
    struct rmp_record want = {.assigned = 1, .asid = 1};
    uint64_t base = fresh_2m(), buffer = allocate_or_fail(PAGE_4K, PAGE_4K);
    void *window = map_window(buffer, PAGE_4K, PAGE_4K, 0);
    (void)unused;

    memcpy((void *)buffer, &want, sizeof(want));
    EXPECT_EQ(rmpupdate(base + PAGE_4K, window), RMP_SUCCESS);
    EXPECT_EQ(memcmp((void *)buffer, &want, sizeof(want)), 0);
}

static void record_on_an_assigned_page(const void *unused)
{
    struct rmp_record want = {.assigned = 1, .asid = 2};
    uint64_t base = fresh_2m(), buffer = base + 8 * PAGE_4K;
    (void)unused;

    memcpy((void *)buffer, &want, sizeof(want));
    EXPECT_EQ(rmp_assign(buffer, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmpupdate(base + PAGE_4K, (struct rmp_record *)buffer), RMP_SUCCESS);
    expect_entry(base + PAGE_4K, want);
}

static void pf_on_the_record(const void *unused)
{
    uint64_t base = fresh_2m(), page = base + PAGE_4K;
    uint64_t nothing = (uint64_t)unmapped_window(PAGE_4K) + 0x120;
    struct insn_result result = insn_rmpupdate(page, nothing, 0);
    (void)unused;

    EXPECT_PF(result, 0, nothing);
    EXPECT_EQ(result.rax, page);
    EXPECT_EQ(result.rcx, nothing);
    expect_entry(page, (struct rmp_record){0});
}

static void pf_on_the_second_half_of_the_record(const void *unused)
{
    uint64_t base = fresh_2m(), buffer = allocate_or_fail(PAGE_4K, PAGE_4K);
    uint64_t window = (uint64_t)map_window(buffer, PAGE_4K, PAGE_4K, MAP_WRITE);
    struct insn_result result = insn_rmpupdate(base, window + PAGE_4K - 8, 0);
    (void)unused;

    EXPECT_PF(result, 0, window + PAGE_4K);
    expect_entry(base, (struct rmp_record){0});
}

static void gp_on_non_canonical_record(const void *unused)
{
    uint64_t base = fresh_2m();
    struct insn_result result = insn_rmpupdate(base, 0x8000000000000000, 0);
    (void)unused;
    EXPECT_GP0(result);
    EXPECT_EQ(result.rax, base);
    expect_entry(base, (struct rmp_record){0});
}

static void gp_in_user_mode(const void *unused)
{
    uint64_t base = fresh_2m(), buffer = allocate_or_fail(PAGE_4K, PAGE_4K);
    struct rmp_record record = {.assigned = 1, .asid = 1};
    uint64_t window = (uint64_t)map_window(buffer, PAGE_4K, PAGE_4K, MAP_USER);
    struct trap state = {.rax = base, .rcx = window};
    uint64_t start;
    (void)unused;

    memcpy((void *)buffer, &record, sizeof(record));
    start = run_user(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(state.error_code, 0);
    EXPECT_EQ(state.rip, start);
    EXPECT_EQ(state.rax, base);
    expect_entry(base, (struct rmp_record){0});
}

static void rcx_and_rdx_are_kept(const void *unused)
{
    struct rmp_record record = {0};
    uint64_t base = fresh_2m();
    struct insn_result result = insn_rmpupdate(base, (uint64_t)&record, 0x1122334455667788);
    (void)unused;
    EXPECT_NO_TRAP(result);
    EXPECT_EQ(result.rcx, (uint64_t)&record);
    EXPECT_EQ(result.rdx, 0x1122334455667788);
}

struct hammer {
    uint64_t page;
    unsigned rounds;
    unsigned failures;
};

static uint32_t retry_while_in_use(uint64_t page, bool assign)
{
    uint32_t result;
    do
        result = assign ? rmp_assign(page, RMP_PAGE_4K, 1, 0) : rmp_unassign(page, RMP_PAGE_4K);
    while (result == RMP_FAIL_INUSE);
    return result;
}

static void assign_and_unassign_often(void *argument)
{
    struct hammer *hammer = argument;
    for (unsigned i = 0; i < hammer->rounds; i++) {
        hammer->failures += retry_while_in_use(hammer->page, true) != RMP_SUCCESS;
        hammer->failures += retry_while_in_use(hammer->page, false) != RMP_SUCCESS;
    }
}

static void all_cpus_at_once(const void *unused)
{
    static struct hammer hammers[256];
    uint64_t base = fresh_2m();
    (void)unused;

    for (unsigned i = 0; i < cpu_count(); i++)
        hammers[i] = (struct hammer){.page = base + (i + 1) * PAGE_4K, .rounds = 300};
    for (unsigned i = 1; i < cpu_count(); i++)
        start_on_cpu(i, assign_and_unassign_often, &hammers[i]);
    assign_and_unassign_often(&hammers[0]);
    for (unsigned i = 1; i < cpu_count(); i++)
        wait_for_cpu(i);
    for (unsigned i = 0; i < cpu_count(); i++)
        EXPECT_EQ(hammers[i].failures, 0);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static const unsigned first = 0, second = 1, middle = 255, last = 511;

#define AT(function, index, rule) TEST_WITH(#function "_" #index, function, &(index), rule)

static const struct test_case cases[] = {
    TEST(ud_without_snp_en, "APM3 RMPUPDATE: #UD if SNP_EN=0"),
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(assign_and_unassign_4k, "APM2 15.36.5: assigned, ASID, GPA; all zero afterwards"),
    TEST(reassign_changes_owner, "APM3 RMPUPDATE: a mutable entry may be rewritten"),
    TEST(unassign_twice_succeeds, "APM3 RMPUPDATE: no rule against a change to the same"),
    TEST(assign_and_unassign_2m, "APM3 RMPUPDATE: 512 entries follow the first"),
    TEST(firmware_page, "APM2 table 15-35: assigned, ASID 0, immutable is the secure processor's"),
    TEST(misaligned_address, "inferred: FAIL_INPUT below page alignment, as for 2 MiB"),
    TEST(large_page_at_small_alignment, "APM3 RMPUPDATE: 2 MiB page needs 2 MiB alignment"),
    TEST(unassigned_but_owned, "APM3 RMPUPDATE: FAIL_INPUT if not assigned but immutable or ASID"),
    TEST(outside_the_rmp, "APM3 RMPUPDATE: FAIL_INPUT if the entry lies above RMP_END"),
    TEST(last_covered_page, "APM2 15.36.4: covered is what has an entry"),
    TEST(immutable_page_stays, "APM3 RMPUPDATE: FAIL_PERMISSION on immutable"),
    TEST(input_is_checked_before_ownership, "APM3 RMPUPDATE: order of checks"),
    AT(large_over_small, first, "APM3 RMPUPDATE: FAIL_OVERLAP, 2 MiB over 4 KiB"),
    AT(large_over_small, second, "APM3 RMPUPDATE: FAIL_OVERLAP, 2 MiB over 4 KiB"),
    AT(large_over_small, middle, "APM3 RMPUPDATE: FAIL_OVERLAP, 2 MiB over 4 KiB"),
    AT(large_over_small, last, "APM3 RMPUPDATE: FAIL_OVERLAP, 2 MiB over 4 KiB"),
    AT(small_in_large, first, "APM3 RMPUPDATE: FAIL_OVERLAP, 4 KiB in 2 MiB"),
    AT(small_in_large, second, "LKML 2021-07-17: FAIL_OVERLAP for inner 4 KiB pages, too"),
    AT(small_in_large, middle, "LKML 2021-07-17: FAIL_OVERLAP for inner 4 KiB pages, too"),
    AT(small_in_large, last, "LKML 2021-07-17: FAIL_OVERLAP for inner 4 KiB pages, too"),
    TEST(large_over_large, "APM3 RMPUPDATE: equal sizes do not overlap"),
    TEST(small_pages_are_counted, "AMD SEV firmware: sub-page count of a 2 MiB region"),
    TEST(repeated_assignment_counts_once, "AMD SEV firmware: the count follows the state"),
    TEST(record_crosses_a_page, "APM3 RMPUPDATE: the record needs no alignment"),
    TEST(record_is_read_only_memory, "APM3 RMPUPDATE: the record is only read"),
    TEST(record_on_an_assigned_page, "APM2 table 15-39: host reads are not RMP-checked"),
    TEST(pf_on_the_record, "APM3 RMPUPDATE: #PF, CR2 is the record's address"),
    TEST(pf_on_the_second_half_of_the_record, "APM2 8.2.15: CR2 is the first faulting byte"),
    TEST(gp_on_non_canonical_record, "APM3 RMPUPDATE: #GP(0) if non-canonical"),
    TEST(gp_in_user_mode, "APM3 RMPUPDATE: #GP(0) at CPL > 0"),
    TEST(rcx_and_rdx_are_kept, "APM3 RMPUPDATE: only EAX and flags change"),
    TEST(all_cpus_at_once, "APM3 RMPUPDATE: atomic towards other CPUs, FAIL_INUSE at most"),
};
TEST_SUITE_IF(cases, snp_unmet);
