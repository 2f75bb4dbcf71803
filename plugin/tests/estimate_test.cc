// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/estimate.h"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace rmpopt
{
namespace
{

/// A program: executions of blocks with stores of which some are skipped.
struct execution {
    std::uint64_t stores, skipped;
};

std::vector<execution> program(unsigned seed, std::size_t length, double rate)
{
    std::mt19937 random(seed);
    std::vector<execution> out(length);
    for (execution &e : out) {
        // Few blocks have many stores, as in a kernel; a block is mostly of one kind.
        e.stores = random() % 50 == 0 ? 60 : random() % 4;
        const bool skips = std::generate_canonical<double, 30>(random) < rate;
        e.skipped = skips ? e.stores : e.stores / 8;
    }
    return out;
}

struct truth {
    std::uint64_t stores = 0, skipped = 0;
};

truth sum(const std::vector<execution> &p)
{
    truth t;
    for (const execution &e : p) {
        t.stores += e.stores;
        t.skipped += e.skipped;
    }
    return t;
}

struct sample {
    block_sums sums;
    std::uint64_t stores = 0, skipped = 0;
};

/// As the plugin draws.
sample draw(const std::vector<execution> &p, unsigned interval, interval_source &source)
{
    sample s;
    std::uint64_t left = source.next(interval);
    for (const execution &e : p) {
        if (--left != 0) {
            continue;
        }
        left = source.next(interval);
        if (e.stores != 0) {
            s.sums.add(interval, e.stores, e.stores, e.skipped);
        }
        s.stores += interval * e.stores;
        s.skipped += interval * e.skipped;
    }
    return s;
}

class Coverage : public testing::TestWithParam<std::tuple<double, unsigned>>
{
};

TEST_P(Coverage, IntervalsHoldTheTruthAsOftenAsTheySay)
{
    const auto [rate, interval] = GetParam();
    const auto p = program(7, 200'000, rate);
    const truth t = sum(p);
    const double true_rate = static_cast<double>(t.skipped) / static_cast<double>(t.stores);
    constexpr int runs = 2000;
    int stores_held = 0, rate_held = 0;
    double mean = 0;
    for (int i = 0; i < runs; ++i) {
        interval_source source(static_cast<std::uint64_t>(i) * 1000003);
        const sample s = draw(p, interval, source);
        const interval_estimate n = estimate_stores(s.stores, s.sums);
        stores_held +=
            n.low <= static_cast<double>(t.stores) && static_cast<double>(t.stores) <= n.high;
        const auto r = estimate_skip_rate(s.stores - s.skipped, s.skipped, s.sums);
        ASSERT_TRUE(r.has_value());
        rate_held += r->low <= true_rate && true_rate <= r->high;
        mean += n.value / runs;
    }
    EXPECT_GE(stores_held, runs * 93 / 100);
    EXPECT_GE(rate_held, runs * 93 / 100);
    EXPECT_NEAR(mean / static_cast<double>(t.stores), 1, 0.01) << "biased";
}

INSTANTIATE_TEST_SUITE_P(Programs, Coverage,
                         testing::Combine(testing::Values(0.05, 0.5, 0.99),
                                          testing::Values(20u, 1000u)));

TEST(Estimate, CountedStoreByStoreNothingIsOpen)
{
    const auto n = estimate_stores(1000, {});
    EXPECT_EQ(n.low, 1000);
    EXPECT_EQ(n.high, 1000);
    const auto r = estimate_skip_rate(250, 750, {});
    ASSERT_TRUE(r.has_value());
    EXPECT_EQ(r->value, 0.75);
    EXPECT_EQ(r->low, 0.75);
    EXPECT_EQ(r->high, 0.75);
}

TEST(Estimate, NothingCheckedAndNothingSkippedHasNoRate)
{
    EXPECT_FALSE(estimate_skip_rate(0, 0, {}).has_value());
}

TEST(Estimate, ASampleWithoutASingleSkipDoesNotProveThatThereIsNone)
{
    block_sums b;
    for (int i = 0; i < 30; ++i) {
        b.add(100, 2, 2, 0);
    }
    const auto r = estimate_skip_rate(30 * 200, 0, b);
    ASSERT_TRUE(r.has_value());
    EXPECT_EQ(r->value, 0);
    EXPECT_GT(r->high, 0.05);
    EXPECT_LT(r->high, 0.2);
}

TEST(Estimate, SumsOfTwoPhasesComeApartAgain)
{
    block_sums a, b;
    a.add(10, 3, 2, 1);
    b.add(20, 5, 5, 0);
    const block_sums c = (a + b) - a;
    EXPECT_EQ(c.blocks, b.blocks);
    EXPECT_DOUBLE_EQ(c.ss, b.ss);
    EXPECT_DOUBLE_EQ(c.xy, b.xy);
}

TEST(IntervalSource, HasTheMeanAndTheSpreadOfAGeometricDistribution)
{
    interval_source source(1);
    constexpr unsigned mean = 1000;
    constexpr int n = 200'000;
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
        const auto v = static_cast<double>(source.next(mean));
        ASSERT_GE(v, 1);
        sum += v;
        squares += v * v;
    }
    EXPECT_NEAR(sum / n, mean, 15);
    EXPECT_NEAR(std::sqrt(squares / n - sum / n * sum / n), mean, 30);
}

TEST(IntervalSource, EachOneIsNoInterval)
{
    interval_source source(1);
    EXPECT_EQ(source.next(0), 1u);
    EXPECT_EQ(source.next(1), 1u);
}

} // namespace
} // namespace rmpopt
