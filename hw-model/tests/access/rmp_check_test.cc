// SPDX-License-Identifier: GPL-2.0-or-later
// Every row of the RMP check tables (APM vol. 2, 15.36.10) and the rules of accesses to what must
// be the hypervisor's.
#include "rmp_check_fixture.h"

#include <gtest/gtest.h>
#include <string>

namespace rmpopt::hw
{

namespace
{

class rmp_check_test : public rmp_check_fixture
{
};

// Table 15-39 and 15-41: accesses by who and what, over an assigned page and over a free one.

struct row {
    const char *name;
    initiator who;
    kind what;
    bool encrypted;
    rmp_outcome on_assigned; ///< a page of another guest
    std::uint64_t bits;
    bool checked;
};

void PrintTo(const row &r, std::ostream *os)
{
    *os << r.name;
}

class table_row : public rmp_check_test, public testing::WithParamInterface<row>
{
  protected:
    rmp_access access() const
    {
        rmp_access a = by(GetParam().who, GetParam().what, page);
        a.encrypted = GetParam().encrypted;
        a.asid = asid;
        a.gpa = gpa_4k;
        return a;
    }
};

TEST_P(table_row, over_an_assigned_page)
{
    rmp_entry foreign = accepted();
    foreign.asid = asid + 1;
    set_entry(page, foreign);
    const rmp_verdict v = check(access());
    EXPECT_EQ(v.outcome, GetParam().on_assigned);
    EXPECT_EQ(v.error_bits, GetParam().bits);
    EXPECT_EQ(v.checked, GetParam().checked);
    EXPECT_FALSE(v.skipped);
}

TEST_P(table_row, over_a_hypervisor_page)
{
    const bool wants_own_page = (GetParam().bits & rmp_error::encrypted) != 0;
    const rmp_verdict v = check(access());
    EXPECT_EQ(v.outcome, wants_own_page ? rmp_outcome::nested_page_fault : rmp_outcome::allowed);
    EXPECT_EQ(v.checked, GetParam().checked);
}

TEST_P(table_row, over_an_immutable_page_of_the_hypervisor)
{
    rmp_entry fixed;
    fixed.immutable = true;
    set_entry(page, fixed);
    const bool wants_own_page = (GetParam().bits & rmp_error::encrypted) != 0;
    EXPECT_EQ(check(access()).outcome,
              wants_own_page ? rmp_outcome::nested_page_fault : rmp_outcome::allowed);
}

TEST_P(table_row, without_snp_en)
{
    rmp_entry foreign = accepted();
    foreign.asid = asid + 1;
    set_entry(page, foreign);
    m->firmware_clear_snp_en();
    EXPECT_EQ(check(access()), (rmp_verdict{.rule = rmp_rule::snp_disabled}));
}

constexpr auto ok = rmp_outcome::allowed, pf = rmp_outcome::page_fault,
               npf = rmp_outcome::nested_page_fault, dma = rmp_outcome::blocked;

INSTANTIATE_TEST_SUITE_P(
    rmp, table_row,
    testing::Values(
        row{"host_read", initiator::host, kind::read, false, ok, 0, false},
        row{"host_write", initiator::host, kind::write, false, pf, rmp_error::rmp, true},
        row{"host_fetch", initiator::host, kind::fetch, false, ok, 0, false},
        row{"host_walk_read", initiator::host, kind::walk_read, false, pf, rmp_error::rmp, true},
        row{"host_walk_write", initiator::host, kind::walk_write, false, pf, rmp_error::rmp, true},
        row{"nonsnp_read", initiator::nonsnp_guest, kind::read, false, ok, 0, false},
        row{"nonsnp_write", initiator::nonsnp_guest, kind::write, false, npf, npf_final, true},
        row{"nonsnp_fetch", initiator::nonsnp_guest, kind::fetch, false, ok, 0, false},
        row{"nonsnp_walk_read", initiator::nonsnp_guest, kind::walk_read, false, npf, npf_walk,
            true},
        row{"nonsnp_walk_write", initiator::nonsnp_guest, kind::walk_write, false, npf, npf_walk,
            true},
        row{"snp_private_read", initiator::snp_guest, kind::read, true, npf, npf_private, true},
        row{"snp_private_write", initiator::snp_guest, kind::write, true, npf, npf_private, true},
        row{"snp_shared_read", initiator::snp_guest, kind::read, false, ok, 0, false},
        row{"snp_shared_write", initiator::snp_guest, kind::write, false, npf, npf_final, true},
        row{"snp_fetch", initiator::snp_guest, kind::fetch, true, npf, npf_private, true},
        row{"snp_fetch_whatever_the_c_bit", initiator::snp_guest, kind::fetch, false, npf,
            npf_private, true},
        row{"snp_walk_read", initiator::snp_guest, kind::walk_read, false, npf,
            npf_walk | rmp_error::encrypted, true},
        row{"snp_walk_write", initiator::snp_guest, kind::walk_write, true, npf,
            npf_walk | rmp_error::encrypted, true},
        row{"device_read", initiator::device, kind::read, false, dma, 0, true},
        row{"device_write", initiator::device, kind::write, false, dma, 0, true}),
    [](const auto &info) { return std::string(info.param.name); });

TEST(rmp_error, bits_are_where_the_manual_has_them)
{
    EXPECT_EQ(rmp_error::reserved, 1ull << 3);
    EXPECT_EQ(rmp_error::rmp, 0x80000000u);
    EXPECT_EQ(rmp_error::final_access, 1ull << 32);
    EXPECT_EQ(rmp_error::page_walk, 1ull << 33);
    EXPECT_EQ(rmp_error::encrypted, 1ull << 34);
    EXPECT_EQ(rmp_error::size_mismatch, 1ull << 35);
    EXPECT_EQ(rmp_error::vmpl, 1ull << 36);
    EXPECT_EQ(rmp_error::shadow_stack, 1ull << 37);
    EXPECT_EQ(vc_page_not_validated, 0x404u);
}

// SNP_EN.

TEST_F(rmp_check_test, core_without_snp_en_checks_nothing)
{
    build();
    enable_snp(0);
    ASSERT_EQ(assign(page), rmp_status::success);
    expect_page_fault(by(initiator::host, kind::write, page), rmp_rule::hypervisor_owned);
    EXPECT_EQ(check(by(initiator::host, kind::write, page), 1).outcome, pf) << "the sibling";
    EXPECT_EQ(check(by(initiator::host, kind::write, page), 2).rule, rmp_rule::snp_disabled);
}

TEST_F(rmp_check_test, devices_are_checked_once_any_core_has_snp_en)
{
    build();
    enable_snp(3);
    set_entry(page, accepted());
    EXPECT_EQ(check(by(initiator::device, kind::write, page)).rule, rmp_rule::device_page);
}

// Pages without an entry, and the ownership rule by page state.

TEST_F(rmp_check_test, uncovered_pages_are_hypervisor_owned)
{
    for (const initiator who : {initiator::host, initiator::nonsnp_guest, initiator::device}) {
        expect_passed(by(who, kind::write, hole));
        expect_passed(by(who, kind::write, beyond));
    }
    expect_passed({.kind = kind::write, .spa = beyond, .large_mapping = true});
    expect_npf(guest(kind::read, hole), rmp_rule::guest_covered);
}

TEST_F(rmp_check_test, firmware_pages_are_not_the_host_s_to_write)
{
    rmp_entry firmware;
    firmware.assigned = true;
    firmware.immutable = true;
    set_entry(page, firmware);
    expect_page_fault(by(initiator::host, kind::write, page), rmp_rule::hypervisor_owned);
    firmware.immutable = false; // reclaimed, still assigned
    set_entry(page, firmware);
    expect_page_fault(by(initiator::host, kind::write, page), rmp_rule::hypervisor_owned);
}

TEST_F(rmp_check_test, any_byte_of_an_assigned_page_counts)
{
    ASSERT_EQ(assign(page), rmp_status::success);
    expect_page_fault(by(initiator::host, kind::write, page + 0xfff), rmp_rule::hypervisor_owned);
    expect_passed(by(initiator::host, kind::write, page + 0x1000));
    expect_passed(by(initiator::host, kind::write, page - 1));
}

TEST_F(rmp_check_test, all_pages_of_an_assigned_2m_page_count)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    for (const unsigned i : {0u, 1u, 511u}) {
        expect_page_fault(by(initiator::host, kind::write, low_2m + i * page_4k),
                          rmp_rule::hypervisor_owned);
    }
    expect_passed(by(initiator::host, kind::write, low_2m + page_2m));
    expect_passed(by(initiator::host, kind::write, low_2m - 1));
}

// Size rule of shared accesses.

TEST_F(rmp_check_test, host_write_through_a_large_mapping_needs_all_512_pages)
{
    const rmp_access a{.kind = kind::write, .spa = page, .large_mapping = true};
    expect_passed(a);
    for (const unsigned i : {0u, 1u, 511u}) {
        ASSERT_EQ(assign(low_2m + i * page_4k), rmp_status::success);
        expect_page_fault(a, rmp_rule::hypervisor_owned_2m);
        ASSERT_EQ(release(low_2m + i * page_4k), rmp_status::success);
        expect_passed(a);
    }
}

TEST_F(rmp_check_test, large_mapping_does_not_count_the_next_2m)
{
    ASSERT_EQ(assign(low_2m + page_2m), rmp_status::success);
    ASSERT_EQ(assign(low_2m - page_4k), rmp_status::success);
    expect_passed({.kind = kind::write, .spa = page, .large_mapping = true});
}

TEST_F(rmp_check_test, host_write_through_a_4k_mapping_needs_only_its_page)
{
    ASSERT_EQ(assign(page + page_4k), rmp_status::success);
    expect_passed(by(initiator::host, kind::write, page));
}

TEST_F(rmp_check_test, host_walk_write_is_checked_as_4k_in_a_large_mapping)
{
    ASSERT_EQ(assign(page + page_4k), rmp_status::success);
    expect_passed({.kind = kind::walk_write, .spa = page, .large_mapping = true});
    expect_page_fault({.kind = kind::walk_write, .spa = page + page_4k, .large_mapping = true},
                      rmp_rule::hypervisor_owned);
}

TEST_F(rmp_check_test, large_nested_mappings_of_plain_guests_are_checked_whole)
{
    ASSERT_EQ(assign(page + page_4k), rmp_status::success);
    rmp_access a = by(initiator::nonsnp_guest, kind::write, page);
    expect_passed(a);
    a.large_mapping = true;
    expect_npf(a, rmp_rule::hypervisor_owned_2m, npf_final);
    a.spa = page + page_4k;
    expect_npf(a, rmp_rule::hypervisor_owned, npf_final);
}

TEST_F(rmp_check_test, large_mappings_do_not_count_for_reads_of_page_tables)
{
    ASSERT_EQ(assign(page + page_4k), rmp_status::success);
    expect_passed({.kind = kind::walk_read, .spa = page, .large_mapping = true});
    expect_page_fault({.kind = kind::walk_read, .spa = page + page_4k, .large_mapping = true},
                      rmp_rule::hypervisor_owned);
}

TEST_F(rmp_check_test, devices_have_no_size_check)
{
    ASSERT_EQ(assign(page + page_4k), rmp_status::success);
    rmp_access a = by(initiator::device, kind::write, page);
    a.large_mapping = true;
    expect_passed(a);
}

TEST_F(rmp_check_test, shared_write_of_an_snp_guest_has_the_host_s_size_rule)
{
    rmp_access a = guest(kind::write);
    a.encrypted = false;
    a.large_mapping = true;
    expect_passed(a);
    ASSERT_EQ(assign(page + page_4k), rmp_status::success);
    expect_npf(a, rmp_rule::hypervisor_owned_2m, npf_final);
    a.large_mapping = false;
    expect_passed(a);
}

TEST_F(rmp_check_test, shared_write_of_an_snp_guest_to_its_private_page_faults)
{
    set_entry(page, accepted());
    rmp_access a = guest(kind::write);
    a.encrypted = false;
    expect_npf(a, rmp_rule::hypervisor_owned, npf_final);
}

// RMPOPT.

class rmpopt_skip : public rmp_check_test
{
  protected:
    void SetUp() override
    {
        rmp_check_test::SetUp();
        enable_rmpopt();
        ASSERT_TRUE(optimise(0, low.base).cf);
    }
};

TEST_F(rmpopt_skip, serves_writes_of_the_host_and_of_non_snp_guests)
{
    const rmp_verdict skipped{.rule = rmp_rule::rmpopt_skip, .checked = true, .skipped = true};
    EXPECT_EQ(check(by(initiator::host, kind::write, page)), skipped);
    EXPECT_EQ(check(by(initiator::nonsnp_guest, kind::write, page)), skipped);
    EXPECT_EQ(check({.kind = kind::write, .spa = page, .large_mapping = true}), skipped);
}

TEST_F(rmpopt_skip, serves_the_sibling_and_no_other_core)
{
    EXPECT_TRUE(check(by(initiator::host, kind::write, page), 1).skipped);
    EXPECT_FALSE(check(by(initiator::host, kind::write, page), 2).skipped);
}

TEST_F(rmpopt_skip, serves_its_region_only)
{
    EXPECT_FALSE(check(by(initiator::host, kind::write, high_2m)).skipped);
    EXPECT_FALSE(check(by(initiator::host, kind::write, low.end())).skipped);
    EXPECT_TRUE(check(by(initiator::host, kind::write, low.end() - 1)).skipped);
}

TEST_F(rmpopt_skip, serves_no_walks_no_devices_and_no_snp_guests)
{
    rmp_access shared = guest(kind::write);
    shared.encrypted = false;
    for (const rmp_access &a : {by(initiator::host, kind::walk_write, page),
                                by(initiator::nonsnp_guest, kind::walk_write, page),
                                by(initiator::device, kind::write, page),
                                by(initiator::device, kind::read, page), shared}) {
        expect_passed(a);
    }
}

TEST_F(rmpopt_skip, serves_no_private_writes_of_snp_guests)
{
    expect_npf(guest(kind::write), rmp_rule::guest_assigned);
    EXPECT_EQ(rmp_lookup_of(*m, 0, guest(kind::write)), rmp_lookup::made);
}

TEST_F(rmpopt_skip, is_told_apart_from_lookups_that_no_access_needs)
{
    const rmp_access write = by(initiator::host, kind::write, page);
    rmp_access shared = guest(kind::write);
    shared.encrypted = false;
    EXPECT_EQ(rmp_lookup_of(*m, 0, write), rmp_lookup::skipped);
    EXPECT_EQ(rmp_lookup_of(*m, 2, write), rmp_lookup::made) << "another core";
    EXPECT_EQ(rmp_lookup_of(*m, 0, shared), rmp_lookup::made);
    EXPECT_EQ(rmp_lookup_of(*m, 0, by(initiator::host, kind::read, page)), rmp_lookup::unneeded);
    m->firmware_clear_snp_en();
    EXPECT_EQ(rmp_lookup_of(*m, 0, write), rmp_lookup::off);
    EXPECT_EQ(rmp_lookup_of(*m, 0, shared), rmp_lookup::off);
}

TEST_F(rmpopt_skip, has_nothing_to_do_with_reads)
{
    expect_unchecked(by(initiator::host, kind::read, page));
}

TEST_F(rmpopt_skip, ends_with_rmpupdate)
{
    ASSERT_EQ(assign(page), rmp_status::success);
    expect_page_fault(by(initiator::host, kind::write, page), rmp_rule::hypervisor_owned);
    expect_passed(by(initiator::host, kind::write, page + page_4k));
}

TEST_F(rmpopt_skip, does_not_see_pages_in_use)
{
    hold(low_2m, page);
    EXPECT_TRUE(check(by(initiator::host, kind::write, page), 0).skipped);
    EXPECT_EQ(check(by(initiator::host, kind::write, page), 2).rule, rmp_rule::page_in_use);
}

TEST_F(rmpopt_skip, needs_rmpopt_en)
{
    start(
        {.rmpopt_locked = choice::rmpopt_locked::allow, .msr_rewrite = choice::msr_rewrite::keep});
    ASSERT_TRUE(optimise(0, low.base).cf);
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, 0), msr_result::done);
    EXPECT_TRUE(m->core(0).rmpopt.test(page)) << "the table is kept";
    expect_passed(by(initiator::host, kind::write, page));
}

// Segments whose entry in the segment table has reserved bits set.

class reserved_segment : public rmp_check_test
{
  protected:
    void SetUp() override
    {
        build();
        set_rst(2, 1ull << 63 | high_segment | 1);
        enable_snp();
    }
};

TEST_F(reserved_segment, faults_with_the_reserved_bit_when_it_is_used)
{
    const rmp_rule rule = rmp_rule::segment_reserved_bits;
    const std::uint64_t rsvd = rmp_error::reserved;
    expect_denied(by(initiator::host, kind::write, high_2m), pf, rule, rsvd);
    expect_npf(by(initiator::nonsnp_guest, kind::write, high_2m), rule,
               rsvd | rmp_error::final_access);
    expect_npf(guest(kind::read, high_2m), rule,
               rsvd | rmp_error::final_access | rmp_error::encrypted);
    expect_denied(by(initiator::device, kind::write, high_2m), dma, rule, 0);
}

TEST_F(reserved_segment, does_not_matter_where_nothing_is_checked)
{
    expect_unchecked(by(initiator::host, kind::read, high_2m));
    expect_passed(by(initiator::host, kind::write, page));
    m->firmware_clear_snp_en();
    EXPECT_EQ(check(by(initiator::host, kind::write, high_2m)).rule, rmp_rule::snp_disabled);
}

// Pages that running guests hold.

TEST_F(rmp_check_test, host_cannot_write_the_avic_backing_page_of_a_running_guest)
{
    hold(low_2m, page);
    for (const kind k : {kind::write, kind::walk_write}) {
        expect_page_fault(by(initiator::host, k, page + 8), rmp_rule::page_in_use);
        expect_passed(by(initiator::host, k, page + page_4k));
    }
    expect_page_fault({.kind = kind::write, .spa = page, .large_mapping = true},
                      rmp_rule::page_in_use);
    expect_passed({.kind = kind::write, .spa = page + page_4k, .large_mapping = true});
}

TEST_F(rmp_check_test, others_may_write_the_avic_backing_page)
{
    hold(low_2m, page);
    expect_unchecked(by(initiator::host, kind::read, page));
    expect_passed(by(initiator::device, kind::write, page));
    expect_passed(by(initiator::nonsnp_guest, kind::write, page));
}

TEST_F(rmp_check_test, host_can_write_the_avic_backing_page_again_after_vmexit)
{
    hold(low_2m, page);
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->leave_guest(3);
    }
    expect_passed(by(initiator::host, kind::write, page));
}

TEST_F(rmp_check_test, host_can_write_the_vmcb_of_a_running_guest)
{
    hold(low_2m, page);
    expect_passed(by(initiator::host, kind::write, low_2m));
}

} // namespace

} // namespace rmpopt::hw
