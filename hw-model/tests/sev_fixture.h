// SPDX-License-Identifier: GPL-2.0-or-later
// The firmware's fixture with SEV and SEV-ES guests.
#pragma once

#include "firmware_fixture.h"

namespace rmpopt::hw
{

class sev_fixture : public firmware_fixture
{
  protected:
    /// Policies.
    static constexpr std::uint32_t sev = 0, no_debug = 1, no_key_sharing = 2, es = 4,
                                   sev_policy_sev = 1u << 5;

    void platform_up()
    {
        ASSERT_EQ(run_with(firmware_command::init, 0u, 0u, 0ull, 0u), firmware_status::success);
        ASSERT_EQ(status_of(firmware_command::df_flush), firmware_status::success);
    }
    void platform_up_es()
    {
        ASSERT_EQ(platform_init_es(tmr, page_2m), firmware_status::success);
        ASSERT_EQ(status_of(firmware_command::df_flush), firmware_status::success);
    }
    firmware_status try_start(std::uint32_t policy, std::uint32_t handle = 0)
    {
        return run_with(firmware_command::launch_start, handle, policy, 0ull, 0u, 0u, 0ull, 0u);
    }
    std::uint32_t start(std::uint32_t policy)
    {
        EXPECT_EQ(try_start(policy), firmware_status::success);
        return load<std::uint32_t>(command_page);
    }
    firmware_status by_handle(firmware_command command, std::uint32_t handle)
    {
        return run_with(command, handle);
    }
    /// Of the platform; leaves the whole status in the command buffer.
    unsigned phase()
    {
        EXPECT_EQ(run(firmware_command::platform_status, command_page), 0);
        return load<std::uint8_t>(command_page + 2);
    }
    void write_back_caches()
    {
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            fw->note_wbinvd(t);
        }
    }
};

} // namespace rmpopt::hw
