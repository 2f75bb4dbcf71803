// SPDX-License-Identifier: GPL-2.0-or-later
// SEV and SEV-ES guests from LAUNCH_START to DECOMMISSION: handles, ASIDs, platform states.
#include "sev_fixture.h"

#include <array>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

using sev_guests = sev_fixture;

TEST_F(sev_guests, the_platform_works_from_the_first_guest_to_the_last)
{
    platform_up();
    EXPECT_EQ(phase(), 1);
    const std::uint32_t a = start(sev), b = start(sev);
    EXPECT_EQ(phase(), 2);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), 2u) << "guests";
    EXPECT_NE(a, b);
    EXPECT_EQ(by_handle(decommission, a), success);
    EXPECT_EQ(phase(), 2);
    EXPECT_EQ(by_handle(decommission, b), success);
    EXPECT_EQ(phase(), 1);
}

TEST_F(sev_guests, guest_commands_need_a_guest)
{
    for (const firmware_command c : {activate, deactivate, decommission, guest_status}) {
        EXPECT_EQ(run_with(c, 1u, 100u), invalid_platform_state) << "uninitialised";
    }
    EXPECT_EQ(try_start(sev), invalid_platform_state);
    platform_up();
    for (const firmware_command c : {activate, deactivate, decommission, guest_status}) {
        EXPECT_EQ(run_with(c, 1u, 100u), invalid_platform_state) << "no guest yet";
    }
    const std::uint32_t guest = start(sev);
    for (const firmware_command c : {activate, deactivate, decommission, guest_status}) {
        EXPECT_EQ(run_with(c, 0u, 100u), invalid_guest);
        EXPECT_EQ(run_with(c, guest + 1, 100u), invalid_guest);
        EXPECT_EQ(run_with(c, ~0u, 100u), invalid_guest);
    }
}

TEST_F(sev_guests, while_guests_live_keys_and_flash_stay)
{
    platform_up();
    start(sev);
    EXPECT_EQ(status_of(pek_gen), invalid_platform_state);
    EXPECT_EQ(run_with(pek_cert_import, output_page, 2084u, 0u, output_page, 2084u),
              invalid_platform_state);
    EXPECT_EQ(status_of(factory_reset), invalid_platform_state);
    EXPECT_EQ(run_with(init, 0u, 0u, 0ull, 0u), invalid_platform_state);
    EXPECT_EQ(status_of(pdh_gen), success);
    EXPECT_EQ(run_with(pek_csr, output_page, 2084u), success);
}

TEST_F(sev_guests, status_tells_policy_asid_and_state)
{
    platform_up();
    const std::uint32_t guest = start(no_debug | sev_policy_sev);
    ASSERT_EQ(run_with(activate, guest, 120u), success);
    m->memory().store<std::uint8_t>(command_page + 13, 0xee);
    ASSERT_EQ(by_handle(guest_status, guest), success);
    EXPECT_EQ(load<std::uint32_t>(command_page), guest);
    EXPECT_EQ(load<std::uint32_t>(command_page + 4), no_debug | sev_policy_sev);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), 120u);
    EXPECT_EQ(load<std::uint8_t>(command_page + 12), 1) << "LUPDATE";
    EXPECT_EQ(load<std::uint8_t>(command_page + 13), 0xee);
    ASSERT_EQ(by_handle(deactivate, guest), success);
    ASSERT_EQ(by_handle(guest_status, guest), success);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), 0u);
}

TEST_F(sev_guests, policies_that_cannot_be_kept_are_refused)
{
    platform_up();
    EXPECT_EQ(try_start(es), policy_failure) << "no SEV-ES on this platform";
    EXPECT_EQ(try_start(1u << 6), invalid_param);
    EXPECT_EQ(try_start(1u << 15), invalid_param);
    EXPECT_EQ(try_start(2u << 16), policy_failure) << "API 2.0";
    EXPECT_EQ(try_start(1u << 16 | 59u << 24), policy_failure) << "API 1.59";
    EXPECT_EQ(phase(), 1) << "none started";
    EXPECT_EQ(try_start(1u << 16 | 58u << 24), success);
    EXPECT_EQ(try_start(99u << 24), success) << "API 0.99";
    ASSERT_EQ(status_of(shutdown), success);
    platform_up_es();
    EXPECT_EQ(try_start(es), success);
}

TEST_F(sev_guests, keys_are_shared_with_leave_only)
{
    platform_up();
    const std::uint32_t open = start(sev), closed = start(no_key_sharing);
    EXPECT_EQ(try_start(sev, open), success);
    EXPECT_NE(load<std::uint32_t>(command_page), open) << "a handle of its own";
    EXPECT_EQ(try_start(no_debug, open), policy_failure) << "another policy";
    EXPECT_EQ(try_start(no_key_sharing, closed), policy_failure);
    EXPECT_EQ(try_start(sev, 77), invalid_guest);
    EXPECT_EQ(load<std::uint32_t>(command_page), 77u);
}

TEST_F(sev_guests, owners_sessions_are_checked_for_form)
{
    platform_up();
    const auto start_for = [this](spa_t key, std::uint32_t key_len, spa_t session,
                                  std::uint32_t session_len) {
        return run_with(launch_start, 0u, sev, key, key_len, 0u, session, session_len);
    };
    m->memory().store(output_page, 1u);
    m->memory().store(output_page + 8, 0x1003u);
    EXPECT_EQ(start_for(output_page, 2083, 0x20000, 128), invalid_length);
    EXPECT_EQ(start_for(output_page, 2084, 0x20000, 127), invalid_length);
    EXPECT_EQ(start_for(output_page, 2084, 0, 0), invalid_length);
    EXPECT_EQ(start_for(low.end() - 8, 2084, 0x20000, 128), invalid_address);
    EXPECT_EQ(start_for(output_page, 2084, uncovered, 128), invalid_address);
    EXPECT_EQ(phase(), 1);
    EXPECT_EQ(start_for(output_page, 2084, 0x20000, 128), success);
    m->memory().store(output_page + 8, 0x1002u);
    EXPECT_EQ(start_for(output_page, 2084, 0x20000, 128), invalid_certificate);
}

TEST_F(sev_guests, handles_run_out_and_come_back)
{
    platform_up();
    const unsigned most = m->cpu().asids;
    for (unsigned i = 0; i < most; ++i) {
        ASSERT_EQ(try_start(sev), success);
    }
    EXPECT_EQ(try_start(sev), resource_limit);
    EXPECT_EQ(by_handle(decommission, 5), success);
    EXPECT_EQ(start(sev), 5u);
}

TEST_F(sev_guests, asids_are_of_the_right_kind)
{
    platform_up_es();
    const std::uint32_t plain = start(sev), encrypted = start(es);
    const unsigned min = m->cpu().min_sev_asid, max = m->cpu().asids;
    for (const std::uint32_t bad : std::array<std::uint32_t, 4>{0, min - 1, max + 1, ~0u}) {
        EXPECT_EQ(run_with(activate, plain, bad), invalid_asid) << bad;
    }
    for (const std::uint32_t bad : std::array<std::uint32_t, 4>{0, min, max, ~0u}) {
        EXPECT_EQ(run_with(activate, encrypted, bad), invalid_asid) << bad;
    }
    EXPECT_EQ(run_with(activate, encrypted, min - 1), success);
    EXPECT_EQ(run_with(activate, plain, min), success);
    const std::uint32_t other = start(es), last = start(sev);
    EXPECT_EQ(run_with(activate, other, 1u), success);
    EXPECT_EQ(run_with(activate, last, max), success);
}

TEST_F(sev_guests, an_asid_has_one_owner_and_a_guest_one_asid)
{
    platform_up();
    const std::uint32_t a = start(sev), b = start(sev);
    EXPECT_EQ(run_with(activate, a, 100u), success);
    EXPECT_EQ(run_with(activate, a, 101u), active);
    EXPECT_EQ(run_with(activate, b, 100u), asid_owned);
    EXPECT_EQ(run_with(activate, b, 101u), success);
}

TEST_F(sev_guests, an_active_guest_cannot_be_decommissioned)
{
    platform_up();
    const std::uint32_t guest = start(sev);
    ASSERT_EQ(run_with(activate, guest, 100u), success);
    EXPECT_EQ(by_handle(decommission, guest), active);
    EXPECT_EQ(by_handle(deactivate, guest), success);
    EXPECT_EQ(by_handle(deactivate, guest), success) << "twice is no error";
    EXPECT_EQ(by_handle(decommission, guest), success);
}

TEST_F(sev_guests, the_first_guest_waits_for_a_flush_after_init)
{
    ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    const std::uint32_t guest = start(sev);
    EXPECT_EQ(run_with(activate, guest, 100u), df_flush_required);
    EXPECT_EQ(status_of(df_flush), success);
    EXPECT_EQ(run_with(activate, guest, 100u), success);
}

TEST_F(sev_guests, asids_are_flushed_between_two_guests)
{
    fw = std::make_unique<firmware>(*m, firmware::settings{.tracks_wbinvd = true});
    ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success);
    write_back_caches();
    ASSERT_EQ(status_of(df_flush), success);
    const std::uint32_t a = start(sev), b = start(sev);
    ASSERT_EQ(run_with(activate, a, 100u), success);
    EXPECT_EQ(status_of(df_flush), success) << "nothing was deactivated";
    ASSERT_EQ(by_handle(deactivate, a), success);
    EXPECT_EQ(run_with(activate, b, 100u), df_flush_required);
    EXPECT_EQ(run_with(activate, b, 101u), success) << "another ASID is clean";
    EXPECT_EQ(status_of(df_flush), wbinvd_required);
    write_back_caches();
    EXPECT_EQ(status_of(df_flush), success);
    EXPECT_EQ(run_with(activate, a, 100u), success);
}

TEST_F(sev_guests, shutdown_takes_the_guests_along)
{
    platform_up();
    const std::uint32_t guest = start(sev);
    ASSERT_EQ(run_with(activate, guest, 100u), success);
    ASSERT_EQ(status_of(shutdown), success);
    EXPECT_EQ(phase(), 0);
    platform_up();
    EXPECT_EQ(phase(), 1);
    EXPECT_EQ(by_handle(guest_status, guest), invalid_platform_state);
    EXPECT_EQ(run_with(activate, start(sev), 100u), success);
}

TEST_F(sev_guests, reset_forgets_guests)
{
    platform_up();
    ASSERT_EQ(run_with(activate, start(sev), 100u), success);
    fw->reset();
    EXPECT_EQ(phase(), 0);
    platform_up();
    EXPECT_EQ(phase(), 1);
    EXPECT_EQ(run_with(activate, start(sev), 100u), success);
}

TEST_F(sev_guests, with_snp_answers_need_a_firmware_page)
{
    snp_up();
    platform_up();
    EXPECT_EQ(try_start(sev), invalid_page_state);
    make_firmware(command_page);
    const std::uint32_t guest = start(sev);
    set(command_page, rmp_entry{});
    EXPECT_EQ(by_handle(guest_status, guest), invalid_page_state);
    EXPECT_EQ(run_with(activate, guest, 100u), success) << "answers nothing";
}

} // namespace
} // namespace rmpopt::hw
