// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/vmexit.h"

#include <gtest/gtest.h>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

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

TEST(vmexit, exits_have_names)
{
    const std::vector<std::pair<std::uint64_t, std::string>> names{
        {0x00, "CR0_READ"},
        {0x13, "CR3_WRITE"},
        {0x27, "DR7_READ"},
        {0x37, "DR7_WRITE"},
        {0x4e, "EXCP14"},
        {0x60, "INTR"},
        {0x64, "VINTR"},
        {0x6e, "RDTSC"},
        {0x72, "CPUID"},
        {0x77, "PAUSE"},
        {0x78, "HLT"},
        {0x7b, "IOIO"},
        {0x7c, "MSR"},
        {0x7f, "SHUTDOWN"},
        {0x81, "VMMCALL"},
        {0x87, "RDTSCP"},
        {0x89, "WBINVD"},
        {0x8a, "MONITOR"},
        {0x8d, "XSETBV"},
        {0x8f, "EFER_WRITE_TRAP"},
        {0x94, "CR4_WRITE_TRAP"},
        {0xa0, "INVLPGB"},
        {0xa5, "BUSLOCK"},
        {0xa6, "IDLE_HLT"},
        {0x400, "NPF"},
        {0x403, "VMGEXIT"},
        {0x404, "PAGE_NOT_VALIDATED"},
        {~0ull, "INVALID"},
        {~0ull - 1, "BUSY"},
        {0xa7, "0xa7"},
        {0x405, "0x405"},
        {1ull << 63, "0x8000000000000000"}};
    for (const auto &[code, name] : names) {
        EXPECT_EQ(exit_name(code), name);
    }
}

TEST(vmexit, names_are_unique)
{
    std::set<std::string> seen;
    for (std::uint64_t code = 0; code < 0x800; ++code) {
        EXPECT_TRUE(seen.insert(exit_name(code)).second) << std::hex << code;
    }
}

} // namespace rmpopt::hw
