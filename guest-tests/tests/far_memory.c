// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * RAM beyond 2 TiB: entries of many segments, stores, and RMPOPT windows that do not begin at 0.
 * On such a machine QEMU puts no RAM between low RAM and 1 TiB, so there is a hole, too. Run with
 * --mem 2100G or more. Scanning an RMP of that size would fill the host's memory, so the test plays
 * the BIOS and makes most segments cover only their first GB.
 */
#include "runtime.h"

#define TIB (1024 * PAGE_1G)
#define WINDOW (2 * TIB)
#define RST_OFFSET 0x4000
#define RST_SIZE_MASK 0xffffful

static const char *unmet(void)
{
    if (ram_end() <= 2 * TIB + 2 * PAGE_1G)
        return "no RAM beyond 2 TiB";
    if (!rmp_is_segmented())
        return "a contiguous RMP of this size is too big";
    return snp_unmet();
}

static uint64_t segment_size(void)
{
    return 1ul << (rdmsr(MSR_RMP_CFG) >> 8 & 63);
}

static uint64_t *segment_table(void)
{
    return (uint64_t *)(rdmsr(MSR_RMP_BASE) + RST_OFFSET);
}

/* The number of bytes, in the segment that begins at start, that have entries. */
static uint64_t covered_bytes(uint64_t start)
{
    return (segment_table()[start / segment_size()] & RST_SIZE_MASK) * PAGE_1G;
}

/* GB to cover: all just below a terabyte boundary and at the end of RAM, several just above one. */
static uint64_t wanted_gb(uint64_t start)
{
    uint64_t end = start + segment_size();
    if (end % TIB == 0 || end >= ram_end())
        return ~0ul;
    return start % TIB == 0 ? 8 : 1;
}

static void shrink_segments(void)
{
    for (uint64_t start = 0; start < ram_end(); start += segment_size()) {
        uint64_t *entry = &segment_table()[start / segment_size()];
        uint64_t gb = *entry & RST_SIZE_MASK;
        if (gb > wanted_gb(start))
            *entry = (*entry & ~RST_SIZE_MASK) | wanted_gb(start);
    }
}

static bool is_ram(uint64_t spa)
{
    const struct memory_range *ranges;
    unsigned count = ram_ranges(&ranges);
    for (unsigned i = 0; i < count; i++) {
        if (spa >= ranges[i].start && spa < ranges[i].end)
            return true;
    }
    return false;
}

/* A page in a 2 MiB block that is all RAM and holds no part of the RMP. */
static bool usable(uint64_t spa)
{
    uint64_t start = spa & ~(PAGE_2M - 1);
    return is_ram(start) && is_ram(start + PAGE_2M - 1) && rmp_entry_address(spa);
}

static void all_ram_is_covered(const void *unused)
{
    const struct memory_range *ranges;
    unsigned count = ram_ranges(&ranges);
    (void)unused;
    for (unsigned i = 0; i < count; i++)
        print("# RAM %#lx to %#lx\n", ranges[i].start, ranges[i].end);
    EXPECT(rmp_covered_end() >= ram_end());
    for (unsigned i = 0; i < count; i++)
        EXPECT(rmp_entry_address(ranges[i].end - PAGE_4K) != 0);
    shrink_segments();
    snp_enable();
}

static void hole_has_no_entries(const void *unused)
{
    (void)unused;
    REQUIRE(!is_ram(TIB / 2));
    for (uint64_t spa = 256 * PAGE_1G; spa < 768 * PAGE_1G; spa += 64 * PAGE_1G) {
        struct rmp_record record;
        EXPECT_EQ(rmp_assign(spa, RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
        EXPECT_EQ(rmp_assign(spa, RMP_PAGE_2M, 1, 0), RMP_FAIL_INPUT);
        EXPECT_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_FAIL_INPUT);
        EXPECT_EQ(psmash(spa), RMP_FAIL_INPUT);
        EXPECT_EQ(rmpread(spa, &record), RMP_FAIL_INPUT);
    }
}

static void nothing_beyond_the_covered_end(const void *unused)
{
    static const uint64_t above[] = {0, PAGE_4K, PAGE_2M, PAGE_1G, TIB, 8 * TIB, 64 * TIB};
    uint64_t end = rmp_covered_end();
    (void)unused;
    for (unsigned i = 0; i < sizeof(above) / sizeof(above[0]); i++) {
        EXPECT_EQ(rmp_assign(end + above[i], RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
        EXPECT_EQ(rmp_assign((end + above[i]) & ~(PAGE_2M - 1), RMP_PAGE_4K, 1, 1ul << 52),
                  RMP_FAIL_INPUT);
    }
}

static void expect_entry(uint64_t spa, uint32_t asid, uint64_t gpa)
{
    struct rmp_record record = rmp_lookup(spa);
    EXPECT_EQ(record.assigned, asid != 0);
    EXPECT_EQ(record.asid, asid);
    EXPECT_EQ(record.gpa, gpa);
}

/* A page whose address differs from spa in one high bit is another page with an entry of its own.
 */
static void expect_no_alias(uint64_t spa)
{
    for (uint64_t bit = PAGE_2M; bit <= 16 * TIB; bit *= 2) {
        if (rmp_entry_address(spa ^ bit))
            expect_entry(spa ^ bit, 0, 0);
    }
}

static void check_entry_at(uint64_t spa)
{
    REQUIRE_EQ(rmp_assign(spa, RMP_PAGE_4K, 7, 0x123456000), RMP_SUCCESS);
    expect_entry(spa, 7, 0x123456000);
    expect_no_alias(spa);
    REQUIRE_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
    expect_entry(spa, 0, 0);
}

static void entries_at_each_terabyte(const void *unused)
{
    unsigned pages = 0;
    (void)unused;
    for (uint64_t edge = TIB; edge < ram_end(); edge += TIB) {
        if (usable(edge) && ++pages)
            check_entry_at(edge);
        if (usable(edge - PAGE_4K) && ++pages)
            check_entry_at(edge - PAGE_4K);
        if (usable(edge + PAGE_2M + PAGE_4K) && ++pages)
            check_entry_at(edge + PAGE_2M + PAGE_4K);
    }
    EXPECT(pages >= 5);
}

static void last_page_of_ram(const void *unused)
{
    uint64_t spa = (ram_end() & ~(PAGE_2M - 1)) - PAGE_4K;
    (void)unused;
    REQUIRE(usable(spa));
    check_entry_at(spa);
}

static bool skipped(uint64_t segment)
{
    return !covered_bytes(segment) || !usable(segment + covered_bytes(segment) - PAGE_4K);
}

static void assign_both_ends(uint64_t segment)
{
    uint64_t end = segment + covered_bytes(segment);
    REQUIRE_EQ(rmp_assign(segment, RMP_PAGE_2M, 2, segment), RMP_SUCCESS);
    REQUIRE_EQ(rmp_assign(end - PAGE_4K, RMP_PAGE_4K, 1, end), RMP_SUCCESS);
}

static void check_both_ends(uint64_t segment)
{
    uint64_t end = segment + covered_bytes(segment);
    expect_entry(segment, 2, segment);
    expect_entry(segment + PAGE_2M, 0, 0);
    expect_entry(end - 2 * PAGE_4K, 0, 0);
    expect_entry(end - PAGE_4K, 1, end);
    EXPECT_EQ(rmp_unassign(segment, RMP_PAGE_2M), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(end - PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
}

static void each_segment_has_its_own_table(const void *unused)
{
    unsigned segments = 0;
    (void)unused;
    for (uint64_t segment = TIB; segment < ram_end(); segment += segment_size()) {
        if (!skipped(segment) && ++segments)
            assign_both_ends(segment);
    }
    for (uint64_t segment = TIB; segment < ram_end(); segment += segment_size()) {
        if (!skipped(segment))
            check_both_ends(segment);
    }
    print("# %u segments of %lu GiB\n", segments, segment_size() / PAGE_1G);
    EXPECT(segments >= 32);
}

static void covered_size_ends_a_segment(const void *unused)
{
    struct rmp_record record;
    unsigned short_segments = 0;
    (void)unused;
    for (uint64_t segment = TIB; segment < ram_end(); segment += segment_size()) {
        uint64_t end = segment + covered_bytes(segment);
        if (covered_bytes(segment) == segment_size() || end >= ram_end())
            continue;
        short_segments++;
        EXPECT_EQ(rmp_assign(end, RMP_PAGE_4K, 1, 0), RMP_FAIL_INPUT);
        EXPECT_EQ(rmp_assign(end, RMP_PAGE_2M, 1, 0), RMP_FAIL_INPUT);
        EXPECT_EQ(rmp_assign(segment + segment_size() - PAGE_4K, RMP_PAGE_4K, 1, 0),
                  RMP_FAIL_INPUT);
        EXPECT_EQ(psmash(end), RMP_FAIL_INPUT);
        EXPECT_EQ(rmpread(end, &record), RMP_FAIL_INPUT);
    }
    EXPECT(short_segments >= 16);
}

static void smash_far_away(const void *unused)
{
    (void)unused;
    REQUIRE_EQ(rmp_assign(2 * TIB, RMP_PAGE_2M, 3, 4 * PAGE_2M), RMP_SUCCESS);
    EXPECT_EQ(psmash(2 * TIB + PAGE_4K), RMP_FAIL_INPUT);
    EXPECT_EQ(psmash(2 * TIB), RMP_SUCCESS);
    for (uint64_t offset = 0; offset < PAGE_2M; offset += PAGE_4K) {
        expect_entry(2 * TIB + offset, 3, 4 * PAGE_2M + offset);
        EXPECT_EQ(rmp_unassign(2 * TIB + offset, RMP_PAGE_4K), RMP_SUCCESS);
    }
    EXPECT_EQ(rmp_assign(2 * TIB, RMP_PAGE_2M, 3, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(2 * TIB, RMP_PAGE_2M), RMP_SUCCESS);
}

static void try_store(volatile uint64_t *target)
{
    __asm__ volatile(GUARDED("movq %0, (%0)") : : "r"(target) : "memory");
}

static void check_store_at(uint64_t spa)
{
    volatile uint64_t *target =
        (void *)((uint8_t *)map_window(spa, PAGE_4K, PAGE_4K, MAP_WRITE) + 0x128);

    REQUIRE_EQ(rmp_assign(spa, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    try_store(target);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, RMP_FAULT);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)target);
    EXPECT_EQ(*target, 0);
    REQUIRE_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
    try_store(target);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(*target, (uint64_t)target);
}

static void stores_fault_at_each_terabyte(const void *unused)
{
    (void)unused;
    for (uint64_t edge = TIB; edge < ram_end(); edge += TIB) {
        if (usable(edge + 4 * PAGE_2M))
            check_store_at(edge + 4 * PAGE_2M);
        if (usable(edge - 3 * PAGE_4K))
            check_store_at(edge - 3 * PAGE_4K);
    }
}

struct request {
    uint64_t spa, function, base;
    struct insn_result result;
};

static void execute(void *argument)
{
    struct request *request = argument;
    request->result = insn_rmpopt(request->spa, request->function, 0);
}

static bool carry_on(unsigned cpu, uint64_t spa, uint64_t function)
{
    struct request request = {.spa = spa, .function = function};
    run_on_cpu(cpu, execute, &request);
    EXPECT_NO_TRAP(request.result);
    return request.result.rflags & FLAG_CF;
}

static void write_base(void *argument)
{
    wrmsr(MSR_RMPOPT_BASE, ((struct request *)argument)->base);
}

/* Begins with an empty RMPOPT table. */
static void open_window(unsigned cpu, uint64_t base)
{
    struct request off = {.base = 0}, on = {.base = base | RMPOPT_EN};
    run_on_cpu(cpu, write_base, &off);
    run_on_cpu(cpu, write_base, &on);
}

static void expect_inside(uint64_t spa)
{
    EXPECT_EQ(rmpopt(spa, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(spa, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmpopt(spa, RMPOPT_REPORT), true);
    EXPECT_EQ(rmpopt(spa + PAGE_1G - 1, RMPOPT_REPORT), true);
}

static void expect_outside(uint64_t spa)
{
    EXPECT_EQ(rmpopt(spa, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(spa, RMPOPT_VERIFY), false);
    EXPECT_EQ(rmpopt(spa, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(spa + PAGE_1G - 1, RMPOPT_REPORT), false);
}

static bool ram_region(uint64_t spa)
{
    return usable(spa) && usable(spa + PAGE_1G - PAGE_4K);
}

#define NEEDS_RMPOPT                                                                               \
    do {                                                                                           \
        if (!cpu_has_rmpopt() || !rmp_is_segmented())                                              \
            SKIP("no RMPOPT");                                                                     \
    } while (0)

static void window_at_zero_ends_at_2_tib(const void *unused)
{
    (void)unused;
    NEEDS_RMPOPT;
    open_window(0, 0);
    expect_inside(2 * TIB - PAGE_1G);
    expect_inside(0);
    expect_outside(2 * TIB);
    expect_outside(2 * TIB + PAGE_1G);
    expect_outside(4 * TIB);
    expect_outside(rmp_covered_end());
}

static void check_window(uint64_t base)
{
    print("# window at %lu GiB\n", base / PAGE_1G);
    open_window(0, base);
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), base | RMPOPT_EN);
    if (ram_region(base))
        expect_inside(base);
    if (ram_region(base + WINDOW - PAGE_1G))
        expect_inside(base + WINDOW - PAGE_1G);
    expect_outside(base + WINDOW);
    if (base)
        expect_outside(base - PAGE_1G);
    if (base > WINDOW)
        expect_outside(base - WINDOW);
    expect_outside(base + 2 * WINDOW);
}

static void windows_at_other_bases(const void *unused)
{
    static const uint64_t bases[] = {
        PAGE_1G,           TIB - PAGE_1G, TIB,     TIB + PAGE_1G, TIB + 64 * PAGE_1G,
        2 * TIB - PAGE_1G, 2 * TIB,       3 * TIB, 4 * TIB,       5 * TIB};
    (void)unused;
    NEEDS_RMPOPT;
    for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
        check_window(bases[i]);
}

static void far_page_fails_its_region_alone(const void *unused)
{
    uint64_t spa = 2 * TIB + 6 * PAGE_2M;
    (void)unused;
    NEEDS_RMPOPT;
    open_window(0, TIB);
    REQUIRE_EQ(rmp_assign(spa + PAGE_4K, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(spa, RMPOPT_VERIFY), false);
    EXPECT_EQ(rmpopt(spa - PAGE_1G, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmpopt(spa + PAGE_1G, RMPOPT_VERIFY), true);
    EXPECT_EQ(rmpopt(spa - TIB, RMPOPT_VERIFY), true);
    REQUIRE_EQ(rmp_unassign(spa + PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(spa, RMPOPT_REPORT), false);
    EXPECT_EQ(rmpopt(spa, RMPOPT_VERIFY), true);
}

/* The address selects the bit: distant regions with the same number in their windows are distinct.
 */
static void update_outside_the_window_clears_nothing(const void *unused)
{
    uint64_t inside = TIB + 3 * PAGE_1G;
    (void)unused;
    NEEDS_RMPOPT;
    if (!usable(inside + WINDOW))
        SKIP("RAM ends below 3 TiB");
    open_window(0, 0);
    EXPECT_EQ(rmpopt(inside, RMPOPT_VERIFY), true);
    REQUIRE_EQ(rmp_assign(inside + WINDOW, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(inside, RMPOPT_REPORT), true);
    EXPECT_EQ(rmpopt(inside + WINDOW, RMPOPT_VERIFY), false);
    REQUIRE_EQ(rmp_unassign(inside + WINDOW, RMP_PAGE_4K), RMP_SUCCESS);
    REQUIRE_EQ(rmp_assign(inside, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmpopt(inside, RMPOPT_REPORT), false);
    REQUIRE_EQ(rmp_unassign(inside, RMP_PAGE_4K), RMP_SUCCESS);
}

/* One region that has different numbers in the windows of two cores. */
static void update_clears_the_right_bit_of_each_core(const void *unused)
{
    int cpu = cpu_on_other_core(0);
    uint64_t shared = 2 * TIB + 5 * PAGE_1G;
    uint64_t same_number = shared - TIB; /* in window 0, what `shared` is in the other */
    unsigned other;
    (void)unused;
    NEEDS_RMPOPT;
    if (cpu < 0)
        SKIP("one core only");
    other = (unsigned)cpu;
    open_window(0, TIB);
    open_window(other, 2 * TIB);
    EXPECT(carry_on(0, shared, RMPOPT_VERIFY));
    EXPECT(carry_on(other, shared, RMPOPT_VERIFY));
    EXPECT(carry_on(0, same_number, RMPOPT_VERIFY));
    EXPECT(!carry_on(other, same_number, RMPOPT_VERIFY));
    REQUIRE_EQ(rmp_assign(shared + PAGE_2M, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    EXPECT(!carry_on(0, shared, RMPOPT_REPORT));
    EXPECT(!carry_on(other, shared, RMPOPT_REPORT));
    EXPECT(carry_on(0, same_number, RMPOPT_REPORT));
    REQUIRE_EQ(rmp_unassign(shared + PAGE_2M, RMP_PAGE_2M), RMP_SUCCESS);
}

static void each_core_has_its_own_window(const void *unused)
{
    int cpu = cpu_on_other_core(0), sibling = sibling_of(0);
    (void)unused;
    NEEDS_RMPOPT;
    if (cpu < 0)
        SKIP("one core only");
    open_window(0, 0);
    open_window((unsigned)cpu, 2 * TIB);
    EXPECT(!carry_on(0, 2 * TIB, RMPOPT_VERIFY));
    EXPECT(carry_on((unsigned)cpu, 2 * TIB, RMPOPT_VERIFY));
    EXPECT(carry_on(0, TIB, RMPOPT_VERIFY));
    EXPECT(!carry_on((unsigned)cpu, TIB, RMPOPT_VERIFY));
    if (sibling >= 0) {
        EXPECT(carry_on((unsigned)sibling, TIB, RMPOPT_REPORT));
        EXPECT(!carry_on((unsigned)sibling, 2 * TIB, RMPOPT_REPORT));
    }
}

static void region_in_the_hole(const void *unused)
{
    bool verified;
    (void)unused;
    NEEDS_RMPOPT;
    open_window(0, 0);
    EXPECT_EQ(rmpopt(TIB / 2, RMPOPT_REPORT), false);
    /* Whether CF is set is not documented, but the report must agree with it. */
    verified = rmpopt(TIB / 2, RMPOPT_VERIFY);
    EXPECT_EQ(rmpopt(TIB / 2, RMPOPT_REPORT), verified);
    expect_inside(TIB);
}

static const struct test_case cases[] = {
    TEST(all_ram_is_covered, "APM2 15.36.4: the RMP covers all RAM"),
    TEST(hole_has_no_entries, "APM2 15.36.4: no segment table entry, no RMP entry"),
    TEST(nothing_beyond_the_covered_end, "APM3 RMPUPDATE: FAIL_INPUT above the RMP's end"),
    TEST(entries_at_each_terabyte, "APM2 15.36.4: one entry for each page"),
    TEST(last_page_of_ram, "APM2 15.36.4: one entry for each page"),
    TEST(each_segment_has_its_own_table, "APM2 15.36.4: segments by address"),
    TEST(covered_size_ends_a_segment, "APM2 15.36.4: no entry beyond the covered size"),
    TEST(smash_far_away, "APM3 PSMASH: 512 entries, guest addresses in sequence"),
    TEST(stores_fault_at_each_terabyte, "APM2 15.36.10: host writes need a hypervisor-owned page"),
    TEST(window_at_zero_ends_at_2_tib, "AMD series, cover: 2 TiB from RMPOPT_BASE"),
    TEST(windows_at_other_bases, "AMD mail 2026-03-02: the base may be any GB"),
    TEST(far_page_fails_its_region_alone, "AMD series, cover: no assigned page in the GB"),
    TEST(update_outside_the_window_clears_nothing, "AMD mail 2026-03-04: the matching entry only"),
    TEST(update_clears_the_right_bit_of_each_core, "AMD mail 2026-03-04: RMPUPDATE broadcasts"),
    TEST(each_core_has_its_own_window, "AMD series v1, patch 2: a base for each socket"),
    TEST(region_in_the_hole, "policy oow and the debugfs sample of v1: no fault"),
};
TEST_SUITE_IF(cases, unmet);
