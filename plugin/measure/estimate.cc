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

void block_sums::add(std::uint64_t stores, std::uint64_t relevant, std::uint64_t skipped)
{
    ++blocks;
    s += stores;
    x += relevant;
    y += skipped;
    ss += stores * stores;
    xx += relevant * relevant;
    xy += relevant * skipped;
    yy += skipped * skipped;
}

block_sums block_sums::operator-(const block_sums &e) const
{
    return {blocks - e.blocks, s - e.s,   x - e.x,   y - e.y,
            ss - e.ss,         xx - e.xx, xy - e.xy, yy - e.yy};
}

block_sums block_sums::operator+(const block_sums &o) const
{
    return {blocks + o.blocks, s + o.s,   x + o.x,   y + o.y,
            ss + o.ss,         xx + o.xx, xy + o.xy, yy + o.yy};
}

interval_estimate estimate_stores(const block_sums &b, unsigned interval)
{
    const double n = interval, value = n * static_cast<double>(b.s);
    // Horvitz-Thompson's variance under Bernoulli sampling, itself estimated without bias.
    const double half = z * std::sqrt(n * (n - 1) * static_cast<double>(b.ss));
    return {value, std::max(static_cast<double>(b.s), value - half), value + half};
}

std::optional<interval_estimate> estimate_skip_rate(const block_sums &b, unsigned interval)
{
    if (b.x == 0) {
        return std::nullopt;
    }
    const double x = static_cast<double>(b.x);
    const double rate = static_cast<double>(b.y) / x;
    if (interval <= 1) {
        return interval_estimate{rate, rate, rate};
    }
    // Linearised variance of a quotient of two sums over clusters.
    const double residuals = static_cast<double>(b.yy) - 2 * rate * static_cast<double>(b.xy) +
                             rate * rate * static_cast<double>(b.xx);
    const double variance = std::max(0.0, residuals) * (1 - 1.0 / interval) / (x * x);
    // As many independent stores as would tell as much; with a rate of 0 or 1 the variance says
    // nothing, and clusters of the observed size are taken for one observation each.
    const double clusters = x * x / static_cast<double>(b.xx);
    const double spread = rate * (1 - rate);
    const double n = variance > 0 && spread > 0 ? spread / variance : clusters;
    return wilson(rate, std::max(1.0, std::min(n, x)));
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
