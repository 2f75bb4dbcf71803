// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/estimate.h"

#include <algorithm>
#include <cmath>

namespace rmpopt
{

namespace
{

constexpr double z = 1.959963984540054; // two-sided 95 %

/// Student's quantile for a variance that is a sum of squares, of which few may be large: they
/// leave as many degrees of freedom as that many equal ones would (Satterthwaite).
double quantile(double squares, double fourths)
{
    if (squares <= 0 || fourths <= 0) {
        return z;
    }
    const double f = std::max(1.5, squares * squares / fourths - 1);
    // Cornish and Fisher's expansion.
    const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
    return z + (z3 + z) / (4 * f) + (5 * z5 + 16 * z3 + 3 * z) / (96 * f * f) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * f * f * f);
}

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

void block_sums::add(unsigned interval, std::uint64_t s_, std::uint64_t x_, std::uint64_t y_)
{
    const double weight = static_cast<double>(interval) * (interval - 1.0);
    const auto s = static_cast<double>(s_), x = static_cast<double>(x_),
               y = static_cast<double>(y_);
    const double w2 = weight * weight;
    *this = *this + block_sums{1,
                               weight * s * s,
                               weight * x * x,
                               weight * x * y,
                               weight * y * y,
                               w2 * s * s * s * s,
                               w2 * x * x * x * x,
                               w2 * x * x * x * y,
                               w2 * x * x * y * y,
                               w2 * x * y * y * y,
                               w2 * y * y * y * y};
}

block_sums block_sums::operator-(const block_sums &e) const
{
    return {blocks - e.blocks, ss - e.ss,     xx - e.xx,     xy - e.xy,
            yy - e.yy,         ssss - e.ssss, xxxx - e.xxxx, xxxy - e.xxxy,
            xxyy - e.xxyy,     xyyy - e.xyyy, yyyy - e.yyyy};
}

block_sums block_sums::operator+(const block_sums &o) const
{
    return {blocks + o.blocks, ss + o.ss,     xx + o.xx,     xy + o.xy,
            yy + o.yy,         ssss + o.ssss, xxxx + o.xxxx, xxxy + o.xxxy,
            xxyy + o.xxyy,     xyyy + o.xyyy, yyyy + o.yyyy};
}

interval_estimate estimate_stores(std::uint64_t stores, const block_sums &b)
{
    const auto value = static_cast<double>(stores);
    const double half = quantile(b.ss, b.ssss) * std::sqrt(std::max(0.0, b.ss));
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
    const double r = rate;
    // One more block is taken into account, as large as those that decide the sum and of the rarer
    // kind: such blocks may exist and not have been drawn.
    const double rarer = std::max(r, 1 - r);
    const double unseen = b.xxxx / b.xx * rarer * rarer;
    const double squares = std::max(0.0, b.yy - 2 * r * b.xy + r * r * b.xx) + unseen;
    const double fourths = b.yyyy - 4 * r * b.xyyy + 6 * r * r * b.xxyy - 4 * r * r * r * b.xxxy +
                           r * r * r * r * b.xxxx;
    const double widening = quantile(squares, fourths) / z;
    const double variance = squares / (x * x) * widening * widening;
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
