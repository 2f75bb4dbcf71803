// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/base/policy.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

namespace rmpopt::hw
{

namespace
{

TEST(policy, each_knob_takes_each_of_its_values)
{
    for (const policy_knob &k : policy_knobs()) {
        for (const choice c : k.allowed) {
            policy p;
            EXPECT_EQ(set_policy(p, k.name, choice_name(c)), "");
            EXPECT_EQ(p.*k.member, c) << k.name;
        }
    }
}

TEST(policy, each_knob_has_an_allowed_default)
{
    const policy p;
    for (const policy_knob &k : policy_knobs()) {
        EXPECT_NE(std::ranges::find(k.allowed, p.*k.member), k.allowed.end()) << k.name;
    }
}

TEST(policy, each_knob_says_what_it_means_and_why)
{
    for (const policy_knob &k : policy_knobs()) {
        EXPECT_FALSE(k.meaning.empty()) << k.name;
        EXPECT_FALSE(k.source.empty()) << k.name;
    }
}

TEST(policy, each_knob_has_a_name_and_a_member_of_its_own)
{
    std::set<std::string_view> names;
    for (const policy_knob &k : policy_knobs()) {
        EXPECT_TRUE(names.insert(k.name).second) << k.name;
        policy p;
        const choice other = k.allowed[0] == p.*k.member ? k.allowed[1] : k.allowed[0];
        p.*k.member = other;
        for (const policy_knob &o : policy_knobs()) {
            EXPECT_TRUE(o.name == k.name || p.*o.member == policy{}.*o.member) << o.name;
        }
    }
}

TEST(policy, no_knob_takes_a_value_of_another)
{
    policy p;
    EXPECT_EQ(set_policy(p, "oow", "ud"), "policy 'oow' cannot be 'ud'; use cf0 or gp");
    EXPECT_EQ(p.oow, choice::cf0);
}

TEST(policy, empty_value_is_refused)
{
    policy p;
    EXPECT_EQ(set_policy(p, "psmash-kind", ""), "policy 'psmash-kind' cannot be ''; use 2 or 7");
}

TEST(policy, value_with_another_spelling_is_refused)
{
    policy p;
    EXPECT_NE(set_policy(p, "oow", "GP"), "");
    EXPECT_NE(set_policy(p, "oow", "gp "), "");
    EXPECT_EQ(p.oow, choice::cf0);
}

TEST(policy, unknown_name_is_refused_with_the_known_ones)
{
    policy p;
    const std::string error = set_policy(p, "speed", "gp");
    EXPECT_TRUE(error.starts_with("unknown policy 'speed'; known: ")) << error;
    for (const policy_knob &k : policy_knobs()) {
        EXPECT_NE(error.find(k.name), std::string::npos) << k.name;
    }
}

TEST(policy, name_with_underscores_is_refused)
{
    policy p;
    EXPECT_NE(set_policy(p, "msr_rewrite", "keep"), "");
}

TEST(policy, messages_are_one_line)
{
    policy p;
    EXPECT_EQ(set_policy(p, "speed", "gp").find('\n'), std::string::npos);
    EXPECT_EQ(set_policy(p, "oow", "x").find('\n'), std::string::npos);
}

} // namespace

} // namespace rmpopt::hw
