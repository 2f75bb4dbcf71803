// SPDX-License-Identifier: GPL-2.0-or-later
// The audit finds nothing in what the model did, and each way to break the table by its name.
#include "hw-model/machine/audit.h"

#include "machine_fixture.h"

namespace rmpopt::hw
{

namespace
{

class audit_test : public machine_fixture
{
  protected:
    void SetUp() override { start(); }

    using lines = std::vector<std::string>;

    lines findings_of(spa_t spa) { return audit_region(*m, spa); }
    /// Each finding starts with its line of `expected`, and there is no other.
    static void expect_same(const lines &found, const lines &expected)
    {
        ASSERT_EQ(found.size(), expected.size()) << testing::PrintToString(found);
        for (std::size_t i = 0; i < found.size(); ++i) {
            EXPECT_TRUE(found[i].starts_with(expected[i])) << found[i];
        }
    }
    void expect_findings(const lines &expected) { expect_same(audit(*m), expected); }
    void expect_only(spa_t spa, const std::string &rule)
    {
        expect_findings({rule});
        expect_same(findings_of(spa), {rule});
    }

    rmp_entry_raw raw(spa_t spa) const
    {
        return *m->memory().load<rmp_entry_raw>(*m->rmp().entry_address(spa));
    }
    void set_raw(spa_t spa, const rmp_entry_raw &r)
    {
        m->memory().store(*m->rmp().entry_address(spa), r);
    }
    void flip(spa_t spa, std::uint64_t lo, std::uint64_t hi = 0)
    {
        const rmp_entry_raw r = raw(spa);
        set_raw(spa, {.lo = r.lo ^ lo, .hi = r.hi ^ hi});
    }
    /// Changes that only firmware or a bug could make; asid 0 keeps the counters out of it.
    void store_firmware_page(spa_t spa)
    {
        rmp_entry e;
        e.assigned = true;
        m->rmp().store(spa, e);
    }

    static constexpr std::uint64_t count_bit = 1ull << 3, asid_bit = 1ull << 51;
    static constexpr std::uint64_t size_bit = 2, immutable_bit = 4;
};

TEST_F(audit_test, finds_nothing_in_an_empty_table)
{
    expect_findings({});
}

TEST_F(audit_test, finds_nothing_without_a_table)
{
    m->reset();
    expect_findings({});
    EXPECT_TRUE(findings_of(low_2m).empty());
}

TEST_F(audit_test, finds_nothing_where_no_entry_is)
{
    EXPECT_TRUE(findings_of(hole).empty());
    EXPECT_TRUE(findings_of(beyond).empty());
}

TEST_F(audit_test, finds_nothing_after_each_operation)
{
    optimise(0, low_2m);
    assign(low_2m + page_4k);
    assign_2m(high_2m);
    expect_findings({});
    psmash(*m, high_2m);
    release(high_2m + 5 * page_4k);
    update(high_2m + page_2m, immutable(guest_page()));
    expect_findings({});
    release(low_2m + page_4k);
    optimise(0, low_2m);
    expect_findings({});
}

TEST_F(audit_test, finds_nothing_in_a_contiguous_table_that_ends_inside_2m)
{
    build("milan", rmp_layout::none);
    const spa_t end =
        rmp_base + rmp_bookkeeping_bytes + (low_2m + page_2m / 2) / page_4k * rmp_entry_bytes;
    m->bios_setup({.layout = rmp_layout::contiguous, .base = rmp_base, .end = end - 1});
    enable_snp();
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    ASSERT_EQ(assign(low_2m + 255 * page_4k), rmp_status::success);
    expect_findings({});
    flip(low_2m, count_bit);
    expect_findings({"sub-page count: of 0x4000000 is 0, but 1"});
}

TEST_F(audit_test, finds_nothing_in_hv_fixed_pages)
{
    rmp_entry fixed;
    fixed.immutable = true;
    m->rmp().store(low_2m, fixed);
    m->rmp().store(low_2m + page_4k, fixed);
    expect_findings({});
}

TEST_F(audit_test, finds_a_bit_over_an_assigned_page)
{
    ASSERT_TRUE(optimise(2, high.base).cf);
    store_firmware_page(high_2m);
    expect_only(high_2m, "rmpopt bit: core 1 has it set for 0x80000000, but 0x84000000");
}

TEST_F(audit_test, finds_a_bit_over_a_4k_page_that_no_count_knows)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    store_firmware_page(high_2m + 511 * page_4k);
    expect_findings({"sub-page count", "rmpopt bit"});
}

TEST_F(audit_test, finds_the_bit_of_each_core)
{
    optimise(0, high.base);
    optimise(2, high.base);
    store_firmware_page(high_2m);
    expect_findings({"rmpopt bit: core 0", "rmpopt bit: core 1"});
}

TEST_F(audit_test, finds_a_bit_at_another_window_base)
{
    build("venice");
    enable_snp();
    enable_rmpopt(high.base);
    ASSERT_TRUE(optimise(0, high.base).cf);
    store_firmware_page(high_2m);
    expect_only(high_2m, "rmpopt bit");
}

TEST_F(audit_test, does_not_blame_a_bit_of_another_region)
{
    optimise(0, high.base);
    store_firmware_page(low_2m);
    expect_findings({});
}

TEST_F(audit_test, finds_a_count_that_is_too_high)
{
    assign(low_2m + page_4k);
    flip(low_2m, 3 * count_bit); // 1 -> 2
    expect_only(low_2m, "sub-page count: of 0x4000000 is 2, but 1");
}

TEST_F(audit_test, finds_a_count_that_is_too_low)
{
    assign(low_2m + page_4k);
    flip(low_2m, count_bit);
    expect_only(low_2m, "sub-page count: of 0x4000000 is 0, but 1");
}

TEST_F(audit_test, finds_a_count_in_a_2m_page)
{
    assign_2m(low_2m);
    flip(low_2m, count_bit);
    expect_only(low_2m, "sub-page count: of 0x4000000 is 1, but 0");
}

TEST_F(audit_test, finds_a_count_where_none_belongs)
{
    flip(low_2m + page_4k, count_bit);
    expect_only(low_2m, "sub-page count: at 0x4001000");
}

TEST_F(audit_test, finds_an_asid_count_that_is_wrong)
{
    assign(low_2m);
    m->memory().store<std::uint64_t>(rmp_base + 8 * 7, 2);
    expect_findings({"asid count: of 7 is 2, but it has 1"});
}

TEST_F(audit_test, finds_an_asid_count_without_pages)
{
    m->memory().store<std::uint64_t>(rmp_base + 8 * 1023, 1);
    expect_findings({"asid count: of 1023 is 1, but it has 0"});
}

TEST_F(audit_test, counts_the_512_pages_of_a_2m_page)
{
    assign_2m(low_2m);
    m->memory().store<std::uint64_t>(rmp_base + 8 * 7, 1);
    expect_findings({"asid count: of 7 is 1, but it has 512"});
}

TEST_F(audit_test, leaves_asid_counts_out_of_one_region)
{
    m->memory().store<std::uint64_t>(rmp_base + 8 * 7, 1);
    EXPECT_TRUE(findings_of(low_2m).empty());
}

TEST_F(audit_test, finds_a_part_of_a_2m_page_that_is_not_assigned)
{
    assign_2m(low_2m);
    set_raw(low_2m + 511 * page_4k, {});
    expect_only(low_2m, "2 MB page: entry of 0x41ff000");
}

TEST_F(audit_test, finds_a_part_of_a_2m_page_that_is_immutable)
{
    assign_2m(low_2m);
    flip(low_2m + page_4k, immutable_bit);
    expect_only(low_2m, "2 MB page: entry of 0x4001000");
}

TEST_F(audit_test, finds_a_part_of_a_2m_page_with_a_guest_address)
{
    assign_2m(low_2m);
    flip(low_2m + page_4k, page_4k);
    expect_only(low_2m, "2 MB page");
}

TEST_F(audit_test, finds_a_2m_page_at_an_address_that_is_not_2m_aligned)
{
    ASSERT_EQ(update(low_2m + page_4k, {.assigned = true}), rmp_status::success);
    flip(low_2m + page_4k, size_bit);
    expect_only(low_2m, "2 MB page");
}

TEST_F(audit_test, finds_reserved_bits_of_an_assigned_entry)
{
    assign(low_2m);
    for (unsigned b = 32; b < 64; ++b) {
        flip(low_2m, 0, 1ull << b);
        expect_only(low_2m, "reserved bits: of 0x4000000");
        flip(low_2m, 0, 1ull << b);
    }
}

TEST_F(audit_test, finds_reserved_bits_of_an_unassigned_entry)
{
    flip(low_2m, 0, 1ull << 63);
    expect_only(low_2m, "reserved bits: of 0x4000000: 0x0 0x8000000000000000");
}

TEST_F(audit_test, finds_reserved_permissions)
{
    assign(low_2m);
    for (const unsigned b : {5u, 7u, 13u, 23u, 31u}) {
        flip(low_2m, 0, 1ull << b);
        expect_only(low_2m, "reserved bits");
        flip(low_2m, 0, 1ull << b);
    }
}

TEST_F(audit_test, takes_every_permission_that_exists)
{
    assign(low_2m);
    flip(low_2m, 0, 0x1f1f1f10);
    expect_findings({});
}

TEST_F(audit_test, finds_anything_left_in_an_unassigned_entry)
{
    constexpr std::uint64_t vmsa = 1ull << 61, validated = 1ull << 62, lock = 1ull << 63;
    for (const std::uint64_t left : {size_bit, page_4k, asid_bit, vmsa, validated, lock}) {
        flip(low_2m, left);
        expect_only(low_2m, "unassigned entry: of 0x4000000");
        flip(low_2m, left);
    }
}

TEST_F(audit_test, finds_permissions_left_in_an_unassigned_entry)
{
    flip(low_2m + page_4k, 0, 1);
    expect_only(low_2m, "unassigned entry: of 0x4001000: 0x0 0x1");
}

TEST_F(audit_test, finds_faults_in_the_last_entry)
{
    flip(high.end() - page_4k, 0, 1);
    expect_only(high.end() - page_4k, "unassigned entry");
    EXPECT_TRUE(findings_of(low_2m).empty());
}

TEST_F(audit_test, stops_at_its_limit)
{
    for (unsigned i = 0; i < 2 * max_findings; ++i) {
        flip(low_2m + i * page_4k, 0, 1);
    }
    EXPECT_EQ(audit(*m).size(), max_findings);
}

} // namespace

} // namespace rmpopt::hw
