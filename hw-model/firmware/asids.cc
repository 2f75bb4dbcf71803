// SPDX-License-Identifier: GPL-2.0-or-later
// ASIDs between two guests: WBINVD on every core, then a flush of the data fabric, then the next.
#include "hw-model/firmware/internal.h"

#include <algorithm>

namespace rmpopt::hw
{

/// AMD 55766, ACTIVATE; AMD 56860, SNP_ACTIVATE.
firmware_status check_free_asid(const firmware_call &c, std::uint32_t asid, std::uint32_t first,
                                std::uint32_t last)
{
    if (asid < first || asid > last || asid >= asid_owners::limit) {
        return firmware_status::invalid_asid;
    }
    if (!c.s.asids.is_free(asid)) {
        return firmware_status::asid_owned;
    }
    return c.s.asids.needs_flush(asid) ? firmware_status::df_flush_required
                                       : firmware_status::success;
}

void require_wbinvd(firmware_call &c)
{
    for (auto &pending : c.s.wbinvd_pending) {
        pending.store(c.s.tracks_wbinvd);
    }
}

void give_back_asid(firmware_call &c, std::uint32_t asid)
{
    c.s.asids.give_back(asid);
    require_wbinvd(c);
}

firmware_status flush_asids(firmware_call &c)
{
    if (std::ranges::any_of(c.s.wbinvd_pending, [](const auto &p) { return p.load(); })) {
        return firmware_status::wbinvd_required;
    }
    c.s.asids.flush();
    return firmware_status::success;
}

} // namespace rmpopt::hw
