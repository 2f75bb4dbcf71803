// SPDX-License-Identifier: GPL-2.0-or-later
// RMP checks of VMRUN and VMSAVE (APM vol. 2, 15.36.10, table 15-41).
#include "hw-model/insn/svm_check.h"

#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class svm_check : public machine_fixture
{
  protected:
    static constexpr spa_t page = low_2m + 5 * page_4k;
    static constexpr std::uint64_t vmsa_gpa = 0xfffffffff000; // where KVM puts it

    void SetUp() override
    {
        build();
        enable_snp();
    }
    static rmp_entry vmsa_entry()
    {
        rmp_entry e;
        e.assigned = true;
        e.vmsa = true;
        e.asid = 7;
        e.gpa = vmsa_gpa;
        return e;
    }
    bool valid(const vmrun_pages &p, unsigned thread = 0) const
    {
        return vmrun_pages_valid(*m, thread, p);
    }
    static vmrun_pages snp_guest(spa_t spa = page, std::uint32_t asid = 7,
                                 std::uint64_t gpa = vmsa_gpa)
    {
        return {.vmsa = snp_vmsa{.spa = spa, .asid = asid, .gpa = gpa}, .snp_active = true};
    }
    bool vmsa_valid_with(const rmp_entry &e)
    {
        set_entry(page, e);
        return valid(snp_guest());
    }
};

// The VMCB.

TEST_F(svm_check, vmrun_needs_a_host_save_area)
{
    EXPECT_EQ(vmrun_check(*m, 0, page), fault::gp0);
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::none) << "VMSAVE does not";
    ASSERT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m), msr_result::pass);
    EXPECT_EQ(vmrun_check(*m, 0, page), fault::none);
    EXPECT_EQ(vmrun_check(*m, 1, page), fault::gp0) << "each thread has its own";
    set_entry(page, vmsa_entry());
    EXPECT_EQ(vmrun_check(*m, 0, page), fault::gp0);
}

TEST_F(svm_check, vmcb_may_be_any_page_of_the_hypervisor)
{
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::none);
    EXPECT_EQ(vmcb_check(*m, 0, hole), fault::none) << "uncovered";
    rmp_entry fixed;
    fixed.immutable = true;
    set_entry(page, fixed);
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::none) << "HV_FIXED";
}

TEST_F(svm_check, vmcb_cannot_be_an_assigned_page)
{
    ASSERT_EQ(assign(page), rmp_status::success);
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::gp0);
    EXPECT_EQ(vmcb_check(*m, 0, page + page_4k), fault::none) << "checked as 4 KB";
}

TEST_F(svm_check, vmcb_cannot_be_inside_an_assigned_2m_page)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::gp0);
}

TEST_F(svm_check, vmcb_cannot_be_a_firmware_page)
{
    rmp_entry firmware;
    firmware.assigned = true;
    firmware.immutable = true;
    set_entry(page, firmware);
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::gp0);
}

TEST_F(svm_check, vmcb_is_not_checked_on_a_core_without_snp_en)
{
    build();
    enable_snp(0);
    ASSERT_EQ(assign(page), rmp_status::success);
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::gp0);
    EXPECT_EQ(vmcb_check(*m, 2, page), fault::none);
}

TEST_F(svm_check, vmcb_is_checked_whatever_the_rmpopt_table_says)
{
    enable_rmpopt();
    ASSERT_TRUE(optimise(0, low.base).cf);
    ASSERT_EQ(assign(page), rmp_status::success);
    EXPECT_EQ(vmcb_check(*m, 0, page), fault::gp0);
}

// VMRUN's other pages.

TEST_F(svm_check, guest_without_pages_is_valid)
{
    EXPECT_TRUE(valid({}));
}

TEST_F(svm_check, avic_backing_page_must_be_the_hypervisor_s)
{
    EXPECT_TRUE(valid({.avic_backing = page}));
    ASSERT_EQ(assign(page), rmp_status::success);
    EXPECT_FALSE(valid({.avic_backing = page}));
    EXPECT_TRUE(valid({.avic_backing = page + page_4k}));
}

TEST_F(svm_check, vmsa_without_snp_must_be_the_hypervisor_s)
{
    EXPECT_TRUE(valid({.nonsnp_vmsa = page}));
    set_entry(page, vmsa_entry());
    EXPECT_FALSE(valid({.nonsnp_vmsa = page}));
    EXPECT_TRUE(valid({.nonsnp_vmsa = page + page_4k}));
}

TEST_F(svm_check, each_page_must_be_right)
{
    set_entry(page, vmsa_entry());
    ASSERT_EQ(assign(page + page_4k), rmp_status::success);
    vmrun_pages p = snp_guest();
    p.avic_backing = page + 2 * page_4k;
    EXPECT_TRUE(valid(p));
    p.avic_backing = page + page_4k;
    EXPECT_FALSE(valid(p));
}

TEST_F(svm_check, snp_guest_needs_snp_en)
{
    build();
    enable_snp(0);
    set_entry(page, vmsa_entry());
    EXPECT_TRUE(valid(snp_guest(), 0));
    EXPECT_FALSE(valid(snp_guest(), 2));
    EXPECT_FALSE(valid({.snp_active = true}, 2));
}

TEST_F(svm_check, other_guests_are_not_checked_without_snp_en)
{
    build();
    enable_snp(0);
    ASSERT_EQ(assign(page), rmp_status::success);
    EXPECT_TRUE(valid({.avic_backing = page, .nonsnp_vmsa = page}, 2));
}

// The VMSA of an SNP guest: each rule.

TEST_F(svm_check, snp_vmsa_of_the_guest_is_valid)
{
    EXPECT_TRUE(vmsa_valid_with(vmsa_entry()));
}

TEST_F(svm_check, snp_vmsa_need_not_be_validated)
{
    rmp_entry e = vmsa_entry();
    e.validated = true;
    EXPECT_TRUE(vmsa_valid_with(e));
}

TEST_F(svm_check, snp_vmsa_must_be_covered)
{
    EXPECT_FALSE(valid(snp_guest(hole)));
}

TEST_F(svm_check, snp_vmsa_must_be_assigned)
{
    rmp_entry e = vmsa_entry();
    e.assigned = false;
    EXPECT_FALSE(vmsa_valid_with(e));
}

TEST_F(svm_check, snp_vmsa_must_be_this_guest_s)
{
    set_entry(page, vmsa_entry());
    EXPECT_FALSE(valid(snp_guest(page, 8)));
}

TEST_F(svm_check, snp_vmsa_cannot_be_a_firmware_page)
{
    rmp_entry e = vmsa_entry();
    e.asid = 0;
    set_entry(page, e);
    EXPECT_FALSE(valid(snp_guest(page, 0)));
}

TEST_F(svm_check, snp_vmsa_must_stand_at_its_gpa)
{
    set_entry(page, vmsa_entry());
    EXPECT_FALSE(valid(snp_guest(page, 7, vmsa_gpa - page_4k)));
}

TEST_F(svm_check, snp_vmsa_cannot_be_immutable)
{
    rmp_entry e = vmsa_entry();
    e.immutable = true;
    EXPECT_FALSE(vmsa_valid_with(e));
}

TEST_F(svm_check, snp_vmsa_must_be_marked_as_one)
{
    rmp_entry e = vmsa_entry();
    e.vmsa = false;
    EXPECT_FALSE(vmsa_valid_with(e));
}

TEST_F(svm_check, snp_vmsa_can_be_part_of_a_2m_page)
{
    rmp_entry e = vmsa_entry();
    e.size_2m = true;
    e.gpa = 0x40000000;
    set_entry(low_2m, e);
    EXPECT_TRUE(valid(snp_guest(page, 7, e.gpa + 5 * page_4k)));
    EXPECT_TRUE(valid(snp_guest(low_2m, 7, e.gpa)));
    EXPECT_FALSE(valid(snp_guest(page, 7, e.gpa))) << "of another page inside";
}

} // namespace

} // namespace rmpopt::hw
