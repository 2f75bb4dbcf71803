// SPDX-License-Identifier: GPL-2.0-or-later
// What PVALIDATE, RMPADJUST and RMPQUERY do to an entry that they may work on.
#include "guest_insn_fixture.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint8_t rw = vmpl_perm::read | vmpl_perm::write;

class pvalidate_test : public guest_insn_fixture
{
  protected:
    guest_result validate(bool on, const guest_operand &o = page_4k_operand, bool size_2m = false)
    {
        return pvalidate(*m, ctx, {.rax = gva, .rcx = size_2m ? 1u : 0u, .rdx = on ? 1u : 0u}, o);
    }
};

constexpr guest_result changed{};
constexpr guest_result was_so_already{.cf = true};

TEST_F(pvalidate_test, validates_a_page)
{
    set_entry(page, not_accepted());
    EXPECT_EQ(validate(true), changed);
    EXPECT_EQ(entry(page), accepted());
}

TEST_F(pvalidate_test, rescinds_a_page)
{
    set_entry(page, accepted());
    EXPECT_EQ(validate(false), changed);
    EXPECT_EQ(entry(page), not_accepted());
}

TEST_F(pvalidate_test, sets_cf_when_nothing_changes)
{
    set_entry(page, accepted());
    EXPECT_EQ(validate(true), was_so_already);
    EXPECT_EQ(entry(page), accepted());
    set_entry(page, not_accepted());
    EXPECT_EQ(validate(false), was_so_already);
    EXPECT_EQ(entry(page), not_accepted());
}

TEST_F(pvalidate_test, goes_by_bit_0_of_edx)
{
    set_entry(page, accepted());
    EXPECT_EQ(pvalidate(*m, ctx, {.rax = gva, .rdx = 2}, page_4k_operand), changed);
    EXPECT_FALSE(entry(page).validated);
}

TEST_F(pvalidate_test, validates_a_2m_page_in_its_base_entry)
{
    rmp_entry e = accepted_2m();
    e.validated = false;
    set_entry(low_2m, e);
    EXPECT_EQ(validate(true, page_2m_operand, true), changed);
    EXPECT_EQ(entry(low_2m), accepted_2m());
    EXPECT_FALSE(entry(low_2m + page_4k).validated);
}

TEST_F(pvalidate_test, keeps_the_sub_page_count_of_a_base_entry)
{
    set_entry(page, not_accepted());
    rmp_entry e = not_accepted();
    e.gpa = gpa_2m;
    set_entry(low_2m, e);
    EXPECT_EQ(validate(true, {.spa = low_2m, .gpa = gpa_2m}), changed);
    EXPECT_EQ(entry(low_2m).subpage_count, 1);
    EXPECT_TRUE(entry(low_2m).validated);
    EXPECT_FALSE(entry(page).validated);
}

TEST_F(pvalidate_test, makes_the_page_accessible)
{
    set_entry(page, not_accepted());
    EXPECT_EQ(check(guest(kind::read)).outcome, rmp_outcome::vmm_communication);
    validate(true);
    expect_passed(guest(kind::read));
}

TEST_F(pvalidate_test, is_lost_when_the_host_changes_the_page)
{
    ASSERT_EQ(update(page, guest_page(asid, gpa_4k)), rmp_status::success);
    EXPECT_EQ(validate(true), changed);
    ASSERT_EQ(update(page, guest_page(asid, gpa_4k + page_4k)), rmp_status::success);
    ASSERT_EQ(update(page, guest_page(asid, gpa_4k)), rmp_status::success);
    EXPECT_EQ(validate(true), changed);
}

TEST_F(pvalidate_test, touches_no_rmpopt_bit_and_no_host_page)
{
    enable_rmpopt();
    set_entry(page, not_accepted());
    ASSERT_TRUE(optimise(0, high.base).cf);
    const auto before = changes.ranges();
    validate(true);
    EXPECT_TRUE(reports(0, high.base));
    EXPECT_EQ(changes.ranges(), before);
}

TEST_F(pvalidate_test, belongs_to_vmpl_0)
{
    set_entry(page, not_accepted());
    ctx = at_vmpl(1);
    EXPECT_EQ(validate(true), exception(guest_exception::gp0));
    EXPECT_FALSE(entry(page).validated);
}

TEST_F(pvalidate_test, returns_2_at_other_vmpls_when_the_policy_says_so)
{
    use_policy({.pvalidate_vmpl = choice::pvalidate_vmpl::fail_permission});
    set_entry(page, not_accepted());
    ctx = at_vmpl(3);
    EXPECT_EQ(validate(true), eax(rmp_status::fail_permission));
    EXPECT_EQ(pvalidate(*m, ctx, {.rax = gva + 1}, page_4k_operand), eax(rmp_status::fail_input));
    EXPECT_FALSE(entry(page).validated);
}

class rmpadjust_test : public guest_insn_fixture
{
  protected:
    guest_result set(std::uint64_t rdx, unsigned caller = 0)
    {
        return rmpadjust(*m, at_vmpl(caller), {.rax = gva, .rdx = rdx}, page_4k_operand);
    }
    /// VMPL 0 has all, VMPL 1 may read and write.
    void SetUp() override
    {
        guest_insn_fixture::SetUp();
        first_.vmpl = {vmpl_perm::all, rw, 0, 0};
        set_entry(page, first_);
    }

    rmp_entry first_ = accepted();
};

TEST_F(rmpadjust_test, sets_the_permissions_of_one_vmpl)
{
    EXPECT_EQ(set(adjust(2, rw)), changed);
    first_.vmpl[2] = rw;
    EXPECT_EQ(entry(page), first_);
}

TEST_F(rmpadjust_test, takes_permissions_away)
{
    EXPECT_EQ(set(adjust(1, 0)), changed);
    EXPECT_EQ(entry(page).vmpl[1], 0);
    EXPECT_EQ(entry(page).vmpl[0], vmpl_perm::all);
}

TEST_F(rmpadjust_test, reaches_less_privileged_vmpls_only)
{
    EXPECT_EQ(set(adjust(0, 0)), eax(rmp_status::fail_permission));
    EXPECT_EQ(set(adjust(1, 0), 1), eax(rmp_status::fail_permission));
    EXPECT_EQ(set(adjust(1, 0), 2), eax(rmp_status::fail_permission));
    EXPECT_EQ(entry(page), first_);
    EXPECT_EQ(set(adjust(2, 0), 1), changed);
}

TEST_F(rmpadjust_test, gives_no_more_than_the_caller_has)
{
    EXPECT_EQ(set(adjust(2, rw | vmpl_perm::user_exec), 1), eax(rmp_status::fail_permission));
    EXPECT_EQ(entry(page), first_);
    EXPECT_EQ(set(adjust(2, rw), 1), changed);
    EXPECT_EQ(set(adjust(1, vmpl_perm::all | vmpl_perm::sss)), eax(rmp_status::fail_permission));
    EXPECT_EQ(set(adjust(1, 0x80)), eax(rmp_status::fail_permission));
}

TEST_F(rmpadjust_test, vmpl_0_makes_and_ends_a_vmsa)
{
    EXPECT_EQ(set(adjust(1, rw, true)), changed);
    EXPECT_TRUE(entry(page).vmsa);
    EXPECT_EQ(set(adjust(1, rw)), changed);
    EXPECT_FALSE(entry(page).vmsa);
}

TEST_F(rmpadjust_test, other_vmpls_leave_the_vmsa_bit)
{
    EXPECT_EQ(set(adjust(2, 0, true), 1), changed);
    EXPECT_FALSE(entry(page).vmsa);
    EXPECT_EQ(set(adjust(1, rw, true)), changed);
    EXPECT_EQ(set(adjust(2, 0), 1), changed);
    EXPECT_TRUE(entry(page).vmsa);
}

TEST_F(rmpadjust_test, wants_a_validated_page)
{
    set_entry(page, not_accepted());
    EXPECT_EQ(set(adjust(1, rw)), exception(guest_exception::vc, 0x404));
    EXPECT_EQ(entry(page), not_accepted());
}

TEST_F(rmpadjust_test, judges_validated_before_the_permissions)
{
    first_.validated = false;
    set_entry(page, first_);
    EXPECT_EQ(set(adjust(2, vmpl_perm::all), 1), exception(guest_exception::vc, 0x404));
}

TEST_F(rmpadjust_test, judges_the_target_before_the_page)
{
    set_entry(page, {});
    EXPECT_EQ(set(adjust(0, 0)), eax(rmp_status::fail_permission));
}

TEST_F(rmpadjust_test, judges_input_before_the_target)
{
    EXPECT_EQ(
        rmpadjust(*m, at_vmpl(2), {.rax = gva + 8, .rcx = 1, .rdx = adjust(1, 0)}, page_4k_operand),
        eax(rmp_status::fail_input));
    EXPECT_EQ(set(adjust(255, 0), 3), eax(rmp_status::fail_input));
}

TEST_F(rmpadjust_test, works_on_a_2m_page)
{
    set_entry(page, {});
    set_entry(low_2m, accepted_2m());
    EXPECT_EQ(rmpadjust(*m, ctx, {.rax = gva, .rcx = 1, .rdx = adjust(1, rw)}, page_2m_operand),
              changed);
    EXPECT_EQ(entry(low_2m).vmpl[1], rw);
    EXPECT_EQ(entry(low_2m + page_4k).vmpl[1], 0);
}

TEST_F(rmpadjust_test, decides_what_the_vmpl_may_do)
{
    rmp_access a = guest(kind::write);
    a.vmpl = 2;
    EXPECT_EQ(check(a).rule, rmp_rule::guest_vmpl);
    EXPECT_EQ(set(adjust(2, rw)), changed);
    expect_passed(a);
}

class rmpquery_test : public guest_insn_fixture
{
  protected:
    guest_result query(unsigned vmpl, unsigned caller = 0, const guest_operand &o = page_4k_operand)
    {
        return rmpquery(*m, at_vmpl(caller), {.rax = gva, .rdx = vmpl}, o);
    }
};

TEST_F(rmpquery_test, returns_permissions_size_and_vmsa)
{
    rmp_entry e = accepted();
    e.vmpl = {vmpl_perm::all, rw, vmpl_perm::read, 0};
    set_entry(page, e);
    EXPECT_EQ(query(1), (guest_result{.rcx = 0, .rdx = adjust(1, rw)}));
    EXPECT_EQ(query(2), (guest_result{.rcx = 0, .rdx = adjust(2, vmpl_perm::read)}));
    e.vmsa = true;
    set_entry(page, e);
    EXPECT_EQ(query(3), (guest_result{.rcx = 0, .rdx = adjust(3, 0, true)}));
    EXPECT_EQ(entry(page), e);
}

TEST_F(rmpquery_test, returns_what_rmpadjust_set)
{
    set_entry(page, accepted());
    ASSERT_EQ(rmpadjust(*m, ctx, {.rax = gva, .rdx = adjust(3, rw, true)}, page_4k_operand),
              changed);
    EXPECT_EQ(query(3).rdx, adjust(3, rw, true));
}

TEST_F(rmpquery_test, answers_for_a_part_of_a_2m_page)
{
    set_entry(low_2m, accepted_2m());
    const guest_operand part{
        .spa = low_2m + 3 * page_4k, .gpa = gpa_2m + 3 * page_4k, .large_nested = true};
    EXPECT_EQ(query(1, 0, part).rcx, 1u);
    EXPECT_EQ(query(1, 0, part).rdx, adjust(1, vmpl_perm::all | vmpl_perm::sss));
}

TEST_F(rmpquery_test, tells_nothing_of_more_privileged_vmpls)
{
    set_entry(page, accepted());
    EXPECT_EQ(query(0), eax(rmp_status::fail_permission));
    EXPECT_EQ(query(1, 1), eax(rmp_status::fail_permission));
    EXPECT_EQ(query(1, 2), eax(rmp_status::fail_permission));
    EXPECT_EQ(query(2, 1).status, rmp_status::success);
}

TEST_F(rmpquery_test, tells_all_when_the_policy_says_so)
{
    use_policy({.rmpquery_vmpl = choice::rmpquery_vmpl::success});
    set_entry(page, accepted());
    EXPECT_EQ(query(0, 2).status, rmp_status::success);
    EXPECT_EQ(query(4, 2), eax(rmp_status::fail_input));
}

TEST_F(rmpquery_test, wants_a_validated_page)
{
    set_entry(page, not_accepted());
    EXPECT_EQ(query(1), exception(guest_exception::vc, 0x404));
}

} // namespace

} // namespace rmpopt::hw
