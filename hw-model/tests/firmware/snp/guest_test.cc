// SPDX-License-Identifier: GPL-2.0-or-later
// Contexts and ASIDs of guests, from SNP_GCTX_CREATE to SNP_DECOMMISSION.
#include "snp_guest_fixture.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

using snp_guests = snp_guest_fixture;

/// Commands on a guest, all of which look for it first.
constexpr std::array guest_commands{
    snp_decommission,  snp_activate,      snp_guest_status, snp_guest_request, snp_launch_start,
    snp_launch_update, snp_launch_finish, snp_dbg_decrypt,  snp_dbg_encrypt,   snp_page_move};

TEST_F(snp_guests, commands_need_init)
{
    ASSERT_EQ(shutdown_ex(0), success);
    for (const firmware_command c : guest_commands) {
        EXPECT_EQ(run_with(c, context), invalid_platform_state)
            << firmware_command_name(std::uint16_t(c));
    }
    for (const firmware_command c : {snp_gctx_create, snp_activate_ex, snp_page_unsmash,
                                     snp_page_md_init, snp_page_set_state, snp_vlek_load}) {
        EXPECT_EQ(run_with(c, context), invalid_platform_state)
            << firmware_command_name(std::uint16_t(c));
    }
}

TEST_F(snp_guests, commands_need_a_context_page)
{
    make_context();
    for (const firmware_command c : guest_commands) {
        const auto name = firmware_command_name(std::uint16_t(c));
        EXPECT_EQ(run_with(c, context + 8), invalid_address) << name << ": inside the page";
        EXPECT_EQ(run_with(c, uncovered), invalid_address) << name << ": no RMP entry";
        EXPECT_EQ(run_with(c, low.end()), invalid_address) << name << ": MMIO";
        EXPECT_EQ(run_with(c, other_context), invalid_guest) << name << ": hypervisor's";
        EXPECT_EQ(run_with(c, rmp_base), invalid_guest) << name << ": the RMP";
    }
}

TEST_F(snp_guests, commands_of_swapping_are_unsupported)
{
    for (const firmware_command c : {snp_page_swap_out, snp_page_swap_in}) {
        EXPECT_EQ(run_with(c, context), unsupported);
        EXPECT_EQ(run(c, low.end() - 64), 0x15) << "a buffer of 64 bytes";
        EXPECT_EQ(run(c, low.end() - 63), 0x09);
    }
}

TEST_F(snp_guests, create_turns_a_firmware_page_into_a_context_page)
{
    make_firmware(context);
    EXPECT_EQ(create(context | 1ull << 51), success) << "the C-bit is no part of the address";
    EXPECT_EQ(state(context), page_state::context);
    ASSERT_TRUE(guests().contains(context));
    EXPECT_EQ(guests().size(), 1u);
    EXPECT_EQ(guest().asid, 0u);
    EXPECT_EQ(guest().state, snp_guest_state::init);
}

TEST_F(snp_guests, create_takes_free_firmware_pages_of_4_kb_only)
{
    EXPECT_EQ(create(context), invalid_page_state) << "hypervisor's";
    EXPECT_EQ(create(context + 1), invalid_address);
    EXPECT_EQ(create(low.end()), invalid_address);
    EXPECT_EQ(create(segment), invalid_page_state) << "the RMP";
    make_tmr_firmware();
    ASSERT_EQ(platform_init_es(tmr, page_2m), success);
    EXPECT_EQ(create(tmr), invalid_page_state) << "trusted memory region";
    make_firmware(page_2mb, true);
    EXPECT_EQ(create(page_2mb), invalid_page_size);
    EXPECT_EQ(create(page_2mb + page_4k), invalid_page_size);
    make_context();
    EXPECT_EQ(create(context), invalid_page_state) << "twice";
    EXPECT_EQ(guests().size(), 1u);
}

TEST_F(snp_guests, context_pages_are_nobody_elses)
{
    make_context();
    EXPECT_EQ(reclaim(context), invalid_page_state);
    rmp_changes fx;
    EXPECT_NE(rmpupdate(*m, context, rmp_record{}, fx), rmp_status::success);
    EXPECT_EQ(run_with(snp_platform_status, context), invalid_page_state);
}

TEST_F(snp_guests, activate_gives_an_asid)
{
    make_context();
    ASSERT_EQ(start(context), success);
    EXPECT_EQ(activate(context), success);
    EXPECT_EQ(guest().asid, asid);
    EXPECT_EQ(activate(context, asid + 1), active) << "twice";
    EXPECT_EQ(guest().asid, asid);
}

TEST_F(snp_guests, activate_needs_a_launch)
{
    make_context();
    EXPECT_EQ(activate(context), invalid_guest_state);
}

TEST_F(snp_guests, activate_takes_asids_up_to_max_snp_asid_with_ciphertext_hiding)
{
    snp_down();
    ASSERT_EQ(init_hiding(9), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    make_context();
    ASSERT_EQ(start(context), success);
    EXPECT_EQ(activate(context, 10), invalid_asid);
    EXPECT_EQ(activate(context, 9), success);
}

TEST_F(snp_guests, activate_takes_asids_for_encrypted_state_only)
{
    make_context();
    ASSERT_EQ(start(context), success);
    const std::uint32_t limit = m->cpu().min_sev_asid;
    for (const std::uint32_t bad : {0u, limit, m->cpu().asids, 1024u, ~0u}) {
        EXPECT_EQ(activate(context, bad), invalid_asid) << bad;
    }
    EXPECT_EQ(activate(context, limit - 1), success);
    make_context(other_context);
    ASSERT_EQ(start(other_context), success);
    EXPECT_EQ(activate(other_context, 1), success);
}

TEST_F(snp_guests, an_asid_has_one_owner)
{
    launch();
    make_context(other_context);
    ASSERT_EQ(start(other_context), success);
    EXPECT_EQ(activate(other_context, asid), asid_owned);
    EXPECT_EQ(activate(other_context, asid + 1), success);
}

TEST_F(snp_guests, an_asid_of_a_former_guest_waits_for_a_flush)
{
    launch();
    ASSERT_EQ(decommission(context), success);
    make_context(other_context);
    ASSERT_EQ(start(other_context), success);
    EXPECT_EQ(activate(other_context), df_flush_required);
    EXPECT_EQ(shutdown_ex(0), df_flush_required);
    ASSERT_EQ(status_of(snp_df_flush), success);
    EXPECT_EQ(activate(other_context), success);
}

TEST_F(snp_guests, all_asids_wait_for_the_first_flush)
{
    ASSERT_EQ(shutdown_ex(0), success);
    ASSERT_EQ(init_ex(1), success);
    make_context();
    ASSERT_EQ(start(context), success);
    EXPECT_EQ(activate(context, 1), df_flush_required);
}

TEST_F(snp_guests, an_asid_with_pages_is_not_given)
{
    pre_guest(page);
    make_context();
    ASSERT_EQ(start(context), success);
    EXPECT_EQ(activate(context), invalid_config);
    ASSERT_EQ(reclaim(page), success);
    rmp_changes fx;
    ASSERT_EQ(rmpupdate(*m, page, rmp_record{}, fx), rmp_status::success);
    EXPECT_EQ(activate(context), success);
}

TEST_F(snp_guests, a_flush_waits_for_all_cores_after_decommission)
{
    fw = std::make_unique<firmware>(*m, firmware::settings{.tracks_wbinvd = true});
    ASSERT_EQ(init_ex(1), success);
    fw->note_wbinvd(0);
    fw->note_wbinvd(1);
    ASSERT_EQ(status_of(snp_df_flush), success);
    launch();
    ASSERT_EQ(status_of(snp_df_flush), success) << "a running guest asks for nothing";
    ASSERT_EQ(decommission(context), success);
    fw->note_wbinvd(0);
    EXPECT_EQ(status_of(snp_df_flush), wbinvd_required);
    fw->note_wbinvd(1);
    EXPECT_EQ(status_of(snp_df_flush), success);
    make_context(other_context);
    ASSERT_EQ(decommission(other_context), success);
    EXPECT_EQ(status_of(snp_df_flush), success) << "it never had an ASID";
}

TEST_F(snp_guests, activate_ex_is_activate_with_a_list_of_cores)
{
    make_context();
    ASSERT_EQ(start(context), success);
    const auto ex = [this](std::uint32_t len, std::uint32_t rsvd, std::uint32_t count, spa_t list) {
        return run_with(snp_activate_ex, len, rsvd, context, asid, count, list);
    };
    EXPECT_EQ(ex(28, 0, 1, output_page), invalid_length);
    EXPECT_EQ(ex(32, 1, 1, output_page), invalid_param);
    EXPECT_EQ(ex(32, 0, 0, output_page), invalid_param);
    EXPECT_EQ(ex(32, 0, 1025, output_page), invalid_param);
    EXPECT_EQ(ex(32, 0, 2, low.end() - 4), invalid_address);
    EXPECT_EQ(guest().asid, 0u);
    EXPECT_EQ(ex(32, 0, 1024, output_page), success);
    EXPECT_EQ(guest().asid, asid);
    EXPECT_EQ(ex(32, 0, 1, output_page), active);
    EXPECT_EQ(run_with(snp_activate_ex, 32u, 0u, page, asid, 1u, output_page), invalid_guest);
}

TEST_F(snp_guests, decommission_gives_the_context_page_back)
{
    launch();
    EXPECT_EQ(decommission(context), success);
    EXPECT_EQ(entry(context), firmware_entry());
    EXPECT_TRUE(guests().empty());
    EXPECT_EQ(decommission(context), invalid_guest);
    EXPECT_EQ(reclaim(context), success);
    make_context(other_context);
    EXPECT_EQ(decommission(other_context), success) << "never launched";
}

TEST_F(snp_guests, shutdown_waits_for_active_guests)
{
    launch();
    EXPECT_EQ(shutdown_ex(0), active);
    EXPECT_EQ(guests().size(), 1u);
    ASSERT_EQ(decommission(context), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    EXPECT_EQ(shutdown_ex(0), success);
}

TEST_F(snp_guests, shutdown_ends_guests_without_asid)
{
    make_context();
    ASSERT_EQ(start(context), success);
    EXPECT_EQ(shutdown_ex(0), success);
    EXPECT_EQ(state(context), page_state::firmware);
    EXPECT_TRUE(guests().empty());
    ASSERT_EQ(init_ex(0), success);
    EXPECT_EQ(start(context), invalid_guest);
}

TEST_F(snp_guests, reset_forgets_all)
{
    launch();
    fw->reset();
    EXPECT_TRUE(guests().empty());
    ASSERT_EQ(init_ex(1), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    launch();
}

TEST_F(snp_guests, platform_status_counts_guests)
{
    launch();
    make_context(other_context);
    make_firmware(output_page);
    ASSERT_EQ(run_with(snp_platform_status, output_page), success);
    EXPECT_EQ(load<std::uint32_t>(output_page + 12), 2u);
    EXPECT_EQ(fw->snapshot().guests, 2u);
}

TEST_F(snp_guests, snapshot_counts_commands)
{
    make_context();
    create(context);
    fw->execute(0x777, 0);
    const auto by_command = fw->snapshot().by_command;
    EXPECT_EQ(by_command.at(0x93), 2u);
    EXPECT_FALSE(by_command.contains(0x777)) << "no command";
    EXPECT_FALSE(by_command.contains(0xa0));
}

TEST_F(snp_guests, status_tells_policy_asid_and_state)
{
    launch();
    make_firmware(output_page);
    ASSERT_EQ(run_with(snp_guest_status, context, output_page), success);
    EXPECT_EQ(load<std::uint64_t>(output_page), policy);
    EXPECT_EQ(load<std::uint32_t>(output_page + 8), asid);
    EXPECT_EQ(load<std::uint8_t>(output_page + 12), 1);
    EXPECT_EQ(state(output_page), page_state::reclaim);
}

TEST_F(snp_guests, status_goes_to_firmware_pages_only)
{
    launch();
    const auto status = [this](spa_t to) { return run_with(snp_guest_status, context, to); };
    EXPECT_EQ(status(output_page), invalid_page_state) << "hypervisor's";
    EXPECT_EQ(status(context), invalid_page_state);
    EXPECT_EQ(status(segment), invalid_page_state);
    EXPECT_EQ(status(low.end()), invalid_address);
    make_firmware(output_page);
    make_firmware(output_page + page_4k);
    EXPECT_EQ(status(output_page + page_4k - 16), invalid_address) << "across two pages";
    EXPECT_TRUE(memory_is_zero(output_page, 2 * page_4k));
}

/// The commands and RMP updates of KVM (Linux 7.3, arch/x86/kvm/svm/sev.c), in its order.
TEST_F(snp_guests, lives_and_ends_as_under_kvm)
{
    constexpr spa_t vmsa_page = 0x30000;
    const auto share = [this](spa_t at) {
        rmp_changes fx;
        return rmpupdate(*m, at, rmp_record{}, fx);
    };
    launch();
    pre_guest(page);
    ASSERT_EQ(update(normal, page), success);
    pre_guest(vmsa_page, 0xfffffffff000);
    ASSERT_EQ(update(vmsa, vmsa_page), success);
    ASSERT_EQ(finish(context), success);
    EXPECT_EQ(share(vmsa_page), rmp_status::success) << "guest pages are not immutable";
    ASSERT_EQ(decommission(context), success);
    ASSERT_EQ(reclaim(context), success);
    EXPECT_EQ(share(context), rmp_status::success);
    EXPECT_EQ(share(page), rmp_status::success) << "guest memory may outlive the guest";
    ASSERT_EQ(status_of(snp_df_flush), success);
    EXPECT_EQ(shutdown_ex(1), success);
    for (const spa_t at : {context, page, vmsa_page}) {
        EXPECT_EQ(state(at), page_state::hypervisor);
    }
}

TEST_F(snp_guests, a_launch_that_failed_is_cleaned_up_as_under_kvm)
{
    make_context();
    ASSERT_EQ(start(context, 0x20000), policy_failure);
    EXPECT_EQ(decommission(context), success);
    EXPECT_EQ(reclaim(context), success);
    EXPECT_EQ(shutdown_ex(0), success) << "no ASID was used";
}

} // namespace
} // namespace rmpopt::hw
