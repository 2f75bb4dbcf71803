// SPDX-License-Identifier: GPL-2.0-or-later
// Write rules of the MSRs, one by one.
#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class msr_test : public machine_fixture
{
  protected:
    std::uint64_t ignored = 0;
};

// SYSCFG.

TEST_F(msr_test, syscfg_starts_with_memory_encryption_and_without_snp)
{
    EXPECT_EQ(read_msr(0, msr::syscfg), syscfg_reset);
    EXPECT_NE(syscfg_reset & syscfg_mem_encrypt, 0u);
    EXPECT_EQ(syscfg_reset & syscfg_snp_en, 0u);
}

TEST_F(msr_test, syscfg_mfdm_belongs_to_the_thread)
{
    ASSERT_EQ(write_msr(0, msr::syscfg, syscfg_reset | syscfg_mfdm), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::syscfg), syscfg_reset | syscfg_mfdm);
    EXPECT_EQ(read_msr(1, msr::syscfg), syscfg_reset);
}

TEST_F(msr_test, syscfg_snp_en_belongs_to_the_core)
{
    enable_snp(0);
    EXPECT_NE(read_msr(1, msr::syscfg) & syscfg_snp_en, 0u);
    EXPECT_EQ(read_msr(2, msr::syscfg) & syscfg_snp_en, 0u);
}

TEST_F(msr_test, syscfg_vmpl_en_is_set_with_snp_en)
{
    enable_snp(0);
    EXPECT_NE(read_msr(0, msr::syscfg) & syscfg_vmpl_en, 0u);
}

TEST_F(msr_test, syscfg_vmpl_en_is_not_set_without_snp_en)
{
    ASSERT_EQ(write_msr(0, msr::syscfg, syscfg_reset | syscfg_vmpl_en), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::syscfg) & syscfg_vmpl_en, 0u);
}

TEST_F(msr_test, syscfg_write_is_ignored_once_snp_en_is_set)
{
    enable_snp(0);
    const std::uint64_t before = read_msr(0, msr::syscfg);
    EXPECT_EQ(write_msr(0, msr::syscfg, 0), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::syscfg), before);
}

TEST_F(msr_test, syscfg_snp_en_cannot_be_cleared_by_a_write)
{
    enable_snp(0);
    EXPECT_EQ(write_msr(0, msr::syscfg, syscfg_reset), msr_result::done);
    EXPECT_TRUE(m->snp_enabled(0));
}

TEST_F(msr_test, syscfg_is_writable_again_after_firmware_cleared_snp_en)
{
    enable_snp();
    m->firmware_clear_snp_en();
    ASSERT_EQ(write_msr(0, msr::syscfg, syscfg_reset | syscfg_mfdm), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::syscfg), syscfg_reset | syscfg_mfdm);
}

TEST_F(msr_test, snp_en_faults_when_a_segmented_rmp_is_not_1m_aligned)
{
    ASSERT_EQ(write_msr(0, msr::rmp_base, rmp_base + 0x2000), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::syscfg, syscfg_reset | syscfg_snp_en | syscfg_mfdm),
              msr_result::gp0);
    EXPECT_EQ(read_msr(0, msr::syscfg), syscfg_reset);
}

TEST_F(msr_test, snp_en_accepts_a_contiguous_rmp_that_is_not_1m_aligned)
{
    build("genoa", rmp_layout::contiguous);
    ASSERT_EQ(write_msr(0, msr::rmp_base, rmp_base + 0x2000), msr_result::done);
    enable_snp(0);
    EXPECT_EQ(m->rmp().config().base, rmp_base + 0x2000);
}

TEST_F(msr_test, snp_en_makes_the_rmp_of_the_registers_take_effect)
{
    set_rst(2, 0);
    enable_snp(0);
    EXPECT_TRUE(m->rmp().covers(low.base));
    EXPECT_FALSE(m->rmp().covers(high.base));
}

TEST_F(msr_test, snp_en_of_a_second_core_leaves_the_rmp)
{
    enable_snp(0);
    set_rst(2, 0);
    enable_snp(2);
    EXPECT_TRUE(m->rmp().covers(high.base));
}

TEST_F(msr_test, snp_en_without_an_rmp_covers_nothing)
{
    build("venice", rmp_layout::none);
    enable_snp(0);
    EXPECT_FALSE(m->rmp().covers(0));
}

TEST_F(msr_test, snp_en_reports_pages_that_are_assigned_already)
{
    rmp_entry e;
    e.assigned = true;
    m->rmp().store(low_2m, e);
    m->rmp().store(low_2m + page_4k, e);
    enable_snp(0);
    const std::vector<rmp_change> expected{{low_2m, 2 * page_4k, false}};
    EXPECT_EQ(changes.ranges(), expected);
}

TEST_F(msr_test, snp_en_reports_nothing_for_an_empty_rmp)
{
    enable_snp();
    EXPECT_TRUE(changes.ranges().empty());
}

// HWCR, SEV_STATUS.

TEST_F(msr_test, hwcr_starts_with_smm_locked)
{
    EXPECT_EQ(read_msr(0, msr::hwcr), hwcr_smmlock | hwcr_tsc_freq_sel);
}

TEST_F(msr_test, hwcr_smm_lock_cannot_be_cleared)
{
    ASSERT_EQ(write_msr(0, msr::hwcr, 0), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::hwcr), hwcr_smmlock);
}

TEST_F(msr_test, hwcr_belongs_to_the_thread)
{
    ASSERT_EQ(write_msr(0, msr::hwcr, 1ull << 9), msr_result::done);
    EXPECT_EQ(read_msr(1, msr::hwcr), hwcr_reset);
}

TEST_F(msr_test, sev_status_is_zero)
{
    enable_snp();
    EXPECT_EQ(read_msr(0, msr::sev_status), 0u);
}

TEST_F(msr_test, sev_status_cannot_be_written)
{
    EXPECT_EQ(write_msr(0, msr::sev_status, 0), msr_result::gp0);
}

// RMP_BASE, RMP_END, RMP_CFG.

TEST_F(msr_test, rmp_base_keeps_bits_51_to_13)
{
    ASSERT_EQ(write_msr(0, msr::rmp_base, ~0ull), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmp_base), 0x000fffffffffe000u);
}

TEST_F(msr_test, rmp_end_reads_its_low_bits_as_ones)
{
    ASSERT_EQ(write_msr(0, msr::rmp_end, 0), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmp_end), 0x1fffu);
    ASSERT_EQ(write_msr(0, msr::rmp_end, ~0ull), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmp_end), 0x000fffffffffffffu);
}

TEST_F(msr_test, rmp_bounds_belong_to_the_core)
{
    ASSERT_EQ(write_msr(0, msr::rmp_base, 0x400000), msr_result::done);
    EXPECT_EQ(read_msr(1, msr::rmp_base), 0x400000u);
    EXPECT_EQ(read_msr(2, msr::rmp_base), rmp_base);
}

TEST_F(msr_test, rmp_bounds_fault_with_snp_en)
{
    enable_snp(0);
    EXPECT_EQ(write_msr(0, msr::rmp_base, 0x400000), msr_result::gp0);
    EXPECT_EQ(write_msr(1, msr::rmp_end, 0x400000), msr_result::gp0);
    EXPECT_EQ(read_msr(0, msr::rmp_base), rmp_base);
}

TEST_F(msr_test, rmp_bounds_ignore_writes_with_snp_en_when_the_policy_says_so)
{
    build("venice", rmp_layout::segmented, {.rmp_msr_locked = choice::rmp_msr_locked::ignore});
    enable_snp(0);
    EXPECT_EQ(write_msr(0, msr::rmp_base, 0x400000), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::rmp_end, 0x400000), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmp_base), rmp_base);
    EXPECT_EQ(read_msr(0, msr::rmp_end), 0u);
}

TEST_F(msr_test, rmp_cfg_keeps_enable_and_shift)
{
    ASSERT_EQ(write_msr(0, msr::rmp_cfg, 0x2401), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmp_cfg), 0x2401u);
}

TEST_F(msr_test, rmp_cfg_faults_for_each_reserved_bit)
{
    const std::uint64_t before = read_msr(0, msr::rmp_cfg);
    for (unsigned bit = 1; bit < 64; bit = bit == 7 ? 14 : bit + 1) {
        EXPECT_EQ(write_msr(0, msr::rmp_cfg, 0x2400 | 1ull << bit), msr_result::gp0) << bit;
    }
    EXPECT_EQ(read_msr(0, msr::rmp_cfg), before);
}

TEST_F(msr_test, rmp_cfg_accepts_the_smallest_and_the_largest_segment)
{
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, rmp_cfg_value(30)), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, rmp_cfg_value(42)), msr_result::done);
}

TEST_F(msr_test, rmp_cfg_faults_for_a_segment_that_is_too_small)
{
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, rmp_cfg_value(29)), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, rmp_cfg_value(0)), msr_result::gp0);
}

TEST_F(msr_test, rmp_cfg_faults_for_a_segment_that_is_too_large)
{
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, rmp_cfg_value(43)), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, rmp_cfg_value(63)), msr_result::gp0);
}

TEST_F(msr_test, rmp_cfg_accepts_any_shift_without_segments)
{
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, 0x0100), msr_result::done);
}

TEST_F(msr_test, rmp_cfg_faults_with_snp_en)
{
    enable_snp(0);
    EXPECT_EQ(write_msr(1, msr::rmp_cfg, rmp_cfg_value(30)), msr_result::gp0);
}

TEST_F(msr_test, rmp_cfg_faults_on_a_cpu_without_segments)
{
    build("genoa", rmp_layout::contiguous);
    EXPECT_EQ(write_msr(0, msr::rmp_cfg, 0), msr_result::gp0);
    EXPECT_EQ(rdmsr(*m, 0, msr::rmp_cfg, ignored), msr_result::gp0);
}

// VM_HSAVE_PA and the registers that SNP_EN locks.

TEST_F(msr_test, vm_hsave_pa_faults_for_an_assigned_page)
{
    enable_snp();
    ASSERT_EQ(assign(low_2m + page_4k), rmp_status::success);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m + page_4k), msr_result::gp0);
}

TEST_F(msr_test, vm_hsave_pa_faults_inside_an_assigned_2m_page)
{
    enable_snp();
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m + 17 * page_4k), msr_result::gp0);
}

TEST_F(msr_test, vm_hsave_pa_accepts_the_hypervisor_s_pages)
{
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m), msr_result::pass);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, 0), msr_result::pass);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, hole), msr_result::pass);
    EXPECT_EQ(m->thread(0).vm_hsave_pa, hole);
}

TEST_F(msr_test, vm_hsave_pa_is_not_checked_without_snp_en)
{
    rmp_entry e;
    e.assigned = true;
    m->rmp().store(low_2m, e);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m), msr_result::pass);
}

TEST_F(msr_test, vm_hsave_pa_faults_for_reserved_bits)
{
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m + 1), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m + 0x800), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, 1ull << 48), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, (1ull << 48) - page_4k), msr_result::pass);
}

TEST_F(msr_test, vm_hsave_pa_refused_keeps_its_value)
{
    enable_snp();
    ASSERT_EQ(write_msr(0, msr::vm_hsave_pa, high_2m), msr_result::pass);
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    ASSERT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m), msr_result::gp0);
    ASSERT_EQ(write_msr(0, msr::vm_hsave_pa, 1), msr_result::gp0);
    EXPECT_EQ(m->thread(0).vm_hsave_pa, high_2m);
}

TEST_F(msr_test, vm_hsave_pa_takes_0_whoever_owns_page_0)
{
    enable_snp();
    ASSERT_EQ(assign(0), rmp_status::success);
    EXPECT_EQ(write_msr(0, msr::vm_hsave_pa, 0), msr_result::pass);
}

// VM_PAGE_FLUSH.

TEST_F(msr_test, vm_page_flush_cannot_be_read)
{
    EXPECT_EQ(rdmsr(*m, 0, msr::vm_page_flush, ignored), msr_result::gp0);
}

TEST_F(msr_test, vm_page_flush_takes_an_address_and_the_asid_of_a_guest)
{
    constexpr std::uint64_t address = 0xffff888012345000;
    EXPECT_EQ(write_msr(0, msr::vm_page_flush, address | 1), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::vm_page_flush, address | m->cpu().asids), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::vm_page_flush, address), msr_result::gp0) << "the host";
    EXPECT_EQ(write_msr(0, msr::vm_page_flush, address | (m->cpu().asids + 1)), msr_result::gp0);
}

class locked_msr : public machine_fixture, public testing::WithParamInterface<std::uint32_t>
{
};

TEST_P(locked_msr, faults_with_snp_en)
{
    enable_snp(0);
    EXPECT_EQ(write_msr(0, GetParam(), 0), msr_result::gp0);
    EXPECT_TRUE(is_modelled_msr(GetParam()));
}

TEST_P(locked_msr, is_the_emulator_s_without_snp_en)
{
    enable_snp(0);
    EXPECT_EQ(write_msr(2, GetParam(), 0), msr_result::pass);
}

TEST_P(locked_msr, can_always_be_read)
{
    enable_snp(0);
    std::uint64_t value = 0;
    EXPECT_EQ(rdmsr(*m, 0, GetParam(), value), msr_result::pass);
}

INSTANTIATE_TEST_SUITE_P(all, locked_msr,
                         testing::Values(0x250, 0x258, 0x259, 0x268, 0x26f, 0xc0010016, 0xc0010019,
                                         0xc001001a, 0xc001001d, 0xc0010119));

class memory_msr : public machine_fixture, public testing::WithParamInterface<std::uint32_t>
{
  protected:
    static constexpr std::uint64_t written = 0x0606060606060606;
};

TEST_P(memory_msr, keeps_over_init_what_software_wrote)
{
    ASSERT_EQ(write_msr(2, GetParam(), written), msr_result::pass);
    enable_snp();
    m->init_thread(2);
    EXPECT_EQ(read_msr(2, GetParam()), written);
}

TEST_P(memory_msr, is_each_cpu_s_own)
{
    ASSERT_EQ(write_msr(2, GetParam(), written), msr_result::pass);
    std::uint64_t value = 0;
    EXPECT_EQ(rdmsr(*m, 3, GetParam(), value), msr_result::pass);
}

TEST_P(memory_msr, is_forgotten_at_reset)
{
    ASSERT_EQ(write_msr(2, GetParam(), written), msr_result::pass);
    m->reset();
    std::uint64_t value = 0;
    EXPECT_EQ(rdmsr(*m, 2, GetParam(), value), msr_result::pass);
}

INSTANTIATE_TEST_SUITE_P(some, memory_msr,
                         testing::Values(0x250, 0x258, 0x26f, 0x200, 0x20f, 0x2ff, 0xc0010016,
                                         0xc0010019, 0xc001001a, 0xc001001d));

TEST_F(msr_test, registers_about_memory_are_alike_unless_software_makes_them_differ)
{
    std::vector<std::uint32_t> all{0x250, 0x258, 0x259, 0x2ff, msr::top_mem, msr::top_mem2};
    using range = std::pair<std::uint32_t, std::uint32_t>;
    // MTRRfix4K, variable MTRRs, IORRs
    for (const auto &[first, last] :
         {range{0x268, 0x26f}, range{0x200, 0x20f}, range{0xc0010016, 0xc0010019}}) {
        for (std::uint32_t index = first; index <= last; ++index) {
            all.push_back(index);
        }
    }
    EXPECT_EQ(all.size(), memory_msr_count);
    for (const std::uint32_t index : all) {
        m->reset();
        ASSERT_EQ(write_msr(1, index, 5), msr_result::pass);
        EXPECT_FALSE(unequal_memory_msr(*m)) << "the others are the BIOS's";
        write_msr(3, index, 5);
        EXPECT_FALSE(unequal_memory_msr(*m));
        write_msr(3, index, 6);
        const auto found = unequal_memory_msr(*m);
        ASSERT_TRUE(found);
        EXPECT_EQ(found->index, index);
        EXPECT_EQ(std::pair(found->first, found->other), std::pair(1u, 3u));
        EXPECT_EQ(std::pair(found->first_value, found->other_value), (std::pair{5ul, 6ul}));
        write_msr(3, index, 5);
        EXPECT_FALSE(unequal_memory_msr(*m)) << "only the last value counts";
    }
}

class foreign_msr : public machine_fixture, public testing::WithParamInterface<std::uint32_t>
{
};

TEST_P(foreign_msr, is_the_emulator_s)
{
    enable_snp();
    std::uint64_t value = 0;
    EXPECT_FALSE(is_modelled_msr(GetParam()));
    EXPECT_EQ(write_msr(0, GetParam(), 0), msr_result::pass);
    EXPECT_EQ(rdmsr(*m, 0, GetParam(), value), msr_result::pass);
}

// EFER, neighbours of the modelled ones, MTRRs that the CPUs lack.
INSTANTIATE_TEST_SUITE_P(some, foreign_msr,
                         testing::Values(0xc0000080, 0xc0010014, 0xc001001b, 0xc0010130, 0xc0010137,
                                         0xc0010138, 0xc001013a, 0x210, 0x24f, 0x251, 0x257, 0x25a,
                                         0x267, 0x270, 0x2fe));

} // namespace

} // namespace rmpopt::hw
