// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/firmware/common/asids.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{
namespace
{

TEST(asid_pool, is_free_and_needs_nothing_at_first)
{
    const asid_pool pool;
    for (std::uint32_t a = 0; a < asid_pool::limit; ++a) {
        EXPECT_TRUE(pool.is_free(a));
        EXPECT_FALSE(pool.needs_flush(a));
    }
    EXPECT_FALSE(pool.any_needs_flush());
}

TEST(asid_pool, an_asid_given_back_waits_for_a_flush)
{
    asid_pool pool;
    pool.take(1);
    pool.take(2);
    EXPECT_FALSE(pool.is_free(1) || pool.is_free(2));
    EXPECT_TRUE(pool.is_free(0) && pool.is_free(3));
    pool.give_back(1);
    EXPECT_TRUE(pool.is_free(1));
    EXPECT_TRUE(pool.needs_flush(1));
    EXPECT_FALSE(pool.needs_flush(2)) << "another's is not concerned";
    EXPECT_TRUE(pool.any_needs_flush());
    pool.flush();
    EXPECT_FALSE(pool.any_needs_flush());
    EXPECT_FALSE(pool.is_free(2)) << "a flush takes nothing away";
}

TEST(asid_pool, all_can_be_made_to_wait)
{
    asid_pool pool;
    pool.require_flush_of_all();
    EXPECT_TRUE(pool.needs_flush(0));
    EXPECT_TRUE(pool.needs_flush(asid_pool::limit - 1));
    pool.flush();
    EXPECT_FALSE(pool.any_needs_flush());
}

} // namespace
} // namespace rmpopt::hw
