// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/base/policy.h"

#include <concepts>
#include <gtest/gtest.h>
#include <set>

namespace rmpopt::hw
{

namespace
{

// A policy can be compared with its own values only.
static_assert(std::equality_comparable<choice::msr_rewrite>);
static_assert(!std::equality_comparable_with<choice::msr_rewrite, choice::init_msr>);
static_assert(!std::convertible_to<choice::msr_rewrite, choice::init_msr>);

TEST(policy, each_knob_takes_each_of_its_values)
{
    for (const policy_knob &k : policy_knobs()) {
        for (unsigned i = 0; i < k.values.size(); ++i) {
            policy p;
            EXPECT_EQ(set_policy(p, k.name, k.values[i].word), "");
            EXPECT_EQ(k.get(p), i) << k.name;
            EXPECT_EQ(k.value_in(p).word, k.values[i].word);
        }
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
        k.set(p, 1);
        EXPECT_NE(p, policy{}) << k.name;
        for (const policy_knob &o : policy_knobs()) {
            EXPECT_EQ(o.get(p), o.name == k.name ? 1u : 0u) << o.name;
        }
    }
}

TEST(policy, no_knob_takes_a_value_of_another)
{
    policy p;
    EXPECT_EQ(set_policy(p, "oow", "ud"), "policy 'oow' cannot be 'ud'; use cf0 or gp");
    EXPECT_EQ(p, policy{});
}

TEST(policy, empty_value_is_refused)
{
    policy p;
    EXPECT_EQ(set_policy(p, "psmash-kind", ""), "policy 'psmash-kind' cannot be ''; use 7 or 2");
}

TEST(policy, value_with_another_spelling_is_refused)
{
    policy p;
    EXPECT_NE(set_policy(p, "oow", "GP"), "");
    EXPECT_NE(set_policy(p, "oow", "gp "), "");
    EXPECT_EQ(p, policy{});
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
