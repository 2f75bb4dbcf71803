// SPDX-License-Identifier: GPL-2.0-or-later
// RMPOPT_BASE and the table of one core: 2048 bits, one for each 1 GB region from the base on.
// Both SMT threads of the core share it (AMD, 2026-03-04 and 2026-03-30, linux-crypto).
//
// Thread-safety: every member may be called from any thread. set() must be called with the RMP
// lock held: only so can a bit not be set after the RMPUPDATE that should have cleared it.
#pragma once

#include "hw/types.h"

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
    void set_msr(std::uint64_t value) { msr_.store(value, std::memory_order_relaxed); }

    bool enabled() const { return (msr() & rmpopt_enable) != 0; }
    spa_t base() const { return align_down(msr(), region_1g); }
    bool in_window(spa_t spa) const
    {
        return spa >= base() && (spa - base()) / region_1g < rmpopt_regions;
    }

    /// True when the core may skip RMP checks for `spa`. The check path: no lock, no branch on
    /// anything but the bit.
    bool test(spa_t spa) const
    {
        return in_window(spa) && (word(spa).load(std::memory_order_acquire) & mask(spa)) != 0;
    }
    void set(spa_t spa) { word(spa).fetch_or(mask(spa), std::memory_order_release); }
    /// Out-of-window addresses have no bit; clearing them does nothing.
    void clear(spa_t spa)
    {
        if (in_window(spa)) {
            word(spa).fetch_and(~mask(spa), std::memory_order_seq_cst);
        }
    }
    void clear_all()
    {
        for (auto &w : bits_) {
            w.store(0, std::memory_order_seq_cst);
        }
    }

  private:
    std::size_t index(spa_t spa) const { return (spa - base()) / region_1g; }
    std::uint64_t mask(spa_t spa) const { return 1ull << (index(spa) % 64); }
    std::atomic<std::uint64_t> &word(spa_t spa) { return bits_[index(spa) / 64]; }
    const std::atomic<std::uint64_t> &word(spa_t spa) const { return bits_[index(spa) / 64]; }

    std::atomic<std::uint64_t> msr_{0};
    std::array<std::atomic<std::uint64_t>, rmpopt_regions / 64> bits_{};
};

} // namespace rmpopt::hw
