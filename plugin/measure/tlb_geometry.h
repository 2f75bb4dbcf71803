// SPDX-License-Identifier: GPL-2.0-or-later
// The size of the modelled data TLBs. A model, not a claim about a product: replacement, the
// sharing of a core's entries by its threads and what a page walk caches are simplified (see
// tlb_model.h).
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rmpopt
{

struct tlb_geometry {
    std::string name;          ///< of the preset, or as it was asked for
    unsigned l1_entries = 0;   ///< of a core; fully associative, pages of any size
    unsigned l2_entries = 0;   ///< of a core; 4 KB and 2 MB pages; 0: no second level
    unsigned l2_ways = 1;      ///< divides l2_entries into a power of two of sets
    std::string_view source{}; ///< where the numbers are from

    /// What one of `threads` that share the core gets.
    tlb_geometry share_of(unsigned threads) const;
    bool operator==(const tlb_geometry &) const = default;
};

/// zen3, zen4, zen5.
std::span<const tlb_geometry> tlb_presets();

/// The name of a preset, or L1/L2xWAYS as in 64/2048x16; an L2 of 0 is none. Returns an empty
/// string or what is wrong, without a prefix.
std::string parse_tlb(std::string_view text, tlb_geometry &out);

} // namespace rmpopt
