// SPDX-License-Identifier: GPL-2.0-or-later
// What a command tells of what it did. The fixture compares every result with the state before and
// after; here are the cases by name, and what only the result says.
#include "snp_guest_fixture.h"

namespace rmpopt::hw
{
namespace
{

using firmware_results = snp_guest_fixture;
using enum guest_event::kind;

/// The one event of the last command.
guest_event only(const firmware_result &r)
{
    EXPECT_EQ(r.guests.size(), 1u);
    return r.guests.empty() ? guest_event{} : r.guests.front();
}

TEST_F(firmware_results, tells_each_step_of_a_guest)
{
    make_context();
    EXPECT_EQ(only(result), (guest_event{created, context, 0}));
    ASSERT_EQ(start(context), firmware_status::success);
    EXPECT_TRUE(result.guests.empty());
    ASSERT_EQ(activate(context), firmware_status::success);
    EXPECT_EQ(only(result), (guest_event{activated, context, asid}));
    ASSERT_EQ(finish(context), firmware_status::success);
    EXPECT_EQ(only(result), (guest_event{launched, context, asid}));
    ASSERT_EQ(decommission(context), firmware_status::success);
    EXPECT_EQ(only(result), (guest_event{ended, context, asid}));
}

TEST_F(firmware_results, names_the_guest_that_a_list_of_cores_activated)
{
    make_context();
    ASSERT_EQ(start(context), firmware_status::success);
    ASSERT_EQ(run_with(firmware_command::snp_activate_ex, 32u, 0u, context, asid, 1u,
                       std::uint64_t{output_page}),
              firmware_status::success);
    EXPECT_EQ(only(result), (guest_event{activated, context, asid}));
}

TEST_F(firmware_results, tells_the_end_of_all_guests_at_shutdown)
{
    make_context();
    make_context(other_context);
    ASSERT_EQ(shutdown_ex(0), firmware_status::success);
    ASSERT_EQ(result.guests.size(), 2u);
    EXPECT_EQ(result.guests[0], (guest_event{ended, context, 0}));
    EXPECT_EQ(result.guests[1], (guest_event{ended, other_context, 0}));
    EXPECT_EQ(result.snp_init, false);
}

TEST_F(firmware_results, tells_the_end_of_all_guests_at_reset)
{
    launch();
    make_context(other_context);
    make_tmr_firmware();
    ASSERT_EQ(platform_init_es(tmr, page_2m), firmware_status::success);
    result = fw->reset();
    ASSERT_EQ(result.guests.size(), 2u);
    EXPECT_EQ(result.guests[0], (guest_event{ended, context, asid}));
    EXPECT_EQ(result.guests[1], (guest_event{ended, other_context, 0}));
    EXPECT_EQ(result.snp_init, false);
    ASSERT_TRUE(result.own_memory.has_value());
    EXPECT_EQ(std::ranges::find(*result.own_memory, spa_range{tmr, page_2m}),
              result.own_memory->end());
    EXPECT_TRUE(fw->reset().guests.empty());
}

TEST_F(firmware_results, tells_nothing_of_a_command_that_fails)
{
    launch();
    ASSERT_EQ(activate(context), firmware_status::active);
    EXPECT_EQ(result.status, static_cast<std::uint16_t>(firmware_status::active));
    EXPECT_TRUE(result.guests.empty() && result.reclaimed.empty() &&
                result.rmp_changes.ranges().empty());
    EXPECT_FALSE(result.snp_init.has_value() || result.own_memory.has_value());
}

TEST_F(firmware_results, tells_when_snp_is_initialised_and_shut_down)
{
    ASSERT_EQ(shutdown_ex(0), firmware_status::success);
    EXPECT_EQ(result.snp_init, false);
    EXPECT_TRUE(result.own_memory.has_value());
    ASSERT_EQ(shutdown_ex(0), firmware_status::success); // again: nothing to do
    EXPECT_FALSE(result.snp_init.has_value() || result.own_memory.has_value());
    ASSERT_EQ(status_of(firmware_command::snp_init), firmware_status::success);
    EXPECT_EQ(result.snp_init, true);
    EXPECT_TRUE(result.own_memory.has_value());
}

TEST_F(firmware_results, tells_the_trusted_memory_region)
{
    make_tmr_firmware();
    ASSERT_EQ(platform_init_es(tmr, page_2m), firmware_status::success);
    ASSERT_TRUE(result.own_memory.has_value());
    EXPECT_NE(std::ranges::find(*result.own_memory, spa_range{tmr, page_2m}),
              result.own_memory->end());
    ASSERT_EQ(status_of(firmware_command::shutdown), firmware_status::success);
    ASSERT_TRUE(result.own_memory.has_value());
    EXPECT_EQ(std::ranges::find(*result.own_memory, spa_range{tmr, page_2m}),
              result.own_memory->end());
}

TEST_F(firmware_results, tells_the_pages_that_are_handed_back)
{
    make_firmware(page);
    ASSERT_EQ(reclaim(page), firmware_status::success);
    EXPECT_EQ(result.reclaimed, (std::vector{spa_range{page, page_4k}}));
    ASSERT_EQ(reclaim(page), firmware_status::success); // it was already
    EXPECT_TRUE(result.reclaimed.empty());

    make_firmware(page_2mb, true);
    ASSERT_EQ(reclaim(page_2mb | 1), firmware_status::success);
    EXPECT_EQ(result.reclaimed, (std::vector{spa_range{page_2mb, page_2m}}));

    make_firmware(other_page); // takes a status
    ASSERT_EQ(run_with(firmware_command::snp_platform_status, other_page + 0x100),
              firmware_status::success);
    EXPECT_EQ(result.reclaimed, (std::vector{spa_range{other_page, page_4k}}));
}

TEST_F(firmware_results, tells_the_iommu_buffers_that_shutdown_hands_back)
{
    ASSERT_EQ(shutdown_ex(0), firmware_status::success);
    m->set_iommu({.buffers = {{page, page_2m}}});
    ASSERT_EQ(status_of(firmware_command::snp_init), firmware_status::success);
    EXPECT_NE(std::ranges::find(*result.own_memory, spa_range{page, page_2m}),
              result.own_memory->end());
    ASSERT_EQ(status_of(firmware_command::snp_df_flush), firmware_status::success);
    ASSERT_EQ(shutdown_ex(1), firmware_status::success);
    EXPECT_EQ(result.reclaimed.size(), page_2m / page_4k);
}

TEST_F(firmware_results, tells_iommu_buffers_that_overlap_or_touch_as_one)
{
    ASSERT_EQ(shutdown_ex(0), firmware_status::success);
    m->set_iommu({.buffers = {{page + page_4k, 2 * page_4k},
                              {page, 2 * page_4k},
                              {page + 3 * page_4k, page_4k}}});
    ASSERT_EQ(status_of(firmware_command::snp_init), firmware_status::success);
    EXPECT_EQ(result.own_memory->back(), (spa_range{page, 4 * page_4k}));
    EXPECT_EQ(result.own_memory->size(), m->rmp().table_memory().size() + 1);
}

} // namespace
} // namespace rmpopt::hw
