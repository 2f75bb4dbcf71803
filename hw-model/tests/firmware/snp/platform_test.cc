// SPDX-License-Identifier: GPL-2.0-or-later
#include "firmware_fixture.h"

#include <array>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

constexpr std::uint32_t init_rmp = 1, list_enable = 2, rapl_off = 4, hide_ciphertext = 8, tio = 16;

using snp_platform = firmware_fixture;

TEST_F(snp_platform, init_needs_every_cpu_enabled)
{
    EXPECT_EQ(status_of(snp_init), invalid_config);
    enable_mfdm();
    enable_snp(0);
    EXPECT_EQ(status_of(snp_init), invalid_config) << "the other core is missing";
    enable_snp();
    EXPECT_EQ(status_of(snp_init), success);
    EXPECT_TRUE(fw->snapshot().snp_init && fw->snapshot().rmp_init);
}

TEST_F(snp_platform, init_needs_mfdm_and_mem_encrypt)
{
    enable_snp();
    for (const std::uint64_t bit : {syscfg_mfdm, syscfg_mem_encrypt}) {
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            m->thread(t).syscfg ^= bit;
        }
        EXPECT_EQ(status_of(snp_init), invalid_config) << "alike on all CPUs, but missing";
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            m->thread(t).syscfg ^= bit;
        }
    }
    EXPECT_EQ(status_of(snp_init), success);
}

TEST_F(snp_platform, init_needs_the_iommu)
{
    enable_snp();
    m->set_iommu({.enabled = false});
    EXPECT_EQ(status_of(snp_init), invalid_config);
    m->set_iommu({.enabled = true});
    EXPECT_EQ(status_of(snp_init), success);
}

TEST_F(snp_platform, init_needs_registers_about_memory_to_be_alike)
{
    rmp_changes ignored;
    wrmsr(*m, 0, msr::top_mem2, 5, ignored);
    wrmsr(*m, 3, msr::top_mem2, 6, ignored);
    enable_snp();
    EXPECT_EQ(status_of(snp_init), invalid_config);
}

TEST_F(snp_platform, init_checks_registers_of_every_cpu)
{
    enable_snp();
    m->thread(3).syscfg &= ~syscfg_mfdm;
    EXPECT_EQ(status_of(snp_init), invalid_config);
    m->thread(3).syscfg |= syscfg_mfdm;
    m->thread(2).syscfg &= ~syscfg_mem_encrypt;
    EXPECT_EQ(status_of(snp_init), invalid_config);
    m->thread(2).syscfg |= syscfg_mem_encrypt;
    m->thread(1).syscfg ^= 1ull << 21;
    EXPECT_EQ(status_of(snp_init), invalid_config) << "SYSCFG differs";
    m->thread(1).syscfg ^= 1ull << 21;
    m->thread(1).hwcr &= ~hwcr_smmlock;
    EXPECT_EQ(status_of(snp_init), invalid_config);
    m->thread(1).hwcr |= hwcr_smmlock;
    m->thread(3).vm_hsave_pa = 0x5000;
    EXPECT_EQ(status_of(snp_init), invalid_config) << "a host save area is set";
    m->thread(3).vm_hsave_pa = 0;
    m->core(1).vmpl_en = false;
    EXPECT_EQ(status_of(snp_init), invalid_config);
    m->core(1).vmpl_en = true;
    EXPECT_FALSE(fw->snapshot().snp_init);
    EXPECT_EQ(status_of(snp_init), success);
}

TEST_F(snp_platform, init_fails_when_cores_disagree_on_the_rmp)
{
    enable_snp();
    for (std::atomic<std::uint64_t> core_state::*reg :
         {&core_state::rmp_base, &core_state::rmp_end, &core_state::rmp_cfg}) {
        m->core(1).*reg ^= 1ull << 20;
        EXPECT_EQ(status_of(snp_init), hardware_platform);
        m->core(1).*reg ^= 1ull << 20;
    }
    EXPECT_EQ(status_of(snp_init), success);
}

TEST_F(snp_platform, init_fails_without_an_rmp)
{
    build("venice", rmp_layout::none);
    enable_snp();
    EXPECT_EQ(status_of(snp_init), rmp_init_failed);
}

TEST_F(snp_platform, init_fails_when_the_rmp_does_not_cover_itself)
{
    build("genoa", rmp_layout::none);
    // 1 MB holds the entries of less than 256 MB, which is less than its own address.
    m->bios_setup(
        {.layout = rmp_layout::contiguous, .base = 150 * mb, .end = 150 * mb + mb / 4 - 1});
    enable_snp();
    EXPECT_EQ(status_of(snp_init), invalid_config) << "the end is not aligned";
    build("genoa", rmp_layout::none);
    m->memory().store<std::uint64_t>(0, 0);
    m->bios_setup({.layout = rmp_layout::contiguous, .base = low.end() - 8 * mb, .end = 0x1fff});
    enable_snp();
    EXPECT_EQ(status_of(snp_init), rmp_init_failed);
}

TEST_F(snp_platform, init_wants_aligned_rmp_bounds)
{
    build("genoa", rmp_layout::none);
    m->bios_setup({.layout = rmp_layout::contiguous,
                   .base = rmp_base + 0x2000,
                   .end = rmp_base + 5 * mb - 1});
    enable_snp();
    EXPECT_EQ(status_of(snp_init), invalid_config);
}

TEST_F(snp_platform, init_only_once_until_shutdown)
{
    snp_up();
    EXPECT_EQ(status_of(snp_init), invalid_platform_state);
    EXPECT_EQ(init_ex(init_rmp), invalid_platform_state);
    EXPECT_EQ(status_of(snp_df_flush), success);
    EXPECT_EQ(shutdown_ex(0), success);
    EXPECT_EQ(init_ex(init_rmp), success) << "SNP_EN stayed set";
}

TEST_F(snp_platform, the_machine_knows_whether_snp_has_been_initialised)
{
    enable_snp();
    EXPECT_FALSE(m->snp_initialised());
    EXPECT_EQ(init_ex(0), rmp_init_required);
    EXPECT_FALSE(m->snp_initialised()) << "a command that fails does not count";
    EXPECT_EQ(init_ex(init_rmp), success);
    EXPECT_TRUE(m->snp_initialised());
}

TEST_F(snp_platform, init_is_too_late_after_init_of_sev)
{
    ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    enable_snp();
    EXPECT_EQ(status_of(snp_init), invalid_platform_state);
    EXPECT_EQ(init_ex(init_rmp), invalid_platform_state);
}

TEST_F(snp_platform, init_ex_without_rmp_needs_one_from_before)
{
    enable_snp();
    EXPECT_EQ(init_ex(0), rmp_init_required);
    ASSERT_EQ(init_ex(init_rmp), success);
    make_firmware(output_page);
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(shutdown_ex(0), success);
    EXPECT_EQ(init_ex(0), success);
    EXPECT_EQ(state(output_page), page_state::firmware) << "the RMP was left alone";
}

TEST_F(snp_platform, init_ex_checks_its_flags)
{
    enable_snp();
    EXPECT_EQ(init_ex(init_rmp | 1u << 5), invalid_param);
    EXPECT_EQ(init_ex(init_rmp | 1u << 31), invalid_param);
    EXPECT_EQ(init_ex(init_rmp | tio), unsupported) << "not in SNP_FEATURE_INFO";
    EXPECT_EQ(run_with(snp_init_ex, init_rmp, 1u, 0ull, 0ull, std::array<std::uint64_t, 5>{}),
              invalid_param)
        << "reserved";
    EXPECT_EQ(run_with(snp_init_ex, init_rmp, 0u, 0ull, 0ull,
                       std::array<std::uint64_t, 5>{0, 0, 0, 0, 1}),
              invalid_param)
        << "reserved";
    EXPECT_FALSE(fw->snapshot().snp_init);
}

TEST_F(snp_platform, init_ex_checks_its_list)
{
    enable_snp();
    const auto with_list = [this](spa_t list) {
        return run_with(snp_init_ex, init_rmp | list_enable, 0u, list, 0ull,
                        std::array<std::uint64_t, 5>{});
    };
    EXPECT_EQ(with_list(low.end()), invalid_address);
    EXPECT_EQ(with_list(output_page + 8), invalid_address);
    EXPECT_EQ(with_list(~0ull << 12), invalid_address);
    m->memory().store(output_page, 256u);
    EXPECT_EQ(with_list(output_page), invalid_param) << "more than a page holds";
    m->memory().store(output_page, ~0u);
    EXPECT_EQ(with_list(output_page), invalid_param);
    EXPECT_EQ(init_ex(init_rmp | list_enable, {{0x123, page_4k}}), invalid_address);
    EXPECT_EQ(init_ex(init_rmp | list_enable, {{1ull << 52, page_4k}}), invalid_address);
    EXPECT_FALSE(fw->snapshot().snp_init);
    EXPECT_EQ(init_ex(init_rmp | list_enable, {}), success);
}

TEST_F(snp_platform, options_of_init_ex_that_the_parts_lack_are_unsupported)
{
    build("genoa", rmp_layout::contiguous);
    enable_snp();
    EXPECT_EQ(init_ex(init_rmp | rapl_off), unsupported);
    EXPECT_EQ(init_ex(init_rmp | hide_ciphertext), unsupported);
    EXPECT_EQ(init_ex(init_rmp), success);
}

TEST_F(snp_platform, options_of_init_ex_show_in_the_status)
{
    const auto flags = [this] {
        make_firmware(output_page);
        EXPECT_EQ(run_with(snp_platform_status, output_page), success);
        return load<std::uint32_t>(output_page + 8) & 0x70;
    };
    enable_snp();
    ASSERT_EQ(init_ex(init_rmp), success);
    EXPECT_EQ(flags(), 1u << 5) << "ciphertext hiding is possible";
    snp_down();
    ASSERT_EQ(init_ex(init_rmp | rapl_off), success);
    EXPECT_EQ(flags(), 1u << 4 | 1u << 5);
    snp_down();
    ASSERT_EQ(init_hiding(7), success);
    EXPECT_EQ(flags(), 1u << 5 | 1u << 6);
    snp_down();
    ASSERT_EQ(init_ex(init_rmp), success);
    EXPECT_EQ(flags(), 1u << 5) << "each initialisation decides anew";
}

TEST_F(snp_platform, ciphertext_hiding_needs_asids_for_snp_guests)
{
    enable_snp();
    for (const unsigned bad : {0u, m->cpu().min_sev_asid, 0xffffu}) {
        EXPECT_EQ(init_hiding(bad), invalid_param) << bad;
    }
    EXPECT_EQ(init_hiding(m->cpu().min_sev_asid - 1), success);
}

TEST_F(snp_platform, alias_check_is_complete_after_the_first_init)
{
    const auto complete = [this] {
        EXPECT_EQ(run_with(snp_platform_status, output_page), success);
        return (load<std::uint8_t>(output_page + 3) & 2) != 0;
    };
    EXPECT_FALSE(complete());
    snp_up();
    make_firmware(output_page);
    EXPECT_TRUE(complete());
    snp_down();
    EXPECT_TRUE(complete()) << "until reset";
    fw->reset();
    EXPECT_FALSE(complete());
}

TEST_F(snp_platform, version_is_that_of_the_cpu_model)
{
    for (const auto &[name, minor, number] :
         {std::tuple{"venice", 58, 5}, {"turin", 55, 38}, {"milan", 55, 25}}) {
        build(name,
              std::string_view(name) == "milan" ? rmp_layout::contiguous : rmp_layout::segmented);
        EXPECT_EQ(run_with(snp_platform_status, output_page), success);
        EXPECT_EQ(load<std::uint8_t>(output_page + 1), minor) << name;
        EXPECT_EQ(load<std::uint32_t>(output_page + 4), static_cast<unsigned>(number)) << name;
    }
}

TEST_F(snp_platform, status_before_init_goes_anywhere_in_ram)
{
    EXPECT_EQ(run_with(snp_platform_status, output_page + 0xbc), success);
    EXPECT_EQ(load<std::uint8_t>(output_page + 0xbc), 1);
    EXPECT_EQ(load<std::uint8_t>(output_page + 0xbc + 1), 58);
    EXPECT_EQ(load<std::uint8_t>(output_page + 0xbc + 2), 0) << "uninitialised";
    EXPECT_EQ(load<std::uint8_t>(output_page + 0xbc + 3) & 1, 0) << "RMP uninitialised";
    EXPECT_EQ(load<std::uint32_t>(output_page + 0xbc + 4), 5u);
    EXPECT_NE(load<std::uint32_t>(output_page + 0xbc + 8) & 8, 0u) << "SNP_FEATURE_INFO exists";
    EXPECT_TRUE(memory_is_zero(output_page + 0xbc + 32, 16));
    EXPECT_EQ(run_with(snp_platform_status, low.end() - 16), invalid_address);
}

TEST_F(snp_platform, status_after_init_takes_a_firmware_page_and_hands_it_back)
{
    snp_up();
    EXPECT_EQ(run_with(snp_platform_status, output_page), invalid_page_state);
    EXPECT_TRUE(memory_is_zero(output_page, 32));
    make_firmware(output_page);
    EXPECT_EQ(run_with(snp_platform_status, output_page), success);
    EXPECT_EQ(load<std::uint8_t>(output_page + 2), 1);
    EXPECT_EQ(load<std::uint8_t>(output_page + 3) & 1, 1);
    EXPECT_EQ(state(output_page), page_state::reclaim);
    EXPECT_EQ(run_with(snp_platform_status, output_page), invalid_page_state);
    EXPECT_EQ(reclaim(output_page), success) << "Linux reclaims it all the same";
}

TEST_F(snp_platform, status_reports_security_versions_where_each_family_has_them)
{
    for (const auto &[name, tcb] : {std::pair{"venice", 0x4800'0000'0301'0901ull},
                                    {"turin", 0x4800'0000'0301'0901ull},
                                    {"genoa", 0x4816'0000'0000'0109ull},
                                    {"milan", 0x4816'0000'0000'0109ull}}) {
        build(name, find_cpu_model(name)->layout);
        ASSERT_EQ(run_with(snp_platform_status, output_page), success);
        EXPECT_EQ(load<std::uint64_t>(output_page + 16), tcb) << name;
        EXPECT_EQ(load<std::uint64_t>(output_page + 16), load<std::uint64_t>(output_page + 24));
    }
}

TEST_F(snp_platform, feature_info_offers_what_the_parts_have)
{
    m->memory().store(output_page, ~0ull);
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, output_page), success);
    EXPECT_TRUE(memory_is_zero(output_page, 8));
    EXPECT_EQ(load<std::uint32_t>(output_page + 8), 1u << 2 | 1u << 3 | 1u << 13);
    EXPECT_TRUE(memory_is_zero(output_page + 12, 4));
    build("milan", rmp_layout::contiguous);
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, output_page), success);
    EXPECT_TRUE(memory_is_zero(output_page, 16));
}

TEST_F(snp_platform, feature_info_checks_its_operands)
{
    EXPECT_EQ(run_with(snp_feature_info, 15u, 0u, output_page), invalid_length);
    EXPECT_EQ(run_with(snp_feature_info, 16u, 1u, output_page), invalid_param);
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, output_page - 16), success);
    for (const unsigned before : {15u, 1u}) {
        EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, output_page - before), invalid_address)
            << "crosses a page";
    }
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, uncovered), invalid_address);
    snp_up();
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, output_page), success) << "the hypervisor's";
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, segment), invalid_page_state) << "the RMP";
}

class snp_verify_mitigation_test : public snp_platform
{
  protected:
    static constexpr std::uint16_t ask = 0, verify = 1;
    static constexpr std::uint32_t answers = 1;

    firmware_status call(std::uint16_t subcommand, std::uint64_t vector, spa_t out = output_page,
                         std::uint32_t flags = answers)
    {
        m->memory().store(output_page, ~0ull);
        return run_with(snp_verify_mitigation, 64u, std::uint32_t{subcommand}, vector,
                        std::uint64_t{flags}, std::uint64_t{0}, out, std::uint64_t{0},
                        std::uint64_t{0}, std::uint64_t{0});
    }
    std::uint64_t verified() { return load<std::uint64_t>(output_page); }
    std::uint64_t supported() { return load<std::uint64_t>(output_page + 8); }
    std::uint32_t failure() { return load<std::uint32_t>(output_page + 16); }
};

TEST_F(snp_verify_mitigation_test, one_is_verified_until_a_reset)
{
    snp_up();
    ASSERT_EQ(call(ask, 0), success);
    EXPECT_EQ(verified(), 0u);
    EXPECT_EQ(supported(), 1u);
    ASSERT_EQ(call(verify, 1), success);
    EXPECT_EQ(verified(), 1u);
    EXPECT_EQ(failure(), 0u);
    ASSERT_EQ(call(ask, 0), success);
    EXPECT_EQ(verified(), 1u) << "it stays so";
    fw->reset();
    ASSERT_EQ(call(ask, 0), success);
    EXPECT_EQ(verified(), 0u);
}

TEST_F(snp_verify_mitigation_test, one_that_is_unknown_is_not_verified)
{
    ASSERT_EQ(call(verify, 2), success);
    EXPECT_EQ(verified(), 0u);
    EXPECT_NE(failure(), 0u);
}

TEST_F(snp_verify_mitigation_test, checks_its_operands)
{
    EXPECT_EQ(call(2, 1), invalid_param);
    EXPECT_EQ(call(verify, 0), invalid_param);
    EXPECT_EQ(call(verify, 3), invalid_param) << "two at a time";
    EXPECT_EQ(call(ask, 0, output_page, 4), invalid_param) << "a reserved flag";
    EXPECT_EQ(run_with(snp_verify_mitigation, 63u), invalid_length);
    EXPECT_EQ(call(ask, 0, output_page - 19), invalid_address) << "crosses a page";
    EXPECT_EQ(call(ask, 0, output_page - 20), success);
    EXPECT_EQ(call(ask, 0, uncovered), invalid_address);
    snp_up();
    EXPECT_EQ(call(ask, 0, segment), invalid_page_state) << "the RMP";
    EXPECT_EQ(call(ask, 0, segment, 0), success) << "nothing is written there";
}

TEST_F(snp_verify_mitigation_test, is_unknown_to_older_firmware)
{
    build("turin", rmp_layout::segmented);
    EXPECT_EQ(call(ask, 0), invalid_command);
}

TEST_F(snp_platform, df_flush_needs_init)
{
    EXPECT_EQ(status_of(snp_df_flush), invalid_platform_state);
    snp_up();
    EXPECT_EQ(status_of(snp_df_flush), success);
}

TEST_F(snp_platform, df_flush_wants_caches_written_back_where_that_is_tracked)
{
    fw = std::make_unique<firmware>(*m, firmware::settings{.tracks_wbinvd = true});
    snp_up();
    EXPECT_EQ(status_of(snp_df_flush), wbinvd_required);
    fw->note_wbinvd(0);
    fw->note_wbinvd(2); // its sibling
    EXPECT_EQ(status_of(snp_df_flush), wbinvd_required) << "the other core";
    fw->note_wbinvd(3);
    EXPECT_EQ(status_of(snp_df_flush), success);
}

TEST_F(snp_platform, shutdown_wants_a_df_flush)
{
    snp_up();
    EXPECT_EQ(shutdown_ex(0), df_flush_required);
    EXPECT_EQ(status_of(snp_df_flush), success);
    EXPECT_EQ(shutdown_ex(0), success);
    EXPECT_FALSE(fw->snapshot().snp_init);
    EXPECT_TRUE(m->snp_enabled_everywhere());
}

TEST_F(snp_platform, shutdown_checks_its_operands)
{
    EXPECT_EQ(run_with(snp_shutdown_ex, 4u, 0u), invalid_length);
    EXPECT_EQ(shutdown_ex(4), invalid_param);
    EXPECT_EQ(shutdown_ex(2), invalid_param) << "x86 shutdown is not offered";
    EXPECT_EQ(shutdown_ex(0), success) << "nothing to shut down";
}

TEST_F(snp_platform, shutdown_waits_for_the_sev_platform)
{
    snp_up();
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    EXPECT_EQ(shutdown_ex(0), invalid_platform_state);
    ASSERT_EQ(status_of(shutdown), success);
    EXPECT_EQ(shutdown_ex(0), df_flush_required) << "ASIDs are SEV's as well";
    ASSERT_EQ(status_of(snp_df_flush), success);
    EXPECT_EQ(shutdown_ex(0), success);
}

TEST_F(snp_platform, shutdown_hands_back_iommu_pages_when_asked)
{
    const spa_t log = 8 * mb;
    m->set_iommu({.buffers = {{log, 2 * page_4k}}});
    snp_up();
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(state(log + page_4k), page_state::firmware_iommu);
    EXPECT_EQ(reclaim(log), invalid_page_state) << "not while the IOMMU uses it";
    EXPECT_EQ(shutdown_ex(1), success);
    EXPECT_EQ(state(log), page_state::reclaim);
    EXPECT_EQ(state(log + page_4k), page_state::reclaim);
    rmp_changes fx;
    EXPECT_EQ(rmpupdate(*m, log, rmp_record{}, fx), rmp_status::success);
}

TEST_F(snp_platform, shutdown_keeps_iommu_pages_otherwise)
{
    const spa_t log = 8 * mb;
    m->set_iommu({.buffers = {{log, page_4k}}});
    snp_up();
    ASSERT_EQ(status_of(snp_df_flush), success);
    EXPECT_EQ(shutdown_ex(0), success);
    EXPECT_EQ(state(log), page_state::firmware_iommu);
}

TEST_F(snp_platform, config_sets_and_resets_the_reported_version)
{
    snp_up();
    const auto config = [this](std::uint64_t tcb, std::uint32_t masks) {
        return run_with(snp_config, tcb, masks, 0u, std::array<std::uint64_t, 6>{});
    };
    const auto reported = [this] {
        make_firmware(output_page);
        EXPECT_EQ(run_with(snp_platform_status, output_page), success);
        set(output_page, rmp_entry{});
        return load<std::uint64_t>(output_page + 24);
    };
    const std::uint64_t current = reported();
    EXPECT_EQ(config(current - 1, 1), success);
    EXPECT_EQ(reported(), current - 1);
    EXPECT_EQ(load<std::uint32_t>(output_page + 8) & 3, 1u);
    EXPECT_EQ(load<std::uint64_t>(output_page + 16), current);
    EXPECT_EQ(config(0, 0), success);
    EXPECT_EQ(reported(), current);
    for (unsigned byte = 0; byte < 8; ++byte) { // those that are reserved are 0
        EXPECT_EQ(config(current + (1ull << 8 * byte), 0), invalid_param) << "component " << byte;
    }
    EXPECT_EQ(config(0, 4), invalid_param);
    EXPECT_EQ(run_with(snp_config, 0ull, 0u, 1u, std::array<std::uint64_t, 6>{}), invalid_param);
    EXPECT_EQ(reported(), current);
}

TEST_F(snp_platform, config_and_commit_need_init)
{
    EXPECT_EQ(run_with(snp_config, std::array<std::uint64_t, 8>{}), invalid_platform_state);
    EXPECT_EQ(run_with(snp_commit, 4u), invalid_platform_state);
    snp_up();
    EXPECT_EQ(run_with(snp_commit, 4u), success);
    EXPECT_EQ(run_with(snp_commit, 5u), invalid_length);
}

} // namespace
} // namespace rmpopt::hw
