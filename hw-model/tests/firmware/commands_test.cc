// SPDX-License-Identifier: GPL-2.0-or-later
#include "firmware_fixture.h"
#include <algorithm>

#include <array>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

using firmware_commands = firmware_fixture;

TEST_F(firmware_commands, unknown_commands_are_invalid)
{
    for (const unsigned command : {0x00u, 0x0eu, 0x7fu, 0x82u, 0xffu, 0x7ffu, 0xffffu}) {
        const firmware_result r = fw->execute(static_cast<std::uint16_t>(command), 0);
        EXPECT_EQ(r.status, 0x11) << command;
        EXPECT_TRUE(r.rmp_changes.ranges().empty()) << command;
    }
    EXPECT_EQ(firmware_command_name(0x82), "unknown");
    EXPECT_EQ(firmware_command_name(0x85), "SNP_INIT_EX");
}

TEST_F(firmware_commands, counts_commands_and_failures)
{
    run(platform_status, command_page);
    run(df_flush);
    const firmware_snapshot s = fw->snapshot();
    EXPECT_EQ(s.commands, 2u);
    EXPECT_EQ(s.failed, 1u);
    EXPECT_EQ(s.last_command, 0x0a);
    EXPECT_EQ(s.last_status, 1);
}

TEST_F(firmware_commands, status_tells_version_and_state)
{
    ASSERT_EQ(run(platform_status, command_page), 0);
    EXPECT_EQ(load<std::uint8_t>(command_page), 1);
    EXPECT_EQ(load<std::uint8_t>(command_page + 1), 58);
    EXPECT_EQ(load<std::uint8_t>(command_page + 2), 0);
    EXPECT_EQ(load<std::uint8_t>(command_page + 7), 5);
    ASSERT_EQ(platform_init_es(tmr, 2 * mb), success);
    ASSERT_EQ(run(platform_status, command_page), 0);
    EXPECT_EQ(load<std::uint8_t>(command_page + 2), 1);
    EXPECT_EQ(load<std::uint8_t>(command_page + 4), 1) << "SEV-ES configured";
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), 0u) << "guests";
}

TEST_F(firmware_commands, status_ignores_the_c_bit)
{
    EXPECT_EQ(run(platform_status, command_page | 1ull << 51), 0);
    EXPECT_EQ(load<std::uint8_t>(command_page), 1);
}

TEST_F(firmware_commands, buffers_outside_ram_are_invalid)
{
    for (const spa_t bad : std::array<spa_t, 7>{low.end(), low.end() - 4, high.base - 1, high.end(),
                                                uncovered, ~0ull & ~(1ull << 51), ~0ull - 3}) {
        EXPECT_EQ(static_cast<firmware_status>(run(platform_status, bad)), invalid_address) << bad;
        EXPECT_EQ(static_cast<firmware_status>(run(init, bad)), invalid_address) << bad;
        EXPECT_EQ(static_cast<firmware_status>(run(snp_page_reclaim, bad)), invalid_address) << bad;
    }
    EXPECT_FALSE(fw->snapshot().platform_init);
}

TEST_F(firmware_commands, init_shutdown_init)
{
    EXPECT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    EXPECT_TRUE(fw->snapshot().platform_init);
    EXPECT_EQ(status_of(df_flush), success);
    EXPECT_EQ(run_with(init, 0u, 0u, 0ull, 0u), invalid_platform_state);
    EXPECT_EQ(status_of(shutdown), success);
    EXPECT_FALSE(fw->snapshot().platform_init);
    EXPECT_EQ(status_of(df_flush), invalid_platform_state);
    EXPECT_EQ(status_of(shutdown), success) << "in any state";
    EXPECT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
}

TEST_F(firmware_commands, init_checks_its_operands)
{
    EXPECT_EQ(run_with(init, 2u, 0u, 0ull, 0u), invalid_param);
    EXPECT_EQ(platform_init_es(tmr, 0), invalid_length);
    EXPECT_EQ(platform_init_es(tmr, mb - 1), invalid_length);
    EXPECT_EQ(platform_init_es(tmr + page_4k, mb), invalid_address);
    EXPECT_EQ(platform_init_es(low.end() - mb, 2 * mb), invalid_address) << "leaves RAM";
    EXPECT_EQ(platform_init_es(~0ull << 20, 2 * mb), invalid_address);
    EXPECT_FALSE(fw->snapshot().platform_init);
    EXPECT_EQ(platform_init_es(tmr + mb, mb), success) << "1 MB will do without SNP";
}

TEST_F(firmware_commands, init_waits_for_snp_where_snp_is_enabled)
{
    enable_snp();
    EXPECT_EQ(run_with(init, 0u, 0u, 0ull, 0u), invalid_platform_state);
    ASSERT_EQ(status_of(snp_init), success);
    EXPECT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
}

TEST_F(firmware_commands, with_snp_the_trusted_region_must_be_firmware_owned)
{
    snp_up();
    EXPECT_EQ(platform_init_es(tmr, page_2m), invalid_page_state);
    make_tmr_firmware();
    set(tmr + 5 * page_4k, rmp_entry{});
    EXPECT_EQ(platform_init_es(tmr, page_2m), invalid_page_state) << "one page is missing";
    make_firmware(tmr + 5 * page_4k);
    EXPECT_EQ(platform_init_es(tmr, mb), invalid_length);
    EXPECT_EQ(platform_init_es(tmr + mb, page_2m), invalid_address);
    EXPECT_EQ(platform_init_es(tmr, page_2m), success);
}

TEST_F(firmware_commands, the_trusted_region_cannot_be_the_rmp)
{
    snp_up();
    EXPECT_EQ(platform_init_es(34 * mb, page_2m), invalid_page_state);
}

TEST_F(firmware_commands, get_id_asks_for_room_and_then_fills_it)
{
    EXPECT_EQ(run_with(get_id, output_page, 0u), invalid_length);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), 64u);
    EXPECT_TRUE(memory_is_zero(output_page, 64));
    EXPECT_EQ(run_with(get_id, output_page, 128u), success);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), 64u);
    EXPECT_FALSE(memory_is_zero(output_page, 64));
    EXPECT_TRUE(memory_is_zero(output_page + 64, 64));
}

TEST_F(firmware_commands, get_id_writes_only_to_ram)
{
    EXPECT_EQ(run_with(get_id, low.end() - 32, 64u), invalid_address);
    EXPECT_TRUE(memory_is_zero(low.end() - 32, 32));
    EXPECT_EQ(run_with(get_id, ~0ull, 64u), invalid_address);
}

TEST_F(firmware_commands, outputs_respect_page_owners_once_snp_is_up)
{
    snp_up();
    set(command_page, guest_entry(false, true));
    m->memory().store(command_page, std::array<std::byte, 12>{});
    EXPECT_EQ(static_cast<firmware_status>(run(platform_status, command_page)), invalid_page_state);
    EXPECT_TRUE(memory_is_zero(command_page, 12));
    set(command_page, rmp_entry{});
    EXPECT_EQ(run(platform_status, command_page), 0) << "the hypervisor's";
    EXPECT_EQ(run_with(get_id, output_page, 64u), success) << "both pages are the hypervisor's";
    make_firmware(command_page);
    EXPECT_EQ(run(platform_status, command_page), 0);
    EXPECT_EQ(state(command_page), page_state::firmware) << "until it is reclaimed";
    EXPECT_EQ(reclaim(command_page), success);
}

TEST_F(firmware_commands, outputs_never_reach_the_rmp)
{
    snp_up();
    EXPECT_EQ(static_cast<firmware_status>(run(platform_status, segment)), invalid_page_state);
    EXPECT_EQ(static_cast<firmware_status>(run(platform_status, rmp_base)), invalid_page_state);
    EXPECT_EQ(run_with(get_id, segment + 0x1000, 64u), invalid_page_state);
    EXPECT_EQ(run_with(snp_platform_status, segment), invalid_page_state);
    EXPECT_EQ(run_with(snp_feature_info, 16u, 0u, segment), invalid_page_state);
}

TEST_F(firmware_commands, an_output_that_crosses_into_a_foreign_page_is_refused)
{
    snp_up();
    set(output_page + page_4k, guest_entry(false, true));
    m->memory().store(output_page + page_4k, std::array<std::byte, 32>{});
    EXPECT_EQ(run_with(get_id, output_page + page_4k - 32, 64u), invalid_page_state);
    EXPECT_TRUE(memory_is_zero(output_page + page_4k - 32, 64));
}

TEST_F(firmware_commands, firmware_images_are_refused)
{
    EXPECT_EQ(run_with(download_firmware, output_page, 0u), invalid_length);
    EXPECT_EQ(run_with(download_firmware, low.end() - 64, 128u), invalid_address);
    EXPECT_EQ(run_with(download_firmware, output_page, 4096u), bad_signature);
    ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    EXPECT_EQ(run_with(download_firmware, output_page, 4096u), invalid_platform_state);
}

TEST_F(firmware_commands, own_memory_is_the_rmp_and_what_init_and_snp_init_took)
{
    const auto owns = [this](spa_t spa) {
        return std::ranges::any_of(firmware_inside::own_memory(*fw), [spa](const spa_range &r) {
            return r.overlaps({spa, page_4k});
        });
    };
    EXPECT_TRUE(owns(rmp_base));
    EXPECT_FALSE(owns(tmr));
    ASSERT_EQ(platform_init_es(tmr, 2 * mb), success);
    EXPECT_TRUE(owns(tmr + 2 * mb - 1));
    EXPECT_FALSE(owns(tmr + 2 * mb));
    ASSERT_EQ(status_of(shutdown), success);
    EXPECT_FALSE(owns(tmr));
}

TEST_F(firmware_commands, reset_uninitialises)
{
    snp_up();
    ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    fw->reset();
    const firmware_snapshot s = fw->snapshot();
    EXPECT_FALSE(s.platform_init || s.snp_init || s.rmp_init);
    EXPECT_EQ(status_of(snp_init), success) << "as after power-on";
}

} // namespace
} // namespace rmpopt::hw
