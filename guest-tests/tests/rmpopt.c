// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * RMPOPT and the table of each core. Cases run in order and share the machine. When a case ends,
 * the region of the test pages must have no assigned page.
 */
#include "runtime.h"

#define WINDOW (2048 * PAGE_1G)

static const uint8_t code[] = {0xf2, 0x0f, 0x01, 0xfc};
static uint64_t page;   /* 2 MiB aligned, in its own 2 MiB */
static uint64_t region; /* the GB around it */

static bool available(void)
{
    return cpu_has_rmpopt() && rmp_is_segmented();
}

#define NEEDS_RMPOPT                                                                               \
    do {                                                                                           \
        if (!available())                                                                          \
            SKIP("no RMPOPT");                                                                     \
    } while (0)

struct remote {
    uint64_t spa, function;
    struct insn_result result;
};

static void execute_remote(void *argument)
{
    struct remote *remote = argument;
    remote->result = insn_rmpopt(remote->spa, remote->function, 0);
}

static struct insn_result rmpopt_on(unsigned cpu, uint64_t spa, uint64_t function)
{
    struct remote remote = {.spa = spa, .function = function};
    run_on_cpu(cpu, execute_remote, &remote);
    return remote.result;
}

static bool optimised_on(unsigned cpu, uint64_t spa)
{
    struct insn_result result = rmpopt_on(cpu, spa, RMPOPT_REPORT);
    EXPECT_NO_TRAP(result);
    return result.rflags & FLAG_CF;
}

static bool verify_on(unsigned cpu, uint64_t spa)
{
    struct insn_result result = rmpopt_on(cpu, spa, RMPOPT_VERIFY);
    EXPECT_NO_TRAP(result);
    return result.rflags & FLAG_CF;
}

static void write_base(void *value)
{
    wrmsr(MSR_RMPOPT_BASE, *(uint64_t *)value);
}

static void set_base_on(unsigned cpu, uint64_t value)
{
    run_on_cpu(cpu, write_base, &value);
}

/* A write of the value that the MSR has clears the table: policy msr-rewrite. */
static void start_with_clean_tables(void)
{
    rmpopt_enable_everywhere(0);
}

#define NEEDS_UNLOCKED                                                                             \
    do {                                                                                           \
        if (!option_is("locked", "allow"))                                                         \
            SKIP("RMPOPT_BASE stays once it is enabled");                                          \
    } while (0)

static void ud_without_snp_en(const void *unused)
{
    (void)unused;
    page = allocate_or_fail(PAGE_2M, PAGE_2M);
    region = page & ~(PAGE_1G - 1);
    EXPECT_UD(insn_rmpopt(region, RMPOPT_VERIFY, 0));
    EXPECT_UD(insn_rmpopt(region, RMPOPT_REPORT, 0));
}

static void ud_without_rmpopt_en(const void *unused)
{
    struct insn_result result;
    (void)unused;
    snp_enable();
    for (unsigned i = 0; i < cpu_count(); i++) {
        EXPECT_UD(rmpopt_on(i, region, RMPOPT_VERIFY));
        EXPECT_UD(rmpopt_on(i, region, RMPOPT_REPORT));
    }
    result = insn_rmpopt(region + 123, RMPOPT_VERIFY, 456);
    EXPECT_EQ(result.rax, region + 123);
    EXPECT_EQ(result.rcx, RMPOPT_VERIFY);
    EXPECT_EQ(result.rdx, 456);
}

static void ud_on_cores_that_were_not_programmed(const void *unused)
{
    int other = cpu_on_other_core(0), sibling = sibling_of(0);
    (void)unused;
    NEEDS_RMPOPT;
    set_base_on(0, RMPOPT_EN);
    EXPECT_NO_TRAP(insn_rmpopt(region, RMPOPT_REPORT, 0));
    if (sibling >= 0)
        EXPECT_NO_TRAP(rmpopt_on((unsigned)sibling, region, RMPOPT_REPORT));
    if (other < 0)
        SKIP("one core only");
    EXPECT_UD(rmpopt_on((unsigned)other, region, RMPOPT_REPORT));
}

static void ud_after_disable(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    NEEDS_UNLOCKED;
    set_base_on(0, RMPOPT_EN);
    EXPECT_NO_TRAP(insn_rmpopt(region, RMPOPT_VERIFY, 0));
    set_base_on(0, 0);
    EXPECT_UD(insn_rmpopt(region, RMPOPT_VERIFY, 0));
    EXPECT_UD(insn_rmpopt(region, RMPOPT_REPORT, 0));
}

static void report_follows_verify(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), true);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
}

static void only_flags_change(const void *unused)
{
    uint64_t spa = region + 0x12345678;
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    for (uint64_t function = RMPOPT_VERIFY; function <= RMPOPT_REPORT; function++) {
        struct insn_result result = insn_rmpopt(spa, function, 0x1122334455667788);
        EXPECT_NO_TRAP(result);
        EXPECT_EQ(result.rax, spa);
        EXPECT_EQ(result.rcx, function);
        EXPECT_EQ(result.rdx, 0x1122334455667788);
    }
}

static void address_is_rounded_down(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(region + PAGE_1G - 1, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), true);
    EXPECT_EQ(rmpopt(region + 1, RMPOPT_REPORT), true);
    EXPECT_EQ(rmpopt(region + PAGE_1G, RMPOPT_REPORT), false);
}

static void each_core_runs_it_itself(const void *unused)
{
    int other = cpu_on_other_core(0);
    (void)unused;
    NEEDS_RMPOPT;
    if (other < 0)
        SKIP("one core only");
    start_with_clean_tables();
    EXPECT_EQ(verify_on(0, region), true);
    EXPECT_EQ(optimised_on((unsigned)other, region), false);
    EXPECT_EQ(verify_on((unsigned)other, region), true);
    EXPECT_EQ(optimised_on((unsigned)other, region), true);
}

static void siblings_share_the_table(const void *unused)
{
    int sibling = sibling_of(0);
    (void)unused;
    NEEDS_RMPOPT;
    if (sibling < 0)
        SKIP("one thread per core");
    start_with_clean_tables();
    EXPECT_EQ(optimised_on((unsigned)sibling, region), false);
    EXPECT_EQ(verify_on(0, region), true);
    EXPECT_EQ(optimised_on((unsigned)sibling, region), true);
    start_with_clean_tables();
    EXPECT_EQ(verify_on((unsigned)sibling, region), true);
    EXPECT_EQ(optimised_on(0, region), true);
}

static void assigned_page_fails_the_region(uint64_t spa, unsigned page_size)
{
    start_with_clean_tables();
    REQUIRE_EQ(rmp_assign(spa, page_size, 1, 0), RMP_SUCCESS);
    for (unsigned i = 0; i < cpu_count(); i++) {
        EXPECT_EQ(verify_on(i, spa), false);
        EXPECT_EQ(optimised_on(i, spa), false);
    }
    REQUIRE_EQ(rmp_unassign(spa, page_size), RMP_SUCCESS);
    EXPECT_EQ(verify_on(0, spa), true);
}

static void fails_on_4k_page_with_2m_alignment(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    assigned_page_fails_the_region(page, RMP_PAGE_4K);
}

static void fails_on_4k_page_inside(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    assigned_page_fails_the_region(page + PAGE_4K, RMP_PAGE_4K);
    assigned_page_fails_the_region(page + PAGE_2M - PAGE_4K, RMP_PAGE_4K);
}

static void fails_on_2m_page(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    assigned_page_fails_the_region(page, RMP_PAGE_2M);
}

static void fails_on_first_page_of_region(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    if (!claim(PAGE_1G, PAGE_2M))
        SKIP("no RAM at 1 GiB");
    assigned_page_fails_the_region(PAGE_1G, RMP_PAGE_4K);
}

static void fails_on_last_page_of_region(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    if (!claim(PAGE_1G - PAGE_2M, PAGE_2M))
        SKIP("no RAM below 1 GiB");
    assigned_page_fails_the_region(PAGE_1G - PAGE_4K, RMP_PAGE_4K);
}

static void fails_on_firmware_page(const void *unused)
{
    struct rmp_record record = {.assigned = 1, .immutable = 1};
    uint64_t spa = PAGE_1G + 16 * PAGE_2M;
    (void)unused;
    NEEDS_RMPOPT;
    if (!claim(spa, PAGE_2M))
        SKIP("no RAM above 1 GiB");
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(spa, RMPOPT_VERIFY), true);
    /* Makes the page immutable, so that this region can never be optimised again. */
    REQUIRE_EQ(rmpupdate(spa, &record), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(spa, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(spa, RMPOPT_VERIFY), false);
}

static void assign_inner_page(void *result)
{
    *(uint32_t *)result = rmp_assign(page + PAGE_4K, RMP_PAGE_4K, 1, 0);
}

static void rmpupdate_clears_the_bit_on_all_cores(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    for (unsigned updater = 0; updater < cpu_count(); updater++) {
        uint32_t result = RMP_FAIL_INPUT;
        for (unsigned i = 0; i < cpu_count(); i++)
            EXPECT_EQ(verify_on(i, region), true);
        run_on_cpu(updater, assign_inner_page, &result);
        REQUIRE_EQ(result, RMP_SUCCESS);
        for (unsigned i = 0; i < cpu_count(); i++)
            EXPECT_EQ(optimised_on(i, region), false);
        REQUIRE_EQ(rmp_unassign(page + PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    }
}

static void rmpupdate_leaves_other_regions(const void *unused)
{
    uint64_t other = 2 * PAGE_1G;
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmpopt(other, RMPOPT_VERIFY), true);
    REQUIRE_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(other, RMPOPT_REPORT), true);
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
}

static void nothing_sets_the_bit_again(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
    REQUIRE_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    for (unsigned i = 0; i < cpu_count(); i++)
        EXPECT_EQ(optimised_on(i, region), false);
    for (unsigned i = 0; i < cpu_count(); i++)
        EXPECT_EQ(verify_on(i, region), true);
}

static void psmash_keeps_the_region_failed(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    REQUIRE_EQ(rmp_assign(page, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    REQUIRE_EQ(psmash(page), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), false);
    for (unsigned i = 0; i < 511; i++)
        REQUIRE_EQ(rmp_unassign(page + i * PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), false);
    REQUIRE_EQ(rmp_unassign(page + 511 * PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
}

static void out_of_window(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(WINDOW, RMPOPT_VERIFY), false);
    EXPECT_EQ(rmpopt(WINDOW, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(WINDOW + region, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmpopt(WINDOW + region, RMPOPT_REPORT), false);
}

static void window_starts_at_the_base(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    NEEDS_UNLOCKED;
    start_with_clean_tables();
    set_base_on(0, (region + PAGE_1G) | RMPOPT_EN);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), false);
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), false);
    set_base_on(0, region | RMPOPT_EN);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
    set_base_on(0, RMPOPT_EN);
}

static void other_base_means_other_regions(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    NEEDS_UNLOCKED;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
    set_base_on(0, PAGE_1G | RMPOPT_EN);
    for (uint64_t spa = PAGE_1G; spa < 8 * PAGE_1G; spa += PAGE_1G)
        EXPECT_EQ(rmpopt(spa, RMPOPT_REPORT), false);
    set_base_on(0, RMPOPT_EN);
}

static void region_above_all_ram(const void *unused)
{
    uint64_t above = (ram_end() + 2 * PAGE_1G - 1) & ~(PAGE_1G - 1);
    bool verified;
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(above, RMPOPT_REPORT), false);
    /* Whether CF is set is not documented, but the report must agree with it. */
    verified = rmpopt(above, RMPOPT_VERIFY);
    EXPECT_EQ(rmpopt(above, RMPOPT_REPORT), verified);
}

static void region_with_a_hole(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    if (!rmp_entry_address(3 * PAGE_1G))
        SKIP("the RMP ends below 3 GiB");
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(3 * PAGE_1G, RMPOPT_VERIFY), true);
}

static void reserved_function(const void *unused)
{
    static const uint64_t functions[] = {2, 3, 0x100000000, 0x100000001, ~0ul};
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    for (unsigned i = 0; i < 5; i++)
        EXPECT_GP0(insn_rmpopt(region, functions[i], 0));
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), false);
}

static void not_in_user_mode(const void *unused)
{
    struct trap state = {.rax = region, .rcx = RMPOPT_VERIFY};
    uint64_t start;
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    start = run_user(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(state.error_code, 0);
    EXPECT_EQ(state.rip, start);
    EXPECT_EQ(rmpopt(region, RMPOPT_REPORT), false);
}

static void failed_rmpupdate_keeps_the_answer_true(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    start_with_clean_tables();
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmp_assign(page + 1, RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
    EXPECT_EQ(rmpopt(region, RMPOPT_VERIFY), true);
}

/* One CPU scans all the time while another assigns and unassigns. */
struct race {
    volatile uint64_t generation; /* odd while the page is certainly assigned */
    volatile int stop;
    volatile unsigned scans;
    unsigned wrong;
};

static void scan_until_told(void *argument)
{
    struct race *race = argument;
    while (!race->stop) {
        uint64_t before = race->generation;
        struct insn_result result = insn_rmpopt(region, race->scans++ & 1, 0);
        if ((before & 1) && race->generation == before && (result.rflags & FLAG_CF))
            race->wrong++;
    }
}

static void no_stale_bit_after_rmpupdate(const void *unused)
{
    static struct race race;
    (void)unused;
    NEEDS_RMPOPT;
    if (cpu_count() < 2)
        SKIP("one CPU only");
    start_with_clean_tables();
    start_on_cpu(1, scan_until_told, &race);
    for (unsigned i = 0; i < 500; i++) {
        unsigned enough = race.scans + 3;
        EXPECT_EQ(rmp_assign(page + PAGE_4K, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
        race.generation++;
        while (race.scans < enough)
            cpu_relax();
        race.generation++;
        EXPECT_EQ(rmp_unassign(page + PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    }
    race.stop = 1;
    wait_for_cpu(1);
    EXPECT_EQ(race.wrong, 0);
}

static const struct test_case cases[] = {
    TEST(ud_without_snp_en, "RMPOPT facts: RMPOPT_EN needs SNP_EN, AMD mail 2026-06-19"),
    TEST(ud_without_rmpopt_en, "AMD mail 2026-05-28: #UD if RMPOPT_BASE.RMPOPT_EN=0"),
    TEST(ud_on_cores_that_were_not_programmed, "AMD mail 2026-05-28: the executing core's MSR"),
    TEST(ud_after_disable, "AMD mail 2026-05-28: #UD if RMPOPT_BASE.RMPOPT_EN=0"),
    TEST(report_follows_verify, "AMD series, cover: function 0 verifies, 1 reports; CF"),
    TEST(only_flags_change, "AMD series v7, changes: RAX is not modified"),
    TEST(address_is_rounded_down, "AMD mail 2026-03-30: rounded down to 1 GiB"),
    TEST(each_core_runs_it_itself, "AMD mail 2026-03-04: RMPOPT is not broadcast"),
    TEST(siblings_share_the_table, "AMD mail 2026-03-04: the table is per core"),
    TEST(fails_on_4k_page_with_2m_alignment, "AMD series, cover: no assigned page in the GB"),
    TEST(fails_on_4k_page_inside, "AMD mail 2026-03-16: one private 4 KiB page is enough"),
    TEST(fails_on_2m_page, "AMD mail 2026-03-04: 512 entries of 2 MiB"),
    TEST(fails_on_first_page_of_region, "AMD mail 2026-03-16: first page of the GB"),
    TEST(fails_on_last_page_of_region, "AMD mail 2026-03-16: any page of the GB"),
    TEST(fails_on_firmware_page, "AMD mail 2026-03-25: firmware pages fail the region"),
    TEST(rmpupdate_clears_the_bit_on_all_cores, "AMD mail 2026-03-04: RMPUPDATE broadcasts"),
    TEST(rmpupdate_leaves_other_regions, "AMD mail 2026-03-04: the matching entry only"),
    TEST(nothing_sets_the_bit_again, "AMD mail 2026-02-17: only RMPOPT sets a bit"),
    TEST(psmash_keeps_the_region_failed, "AMD series v9, patch 5: splitting clears"),
    TEST(out_of_window, "policy oow=cf0: 2 TiB from the base, CF=0 beyond"),
    TEST(window_starts_at_the_base, "AMD series, cover: 2 TiB from RMPOPT_BASE"),
    TEST(other_base_means_other_regions, "policy msr-rewrite=clear"),
    TEST(region_above_all_ram, "AMD series v1, debugfs sample: report above RAM is no fault"),
    TEST(region_with_a_hole, "AMD series v1, debugfs sample: the GB with the MMIO hole"),
    TEST(reserved_function, "policy rcx=gp: functions above 1"),
    TEST(not_in_user_mode, "policy cpl=gp: as RMPUPDATE and PSMASH"),
    TEST(failed_rmpupdate_keeps_the_answer_true, "AMD series, cover: depends on the RMP alone"),
    TEST(no_stale_bit_after_rmpupdate, "AMD mail 2026-02-17: order of RMPUPDATE and RMPOPT"),
};
TEST_SUITE_IF(cases, snp_unmet);
