// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/guest_msr.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

TEST(guest_msr, exist_by_the_kind_of_guest)
{
    EXPECT_EQ(guest_msr_of(0xc0010131, false), guest_msr::sev_status);
    EXPECT_EQ(guest_msr_of(0xc0010131, true), guest_msr::sev_status);
    EXPECT_EQ(guest_msr_of(0xc0010130, true), guest_msr::ghcb);
    EXPECT_EQ(guest_msr_of(0xc0010130, false), guest_msr::none);
    EXPECT_EQ(guest_msr_of(0xc0010132, true), guest_msr::none);
    EXPECT_EQ(guest_msr_of(0xc0010117, true), guest_msr::none);
}

TEST(guest_msr, sev_status_shows_the_features_of_the_vmsa)
{
    EXPECT_EQ(sev_status_of_guest(false, 0), 1u);
    EXPECT_EQ(sev_status_of_guest(false, 1), 1u) << "a guest without VMSA has no features";
    EXPECT_EQ(sev_status_of_guest(true, 0), 3u);
    EXPECT_EQ(sev_status_of_guest(true, 1), 7u);
    EXPECT_EQ(sev_status_of_guest(true, 1 | 1 << 5), 7u | 1 << 7) << "debug swap";
}

} // namespace rmpopt::hw
