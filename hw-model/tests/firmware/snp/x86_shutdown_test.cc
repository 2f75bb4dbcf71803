// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_SHUTDOWN_EX with X86_SNP_SHUTDOWN, which firmware need not offer.
#include "firmware_fixture.h"
#include "hw-model/insn/rmpopt.h"

#include <array>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

constexpr std::uint32_t iommu = 1, x86 = 2;

class snp_x86_shutdown : public firmware_fixture
{
  protected:
    static constexpr spa_t iommu_log = 8 * mb;

    void SetUp() override
    {
        build("venice", rmp_layout::segmented, {.x86_snp_shutdown = choice::x86_snp_shutdown::on});
        m->set_iommu({.buffers = {{iommu_log, page_4k}}});
    }
    void snp_up_and_flushed()
    {
        snp_up();
        ASSERT_EQ(status_of(snp_df_flush), success);
    }
    msr_result write(unsigned thread, std::uint32_t index, std::uint64_t value)
    {
        rmp_changes ignored;
        return wrmsr(*m, thread, index, value, ignored);
    }
    /// Pages that the last command has made host-writable.
    bool gave_back(spa_t page) const
    {
        return std::ranges::any_of(changes.ranges(), [page](const rmp_change &r) {
            return r.host_writable && page >= r.base && page < r.base + r.bytes;
        });
    }
};

TEST_F(snp_x86_shutdown, is_offered_in_feature_info)
{
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, output_page), success);
    EXPECT_TRUE(memory_is_zero(output_page, 8));
    EXPECT_EQ(load<std::uint32_t>(output_page + 8) & 2u, 2u);
    EXPECT_TRUE(memory_is_zero(output_page + 12, 4));
}

TEST_F(snp_x86_shutdown, only_when_asked_for)
{
    snp_up_and_flushed();
    EXPECT_EQ(shutdown_ex(iommu), success);
    EXPECT_TRUE(m->snp_enabled_everywhere());
    EXPECT_FALSE(m->is_host_writable(rmp_base));
}

TEST_F(snp_x86_shutdown, checks_its_other_flags)
{
    EXPECT_EQ(shutdown_ex(x86 | 4), invalid_param);
    EXPECT_EQ(shutdown_ex(x86), success) << "nothing to shut down";
}

TEST_F(snp_x86_shutdown, that_fails_changes_nothing)
{
    snp_up();
    EXPECT_EQ(shutdown_ex(iommu | x86), df_flush_required);
    EXPECT_TRUE(m->snp_enabled_everywhere());
    EXPECT_TRUE(changes.ranges().empty());
    EXPECT_EQ(state(iommu_log), page_state::firmware_iommu);
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    EXPECT_EQ(shutdown_ex(iommu | x86), invalid_platform_state);
    EXPECT_TRUE(m->snp_enabled_everywhere());
}

TEST_F(snp_x86_shutdown, gives_all_memory_back)
{
    snp_up_and_flushed();
    make_firmware(output_page);
    make_firmware(tmr, true);
    ASSERT_FALSE(m->is_host_writable(output_page));
    EXPECT_EQ(shutdown_ex(iommu | x86), success);
    EXPECT_FALSE(m->snp_enabled_somewhere());
    for (const spa_t page :
         {rmp_base, segment, output_page, tmr, tmr + page_2m - page_4k, iommu_log}) {
        EXPECT_TRUE(m->is_host_writable(page)) << std::hex << page;
        EXPECT_TRUE(gave_back(page)) << std::hex << page;
    }
    EXPECT_FALSE(gave_back(command_page)) << "was the host's all the time";
}

TEST_F(snp_x86_shutdown, unlocks_registers)
{
    snp_up_and_flushed();
    EXPECT_EQ(write(0, msr::rmp_base, 0), msr_result::gp0);
    EXPECT_EQ(shutdown_ex(iommu | x86), success);
    EXPECT_EQ(write(0, msr::rmp_base, rmp_base), msr_result::done);
    EXPECT_EQ(write(3, msr::syscfg, m->thread(3).syscfg & ~syscfg_mfdm), msr_result::done);
    EXPECT_EQ(m->thread(3).syscfg & syscfg_mfdm, 0u);
}

TEST_F(snp_x86_shutdown, leaves_rmpopt_disabled)
{
    snp_up_and_flushed();
    ASSERT_EQ(write(0, msr::rmpopt_base, rmpopt_enable), msr_result::done);
    EXPECT_EQ(shutdown_ex(iommu | x86), success);
    EXPECT_EQ(rmpopt(*m, {}, 0, 0).exception, fault::ud);
    EXPECT_EQ(m->core(0).rmpopt.msr(), 0u);
    EXPECT_EQ(write(0, msr::rmpopt_base, rmpopt_enable), msr_result::gp0);
}

TEST_F(snp_x86_shutdown, makes_software_prepare_again)
{
    snp_up_and_flushed();
    make_firmware(output_page);
    EXPECT_EQ(shutdown_ex(iommu | x86), success);
    EXPECT_EQ(init_ex(1), invalid_config) << "SNP_EN";
    enable_snp();
    EXPECT_FALSE(m->is_host_writable(output_page)) << "nobody has zeroed the RMP";
    EXPECT_EQ(init_ex(0), rmp_init_required) << "software could write the RMP";
    EXPECT_EQ(init_ex(1), success);
    EXPECT_TRUE(m->is_host_writable(output_page));
    EXPECT_FALSE(m->is_host_writable(rmp_base));
}

} // namespace
} // namespace rmpopt::hw
