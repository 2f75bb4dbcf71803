// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/firmware/common/asids.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{
namespace
{

constexpr asid_owner sev_guest{asid_owner_kind::sev, 3}, snp_guest{asid_owner_kind::snp, 0x5000};

TEST(asid_owners, has_no_owner_and_no_need_at_first)
{
    const asid_owners owners;
    for (std::uint32_t a = 0; a < asid_owners::limit; ++a) {
        EXPECT_TRUE(owners.is_free(a));
        EXPECT_FALSE(owners.needs_flush(a));
    }
    EXPECT_FALSE(owners.any_needs_flush());
}

TEST(asid_owners, keeps_both_kinds_of_guest)
{
    asid_owners owners;
    owners.take(1, snp_guest);
    owners.take(9, sev_guest);
    EXPECT_EQ(owners.owner(1), snp_guest);
    EXPECT_EQ(owners.owner(9), sev_guest);
    EXPECT_FALSE(owners.is_free(1));
    EXPECT_TRUE(owners.is_free(2));
}

TEST(asid_owners, an_asid_given_back_waits_for_a_flush)
{
    asid_owners owners;
    owners.take(1, snp_guest);
    owners.take(2, sev_guest);
    owners.give_back(1);
    EXPECT_TRUE(owners.is_free(1));
    EXPECT_TRUE(owners.needs_flush(1));
    EXPECT_FALSE(owners.needs_flush(2)) << "another's is not concerned";
    EXPECT_TRUE(owners.any_needs_flush());
    owners.flush();
    EXPECT_FALSE(owners.any_needs_flush());
    EXPECT_EQ(owners.owner(2), sev_guest) << "a flush takes nothing away";
}

TEST(asid_owners, all_can_be_made_to_wait)
{
    asid_owners owners;
    owners.require_flush_of_all();
    EXPECT_TRUE(owners.needs_flush(0));
    EXPECT_TRUE(owners.needs_flush(asid_owners::limit - 1));
    owners.reset();
    EXPECT_FALSE(owners.any_needs_flush());
}

} // namespace
} // namespace rmpopt::hw
