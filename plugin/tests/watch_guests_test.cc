// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch_fixture.h"

namespace rmpopt
{
namespace
{

using list = std::vector<std::string>;
using kind = guest_page_event::kind;

class watch_guests_test : public watch_fixture
{
  protected:
    void does(kind what, std::uint32_t asid = 7, std::uint64_t gpa = 0x5000)
    {
        w->guest_page({.what = what,
                       .cpu = 1,
                       .asid = asid,
                       .gpa = gpa,
                       .spa = low_2m,
                       .rip = 0xffffffff81000000});
    }
};

} // namespace

TEST_F(watch_guests_test, each_rule_has_its_finding)
{
    bring_up();
    EXPECT_EQ(ids(), list{});
    does(kind::validated_again);
    EXPECT_EQ(only().what,
              "the guest with ASID 7 validates a page that is validated: guest address "
              "0x5000, the guest's RIP 0xffffffff81000000");
    EXPECT_EQ(only().cpu, 1u);
    EXPECT_EQ(only().spa, low_2m);
    EXPECT_FALSE(only().rip.has_value()) << "it would get a name of the host's";
    does(kind::not_validated);
    does(kind::shared_access);
    does(kind::shared_request);
    EXPECT_EQ(ids(), (list{"guest-validates-twice", "guest-unvalidated-page", "guest-shared-access",
                           "guest-shares-validated"}));
}

TEST_F(watch_guests_test, a_guest_is_told_of_once)
{
    bring_up();
    does(kind::shared_access);
    does(kind::shared_access, 7, 0x6000);
    EXPECT_EQ(only().count, 2u);
    does(kind::shared_access, 8);
    EXPECT_EQ(ids(), (list{"guest-shared-access", "guest-shared-access"}));
}

} // namespace rmpopt
