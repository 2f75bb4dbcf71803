// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/vmexit.h"

#include <gtest/gtest.h>
#include <limits>
#include <set>

namespace rmpopt::hw
{

/// APM vol. 2, table 15-34, by the codes themselves.
TEST(vmexit, few_exits_are_automatic)
{
    std::set<std::uint64_t> automatic{0x52, 0x60, 0x61, 0x63, 0x64,  0x77, 0x78,
                                      0x7f, 0x8f, 0xa5, 0xa6, 0x400, 0x403};
    for (std::uint64_t trap = 0x90; trap <= 0x9f; ++trap) {
        automatic.insert(trap);
    }
    for (std::uint64_t code = 0; code < 0x800; ++code) {
        EXPECT_EQ(class_of_exit(code, 0),
                  automatic.contains(code) ? exit_class::automatic : exit_class::vmm_communication)
            << std::hex << code;
    }
}

TEST(vmexit, failures_of_vmrun_are)
{
    for (const std::int64_t code : {-1l, -2l, -3l, -4l, std::numeric_limits<std::int64_t>::min()}) {
        EXPECT_EQ(class_of_exit(static_cast<std::uint64_t>(code), 0), exit_class::automatic);
    }
}

TEST(vmexit, a_nested_fault_on_reserved_bits_is_the_guests)
{
    EXPECT_EQ(class_of_exit(0x400, 0x10000000d), exit_class::vmm_communication);
    EXPECT_EQ(class_of_exit(0x400, 0x100000005), exit_class::automatic);
    EXPECT_EQ(class_of_exit(0x60, 0x8), exit_class::automatic) << "EXITINFO1 means nothing there";
}

} // namespace rmpopt::hw
