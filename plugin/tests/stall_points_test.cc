// SPDX-License-Identifier: GPL-2.0-or-later
#include "perturb/stall_points.h"

#include <gtest/gtest.h>

namespace rmpopt
{

namespace
{

constexpr std::uint64_t entry = 0xffffffff81a00000;

planned_stall stall_at(std::string_view text)
{
    planned_stall s;
    EXPECT_EQ(parse_stall(text, s), "");
    return s;
}

/// On, and counting.
void start(stall_points &points, std::initializer_list<std::string_view> stalls,
           std::vector<code_range> code = {})
{
    stall_plan plan{.counts = true, .code = std::move(code)};
    for (const std::string_view text : stalls) {
        plan.stalls.push_back(stall_at(text));
    }
    points.start(plan);
    points.snp_is_on();
    points.set_entry(entry);
}

TEST(stall_points, a_stall_is_parsed)
{
    const planned_stall s = stall_at("rmpopt@2#17:300us");
    EXPECT_EQ(s.where.site, stall_site::rmpopt);
    EXPECT_EQ(s.where.cpu, 2u);
    EXPECT_EQ(s.occurrence, 17u);
    EXPECT_EQ(s.time, (stall_time{300'000, false}));
    EXPECT_EQ(stall_at("entry-0x1f@0#1:1ns").where.offset, -0x1f);
    EXPECT_EQ(stall_at("rmpupdate@0#1:1ns").where.site, stall_site::rmpupdate);
    EXPECT_EQ(stall_at("pending@0#1:1ns").where.site, stall_site::pending);
    EXPECT_EQ(stall_at("rmpopt@0#1:20ms/idle").time, (stall_time{20'000'000, true}));
}

TEST(stall_points, what_is_no_stall_is_refused)
{
    for (const std::string_view text :
         {"", "rmpopt", "rmpopt@2", "rmpopt@2#0:1us", "rmpopt@2#1:", "rmpopt@2#1:0us",
          "rmpopt@-2#1:1us", "rmpopt@2#1:1s", "rmpopt@2#1:1us ", "rmpopts@2#1:1us", "entry@2#1:1us",
          "entry+1@2#1:1us", "entry+0x-1@2#1:1us", "vmrun@2#1:1us", "rmpopt@2#1:99999999999ms",
          "rmpopt@2#1:/idle", "rmpopt@2#1:1us/idle/idle", "rmpopt@2#1:1us/"}) {
        planned_stall s;
        EXPECT_NE(parse_stall(text, s), "") << text;
    }
}

TEST(stall_points, a_range_of_code_is_parsed)
{
    code_range r;
    EXPECT_EQ(parse_code_range("entry-0x1f40+120", r), "");
    EXPECT_EQ(r.offset, -0x1f40);
    EXPECT_EQ(r.bytes, 120u);
    for (const std::string_view text :
         {"", "entry", "entry+0x10", "entry+0x10+0", "entry+0x10+1x", "0x10+4"}) {
        EXPECT_NE(parse_code_range(text, r), "") << text;
    }
}

TEST(stall_points, a_cpu_stalls_the_planned_time_at_the_planned_occurrence)
{
    stall_points points;
    start(points, {"rmpopt@1#2:3us", "rmpopt@1#4:5us"});
    EXPECT_EQ(points.reach(stall_site::rmpopt, 1).ns, 0u);
    EXPECT_EQ(points.reach(stall_site::rmpopt, 0).ns, 0u) << "another CPU";
    EXPECT_EQ(points.reach(stall_site::rmpupdate, 1).ns, 0u) << "another site";
    EXPECT_EQ(points.reach(stall_site::rmpopt, 1).ns, 3'000u);
    EXPECT_EQ(points.reach(stall_site::rmpopt, 1).ns, 0u);
    EXPECT_EQ(points.reach(stall_site::rmpopt, 1).ns, 5'000u);
}

TEST(stall_points, counting_begins_when_snp_is_on)
{
    stall_points points;
    points.start({.counts = true, .stalls = {stall_at("wrmsr@0#1:1us")}});
    points.guest_says(true);
    EXPECT_EQ(points.reach(stall_site::wrmsr, 0).ns, 0u);
    points.snp_is_on();
    EXPECT_EQ(points.reach(stall_site::wrmsr, 0).ns, 1'000u);
    points.guest_says(false);
    points.reach(stall_site::wrmsr, 0);
    ASSERT_EQ(points.counts().size(), 1u);
    EXPECT_EQ(points.counts().front().times, 2u);
}

TEST(stall_points, or_when_the_guest_says_so)
{
    stall_points points;
    points.start({.counts = true, .waits_for_mark = true, .stalls = {stall_at("wrmsr@0#2:1us")}});
    points.snp_is_on();
    EXPECT_EQ(points.reach(stall_site::wrmsr, 0).ns, 0u);
    EXPECT_TRUE(points.counts().empty());
    points.guest_says(true);
    EXPECT_EQ(points.reach(stall_site::wrmsr, 0).ns, 0u);
    points.guest_says(false);
    EXPECT_EQ(points.reach(stall_site::wrmsr, 0).ns, 0u) << "a pause";
    points.guest_says(true);
    EXPECT_EQ(points.reach(stall_site::wrmsr, 0).ns, 1'000u);
}

TEST(stall_points, code_is_found_by_its_distance_from_the_entry)
{
    stall_points points;
    start(points, {"entry+0x5000@0#1:1us"}, {{-0x100, 0x20}});
    EXPECT_TRUE(points.is_code(entry - 0x100));
    EXPECT_TRUE(points.is_code(entry - 0xe1));
    EXPECT_FALSE(points.is_code(entry - 0xe0));
    EXPECT_FALSE(points.is_code(entry - 0x101));
    EXPECT_TRUE(points.is_code(entry + 0x5000)) << "a planned stall makes it one";
    EXPECT_FALSE(points.is_code(entry + 0x5001));
    EXPECT_TRUE(points.has_code_in_page(entry - 0x800));
    EXPECT_FALSE(points.has_code_in_page(entry));
}

TEST(stall_points, a_range_may_cross_pages)
{
    stall_points points;
    start(points, {}, {{0xff0, 0x1020}});
    EXPECT_TRUE(points.has_code_in_page(entry) && points.has_code_in_page(entry + 0x1000) &&
                points.has_code_in_page(entry + 0x2000));
    EXPECT_FALSE(points.has_code_in_page(entry + 0x3000));
}

TEST(stall_points, no_code_before_the_entry_is_known)
{
    stall_points points;
    points.start({.code = {{0, 0x20}}});
    EXPECT_FALSE(points.is_code(0));
    EXPECT_FALSE(points.has_code_in_page(entry));
}

TEST(stall_points, an_instruction_that_stalled_is_executed_then)
{
    stall_points points;
    start(points, {"entry+0x10@0#2:1us"});
    EXPECT_EQ(points.reach_code(entry + 0x10, 0).ns, 0u);
    EXPECT_EQ(points.reach_code(entry + 0x10, 1).ns, 0u);
    EXPECT_EQ(points.reach_code(entry + 0x10, 0).ns, 1'000u);
    EXPECT_EQ(points.reach_code(entry + 0x10, 1).ns, 0u) << "another CPU's count";
    EXPECT_EQ(points.reach_code(entry + 0x10, 0).ns, 0u) << "the same instruction, after the stall";
    EXPECT_EQ(points.reach_code(entry + 0x10, 0).ns, 0u);
    ASSERT_EQ(points.counts().size(), 2u);
    EXPECT_EQ(points.counts().front().times, 3u);
    EXPECT_EQ(site_text(points.counts().front().where), "entry+0x10");
}

TEST(stall_points, nothing_is_counted_without_a_plan)
{
    stall_points points;
    start(points, {});
    EXPECT_TRUE(points.is_on());
    stall_points off;
    off.start({});
    off.snp_is_on();
    EXPECT_FALSE(off.is_on());
}

} // namespace

} // namespace rmpopt
