// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/firmware_events.h"

#include <gtest/gtest.h>

namespace rmpopt
{
namespace
{

using nlohmann::json;

class firmware_events_test : public testing::Test
{
  protected:
    void run(hw::firmware_command c, std::vector<hw::guest_event> guests = {},
             std::uint16_t status = 0)
    {
        events.executed(static_cast<std::uint16_t>(c),
                        {.status = status, .guests = std::move(guests)});
    }
    std::vector<std::string> told() const
    {
        std::vector<std::string> out;
        for (const auto &[type, fields] : lines) {
            out.push_back(type == "psp" ? fields["command"].get<std::string>() + "*" +
                                              std::to_string(fields["count"].get<int>())
                                        : fields["action"].get<std::string>());
        }
        return out;
    }

    std::vector<std::pair<std::string, json>> lines;
    firmware_events events{[this](std::string_view type, const nlohmann::ordered_json &fields) {
        lines.emplace_back(type, json(fields));
    }};
};

using words = std::vector<std::string>;
using hw::firmware_command;
using kind = hw::guest_event::kind;

TEST_F(firmware_events_test, EqualCommandsInARowAreOne)
{
    for (int i = 0; i < 3; ++i) {
        run(firmware_command::snp_launch_update);
    }
    EXPECT_TRUE(lines.empty()) << "held back";
    run(firmware_command::snp_launch_update, {}, 5);
    run(firmware_command::snp_df_flush);
    events.flush();
    events.flush();
    EXPECT_EQ(told(), (words{"SNP_LAUNCH_UPDATE*3", "SNP_LAUNCH_UPDATE*1", "SNP_DF_FLUSH*1"}));
    EXPECT_EQ(lines[1].second["status"], 5);
}

TEST_F(firmware_events_test, LifeOfAGuest)
{
    run(firmware_command::snp_gctx_create, {{.what = kind::created, .context = 0x5000}});
    run(firmware_command::snp_activate, {{.what = kind::activated, .context = 0x5000, .asid = 7}});
    run(firmware_command::snp_launch_finish,
        {{.what = kind::launched, .context = 0x5000, .asid = 7}});
    run(firmware_command::snp_guest_status);
    run(firmware_command::snp_decommission, {{.what = kind::ended, .context = 0x5000, .asid = 7}});
    EXPECT_EQ(told(),
              (words{"SNP_GCTX_CREATE*1", "created", "SNP_ACTIVATE*1", "SNP_LAUNCH_FINISH*1",
                     "launched", "SNP_GUEST_STATUS*1", "SNP_DECOMMISSION*1", "ended"}));
    EXPECT_EQ(lines.back().second,
              json::parse(R"({"action":"ended","context":"0x5000","asid":7})"));
    EXPECT_EQ(events.launched(), 1u);
    EXPECT_EQ(events.ended(), 1u);
}

TEST_F(firmware_events_test, AResetEndsGuests)
{
    run(firmware_command::snp_launch_finish,
        {{.what = kind::launched, .context = 0x5000, .asid = 7}});
    events.reset({.guests = {{.what = kind::ended, .context = 0x5000, .asid = 7}}});
    EXPECT_EQ(told(), (words{"SNP_LAUNCH_FINISH*1", "launched", "ended"}));
    EXPECT_EQ(events.ended(), 1u);
}

} // namespace
} // namespace rmpopt
