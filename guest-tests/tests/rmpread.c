// SPDX-License-Identifier: GPL-2.0-or-later
/* RMPREAD: an entry in its architectural format. On CPUs without RMPREAD: #UD. */
#include "runtime.h"

static const uint8_t code[] = {0xf2, 0x0f, 0x01, 0xfd};
static uint8_t scratch[64] __attribute__((aligned(64)));

static uint64_t fresh_2m(void)
{
    return allocate_or_fail(PAGE_2M, PAGE_2M);
}

static void expect_ud(void)
{
    struct rmp_record record = {.asid = 77};
    uint64_t base = fresh_2m();
    struct insn_result result = insn_rmpread(base, (uint64_t)&record, 0);
    EXPECT_UD(result);
    EXPECT_EQ(result.rax, base);
    EXPECT_EQ(record.asid, 77);
}

static void ud_without_snp_en(const void *unused)
{
    (void)unused;
    expect_ud();
}

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

static void ud_without_the_feature(const void *unused)
{
    (void)unused;
    if (cpu_has_rmpread())
        SKIP("this CPU has RMPREAD");
    expect_ud();
}

#define NEEDS_RMPREAD                                                                              \
    do {                                                                                           \
        if (!cpu_has_rmpread())                                                                    \
            SKIP("no RMPREAD");                                                                    \
    } while (0)

/* The whole record, including the reserved byte. A byte that is not written keeps its old value. */
static void expect_record(uint64_t spa, struct rmp_record want)
{
    struct rmp_record got;
    memset(&got, 0xff, sizeof(got));
    EXPECT_EQ(rmpread(spa, &got), RMP_SUCCESS);
    EXPECT_EQ(got.gpa, want.gpa);
    EXPECT_EQ(got.assigned, want.assigned);
    EXPECT_EQ(got.page_size, want.page_size);
    EXPECT_EQ(got.immutable, want.immutable);
    EXPECT_EQ(got.reserved, 0);
    EXPECT_EQ(got.asid, want.asid);
}

static void shared_page(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    NEEDS_RMPREAD;
    expect_record(base, (struct rmp_record){0});
    expect_record(base + PAGE_4K, (struct rmp_record){0});
}

static void assigned_page(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    struct rmp_record record = {.gpa = 0x7ffffffff000, .assigned = 1, .asid = 99};
    (void)unused;
    NEEDS_RMPREAD;
    REQUIRE_EQ(rmpupdate(page, &record), RMP_SUCCESS);
    expect_record(page, record);
}

static void immutable_page(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    struct rmp_record record = {.assigned = 1, .immutable = 1};
    (void)unused;
    NEEDS_RMPREAD;
    REQUIRE_EQ(rmpupdate(page, &record), RMP_SUCCESS);
    expect_record(page, record);
}

static void large_page(const void *unused)
{
    uint64_t base = fresh_2m();
    struct rmp_record record = {.gpa = 0x600000, .assigned = 1, .page_size = 1, .asid = 8};
    (void)unused;
    NEEDS_RMPREAD;
    REQUIRE_EQ(rmpupdate(base, &record), RMP_SUCCESS);
    EXPECT_EQ(rmp_lookup(base).page_size & 1, 1);
    EXPECT_EQ(rmp_lookup(base).gpa, 0x600000);
    for (unsigned i = 1; i < 512; i++) {
        struct rmp_record inner = rmp_lookup(base + i * PAGE_4K);
        EXPECT_EQ(inner.assigned, 1);
        EXPECT_EQ(inner.page_size, 0);
    }
}

static void region_status(const void *unused)
{
    uint64_t base = fresh_2m(), page = base + 511 * PAGE_4K;
    struct rmp_record assigned = {.assigned = 1, .asid = 1};
    (void)unused;
    NEEDS_RMPREAD;

    expect_record(base, (struct rmp_record){0});
    REQUIRE_EQ(rmpupdate(page, &assigned), RMP_SUCCESS);
    expect_record(base, (struct rmp_record){.page_size = RMP_HPAGE_REGION_STATUS});
    expect_record(page, assigned);
    expect_record(base + PAGE_4K, (struct rmp_record){0});
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    expect_record(base, (struct rmp_record){0});
}

static void region_status_is_about_other_pages(const void *unused)
{
    uint64_t base = fresh_2m();
    struct rmp_record assigned = {.assigned = 1, .asid = 1};
    struct rmp_record with_status = {
        .assigned = 1, .page_size = RMP_HPAGE_REGION_STATUS, .asid = 1};
    (void)unused;
    NEEDS_RMPREAD;

    REQUIRE_EQ(rmpupdate(base, &assigned), RMP_SUCCESS);
    expect_record(base, assigned);
    REQUIRE_EQ(rmpupdate(base + PAGE_4K, &assigned), RMP_SUCCESS);
    expect_record(base, with_status);
    expect_record(base + PAGE_4K, assigned);
    expect_record(base + PAGE_2M, (struct rmp_record){0});
}

static void region_status_after_psmash(const void *unused)
{
    uint64_t base = fresh_2m();
    (void)unused;
    NEEDS_RMPREAD;
    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    REQUIRE_EQ(psmash(base), RMP_SUCCESS);
    expect_record(
        base, (struct rmp_record){.assigned = 1, .page_size = RMP_HPAGE_REGION_STATUS, .asid = 1});
}

static void unaligned_buffers(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    struct rmp_record want = {.gpa = 0x123456789000, .assigned = 1, .asid = 0x155};
    (void)unused;
    NEEDS_RMPREAD;

    REQUIRE_EQ(rmpupdate(page, &want), RMP_SUCCESS);
    for (unsigned offset = 1; offset < 40; offset++) {
        memset(scratch, 0xa5, sizeof(scratch));
        EXPECT_EQ(rmpread(page, (struct rmp_record *)(scratch + offset)), RMP_SUCCESS);
        EXPECT_EQ(memcmp(scratch + offset, &want, sizeof(want)), 0);
        EXPECT_EQ(scratch[offset - 1], 0xa5);
        EXPECT_EQ(scratch[offset + 16], 0xa5);
    }
}

static void buffer_crosses_pages_apart(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    uint64_t low = allocate_or_fail(PAGE_4K, PAGE_4K), gap = allocate_or_fail(PAGE_4K, PAGE_4K);
    uint64_t high = allocate_or_fail(PAGE_4K, PAGE_4K);
    uint64_t window = (uint64_t)map_window(low, PAGE_4K, PAGE_4K, MAP_WRITE);
    struct rmp_record want = {.gpa = 0x123456789000, .assigned = 1, .asid = 0x155};
    struct rmp_record got;
    (void)unused;
    NEEDS_RMPREAD;

    map_page(window + PAGE_4K, high, PAGE_4K, MAP_WRITE);
    REQUIRE_EQ(rmpupdate(page, &want), RMP_SUCCESS);
    for (unsigned first = 1; first < 16; first++) {
        uint64_t address = window + PAGE_4K - first;
        memset((void *)address, 0xa5, sizeof(got));
        EXPECT_EQ(rmpread(page, (struct rmp_record *)address), RMP_SUCCESS);
        memcpy(&got, (void *)(low + PAGE_4K - first), first);
        memcpy((uint8_t *)&got + first, (void *)high, 16 - first);
        EXPECT_EQ(memcmp(&got, &want, sizeof(want)), 0);
    }
    EXPECT_EQ(*(uint8_t *)gap, 0);
}

static void misaligned_address(const void *unused)
{
    uint64_t base = fresh_2m();
    struct rmp_record record = {.asid = 77};
    (void)unused;
    NEEDS_RMPREAD;
    EXPECT_EQ(rmpread(base + 1, &record), RMP_FAIL_INPUT);
    EXPECT_EQ(rmpread(base + 0x800, &record), RMP_FAIL_INPUT);
    EXPECT_EQ(record.asid, 77);
}

static void outside_the_rmp(const void *unused)
{
    struct rmp_record record = {.asid = 77};
    (void)unused;
    NEEDS_RMPREAD;
    EXPECT_EQ(rmpread(rmp_covered_end(), &record), RMP_FAIL_INPUT);
    EXPECT_EQ(rmpread(1ul << 46, &record), RMP_FAIL_INPUT);
    EXPECT_EQ(record.asid, 77);
}

static void pf_on_absent_buffer(const void *unused)
{
    uint64_t base = fresh_2m();
    uint64_t nothing = (uint64_t)unmapped_window(PAGE_4K) + 0x120;
    struct insn_result result;
    (void)unused;
    NEEDS_RMPREAD;
    result = insn_rmpread(base, nothing, 0);
    EXPECT_PF(result, PF_WRITE, nothing);
    EXPECT_EQ(result.rax, base);
}

static void pf_on_read_only_buffer(const void *unused)
{
    uint64_t base = fresh_2m(), buffer = allocate_or_fail(PAGE_4K, PAGE_4K);
    uint64_t window = (uint64_t)map_window(buffer, PAGE_4K, PAGE_4K, 0) + 0x80;
    (void)unused;
    NEEDS_RMPREAD;
    *(uint64_t *)(buffer + 0x80) = 0x5a5a;
    EXPECT_PF(insn_rmpread(base, window, 0), PF_PRESENT | PF_WRITE, window);
    EXPECT_EQ(*(volatile uint64_t *)(buffer + 0x80), 0x5a5a);
}

static void pf_leaves_no_half_record(const void *unused)
{
    uint64_t base = fresh_2m(), buffer = allocate_or_fail(PAGE_4K, PAGE_4K);
    uint64_t window = (uint64_t)map_window(buffer, PAGE_4K, PAGE_4K, MAP_WRITE);
    (void)unused;
    NEEDS_RMPREAD;
    *(uint64_t *)(buffer + PAGE_4K - 8) = 0x5a5a;
    EXPECT_PF(insn_rmpread(base, window + PAGE_4K - 8, 0), PF_WRITE, window + PAGE_4K);
    EXPECT_EQ(*(volatile uint64_t *)(buffer + PAGE_4K - 8), 0x5a5a);
}

static void buffer_on_an_assigned_page(const void *unused)
{
    uint64_t base = fresh_2m(), buffer = base + 8 * PAGE_4K;
    uint64_t window = (uint64_t)map_window(buffer, PAGE_4K, PAGE_4K, MAP_WRITE) + 0x40;
    (void)unused;
    NEEDS_RMPREAD;
    *(uint64_t *)(buffer + 0x40) = 0x5a5a;
    REQUIRE_EQ(rmp_assign(buffer, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_PF(insn_rmpread(base, window, 0), PF_RMP | PF_PRESENT | PF_WRITE, window);
    EXPECT_EQ(*(volatile uint64_t *)(buffer + 0x40), 0x5a5a);
    EXPECT_EQ(rmp_unassign(buffer, RMP_PAGE_4K), RMP_SUCCESS);
}

static void gp_on_non_canonical_buffer(const void *unused)
{
    (void)unused;
    NEEDS_RMPREAD;
    EXPECT_GP0(insn_rmpread(fresh_2m(), 0x8000000000000000, 0));
}

static void gp_in_user_mode(const void *unused)
{
    uint64_t buffer = allocate_or_fail(PAGE_4K, PAGE_4K), start;
    struct trap state = {.rax = fresh_2m()};
    (void)unused;
    NEEDS_RMPREAD;
    state.rcx = (uint64_t)map_window(buffer, PAGE_4K, PAGE_4K, MAP_WRITE | MAP_USER);
    start = run_user(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(state.error_code, 0);
    EXPECT_EQ(state.rip, start);
}

static void other_registers_are_kept(const void *unused)
{
    uint64_t base = fresh_2m();
    struct insn_result result;
    (void)unused;
    NEEDS_RMPREAD;
    result = insn_rmpread(base, (uint64_t)scratch, 0x1122334455667788);
    EXPECT_NO_TRAP(result);
    EXPECT_EQ(result.rcx, (uint64_t)scratch);
    EXPECT_EQ(result.rdx, 0x1122334455667788);
}

static void reads_do_not_change_the_entry(const void *unused)
{
    uint64_t page = fresh_2m() + PAGE_4K;
    uint64_t *raw = (uint64_t *)rmp_entry_address(page), before[2];
    (void)unused;
    NEEDS_RMPREAD;
    REQUIRE_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0x1000), RMP_SUCCESS);
    memcpy(before, raw, sizeof(before));
    EXPECT_EQ(rmp_lookup(page).assigned, 1);
    EXPECT_EQ(memcmp(before, raw, sizeof(before)), 0);
}

static const struct test_case cases[] = {
    TEST(ud_without_snp_en, "APM3 RMPREAD: #UD if SNP_EN=0"),
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(ud_without_the_feature, "APM3 RMPREAD: #UD without 8000_001F EAX[21]"),
    TEST(shared_page, "APM3 RMPREAD: 16 bytes, reserved ones 0"),
    TEST(assigned_page, "APM3 RMPREAD: GPA, assigned, ASID"),
    TEST(immutable_page, "APM3 RMPREAD: immutable"),
    TEST(large_page, "Linux 7.3 __snp_lookup_rmpentry: size in the 2 MiB-aligned entry"),
    TEST(region_status, "Linux 7.3 get_rmpentry: hpage_region_status, bit 1 of byte 9"),
    TEST(region_status_is_about_other_pages, "Linux commit 3e43c60e: other pages of the region"),
    TEST(region_status_after_psmash, "Linux commit 3e43c60e: other pages of the region"),
    TEST(unaligned_buffers, "APM3 RMPREAD: the buffer needs no alignment"),
    TEST(buffer_crosses_pages_apart, "APM3 RMPREAD: the buffer is a virtual address"),
    TEST(misaligned_address, "APM3 RMPREAD: FAIL_INPUT, nothing written"),
    TEST(outside_the_rmp, "APM3 RMPREAD: FAIL_INPUT, nothing written"),
    TEST(pf_on_absent_buffer, "APM3 RMPREAD: #PF for a write, CR2 is the buffer's address"),
    TEST(pf_on_read_only_buffer, "APM3 RMPREAD: #PF for a write"),
    TEST(pf_leaves_no_half_record, "APM2 8.1.4: a fault undoes the instruction"),
    TEST(buffer_on_an_assigned_page, "APM2 table 15-39: host writes are RMP-checked"),
    TEST(gp_on_non_canonical_buffer, "APM3 RMPREAD: #GP(0) if non-canonical"),
    TEST(gp_in_user_mode, "APM3 RMPREAD: #GP(0) at CPL > 0"),
    TEST(other_registers_are_kept, "APM3 RMPREAD: only EAX and flags change"),
    TEST(reads_do_not_change_the_entry, "APM3 RMPREAD: no side effect"),
};
TEST_SUITE_IF(cases, snp_unmet);
