// SPDX-License-Identifier: GPL-2.0-or-later
// The pages that running guests use. From a successful VMRUN to #VMEXIT these are the VMCB, the
// AVIC backing page and, for SEV-ES and SNP guests, the VMSA (APM vol. 2, 15.36.12). The host save
// area is not one.
#pragma once

#include "hw-model/base/types.h"

#include <array>
#include <atomic>
#include <optional>

namespace rmpopt::hw
{

/// The pages in use by one logical CPU while its guest runs.
struct pages_in_use {
    static constexpr unsigned limit = 3;

    std::array<spa_t, limit> spa{}; ///< 4 KB aligned
    unsigned count = 0;
    std::optional<spa_t> avic_backing{}; ///< which of `spa` is the AVIC backing page
};

enum class page_use : std::uint8_t { control = 1, avic_backing = 2 }; ///< control: VMCB, VMSA

/// The same in a form that other CPUs read without a lock. Thread-safety: set() by one thread at a
/// time (RMP lock), holds() by any. A reader that races set() sees each page in use or not, which
/// APM vol. 2, 15.36.12 allows for a moment.
class pages_in_use_slots
{
  public:
    void set(const pages_in_use &pages) noexcept
    {
        for (unsigned i = 0; i < pages_in_use::limit; ++i) {
            slots_[i].store(i < pages.count ? slot(pages, pages.spa[i]) : 0,
                            std::memory_order_release);
        }
    }
    /// True when one of the pages in [spa, spa + bytes) is in use.
    bool holds(spa_t spa, std::uint64_t bytes) const noexcept
    {
        for (const auto &s : slots_) {
            const std::uint64_t v = s.load(std::memory_order_acquire);
            const spa_t page = align_down(v, page_4k);
            if (v != 0 && page >= spa && page - spa < bytes) {
                return true;
            }
        }
        return false;
    }
    /// True when the 4 KB page is in use as `kind`.
    bool holds(spa_t page, page_use kind) const noexcept
    {
        for (const auto &s : slots_) {
            if (s.load(std::memory_order_acquire) == (page | static_cast<std::uint64_t>(kind))) {
                return true;
            }
        }
        return false;
    }

  private:
    /// Page address with the kind in its low bits; 0 is an empty slot.
    static std::uint64_t slot(const pages_in_use &pages, spa_t spa) noexcept
    {
        const page_use k = pages.avic_backing == spa ? page_use::avic_backing : page_use::control;
        return align_down(spa, page_4k) | static_cast<std::uint64_t>(k);
    }

    std::array<std::atomic<std::uint64_t>, pages_in_use::limit> slots_{};
};

} // namespace rmpopt::hw
