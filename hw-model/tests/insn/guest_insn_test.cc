// SPDX-License-Identifier: GPL-2.0-or-later
// The rules that PVALIDATE, RMPADJUST and RMPQUERY share, and their order.
#include "guest_insn_fixture.h"

namespace rmpopt::hw
{

namespace
{

class guest_insn_test : public guest_insn_fixture, public testing::WithParamInterface<guest_insn>
{
  protected:
    /// Operands with which the instruction succeeds on a page that the guest has accepted.
    static guest_registers good()
    {
        return {.rax = gva, .rdx = GetParam() == guest_insn::pvalidate ? 1 : adjust(1, 0)};
    }
    guest_result run(const guest_registers &r = good(), const guest_operand &o = page_4k_operand)
    {
        switch (GetParam()) {
        case guest_insn::pvalidate:
            return pvalidate(*m, ctx, r, o);
        case guest_insn::rmpadjust:
            return rmpadjust(*m, ctx, r, o);
        case guest_insn::rmpquery:
            break;
        }
        return rmpquery(*m, ctx, r, o);
    }
    bool names_a_size() const { return GetParam() != guest_insn::rmpquery; }

    /// The page's entry is `e`; the instruction faults and leaves it.
    void expect_npf(const rmp_entry &e, std::uint64_t bits = npf_private)
    {
        set_entry(page, e);
        EXPECT_EQ(run(), exception(guest_exception::npf, bits));
        EXPECT_EQ(entry(page), e);
    }
};

INSTANTIATE_TEST_SUITE_P(all, guest_insn_test,
                         testing::Values(guest_insn::pvalidate, guest_insn::rmpadjust,
                                         guest_insn::rmpquery));

TEST_P(guest_insn_test, succeeds_on_a_page_of_the_guest)
{
    set_entry(page, accepted());
    EXPECT_EQ(run().exception, guest_exception::none);
    EXPECT_EQ(run().status, rmp_status::success);
}

TEST_P(guest_insn_test, succeeds_on_a_2m_page_of_the_guest)
{
    set_entry(low_2m, accepted_2m());
    guest_registers r = good();
    r.rcx = 1;
    EXPECT_EQ(run(r, page_2m_operand).exception, guest_exception::none);
    EXPECT_EQ(run(r, page_2m_operand).status, rmp_status::success);
}

TEST_P(guest_insn_test, is_undefined_outside_an_snp_guest)
{
    set_entry(page, accepted());
    ctx.snp_guest = false;
    EXPECT_EQ(run(), exception(guest_exception::ud));
}

TEST_P(guest_insn_test, is_privileged_outside_an_snp_guest_when_the_policy_says_so)
{
    use_policy({.not_snp_guest = choice::not_snp_guest::gp});
    ctx.snp_guest = false;
    EXPECT_EQ(run(), exception(guest_exception::gp0));
}

TEST_P(guest_insn_test, is_undefined_without_snp_en)
{
    m->firmware_clear_snp_en();
    EXPECT_EQ(run(), exception(guest_exception::ud));
}

TEST_P(guest_insn_test, is_privileged)
{
    set_entry(page, accepted());
    ctx.cpl = 3;
    EXPECT_EQ(run(), exception(guest_exception::gp0));
}

TEST_P(guest_insn_test, is_undefined_rather_than_privileged_outside_an_snp_guest)
{
    ctx.cpl = 3;
    ctx.snp_guest = false;
    EXPECT_EQ(run(), exception(guest_exception::ud));
}

TEST_P(guest_insn_test, only_pvalidate_exists_outside_64_bit_mode)
{
    set_entry(page, accepted());
    ctx.long_mode = false;
    EXPECT_EQ(run().exception,
              GetParam() == guest_insn::pvalidate ? guest_exception::none : guest_exception::ud);
}

TEST_P(guest_insn_test, only_rmpquery_needs_its_cpuid_bit)
{
    set_entry(page, accepted());
    ctx.rmpquery = false;
    EXPECT_EQ(run().exception,
              GetParam() == guest_insn::rmpquery ? guest_exception::ud : guest_exception::none);
}

// Operands.

TEST_P(guest_insn_test, refuses_an_address_inside_a_page)
{
    set_entry(page, accepted());
    guest_registers r = good();
    r.rax = gva + 8;
    if (GetParam() == guest_insn::rmpadjust) {
        EXPECT_EQ(run(r).status, rmp_status::success);
        use_policy({.rmpadjust_align = choice::rmpadjust_align::fail_input});
        set_entry(page, accepted());
    }
    EXPECT_EQ(run(r), eax(rmp_status::fail_input));
    EXPECT_EQ(entry(page), accepted());
}

TEST_P(guest_insn_test, refuses_2m_at_an_address_inside_2m)
{
    set_entry(low_2m, accepted_2m());
    guest_registers r = good();
    r.rcx = 1;
    r.rax = gva + page_4k;
    EXPECT_EQ(run(r, page_2m_operand).status,
              names_a_size() ? rmp_status::fail_input : rmp_status::success);
}

TEST_P(guest_insn_test, refuses_an_unknown_size)
{
    set_entry(page, accepted());
    guest_registers r = good();
    r.rcx = 2;
    EXPECT_EQ(run(r).status, names_a_size() ? rmp_status::fail_input : rmp_status::success);
}

TEST_P(guest_insn_test, only_pvalidate_takes_its_size_from_ecx)
{
    set_entry(page, accepted());
    guest_registers r = good();
    r.rcx = 1ull << 32;
    EXPECT_EQ(run(r).status,
              GetParam() == guest_insn::rmpadjust ? rmp_status::fail_input : rmp_status::success);
}

TEST_P(guest_insn_test, refuses_a_vmpl_that_does_not_exist)
{
    set_entry(page, accepted());
    guest_registers r = good();
    r.rdx = adjust(4, 0) | (GetParam() == guest_insn::pvalidate ? 1 : 0);
    EXPECT_EQ(run(r).status,
              GetParam() == guest_insn::pvalidate ? rmp_status::success : rmp_status::fail_input);
}

TEST_P(guest_insn_test, judges_privilege_before_operands)
{
    guest_registers r = good();
    r.rax = gva + 8;
    ctx.cpl = 3;
    EXPECT_EQ(run(r), exception(guest_exception::gp0));
}

TEST_P(guest_insn_test, judges_operands_before_the_page)
{
    use_policy({.rmpadjust_align = choice::rmpadjust_align::fail_input});
    guest_registers r = good();
    r.rax = gva + 8;
    EXPECT_EQ(run(r), eax(rmp_status::fail_input));
    EXPECT_EQ(before_translation(*m, GetParam(), ctx, r), eax(rmp_status::fail_input));
    EXPECT_EQ(run(), exception(guest_exception::npf, npf_private));
    EXPECT_EQ(before_translation(*m, GetParam(), ctx, good()), std::nullopt);
}

// Ownership.

TEST_P(guest_insn_test, faults_on_a_page_without_entry)
{
    EXPECT_EQ(run(good(), {.spa = hole, .gpa = gpa_4k}),
              exception(guest_exception::npf, npf_private));
}

TEST_P(guest_insn_test, faults_on_a_page_of_the_hypervisor)
{
    expect_npf({});
}

TEST_P(guest_insn_test, faults_on_a_page_of_the_secure_processor)
{
    rmp_entry e = accepted();
    e.asid = 0;
    expect_npf(e);
}

TEST_P(guest_insn_test, faults_on_a_page_of_another_guest)
{
    rmp_entry e = accepted();
    e.asid = asid + 1;
    expect_npf(e);
}

TEST_P(guest_insn_test, faults_on_a_page_that_stands_elsewhere_in_the_guest)
{
    rmp_entry e = accepted();
    e.gpa += page_4k;
    expect_npf(e);
}

TEST_P(guest_insn_test, faults_on_an_immutable_page)
{
    rmp_entry e = accepted();
    e.immutable = true;
    expect_npf(e);
}

TEST_P(guest_insn_test, names_the_c_bit_of_the_mapping)
{
    guest_operand o = page_4k_operand;
    o.encrypted = false;
    EXPECT_EQ(run(good(), o), exception(guest_exception::npf, npf_final));
}

TEST_P(guest_insn_test, faults_as_any_access_where_the_segment_table_is_malformed)
{
    build();
    set_rst(2, 1ull << 63 | high_segment | 1);
    enable_snp();
    guest_operand o{.spa = high_2m, .gpa = gpa_4k};
    constexpr std::uint64_t bits = rmp_error::reserved | rmp_error::final_access;
    EXPECT_EQ(run(good(), o), exception(guest_exception::npf, bits | rmp_error::encrypted));
    o.encrypted = false;
    EXPECT_EQ(run(good(), o), exception(guest_exception::npf, bits));
}

// Size.

TEST_P(guest_insn_test, faults_when_a_small_mapping_shows_a_2m_page)
{
    set_entry(low_2m, accepted_2m());
    guest_registers r = good();
    r.rcx = 1;
    guest_operand o = page_2m_operand;
    o.large_nested = false;
    EXPECT_EQ(run(r, o), exception(guest_exception::npf, npf_private));
}

TEST_P(guest_insn_test, faults_when_a_large_mapping_shows_a_4k_page)
{
    set_entry(page, accepted());
    guest_operand o = page_4k_operand;
    o.large_nested = true;
    EXPECT_EQ(run(good(), o), exception(guest_exception::npf, npf_private));
}

TEST_P(guest_insn_test, faults_with_sizem_when_asked_for_4k_of_2m)
{
    const rmp_entry e = accepted_2m();
    set_entry(low_2m, e);
    const guest_operand part{
        .spa = low_2m + page_4k, .gpa = gpa_2m + page_4k, .large_nested = true};
    const guest_result r = run(good(), part);
    if (names_a_size()) {
        EXPECT_EQ(r, exception(guest_exception::npf, npf_size));
    } else {
        EXPECT_EQ(r.rcx, 1u);
    }
    EXPECT_EQ(entry(low_2m), e);
}

TEST_P(guest_insn_test, returns_6_when_asked_for_2m_of_4k)
{
    set_entry(page, accepted());
    guest_registers r = good();
    r.rcx = 1;
    EXPECT_EQ(run(r).status, names_a_size() ? rmp_status::fail_sizemismatch : rmp_status::success);
    EXPECT_TRUE(entry(page).validated);
}

TEST_P(guest_insn_test, order_of_the_size_rules_is_the_policy_s)
{
    using choice::guest_size_order;
    for (const auto order : {guest_size_order::first, guest_size_order::last}) {
        use_policy({.guest_size_order = order});
        set_entry(page, accepted());
        guest_registers r = good();
        r.rcx = 1;
        guest_operand o = page_4k_operand;
        o.large_nested = true;
        const bool asked_first = order == guest_size_order::first && names_a_size();
        EXPECT_EQ(run(r, o), asked_first ? eax(rmp_status::fail_sizemismatch)
                                         : exception(guest_exception::npf, npf_private));
    }
}

TEST_P(guest_insn_test, judges_ownership_before_size)
{
    rmp_entry e = accepted_2m();
    e.asid = asid + 1;
    set_entry(low_2m, e);
    EXPECT_EQ(run(good(), page_2m_operand), exception(guest_exception::npf, npf_private));
}

TEST_P(guest_insn_test, judges_size_before_validated)
{
    set_entry(page, not_accepted());
    guest_operand o = page_4k_operand;
    o.large_nested = true;
    EXPECT_EQ(run(good(), o), exception(guest_exception::npf, npf_private));
    guest_registers r = good();
    r.rcx = 1;
    if (names_a_size()) {
        EXPECT_EQ(run(r), eax(rmp_status::fail_sizemismatch));
    }
}

TEST_P(guest_insn_test, vmpl_permissions_of_the_caller_raise_no_fault)
{
    rmp_entry e = accepted();
    e.vmpl = {};
    set_entry(page, e);
    EXPECT_EQ(run().exception, guest_exception::none);
}

} // namespace

} // namespace rmpopt::hw
