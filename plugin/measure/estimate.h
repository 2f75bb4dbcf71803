// SPDX-License-Identifier: GPL-2.0-or-later
// From a sample of executed blocks to totals and rates with confidence intervals.
//
// Each execution of a block is drawn with probability 1 / interval, independently of all others
// (Bernoulli sampling); all stores of a drawn execution are looked at. So the sum over the drawn
// ones times the interval is an unbiased estimate of the total (Horvitz-Thompson), and a rate is
// the quotient of two of them. Blocks are clusters: the variance comes from their sums, not from
// single stores.
#pragma once

#include "cells.h"

#include <optional>

namespace rmpopt
{

/// Sums over drawn executions. Of one execution: `s` stores, `x` of them checked or skipped, `y`
/// skipped.
struct block_sums {
    std::uint64_t blocks = 0; ///< executions with a store
    std::uint64_t s = 0, x = 0, y = 0;
    std::uint64_t ss = 0, xx = 0, xy = 0, yy = 0;

    void add(std::uint64_t stores, std::uint64_t relevant, std::uint64_t skipped);
    block_sums operator-(const block_sums &earlier) const;
    block_sums operator+(const block_sums &other) const;
};

struct interval_estimate {
    double value = 0, low = 0, high = 0;
};

inline constexpr double confidence = 0.95;

/// Stores in all. `interval` as drawn with, not 0.
interval_estimate estimate_stores(const block_sums &b, unsigned interval);
/// Skipped of checked and skipped; nothing when none of either was drawn.
std::optional<interval_estimate> estimate_skip_rate(const block_sums &b, unsigned interval);

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
