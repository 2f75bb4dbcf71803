// SPDX-License-Identifier: GPL-2.0-or-later
// Each rule of the watch: what provokes a finding, and what looks like it and does not. This file
// has what all rules share: where, when and how often.
#include "watch_fixture.h"

namespace rmpopt
{

namespace
{

using watch_test = watch_fixture;

TEST_F(watch_test, a_good_kernel_gets_no_finding)
{
    bring_up();
    wait(bound * 2);
    launch_guest(7, {64 * mb, region_2 + 64 * mb});
    wait(bound * 2);
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    rmpupdate(0, region_2 + 64 * mb, {});
    wait(10 * guest_second);
    pass({0, 2});
    wait(bound * 2);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, says_when_and_where)
{
    initialise_snp();
    time = 12 * guest_second;
    rmpopt(1, region_2);
    const finding f = only();
    EXPECT_EQ(f.at, 12 * guest_second);
    EXPECT_EQ(f.cpu, 1u);
    EXPECT_EQ(f.rip, rip);
    EXPECT_EQ(f.spa, region_2);
    EXPECT_EQ(to_line(f).substr(0, 71),
              "rmpopt-disabled: RMPOPT on a core whose RMPOPT_BASE is 0x0 (CPUs 0-1) [");
}

TEST_F(watch_test, says_it_once_and_counts)
{
    initialise_snp();
    rmpopt(0, 0);
    rmpopt(1, 0);
    EXPECT_EQ(only().count, 2u);
    rmpopt(2, 0);
    EXPECT_EQ(ids(), (list{"rmpopt-disabled", "rmpopt-disabled"}));
}

TEST_F(watch_test, what_lasts_is_awaited_and_then_found_once)
{
    initialise_snp();
    enable({0, 2});
    pass({0});
    wait(10 * guest_second);
    EXPECT_EQ(ids(), list{});
    ASSERT_EQ(w->awaited().size(), 1u);
    EXPECT_EQ(w->awaited()[0].kind->id, "lost-optimisation");
    EXPECT_EQ(w->awaited()[0].lasted, 10 * guest_second);
    EXPECT_TRUE(w->awaited()[0].what.ends_with("on CPUs 2-3: left out of every pass"));
    wait(bound);
    wait(bound);
    EXPECT_EQ(only().count, 1u);
    EXPECT_EQ(w->awaited().size(), 0u) << "it is known";
}

TEST_F(watch_test, awaits_nothing_where_all_is_well)
{
    bring_up();
    time += guest_second;
    EXPECT_EQ(w->awaited().size(), 0u);
    launch_guest(7, {64 * mb});
    time += guest_second;
    EXPECT_EQ(w->awaited().size(), 0u) << "while a guest lives, nothing is lost";
    decommission(7);
    time += guest_second;
    ASSERT_EQ(w->awaited().size(), 1u);
    EXPECT_EQ(w->awaited()[0].kind->id, "pages-leaked");
    rmpupdate(0, 64 * mb, {});
    time += guest_second;
    ASSERT_EQ(w->awaited().size(), 1u);
    EXPECT_EQ(w->awaited()[0].kind->id, "lost-optimisation");
    pass({0, 2});
    EXPECT_EQ(w->awaited().size(), 0u);
}

TEST_F(watch_test, awaits_no_notes)
{
    initialise_snp();
    time += guest_second;
    EXPECT_EQ(w->awaited().size(), 0u);
    w->rdmsr(hw::msr::rmpopt_base);
    ASSERT_EQ(w->awaited().size(), 1u);
    EXPECT_EQ(w->awaited()[0].kind->id, "rmpopt-never-enabled");
}

TEST_F(watch_test, tells_of_each_new_finding_once)
{
    std::vector<std::string> lines;
    finding_log log([&lines](const finding &f) { lines.push_back(to_line(f)); });
    for (int i = 0; i < 3; ++i) {
        log.add("dirty-rmp", "", {}, guest_second, std::nullopt, "text");
    }
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(lines[0].starts_with("dirty-rmp: text [1.000 s]; "));
}

TEST_F(watch_test, a_flood_of_findings_is_cut_off)
{
    finding_log log;
    for (int i = 0; i < 3000; ++i) {
        log.add("host-write", std::to_string(i), {}, 0, std::nullopt, "");
    }
    EXPECT_EQ(log.all().size(), 1000u);
    log.add("pages-leaked", "", {}, 0, std::nullopt, "");
    EXPECT_EQ(log.all().back().kind->id, "pages-leaked") << "still heard behind all the others";
}

TEST_F(watch_test, every_kind_has_its_own_id_and_a_hint)
{
    std::set<std::string_view> ids;
    for (const finding_info &i : finding_infos) {
        EXPECT_TRUE(ids.insert(i.id).second) << i.id;
        EXPECT_FALSE(i.hint.empty()) << i.id;
    }
}

} // namespace

} // namespace rmpopt
