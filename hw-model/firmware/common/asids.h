// SPDX-License-Identifier: GPL-2.0-or-later
// Which ASIDs have a guest: one pool for SEV, SEV-ES and SNP guests, because they draw from the
// same numbers. An ASID that was given back may still tag cache lines and data fabric entries;
// nobody gets it before the flush (AMD 55766 and 56860: ACTIVATE, DF_FLUSH).
//
// Thread-safety: none of its own; the firmware's lock guards it.
#pragma once

#include "hw-model/firmware/common/abi.h"
#include "hw-model/rmp/rmp_entry.h"

#include <algorithm>
#include <array>

namespace rmpopt::hw
{

struct firmware_call;

class asid_pool
{
  public:
    /// ASIDs are below this; which of them a CPU has is the caller's to check.
    static constexpr std::uint32_t limit = rmp_entry::asid_limit;

    bool is_free(std::uint32_t asid) const { return !slots_.at(asid).taken; }
    bool needs_flush(std::uint32_t asid) const { return slots_.at(asid).needs_flush; }
    bool any_needs_flush() const { return std::ranges::any_of(slots_, &slot::needs_flush); }

    /// Precondition: is_free(asid) and not needs_flush(asid).
    void take(std::uint32_t asid) { slots_.at(asid).taken = true; }
    /// The next guest has to wait for a flush.
    void give_back(std::uint32_t asid) { slots_.at(asid) = {.taken = false, .needs_flush = true}; }

    /// After an initialisation, of which firmware cannot know what was before it.
    void require_flush_of_all()
    {
        for (slot &s : slots_) {
            s.needs_flush = true;
        }
    }
    /// DF_FLUSH, whichever of the two commands: both flush all.
    void flush()
    {
        for (slot &s : slots_) {
            s.needs_flush = false;
        }
    }

  private:
    struct slot {
        bool taken = false;
        bool needs_flush = false;
    };
    std::array<slot, limit> slots_{};
};

/// The ASID is one of `first`..`last`, is free and was flushed since a guest had it.
firmware_status check_free_asid(const firmware_call &c, std::uint32_t asid, std::uint32_t first,
                                std::uint32_t last);
/// The guest of `asid` is gone. Nobody gets the ASID before WBINVD on all cores and a flush.
void give_back_asid(firmware_call &c, std::uint32_t asid);
/// From now on every core has to write back its caches before a flush.
void require_wbinvd(firmware_call &c);
/// DF_FLUSH and SNP_DF_FLUSH on an initialised platform.
firmware_status flush_asids(firmware_call &c);

} // namespace rmpopt::hw
