// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * INIT and SIPI for one CPU while SNP is on. The policy init-msr decides what INIT does to
 * RMPOPT_BASE; init=clear on the command line tells that it is "clear" on this machine.
 */
#include "runtime.h"

static uint64_t region, page;
static unsigned restarted; /* the last CPU; 0 if there is only one */

static void enable(const void *unused)
{
    (void)unused;
    page = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    region = rmp_covered_end() & -PAGE_1G; /* the last one; perhaps only partly RAM */
    if (region == rmp_covered_end())
        region -= PAGE_1G;
    restarted = cpu_count() - 1;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

static void read_syscfg(void *value)
{
    *(uint64_t *)value = rdmsr(MSR_SYSCFG);
}

static void read_rmpopt_base(void *value)
{
    *(uint64_t *)value = rdmsr(MSR_RMPOPT_BASE);
}

static uint64_t on_restarted(void (*read)(void *))
{
    uint64_t value = 0;
    run_on_cpu(restarted, read, &value);
    return value;
}

static void syscfg_stays(const void *unused)
{
    uint64_t before;
    (void)unused;
    if (!restarted)
        SKIP("one CPU only");
    before = on_restarted(read_syscfg);
    EXPECT_EQ(before & (SYSCFG_SNP_EN | SYSCFG_MFDM), SYSCFG_SNP_EN | SYSCFG_MFDM);
    restart_cpu(restarted);
    EXPECT_EQ(on_restarted(read_syscfg), before);
}

static void store_to_page(void *unused)
{
    (void)unused;
    __asm__ volatile(GUARDED("movb $1, (%0)") : : "r"(page) : "memory");
}

static void writes_are_still_checked(const void *unused)
{
    const struct cpu *cpu;
    (void)unused;
    if (!restarted)
        SKIP("one CPU only");
    REQUIRE_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    restart_cpu(restarted);
    run_on_cpu(restarted, store_to_page, NULL);
    cpu = cpu_at(restarted);
    EXPECT_EQ(cpu->trap_vector, VECTOR_PF);
    EXPECT_EQ(cpu->trap.error_code, RMP_FAULT);
    EXPECT_EQ(cpu->trap.cr2, page);
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    run_on_cpu(restarted, store_to_page, NULL);
    EXPECT_EQ(cpu->trap_vector, NO_TRAP);
}

static struct insn_result rmpopt_result;

static void verify_region(void *unused)
{
    (void)unused;
    rmpopt_result = insn_rmpopt(region, RMPOPT_VERIFY, 0);
}

static void report_region(void *unused)
{
    (void)unused;
    rmpopt_result = insn_rmpopt(region, RMPOPT_REPORT, 0);
}

static void rmpopt_goes_by_the_policy(const void *unused)
{
    bool clears = option_is("init", "clear");
    uint64_t base = on_restarted(read_rmpopt_base);
    (void)unused;
    if (!restarted)
        SKIP("one CPU only");
    run_on_cpu(restarted, verify_region, NULL);
    REQUIRE_EQ(rmpopt_result.rflags & FLAG_CF, FLAG_CF);
    restart_cpu(restarted);
    EXPECT_EQ(on_restarted(read_rmpopt_base), clears ? 0 : base);
    run_on_cpu(restarted, report_region, NULL);
    if (clears) {
        EXPECT_UD(rmpopt_result);
    } else {
        EXPECT_NO_TRAP(rmpopt_result);
        EXPECT_EQ(rmpopt_result.rflags & FLAG_CF, FLAG_CF);
    }
}

static void other_core_keeps_its_table(const void *unused)
{
    int other = cpu_on_other_core(restarted);
    (void)unused;
    if (!restarted || other < 0)
        SKIP("one core only");
    rmpopt_enable_everywhere(0);
    run_on_cpu((unsigned)other, verify_region, NULL);
    REQUIRE_EQ(rmpopt_result.rflags & FLAG_CF, FLAG_CF);
    restart_cpu(restarted);
    run_on_cpu((unsigned)other, report_region, NULL);
    EXPECT_NO_TRAP(rmpopt_result);
    EXPECT_EQ(rmpopt_result.rflags & FLAG_CF, FLAG_CF);
}

static void rmpopt_part(const void *unused)
{
    static const struct test_case cases[] = {
        TEST(rmpopt_goes_by_the_policy, "policy init-msr=keep: not documented"),
        TEST(other_core_keeps_its_table, "RMPOPT series, 2026-03-30: tables are per core"),
    };
    (void)unused;
    if (!cpu_has_rmpopt() || !rmp_is_segmented())
        SKIP("no RMPOPT on this machine");
    rmpopt_enable_everywhere(0);
    RUN_SUBTESTS(cases);
}

static const struct test_case cases[] = {
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(syscfg_stays, "APM2 15.36.2: only reset or firmware clears SNP_EN"),
    TEST(writes_are_still_checked, "APM2 15.36.10: every CPU with SNP_EN"),
    TEST(rmpopt_part, "RMPOPT after INIT"),
};
TEST_SUITE_IF(cases, snp_unmet);
