// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate.h"

#include <algorithm>
#include <cmath>

namespace rmpopt
{

namespace
{

constexpr double z = 1.959963984540054; // two-sided 95 %

/// Wilson's interval of a proportion seen in `n` independent trials.
interval_estimate wilson(double p, double n)
{
    const double denominator = 1 + z * z / n;
    const double centre = (p + z * z / (2 * n)) / denominator;
    const double half = z / denominator * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    return {p, std::max(0.0, std::min(centre - half, p)),
            std::min(1.0, std::max(centre + half, p))};
}

} // namespace

void block_sums::add(unsigned interval, std::uint64_t s, std::uint64_t x, std::uint64_t y)
{
    const double weight = static_cast<double>(interval) * (interval - 1.0);
    const auto product = [weight](std::uint64_t a, std::uint64_t b) {
        return weight * static_cast<double>(a) * static_cast<double>(b);
    };
    ++blocks;
    ss += product(s, s);
    xx += product(x, x);
    xy += product(x, y);
    yy += product(y, y);
}

block_sums block_sums::operator-(const block_sums &e) const
{
    return {blocks - e.blocks, ss - e.ss, xx - e.xx, xy - e.xy, yy - e.yy};
}

block_sums block_sums::operator+(const block_sums &o) const
{
    return {blocks + o.blocks, ss + o.ss, xx + o.xx, xy + o.xy, yy + o.yy};
}

interval_estimate estimate_stores(std::uint64_t stores, const block_sums &b)
{
    const auto value = static_cast<double>(stores);
    const double half = z * std::sqrt(std::max(0.0, b.ss));
    return {value, std::max(0.0, value - half), value + half};
}

std::optional<interval_estimate> estimate_skip_rate(std::uint64_t checked, std::uint64_t skipped,
                                                    const block_sums &b)
{
    if (checked + skipped == 0) {
        return std::nullopt;
    }
    const double x = static_cast<double>(checked + skipped);
    const double rate = static_cast<double>(skipped) / x;
    if (b.xx <= 0) {
        return interval_estimate{rate, rate, rate};
    }
    // Linearised variance of a quotient of two sums over clusters.
    const double variance = std::max(0.0, b.yy - 2 * rate * b.xy + rate * rate * b.xx) / (x * x);
    // As many independent stores as would tell as much. With a rate of 0 or 1 the variance says
    // nothing; then each cluster counts as one observation.
    const double spread = rate * (1 - rate);
    const double n = variance > 0 && spread > 0 ? spread / variance : x * x / b.xx;
    return wilson(rate, std::max(1.0, n));
}

std::uint64_t interval_source::next(unsigned mean)
{
    if (mean <= 1) {
        return 1;
    }
    const double steps = std::log(uniform()) / std::log1p(-1.0 / mean);
    return 1 + static_cast<std::uint64_t>(steps);
}

double interval_source::uniform()
{
    // SplitMix64 (Steele, Lea, Flood 2014).
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t v = state_;
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9;
    v = (v ^ (v >> 27)) * 0x94d049bb133111eb;
    v ^= v >> 31;
    return (static_cast<double>(v >> 11) + 1) * 0x1.0p-53;
}

} // namespace rmpopt
