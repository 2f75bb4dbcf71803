// SPDX-License-Identifier: GPL-2.0-or-later
// Private accesses of an SNP guest: each rule of the RMP check met and broken, and their order
// (APM vol. 2, 15.36.10, 15.36.7).
#include "rmp_check_fixture.h"

#include <gtest/gtest.h>
#include <string>

namespace rmpopt::hw
{

namespace
{

class rmp_check_guest : public rmp_check_fixture
{
};

// Private accesses of an SNP guest: each rule broken alone. The rules in their order:

struct breach {
    const char *name;
    rmp_rule rule;
    void (*apply)(rmp_entry &, rmp_access &);
};

const std::array breaches{
    breach{"uncovered", rmp_rule::guest_covered,
           [](rmp_entry &, rmp_access &a) { a.spa += region_1g; }},
    breach{"unassigned", rmp_rule::guest_assigned,
           [](rmp_entry &e, rmp_access &) { e.assigned = false; }},
    breach{"foreign", rmp_rule::guest_asid, [](rmp_entry &, rmp_access &a) { a.asid = asid + 1; }},
    breach{"moved", rmp_rule::guest_gpa, [](rmp_entry &, rmp_access &a) { a.gpa += page_4k; }},
    breach{"immutable", rmp_rule::guest_immutable,
           [](rmp_entry &e, rmp_access &) { e.immutable = true; }},
    breach{"mapped_large", rmp_rule::guest_size,
           [](rmp_entry &, rmp_access &a) { a.large_mapping = true; }},
    breach{"not_validated", rmp_rule::guest_validated,
           [](rmp_entry &e, rmp_access &) { e.validated = false; }},
    breach{"not_permitted", rmp_rule::guest_vmpl,
           [](rmp_entry &e, rmp_access &a) {
               a.vmpl = 1;
               e.vmpl[1] = 0;
           }},
};

class private_access : public rmp_check_guest, public testing::WithParamInterface<kind>
{
  protected:
    rmp_verdict broken(std::initializer_list<const breach *> list)
    {
        rmp_entry e = accepted();
        rmp_access a = guest(GetParam());
        for (const breach *b : list) {
            b->apply(e, a);
        }
        set_entry(page, e);
        return check(a);
    }
    static rmp_outcome outcome_of(rmp_rule r)
    {
        return r == rmp_rule::guest_validated ? rmp_outcome::vmm_communication
                                              : rmp_outcome::nested_page_fault;
    }
    static std::uint64_t bits_of(rmp_rule r)
    {
        const bool walk = GetParam() == kind::walk_read || GetParam() == kind::walk_write;
        const std::uint64_t npf_bits = (walk ? npf_walk : npf_final) | rmp_error::encrypted;
        return r == rmp_rule::guest_validated ? 0
               : r == rmp_rule::guest_vmpl    ? npf_bits | rmp_error::vmpl
                                              : npf_bits;
    }
};

TEST_P(private_access, is_allowed_when_no_rule_is_broken)
{
    EXPECT_EQ(broken({}), (rmp_verdict{.rule = rmp_rule::passed, .checked = true}));
}

TEST_P(private_access, breaks_each_rule)
{
    for (const breach &b : breaches) {
        EXPECT_EQ(broken({&b}), (rmp_verdict{.outcome = outcome_of(b.rule),
                                             .rule = b.rule,
                                             .checked = true,
                                             .skipped = false,
                                             .error_bits = bits_of(b.rule)}))
            << b.name;
    }
}

TEST_P(private_access, of_two_broken_rules_reports_the_first)
{
    for (std::size_t i = 0; i < breaches.size(); ++i) {
        for (std::size_t j = i + 1; j < breaches.size(); ++j) {
            EXPECT_EQ(broken({&breaches[j], &breaches[i]}).rule, breaches[i].rule)
                << breaches[i].name << " and " << breaches[j].name;
        }
    }
}

std::string name_of(const testing::TestParamInfo<kind> &info)
{
    constexpr std::array names{"read", "write", "fetch", "walk_read", "walk_write"};
    return names[static_cast<unsigned>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(kinds, private_access,
                         testing::Values(kind::read, kind::write, kind::fetch, kind::walk_read,
                                         kind::walk_write),
                         name_of);

TEST_F(rmp_check_guest, firmware_pages_are_no_guest_s)
{
    rmp_entry e = accepted();
    e.asid = 0;
    set_entry(page, e);
    rmp_access a = guest(kind::read);
    expect_npf(a, rmp_rule::guest_assigned);
    a.asid = 0;
    expect_npf(a, rmp_rule::guest_assigned);
}

TEST_F(rmp_check_guest, offset_in_the_page_is_no_part_of_the_gpa)
{
    set_entry(page, accepted());
    expect_passed(guest(kind::read, page + 0xabc, gpa_4k + 0xabc));
}

// Sizes: 4 KB and 2 MB entries under 4 KB and large nested mappings.

TEST_F(rmp_check_guest, entry_of_2m_serves_all_its_pages_through_a_large_mapping)
{
    set_entry(low_2m, accepted_2m());
    for (const unsigned i : {0u, 1u, 511u}) {
        rmp_access a = guest(kind::write, low_2m + i * page_4k, gpa_2m + i * page_4k);
        a.large_mapping = true;
        expect_passed(a);
        a.gpa += page_4k;
        expect_npf(a, rmp_rule::guest_gpa);
    }
}

TEST_F(rmp_check_guest, entry_of_2m_faults_under_a_4k_mapping_without_sizem)
{
    set_entry(low_2m, accepted_2m());
    for (const unsigned i : {0u, 1u, 511u}) {
        expect_npf(guest(kind::read, low_2m + i * page_4k, gpa_2m + i * page_4k),
                   rmp_rule::guest_size);
    }
}

TEST_F(rmp_check_guest, entry_of_4k_faults_under_a_large_mapping_without_sizem)
{
    set_entry(page, accepted());
    rmp_access a = guest(kind::read);
    a.large_mapping = true;
    expect_npf(a, rmp_rule::guest_size);
}

TEST_F(rmp_check_guest, state_of_a_2m_page_is_that_of_its_first_entry)
{
    rmp_entry e = accepted_2m();
    e.validated = false;
    set_entry(low_2m, e);
    rmp_access a = guest(kind::read, low_2m + 9 * page_4k, gpa_2m + 9 * page_4k);
    a.large_mapping = true;
    EXPECT_EQ(check(a).rule, rmp_rule::guest_validated);
    a.asid = asid + 1;
    expect_npf(a, rmp_rule::guest_asid);
}

TEST_F(rmp_check_guest, assigned_first_page_of_4k_says_nothing_about_its_neighbours)
{
    rmp_entry first = accepted();
    first.gpa = gpa_2m;
    set_entry(low_2m, first);
    expect_npf(guest(kind::read, low_2m + page_4k, gpa_2m + page_4k), rmp_rule::guest_assigned);
    EXPECT_EQ(rmp_owner(m->rmp(), low_2m + page_4k), rmp_entry{});
}

// VMPL permissions.

struct permission_row {
    const char *name;
    kind what;
    bool user;
    bool shadow_stack;
    std::uint8_t needed;
};

void PrintTo(const permission_row &r, std::ostream *os)
{
    *os << r.name;
}

/// Write permission alone is not legal (APM vol. 2, 15.36.7).
constexpr std::uint8_t read_write = vmpl_perm::read | vmpl_perm::write;

class vmpl_permission : public rmp_check_guest, public testing::WithParamInterface<permission_row>
{
  protected:
    static constexpr std::uint8_t every = vmpl_perm::all | vmpl_perm::sss;

    rmp_verdict with_mask(std::uint8_t mask, unsigned vmpl, bool vmpl_sss)
    {
        rmp_entry e = accepted();
        e.vmpl.fill(static_cast<std::uint8_t>(~mask & every));
        e.vmpl[vmpl] = mask;
        set_entry(page, e);
        rmp_access a = guest(GetParam().what);
        a.user = GetParam().user;
        a.shadow_stack = GetParam().shadow_stack;
        a.vmpl = vmpl;
        a.vmpl_sss = vmpl_sss;
        return check(a);
    }
};

TEST_P(vmpl_permission, decides_for_every_mask_and_vmpl)
{
    for (unsigned vmpl = 0; vmpl < 4; ++vmpl) {
        for (unsigned mask = 0; mask <= every; ++mask) {
            const bool may = (mask & GetParam().needed) == GetParam().needed;
            const bool vmpl_sss = GetParam().shadow_stack || (vmpl + mask) % 2 != 0;
            const rmp_verdict v = with_mask(static_cast<std::uint8_t>(mask), vmpl, vmpl_sss);
            EXPECT_EQ(v.rule, may ? rmp_rule::passed : rmp_rule::guest_vmpl)
                << "VMPL " << vmpl << ", mask " << mask;
            EXPECT_EQ((v.error_bits & rmp_error::vmpl) != 0, !may);
            EXPECT_EQ((v.error_bits & rmp_error::shadow_stack) != 0,
                      !may && vmpl_sss && (mask & vmpl_perm::sss) != 0);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    accesses, vmpl_permission,
    testing::Values(permission_row{"read", kind::read, false, false, vmpl_perm::read},
                    permission_row{"user_read", kind::read, true, false, vmpl_perm::read},
                    permission_row{"write", kind::write, false, false, read_write},
                    permission_row{"fetch", kind::fetch, false, false, vmpl_perm::supervisor_exec},
                    permission_row{"user_fetch", kind::fetch, true, false, vmpl_perm::user_exec},
                    permission_row{"walk_read", kind::walk_read, true, false, vmpl_perm::read},
                    permission_row{"walk_write", kind::walk_write, true, false, read_write},
                    permission_row{"walk_for_a_shadow_stack", kind::walk_read, false, true,
                                   vmpl_perm::read},
                    permission_row{"shadow_stack_read", kind::read, false, true,
                                   vmpl_perm::read | vmpl_perm::sss},
                    permission_row{"shadow_stack_write", kind::write, false, true,
                                   read_write | vmpl_perm::sss}),
    [](const auto &info) { return std::string(info.param.name); });

TEST_F(rmp_check_guest, vmpl_that_does_not_exist_has_no_permission)
{
    set_entry(page, accepted());
    rmp_access a = guest(kind::read);
    a.vmpl = 4;
    expect_npf(a, rmp_rule::guest_vmpl, npf_private | rmp_error::vmpl);
}

TEST_F(rmp_check_guest, permissions_do_not_count_without_vmpl_en)
{
    build();
    ASSERT_EQ(write_msr(0, msr::syscfg, syscfg_reset | syscfg_snp_en), msr_result::done);
    rmp_entry e = accepted();
    e.vmpl.fill(0);
    set_entry(page, e);
    expect_passed(guest(kind::write));
}

TEST_F(rmp_check_guest, rmpupdate_leaves_a_page_that_the_guest_must_validate)
{
    ASSERT_EQ(assign(page), rmp_status::success);
    expect_denied(guest(kind::read), rmp_outcome::vmm_communication, rmp_rule::guest_validated, 0);
}

} // namespace

} // namespace rmpopt::hw
