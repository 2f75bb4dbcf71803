// SPDX-License-Identifier: GPL-2.0-or-later
// Accesses and entries for the tests of the RMP check.
#pragma once

#include "hw-model/access/rmp_check.h"
#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

using kind = rmp_access_kind;

inline constexpr std::uint32_t asid = 7;
inline constexpr std::uint64_t gpa_4k = 0x1234000, gpa_2m = 0x40000000;
inline constexpr std::uint64_t npf_final = rmp_error::rmp | rmp_error::final_access;
inline constexpr std::uint64_t npf_walk = rmp_error::rmp | rmp_error::page_walk;
inline constexpr std::uint64_t npf_private = npf_final | rmp_error::encrypted;

inline rmp_access by(initiator who, kind k, spa_t spa)
{
    return {.who = who, .kind = k, .spa = spa};
}

class rmp_check_fixture : public machine_fixture
{
  protected:
    static constexpr spa_t page = low_2m + 5 * page_4k;

    void SetUp() override
    {
        build();
        enable_snp();
    }
    /// A page that the guest has accepted and that all its VMPLs may use.
    static rmp_entry accepted()
    {
        rmp_entry e;
        e.assigned = true;
        e.validated = true;
        e.asid = asid;
        e.gpa = gpa_4k;
        e.vmpl.fill(vmpl_perm::all | vmpl_perm::sss);
        return e;
    }
    static rmp_entry accepted_2m()
    {
        rmp_entry e = accepted();
        e.size_2m = true;
        e.gpa = gpa_2m;
        return e;
    }
    static rmp_access guest(kind k, spa_t spa = page, std::uint64_t gpa = gpa_4k)
    {
        return {.who = initiator::snp_guest,
                .kind = k,
                .spa = spa,
                .encrypted = true,
                .asid = asid,
                .gpa = gpa};
    }
    rmp_verdict check(const rmp_access &a, unsigned thread = 0) const
    {
        return rmp_check(*m, thread, a);
    }
    void expect_passed(const rmp_access &a) const
    {
        EXPECT_EQ(check(a), (rmp_verdict{.rule = rmp_rule::passed, .checked = true}));
    }
    void expect_unchecked(const rmp_access &a) const
    {
        EXPECT_EQ(check(a), (rmp_verdict{.rule = rmp_rule::unchecked_access}));
    }
    void expect_denied(const rmp_access &a, rmp_outcome outcome, rmp_rule rule,
                       std::uint64_t bits) const
    {
        EXPECT_EQ(check(a), (rmp_verdict{.outcome = outcome,
                                         .rule = rule,
                                         .checked = true,
                                         .skipped = false,
                                         .error_bits = bits}));
    }
    void expect_npf(const rmp_access &a, rmp_rule rule, std::uint64_t bits = npf_private) const
    {
        expect_denied(a, rmp_outcome::nested_page_fault, rule, bits);
    }
    void expect_page_fault(const rmp_access &a, rmp_rule rule) const
    {
        expect_denied(a, rmp_outcome::page_fault, rule, rmp_error::rmp);
    }
    void hold(spa_t vmcb, spa_t avic)
    {
        enter(3, {.spa = {vmcb, avic}, .count = 2, .avic_backing = avic});
    }
};

} // namespace rmpopt::hw
