// SPDX-License-Identifier: GPL-2.0-or-later
// RMPOPT_BASE and the table of one core: 2048 bits, one for each 1 GB region from the base on.
// Both SMT threads of the core share it (AMD, 2026-03-04 and 2026-03-30, linux-crypto).
//
// Thread-safety: every member may be called from any thread. set() and set_msr() must be called
// with the RMP lock held: only so can a bit not be set after the RMPUPDATE that should have cleared
// it.
#pragma once

#include "hw-model/base/types.h"

#include <array>
#include <atomic>

namespace rmpopt::hw
{

inline constexpr std::uint64_t rmpopt_enable = 1;
inline constexpr unsigned rmpopt_regions = 2048;

class rmpopt_table
{
  public:
    std::uint64_t msr() const { return msr_.load(std::memory_order_relaxed); }
    /// Another base makes the bits those of other regions, so it clears them.
    void set_msr(std::uint64_t value)
    {
        if (align_down(value, region_1g) != base()) {
            clear_all();
        }
        if (msr_.exchange(value, std::memory_order_relaxed) != value) {
            changed();
        }
    }
    /// Goes up after each change of what test() answers, for those who keep its answers.
    std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

    bool enabled() const { return (msr() & rmpopt_enable) != 0; }
    spa_t base() const { return align_down(msr(), region_1g); }
    bool in_window(spa_t spa) const { return index(spa) < rmpopt_regions; }

    /// True when the core may skip RMP checks for `spa`. The check path: no lock.
    bool test(spa_t spa) const
    {
        const std::uint64_t i = index(spa);
        return i < rmpopt_regions && (bits_[i / 64].load(std::memory_order_acquire) & mask(i)) != 0;
    }
    /// Out-of-window addresses have no bit; setting or clearing them does nothing.
    void set(spa_t spa)
    {
        const std::uint64_t i = index(spa);
        if (i < rmpopt_regions &&
            (bits_[i / 64].fetch_or(mask(i), std::memory_order_release) & mask(i)) == 0) {
            changed();
        }
    }
    void clear(spa_t spa)
    {
        const std::uint64_t i = index(spa);
        if (i < rmpopt_regions &&
            (bits_[i / 64].fetch_and(~mask(i), std::memory_order_seq_cst) & mask(i)) != 0) {
            changed();
        }
    }
    void clear_all()
    {
        for (auto &w : bits_) {
            if (w.exchange(0, std::memory_order_seq_cst) != 0) {
                changed();
            }
        }
    }

  private:
    /// Number of the region in the window, rmpopt_regions or more outside it. Reads the base once:
    /// a sibling may be moving it.
    std::uint64_t index(spa_t spa) const
    {
        const spa_t from = base();
        return spa < from ? rmpopt_regions : (spa - from) / region_1g;
    }
    static std::uint64_t mask(std::uint64_t index) { return 1ull << (index % 64); }
    void changed() { version_.fetch_add(1, std::memory_order_seq_cst); }

    std::atomic<std::uint64_t> msr_{0};
    std::atomic<std::uint64_t> version_{0};
    std::array<std::atomic<std::uint64_t>, rmpopt_regions / 64> bits_{};
};

} // namespace rmpopt::hw
