// SPDX-License-Identifier: GPL-2.0-or-later
// From a sample of executed blocks to totals and rates with confidence intervals.
//
// Each execution of a block is drawn with probability 1 / interval, independently of all others
// (Bernoulli sampling); all stores of a drawn execution are looked at. So the sum over the drawn
// ones times the interval is an unbiased estimate of the total (Horvitz-Thompson), and a rate is
// the quotient of two of them. Blocks are clusters: the variance comes from their sums, not from
// single stores.
#pragma once

#include "measure/cells.h"

#include <optional>

namespace rmpopt
{

/// What the counts of a sample leave open. A drawn execution with `s` stores stands for `interval`
/// times as many, and its variance is interval * (interval - 1) * s * s (Horvitz-Thompson under
/// Bernoulli sampling, itself without bias); sums of these, also of products. Of the `s` stores `x`
/// were checked or skipped, `y` skipped. All zero for what was counted store by store.
struct block_sums {
    std::uint64_t blocks = 0; ///< drawn executions with a store
    double ss = 0, xx = 0, xy = 0, yy = 0;
    /// Squares of the terms above: how much of a sum few large blocks decide.
    double ssss = 0, xxxx = 0, xxxy = 0, xxyy = 0, xyyy = 0, yyyy = 0;

    void add(unsigned interval, std::uint64_t s, std::uint64_t x, std::uint64_t y);
    block_sums operator-(const block_sums &earlier) const;
    block_sums operator+(const block_sums &other) const;
};

struct interval_estimate {
    double value = 0, low = 0, high = 0;
};

inline constexpr double confidence = 0.95;

/// Of an estimated number of stores.
interval_estimate estimate_stores(std::uint64_t stores, const block_sums &b);
/// Skipped of checked and skipped, from their estimated numbers; nothing when there is neither.
std::optional<interval_estimate> estimate_skip_rate(std::uint64_t checked, std::uint64_t skipped,
                                                    const block_sums &b);

/// How many executions to let pass until the next is drawn: geometrically distributed, at least 1.
/// A generator for each vCPU.
class interval_source
{
  public:
    explicit interval_source(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next(unsigned mean);

  private:
    double uniform(); ///< in (0, 1]
    std::uint64_t state_;
};

} // namespace rmpopt
